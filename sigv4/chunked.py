"""aws-chunked bodies without I/O: bytes in, verified bytes out.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html. A body is
``hex-size[;chunk-signature=…] CRLF data CRLF`` repeated, a chunk of size 0, trailer lines, CRLF.

Where chunks are signed, nothing of a chunk is handed on before its signature has been verified, so a chunk is held in
memory and its size is capped. Nothing may be committed before ``finish`` returned: the last check is the last byte.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from sigv4 import signing
from sigv4.canonical import HEX_DIGITS
from sigv4.errors import SignatureError, shown

MAX_SIGNED_CHUNK_BYTES: Final = 16 * 1024 * 1024
MAX_HEADER_LINE_BYTES: Final = 4 * 1024
MAX_TRAILER_BYTES: Final = 16 * 1024
MAX_SIZE_DIGITS: Final = 16

_SIGNATURE_EXTENSION: Final = b"chunk-signature="
_TRAILER_SIGNATURE: Final = "x-amz-trailer-signature"
_TOKEN: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"
_PRINTABLE: Final = bytes(range(0x20, 0x7F))
_MALFORMED_TRAILER: Final = (
    "The request contained trailing data that was not well-formed or did not conform to our published schema."
)
_INVALID_SIZE: Final = "The chunk size of the aws-chunked body is not valid."


@dataclass(frozen=True, slots=True)
class ChunkSigner:
    """What every chunk signature of one request is computed from. ``seed`` is the request's own signature."""

    key: bytes
    timestamp: bytes
    scope: bytes
    seed: bytes

    def chunk(self, previous: bytes, data_sha256: bytes) -> bytes:
        """The signature of a chunk whose data has this SHA-256 (raw), after the signature ``previous``."""
        parts = (b"AWS4-HMAC-SHA256-PAYLOAD", self.timestamp, self.scope, previous, signing.EMPTY_SHA256)
        return signing.sign(self.key, b"\n".join((*parts, data_sha256.hex().encode())))

    def trailer(self, previous: bytes, trailer: bytes) -> bytes:
        """The signature of the trailer, given as ``name:value LF`` lines."""
        digest = hashlib.sha256(trailer).hexdigest().encode()
        parts = (b"AWS4-HMAC-SHA256-TRAILER", self.timestamp, self.scope, previous, digest)
        return signing.sign(self.key, b"\n".join(parts))


