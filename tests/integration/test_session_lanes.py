"""Statements of many callers on few connections: each gets its own answer, scope, errors and fate."""

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import psycopg
import pytest
from psycopg import AsyncConnection, AsyncRawCursor, conninfo

from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata import engine, objects
from gateway.metadata.embedded import Databases
from gateway.metadata.errors import OutcomeUnknown
from gateway.metadata.parameters import encode
from gateway.metadata.pipeline import MAX_PREPARED
from gateway.metadata.records import Headers, NewObject
from gateway.metadata.session import Session
from gateway.statements import Lane, Statement, load, parse
from gateway.wire.conditions import WriteCondition
from tests.integration.conftest import ANON, SERVICE, user

ALICE = "6f0e3f8e-7d1c-4c1b-9a57-0a3c4e6c0001"

_SQL = parse(
    """
-- name: who_am_i
-- lane: quick
SELECT current_user::text, auth.uid()::text, storage.operation(), %(tag)s::integer;

-- name: divide
-- lane: quick
SELECT 1 / (%(zero)s::integer);

-- name: sleep
-- lane: quick
SELECT pg_sleep(%(seconds)s::float8);

-- name: backend
-- lane: quick
SELECT pg_backend_pid();

-- name: sleep_slowly
SELECT pg_sleep(%(seconds)s::float8), pg_backend_pid();

-- name: types
-- lane: quick
SELECT %(small)s::int2, %(integer)s::int4, %(big)s::int8, %(truth)s::boolean, %(text)s::text, %(moment)s::timestamptz,
    %(id)s::uuid, %(data)s::bytea, %(document)s::jsonb, %(texts)s::text[], %(numbers)s::bigint[], %(real)s::float8,
    NULL::text, NULL::bytea, ARRAY[]::text[], '{}'::jsonb, 'name'::name, 1.50::numeric, now();

-- name: all_of
-- lane: quick
SELECT t.* FROM public.t AS t;

-- name: insert_late
INSERT INTO public.late (id) VALUES (%(id)s::integer) RETURNING id;

-- name: write_and_die
INSERT INTO public.late (id) SELECT %(id)s::integer FROM (SELECT pg_sleep(%(seconds)s::float8)) AS s RETURNING id;
"""
)


@contextlib.asynccontextmanager
async def opened(url: str, *, pool_size: int = 4, wait: float = 5, limit: float = 30) -> AsyncIterator[Session]:
    session = Session(url, pool_size=pool_size, pool_timeout_seconds=wait, statement_timeout_seconds=limit)
    await session.open()
    try:
        yield session
    finally:
        await session.close()


class TestStatements:
    def test_lane_is_read_from_the_file_and_not_sent(self) -> None:
        assert load("objects")["find_object"].lane is Lane.QUICK
        assert load("objects")["put_object"].lane is Lane.SLOW
        assert "lane" not in load("objects")["find_object"].text
        with pytest.raises(ValueError, match="slwo"):
            parse("-- name: a\n-- lane: slwo\nSELECT 1;")

    def test_quick_statements_change_nothing_but_the_heartbeat(self) -> None:
        families = ("objects", "buckets", "multipart", "engine")
        quick = [s for f in families for s in load(f).values() if s.lane is Lane.QUICK and s.name != "beat"]
        assert len(quick) >= 4
        for statement in quick:
            assert not any(
                word in statement.text for word in ("put_", "probe_", "record_", "lock_upload", "FOR UPDATE")
            )
            assert not any(word in statement.text.split() for word in ("INSERT", "UPDATE", "DELETE"))


