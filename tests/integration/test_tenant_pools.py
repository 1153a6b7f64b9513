"""Tenants on one server: two that alternate over pools of one connection, and hundreds in one worker."""

import asyncio
import random
import resource

import psycopg
import pytest
from psycopg import conninfo, sql

from gateway.config import Settings
from gateway.context import Scope
from gateway.errors import StorageError
from gateway.many_tenants import ManyTenants
from gateway.metadata.session import Session
from gateway.statements import parse
from gateway.tenants.control import PostgresControlDatabase
from gateway.tenants.directory import NewTenant, TenantDirectory
from gateway.tenants.secrets import MasterKey

TENANTS = 100
REQUESTS = 1500

_SQL = parse(
    """
-- name: observe
SELECT current_user::text, current_database()::text, coalesce(auth.jwt() ->> 'tenant', ''),
    coalesce(current_setting('rowlock.request_id', true), ''), (SELECT count(*) FROM storage.buckets)::int,
    current_setting('statement_timeout');

-- name: put_bucket
INSERT INTO storage.buckets (id, name) VALUES (%(name)s::text, %(name)s::text);

-- name: fail
SELECT 1 / (%(zero)s::integer);

-- name: sleep
SELECT pg_sleep(%(seconds)s::float8);
"""
)


def scope(tenant: str, number: int) -> Scope:
    return Scope(
        role="service_role",
        operation="test",
        subject=tenant,
        claims_json=f'{{"tenant": "{tenant}", "role": "service_role"}}',
        request_id=f"{tenant}-{number}",
    )


@pytest.mark.parametrize("way", ["lanes", "pool", "transactions"])
async def test_two_tenants_alternating_over_one_connection_leave_nothing_behind(postgres, way):
    """Every exit a statement has, in random order; after each, what the connection shows is its own tenant's."""
    with postgres.fresh() as first, postgres.fresh() as second:
        sessions = {
            name: Session(place.gateway_url, pool_size=1, pool_timeout_seconds=5, statement_timeout_seconds=0.1)
            for name, place in (("a", first), ("b", second))
        }
        for session in sessions.values():
            await session.open()
            if way == "pool":
                await session._use_pool_only()
        databases = {
            name: conninfo.conninfo_to_dict(place.owner_url)["dbname"] for name, place in (("a", first), ("b", second))
        }
        await sessions["b"].write(scope("b", 0), _SQL["put_bucket"], name="of-b")
        chance = random.Random(way)

        async def run(session: Session, within: Scope, name: str, **values: object) -> object:
            if way != "transactions":
                return await session.fetch(within, _SQL[name], **values)
            async with session.transaction(within) as transaction:
                return await transaction.fetch(_SQL[name], **values)

        try:
            for number in range(300):
                name = chance.choice("ab")
                session, within = sessions[name], scope(name, number)
                match chance.randrange(5 if number % 10 == 0 else 3):
                    case 0:
                        with pytest.raises((psycopg.errors.DivisionByZero, StorageError)):
                            await run(session, within, "fail", zero=0)
                    case 1:
                        with pytest.raises(StorageError):
                            await session.fetch(Scope(role="postgres", operation="x"), _SQL["observe"])
                    case 2:
                        await run(session, within, "observe")
                    case 3:
                        with pytest.raises(StorageError):
                            await run(session, within, "sleep", seconds=5)
                    case _:
                        task = asyncio.create_task(run(session, within, "sleep", seconds=5))
                        await asyncio.sleep(0.02)
                        task.cancel()
                        with pytest.raises(asyncio.CancelledError):
                            await task
                for other, opened in sessions.items():
                    [row] = await run(opened, scope(other, number), "observe")
                    assert row[:5] == (
                        "service_role",
                        databases[other],
                        other,
                        f"{other}-{number}",
                        1 if other == "b" else 0,
                    )
            for place in (first, second):
                with psycopg.connect(place.owner_url) as connection:
                    count = connection.execute(
                        "select count(*) from pg_stat_activity "
                        "where datname = current_database() and application_name = 'rowlock'"
                    ).fetchone()[0]
                # one a kind at most
                assert count <= 3
        finally:
            for session in sessions.values():
                await session.close()


