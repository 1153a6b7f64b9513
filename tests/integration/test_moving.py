"""Moving a bucket's bytes from one store to another, against a real database and stores in memory."""

import asyncio
import os
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from gateway.blobs.digest import Digester, digest, multipart_etag
from gateway.blobs.locator import BlobStores, Epoch
from gateway.blobs.memory import MemoryStore
from gateway.blobs.protocol import BlobDescription
from gateway.errors import StorageError
from gateway.jobs.fsck import Fsck
from gateway.jobs.mover import Mover, Pace
from gateway.metadata import engine, moving, objects
from gateway.metadata.records import Headers, NewObject
from gateway.metadata.session import Session
from gateway.wire.conditions import WriteCondition
from tests.integration.conftest import SERVICE

DESCRIPTION = BlobDescription("default", "docs", "k", "v", "", "text/plain")


@pytest.fixture
async def stores(session: Session, owner: psycopg.Connection) -> BlobStores:
    owner.execute("insert into storage.buckets (id, name) values ('docs', 'docs')")
    hot, cold, spare = (MemoryStore(name=name, max_bytes=1 << 26) for name in ("hot", "cold", "spare"))
    epoch = Epoch(await engine.begin_epoch(session, "test", os.getpid()))
    return BlobStores({"hot": hot, "cold": cold}, hot, epoch, {"spare": spare})


