"""One connection, two tenants in turn, every way a request can end: at each checkout the connection is as new.

What a connection shows before any scope is set is looked at through the pool itself, after every single step
(reliability §5, security J86-J88). The long run is ``ROWLOCK_CHECKOUTS=100000``.
"""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import psycopg
import pytest

from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata.embedded import Databases
from gateway.metadata.errors import OutcomeUnknown
from gateway.metadata.session import Session
from gateway.statements import parse

CHECKOUTS: Final = int(os.environ.get("ROWLOCK_CHECKOUTS", "800"))
TENANTS: Final = ("tenant-a", "tenant-b")
TIMEOUT_SECONDS: Final = 0.25
SLEEP_SECONDS: Final = 0.03
_SQL: Final = parse(
    """
-- name: observe
SELECT current_user::text, auth.jwt() ->> 'tenant', current_setting('request.jwt.claim.sub'),
    current_setting('rowlock.request_id'),
    (SELECT coalesce(string_agg(n.text, ',' ORDER BY n.text), '') FROM public.notes AS n);

-- name: fail
SELECT 1 / (%(zero)s::integer);

-- name: denied
INSERT INTO public.notes (tenant, text) VALUES (%(tenant)s::text, 'forged');

-- name: sleep
SELECT pg_sleep(%(seconds)s::float8);

-- name: raise
SELECT public.raise(%(state)s::text);

-- name: dress_up
SELECT set_config('role', 'service_role', true), set_config('request.jwt.claims', '{"tenant": "nobody"}', true),
    set_config('app.tenant', 'nobody', true), pg_advisory_xact_lock(7);

-- name: lose
SELECT public.lose_connection();

-- name: lose_in_commit
INSERT INTO public.lost (tenant) VALUES (%(tenant)s::text);
"""
)
_SETUP: Final = """
    CREATE TABLE public.notes (tenant text, text text);
    INSERT INTO public.notes VALUES ('tenant-a', 'of a'), ('tenant-b', 'of b');
    ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON public.notes TO authenticated USING (tenant = (SELECT auth.jwt() ->> 'tenant'))
        WITH CHECK (false);
    CREATE TABLE public.lost (tenant text);
    CREATE FUNCTION public.lose_connection() RETURNS boolean LANGUAGE sql SECURITY DEFINER AS
        'SELECT pg_terminate_backend(pg_backend_pid())';
    CREATE FUNCTION public.lose_in_trigger() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM public.lose_connection(); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON public.lost DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION public.lose_in_trigger();
    CREATE FUNCTION public.raise(state text) RETURNS void LANGUAGE plpgsql AS
        'BEGIN RAISE EXCEPTION USING ERRCODE = state; END';
    GRANT ALL ON public.notes, public.lost TO authenticated
"""
_AT_CHECKOUT: Final = """
    SELECT current_user::text, session_user::text, current_setting('role'),
        (SELECT coalesce(string_agg(value, ','), '') FROM (VALUES
            (nullif(current_setting('request.jwt.claims', true), '')),
            (nullif(current_setting('request.jwt.claim.sub', true), '')),
            (nullif(current_setting('request.jwt.claim.role', true), '')),
            (nullif(current_setting('rowlock.request_id', true), '')),
            (nullif(current_setting('rowlock.s3_request', true), '')),
            (nullif(current_setting('storage.operation', true), '')),
            (nullif(current_setting('app.tenant', true), ''))) AS settings (value)),
        (SELECT count(*) FROM pg_locks AS l WHERE l.pid = pg_backend_pid() AND l.locktype = 'advisory')::integer,
        (SELECT count(*) FROM pg_prepared_statements)::integer, pg_my_temp_schema()::integer,
        current_setting('statement_timeout'), current_setting('search_path'), current_setting('transaction_isolation')
"""
_CHANGED_SETTINGS: Final = "SELECT name FROM pg_settings WHERE source = 'session' AND setting <> reset_val"
CLEAN: Final = (
    "rowlock_gateway", "rowlock_gateway", "none", "", 0, 0, 0, "0", '"$user", public', "read committed",
)  # fmt: skip


class UserCodeError(Exception):
    """What the program may raise between two statements."""