class TestValues:
    VALUES: ClassVar[dict[str, Any]] = {
        "small": -7,
        "integer": 2**31 - 1,
        "big": -(2**63),
        "truth": False,
        "text": "é\U0010ffff'\\\"",
        "moment": None,
        "id": None,
        "data": b"\x00\xff'\\",
        "document": '{"a": [1, null, "é"]}',
        "texts": ["a", 'b"{},\\', "", None, "NULL"],
        "numbers": [1, None, -(2**63)],
        "real": 1.5,
    }

    @pytest.mark.parametrize("empty", [False, True])
    async def test_rows_equal_the_drivers_own(self, session: Session, database: Databases, empty: bool) -> None:
        from datetime import UTC, datetime
        from uuid import uuid4

        values = {**self.VALUES, "moment": datetime.now(UTC), "id": uuid4()}
        if empty:
            values = dict.fromkeys(values)
        statement = _SQL["types"]
        async with await AsyncConnection.connect(database.gateway_url, autocommit=True) as connection:
            cursor = AsyncRawCursor(connection)
            await cursor.execute(statement.text, statement.bind(values), binary=True)
            expected = await cursor.fetchall()
        for _ in range(2):
            rows = await session.fetch(SERVICE, statement, **values)
            assert [row[:-1] for row in rows] == [row[:-1] for row in expected]
            assert [list(map(type, row)) for row in rows] == [list(map(type, row)) for row in expected]

    async def test_every_repository_read_equals_the_pools(self, database: Databases) -> None:
        """The same rows by the multiplexed lanes and by the pool, for what the gateway reads most."""
        async with opened(database.gateway_url) as lanes, opened(database.gateway_url) as pool:
            await pool._use_pool_only()
            new = NewObject("docs", "k", "v", ALICE, Headers(user_metadata={"a": "é"}), 3, "e", content=b"\0\xffx")
            await lanes.write(SERVICE, load("buckets")["create_bucket"], bucket="docs", owner_id=None, public=True)
            await objects.put_object(lanes, SERVICE, new, WriteCondition())
            for family, name, values in (
                ("objects", "find_object", {"bucket": "docs", "key": "k"}),
                ("objects", "describe_object", {"bucket": "docs", "key": "k"}),
                ("objects", "find_object", {"bucket": "docs", "key": "none"}),
                ("buckets", "find_bucket", {"bucket": "docs"}),
                ("buckets", "bucket_visibility", {"bucket": "none"}),
                ("buckets", "list_buckets", {"lower": "", "upper": "z", "page_size": 10}),
                ("objects", "list_objects_flat", {"bucket": "docs", "lower": "", "upper": "z", "page_size": 10}),
            ):
                statement = load(family)[name]
                assert await lanes.fetch(SERVICE, statement, **values) == await pool.fetch(SERVICE, statement, **values)
            assert lanes.multiplexed
            assert not pool.multiplexed

    @pytest.mark.parametrize("text", ["a\0b", "\ud800", "\0"])
    async def test_text_postgres_cannot_hold_is_invalid_argument(self, session: Session, text: str) -> None:
        with pytest.raises(StorageError, match="InvalidArgument"):
            await session.fetch(SERVICE, load("objects")["find_object"], bucket="docs", key=text)
        with pytest.raises(StorageError, match="InvalidArgument"):
            await session.fetch(SERVICE, load("engine")["owned_blobs"], blob_ids=[text])
        with pytest.raises(StorageError, match="InvalidArgument"):
            await session.fetch(Scope(role="anon", operation="x", path=text), _SQL["backend"])

    def test_bytes_are_sent_as_they_are(self) -> None:
        assert encode([1, b"\0x", None, True]) == ([b"1", b"\0x", None, b"t"], [0, 1, 0, 0])
        assert encode(["a", 1]) == ([b"a", b"1"], None)


