"""One blob on its way into a file store: the write protocol of DESIGN §6, step by step.

Write and hash; description; fsync(file); link to the final name; fsync(directory). The order is the promise: a name
never points to bytes that are not durable, and ``finish`` never returns before the name is. Any error discards the
blob; an fsync is never repeated, because after a failure the kernel has forgotten what was lost.
"""

import contextlib
import errno
import fcntl
import os
import sys
from concurrent.futures import Executor
from types import TracebackType
from typing import Final

from gateway.blobs.digest import Digester
from gateway.blobs.directories import Directory, synchronise
from gateway.blobs.group_sync import GroupSync
from gateway.blobs.os_errors import storage_error, translated
from gateway.blobs.protocol import BlobDescription, epoch_of
from gateway.blobs.serial import Serial
from gateway.blobs.temporary import TemporaryFile
from gateway.blobs.volume import Volume
from gateway.telemetry.failpoints import failpoint, failpoint_async

PIECE_BYTES: Final = 256 * 1024
"""Smaller pieces are gathered up to this size before they go to a thread."""

INLINE_HASH_BYTES: Final = 64 * 1024
"""Up to this size hashing takes less time than the way to a thread and back."""

LINK_MIN_BYTES: Final = 1024 * 1024
"""Smaller blobs are copied byte by byte: it takes as many fsyncs as a hard link and its sidecar."""

_FICLONE: Final = 0x40049409  # linux/fs.h; in fcntl since Python 3.12
_COPY_BYTES: Final = 64 * 1024 * 1024
_NO_CLONE: Final = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS})
_NO_LINK: Final = frozenset({errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.EACCES})


