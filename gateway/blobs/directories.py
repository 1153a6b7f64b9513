"""The directories of a file store: ``<root>/<epoch, 8 hex>/<2 hex>/``, opened without following links, made durable.

Paths are built from checked blob ids only, relative to descriptors, and never from anything a client sent.
"""

import contextlib
import errno
import fcntl
import functools
import os
import sys
import threading
from pathlib import Path
from typing import Final

from gateway.blobs.protocol import EPOCH_HEX_DIGITS, check_blob_id

SHARDS: Final = tuple(f"{number:02x}" for number in range(256))

_MODE: Final = 0o700
_OPEN_DIRECTORIES: Final = 256  # at most this many descriptors stay open
_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Directory:
    """An open directory. The descriptor lives as long as somebody holds the object, so no thread sees it reused."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd: Final = fd

    def __del__(self) -> None:
        os.close(self.fd)

    def open(self, name: str) -> "Directory":
        """A directory inside this one. Raises FileNotFoundError, and OSError for a symbolic link."""
        return Directory(os.open(name, _FLAGS, dir_fd=self.fd))

    def make(self, name: str) -> None:
        """Create a directory inside this one unless it is there; durable after ``synchronise`` of this one."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, _MODE, dir_fd=self.fd)

    def synchronise(self) -> None:
        """Make the names in it durable."""
        synchronise(self.fd)


def synchronise(fd: int) -> None:
    """fsync, in the form that reaches the medium: macOS needs F_FULLFSYNC for that."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fsync(fd)


def probe_directory(path: Path) -> None:
    """Raise OSError unless this is a directory that may be written to. Asks, and writes nothing."""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    if not (path.is_dir() and os.access(path, os.R_OK | os.W_OK | os.X_OK)):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def make_root(path: Path) -> Directory:
    """Open the root of a store; it and its missing ancestors are created, durably."""
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    for directory in reversed(missing):
        directory.mkdir(_MODE, exist_ok=True)
        Directory(os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)).synchronise()
    # The operator may reach the root through a link; nothing inside it may be one.
    return Directory(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


class Directories:
    """The tree under a root. Every method blocks; safe to use from several threads."""

    def __init__(self, root: Directory) -> None:
        self.root: Final = root
        self._lock = threading.Lock()
        self._prepared: set[int] = set()
        self._open = functools.lru_cache(maxsize=_OPEN_DIRECTORIES)(self._open_afresh)

    def _open_afresh(self, epoch: str, shard: str | None) -> Directory:
        return self.root.open(epoch) if shard is None else self._open(epoch, None).open(shard)

    def of(self, blob_id: str) -> Directory:
        """Where a blob lies. Raises ValueError for a malformed id, FileNotFoundError if there is no such epoch."""
        check_blob_id(blob_id)
        return self._open(blob_id[:EPOCH_HEX_DIGITS], shard_of(blob_id))

    def prepare(self, epoch: int) -> None:
        """Make an epoch's directories, all at once and durably, before its first blob."""
        if epoch in self._prepared:
            return
        with self._lock:
            if epoch in self._prepared:
                return
            name = epoch_name(epoch)
            self.root.make(name)
            directory = self.root.open(name)
            for shard in SHARDS:
                directory.make(shard)
            directory.synchronise()
            self.root.synchronise()
            self._prepared.add(epoch)

    def epochs(self) -> list[int]:
        """The epochs that have a directory, in order."""
        with os.scandir(self.root.fd) as entries:
            return sorted(
                int(entry.name, 16)
                for entry in entries
                if len(entry.name) == EPOCH_HEX_DIGITS
                and all(digit in "0123456789abcdef" for digit in entry.name)
                and entry.is_dir(follow_symlinks=False)
            )

    def shard(self, epoch: int, shard: str) -> Directory:
        """One of an epoch's directories, for a walk: it does not enter the cache. Raises FileNotFoundError."""
        return self.root.open(epoch_name(epoch)).open(shard)

    def remove(self, epoch: int) -> bool:
        """Remove a dead epoch's empty directories, durably; False if one holds something."""
        name = epoch_name(epoch)
        try:
            directory = self.root.open(name)
        except FileNotFoundError:
            return True
        with self._lock:
            self._prepared.discard(epoch)
            try:
                for shard in SHARDS:
                    with contextlib.suppress(FileNotFoundError):
                        os.rmdir(shard, dir_fd=directory.fd)
                os.rmdir(name, dir_fd=self.root.fd)
            except OSError:
                return False
            finally:
                self._open.cache_clear()  # it may hold directories that are gone
        self.root.synchronise()
        return True

    def close(self) -> None:
        """Let go of the cached directories."""
        self._open.cache_clear()


def epoch_name(epoch: int) -> str:
    """The directory name of an epoch."""
    return f"{epoch:0{EPOCH_HEX_DIGITS}x}"


def shard_of(blob_id: str) -> str:
    """The directory name below the epoch: the two digits after it."""
    return blob_id[EPOCH_HEX_DIGITS : EPOCH_HEX_DIGITS + 2]
