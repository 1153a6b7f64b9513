"""Moves that operators ask for over the admin API: the rows in the control database and the worker that takes them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from gateway.blobs.locator import BlobStores
from gateway.jobs.transfers import TransferWorker
from gateway.metadata.embedded import Databases
from gateway.metadata.session import Session
from gateway.tenants.control import PostgresControlDatabase
from gateway.tenants.errors import RegistryError, UnknownError
from gateway.tenants.transfers import NewTransfer, Reached, Transfer, Transfers
from tests.integration.test_moving import put, stores

__all__ = ["stores"]

MOVE = NewTransfer("move", "docs", "cold")


@pytest.fixture
async def transfers(database: Databases) -> AsyncIterator[Transfers]:
    async with PostgresControlDatabase(database.gateway_url, timeout_seconds=5) as control:
        yield Transfers(control)


async def until(condition: Callable[[], Awaitable[Any]]) -> None:
    deadline = time.monotonic() + 20
    while not await condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def worker(transfers: Transfers, session: Session, stores: BlobStores, name: str = "w") -> AsyncIterator[None]:
    """A background worker; on leaving it is asked to stop, as by SIGTERM."""

    @asynccontextmanager
    async def room(transfer: Transfer) -> AsyncIterator[tuple[Session, BlobStores]]:
        yield session, stores

    stopping = asyncio.Event()
    task = asyncio.create_task(
        TransferWorker(transfers, room, name, many_tenants=False).run(stopping, poll_seconds=0.05)
    )
    try:
        yield
    finally:
        stopping.set()
        await task


async def test_life_of_a_transfer(transfers: Transfers, database: Databases) -> None:
    made = await transfers.create("default", MOVE)
    with pytest.raises(RegistryError, match="already"):
        await transfers.create("default", MOVE)
    assert (await transfers.pause("default", made.id)).status == "paused"
    assert (await transfers.resume("default", made.id)).status == "running"
    assert (await transfers.cancel("default", made.id)).status == "cancelled"
    with pytest.raises(RegistryError, match="cancelled"):
        await transfers.resume("default", made.id)
    again = await transfers.create("default", MOVE)
    assert [found.id for found in await transfers.page("default")] == [again.id, made.id]
    assert [found.id for found in await transfers.page("default", before=again.id)] == [made.id]
    for tenant_id, number in (("default", 999), ("other", made.id)):
        with pytest.raises(UnknownError):
            await transfers.read(tenant_id, number)
    with psycopg.connect(database.owner_url) as connection:
        acts = connection.execute("select action from control.audit where target = %s order by id", [str(made.id)])
        assert [row[0] for row in acts] == ["insert transfer", *["update transfer"] * 3]


async def test_one_worker_at_a_time_has_it(transfers: Transfers, database: Databases) -> None:
    made = await transfers.create("default", MOVE)
    assert await transfers.claim("a", many_tenants=True) is None
    claimed = await transfers.claim("a", many_tenants=False)
    assert claimed is not None
    assert await transfers.claim("b", many_tenants=False) is None
    assert await transfers.report(made.id, "a", Reached(1, 2, 0, None)) == "running"
    assert await transfers.report(made.id, "b", Reached(9, 9, 0, None)) is None
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("update control.transfers set worker_until = now() - interval '1 second'")
    taken = await transfers.claim("b", many_tenants=False)
    assert taken is not None
    assert (taken.objects, taken.size_bytes) == (1, 2)
    assert await transfers.report(made.id, "a", Reached(1, 2, 0, None)) is None
    await transfers.end(made.id, "a", None)
    assert (await transfers.read("default", made.id)).status == "running"
    await transfers.end(made.id, "b", None)
    assert (await transfers.read("default", made.id)).status == "done"


async def test_worker_moves_and_replicates(
    transfers: Transfers, session: Session, stores: BlobStores, owner: psycopg.Connection
) -> None:
    for number in range(5):
        await put(session, stores, f"k{number}", b"x" * 5000)
    move = await transfers.create("default", MOVE)
    copy = await transfers.create("default", NewTransfer("replicate", "docs", "spare"))
    async with worker(transfers, session, stores):
        for each in (move, copy):
            await until(lambda each=each: _has_status(transfers, each, "done"))  # type: ignore[misc]
    done = await transfers.read("default", move.id)
    assert (done.objects, done.size_bytes, done.objects_left, done.error) == (5, 25000, 0, None)
    assert owner.execute("select distinct backend from storage.objects").fetchall() == [("cold",)]
    assert owner.execute("select backend from storage.buckets").fetchall() == [("cold",)]


async def test_failure_is_told_and_can_be_resumed(
    transfers: Transfers, session: Session, stores: BlobStores, owner: psycopg.Connection
) -> None:
    await put(session, stores, "k", b"x" * 5000)
    missing = await transfers.create("default", NewTransfer("move", "nowhere", "cold"))
    unknown = await transfers.create("default", NewTransfer("move", "docs", "nowhere"))
    async with worker(transfers, session, stores):
        for each in (missing, unknown):
            await until(lambda each=each: _has_status(transfers, each, "failed"))  # type: ignore[misc]
        assert "bucket does not exist" in ((await transfers.read("default", missing.id)).error or "")
        assert "no backend nowhere" in ((await transfers.read("default", unknown.id)).error or "")
        owner.execute("insert into storage.buckets (id, name) values ('nowhere', 'nowhere')")
        await transfers.resume("default", missing.id)
        await until(lambda: _has_status(transfers, missing, "done"))
    assert owner.execute("select backend from storage.buckets where id = 'docs'").fetchall() == [(None,)]


async def test_paused_and_left_transfers_go_on(
    transfers: Transfers, session: Session, stores: BlobStores, owner: psycopg.Connection
) -> None:
    for number in range(40):
        await put(session, stores, f"k{number}", b"x" * 10_000)
    made = await transfers.create("default", NewTransfer("move", "docs", "cold", 1, 100_000))  # 0.2 s an object

    async def moved() -> int:
        [(count,)] = owner.execute("select count(*) from storage.objects where backend = 'cold'").fetchall()
        return int(count)

    async with worker(transfers, session, stores):
        await until(moved)
        await transfers.pause("default", made.id)
        await until(lambda: _is_let_go(owner))
        resting = await moved()
        assert 0 < resting < 40
        await asyncio.sleep(0.3)
        assert await moved() == resting
        await transfers.resume("default", made.id)
        await until(lambda: _more_than(moved, resting))
    assert await _is_let_go(owner)  # the process that ended left it
    assert (await transfers.read("default", made.id)).status == "running"
    owner.execute("update control.transfers set bytes_per_second = null")
    async with worker(transfers, session, stores, "another"):
        await until(lambda: _has_status(transfers, made, "done"))
    assert await moved() == 40
    assert (await transfers.read("default", made.id)).objects == 40


async def _has_status(transfers: Transfers, transfer: Transfer, status: str) -> bool:
    return (await transfers.read("default", transfer.id)).status == status


async def _is_let_go(owner: psycopg.Connection) -> bool:
    return owner.execute("select worker from control.transfers").fetchall() == [(None,)]


async def _more_than(count: Callable[[], Awaitable[int]], least: int) -> bool:
    return await count() > least
