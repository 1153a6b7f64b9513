"""Blobs as files of a local file system: ``<root>/<epoch, 8 hex>/<2 hex>/<blob id>``.

This is the asynchronous half; what touches the disk is in :mod:`gateway.blobs.volume` and
:mod:`gateway.blobs.file_writer` and runs in bounded threads. Reading and writing have their own, so that a slow
fsync does not stall answers that come out of the page cache.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from gateway.blobs.digest import Digester
from gateway.blobs.directories import SHARDS, probe_directory, shard_of
from gateway.blobs.file_writer import FileWriter
from gateway.blobs.group_sync import GroupSync
from gateway.blobs.os_errors import translated
from gateway.blobs.protocol import EPOCH_HEX_DIGITS, BlobDescription, BlobReader, BlobStat, check_blob_id
from gateway.blobs.readers import SMALL_BYTES, BytesReader, FileReader, read_exactly
from gateway.blobs.volume import Volume
from gateway.errors import StorageError

P = ParamSpec("P")
T = TypeVar("T")


class FileStore:
    """A BlobStore, CopyingStore, FileBackedStore, DescribingStore, EpochRemovingStore, LocatedStore and
    ProbedStore.

    ``threads`` bounds reading and writing each. Below ``free_space_floor_bytes`` writes are refused; 0 turns that
    off. ``unnamed_files`` and ``attributes`` override what the file system is found to be capable of. The constructor
    blocks: it creates the root, removes the temporary files of dead processes and tries what works. Raises OSError.
    """

    def __init__(
        self,
        root: Path,
        *,
        name: str,
        threads: int = 8,
        free_space_floor_bytes: int = 0,
        unnamed_files: bool | None = None,
        attributes: bool | None = None,
    ) -> None:
        self.name = name
        self._root = root.absolute()
        self._volume = Volume(root, free_space_floor_bytes, unnamed_files=unnamed_files, attributes=attributes)
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix=f"blobs-{name}-read")
        self._writers = ThreadPoolExecutor(threads, thread_name_prefix=f"blobs-{name}-write")
        self._synchroniser = ThreadPoolExecutor(1, thread_name_prefix=f"blobs-{name}-sync")
        self._sync = GroupSync(self._synchroniser)

    def create(self, blob_id: str, digester: Digester) -> FileWriter:
        """See BlobStore. Entering the context raises StorageError (InsufficientStorage) below the floor."""
        return FileWriter(self._volume, self._writers, self._sync, blob_id, digester)

    async def copy(self, source_blob_id: str, target_blob_id: str, description: BlobDescription) -> None:
        """See CopyingStore: shared blocks where the file system has them, else a hard link, else bytes."""
        check_blob_id(source_blob_id)
        async with self.create(target_blob_id, Digester(())) as writer:
            await writer.finish_copy(source_blob_id, description)

    async def open(self, blob_id: str, offset_bytes: int, length_bytes: int) -> BlobReader:
        """See BlobStore."""
        if offset_bytes < 0 or length_bytes < 0:
            raise ValueError("a range has no negative numbers")
        return await self._run(self._readers, self._open, blob_id, offset_bytes, length_bytes)

    async def open_file(self, blob_id: str) -> int:
        """See FileBackedStore."""
        fd, _ = await self._run(self._readers, self._volume.open, blob_id)
        return fd

    async def stat(self, blob_id: str) -> BlobStat | None:
        """See BlobStore."""
        return await self._run(self._readers, self._volume.stat, blob_id)

    async def describe(self, blob_id: str) -> BlobDescription | None:
        """See DescribingStore."""
        return await self._run(self._readers, self._volume.describe, blob_id)

    async def delete_many(self, blob_ids: Sequence[str]) -> None:
        """See BlobStore."""
        touched = await self._run(self._writers, lambda: {self._volume.unlink(blob_id) for blob_id in blob_ids})
        await asyncio.gather(*(self._sync.synchronise(directory) for directory in touched if directory is not None))

    async def quarantine(self, blob_id: str) -> None:
        """See BlobStore."""
        await self._run(self._writers, self._volume.quarantine, check_blob_id(blob_id))

    async def purge_quarantine(self, older_than_seconds: float) -> int:
        """See BlobStore."""
        return await self._run(self._writers, self._volume.purge_quarantine, older_than_seconds)

    async def epochs(self) -> Sequence[int]:
        """See BlobStore: the epochs that have a directory, even an empty one."""
        return await self._run(self._readers, self._volume.directories.epochs)

    async def list_epoch(self, epoch: int) -> AsyncIterator[BlobStat]:
        """See BlobStore; one directory at a time is in memory."""
        for shard in SHARDS:
            for blob in await self._run(self._readers, self._volume.list_shard, epoch, shard):
                yield blob

    async def remove_epoch(self, epoch: int) -> bool:
        """See EpochRemovingStore."""
        return await self._run(self._writers, self._volume.remove_epoch, epoch)

    def path(self, blob_id: str) -> Path:
        """See LocatedStore."""
        return self._root / check_blob_id(blob_id)[:EPOCH_HEX_DIGITS] / shard_of(blob_id) / blob_id

    async def probe(self) -> None:
        """See ProbedStore: the directory is there and can be written to. A full disk is no reason not to read."""
        await asyncio.to_thread(probe_directory, self._root)

    async def check(self) -> None:
        """See BlobStore: writes and synchronises a small file."""
        await self._run(self._writers, self._volume.check)

    async def close(self) -> None:
        """Wait for running jobs and let go of threads and descriptors."""
        for executor in (self._readers, self._writers, self._synchroniser):
            await asyncio.to_thread(executor.shutdown)
        self._volume.directories.close()

    def _open(self, blob_id: str, offset_bytes: int, length_bytes: int) -> BlobReader:
        fd, size_bytes = self._volume.open(blob_id)
        try:
            if offset_bytes + length_bytes > size_bytes:
                raise StorageError("InternalError")
            if length_bytes > SMALL_BYTES:
                reader = FileReader(self._readers, fd, offset_bytes, length_bytes, size_bytes)
                fd = -1
                return reader
            return BytesReader(read_exactly(fd, offset_bytes, length_bytes), size_bytes)
        finally:
            if fd >= 0:
                os.close(fd)

    async def _run(self, executor: Executor, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with translated(FileNotFoundError):
            return await asyncio.wrap_future(executor.submit(job, *args, **kwargs))