class FileWriter:
    """A BlobWriter and its context. At most two pieces are in memory: one at the disk, one being gathered."""

    def __init__(self, volume: Volume, executor: Executor, sync: GroupSync, blob_id: str, digester: Digester) -> None:
        self._volume = volume
        self._sync = sync
        self._blob_id = blob_id
        self._epoch = epoch_of(blob_id)
        self._digester = digester
        self._serial = Serial(executor)
        self._buffer = bytearray()
        self._hashed_bytes = 0  # of the buffer
        self._borrowing = False  # the running job reads the caller's own memory
        self._error: Exception | None = None
        self._file: TemporaryFile | None = None
        self._directory: Directory | None = None
        self._names: list[str] = []  # what was linked
        self._finished = False

    async def __aenter__(self) -> "FileWriter":
        if self._volume.free_space.is_stale:
            self._serial.start(self._volume.free_space.check)
            await self._settle()
        else:
            self._volume.free_space.check()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._finished:
            await self._serial.close(self._discard)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append; see BlobWriter."""
        size_bytes = data.nbytes if isinstance(data, memoryview) else len(data)
        if self._borrowing:
            await self._settle()
        if size_bytes < PIECE_BYTES:
            self._buffer += data
            if len(self._buffer) < PIECE_BYTES:
                return
            await self._settle()
            self._serial.start(self._absorb, *self._take_buffer())
        else:
            await self._settle()
            self._serial.start(self._absorb, *self._take_buffer(), data)
            self._borrowing = True

    async def flush(self) -> None:
        """See BlobWriter."""
        await self._settle()
        if len(self._buffer) - self._hashed_bytes > INLINE_HASH_BYTES:
            self._serial.start(self._absorb, *self._take_buffer())
            await self._settle()
        elif self._hashed_bytes < len(self._buffer):
            self._hash(self._buffer, self._hashed_bytes)
            self._hashed_bytes = len(self._buffer)

    async def finish(self, description: BlobDescription) -> None:
        """See BlobWriter."""
        await self._settle()
        self._serial.start(self._publish, *self._take_buffer(), description)
        await self._settle()
        await self._make_durable()

    async def finish_copy(self, source_blob_id: str, description: BlobDescription) -> None:
        """Instead of write and finish: make the blob a copy of another one. Raises FileNotFoundError."""
        await self._settle()
        self._serial.start(self._publish_copy, source_blob_id, description)
        await self._settle(missing_passes=True)
        await self._make_durable()

    async def _make_durable(self) -> None:
        with translated():
            await self._sync.synchronise(self._home)
            await failpoint_async("put.after_dirsync")
        self._finished = True

    def _take_buffer(self) -> tuple[bytearray, int]:
        taken = self._buffer, self._hashed_bytes
        self._buffer, self._hashed_bytes = bytearray(), 0
        return taken

    async def _settle(self, *, missing_passes: bool = False) -> None:
        """Wait for the running job. An error is final: every later call raises it again."""
        if self._error is not None:
            raise self._error
        try:
            await self._serial.result()
        except OSError as error:
            if missing_passes and isinstance(error, FileNotFoundError):
                self._error = error
            else:
                self._error = storage_error(error)
            raise self._error from error
        except Exception as error:
            self._error = error
            raise
        self._borrowing = False

    @property
    def _home(self) -> Directory:
        if self._directory is None:
            raise RuntimeError("the blob has no file yet")
        return self._directory

    # What follows runs in a thread, never two at a time.

    def _hash(self, data: bytearray, skip_bytes: int) -> None:
        with memoryview(data) as view, view[skip_bytes:] as rest:
            self._digester.update(rest)

    def _open(self) -> TemporaryFile:
        if self._file is None:
            self._volume.directories.prepare(self._epoch)
            self._directory = self._volume.directories.of(self._blob_id)
            self._file = self._volume.files.open(self._directory)
        return self._file

    def _absorb(self, buffer: bytearray, hashed_bytes: int, data: bytes | bytearray | memoryview = b"") -> None:
        self._volume.free_space.check()
        file = self._open()
        if hashed_bytes < len(buffer):
            self._hash(buffer, hashed_bytes)
        if buffer:
            file.write(buffer)
        if data:
            self._digester.update(data)
            file.write(data)
        failpoint("put.mid_body")

    def _publish(self, buffer: bytearray, hashed_bytes: int, description: BlobDescription) -> None:
        self._absorb(buffer, hashed_bytes)
        failpoint("put.after_write")
        self._seal(self._open(), description)

    def _publish_copy(self, source_blob_id: str, description: BlobDescription) -> None:
        source, size_bytes = self._volume.open(source_blob_id)
        try:
            file = self._open()
            if not _clone(source, file.fd):
                if size_bytes >= LINK_MIN_BYTES and self._link(source_blob_id, description):
                    file.close()
                    return
                _copy(source, file, size_bytes)
        finally:
            os.close(source)
        failpoint("put.after_write")
        self._seal(file, description)

    def _link(self, source_blob_id: str, description: BlobDescription) -> bool:
        """Give the source's file a second name; False where that is impossible.

        Blobs never change, so two names may share one file, and deleting one leaves the other. They also share the
        attribute, which describes the source: the second name gets a sidecar.
        """
        directory = self._home
        source_directory = self._volume.directories.of(source_blob_id)  # held, or its descriptor might be reused
        sidecar = self._volume.descriptions.write_sidecar(directory, self._blob_id, description)
        self._names.append(sidecar)
        try:
            os.link(
                source_blob_id,
                self._blob_id,
                src_dir_fd=source_directory.fd,
                dst_dir_fd=directory.fd,
                follow_symlinks=False,
            )
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            os.unlink(sidecar, dir_fd=directory.fd)
            self._names.remove(sidecar)
            return False
        self._names.append(self._blob_id)
        failpoint("put.after_link")
        return True

    def _seal(self, file: TemporaryFile, description: BlobDescription) -> None:
        """Description, fsync, name: the part in which the order matters."""
        directory = self._home
        attached = self._volume.descriptions.attach(file, description)
        synchronise(file.fd)
        failpoint("put.after_fsync")
        if not attached:
            self._names.append(self._volume.descriptions.write_sidecar(directory, self._blob_id, description))
        file.link(directory, self._blob_id)
        self._names.append(self._blob_id)
        failpoint("put.after_link")
        file.close()

    def _discard(self) -> None:
        """Leave nothing behind; what cannot be removed now, the sweeper finds when the epoch is dead."""
        if self._file is not None:
            self._file.close()
        for name in reversed(self._names):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._home.fd)


def _clone(source: int, target: int) -> bool:
    """Share the source's blocks (btrfs, XFS, bcachefs); False where the file system cannot."""
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _NO_CLONE:
            return False
        raise
    return True


def _copy(source: int, target: TemporaryFile, size_bytes: int) -> None:
    """Copy the bytes, inside the kernel where it can. Raises OSError for a source that is shorter than it was."""
    copied = 0
    while copied < size_bytes:
        count = _copy_some(source, target, copied, min(size_bytes - copied, _COPY_BYTES))
        if count == 0:
            raise OSError(errno.EIO, "the source became shorter")
        copied += count


def _copy_some(source: int, target: TemporaryFile, offset_bytes: int, count_bytes: int) -> int:
    if sys.platform == "linux":
        try:
            return os.copy_file_range(source, target.fd, count_bytes, offset_src=offset_bytes)
        except OSError as error:
            if error.errno not in _NO_CLONE:
                raise
    data = os.pread(source, min(count_bytes, PIECE_BYTES), offset_bytes)
    target.write(data)
    return len(data)
