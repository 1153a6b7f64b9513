"""The scoped session: every statement runs as its caller, and nothing is left behind on the connection."""

import asyncio

import psycopg
import pytest

from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata.embedded import Databases
from gateway.metadata.session import Session
from gateway.statements import parse
from tests.integration.conftest import ANON, SERVICE, user

_SQL = parse(
    """
-- name: who_am_i
SELECT current_user::text, auth.uid()::text, auth.role(), auth.jwt() ->> 'team', storage.operation(),
    current_setting('rowlock.request_id');

-- name: divide
SELECT 1 / (%(zero)s::integer);

-- name: sleep
SELECT pg_sleep(%(seconds)s::float8);

-- name: backend
SELECT pg_backend_pid();
"""
)

ALICE = "6f0e3f8e-7d1c-4c1b-9a57-0a3c4e6c0001"


async def test_statement_runs_as_the_callers_role_with_its_claims(session: Session) -> None:
    [row] = await session.fetch(user(ALICE, team="red"), _SQL["who_am_i"])
    assert row[:5] == ("authenticated", ALICE, "authenticated", "red", "storage.s3.test")


async def test_nothing_of_one_scope_is_seen_by_the_next_on_the_same_connection(database: Databases) -> None:
    session = Session(database.gateway_url, pool_size=1, pool_timeout_seconds=5, statement_timeout_seconds=30)
    await session.open()
    try:
        for _ in range(50):
            with pytest.raises(psycopg.errors.DivisionByZero):
                await session.fetch(user(ALICE, team="red"), _SQL["divide"], zero=0)
            [row] = await session.fetch(ANON, _SQL["who_am_i"])
            assert row[:4] == ("anon", None, "anon", None)
    finally:
        await session.close()


async def test_connection_outside_a_scope_has_no_rights(database: Databases) -> None:
    async with await psycopg.AsyncConnection.connect(database.gateway_url) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("SELECT * FROM storage.objects")


async def test_role_outside_the_allow_list_is_refused_without_a_connection(session: Session) -> None:
    with pytest.raises(StorageError) as refused:
        await session.fetch(Scope(role="postgres", operation="x"), _SQL["who_am_i"])
    assert refused.value.code.name == "AccessDenied"


async def test_further_role_is_let_in_with_what_the_database_gives_it(
    database: Databases, owner: psycopg.Connection
) -> None:
    owner.execute("CREATE ROLE scope_moderator NOLOGIN")
    owner.execute("GRANT authenticated TO scope_moderator")
    owner.execute("GRANT scope_moderator TO rowlock_gateway")
    roles = frozenset({"scope_moderator", "scope_missing"})
    session = Session(
        database.gateway_url, pool_size=3, pool_timeout_seconds=5, statement_timeout_seconds=30, further_roles=roles
    )
    await session.open()
    try:
        [row] = await session.fetch(Scope(role="scope_moderator", operation="x"), _SQL["who_am_i"])
        assert row[0] == "scope_moderator"
        with pytest.raises(StorageError) as missing:
            await session.fetch(Scope(role="scope_missing", operation="x"), _SQL["who_am_i"])
        assert missing.value.code.name == "AccessDenied"
        [row] = await session.fetch(ANON, _SQL["who_am_i"])
        assert row[0] == "anon"
    finally:
        await session.close()
        owner.execute("DROP ROLE scope_moderator")


async def test_transaction_keeps_one_scope_and_one_snapshot_of_settings(session: Session) -> None:
    async with session.transaction(user(ALICE, team="blue")) as transaction:
        first = await transaction.fetch(_SQL["who_am_i"])
        second = await transaction.fetch(_SQL["who_am_i"])
    assert first == second
    assert first[0][3] == "blue"


async def test_transaction_that_fails_leaves_the_connection_clean(session: Session) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        async with session.transaction(SERVICE) as transaction:
            await transaction.fetch(_SQL["divide"], zero=0)
    [row] = await session.fetch(ANON, _SQL["who_am_i"])
    assert row[0] == "anon"


async def test_lost_connection_is_replaced_and_the_read_repeated(session: Session, owner: psycopg.Connection) -> None:
    [(victim,)] = await session.fetch(SERVICE, _SQL["backend"])
    owner.execute("SELECT pg_terminate_backend(%s)", [victim])
    [(survivor,)] = await session.fetch(SERVICE, _SQL["backend"])
    assert survivor != victim


async def test_cancelled_statement_does_not_poison_the_pool(database: Databases) -> None:
    session = Session(database.gateway_url, pool_size=1, pool_timeout_seconds=5, statement_timeout_seconds=30)
    await session.open()
    try:
        for _ in range(3):
            running = asyncio.create_task(session.fetch(user(ALICE), _SQL["sleep"], seconds=30))
            await asyncio.sleep(0.1)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            [row] = await session.fetch(ANON, _SQL["who_am_i"])
            assert row[:2] == ("anon", None)
    finally:
        await session.close()


async def test_exhausted_pool_is_slow_down(database: Databases) -> None:
    session = Session(database.gateway_url, pool_size=1, pool_timeout_seconds=0.2, statement_timeout_seconds=30)
    await session.open()
    try:
        running = asyncio.create_task(session.fetch(SERVICE, _SQL["sleep"], seconds=1))
        await asyncio.sleep(0.1)
        with pytest.raises(StorageError) as refused:
            await session.fetch(SERVICE, _SQL["backend"])
        assert refused.value.code.name == "SlowDown"
        assert refused.value.code.retry_after_seconds
        await running
    finally:
        await session.close()


async def test_statement_beyond_its_time_is_slow_down(database: Databases) -> None:
    session = Session(database.gateway_url, pool_size=1, pool_timeout_seconds=5, statement_timeout_seconds=0.2)
    await session.open()
    try:
        with pytest.raises(StorageError) as refused:
            await session.fetch(SERVICE, _SQL["sleep"], seconds=5)
        assert refused.value.code.name == "SlowDown"
    finally:
        await session.close()
