"""Files without a final name: unnamed ones (O_TMPFILE) where the system has them, else named ones in ``<root>/tmp``.

An unnamed file vanishes with its process. A named one is locked (flock) by the process that writes it, so that a
starting process removes exactly those of dead ones, even when several containers share the directory.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import sys
from typing import Final

from gateway.blobs.directories import Directory

DIRECTORY: Final = "tmp"

_MODE: Final = 0o600
_WRITE_BACK_BYTES: Final = 8 * 1024 * 1024
_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC
_UNSUPPORTED: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.EPERM, errno.EXDEV})


class TemporaryFile:
    """One file in the making. Every method blocks."""

    def __init__(self, fd: int, home: Directory, name: str | None) -> None:
        self.fd = fd
        self._home = home
        self._name = name
        self._written_bytes = 0
        self._written_back_bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append everything."""
        with memoryview(data) as view, view.cast("B") as rest:
            written = 0
            while written < len(rest):
                written += os.write(self.fd, rest[written:])
        self._written_bytes += written
        if self._written_bytes - self._written_back_bytes >= _WRITE_BACK_BYTES:
            self._start_write_back()

    def _start_write_back(self) -> None:
        """Let the disk begin while the rest arrives, so that fsync finds little left to do.

        On Linux the advice starts writing the range and drops none of it, because its pages are still dirty.
        """
        if sys.platform == "linux":
            count_bytes = self._written_bytes - self._written_back_bytes
            os.posix_fadvise(self.fd, self._written_back_bytes, count_bytes, os.POSIX_FADV_DONTNEED)
        self._written_back_bytes = self._written_bytes

    def link(self, directory: Directory, name: str) -> None:
        """Give it its final name. Raises FileExistsError: nothing is ever overwritten."""
        if self._name is None:
            os.link(f"/proc/self/fd/{self.fd}", name, dst_dir_fd=directory.fd, follow_symlinks=True)
        else:
            os.link(self._name, name, src_dir_fd=self._home.fd, dst_dir_fd=directory.fd, follow_symlinks=False)

    def close(self) -> None:
        """Let go of it; what was not linked is gone."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        if self._name is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._name, dir_fd=self._home.fd)
        os.close(fd)


class TemporaryFiles:
    """Makes temporary files on one file system. ``home`` is its ``tmp`` directory; blocks."""

    def __init__(self, home: Directory, *, unnamed: bool | None = None) -> None:
        self._home = home
        self._remove_abandoned()
        self.unnamed: Final = self._probe() if unnamed is None else unnamed

    def open(self, directory: Directory) -> TemporaryFile:
        """A new file that will be linked into ``directory``, which helps the file system to place it."""
        if self.unnamed:
            return TemporaryFile(os.open(".", _FLAGS | os.O_TMPFILE, _MODE, dir_fd=directory.fd), self._home, None)
        while True:
            name = secrets.token_hex(16)
            fd = os.open(name, _FLAGS | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _MODE, dir_fd=self._home.fd)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                removed = os.fstat(fd).st_nlink == 0
            except BlockingIOError:
                removed = True
            except BaseException:
                os.close(fd)
                raise
            if not removed:
                return TemporaryFile(fd, self._home, name)
            os.close(fd)  # a starting process took it for abandoned before it was locked

    def _probe(self) -> bool:
        """Whether an unnamed file can be made and linked here (the link also needs /proc)."""
        if not hasattr(os, "O_TMPFILE"):
            return False
        name = f"probe-{secrets.token_hex(8)}"
        try:
            fd = os.open(".", _FLAGS | os.O_TMPFILE, _MODE, dir_fd=self._home.fd)
            try:
                os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=self._home.fd, follow_symlinks=True)
                os.unlink(name, dir_fd=self._home.fd)
            finally:
                os.close(fd)
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return False
            raise
        return True

    def _remove_abandoned(self) -> None:
        with os.scandir(self._home.fd) as entries:
            names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        for name in names:
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._home.fd)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(name, dir_fd=self._home.fd)
                finally:
                    os.close(fd)