async def request(application, access_key_id):
    """One GET of the service as far as its signature, which is wrong: the tenant is opened for it."""
    statuses = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(b"host", f"{access_key_id}.s3.test".encode())]
    scope = {
        "type": "http", "method": "GET", "scheme": "http", "path": "/nothing/key", "raw_path": b"/nothing/key",
        "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1), "http_version": "1.1",
    }  # fmt: skip
    await application(scope, receive, send)
    return statuses[0]


async def test_hundreds_of_tenants_keep_connections_and_memory_bounded(postgres, directory, record_property):
    """All on one server, each with a database of its own, in random order."""
    with postgres.fresh() as registry:
        names = [f"many{number:03}" for number in range(TENANTS)]
        places = {}
        with psycopg.connect(postgres.databases.owner_url, autocommit=True) as owner:
            for name in names:
                owner.execute(
                    sql.SQL("create database {} template {} strategy file_copy").format(
                        sql.Identifier(f"{registry_name(registry)}_{name}"), sql.Identifier(postgres.template)
                    )
                )
                places[name] = conninfo.make_conninfo(registry.gateway_url, dbname=f"{registry_name(registry)}_{name}")
        try:
            await _ask_at_random(postgres, registry, names, places, directory, record_property)
        finally:
            with psycopg.connect(postgres.databases.owner_url, autocommit=True) as owner:
                for name in names:
                    owner.execute(
                        sql.SQL("drop database {} with (force)").format(
                            sql.Identifier(f"{registry_name(registry)}_{name}")
                        )
                    )


def registry_name(registry):
    return conninfo.conninfo_to_dict(registry.owner_url)["dbname"]


async def _ask_at_random(postgres, registry, names, places, directory, record_property):
    settings = Settings(
        data_dir=directory,
        multi_tenant=True,
        tenant_host_pattern=r"(?P<tenant>[a-z0-9]+)\.s3\.test",
        tenants_open=20,
        tenant_connections=60,
        tenant_pool_size=3,
        tenant_idle_seconds=30,
    )
    async with PostgresControlDatabase(registry.owner_url, timeout_seconds=5) as control:
        tenants = TenantDirectory(control, MasterKey.load(settings, directory))
        for name in names:
            await tenants.create(
                NewTenant(
                    id=name,
                    database_url=places[name],
                    owner_url=conninfo.make_conninfo(
                        registry.owner_url, dbname=conninfo.conninfo_to_dict(places[name])["dbname"]
                    ),
                )
            )
    application = ManyTenants(settings, registry.gateway_url)
    await application.start()
    chance = random.Random(1)
    most_connections = most_open = 0
    memory_kib = []
    try:
        for _ in range(REQUESTS // 30):
            chosen = [chance.choice(names) for _ in range(30)]
            statuses = await asyncio.gather(*(request(application, name) for name in chosen))
            # the bucket does not exist; 503 is what a client repeats when all places are taken for long
            assert set(statuses) <= {404, 503}
            assert statuses.count(404) > 20
            with psycopg.connect(postgres.databases.owner_url) as owner:
                count = owner.execute(
                    "select count(*) from pg_stat_activity where application_name = 'rowlock'"
                ).fetchone()[0]
            most_connections = max(most_connections, count)
            most_open = max(most_open, application.fleet.occupied)
            memory_kib.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    finally:
        await application.close()
    record_property("connections", most_connections)
    record_property("grown_kib", memory_kib[-1] - memory_kib[len(memory_kib) // 3])
    assert most_open <= 20
    assert most_connections <= 60
    assert memory_kib[-1] - memory_kib[len(memory_kib) // 3] < 64 * 1024
    print(f"\n{len(names)} tenants, {REQUESTS} requests: {most_connections} connections, {most_open} open, "
          f"{memory_kib[0]} KiB then {memory_kib[-1]} KiB")  # fmt: skip
    with psycopg.connect(postgres.databases.owner_url) as owner:
        left = owner.execute("select count(*) from pg_stat_activity where application_name = 'rowlock'").fetchone()
    assert left == (0,)
