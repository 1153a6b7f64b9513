"""Reading an object that is a list of immutable part blobs: multipart uploads and resumable ones."""

import bisect
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from gateway.blobs.encrypted import BlobSource
from gateway.blobs.protocol import BlobReader
from gateway.blobs.readers import FileReader, Segment
from gateway.errors import StorageError


@dataclass(frozen=True, slots=True)
class ManifestPart:
    """One part: where it is read from and how long it is according to the rows."""

    store: BlobSource
    blob_id: str
    size_bytes: int


async def open_manifest(parts: Sequence[ManifestPart], offset_bytes: int, length_bytes: int) -> BlobReader:
    """Open a range of the parts' concatenation.

    The first part is opened now, so that a missing one is noticed before an answer begins: FileNotFoundError. Later
    parts are opened when they are reached; one that is missing then, or any whose size is not that of its row, is
    StorageError (InternalError), as is a range past the end.
    """
    if offset_bytes < 0 or length_bytes < 0:
        raise ValueError("a range has no negative numbers")
    ends = list(itertools.accumulate(part.size_bytes for part in parts))
    size_bytes = ends[-1] if ends else 0
    end_bytes = offset_bytes + length_bytes
    if end_bytes > size_bytes:
        raise StorageError("InternalError")
    ranges = []
    if length_bytes:
        for index in range(bisect.bisect_right(ends, offset_bytes), bisect.bisect_left(ends, end_bytes) + 1):
            part, start = parts[index], ends[index] - parts[index].size_bytes
            first, last = max(offset_bytes, start) - start, min(end_bytes, ends[index]) - start
            if last > first:
                ranges.append(_Range(part, first, last - first))
    reader = await ranges[0].open() if ranges else None
    return _ManifestReader(reader, ranges[1:], length_bytes, size_bytes)


@dataclass(frozen=True, slots=True)
class _Range:
    part: ManifestPart
    offset_bytes: int
    length_bytes: int

    async def open(self) -> BlobReader:
        reader = await self.part.store.open(self.part.blob_id, self.offset_bytes, self.length_bytes)
        if reader.blob_size_bytes != self.part.size_bytes:
            await reader.close()
            raise StorageError("InternalError")
        return reader


class _ManifestReader:
    """A BlobReader over several; at most one part is open."""

    def __init__(
        self, reader: BlobReader | None, following: Sequence[_Range], size_bytes: int, blob_size_bytes: int
    ) -> None:
        self.size_bytes = size_bytes
        self.blob_size_bytes = blob_size_bytes
        self._reader = reader
        self._following = following

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
        if self._reader is None:
            return
        yield self._reader
        for following in self._following:
            await self.close()
            try:
                self._reader = await following.open()
            except FileNotFoundError as error:
                # The answer has begun; the edge breaks the connection rather than end it short.
                raise StorageError("InternalError") from error
            yield self._reader

    async def close(self) -> None:
        """Let go of the part that is open."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()