class _State(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    DONE = auto()


class ChunkDecoder:
    """Decodes one body. Made by ``Payload.decoder``; every split of the input gives the same result.

    Refusals are SignatureError with InvalidChunkSizeError, IncompleteBody, MalformedTrailerError or
    SignatureDoesNotMatch. After one, every further call raises it again.
    """

    def __init__(
        self,
        *,
        decoded_length: int,
        trailer_names: Collection[str],
        with_trailer: bool,
        signer: ChunkSigner | None,
    ) -> None:
        names = tuple(name.lower() for name in trailer_names)
        if len(set(names)) != len(names) or (names and not with_trailer) or _TRAILER_SIGNATURE in names:
            raise _malformed_trailer("x-amz-trailer does not fit the payload it announces.")
        self._announced: Final = frozenset(names)
        self._decoded_length: Final = decoded_length
        self._with_trailer: Final = with_trailer
        self._signer: Final = signer
        self._previous = signer.seed if signer else b""
        self._state = _State.SIZE
        self._line = bytearray()
        self._remaining = 0
        self._decoded = 0
        self._chunk_number = 0
        self._chunk_signature = b""
        self._chunk_sha256 = hashlib.sha256()
        self._held = bytearray()
        self._trailer_bytes = 0
        self._trailer_lines: dict[str, str] = {}
        self._trailers: Mapping[str, str] = MappingProxyType({})
        self._failure: SignatureError | None = None

    @property
    def done(self) -> bool:
        """Whether the body ended and every check passed."""
        return self._state is _State.DONE and self._failure is None

    @property
    def trailers(self) -> Mapping[str, str]:
        """The trailer, lower-case names, empty until ``done``."""
        return self._trailers

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the body; return decoded data that may be used now (never empty pieces)."""
        if self._failure is not None:
            raise self._failure
        try:
            return self._feed(data)
        except SignatureError as failure:
            self._failure = failure
            self._held.clear()
            raise

    def finish(self) -> None:
        """Say that the body ended. Raises SignatureError (IncompleteBody) unless it was complete."""
        if self._failure is not None:
            raise self._failure
        if self._state is not _State.DONE:
            self._failure = _incomplete("The body ended before its final chunk.")
            raise self._failure

    def _feed(self, data: bytes) -> list[bytes]:
        out: list[bytes] = []
        position, end = 0, len(data)
        while position < end:
            match self._state:
                case _State.DATA:
                    piece = data[position : position + self._remaining]
                    position += len(piece)
                    self._take(piece, out)
                case _State.DONE:
                    raise _incomplete("The body continues after its final chunk.")
                case state:
                    position, line = self._read_line(data, position, state)
                    if line is None:
                        continue
                    if state is _State.SIZE:
                        self._begin_chunk(line)
                    elif state is _State.TRAILER:
                        self._take_trailer(line)
                    elif line:
                        raise _invalid_size(self._chunk_number)
                    else:
                        self._state = _State.SIZE
        return out

    def _read_line(self, data: bytes, position: int, state: _State) -> tuple[int, bytes | None]:
        """The next line without its CRLF, or None when more bytes are needed."""
        found = data.find(b"\n", position)
        while found >= 0:
            # A LF ends the line only after a CR; one inside a line is judged by the line's own grammar.
            before = data[found - 1] if found > position else (self._line[-1] if self._line else 0)
            if before == 0x0D:
                break
            found = data.find(b"\n", found + 1)
        stop = found + 1 if found >= 0 else len(data)
        limit = 2 if state is _State.DATA_END else MAX_HEADER_LINE_BYTES
        if len(self._line) + stop - position > limit:
            raise self._line_too_long(state)
        self._line += data[position:stop]
        if found < 0:
            return stop, None
        line = bytes(self._line[:-2])
        self._line.clear()
        return stop, line

    def _line_too_long(self, state: _State) -> SignatureError:
        if state is _State.TRAILER:
            return _malformed_trailer("A trailer line is too long.")
        return _invalid_size(self._chunk_number)

    def _begin_chunk(self, line: bytes) -> None:
        digits, separator, extension = line.partition(b";")
        if not 1 <= len(digits) <= MAX_SIZE_DIGITS or digits.translate(None, HEX_DIGITS):
            raise _invalid_size(self._chunk_number, digits)
        size = int(digits, 16)
        if self._signer is None:
            if separator:
                raise _invalid_size(self._chunk_number, line)
        else:
            if size > MAX_SIGNED_CHUNK_BYTES:
                raise _invalid_size(self._chunk_number, digits)
            if not extension.startswith(_SIGNATURE_EXTENSION):
                raise _mismatch("A chunk of the body is not signed.")
            self._chunk_signature = extension[len(_SIGNATURE_EXTENSION) :]
        if self._decoded + size > self._decoded_length:
            raise _incomplete("The body is longer than x-amz-decoded-content-length.")
        self._decoded += size
        self._chunk_number += 1
        if size:
            self._remaining = size
            self._state = _State.DATA
            return
        self._verify_chunk()
        if self._decoded != self._decoded_length:
            raise _incomplete("The body is shorter than x-amz-decoded-content-length.")
        self._state = _State.TRAILER

    def _take(self, piece: bytes, out: list[bytes]) -> None:
        self._remaining -= len(piece)
        if self._remaining == 0:
            self._state = _State.DATA_END
        if self._signer is None:
            out.append(piece)
            return
        self._chunk_sha256.update(piece)
        if self._remaining or self._held:
            self._held += piece
            piece = b""
        if self._remaining == 0:
            self._verify_chunk()
            out.append(piece or bytes(self._held))
            self._held.clear()

    def _verify_chunk(self) -> None:
        if self._signer is None:
            return
        expected = self._signer.chunk(self._previous, self._chunk_sha256.digest())
        if not signing.matches(expected, self._chunk_signature):
            raise _mismatch("The signature of a chunk does not match.")
        self._previous = expected
        self._chunk_sha256 = hashlib.sha256()

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            self._end()
            return
        self._trailer_bytes += len(line) + 2
        if self._trailer_bytes > MAX_TRAILER_BYTES:
            raise _malformed_trailer("The trailer is too long.")
        # AWS signs "name:value LF"; minio-go also sends that LF, before the CRLF.
        name, separator, value = line.removesuffix(b"\n").partition(b":")
        if not separator or not name or name.translate(None, _TOKEN) or value.translate(None, _PRINTABLE):
            raise _malformed_trailer()
        key = name.decode("ascii").lower()
        if key in self._trailer_lines or (key not in self._announced and not self._is_signature(key)):
            raise _malformed_trailer()
        self._trailer_lines[key] = value.decode("ascii").strip(" ")

    def _is_signature(self, name: str) -> bool:
        return name == _TRAILER_SIGNATURE and self._with_trailer and self._signer is not None

    def _end(self) -> None:
        signature = self._trailer_lines.pop(_TRAILER_SIGNATURE, None)
        if self._announced != self._trailer_lines.keys():
            raise _malformed_trailer()
        if self._with_trailer and self._signer is not None:
            lines = "".join(f"{name}:{value}\n" for name, value in self._trailer_lines.items())
            expected = self._signer.trailer(self._previous, lines.encode("ascii"))
            if signature is None or not signing.matches(expected, signature.encode("ascii")):
                raise _mismatch("The signature of the trailer does not match.")
        self._trailers = MappingProxyType(self._trailer_lines)
        self._state = _State.DONE


def _invalid_size(chunk_number: int, size: bytes | None = None) -> SignatureError:
    fields = {"Chunk": str(chunk_number + 1)}
    if size is not None:
        fields["BadChunkSize"] = shown(size, 32)
    return SignatureError("InvalidChunkSizeError", _INVALID_SIZE, fields)


def _incomplete(message: str) -> SignatureError:
    return SignatureError("IncompleteBody", message)


def _malformed_trailer(message: str = _MALFORMED_TRAILER) -> SignatureError:
    return SignatureError("MalformedTrailerError", message)


def _mismatch(message: str) -> SignatureError:
    return SignatureError("SignatureDoesNotMatch", message)
