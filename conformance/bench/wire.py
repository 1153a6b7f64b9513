"""HTTP/1.1 as a load generator needs it: exchanges made beforehand, and a parser that looks only where it must."""

import hashlib
import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

_CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
_ETAG: Final = re.compile(rb"\r\netag:[ \t]*([^\r]+)", re.IGNORECASE)
_NO_BODY_STATUSES: Final = (204, 304)


@dataclass(frozen=True, slots=True)
class Payload:
    """A body: one block, repeated."""

    block: bytes
    repeats: int

    @property
    def size_bytes(self) -> int:
        """Its length."""
        return len(self.block) * self.repeats

    def sha256(self) -> str:
        """Its SHA-256, in hexadecimal digits."""
        digest = hashlib.sha256()
        for _ in range(self.repeats):
            digest.update(self.block)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what counts as its right answer. ``ends_operation``: the latency measured ends here."""

    head: bytes
    payload: Payload | None = None
    status: int = 200
    answer_is_head_only: bool = False
    ends_operation: bool = True
    keep_answer: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. ``body`` is empty unless the exchange asked to keep it."""

    status: int
    head: bytes
    body: bytes

    @property
    def etag(self) -> bytes:
        """The ETag as sent, with its quotes; empty without one."""
        found = _ETAG.search(self.head)
        return found.group(1).strip() if found else b""


# What one connection does: yields exchanges, is sent the answers.
Script = Generator[Exchange, Answer, None]


class MalformedAnswerError(Exception):
    """The server said something that is not an HTTP/1.1 response."""


class AnswerParser:
    """Parses one response after another from pieces; bodies are counted, not copied, unless kept."""

    def __init__(self) -> None:
        self.status = 0
        self.head = b""
        self.body_bytes = 0
        self.closes = False
        self._body: bytearray | None = None
        self._head_only = False
        self._pending = bytearray()
        self._left = 0
        self._chunked = False
        self._in_body = False

    def begin(self, exchange: Exchange) -> None:
        """Expect the answer to this exchange."""
        self.status = self.body_bytes = self._left = 0
        self.head = b""
        self.closes = self._in_body = self._chunked = False
        self._head_only = exchange.answer_is_head_only
        self._body = bytearray() if exchange.keep_answer else None
        self._pending.clear()

    @property
    def body(self) -> bytes:
        """The kept body."""
        return bytes(self._body or b"")

    def feed(self, data: memoryview) -> bool:
        """Take a piece; True when the answer is complete. Raises MalformedAnswerError."""
        if not self._in_body:
            rest = self._feed_head(data)
            if rest is None:
                return False
            data = rest
        if self._chunked:
            return self._feed_chunks(data)
        if len(data) > self._left:
            raise MalformedAnswerError("more bytes than Content-Length")
        self._take(data)
        self._left -= len(data)
        return self._left == 0

    def _take(self, data: memoryview) -> None:
        self.body_bytes += len(data)
        if self._body is not None:
            self._body += data

    def _feed_head(self, data: memoryview) -> memoryview | None:
        self._pending += data
        while True:
            end = self._pending.find(b"\r\n\r\n")
            if end < 0:
                return None
            head = bytes(self._pending[: end + 2])
            rest = memoryview(bytes(self._pending[end + 4 :]))
            self._pending.clear()
            if not head.startswith(b"HTTP/1.") or not head[9:12].isdigit():
                raise MalformedAnswerError("no status line")
            self.status = int(head[9:12])
            if self.status >= 200:
                break
            self._pending += rest
        self.head, self._in_body = head, True
        self.closes = _CLOSE.search(head) is not None
        if self._head_only or self.status in _NO_BODY_STATUSES:
            return rest
        length = _CONTENT_LENGTH.search(head)
        if length is not None:
            self._left = int(length.group(1))
        elif _CHUNKED.search(head) is not None:
            self._chunked = True
        else:
            raise MalformedAnswerError("neither Content-Length nor chunked")
        return rest

    def _feed_chunks(self, data: memoryview) -> bool:
        # Chunked answers are listings: some 100 KiB at most, so collecting them is cheap enough.
        self._pending += data
        position = 0
        try:
            while True:
                line_end = self._pending.find(b"\r\n", position)
                if line_end < 0:
                    return False
                try:
                    size = int(self._pending[position:line_end].partition(b";")[0], 16)
                except ValueError:
                    raise MalformedAnswerError("bad chunk size") from None
                next_chunk = line_end + 2 + size + 2
                if size == 0:
                    return self._pending.find(b"\r\n\r\n", position) >= 0
                if len(self._pending) < next_chunk:
                    return False
                self._take(memoryview(bytes(self._pending[line_end + 2 : next_chunk - 2])))
                position = next_chunk
        finally:
            del self._pending[:position]
