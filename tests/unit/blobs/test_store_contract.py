"""The contract of a blob store, proven for each of them."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.blobs.digest import Digester
from gateway.blobs.file import FileStore
from gateway.blobs.memory import MemoryStore
from gateway.blobs.protocol import (
    BlobStore,
    CopyingStore,
    DescribingStore,
    EpochRemovingStore,
    FileBackedStore,
    LocatedStore,
    PresigningStore,
    ProbedStore,
    new_blob_id,
)
from gateway.blobs.s3 import S3Store
from gateway.errors import StorageError

from .support import DESCRIPTION, EPOCH, STORES, Store, get, listed, opened, put, s3_options

KIB = 1024
MIB = 1024 * KIB


@pytest.fixture(params=[*STORES, "s3", "s3-temporary-files"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param.startswith("s3"):
        upstream = request.getfixturevalue("upstream")
        buffers = {} if request.param == "s3" else {"buffer_bytes": 0}
        made: Store = S3Store(s3_options(upstream, **buffers), name="s", spool_directory=tmp_path)
        yield made
        await made.close()
        return
    async with opened(request.param, tmp_path / "blobs") as made:
        yield made


def test_abilities(store: Store) -> None:
    contract: BlobStore = store
    assert contract.name in {"m", "f", "s"}
    assert isinstance(store, CopyingStore)
    assert isinstance(store, DescribingStore)
    assert isinstance(store, EpochRemovingStore)
    assert isinstance(store, FileBackedStore) == isinstance(store, FileStore)
    assert isinstance(store, LocatedStore) == isinstance(store, FileStore)
    assert isinstance(store, PresigningStore) == isinstance(store, S3Store)


async def test_probe_and_check_of_a_store_that_is_there(store: Store) -> None:
    assert isinstance(store, ProbedStore)
    await store.probe()
    await store.check()


async def test_probe_of_a_directory_that_is_gone(tmp_path: Path) -> None:
    async with opened("file", tmp_path / "blobs") as made:
        assert isinstance(made, ProbedStore)
        (tmp_path / "blobs").rename(tmp_path / "elsewhere")
        with pytest.raises(FileNotFoundError):
            await made.probe()


async def test_path_is_where_a_blob_is(tmp_path: Path) -> None:
    async with opened("file", tmp_path / "blobs") as made:
        assert isinstance(made, FileStore)
        blob_id = await put(made, [b"content"])
        assert made.path(blob_id).read_bytes() == b"content"
        with pytest.raises(ValueError, match="malformed"):
            made.path("../../etc/passwd")


@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [0],
        [1],
        [64 * KIB],
        [64 * KIB + 1],
        [256 * KIB - 1, 1],
        [256 * KIB],
        [100, 256 * KIB, 100],
        [60 * KIB] * 11,
        [3 * MIB + 7],
        [MIB, 5, MIB, 0, 300 * KIB],
        [8 * MIB],
        [7 * MIB, 2 * MIB, 9 * MIB],
    ],
    ids=str,
)
async def test_written_pieces_come_back(store: Store, sizes: list[int]) -> None:
    pieces = [os.urandom(size) for size in sizes]
    whole = b"".join(pieces)
    digester = Digester(("md5", "sha256"))
    blob_id = new_blob_id(EPOCH)
    async with store.create(blob_id, digester) as writer:
        for piece in pieces:
            await writer.write(piece)
        await writer.flush()
        assert digester.size_bytes == len(whole)
        assert digester.digests()["sha256"] == hashlib.sha256(whole).digest()
        await writer.finish(DESCRIPTION)
    assert digester.size_bytes == len(whole)
    assert await get(store, blob_id, 0, len(whole)) == whole


async def test_flush_in_the_middle_hashes_nothing_twice(store: Store) -> None:
    digester = Digester(("sha256",))
    whole = b""
    async with store.create(new_blob_id(EPOCH), digester) as writer:
        for size in (10, 70 * KIB, 200 * KIB, 5, 300 * KIB, 0, 1):
            piece = os.urandom(size)
            whole += piece
            await writer.write(piece)
            await writer.flush()
            assert digester.digests()["sha256"] == hashlib.sha256(whole).digest()
        await writer.finish(DESCRIPTION)


async def test_data_may_change_after_the_next_call(store: Store) -> None:
    blob_id = new_blob_id(EPOCH)
    buffers = [bytearray(300 * KIB), bytearray(300 * KIB), bytearray(10)]
    expected = b""
    async with store.create(blob_id, Digester(("md5",))) as writer:
        for turn in range(9):
            buffer = buffers[turn % 3]
            buffer[:] = bytes([turn]) * len(buffer)
            expected += bytes(buffer)
            await writer.write(memoryview(buffer))
            previous = buffers[(turn - 1) % 3]
            previous[:] = b"\xff" * len(previous)
        await writer.finish(DESCRIPTION)
    assert await get(store, blob_id, 0, len(expected)) == expected


@pytest.mark.parametrize(("offset", "length"), [(0, 0), (0, 1), (5, 0), (1, 600 * KIB), (MIB - 1, 2), (3 * MIB, 0)])
async def test_ranges(store: Store, offset: int, length: int) -> None:
    data = os.urandom(3 * MIB)
    blob_id = await put(store, [data])
    reader = await store.open(blob_id, offset, length)
    assert (reader.size_bytes, reader.blob_size_bytes) == (length, len(data))
    assert b"".join([piece async for piece in reader]) == data[offset : offset + length]
    await reader.close()
    await reader.close()


async def test_range_past_the_end_is_an_error_not_a_short_answer(store: Store) -> None:
    blob_id = await put(store, [b"x" * 10])
    for offset, length in ((0, 11), (11, 0), (10, 1), (0, 5 * MIB)):
        with pytest.raises(StorageError, match="InternalError"):
            await store.open(blob_id, offset, length)


async def test_negative_range(store: Store) -> None:
    blob_id = await put(store, [b"x" * 10])
    for offset, length in ((-1, 1), (0, -1)):
        with pytest.raises(ValueError, match="negative"):
            await store.open(blob_id, offset, length)


async def test_blob_does_not_exist_before_finish(store: Store) -> None:
    blob_id = new_blob_id(EPOCH)
    async with store.create(blob_id, Digester(())) as writer:
        await writer.write(b"x" * MIB)
        await writer.flush()
        assert await store.stat(blob_id) is None
        assert await listed(store) == {}
        await writer.finish(DESCRIPTION)
        assert await listed(store) == {blob_id: MIB}


@pytest.mark.parametrize("size", [10, MIB])
async def test_leaving_without_finish_discards(store: Store, size: int) -> None:
    blob_id = new_blob_id(EPOCH)
    async with store.create(blob_id, Digester(())) as writer:
        await writer.write(b"x" * size)
    assert await store.stat(blob_id) is None
    with pytest.raises(FileNotFoundError):
        await store.open(blob_id, 0, 1)


async def test_nothing_is_ever_overwritten(store: Store) -> None:
    blob_id = await put(store, [b"first"])
    with pytest.raises(StorageError, match="InternalError"):
        await put(store, [b"second"], blob_id=blob_id)
    assert await get(store, blob_id, 0, 5) == b"first"
    assert await listed(store) == {blob_id: 5}
    assert isinstance(store, DescribingStore)
    assert await store.describe(blob_id) == DESCRIPTION


async def test_missing_blob(store: Store) -> None:
    blob_id = new_blob_id(EPOCH)
    assert await store.stat(blob_id) is None
    for call in (store.open(blob_id, 0, 0), store.describe(blob_id), store.quarantine(blob_id)):
        with pytest.raises(FileNotFoundError):
            await call
    with pytest.raises(FileNotFoundError):
        await store.copy(blob_id, new_blob_id(EPOCH), DESCRIPTION)
    await store.delete_many([blob_id])
    assert await listed(store) == {}


@pytest.mark.parametrize(
    "blob_id",
    ["", "../../../../etc/passwd", "0" * 31, "0" * 33, "A" * 32, "0" * 31 + "\n", "0" * 30 + "/.", "٣" * 32],
)
async def test_malformed_id(store: Store, blob_id: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        store.create(blob_id, Digester(()))
    for call in (
        store.open(blob_id, 0, 0),
        store.stat(blob_id),
        store.describe(blob_id),
        store.quarantine(blob_id),
        store.delete_many([blob_id]),
        store.copy(blob_id, new_blob_id(EPOCH), DESCRIPTION),
    ):
        with pytest.raises(ValueError, match="malformed"):
            await call


async def test_stat(store: Store) -> None:
    before = time.time() - 1
    blob_id = await put(store, [b"x" * 1234])
    stat = await store.stat(blob_id)
    assert stat is not None
    assert (stat.blob_id, stat.size_bytes) == (blob_id, 1234)
    assert before <= stat.modified_seconds <= time.time() + 1


async def test_delete_many(store: Store) -> None:
    kept = await put(store, [b"kept"])
    gone = [await put(store, [b"gone"]) for _ in range(5)]
    await store.delete_many([*gone, new_blob_id(EPOCH), new_blob_id(EPOCH + 1)])
    await store.delete_many(gone)
    await store.delete_many([])
    assert await listed(store) == {kept: 4}


async def test_reader_survives_deletion(store: Store) -> None:
    data = os.urandom(3 * MIB)
    blob_id = await put(store, [data])
    reader = await store.open(blob_id, 0, len(data))
    await store.delete_many([blob_id])
    assert b"".join([piece async for piece in reader]) == data
    await reader.close()


async def test_reader_closed_half_way(store: Store) -> None:
    blob_id = await put(store, [os.urandom(3 * MIB)])
    reader = await store.open(blob_id, 0, 3 * MIB)
    async for _ in reader:
        break
    await reader.close()


async def test_epochs_and_their_blobs(store: Store) -> None:
    one = await put(store, [b"1"], blob_id=new_blob_id(7))
    two = await put(store, [b"22"], blob_id=new_blob_id(0xFFFFFFFF))
    assert list(await store.epochs()) == [7, 0xFFFFFFFF]
    assert await listed(store, 7) == {one: 1}
    assert await listed(store, 0xFFFFFFFF) == {two: 2}
    assert await listed(store, 8) == {}


async def test_remove_epoch(store: Store) -> None:
    blob_id = await put(store, [b"1"])
    assert not await store.remove_epoch(EPOCH)
    assert await listed(store) == {blob_id: 1}
    await store.delete_many([blob_id])
    assert await store.remove_epoch(EPOCH)
    assert await store.remove_epoch(EPOCH)
    assert list(await store.epochs()) == []
    again = await put(store, [b"1"])
    assert await listed(store) == {again: 1}


async def test_quarantine(store: Store) -> None:
    blob_id = await put(store, [b"suspect"])
    kept = await put(store, [b"kept"])
    await store.quarantine(blob_id)
    assert await listed(store) == {kept: 4}
    assert await store.stat(blob_id) is None
    with pytest.raises(FileNotFoundError):
        await store.open(blob_id, 0, 1)
    assert await store.purge_quarantine(3600) == 0
    assert await store.purge_quarantine(-2) == 1
    assert await store.purge_quarantine(-2) == 0
    assert await get(store, kept, 0, 4) == b"kept"


@pytest.mark.parametrize("size", [0, 1000, 2 * MIB])
async def test_copy_is_a_blob_of_its_own(store: Store, size: int) -> None:
    data = os.urandom(size)
    source, target = await put(store, [data]), new_blob_id(EPOCH + 1)
    description = replace(DESCRIPTION, key="other", version="v2")
    await store.copy(source, target, description)
    assert await store.describe(source) == DESCRIPTION
    assert await store.describe(target) == description
    await store.delete_many([source])
    assert await store.stat(source) is None
    assert await get(store, target, 0, size) == data
    assert await store.describe(target) == description
    second = new_blob_id(EPOCH)
    await store.copy(target, second, DESCRIPTION)
    await store.delete_many([target])
    assert await get(store, second, 0, size) == data
    assert await store.describe(second) == DESCRIPTION


async def test_copy_onto_an_existing_blob(store: Store) -> None:
    for size in (10, 2 * MIB):
        source, target = await put(store, [b"s" * size]), await put(store, [b"target"])
        with pytest.raises(StorageError, match="InternalError"):
            await store.copy(source, target, DESCRIPTION)
        assert await get(store, target, 0, 6) == b"target"
        assert await store.describe(target) == DESCRIPTION


async def test_long_description(store: Store) -> None:
    description = replace(DESCRIPTION, key='"' * 1024, metadata={"a": "\\" * 2048})
    blob_id = await put(store, [b"x"], description=description)
    assert await store.describe(blob_id) == description
    assert await listed(store) == {blob_id: 1}
    await store.delete_many([blob_id])
    assert await store.remove_epoch(EPOCH)


async def test_concurrent_writers(store: Store) -> None:
    data = [os.urandom(1000 * number) for number in range(40)]
    blob_ids = await asyncio.gather(*(put(store, [one]) for one in data))
    assert await listed(store) == {blob_id: len(one) for blob_id, one in zip(blob_ids, data, strict=True)}
    for blob_id, one in zip(blob_ids, data, strict=True):
        assert await get(store, blob_id, 0, len(one)) == one


async def test_check(store: Store) -> None:
    await store.check()
    assert await listed(store) == {}


async def test_memory_is_bounded() -> None:
    store = MemoryStore(name="m", max_bytes=10)
    first = await put(store, [b"12345"])
    with pytest.raises(StorageError, match="InsufficientStorage"):
        await put(store, [b"123", b"456"])
    await store.copy(first, new_blob_id(EPOCH), DESCRIPTION)
    with pytest.raises(StorageError, match="InsufficientStorage"):
        await store.copy(first, new_blob_id(EPOCH), DESCRIPTION)
    await store.delete_many(list(await listed(store)))
    await put(store, [b"1234567890"])
    with pytest.raises(StorageError, match="InsufficientStorage"):
        await store.check()
