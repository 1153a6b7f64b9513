"""How long what was revoked still works when nobody tells a worker of it: as long as its caches live, no longer.

Two ways not to be told: the triggers that notify are gone while the connection that listens is alive (a pooler that
swallows LISTEN does the same), and the connection is cut and cannot be made again. The caches live for a fraction of a
second here; that the defaults add up to the promised 60 seconds is arithmetic, and ``ROWLOCK_REVOCATION_SECONDS=60``
runs the same tests with the defaults.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from psycopg import conninfo, sql

from conformance.isolation.s3_plan import plain
from gateway.auth import credentials, jwks
from gateway.tenants import cache
from tests.fix_postgres import Server
from tests.integration.in_process import Worker, many_tenants

A, B = "tenant-a", "tenant-b"
PROMISED_SECONDS: Final = 60.0
PROMISED_UNTOLD_SECONDS: Final = 5.0
SHORT_SECONDS: Final = float(os.environ.get("ROWLOCK_REVOCATION_SECONDS", "0.8"))
# What a busy machine may add.
SLACK_SECONDS: Final = 1.0

CHANGES: Final = {
    "key revoked": "UPDATE control.access_keys SET revoked_at = now() WHERE tenant_id = 'tenant-a'",
    "key expired": "UPDATE control.access_keys SET expires_at = now() WHERE tenant_id = 'tenant-a'",
    "tenant suspended": "UPDATE control.tenants SET status = 'suspended' WHERE id = 'tenant-a'",
}
_SILENCE: Final = """
    ALTER TABLE control.access_keys DISABLE TRIGGER access_keys_notify;
    ALTER TABLE control.tenants DISABLE TRIGGER notify
"""
_LISTENERS: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'rowlock-listener' AND datname = current_database()"
)


class Bench:
    """A worker with two tenants, and the control database as its owner."""

    def __init__(self, worker: Worker, control: psycopg.Connection[Any]) -> None:
        self.worker = worker
        self.control = control

    async def is_let_in(self, tenant: str = A) -> bool:
        answer = await self.worker.ask(tenant, plain("ListBuckets"))
        assert answer.status == 200 or (answer.status, b"<Code>InvalidAccessKeyId<" in answer.body) == (403, True)
        return answer.status == 200

    async def until_refused(self, at_most_seconds: float) -> float:
        """Seconds from now until A is refused, for good."""
        began = time.monotonic()
        while await self.is_let_in():
            assert time.monotonic() - began < at_most_seconds
            await asyncio.sleep(0.02)
        taken = time.monotonic() - began
        for _ in range(5):
            assert not await self.is_let_in()
        return taken

    async def until_told(self, told: bool) -> None:
        """Wait until the worker knows whether it is told of changes."""
        deadline = time.monotonic() + 10
        while self.worker.application._freshness.told is not told:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


@pytest.fixture
async def bench(postgres: Server, directory: Path) -> AsyncIterator[Bench]:
    with (
        postgres.fresh() as control,
        postgres.fresh() as first,
        postgres.fresh() as second,
        psycopg.connect(control.owner_url, autocommit=True) as owner,
    ):
        async with many_tenants(control, {A: first, B: second}, directory) as worker:
            yield Bench(worker, owner)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches that live for less than a second."""
    monkeypatch.setattr(credentials, "TOLD_TTL_SECONDS", SHORT_SECONDS)
    monkeypatch.setattr(cache, "TOLD_SECONDS", SHORT_SECONDS)
    monkeypatch.setattr(cache, "UNTOLD_SECONDS", SHORT_SECONDS / 2)


def test_defaults_keep_the_promise() -> None:
    for told_seconds in (credentials.TOLD_TTL_SECONDS, cache.TOLD_SECONDS, jwks.TTL_SECONDS):
        assert told_seconds <= PROMISED_SECONDS
    for untold_seconds in (credentials.TTL_SECONDS, cache.UNTOLD_SECONDS):
        assert untold_seconds <= PROMISED_UNTOLD_SECONDS


@pytest.mark.parametrize("change", CHANGES)
async def test_change_nobody_is_told_of_counts_when_the_caches_have_aged(
    short: None, bench: Bench, change: str
) -> None:
    await bench.until_told(True)
    bench.control.execute(_SILENCE)
    assert await bench.is_let_in()
    bench.control.execute(CHANGES[change])
    assert await bench.is_let_in(), "it was told after all, so this test shows nothing"
    assert await bench.until_refused(SHORT_SECONDS + SLACK_SECONDS) <= SHORT_SECONDS + SLACK_SECONDS
    assert await bench.is_let_in(B)


async def test_change_counts_at_once_where_it_is_told(bench: Bench) -> None:
    await bench.until_told(True)
    assert await bench.is_let_in()
    bench.control.execute(CHANGES["key revoked"])
    assert await bench.until_refused(SLACK_SECONDS) < SLACK_SECONDS


async def test_worker_that_is_cut_off_believes_for_five_seconds_at_most(short: None, bench: Bench) -> None:
    """Connections there are go on, no new one is let in: the listener stays away."""
    await bench.until_told(True)
    assert await bench.is_let_in()
    bench.worker.application._credentials._ttl_seconds = SHORT_SECONDS / 2
    name = sql.Identifier(conninfo.conninfo_to_dict(bench.control.info.dsn)["dbname"])
    bench.control.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(name))
    bench.control.execute(_LISTENERS)
    await bench.until_told(False)
    assert await bench.is_let_in()
    bench.control.execute(CHANGES["key revoked"])
    assert await bench.until_refused(SHORT_SECONDS / 2 + SLACK_SECONDS) <= SHORT_SECONDS / 2 + SLACK_SECONDS
    assert not bench.worker.application._freshness.told
