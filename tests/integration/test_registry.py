"""The registry on a real Postgres: life of a key, notifications, and who may read the table."""

import asyncio
import time

import psycopg
import pytest
from psycopg import sql

from gateway.auth.credentials import CredentialStore
from gateway.errors import StorageError
from gateway.tenants.control import PostgresControlDatabase
from gateway.tenants.registry import NewAccessKey, PostgresRegistry, RegistryError
from gateway.tenants.secrets import MasterKey, SecretError

MASTER = MasterKey.of(b"m" * 32)


def key(access_key_id="AKIDEXAMPLE", **changes):
    return NewAccessKey(**{"access_key_id": access_key_id, "secret": "secretsecret", "role": "service_role", **changes})


@pytest.fixture
async def control(database):
    async with PostgresControlDatabase(database.owner_url, timeout_seconds=5) as connected:
        yield connected


@pytest.fixture
def registry(control):
    return PostgresRegistry(control, MASTER)


async def test_life_of_a_key(registry):
    assert await registry.find_key("AKIDEXAMPLE") is None
    made = await registry.create_key(key(subject="u", display_name="U", claims={"team": ["a", 1]}, description="d"))
    assert made.revoked_at is None
    found = await registry.find_key("AKIDEXAMPLE")
    assert found is not None
    assert (found.secret, found.role, found.subject, found.display_name) == ("secretsecret", "service_role", "u", "U")
    assert found.claims == {"team": ["a", 1]}
    with pytest.raises(RegistryError):
        await registry.create_key(key())
    first = await registry.revoke_key("AKIDEXAMPLE")
    assert first is not None
    assert first.revoked_at is not None
    assert await registry.find_key("AKIDEXAMPLE") is None
    assert await registry.revoke_key("AKIDEXAMPLE") == first
    assert await registry.revoke_key("NOBODY") is None
    with pytest.raises(RegistryError):
        await registry.create_key(key())


async def test_expired_key_is_not_found(registry, control, database):
    await registry.create_key(key())
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("update control.access_keys set expires_at = now() - interval '1 second'")
    assert await registry.find_key("AKIDEXAMPLE") is None


async def test_settings_key_is_put_over_whatever_was_there(registry):
    await registry.create_key(key())
    await registry.revoke_key("AKIDEXAMPLE")
    await registry.put_key(key(secret="anothersecret"))
    await registry.put_key(key(secret="anothersecret"))
    found = await registry.find_key("AKIDEXAMPLE")
    assert found is not None
    assert found.secret == "anothersecret"


async def test_pages_are_in_byte_order(registry):
    for name in ("b-key", "A-key", "a-key", "B-key"):
        await registry.create_key(key(name))
    assert [info.access_key_id for info in await registry.list_keys()] == ["A-key", "B-key", "a-key", "b-key"]
    assert [info.access_key_id for info in await registry.list_keys(after="B-key", limit=1)] == ["a-key"]


async def test_secret_is_sealed_in_its_row(registry, database):
    await registry.create_key(key())
    await registry.create_key(key("OTHERKEY", secret="othersecret"))
    with psycopg.connect(database.owner_url) as connection:
        rows = connection.execute("select row_to_json(k)::text, secret from control.access_keys k").fetchall()
        assert all(b"secretsecret" not in bytes(row[1]) and "secretsecret" not in row[0] for row in rows)
        connection.execute(
            "update control.access_keys set secret = (select secret from control.access_keys where access_key_id = %s)",
            ["AKIDEXAMPLE"],
        )
    with pytest.raises(SecretError):
        await registry.find_key("OTHERKEY")
    with pytest.raises(SecretError):
        await PostgresRegistry(registry._database, MasterKey.of(b"n" * 32)).find_key("AKIDEXAMPLE")


async def test_every_change_is_notified(registry, database):
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute("listen control_access_keys")
        await registry.create_key(key())
        await registry.revoke_key("AKIDEXAMPLE")
        await registry.put_key(key("OTHERKEY"))
        connection.execute("update control.access_keys set access_key_id = 'THIRDKEY' where access_key_id = 'OTHERKEY'")
        connection.execute("delete from control.access_keys where access_key_id = 'THIRDKEY'")
        payloads = [notice.payload for notice in connection.notifies(timeout=2, stop_after=6)]
    assert payloads == ["AKIDEXAMPLE", "AKIDEXAMPLE", "OTHERKEY", "OTHERKEY", "THIRDKEY", "THIRDKEY"]


def test_nobody_else_reads_the_registry(database):
    """Every role there is, and a fresh one, sees no key; only the gateway's login before it takes a role."""
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        me = owner.execute("select current_user").fetchone()[0]
        owner.execute("create role test_stranger")
        try:
            roles = owner.execute(
                "select rolname from pg_roles where not rolsuper "
                "and rolname not in (%s, 'rowlock_gateway') and rolname not like 'pg\\_%%'",
                [me],
            ).fetchall()
            assert ("test_stranger",) in roles
            for (role,) in roles:
                privileges = owner.execute(
                    "select has_schema_privilege(%s, 'control', 'usage'), "
                    "has_table_privilege(%s, 'control.access_keys', 'select, insert, update, delete')",
                    [role, role],
                ).fetchone()
                assert privileges == (False, False), role
            owner.execute(sql.SQL("set role {}").format(sql.Identifier("test_stranger")))
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                owner.execute("select * from control.access_keys")
            owner.execute("reset role")
        finally:
            owner.execute("reset role")
            owner.execute("drop role test_stranger")


async def test_table_checks_what_is_written_by_hand(database):
    row = {"id": "AKIDEXAMPLE", "secret": b"x" * 40, "role": "anon", "claims": "{}"}
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        for change in ({"id": "a b"}, {"id": "ab"}, {"secret": b""}, {"role": "Robert'); --"}, {"claims": "[]"}):
            with pytest.raises(psycopg.errors.CheckViolation):
                connection.execute(
                    "insert into control.access_keys (access_key_id, secret, role, claims) "
                    "values (%(id)s, %(secret)s, %(role)s, %(claims)s)",
                    row | change,
                )


async def test_unreachable_database_is_503(registry, control):
    credentials = CredentialStore(registry)
    await registry.create_key(key())
    assert await credentials.find("AKIDEXAMPLE") is not None
    await control.__aexit__(None, None, None)
    assert await credentials.find("AKIDEXAMPLE") is not None
    with pytest.raises(StorageError) as caught:
        await credentials.find("OTHERKEY")
    assert caught.value.code.name == "ServiceUnavailable"


async def test_nobody_listens_is_503_within_the_timeout():
    async with PostgresControlDatabase("postgresql://127.0.0.1:1/x", timeout_seconds=0.5) as control:
        start = time.monotonic()
        with pytest.raises(StorageError) as caught:
            await PostgresRegistry(control, MASTER).find_key("AKIDEXAMPLE")
        assert caught.value.code.name == "ServiceUnavailable"
        assert time.monotonic() - start < 3


async def test_connections_are_few_and_a_killed_one_is_replaced(registry, database):
    await registry.create_key(key())
    await asyncio.gather(*(registry.find_key("AKIDEXAMPLE") for _ in range(50)))
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        ours = connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'rowlock-control'"
        ).fetchall()
    assert 1 <= len(ours) <= 2
    for _ in range(4):
        assert await registry.find_key("AKIDEXAMPLE") is not None
