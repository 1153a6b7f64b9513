"""A request head from bytes: llhttp's grammar, and the stricter rules that keep two parsers from disagreeing.

What is accepted here means the same to every other strict parser on the way. llhttp alone still takes runs of spaces in
the request line, HTTP/0.9 and HTTP/2.0; the lengths and codings that decide where a message ends are judged here.
"""

import re
from typing import Final, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

MAX_HEAD_BYTES: Final = 64 * 1024
HEAD_END: Final = b"\r\n\r\n"

_REQUEST_LINE: Final = re.compile(rb"([A-Z][A-Z_-]{0,31}) [!-~]+ HTTP/1\.([01])\r\n")
# A bare LF, a bare CR, or a folded line (RFC 9112 §2.2, §5.2).
_BAD_LINES: Final = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|\n[ \t]")
_FRAMING: Final = frozenset({b"connection", b"content-length", b"expect", b"host", b"transfer-encoding"})


class BadMessage(Exception):
    """A message that is not HTTP/1.1, or could be read in two ways: 400, and the connection ends."""


class RequestHead(NamedTuple):
    """One request head. ``length`` is None for chunked content and 0 where there is none; field names are lower-case,
    values trimmed, order and repeats kept."""

    method: str
    target: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    length: int | None
    keep_alive: bool
    expects_continue: bool


class HeadParser:
    """Parses whole heads, one after another, of any number of connections."""

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._framing: dict[bytes, bytes] = {}
        self._target = b""

    def parse(self, head: bytes) -> RequestHead:
        """Read a head that ends with its empty line. Raises BadMessage."""
        line = _REQUEST_LINE.match(head)
        if line is None:
            raise BadMessage("request line")
        headers: list[tuple[bytes, bytes]] = []
        framing: dict[bytes, bytes] = {}
        self._headers, self._framing = headers, framing
        try:
            # A parser of its own for each head: no state of one message, or of one client, can reach the next.
            HttpRequestParser(self).feed_data(head)
        except HttpParserUpgrade:
            pass  # An Upgrade field may always be ignored (RFC 9110 §7.8); an upgrade would pass every proxy's rules.
        except HttpParserError as error:
            raise BadMessage(str(error)) from error.__context__
        modern = line[2] == b"1"
        if b"host" not in framing and modern:
            raise BadMessage("Host is missing")
        connection = framing.get(b"connection")
        return RequestHead(
            line[1].decode("ascii"),
            self._target,
            "1.1" if modern else "1.0",
            headers,
            _content_length(framing, modern),
            modern if connection is None else _keeps_alive(connection, modern),
            modern and b"expect" in framing and framing[b"expect"].lower() == b"100-continue",
        )

    def on_url(self, target: bytes) -> None:
        """Called by llhttp."""
        self._target = target

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by llhttp. Raises BadMessage for fields whose repetition is ambiguous."""
        name = name.lower()
        value = value.strip(b" \t")
        self._headers.append((name, value))
        if name in _FRAMING:
            framing = self._framing
            if name not in framing:
                framing[name] = value
            elif name == b"connection":
                framing[name] += b"," + value
            elif name != b"expect":
                raise BadMessage("a framing field was repeated")


def looks_bad(partial: bytes | bytearray) -> bool:
    """Whether the beginning of a head can already not become a good one; spares waiting for an end that never comes."""
    return _BAD_LINES.search(partial) is not None


def _content_length(framing: dict[bytes, bytes], modern: bool) -> int | None:
    length, coding = framing.get(b"content-length"), framing.get(b"transfer-encoding")
    if coding is not None:
        # RFC 9112 §6.1: the pair is the carrier of request smuggling, and HTTP/1.0 has no codings.
        if length is not None or not modern or coding.lower() != b"chunked":
            raise BadMessage("Transfer-Encoding")
        return None
    if length is None:
        return 0
    if not length.isdigit() or len(length) > 19:
        raise BadMessage("Content-Length")
    return int(length)


def _keeps_alive(connection: bytes, modern: bool) -> bool:
    options = {option.strip() for option in connection.lower().split(b",")}
    return b"close" not in options and (modern or b"keep-alive" in options)