class TestSharing:
    async def test_callers_on_one_connection_keep_their_role_claims_and_errors(self, database: Databases) -> None:
        async with opened(database.gateway_url, pool_size=1) as session:

            async def ask(number: int) -> None:
                if number % 5 == 4:
                    with pytest.raises(psycopg.errors.DivisionByZero):
                        await session.fetch(user(ALICE), _SQL["divide"], zero=0)
                    return
                scope, expected = [
                    (user(ALICE), ("authenticated", ALICE, "storage.s3.test")),
                    (ANON, ("anon", None, "test")),
                    (SERVICE, ("service_role", None, "test")),
                ][number % 3]
                assert await session.fetch(scope, _SQL["who_am_i"], tag=number) == [(*expected, number)]

            await asyncio.gather(*map(ask, range(60)))

    async def test_failure_of_the_commit_itself_is_the_statements_failure(
        self, session: Session, owner: psycopg.Connection
    ) -> None:
        owner.execute("""
            CREATE TABLE public.late (id integer PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
            GRANT ALL ON public.late TO service_role
        """)
        assert await session.write(SERVICE, _SQL["insert_late"], id=1) == [(1,)]
        from gateway.metadata.errors import DuplicateRow

        for _ in range(3):
            with pytest.raises(DuplicateRow):
                await session.write(SERVICE, _SQL["insert_late"], id=1)
        assert await session.write(SERVICE, _SQL["insert_late"], id=2) == [(2,)]

    async def test_statement_whose_result_changed_shape_is_prepared_anew(
        self, session: Session, owner: psycopg.Connection
    ) -> None:
        owner.execute("CREATE TABLE public.t AS SELECT 1 AS a; GRANT ALL ON public.t TO service_role")
        assert await session.fetch(SERVICE, _SQL["all_of"]) == [(1,)]
        owner.execute("ALTER TABLE public.t ADD COLUMN b text DEFAULT 'x'")
        assert await session.fetch(SERVICE, _SQL["all_of"]) == [(1, "x")]

    async def test_statement_that_could_not_be_prepared_is_tried_again_later(
        self, session: Session, owner: psycopg.Connection
    ) -> None:
        results = await asyncio.gather(
            *(session.fetch(SERVICE, _SQL["all_of"]) for _ in range(5)), return_exceptions=True
        )
        assert [type(result) for result in results] == [psycopg.errors.UndefinedTable] * 5
        owner.execute("CREATE TABLE public.t AS SELECT 1 AS a; GRANT ALL ON public.t TO service_role")
        assert await session.fetch(SERVICE, _SQL["all_of"]) == [(1,)]

    async def test_prepared_statements_are_bounded(self, database: Databases) -> None:
        async with opened(database.gateway_url, pool_size=1) as session:
            for number in range(MAX_PREPARED + 50):
                statement = Statement("n", f"SELECT {number}, count(*) FROM pg_prepared_statements", (), Lane.QUICK)  # type: ignore[arg-type]
                [(answer, prepared)] = await session.fetch(SERVICE, statement)
                assert answer == number
                assert prepared <= MAX_PREPARED + 2


class TestLanes:
    async def test_slow_statements_do_not_delay_quick_ones(self, database: Databases) -> None:
        async with opened(database.gateway_url, pool_size=4) as session:
            await session.fetch(SERVICE, _SQL["backend"])
            slow = [asyncio.create_task(session.fetch(SERVICE, _SQL["sleep_slowly"], seconds=1)) for _ in range(4)]
            await asyncio.sleep(0.1)
            began = time.monotonic()
            for _ in range(20):
                await session.fetch(SERVICE, _SQL["backend"])
            assert time.monotonic() - began < 0.5
            await asyncio.gather(*slow)

    async def test_slow_statements_have_a_connection_each(self, database: Databases) -> None:
        async with opened(database.gateway_url, pool_size=8) as session:
            rows = await asyncio.gather(*(session.fetch(SERVICE, _SQL["sleep_slowly"], seconds=0.3) for _ in range(4)))
            assert len({row[0][1] for row in rows}) == 4

    async def test_quick_lane_goes_round_a_statement_that_proved_slow(self, database: Databases) -> None:
        async with opened(database.gateway_url, pool_size=8) as session:
            await session.fetch(SERVICE, _SQL["backend"])
            slow = asyncio.create_task(session.fetch(SERVICE, _SQL["sleep"], seconds=1))
            await asyncio.sleep(0.1)
            began = time.monotonic()
            await asyncio.gather(*(session.fetch(SERVICE, _SQL["backend"]) for _ in range(50)))
            assert time.monotonic() - began < 0.6
            await slow

    async def test_connections_are_bounded(self, database: Databases, owner: psycopg.Connection) -> None:
        async with opened(database.gateway_url, pool_size=4) as session:
            await asyncio.gather(
                *(session.fetch(SERVICE, _SQL["sleep_slowly"], seconds=0.05) for _ in range(20)),
                *(session.fetch(SERVICE, _SQL["backend"]) for _ in range(200)),
            )
            [open_now] = owner.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE application_name = 'rowlock' AND datname = current_database()"
            ).fetchone() or [None]
            assert open_now <= 4

    async def test_too_many_waiting_is_slow_down_at_once(self, database: Databases) -> None:
        async with opened(database.gateway_url, pool_size=1) as session:
            began = time.monotonic()
            results = await asyncio.gather(
                *(session.fetch(SERVICE, _SQL["sleep_slowly"], seconds=0.001) for _ in range(200)),
                return_exceptions=True,
            )
            refused = [result for result in results if isinstance(result, StorageError)]
            assert 0 < len(refused) <= 136
            assert {error.code.name for error in refused} == {"SlowDown"}
            assert time.monotonic() - began < 5

    async def test_heartbeat_passes_writers_that_wait_for_a_lock(self, database: Databases) -> None:
        async with opened(database.gateway_url, pool_size=1, wait=0.2) as session:
            epoch = await engine.begin_epoch(session, "test", 1)
            task = asyncio.create_task(session.fetch(SERVICE, _SQL["sleep_slowly"], seconds=1))
            await asyncio.sleep(0.1)
            assert await engine.beat(session, epoch)
            await task


