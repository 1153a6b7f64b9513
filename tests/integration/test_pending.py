"""Uploads that wait to be confirmed, against a real database: who owns their bytes, and for how long."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from gateway.blobs.digest import Digester
from gateway.blobs.locator import BlobStores, Epoch
from gateway.blobs.memory import MemoryStore
from gateway.encryption.vault import Vault
from gateway.errors import StorageError
from gateway.jobs.fsck import Fsck, FsckReport
from gateway.jobs.mover import Mover, Pace
from gateway.jobs.sweeper import Sweeper, SweepPolicy, SweepResult
from gateway.metadata import engine, moving, quota
from gateway.metadata.embedded import Databases
from gateway.metadata.errors import OutcomeUnknown
from gateway.metadata.pending import PendingName
from gateway.metadata.records import Headers
from gateway.metadata.session import Session
from gateway.operations import bucket_encryption, buckets, objects, pending
from gateway.operations.encryption import Encryption
from gateway.operations.pending import Promise
from gateway.operations.services import Limits, Services
from gateway.operations.shapes import (
    CreateBucketInput,
    GetObjectInput,
    PutBucketEncryptionInput,
    ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration,
    ServerSideEncryptionRule,
)
from gateway.tenants.secrets import MasterKey
from tests.integration.test_moving import DESCRIPTION
from tests.integration.test_round_trips import CALL, INLINE_BYTES, MEBIBYTE, body

ROW, BLOB = b"r" * INLINE_BYTES, b"b" * 1000
VAULT = Vault(MasterKey.of(b"m" * 32), "default")


@pytest.fixture
async def services(session: Session) -> AsyncIterator[Services]:
    stores = {name: MemoryStore(name=name, max_bytes=64 * MEBIBYTE) for name in ("file", "cold")}
    epoch = Epoch(await engine.begin_epoch(session, "test", 1))
    encryption = Encryption(VAULT, ThreadPoolExecutor(1))
    limits = Limits(100 * MEBIBYTE, 100 * MEBIBYTE, INLINE_BYTES)
    made = Services(session, BlobStores(stores, stores["file"], epoch), limits, encryption=encryption)
    await buckets.create_bucket(made, CALL, CreateBucketInput(bucket="docs"))
    yield made
    await encryption.close()


async def receive(services: Services, key: str, content: bytes, *, limit: int = 10, **members: Any) -> PendingName:
    name = PendingName(uuid4(), "docs", key)
    promise = Promise(None, True, members.get("expires_at", datetime.now(UTC) + timedelta(hours=1)))
    await pending.receive(services, CALL, name, promise, body(content), Headers(), limit=limit)
    return name


async def get(services: Services, key: str) -> bytes:
    output = await objects.get_object(services, CALL, GetObjectInput(bucket="docs", key=key))
    assert output.body is not None
    return b"".join([piece async for piece in output.body])


async def sweep(services: Services) -> SweepResult:
    return await Sweeper(services.session, services.blobs, SweepPolicy(0, 3600, 0)).sweep()


async def fsck(services: Services) -> FsckReport:
    return await Fsck(services.session, services.blobs, read_bytes=True, quarantine=False, vault=VAULT).run()


async def blobs(services: Services) -> set[str]:
    found = set()
    for store in services.blobs.stores.values():
        for epoch in await store.epochs():
            found |= {blob.blob_id async for blob in store.list_epoch(epoch)}
    return found


def expire(owner: psycopg.Connection) -> None:
    """An hour later, as far as the rows are concerned."""
    owner.execute("SET ROLE rowlock_engine")
    owner.execute("UPDATE storage.pending_uploads SET expires_at = expires_at - interval '1 hour'")
    owner.execute("RESET ROLE")


async def test_unconfirmed_uploads_disappear_with_their_bytes(services: Services, owner: psycopg.Connection) -> None:
    names = [await receive(services, "row", ROW), await receive(services, "blob", BLOB)]
    assert len(await blobs(services)) == 1
    assert (await sweep(services)).expired_uploads == 0
    expire(owner)
    with pytest.raises(StorageError, match="NoSuchUpload"):
        await pending.confirm(services, CALL, names[1])
    swept = await sweep(services)
    assert (swept.expired_uploads, swept.destroyed_blobs) == (2, 1)
    assert await blobs(services) == set()
    assert owner.execute("SELECT count(*) FROM storage.pending_uploads").fetchall() == [(0,)]


async def test_confirmed_bytes_stay_and_are_not_copied(services: Services, owner: psycopg.Connection) -> None:
    names = [await receive(services, "row", ROW), await receive(services, "blob", BLOB)]
    before = await blobs(services)
    for name in names:
        trips = services.session.statistics.round_trips
        await pending.confirm(services, CALL, name)
        assert services.session.statistics.round_trips == trips + 1
    assert await blobs(services) == before
    expire(owner)
    swept = await sweep(services)
    assert (swept.expired_uploads, swept.destroyed_blobs) == (0, 0)
    assert owner.execute("SELECT count(*) FROM storage.pending_uploads").fetchall() == [(0,)]
    assert [await get(services, "row"), await get(services, "blob")] == [ROW, BLOB]
    assert (await fsck(services)).clean


async def test_replaced_and_cancelled_bytes_become_garbage(services: Services) -> None:
    await pending.confirm(services, CALL, await receive(services, "k", BLOB))
    [first] = await blobs(services)
    await pending.cancel(services, CALL, await receive(services, "k", BLOB))
    await pending.confirm(services, CALL, await receive(services, "k", BLOB + b"2"))
    assert len(await blobs(services)) == 3
    assert (await sweep(services)).destroyed_blobs == 2
    assert first not in await blobs(services)
    assert await get(services, "k") == BLOB + b"2"


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
async def test_fsck_knows_what_waits_in_both_directions(services: Services, encrypted: bool) -> None:
    if encrypted:
        by_default = ServerSideEncryptionByDefault(sse_algorithm="AES256")
        rule = ServerSideEncryptionRule(apply_server_side_encryption_by_default=by_default)
        configuration = ServerSideEncryptionConfiguration(rules=(rule,))
        await bucket_encryption.put_bucket_encryption(
            services, CALL, PutBucketEncryptionInput(bucket="docs", server_side_encryption_configuration=configuration)
        )
    names = [await receive(services, "row", ROW), await receive(services, "blob", BLOB)]
    report = await fsck(services)
    assert (report.clean, report.pending, report.ownerless, report.in_flight) == (True, 2, 0, 0)
    for name in names:
        await pending.confirm(services, CALL, name)
    report = await fsck(services)
    assert (report.clean, report.pending, report.objects, report.inline_objects) == (True, 0, 1, 1)
    await receive(services, "lost", BLOB)
    [[(lost, _)]] = [owner.blobs async for owner in engine.pending_with_blobs(services.session)]
    await services.blobs.default.delete_many([lost])
    assert (await fsck(services)).missing == 1


async def test_a_dead_writer_leaves_its_uploads_and_loses_its_leftovers(services: Services) -> None:
    """Killed before the row was written, or after."""
    name = await receive(services, "k", BLOB)
    orphan, digester = services.blobs.new_blob_id(), Digester(("md5",))
    async with services.blobs.default.create(orphan, digester) as writer:
        await writer.write(BLOB)
        await writer.flush()
        await writer.finish(DESCRIPTION)
    await engine.end_epoch(services.session, services.blobs.epoch.number)
    assert (await sweep(services)).quarantined_blobs == 1
    assert orphan not in await blobs(services)
    await pending.confirm(services, CALL, name)
    assert await get(services, "k") == BLOB


async def test_bytes_that_wait_count_against_the_quota_once(services: Services, database: Databases) -> None:
    await asyncio.to_thread(quota.apply, database.owner_url, 2500, None)
    names = [await receive(services, str(number), BLOB) for number in range(2)]
    with pytest.raises(StorageError, match="QuotaExceeded"):
        await receive(services, "2", BLOB)
    assert len(await blobs(services)) == 2
    await pending.confirm(services, CALL, names[0])
    await pending.cancel(services, CALL, names[1])
    name = await receive(services, "2", BLOB + b"x" * 500)
    await pending.confirm(services, CALL, name)
    with psycopg.connect(database.owner_url) as connection:
        assert connection.execute("SELECT used_bytes FROM rowlock.limits").fetchall() == [(2500,)]
    await asyncio.to_thread(quota.apply, database.owner_url, None, None)


async def test_as_many_wait_as_are_allowed(services: Services) -> None:
    for number in range(2):
        await receive(services, str(number), ROW, limit=2)
    with pytest.raises(StorageError, match="SlowDown"):
        await receive(services, "2", ROW, limit=2)
    [name, _] = [await receive(services, "2", ROW, limit=3), await receive(services, "3", ROW, limit=4)]
    await pending.confirm(services, CALL, name)
    await receive(services, "4", ROW, limit=4)


async def test_a_lost_commit_is_asked_for_again(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """What took effect is told again, and is not done twice."""
    write = services.session.write

    async def losing(*arguments: Any, **values: Any) -> Any:
        monkeypatch.setattr(services.session, "write", write)
        await write(*arguments, **values)
        raise OutcomeUnknown

    monkeypatch.setattr(services.session, "write", losing)
    name = await receive(services, "k", BLOB)
    monkeypatch.setattr(services.session, "write", losing)
    await pending.confirm(services, CALL, name)
    with pytest.raises(StorageError, match="KeyAlreadyExists"):
        await pending.confirm(services, CALL, name)
    assert await get(services, "k") == BLOB
    assert (await fsck(services)).clean


async def test_a_confirmation_at_work_is_not_swept(services: Services, database: Databases) -> None:
    await receive(services, "k", BLOB)
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("SET ROLE rowlock_engine")
        connection.execute("UPDATE storage.pending_uploads SET expires_at = expires_at - interval '1 hour'")
        connection.commit()
        connection.execute("SET ROLE rowlock_engine")
        connection.execute("SELECT FROM storage.pending_uploads FOR UPDATE")
        assert (await sweep(services)).expired_uploads == 0
        connection.commit()
    assert (await sweep(services)).expired_uploads == 1


async def test_a_moved_bucket_keeps_what_waits(services: Services) -> None:
    name = await receive(services, "k", BLOB)
    await moving.set_bucket_backend(services.session, "docs", "cold")
    assert (await moving.measure(services.session, "docs", "cold")).open_uploads == 1
    await Mover(services.session, services.blobs, Pace(), tenant_id="default").move("docs", "cold")
    await pending.confirm(services, CALL, name)
    assert await get(services, "k") == BLOB
    await pending.confirm(services, CALL, await receive(services, "new", BLOB))
    assert len([blob async for blob in services.blobs.named("cold").list_epoch(services.blobs.epoch.number)]) == 1
    assert (await moving.measure(services.session, "docs", "cold")).open_uploads == 0
    assert (await fsck(services)).clean
