"""A client that sends exactly the bytes it is given, and reads answers strictly."""

import socket
import ssl
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Target:
    """A server under test. The seconds are what it was configured with."""

    host: str
    port: int
    secure: bool = False
    header_timeout_seconds: float = 10.0
    body_idle_seconds: float = 20.0

    @classmethod
    def from_url(cls, url: str, **settings: float) -> "Target":
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        return cls(parts.hostname or "127.0.0.1", parts.port or (443 if secure else 80), secure, **settings)

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"

    def connect(self, timeout_seconds: float = 15.0, receive_buffer_bytes: int | None = None) -> "Wire":
        return Wire(self, timeout_seconds, receive_buffer_bytes)


@dataclass(frozen=True, slots=True)
class Answer:
    """One response message. ``complete`` is False when the connection ended inside the body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    complete: bool = True

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def closes(self) -> bool:
        return (self.header("connection") or "").lower() == "close"


class Wire:
    """One connection."""

    def __init__(self, target: Target, timeout_seconds: float, receive_buffer_bytes: int | None) -> None:
        self.target = target
        plain = socket.socket(socket.AF_INET6 if ":" in target.host else socket.AF_INET)
        if receive_buffer_bytes is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        plain.settimeout(timeout_seconds)
        try:
            plain.connect((target.host, target.port))
        except OSError:
            plain.close()
            raise
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket: socket.socket = plain
        if target.secure:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.socket = context.wrap_socket(plain)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self, method: str, target: str, *lines: str, host: str | None = None) -> None:
        """Send a request head with the right Host and the given further field lines."""
        fields = "".join(f"{line}\r\n" for line in lines)
        self.send(
            f"{method} {target} HTTP/1.1\r\nHost: {host or self.target.authority}\r\n{fields}\r\n".encode("latin-1")
        )

    def answer(self, method: str = "GET", *, interim: bool = False) -> Answer:
        """Read one response; 1xx ones are skipped unless ``interim``. Raises ConnectionError when there is none."""
        while True:
            status, headers = self._read_head()
            if status >= 200 or interim:
                break
        body, complete = self._read_body(method, status, dict(headers))
        return Answer(status, headers, body, complete)

    def closed_within(self, seconds: float) -> bool:
        """Whether the server ends the connection in time, saying nothing more."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return False
            except OSError:
                return True
            if not data:
                return True
            self._buffer += data
        return False

    @property
    def unread(self) -> bytes:
        """What arrived after the last answer."""
        return self._buffer

    def _fill(self) -> bool:
        data = self.socket.recv(65536)
        self._buffer += data
        return bool(data)

    def _read_head(self) -> tuple[int, tuple[tuple[str, str], ...]]:
        while b"\r\n\r\n" not in self._buffer:
            if not self._fill():
                raise ConnectionError("the connection ended before an answer")
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
        return int(status_line.split(" ")[1]), headers

    def _read_body(self, method: str, status: int, headers: dict[str, str]) -> tuple[bytes, bool]:
        if method == "HEAD" or status < 200 or status in (204, 304):
            return b"", True
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._read_chunked()
        if "content-length" in headers:
            return self._take(int(headers["content-length"]))
        while self._fill():
            pass
        body, self._buffer = self._buffer, b""
        return body, True

    def _take(self, size: int) -> tuple[bytes, bool]:
        pieces = [self._buffer]
        have = len(self._buffer)
        while have < size:
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionError:
                data = b""
            if not data:
                self._buffer = b""
                return b"".join(pieces), False
            pieces.append(data)
            have += len(data)
        whole = b"".join(pieces)
        self._buffer = whole[size:]
        return whole[:size], True

    def _read_chunked(self) -> tuple[bytes, bool]:
        body = b""
        while True:
            while b"\r\n" not in self._buffer:
                if not self._fill():
                    return body, False
            line, _, self._buffer = self._buffer.partition(b"\r\n")
            size = int(line.split(b";")[0], 16)
            data, complete = self._take(size + 2)
            if not complete:
                return body + data, False
            if size == 0:
                return body, True
            body += data[:-2]
