"""The chunked transfer coding of a request (RFC 9112 §7.1), read strictly: every line ends with CRLF, nothing is
repaired. Extensions and trailer fields are checked and dropped; S3's trailers are inside aws-chunked content."""

import re
from typing import Final

from gateway.wire.http1.head import BadMessage

_MAX_LINE_BYTES: Final = 4096
_MAX_TRAILER_BYTES: Final = 16 * 1024
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?")
# Fields of framing and routing are forbidden after the content (RFC 9110 §6.5.1); a proxy might merge them.
_TRAILER: Final = re.compile(
    rb"(?!(?i:content-length|transfer-encoding|host):)[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*"
)


class ChunkedDecoder:
    """Decodes one message. ``ended`` is true after its last line."""

    __slots__ = ("_left", "_line", "_trailer_bytes", "_trailers", "ended")

    def __init__(self) -> None:
        self._line = b""
        # Bytes that are missing of the chunk; -1 before a size line; data is followed by CRLF, which counts two more.
        self._left = -1
        self._trailers = False
        self._trailer_bytes = 0
        self.ended = False

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """The content in ``data``, and what follows the message. Raises BadMessage."""
        pieces: list[bytes] = []
        at, end = 0, len(data)
        while at < end and not self.ended:
            if self._left > 2:
                piece = data[at : at + self._left - 2]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
            elif self._left > 0:
                if data[at] != b"\n\r"[self._left - 1]:
                    raise BadMessage("chunk end")
                at += 1
                self._left = self._left - 1 or -1
            else:
                at = self._read_line(data, at)
        return pieces, data[at:]

    def _read_line(self, data: bytes, at: int) -> int:
        feed = data.find(b"\n", at, at + _MAX_LINE_BYTES)
        if feed < 0:
            self._line += data[at : at + _MAX_LINE_BYTES]
            if len(self._line) >= _MAX_LINE_BYTES:
                raise BadMessage("chunk line is too long")
            return len(data)
        line, self._line = self._line + data[at : feed + 1], b""
        if not line.endswith(b"\r\n") or len(line) > _MAX_LINE_BYTES:
            raise BadMessage("chunk line end")
        if self._trailers:
            self._take_trailer(line[:-2])
        else:
            self._take_size(line[:-2])
        return feed + 1

    def _take_size(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None:
            raise BadMessage("chunk size")
        size = int(match[1], 16)
        if size:
            self._left = size + 2
        else:
            self._trailers = True

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            self.ended = True
            return
        self._trailer_bytes += len(line)
        if _TRAILER.fullmatch(line) is None or self._trailer_bytes > _MAX_TRAILER_BYTES:
            raise BadMessage("trailer")