@pytest.fixture(autouse=True)
def quick_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is tried again at once."""
    monkeypatch.setattr("gateway.jobs.mover._PAUSE_SECONDS", 0.01)


def mover(session: Session, stores: BlobStores, **pace: Any) -> Mover:
    return Mover(session, stores, Pace(**pace), tenant_id="default")


async def put(session: Session, stores: BlobStores, key: str, *parts: bytes, **fields: Any) -> NewObject:
    """An object of one blob, or of several parts."""
    blobs, md5s = [], []
    for part in parts:
        blob_id, digester = stores.new_blob_id(), Digester(("md5",))
        async with stores.default.create(blob_id, digester) as writer:
            await writer.write(part)
            await writer.flush()
            await writer.finish(DESCRIPTION)
        blobs.append(blob_id)
        md5s.append(digester.digests()["md5"])
    new = NewObject(
        bucket="docs",
        key=key,
        version=os.urandom(16).hex(),
        owner_id=None,
        headers=Headers(),
        size_bytes=sum(map(len, parts)),
        etag=md5s[0].hex() if len(parts) == 1 else multipart_etag(md5s),
        epoch=stores.epoch.number,
        backend=stores.default.name,
        blob_id=blobs[0] if len(parts) == 1 else None,
        part_blobs=tuple(blobs) if len(parts) > 1 else (),
        part_sizes=tuple(map(len, parts)) if len(parts) > 1 else (),
    )
    new = replace(new, **fields)
    await objects.put_object(session, SERVICE, new, WriteCondition())
    return new


async def content(session: Session, stores: BlobStores, key: str) -> tuple[str | None, bytes]:
    """Where an object is, and its bytes."""
    found = await objects.find_object(session, SERVICE, "docs", key)
    assert found is not None
    data = b""
    store = stores.named(found.backend)
    sizes = found.part_sizes or (found.size_bytes,)
    for blob_id, size in zip(found.part_blobs or (found.blob_id or "",), sizes, strict=True):
        data += b"".join([piece async for piece in await store.open(blob_id, 0, size)])
    return found.backend, data


async def is_clean(session: Session, stores: BlobStores) -> bool:
    report = await Fsck(session, stores, read_bytes=True, quarantine=False).run()
    return report.clean


async def test_everything_moves_and_nothing_else_changes(session: Session, stores: BlobStores) -> None:
    await put(session, stores, "one", b"first")
    await put(session, stores, "parts", b"aa", b"bbb")
    before = [await objects.find_object(session, SERVICE, "docs", key) for key in ("one", "parts")]
    progress = await mover(session, stores).move("docs", "cold")
    assert (progress.versions, progress.size_bytes, progress.failed) == (2, 10, 0)
    assert await content(session, stores, "one") == ("cold", b"first")
    assert await content(session, stores, "parts") == ("cold", b"aabbb")
    after = [await objects.find_object(session, SERVICE, "docs", key) for key in ("one", "parts")]
    for old, new in zip(before, after, strict=True):
        assert old is not None
        assert new is not None
        assert replace(new, backend=old.backend, blob_id=old.blob_id, part_blobs=old.part_blobs) == old
    assert (await moving.measure(session, "docs", "cold")).versions == 0
    assert await is_clean(session, stores)


async def test_old_bytes_are_garbage_of_the_old_backend(
    session: Session, stores: BlobStores, owner: psycopg.Connection
) -> None:
    old = await put(session, stores, "one", b"first")
    await mover(session, stores).move("docs", "cold")
    assert owner.execute("select backend, blob_id from rowlock.garbage").fetchall() == [("hot", old.blob_id)]
    assert await stores.stores["hot"].stat(old.blob_id or "") is not None


async def test_object_replaced_while_it_is_copied_keeps_the_new_bytes(
    session: Session, stores: BlobStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(session, stores, "one", b"first")
    handed_over = moving.move_object

    async def slowly(*args: Any) -> bool:
        await put(session, stores, "one", b"second")
        monkeypatch.setattr(moving, "move_object", handed_over)
        return await handed_over(*args)

    monkeypatch.setattr(moving, "move_object", slowly)
    progress = await mover(session, stores).move("docs", "cold")
    assert (progress.versions, progress.changed) == (1, 1)
    assert await content(session, stores, "one") == ("cold", b"second")
    assert await is_clean(session, stores)


async def test_object_deleted_while_it_is_copied_stays_deleted(
    session: Session, stores: BlobStores, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(session, stores, "one", b"first")
    handed_over = moving.move_object

    async def slowly(*args: Any) -> bool:
        owner.execute("delete from storage.objects")
        return await handed_over(*args)

    monkeypatch.setattr(moving, "move_object", slowly)
    progress = await mover(session, stores).move("docs", "cold")
    assert (progress.versions, progress.changed) == (0, 1)
    assert list(await stores.stores["cold"].epochs()) == []


async def test_bytes_that_are_not_those_that_were_stored_stay(session: Session, stores: BlobStores) -> None:
    await put(session, stores, "rotten", b"first", etag=digest("md5", b"other").hex())
    progress = await asyncio.wait_for(mover(session, stores).move("docs", "cold"), 60)
    assert (progress.versions, progress.failed) == (0, 1)
    assert await content(session, stores, "rotten") == ("hot", b"first")
    assert list(await stores.stores["cold"].epochs()) == []


async def test_copy_that_reads_back_differently_is_not_handed_over(
    session: Session, stores: BlobStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(session, stores, "one", b"first")
    cold = stores.stores["cold"]
    assert isinstance(cold, MemoryStore)
    add = cold.add
    monkeypatch.setattr(cold, "add", lambda blob_id, data, description: add(blob_id, data[::-1], description))
    progress = await mover(session, stores).move("docs", "cold")
    assert (progress.versions, progress.failed) == (0, 1)
    assert await content(session, stores, "one") == ("hot", b"first")
    assert list(await cold.epochs()) == []


async def test_mover_whose_epoch_is_dead_hands_nothing_over(
    session: Session, stores: BlobStores, owner: psycopg.Connection
) -> None:
    await put(session, stores, "one", b"first")
    owner.execute("update rowlock.epochs set dead_at = now()")
    progress = await mover(session, stores).move("docs", "cold")
    assert (progress.versions, progress.failed) == (0, 1)
    assert await content(session, stores, "one") == ("hot", b"first")


async def test_stopped_mover_begins_nothing_more(session: Session, stores: BlobStores) -> None:
    for number in range(5):
        await put(session, stores, f"k{number}", b"data")
    stopping = asyncio.Event()
    progress = await mover(
        session, stores, concurrency=1, stopping=stopping, report=lambda progress: stopping.set()
    ).move("docs", "cold")
    assert progress.versions == 1
    assert (await mover(session, stores).move("docs", "cold")).versions == 4


async def test_unknown_backend(session: Session, stores: BlobStores) -> None:
    with pytest.raises(StorageError, match="InternalError"):
        await mover(session, stores).move("docs", "nowhere")


async def test_replica(session: Session, stores: BlobStores) -> None:
    new = await put(session, stores, "one", b"first")
    replica = stores.replicas["spare"]
    first = await mover(session, stores).replicate("docs", replica)
    second = await mover(session, stores).replicate("docs", replica)
    assert (first.versions, second.versions, second.already_there) == (1, 0, 1)
    assert b"".join([piece async for piece in await replica.open(new.blob_id or "", 0, 5)]) == b"first"
    assert await content(session, stores, "one") == ("hot", b"first")


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_only_the_operator_chooses_the_backend(stores: BlobStores, owner: psycopg.Connection, role: str) -> None:
    owner.execute("create policy everything on storage.buckets using (true) with check (true)")

    def run(statement: str) -> None:
        with owner.transaction():
            owner.execute(f"set local role {role}")
            owner.execute(statement)

    run("update storage.buckets set public = true")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="chosen by the operator"):
        run("update storage.buckets set backend = 'cold'")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run("insert into storage.buckets (id, name, backend) values ('b', 'b', 'cold')")
    owner.execute("update storage.buckets set backend = 'cold'")
