"""The head of an answer as bytes, and the edge's own answers."""

import time
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from gateway.errors import CATALOGUE

# A phrase always: botocore recognises a final status that comes instead of 100 Continue only with one.
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii") for status in HTTPStatus
}
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Clock:
    """The Date field, rendered once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def date_line(self) -> bytes:
        """``date: …`` with its line end."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._line = b"date: %b\r\n" % formatdate(now, usegmt=True).encode("ascii")
        return self._line


def render_head(status: int, headers: Iterable[tuple[bytes, bytes]], added: bytes) -> bytes:
    """Status line, fields, ``added`` lines and the empty line. Raises ValueError for a field that would break a line:
    an answer must not be split by what a client once stored."""
    fields = [b"%b: %b\r\n" % pair for pair in headers]
    block = b"".join(fields)
    lines = len(fields)
    if block.count(b"\n") != lines or block.count(b"\r") != lines or b"\0" in block:
        raise ValueError("a header field contains a line end or NUL")
    return b"%b%b%b\r\n" % (_STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status, block, added)


def render_error(code: str, date_line: bytes, status: int | None = None) -> bytes:
    """A whole answer with an S3 error document that ends the connection. ``status`` overrides the catalogue's."""
    entry = CATALOGUE[code]
    text = f"<Error><Code>{entry.name}</Code><Message>{entry.message}</Message></Error>"
    body = b'<?xml version="1.0" encoding="UTF-8"?>\n' + text.encode("ascii")
    headers = [(b"content-type", b"application/xml"), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    if entry.retry_after_seconds:
        headers.append((b"retry-after", b"%d" % entry.retry_after_seconds))
    return render_head(status or entry.status, headers, date_line) + body
