"""Blobs in memory: the fast double for tests and a store for throw-away servers. Bounded, and gone with the process."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType

from gateway.blobs.digest import Digester
from gateway.blobs.protocol import BlobDescription, BlobReader, BlobStat, check_blob_id, epoch_of
from gateway.blobs.readers import BytesReader
from gateway.errors import StorageError


@dataclass(frozen=True, slots=True)
class _Blob:
    data: bytes
    description: BlobDescription
    modified_seconds: float


class MemoryWriter:
    """A BlobWriter and its context."""

    def __init__(self, store: "MemoryStore", blob_id: str, digester: Digester) -> None:
        self._store = store
        self._blob_id = check_blob_id(blob_id)
        self._digester = digester
        self._data = bytearray()
        self._finished = False

    async def __aenter__(self) -> "MemoryWriter":
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._finished:
            self._store.release(len(self._data))

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """See BlobWriter."""
        self._store.reserve(data.nbytes if isinstance(data, memoryview) else len(data))
        self._data += data
        self._digester.update(data)

    async def flush(self) -> None:
        """See BlobWriter; the digests are always final."""

    async def finish(self, description: BlobDescription) -> None:
        """See BlobWriter."""
        self._store.add(self._blob_id, bytes(self._data), description)
        self._finished = True


class MemoryStore:
    """A BlobStore, CopyingStore, DescribingStore and EpochRemovingStore that holds at most ``max_bytes``."""

    def __init__(self, *, name: str, max_bytes: int) -> None:
        self.name = name
        self._max_bytes = max_bytes
        self._used_bytes = 0
        self._blobs: dict[str, _Blob] = {}
        self._quarantine: dict[str, tuple[float, _Blob]] = {}

    def create(self, blob_id: str, digester: Digester) -> MemoryWriter:
        """See BlobStore."""
        return MemoryWriter(self, blob_id, digester)

    async def copy(self, source_blob_id: str, target_blob_id: str, description: BlobDescription) -> None:
        """See CopyingStore."""
        source = self._blob(source_blob_id)
        self.reserve(len(source.data))
        try:
            self.add(check_blob_id(target_blob_id), source.data, description)
        except BaseException:
            self.release(len(source.data))
            raise

    async def open(self, blob_id: str, offset_bytes: int, length_bytes: int) -> BlobReader:
        """See BlobStore."""
        if offset_bytes < 0 or length_bytes < 0:
            raise ValueError("a range has no negative numbers")
        data = self._blob(blob_id).data
        if offset_bytes + length_bytes > len(data):
            raise StorageError("InternalError")
        return BytesReader(data[offset_bytes : offset_bytes + length_bytes], len(data))

    async def stat(self, blob_id: str) -> BlobStat | None:
        """See BlobStore."""
        blob = self._blobs.get(check_blob_id(blob_id))
        return None if blob is None else BlobStat(blob_id, len(blob.data), blob.modified_seconds)

    async def describe(self, blob_id: str) -> BlobDescription | None:
        """See DescribingStore."""
        return self._blob(blob_id).description

    async def delete_many(self, blob_ids: Sequence[str]) -> None:
        """See BlobStore."""
        for blob_id in blob_ids:
            blob = self._blobs.pop(check_blob_id(blob_id), None)
            if blob is not None:
                self.release(len(blob.data))

    async def quarantine(self, blob_id: str) -> None:
        """See BlobStore."""
        self._quarantine[blob_id] = time.time(), self._blob(blob_id)
        del self._blobs[blob_id]

    async def purge_quarantine(self, older_than_seconds: float) -> int:
        """See BlobStore."""
        limit_seconds = time.time() - older_than_seconds
        old = [blob_id for blob_id, (since_seconds, _) in self._quarantine.items() if since_seconds <= limit_seconds]
        for blob_id in old:
            self.release(len(self._quarantine.pop(blob_id)[1].data))
        return len(old)

    async def epochs(self) -> Sequence[int]:
        """See BlobStore."""
        return sorted({epoch_of(blob_id) for blob_id in self._blobs})

    async def list_epoch(self, epoch: int) -> AsyncIterator[BlobStat]:
        """See BlobStore."""
        for blob_id, blob in list(self._blobs.items()):
            if epoch_of(blob_id) == epoch:
                yield BlobStat(blob_id, len(blob.data), blob.modified_seconds)

    async def remove_epoch(self, epoch: int) -> bool:
        """See EpochRemovingStore."""
        return all(epoch_of(blob_id) != epoch for blob_id in self._blobs)

    async def probe(self) -> None:
        """See ProbedStore."""

    async def check(self) -> None:
        """See BlobStore."""
        if self._used_bytes >= self._max_bytes:
            raise StorageError("InsufficientStorage")

    async def close(self) -> None:
        """Nothing to let go of: what it holds stays readable, as files would."""

    def clear(self) -> None:
        """Forget everything, for a test that begins."""
        for blob in (*self._blobs.values(), *(blob for _, blob in self._quarantine.values())):
            self.release(len(blob.data))
        self._blobs.clear()
        self._quarantine.clear()

    def reserve(self, count_bytes: int) -> None:
        """Take room, for a writer. Raises StorageError (InsufficientStorage)."""
        if self._used_bytes + count_bytes > self._max_bytes:
            raise StorageError("InsufficientStorage")
        self._used_bytes += count_bytes

    def release(self, count_bytes: int) -> None:
        """Give room back, for a writer."""
        self._used_bytes -= count_bytes

    def add(self, blob_id: str, data: bytes, description: BlobDescription) -> None:
        """Publish, for a writer. An id that is taken is an internal error: nothing is ever overwritten."""
        if blob_id in self._blobs:
            raise StorageError("InternalError")
        self._blobs[blob_id] = _Blob(data, description, time.time())

    def _blob(self, blob_id: str) -> _Blob:
        try:
            return self._blobs[check_blob_id(blob_id)]
        except KeyError:
            raise FileNotFoundError(blob_id) from None
