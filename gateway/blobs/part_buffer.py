"""Bytes of one part on their way to a store: in memory while a budget lasts, else in a temporary file.

A part must be seekable, or its upload could not be repeated; and a hundred uploads at once must not fill the memory.
"""

import hashlib
import io
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO, Final

_READ_BYTES: Final = 1024 * 1024


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


class PartBuffer:
    """A seekable file of at most ``limit_bytes``. Blocks; raises OSError."""

    def __init__(self, budget: Budget, limit_bytes: int, directory: Path | None) -> None:
        self._budget = budget
        self._taken_bytes = limit_bytes if budget.take(limit_bytes) else 0
        self._limit_bytes = limit_bytes
        self.size_bytes = 0
        self.file: BinaryIO
        if self._taken_bytes:
            self.file = io.BytesIO()
        else:
            self.file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - closed by close()

    @property
    def room_bytes(self) -> int:
        """How much still fits."""
        return self._limit_bytes - self.size_bytes

    def md5(self) -> bytes:
        """The MD5 of everything; reads it."""
        self.file.seek(0)
        md5 = hashlib.md5(usedforsecurity=False)
        while piece := self.file.read(_READ_BYTES):
            md5.update(piece)
        return md5.digest()

    def write(self, data: memoryview) -> None:
        """Append; the caller keeps to ``room_bytes``."""
        self.file.write(data)
        self.size_bytes += data.nbytes

    def close(self) -> None:
        """Let go of the bytes; safe to repeat."""
        self.file.close()
        self._budget.give(self._taken_bytes)
        self._taken_bytes = 0