class Alternation:
    """Steps of two tenants over one connection."""

    def __init__(self, session: Session, seed: int) -> None:
        self.session = session
        self.chance = random.Random(seed)
        self.ends: Counter[str] = Counter()

    def scope(self, number: int) -> Scope:
        tenant = TENANTS[number % 2]
        return Scope(
            role="authenticated",
            operation="test",
            subject=f"user of {tenant}",
            claims_json=json.dumps({"tenant": tenant}),
            request_id=f"{tenant}-{number}",
        )

    async def step(self, number: int) -> None:
        """One request of one tenant, ended somehow; then its own view, and the connection as the next one finds it."""
        [end] = self.chance.choices(
            ["ok", "error", "denied", "cancelled", "timed_out", "deadlock", "exception", "nothing", "dressed_up",
             "bad_role", "disconnected", "commit_unknown"],
            [500, 100, 80, 100, 3, 60, 40, 20, 60, 20, 8, 8],
        )  # fmt: skip
        try:
            await getattr(self, f"_{end}")(self.scope(number))
        except StorageError as error:
            # a machine that is too busy; told as what it is
            if error.code.name not in ("SlowDown", "ServiceUnavailable"):
                raise
            end = "overloaded"
        self.ends[end] += 1
        await self.look(full=number % 50 == 0)

    async def look(self, *, full: bool) -> None:
        async with self.session._pool.connection() as connection:
            assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            row = await (await connection.execute(_AT_CHECKOUT)).fetchone()
            assert row == CLEAN
            if full:
                assert await (await connection.execute(_CHANGED_SETTINGS)).fetchall() == []

    async def run(self, scope: Scope, name: str, **values: Any) -> Any:
        if self.chance.random() < 0.5:
            return await self.session.fetch(scope, _SQL[name], **values)
        return await self.run_in_transaction(scope, name, **values)

    async def run_in_transaction(self, scope: Scope, name: str, **values: Any) -> Any:
        async with self.session.transaction(scope) as transaction:
            return await transaction.fetch(_SQL[name], **values)

    async def _ok(self, scope: Scope) -> None:
        [row] = await self.run(scope, "observe")
        tenant = scope.request_id.rpartition("-")[0]
        assert row == ("authenticated", tenant, scope.subject, scope.request_id, f"of {tenant[-1]}")

    async def _error(self, scope: Scope) -> None:
        with pytest.raises((psycopg.errors.DivisionByZero, StorageError)):
            await self.run(scope, "fail", zero=0)

    async def _denied(self, scope: Scope) -> None:
        with pytest.raises(StorageError):
            await self.run(scope, "denied", tenant=self.chance.choice(TENANTS))

    async def _cancelled(self, scope: Scope) -> None:
        task = asyncio.create_task(self.run(scope, "sleep", seconds=SLEEP_SECONDS))
        for _ in range(self.chance.randrange(6)):
            await asyncio.sleep(0)
        if self.chance.random() < 0.1:
            await asyncio.sleep(SLEEP_SECONDS * self.chance.random() / 3)
        # on a busy machine it may have ended just before
        finished = task.done()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or finished or task.result() == [(b"",)]

    async def _timed_out(self, scope: Scope) -> None:
        with pytest.raises(StorageError):
            await self.run_in_transaction(scope, "sleep", seconds=5)

    async def _deadlock(self, scope: Scope) -> None:
        with pytest.raises(StorageError):
            await self.run_in_transaction(scope, "raise", state=self.chance.choice(["40P01", "40001"]))

    async def _exception(self, scope: Scope) -> None:
        async def raising() -> None:
            async with self.session.transaction(scope) as transaction:
                await transaction.fetch(_SQL["dress_up"])
                raise UserCodeError

        with pytest.raises(UserCodeError):
            await raising()

    async def _nothing(self, scope: Scope) -> None:
        async with self.session.transaction(scope):
            pass

    async def _dressed_up(self, scope: Scope) -> None:
        """What a policy's own code may do: change settings, take locks, for its own transaction."""
        await self.run(scope, "dress_up")

    async def _bad_role(self, scope: Scope) -> None:
        with pytest.raises(StorageError):
            await self.session.fetch(Scope(role="postgres", operation="x"), _SQL["observe"])

    async def _disconnected(self, scope: Scope) -> None:
        with pytest.raises(StorageError):
            await self.run_in_transaction(scope, "lose")

    async def _commit_unknown(self, scope: Scope) -> None:
        with pytest.raises(OutcomeUnknown):
            await self.run_in_transaction(scope, "lose_in_commit", tenant="x")


@pytest.fixture
async def one_connection(database: Databases) -> AsyncIterator[Session]:
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(_SETUP)
    session = Session(
        database.gateway_url, pool_size=1, pool_timeout_seconds=10, statement_timeout_seconds=TIMEOUT_SECONDS
    )
    await session.open()
    await session._use_pool_only()
    yield session
    await session.close()


async def alternate(session: Session, steps: int, seed: int) -> Counter[str]:
    alternation = Alternation(session, seed)
    for number in range(steps):
        await alternation.step(number)
    assert session._pool.get_stats()["pool_max"] == 1
    return alternation.ends


async def test_two_tenants_in_turn_find_the_connection_clean(one_connection: Session) -> None:
    ends = await alternate(one_connection, CHECKOUTS, seed=1)
    print(f"\n{sum(ends.values())} checkouts, all clean: {dict(ends)}")
    assert ends.pop("overloaded", 0) <= max(20, CHECKOUTS // 100)
    assert len(ends) == 12
    assert min(ends.values()) >= max(1, CHECKOUTS // 1000)
