"""A proxy in front of an S3 server that answers wrongly, late or not at all, for chosen requests."""

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

ERROR: Final = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>injected</Message></Error>"
HOP_HEADERS: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})


class Fault(Enum):
    """What happens to a request."""

    SLOW_DOWN = "503 SlowDown"
    INTERNAL_ERROR = "500 InternalError"
    ERROR_IN_200 = "200 with an error for a body"
    HANG = "no answer for longer than anybody waits"
    RESET = "the connection ends before an answer"
    LOST = "it takes effect, and its answer is lost"
    TRUNCATED = "half of the answer's body"
    OTHER_BYTES = "one byte of the answer's body is another"
    OTHER_ETAG = "the answer names another ETag"
    REDIRECT = "307 to another host"
    GARBAGE = "an answer that is not XML"


@dataclass(slots=True)
class Rule:
    """``fault`` for the next ``times`` requests of this method whose target contains ``text``."""

    method: str
    fault: Fault
    times: int
    text: str


class FaultProxy:
    """Runs in threads; ``url`` is where to go instead of ``target``. ``seen`` are the requests that were forwarded or
    refused, as ``METHOD target``."""

    def __init__(self, target: str, *, hang_seconds: float = 3.0) -> None:
        self._target = urlsplit(target).netloc
        self._hang_seconds = hang_seconds
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self.seen: list[str] = []
        self.elsewhere = "http://127.0.0.1:9/"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def inject(self, method: str, fault: Fault, *, times: int = 1, text: str = "") -> None:
        """Add a rule; the first one that fits counts."""
        with self._lock:
            self._rules.append(Rule(method, fault, times, text))

    def clear(self) -> None:
        """Behave from now on."""
        with self._lock:
            self._rules.clear()
            self.seen.clear()

    def requests(self, method: str, text: str = "") -> int:
        """How many of these there were."""
        with self._lock:
            return sum(line.startswith(f"{method} ") and text in line for line in self.seen)

    def unused(self) -> int:
        """How many faults wait for a request that fits."""
        with self._lock:
            return sum(rule.times for rule in self._rules)

    def _fault(self, method: str, target: str) -> Fault | None:
        with self._lock:
            self.seen.append(f"{method} {target}")
            for rule in self._rules:
                if rule.times and rule.method == method and rule.text in target:
                    rule.times -= 1
                    return rule.fault
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy._answer(self, body)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

        return Handler

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        fault = self._fault(request.command, request.path)
        simple: dict[Fault, Callable[[], None]] = {
            Fault.SLOW_DOWN: lambda: _send(request, 503, {}, ERROR % b"SlowDown"),
            Fault.INTERNAL_ERROR: lambda: _send(request, 500, {}, ERROR % b"InternalError"),
            Fault.ERROR_IN_200: lambda: _send(request, 200, {}, ERROR % b"InternalError"),
            Fault.GARBAGE: lambda: _send(request, 200, {"Content-Type": "application/xml"}, b"\x00<<<"),
            Fault.REDIRECT: lambda: _send(request, 307, {"Location": self.elsewhere}, ERROR % b"TemporaryRedirect"),
            Fault.HANG: lambda: self._hang(request),
            Fault.RESET: lambda: _drop(request),
        }
        if fault in simple:
            simple[fault]()
            return
        status, headers, content = self._forward(request, body)
        if fault is Fault.LOST:
            _drop(request)
        elif fault is Fault.TRUNCATED:
            _send(request, status, headers, content, sent=content[: len(content) // 2])
            _drop(request)
        elif fault is Fault.OTHER_BYTES:
            changed = bytearray(content)
            changed[len(changed) // 2] ^= 1
            _send(request, status, headers, bytes(changed))
        elif fault is Fault.OTHER_ETAG:
            _send(request, status, {**headers, "ETag": '"' + "0" * 32 + '"'}, content)
        else:
            _send(request, status, headers, content)

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self._target, timeout=30)
        try:
            connection.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_HEADERS}
            if request.command == "HEAD":
                headers["Content-Length"] = answer.getheader("Content-Length") or "0"
            return answer.status, headers, answer.read()
        finally:
            connection.close()

    def _hang(self, request: BaseHTTPRequestHandler) -> None:
        time.sleep(self._hang_seconds)
        _drop(request)


def _send(
    request: BaseHTTPRequestHandler,
    status: int,
    headers: dict[str, str],
    content: bytes,
    *,
    sent: bytes | None = None,
) -> None:
    try:
        request.send_response_only(status)
        for name, value in headers.items():
            request.send_header(name, value)
        if "Content-Length" not in headers and status not in (204, 304):
            request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content if sent is None else sent)
        request.wfile.flush()
    except OSError:
        request.close_connection = True


def _drop(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True