class TestFates:
    async def test_cancelled_caller_disturbs_nobody(self, database: Databases) -> None:
        async with opened(database.gateway_url, pool_size=1) as session:
            for _ in range(5):
                tasks = [
                    asyncio.create_task(session.fetch(user(ALICE), _SQL["who_am_i"], tag=number))
                    for number in range(20)
                ]
                await asyncio.sleep(0)
                for task in tasks[::2]:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                assert [row[0][3] for row in results[1::2]] == list(range(1, 20, 2))
                assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])

    async def test_lingering_statement_nobody_waits_for_is_ended(self, database: Databases) -> None:
        async with opened(database.gateway_url, pool_size=1, wait=2) as session:
            for _ in range(3):
                task = asyncio.create_task(session.fetch(SERVICE, _SQL["sleep"], seconds=30))
                await asyncio.sleep(0.1)
                task.cancel()
                assert await session.fetch(ANON, _SQL["who_am_i"], tag=1) == [("anon", None, "test", 1)]

    async def test_reads_of_a_killed_backend_are_repeated_elsewhere(
        self, database: Databases, owner: psycopg.Connection
    ) -> None:
        async with opened(database.gateway_url, pool_size=1) as session:
            for _ in range(5):
                [(victim,)] = await session.fetch(SERVICE, _SQL["backend"])
                tasks = [
                    asyncio.create_task(session.fetch(user(ALICE), _SQL["who_am_i"], tag=number))
                    for number in range(30)
                ]
                owner.execute("SELECT pg_terminate_backend(%s)", [victim])
                results = await asyncio.gather(*tasks)
                assert [rows[0][3] for rows in results] == list(range(30))

    async def test_write_of_a_killed_backend_has_an_unknown_outcome(
        self, database: Databases, owner: psycopg.Connection
    ) -> None:
        owner.execute("CREATE TABLE public.late (id integer); GRANT ALL ON public.late TO service_role")
        async with opened(database.gateway_url, pool_size=1) as session:
            task = asyncio.create_task(session.write(SERVICE, _SQL["write_and_die"], id=1, seconds=5))
            await asyncio.sleep(0.2)
            owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'active' "
                          "AND datname = current_database() AND pid <> pg_backend_pid()")  # fmt: skip
            with pytest.raises(OutcomeUnknown):
                await task
            assert await session.write(SERVICE, _SQL["write_and_die"], id=2, seconds=0) == [(2,)]
        assert owner.execute("SELECT id FROM public.late").fetchall() == [(2,)]

    async def test_close_lets_running_statements_end(self, database: Databases) -> None:
        async with opened(database.gateway_url) as session:
            task = asyncio.create_task(session.fetch(SERVICE, _SQL["sleep_slowly"], seconds=0.3))
            await asyncio.sleep(0.1)
        assert len(await task) == 1
        with pytest.raises(StorageError, match="ServiceUnavailable"):
            await session.fetch(SERVICE, _SQL["backend"])

    async def test_server_that_is_away_is_slow_down_and_then_found_again(self, database: Databases) -> None:
        with tempfile.TemporaryDirectory(prefix="rl-") as directory:
            away = conninfo.make_conninfo(database.gateway_url, host=directory)
            async with opened(away, wait=0.3) as session:
                with pytest.raises(StorageError, match="SlowDown"):
                    await session.fetch(SERVICE, _SQL["backend"])
                host = conninfo.conninfo_to_dict(database.gateway_url)["host"]
                port = conninfo.conninfo_to_dict(database.gateway_url).get("port", 5432)
                os.symlink(f"{host}/.s.PGSQL.{port}", f"{directory}/.s.PGSQL.{port}")
                for _ in range(10):
                    with contextlib.suppress(StorageError):
                        await session.fetch(SERVICE, _SQL["backend"])
                        return
                pytest.fail("the session never found the server again")
