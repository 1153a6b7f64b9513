"""Encryption between whoever writes and reads plaintext and a store, which sees ciphertext only.

Works with any store. Encrypting and decrypting large pieces happen in bounded threads, overlapped with the store's own
reading and writing.
"""

from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from gateway.blobs.digest import Digester
from gateway.blobs.protocol import BlobDescription, BlobReader, BlobStore, BlobWriter
from gateway.blobs.readers import BytesReader
from gateway.blobs.serial import Serial
from gateway.encryption.stream import Opener, Sealer, Span, Tampered, open_span, sealed_bytes
from gateway.errors import StorageError

PIECE_BYTES: Final = 256 * 1024
"""Smaller pieces are gathered up to this size before they go to a thread."""

INLINE_BYTES: Final = 64 * 1024
"""Up to this size hashing and encrypting take less time than the way to a thread and back."""

_log = structlog.get_logger(__name__)


class BlobSource(Protocol):
    """Where ranges of blobs are read from: a store, or one with decryption in between."""

    async def open(self, blob_id: str, offset_bytes: int, length_bytes: int) -> BlobReader: ...


@asynccontextmanager
async def create_encrypted(
    store: BlobStore, executor: Executor, blob_id: str, digester: Digester, stream_key: bytes
) -> AsyncIterator[BlobWriter]:
    """``store.create`` for plaintext: ``digester`` sees it, the store gets ciphertext. Raises StorageError."""
    async with store.create(blob_id, Digester(())) as writer:
        yield _EncryptingWriter(writer, executor, digester, Sealer(stream_key))


class _EncryptingWriter:
    """A BlobWriter. At most two pieces of plaintext are in memory, and one of ciphertext."""

    def __init__(self, writer: BlobWriter, executor: Executor, digester: Digester, sealer: Sealer) -> None:
        self._writer = writer
        self._serial = Serial(executor)
        self._digester = digester
        self._sealer = sealer
        self._buffer = bytearray()
        self._borrowing = False  # the running job reads the caller's own memory

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """See BlobWriter."""
        size_bytes = data.nbytes if isinstance(data, memoryview) else len(data)
        if self._borrowing:
            await self._settle()
        if size_bytes < PIECE_BYTES:
            self._buffer += data
            if len(self._buffer) >= PIECE_BYTES:
                await self._settle()
                self._serial.start(self._absorb, self._take_buffer())
        else:
            await self._settle()
            self._serial.start(self._absorb, self._take_buffer(), data)
            self._borrowing = True

    async def flush(self) -> None:
        """See BlobWriter."""
        await self._settle()
        buffer = self._take_buffer()
        if len(buffer) <= INLINE_BYTES:
            await self._forward(self._absorb(buffer))
        else:
            self._serial.start(self._absorb, buffer)
            await self._settle()

    async def finish(self, description: BlobDescription) -> None:
        """See BlobWriter."""
        await self.flush()
        await self._forward(self._sealer.finish())
        await self._writer.finish(description)

    async def _settle(self) -> None:
        sealed: bytes | None = await self._serial.result()
        self._borrowing = False
        if sealed is not None:
            await self._forward(sealed)

    async def _forward(self, sealed: bytes) -> None:
        if sealed:
            await self._writer.write(sealed)

    def _take_buffer(self) -> bytearray:
        taken, self._buffer = self._buffer, bytearray()
        return taken

    def _absorb(self, buffer: bytearray, data: bytes | bytearray | memoryview = b"") -> bytes:
        self._digester.update(buffer)
        self._digester.update(data)
        return self._sealer.update(buffer) + self._sealer.update(data)


@dataclass(frozen=True, slots=True)
class EncryptedBlob:
    """A BlobSource of one encrypted blob: offsets, lengths and sizes are those of the plaintext, ``size_bytes`` long.

    ``open`` raises StorageError (InternalError) for a blob of another size, and for bytes that were tampered with.
    """

    source: BlobSource
    executor: Executor
    stream_key: bytes = field(repr=False)
    size_bytes: int

    async def open(self, blob_id: str, offset_bytes: int, length_bytes: int) -> BlobReader:
        """See BlobStore."""
        if not length_bytes:
            return BytesReader(b"", self.size_bytes)
        if offset_bytes + length_bytes > self.size_bytes:
            raise StorageError("InternalError")
        span = Span.of(self.size_bytes, offset_bytes, length_bytes)
        reader = await self.source.open(blob_id, span.offset_bytes, span.length_bytes)
        if reader.blob_size_bytes != sealed_bytes(self.size_bytes):
            await reader.close()
            raise StorageError("InternalError")
        sealed: bytes | None = getattr(reader, "content", None)
        if sealed is None:
            return _DecryptingReader(self, blob_id, reader, span, length_bytes)
        await reader.close()
        try:
            content = open_span(self.stream_key, self.size_bytes, span, sealed, length_bytes)
        except Tampered:
            raise tampered(blob_id) from None
        return BytesReader(content, self.size_bytes)


class _DecryptingReader:
    """A BlobReader that decrypts one piece while the one before is on its way to the client."""

    def __init__(self, blob: EncryptedBlob, blob_id: str, reader: BlobReader, span: Span, length_bytes: int) -> None:
        self.size_bytes = length_bytes
        self.blob_size_bytes = blob.size_bytes
        self._blob_id = blob_id
        self._reader = reader
        self._serial = Serial(blob.executor)
        self._opener = Opener(blob.stream_key, blob.size_bytes, span)
        self._skip_bytes = span.skip_bytes
        self._left_bytes = length_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for sealed in self._reader:
                piece = await self._opened()
                self._serial.start(self._opener.update, sealed)
                if piece:
                    yield piece
            piece = await self._opened()
            self._opener.finish()
        except Tampered:
            raise tampered(self._blob_id) from None
        if piece:
            yield piece

    async def close(self) -> None:
        """See BlobReader."""
        await self._reader.close()

    async def _opened(self) -> bytes:
        """What the running job decrypted of the range."""
        opened: bytes = await self._serial.result() or b""
        wanted = opened[self._skip_bytes : self._skip_bytes + self._left_bytes]
        self._skip_bytes -= min(self._skip_bytes, len(opened))
        self._left_bytes -= len(wanted)
        return wanted


def tampered(blob_id: str) -> StorageError:
    """To be raised where bytes do not open under the key of their row."""
    _log.error("blob_tampered", blob_id=blob_id)
    return StorageError("InternalError")
