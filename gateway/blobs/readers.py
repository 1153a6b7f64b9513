"""Readers of a range of one blob: of bytes already in memory, and of a file."""

import os
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from typing import Final, Union

from gateway.blobs.os_errors import storage_error
from gateway.blobs.serial import Serial
from gateway.errors import StorageError

SMALL_BYTES: Final = 256 * 1024
"""Ranges up to this size are read in the job that opens the file."""

PIECE_BYTES: Final = 512 * 1024


Segment = Union[bytes, "FileReader"]


class BytesReader:
    """A BlobReader of a range that is in memory: ``content``."""

    def __init__(self, data: bytes, blob_size_bytes: int) -> None:
        self.size_bytes = len(data)
        self.blob_size_bytes = blob_size_bytes
        self.content = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.content), PIECE_BYTES):
            yield self.content[start : start + PIECE_BYTES]

    async def close(self) -> None:
        """Nothing to let go of."""


class FileReader:
    """A BlobReader that reads one piece ahead in threads, and closes the descriptor with the last piece.

    It is also a range of an open file (``fileno``, ``offset_bytes``, ``size_bytes``), for a server that sends files.
    """

    def __init__(self, executor: Executor, fd: int, offset_bytes: int, length_bytes: int, blob_size_bytes: int) -> None:
        self.size_bytes = length_bytes
        self.blob_size_bytes = blob_size_bytes
        self._serial = Serial(executor)
        self._fd = fd
        self.offset_bytes = offset_bytes
        self._position_bytes = offset_bytes
        self._end_bytes = offset_bytes + length_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._read_ahead()
        for _ in range(0, self.size_bytes, PIECE_BYTES):
            try:
                piece: bytes = await self._serial.result()
            except OSError as error:
                raise storage_error(error) from error
            self._read_ahead()
            yield piece

    def fileno(self) -> int:
        """The descriptor, open until :meth:`close`. Raises ValueError after it."""
        if self._fd < 0:
            raise ValueError("the file is closed")
        return self._fd

    async def segments(self) -> AsyncIterator[Segment]:
        """The range as one piece, in place of iteration."""
        yield self

    async def close(self) -> None:
        """Let go of the file, after a read that is still running."""
        if self._fd >= 0:
            await self._serial.close(self._close)

    def _read_ahead(self) -> None:
        start, self._position_bytes = self._position_bytes, min(self._position_bytes + PIECE_BYTES, self._end_bytes)
        if start < self._end_bytes:
            self._serial.start(self._read, start, self._position_bytes)

    def _read(self, start_bytes: int, end_bytes: int) -> bytes:
        data = read_exactly(self._fd, start_bytes, end_bytes - start_bytes)
        if end_bytes == self._end_bytes:
            self._close()
        return data

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def read_exactly(fd: int, offset_bytes: int, length_bytes: int) -> bytes:
    """Read a range. Raises StorageError (InternalError) if the file ends before: never a short answer."""
    data = os.pread(fd, length_bytes, offset_bytes)
    if len(data) == length_bytes:
        return data
    pieces = [data]
    missing_bytes = length_bytes - len(data)
    while missing_bytes:
        data = os.pread(fd, missing_bytes, offset_bytes + length_bytes - missing_bytes)
        if not data:
            raise StorageError("InternalError")
        pieces.append(data)
        missing_bytes -= len(data)
    return b"".join(pieces)
