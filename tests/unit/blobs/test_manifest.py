"""Ranges of an object that is a list of parts."""

import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.blobs.manifest import ManifestPart, open_manifest
from gateway.blobs.memory import MemoryStore
from gateway.errors import StorageError

from .support import put


async def make(pieces: list[bytes]) -> list[ManifestPart]:
    stores = [MemoryStore(name=name, max_bytes=1_000_000) for name in ("a", "b")]
    return [
        ManifestPart(stores[number % 2], await put(stores[number % 2], [piece]), len(piece))
        for number, piece in enumerate(pieces)
    ]


async def read(parts: list[ManifestPart], offset: int, length: int) -> bytes:
    reader = await open_manifest(parts, offset, length)
    try:
        assert reader.size_bytes == length
        assert reader.blob_size_bytes == sum(part.size_bytes for part in parts)
        return b"".join([piece async for piece in reader])
    finally:
        await reader.close()


@given(sizes=st.lists(st.integers(0, 20), max_size=8), borders=st.tuples(st.integers(0, 160), st.integers(0, 160)))
def test_every_range_equals_the_concatenation(sizes: list[int], borders: tuple[int, int]) -> None:
    pieces = [os.urandom(size) for size in sizes]
    whole = b"".join(pieces)
    start, end = sorted(min(border, len(whole)) for border in borders)

    async def scenario() -> bytes:
        return await read(await make(pieces), start, end - start)

    assert asyncio.run(scenario()) == whole[start:end]


async def test_range_past_the_end() -> None:
    parts = await make([b"abc", b"de"])
    for offset, length in ((0, 6), (6, 0), (5, 1)):
        with pytest.raises(StorageError, match="InternalError"):
            await open_manifest(parts, offset, length)
    with pytest.raises(ValueError, match="negative"):
        await open_manifest(parts, -1, 2)


async def test_missing_first_part_is_noticed_before_the_answer_begins() -> None:
    parts = await make([b"abc", b"de"])
    await parts[0].store.delete_many([parts[0].blob_id])
    with pytest.raises(FileNotFoundError):
        await open_manifest(parts, 0, 5)
    assert await read(parts, 3, 2) == b"de"


async def test_missing_later_part_breaks_the_answer() -> None:
    parts = await make([b"abc", b"de"])
    reader = await open_manifest(parts, 0, 5)
    await parts[1].store.delete_many([parts[1].blob_id])
    pieces = aiter(reader)
    assert await anext(pieces) == b"abc"
    with pytest.raises(StorageError, match="InternalError"):
        await anext(pieces)
    await reader.close()


async def test_part_of_another_size_than_its_row() -> None:
    part = (await make([b"abcdef"]))[0]
    with pytest.raises(StorageError, match="InternalError"):
        await open_manifest([ManifestPart(part.store, part.blob_id, 5)], 0, 5)
