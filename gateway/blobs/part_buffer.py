"""Bytes of one part on their way to a store: in memory while a budget lasts, else in a temporary file.

A part must be seekable, or its upload could not be repeated; and a hundred uploads at once must not fill the memory.
"""

import hashlib
import io
import mmap
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO, cast


class Budget:
    """So many bytes of memory, shared by all uploads to a store. Safe to use from several threads."""

    def __init__(self, size_bytes: int) -> None:
        self._free_bytes = size_bytes
        self._lock = threading.Lock()

    def take(self, count_bytes: int) -> bool:
        """Take room; False if there is not enough."""
        with self._lock:
            if count_bytes > self._free_bytes:
                return False
            self._free_bytes -= count_bytes
            return True

    def give(self, count_bytes: int) -> None:
        """Give room back."""
        with self._lock:
            self._free_bytes += count_bytes


class _Pages(io.RawIOBase):
    """A file in memory of its own, which goes back to the system when it is closed: what a heap holds for each of many
    threads, after parts of megabytes came and went, is several times the parts."""

    def __init__(self, limit_bytes: int) -> None:
        self._map = mmap.mmap(-1, limit_bytes)
        self._size_bytes = 0
        self._position_bytes = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        end = self._position_bytes + len(data)
        self._map[self._position_bytes : end] = data
        self._position_bytes = end
        self._size_bytes = max(self._size_bytes, end)
        return len(data)

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        count = min(len(buffer), self._size_bytes - self._position_bytes)
        with memoryview(self._map) as whole, whole[self._position_bytes : self._position_bytes + count] as piece:
            buffer[:count] = piece
        self._position_bytes += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position_bytes, io.SEEK_END: self._size_bytes}[whence]
        self._position_bytes = min(max(start + offset, 0), self._size_bytes)
        return self._position_bytes

    def close(self) -> None:
        if not self.closed:
            self._map.close()
        super().close()


class PartBuffer:
    """A seekable file of at most ``limit_bytes``, and its MD5. Blocks; raises OSError."""

    def __init__(self, budget: Budget, limit_bytes: int, directory: Path | None) -> None:
        self._budget = budget
        self._taken_bytes = limit_bytes if budget.take(limit_bytes) else 0
        self._limit_bytes = limit_bytes
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size_bytes = 0
        self.file: BinaryIO
        if self._taken_bytes:
            self.file = cast(BinaryIO, _Pages(limit_bytes))
        else:
            self.file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - closed by close()

    @property
    def room_bytes(self) -> int:
        """How much still fits."""
        return self._limit_bytes - self.size_bytes

    def md5(self) -> bytes:
        """The MD5 of everything."""
        return self._md5.digest()

    def write(self, data: memoryview) -> None:
        """Append; the caller keeps to ``room_bytes``."""
        self.file.write(data)
        self._md5.update(data)
        self.size_bytes += data.nbytes

    def close(self) -> None:
        """Let go of the bytes; safe to repeat."""
        self.file.close()
        self._budget.give(self._taken_bytes)
        self._taken_bytes = 0
