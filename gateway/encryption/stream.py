"""The format of encrypted bytes: AES-256-GCM in chunks, so that a range is read without the rest.

The STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár (https://eprint.iacr.org/2015/189), as age and Tink
use it: 64 KiB of plaintext a chunk, each followed by its tag, under a nonce of ``zeros (7) | chunk number (4) | last?
(1)``. A chunk that was changed, moved, left out or cut off does not open, and neither does a stream that ends early,
for its last chunk says that it is the last. An empty stream is one empty chunk. There is no header: the length of the
plaintext gives that of the ciphertext and back.

The nonces start at zero, so a key encrypts one stream only; ``keys.DataKey.stream_key`` makes one for each.
"""

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK_BYTES: Final = 64 * 1024
TAG_BYTES: Final = 16
SEALED_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES

Data = bytes | bytearray | memoryview


class Tampered(Exception):
    """A chunk does not open: its bytes were changed, moved or cut, or this is not the key they were encrypted with."""


def sealed_bytes(size_bytes: int) -> int:
    """The length of the ciphertext of so much plaintext."""
    return size_bytes + TAG_BYTES * _chunks(size_bytes)


def opened_bytes(sealed_size_bytes: int) -> int | None:
    """The length of the plaintext of so much ciphertext; None if no ciphertext has this length."""
    chunks, rest = divmod(sealed_size_bytes, SEALED_CHUNK_BYTES)
    size_bytes = chunks * CHUNK_BYTES + max(rest - TAG_BYTES, 0)
    return size_bytes if sealed_bytes(size_bytes) == sealed_size_bytes else None


@dataclass(frozen=True, slots=True)
class Span:
    """The chunks that hold a range of the plaintext, and where they are in the ciphertext."""

    first_chunk: int
    chunks: int
    offset_bytes: int
    length_bytes: int
    skip_bytes: int
    """What precedes the range in its first chunk."""

    @classmethod
    def of(cls, size_bytes: int, offset_bytes: int, length_bytes: int) -> "Span":
        """For a range that lies within ``size_bytes`` of plaintext; an empty one has the chunk it would begin in.

        Raises ValueError for any other range.
        """
        if min(offset_bytes, length_bytes) < 0 or offset_bytes + length_bytes > size_bytes:
            raise ValueError("the range is not within the plaintext")
        first = min(offset_bytes // CHUNK_BYTES, _chunks(size_bytes) - 1)
        last = max(first, (offset_bytes + length_bytes - 1) // CHUNK_BYTES)
        begin = first * SEALED_CHUNK_BYTES
        end = min((last + 1) * SEALED_CHUNK_BYTES, sealed_bytes(size_bytes))
        return cls(first, last - first + 1, begin, end - begin, offset_bytes - first * CHUNK_BYTES)


class Sealer:
    """Encrypts one stream. Holds back up to one chunk, since the last one is sealed differently."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._number = 0
        self._held = bytearray()

    def update(self, data: Data) -> bytes:
        """Append; returns the ciphertext of the chunks that are complete and not the last one."""
        sealed = []
        with memoryview(data) as view:
            taken = 0
            if self._held:
                taken = min(CHUNK_BYTES - len(self._held), len(view))
                self._held += view[:taken]
                if taken < len(view):
                    sealed.append(self._seal(self._held, last=False))
                    self._held = bytearray()
            while len(view) - taken > CHUNK_BYTES:
                sealed.append(self._seal(view[taken : taken + CHUNK_BYTES], last=False))
                taken += CHUNK_BYTES
            self._held += view[taken:]
        return b"".join(sealed)

    def finish(self) -> bytes:
        """The last chunk. Nothing can be appended afterwards."""
        return self._seal(self._held, last=True)

    def _seal(self, chunk: Data, *, last: bool) -> bytes:
        sealed = self._cipher.encrypt(_nonce(self._number, last), chunk, None)
        self._number += 1
        return sealed


class Opener:
    """Decrypts the chunks of a :class:`Span` in their order.

    ``size_bytes`` is the length of the whole plaintext, from a source that is trusted: it says which chunk is last.
    """

    def __init__(self, key: bytes, size_bytes: int, span: Span) -> None:
        self._cipher = AESGCM(key)
        self._size_bytes = size_bytes
        self._last = _chunks(size_bytes) - 1
        self._number = span.first_chunk
        self._end = span.first_chunk + span.chunks
        self._held = bytearray()

    def update(self, data: Data) -> bytes:
        """Append ciphertext; returns the plaintext of the chunks that are complete. Raises Tampered."""
        opened = []
        self._held += data
        with memoryview(self._held) as view:
            taken = 0
            while self._number < self._end and len(view) - taken >= self._sealed_chunk_bytes():
                end = taken + self._sealed_chunk_bytes()
                opened.append(self._open(view[taken:end]))
                taken = end
        del self._held[:taken]
        if self._held and self._number == self._end:
            raise Tampered
        return b"".join(opened)

    def finish(self) -> None:
        """Raises Tampered if a chunk is missing."""
        if self._number < self._end:
            raise Tampered

    def _sealed_chunk_bytes(self) -> int:
        if self._number < self._last:
            return SEALED_CHUNK_BYTES
        return self._size_bytes - self._last * CHUNK_BYTES + TAG_BYTES

    def _open(self, chunk: memoryview) -> bytes:
        try:
            opened = self._cipher.decrypt(_nonce(self._number, self._number == self._last), chunk, None)
        except InvalidTag:
            raise Tampered from None
        self._number += 1
        return opened


def seal(key: bytes, data: Data) -> bytes:
    """The ciphertext of bytes at hand."""
    sealer = Sealer(key)
    return sealer.update(data) + sealer.finish()


def open_span(key: bytes, size_bytes: int, span: Span, sealed: Data, length_bytes: int) -> bytes:
    """A range out of the ciphertext of its span. Raises Tampered."""
    opener = Opener(key, size_bytes, span)
    opened = opener.update(sealed)
    opener.finish()
    return opened[span.skip_bytes : span.skip_bytes + length_bytes]


def _chunks(size_bytes: int) -> int:
    return max(1, -(-size_bytes // CHUNK_BYTES))


def _nonce(number: int, last: bool) -> bytes:
    return bytes(7) + number.to_bytes(4, "big") + bytes((last,))
