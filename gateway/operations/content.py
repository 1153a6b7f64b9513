"""An object's bytes, wherever they are: in the row, in one blob, or in the parts of a manifest."""

from collections.abc import AsyncIterator, Sequence

from gateway.blobs.protocol import BlobReader, BlobStore
from gateway.blobs.readers import BytesReader, FileReader, Segment
from gateway.errors import StorageError
from gateway.metadata.records import ObjectRecord
from gateway.operations.services import Services


class ManifestReader:
    """A reader over consecutive ranges of part blobs, of which one is open at a time."""

    def __init__(
        self, store: BlobStore, ranges: Sequence[tuple[str, int, int]], first: BlobReader, object_size_bytes: int
    ) -> None:
        self.size_bytes = sum(length for _, _, length in ranges)
        self.blob_size_bytes = object_size_bytes
        self._store = store
        self._later = ranges[1:]
        self._current = first

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for reader in self._readers():
            async for piece in reader:
                yield piece

    async def segments(self) -> AsyncIterator[Segment]:
        """The parts as they are, in place of iteration: files where they are files."""
        async for reader in self._readers():
            if isinstance(reader, FileReader):
                yield reader
                continue
            async for piece in reader:
                yield piece

    async def _readers(self) -> AsyncIterator[BlobReader]:
        yield self._current
        for blob_id, offset, length in self._later:
            await self._current.close()
            try:
                self._current = await self._store.open(blob_id, offset, length)
            except FileNotFoundError as error:
                # The answer has begun; the edge breaks the connection rather than end it short.
                raise StorageError("InternalError") from error
            yield self._current

    async def close(self) -> None:
        """Release the part being read."""
        await self._current.close()


def part_ranges(record: ObjectRecord, offset_bytes: int, length_bytes: int) -> list[tuple[str, int, int]]:
    """The (blob id, offset, length) of each part that a range of the object touches."""
    ranges = []
    start = 0
    end = offset_bytes + length_bytes
    for blob_id, size in zip(record.part_blobs, record.part_sizes, strict=True):
        if start >= end:
            break
        first = max(offset_bytes - start, 0)
        last = min(end - start, size)
        if first < last:
            ranges.append((blob_id, first, last - first))
        start += size
    return ranges


async def open_content(services: Services, record: ObjectRecord, offset_bytes: int, length_bytes: int) -> BlobReader:
    """Open a range of an object's bytes. Raises FileNotFoundError if a blob is gone: the row is to be read again."""
    if record.content is not None:
        return BytesReader(record.content[offset_bytes : offset_bytes + length_bytes], record.size_bytes)
    if length_bytes == 0:
        return BytesReader(b"", record.size_bytes)
    store = services.blobs.named(record.backend)
    if record.blob_id is not None:
        return await store.open(record.blob_id, offset_bytes, length_bytes)
    ranges = part_ranges(record, offset_bytes, length_bytes)
    return ManifestReader(store, ranges, await store.open(*ranges[0]), record.size_bytes)
