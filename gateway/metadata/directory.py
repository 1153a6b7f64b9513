"""The data directory: made, checked and held by one gateway at a time.

``gateway.lock`` is an flock that lives exactly as long as the process that took it (and those it forked), so no crash
leaves it behind; the pid inside is only for the message a second gateway prints.
"""

import fcntl
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from gateway.errors import StartupError

LOCK_NAME: Final = "gateway.lock"


class DataDirectory:
    """A data directory that this process holds. Holding one is the permission to start Postgres in it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path: Final = path
        self._descriptor: int | None = descriptor

    @classmethod
    def hold(cls, path: Path) -> Self:
        """Make the directory if it is missing and lock it.

        Raises StartupError when it cannot be made or written, or when another process holds it (its pid is named).
        """
        path = path.absolute()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
            descriptor = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartupError(f"cannot use the data directory {path}: {_reason(error)}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            holder = f"process {pid}" if pid.isdigit() else "another process"
            raise StartupError(
                f"the data directory {path} is in use by {holder}: stop it, or choose another"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        return cls(path, descriptor)

    def release(self) -> None:
        """Let go; in a forked child this only closes the child's copy, the parent keeps its hold."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def write_private(path: Path, content: str) -> None:
    """Write a 0600 file so that a crash leaves the old content or the new, never a part."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
