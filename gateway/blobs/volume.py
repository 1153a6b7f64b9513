"""One file system as a store of blobs: the blocking half of :mod:`gateway.blobs.file`, called in threads only."""

import contextlib
import os
import re
import stat
import threading
import time
from pathlib import Path
from typing import Final

from gateway.blobs.descriptions import SIDECAR_SUFFIX, Descriptions
from gateway.blobs.directories import SHARDS, Directories, Directory, make_root
from gateway.blobs.protocol import BlobDescription, BlobStat, check_blob_id, epoch_of
from gateway.blobs.temporary import DIRECTORY as TEMPORARY_DIRECTORY
from gateway.blobs.temporary import TemporaryFiles
from gateway.errors import StorageError

QUARANTINE_DIRECTORY: Final = "quarantine"

_FREE_SPACE_VALID_SECONDS: Final = 0.25
_QUARANTINED: Final = re.compile(r"(?P<since_seconds>\d{1,15})-(?P<blob_id>[0-9a-f]{32})(?P<sidecar>\.json)?", re.ASCII)
# O_NONBLOCK: opening a planted FIFO must not hang a thread; it changes nothing for a regular file.
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class FreeSpace:
    """Refuses writes while less than a floor is free, so that deletes and Postgres still have room."""

    def __init__(self, directory: Directory, floor_bytes: int) -> None:
        self._directory = directory
        self._floor_bytes = floor_bytes
        self._lock = threading.Lock()
        self._valid_until = float("-inf")
        self._free_bytes = 0

    @property
    def is_stale(self) -> bool:
        """Whether the next check asks the file system, and so may block."""
        return self._floor_bytes > 0 and time.monotonic() >= self._valid_until

    def check(self) -> None:
        """Raise StorageError (InsufficientStorage) below the floor; asks the file system a few times a second."""
        if not self._floor_bytes:
            return
        with self._lock:
            now = time.monotonic()
            if now >= self._valid_until:
                figures = os.statvfs(self._directory.fd)
                self._free_bytes = figures.f_bavail * figures.f_frsize
                self._valid_until = now + _FREE_SPACE_VALID_SECONDS
            if self._free_bytes < self._floor_bytes:
                raise StorageError("InsufficientStorage")


class Volume:
    """Everything known about one root. Raises OSError; its callers translate. Safe to use from several threads.

    ``unnamed_files`` and ``attributes`` override what is found out by trying (for tests of poorer file systems).
    """

    def __init__(
        self,
        root: Path,
        free_space_floor_bytes: int,
        *,
        unnamed_files: bool | None = None,
        attributes: bool | None = None,
    ) -> None:
        directory = make_root(root)
        directory.make(TEMPORARY_DIRECTORY)
        directory.make(QUARANTINE_DIRECTORY)
        directory.synchronise()
        self._quarantine: Final = directory.open(QUARANTINE_DIRECTORY)
        self.directories: Final = Directories(directory)
        self.files: Final = TemporaryFiles(directory.open(TEMPORARY_DIRECTORY), unnamed=unnamed_files)
        self.descriptions: Final = Descriptions(self.files, directory, attributes=attributes)
        self.free_space: Final = FreeSpace(directory, free_space_floor_bytes)

    def open(self, blob_id: str) -> tuple[int, int]:
        """A read-only descriptor and the size. Raises FileNotFoundError; OSError for anything but a regular file."""
        directory = self.directories.of(blob_id)  # held: the cache may drop it, and its descriptor with it, at any time
        fd = os.open(check_blob_id(blob_id), _READ_FLAGS, dir_fd=directory.fd)
        try:
            figures = os.fstat(fd)
            if not stat.S_ISREG(figures.st_mode):
                raise OSError("not a regular file")
        except BaseException:
            os.close(fd)
            raise
        return fd, figures.st_size

    def stat(self, blob_id: str) -> BlobStat | None:
        """Size and time of a blob, or None."""
        try:
            directory = self.directories.of(blob_id)
            figures = os.stat(blob_id, dir_fd=directory.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return BlobStat(blob_id, figures.st_size, figures.st_mtime) if stat.S_ISREG(figures.st_mode) else None

    def describe(self, blob_id: str) -> BlobDescription | None:
        """The description kept beside a blob. Raises FileNotFoundError."""
        fd, _ = self.open(blob_id)
        try:
            return self.descriptions.read(self.directories.of(blob_id), blob_id, fd)
        finally:
            os.close(fd)

    def unlink(self, blob_id: str) -> Directory | None:
        """Remove a blob's names; the directory to synchronise, or None if there was nothing."""
        try:
            directory = self.directories.of(blob_id)
        except FileNotFoundError:
            return None
        removed = None
        for name in (blob_id, blob_id + SIDECAR_SUFFIX):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory.fd)
                removed = directory
        return removed

    def list_shard(self, epoch: int, shard: str) -> list[BlobStat]:
        """The blobs in one of an epoch's directories; none if it is missing."""
        try:
            directory = self.directories.shard(epoch, shard)
        except FileNotFoundError:
            return []
        blobs = []
        with os.scandir(directory.fd) as entries:
            for entry in entries:
                try:
                    if epoch_of(entry.name) != epoch or not entry.is_file(follow_symlinks=False):
                        continue
                    figures = entry.stat(follow_symlinks=False)
                except (ValueError, FileNotFoundError):  # not a blob; deleted meanwhile
                    continue
                blobs.append(BlobStat(entry.name, figures.st_size, figures.st_mtime))
        return blobs

    def remove_epoch(self, epoch: int) -> bool:
        """Remove the directories of a dead epoch; False if it still has blobs."""
        if any(self.list_shard(epoch, shard) for shard in SHARDS):
            return False
        for shard in SHARDS:
            with contextlib.suppress(FileNotFoundError):
                directory = self.directories.shard(epoch, shard)
                for name in os.listdir(directory.fd):
                    if name.endswith(SIDECAR_SUFFIX):  # of a blob that was never linked
                        os.unlink(name, dir_fd=directory.fd)
        return self.directories.remove(epoch)

    def quarantine(self, blob_id: str) -> None:
        """Move a blob out of service, durably. Raises FileNotFoundError."""
        directory = self.directories.of(blob_id)
        target = f"{int(time.time())}-{blob_id}"
        os.rename(blob_id, target, src_dir_fd=directory.fd, dst_dir_fd=self._quarantine.fd)
        with contextlib.suppress(FileNotFoundError):
            os.rename(
                blob_id + SIDECAR_SUFFIX,
                target + SIDECAR_SUFFIX,
                src_dir_fd=directory.fd,
                dst_dir_fd=self._quarantine.fd,
            )
        self._quarantine.synchronise()
        directory.synchronise()

    def purge_quarantine(self, older_than_seconds: float) -> int:
        """Destroy what has been in quarantine for longer; the number of blobs."""
        limit_seconds = time.time() - older_than_seconds
        purged = 0
        for name in os.listdir(self._quarantine.fd):
            match = _QUARANTINED.fullmatch(name)
            if match is None or int(match["since_seconds"]) > limit_seconds:
                continue
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._quarantine.fd)
                purged += match["sidecar"] is None
        if purged:
            self._quarantine.synchronise()
        return purged

    def check(self) -> None:
        """Write, synchronise and drop a small file. Raises OSError or StorageError."""
        self.free_space.check()
        file = self.files.open(self.directories.root)
        try:
            file.write(b"\0" * 4096)
            os.fsync(file.fd)
        finally:
            file.close()
