"""The control database of tenants: what is stored, sealed, told and audited; and the key that seals is rotated."""

import asyncio
import time

import psycopg
import pytest

from gateway.tenants import audit, rotation
from gateway.tenants.control import Actor, PostgresControlDatabase, acting
from gateway.tenants.directory import NewTenant, TenantDirectory
from gateway.tenants.errors import RegistryError, TakenError, UnknownError
from gateway.tenants.jwks import JwkStore
from gateway.tenants.limits import TenantLimits
from gateway.tenants.listener import ControlListener
from gateway.tenants.registry import NewAccessKey, PostgresKeys, PostgresRegistry
from gateway.tenants.secrets import MasterKey, SecretError

MASTER = MasterKey.of(b"m" * 32)
URL = "postgresql://gateway:hunter2@db.example/acme"
SECRET = "a secret of forty characters, or a few more"


@pytest.fixture
async def control(database):
    async with PostgresControlDatabase(database.gateway_url, timeout_seconds=5) as connected:
        yield connected


@pytest.fixture
def directory(control):
    return TenantDirectory(control, MASTER)


@pytest.fixture
def jwks(control):
    return JwkStore(control, MASTER)


def tenant(tenant_id="acme", **changes):
    return NewTenant(**{"id": tenant_id, "database_url": URL, **changes})


def key(access_key_id="AKIDEXAMPLE", **changes):
    return NewAccessKey(**{"access_key_id": access_key_id, "secret": "secretsecret", "role": "service_role", **changes})


JWK = {"kty": "oct", "kid": "first", "alg": "HS256", "k": "c2VjcmV0c2VjcmV0c2VjcmV0"}


async def test_life_of_a_tenant(directory):
    assert await directory.find("acme") is None
    made = await directory.create(
        tenant(owner_url=URL, jwt_secret=SECRET, region="eu-west-1", hosts=("S3.Acme.Example.", "s3.acme.example"))
    )
    assert (made.status, made.region, made.hosts) == ("active", "eu-west-1", ("s3.acme.example",))
    found = await directory.find("acme")
    assert found is not None
    assert (found.database_url, found.owner_url, found.pool_url, found.jwt_secret) == (URL, URL, None, SECRET)
    assert "hunter2" not in repr(found)
    assert SECRET not in repr(found)
    assert await directory.tenant_of_host("s3.acme.example") == "acme"
    changed = await directory.update("acme", {"limits": TenantLimits(storage_bytes=5), "owner_url": None, "hosts": ()})
    assert changed.limits == TenantLimits(storage_bytes=5)
    assert changed.revision > found.revision
    assert (await directory.read("acme")).owner_url is None
    assert await directory.tenant_of_host("s3.acme.example") is None
    await directory.set_status("acme", "suspended")
    assert await directory.find("acme") is None
    assert (await directory.read("acme")).status == "suspended"
    await directory.set_status("acme", "active")
    assert [info.id for info in await directory.page()] == ["acme"]
    await directory.delete("acme")
    assert await directory.find("acme") is None
    with pytest.raises(UnknownError):
        await directory.read("acme")
    with pytest.raises(TakenError):
        await directory.create(tenant())


async def test_deleted_tenant_takes_its_keys_and_secrets_with_it(directory, control, jwks, database):
    await directory.create(tenant(jwt_secret=SECRET, hosts=("acme.example",)))
    await PostgresRegistry(control, MASTER, "acme").create_key(key())
    await jwks.add("acme", JWK)
    await directory.delete("acme")
    assert await PostgresKeys(control, MASTER).find_key("AKIDEXAMPLE") is None
    with psycopg.connect(database.owner_url) as connection:
        row = connection.execute("select database_url, jwt_secret from control.tenants where id = 'acme'").fetchone()
        left = connection.execute(
            "select (select count(*) from control.jwks) + (select count(*) from control.tenant_hosts)"
        ).fetchone()
    assert row == (None, None)
    assert left == (0,)


async def test_key_of_one_tenant_is_unknown_to_the_other(directory, control):
    await directory.create(tenant("a"))
    await directory.create(tenant("b"))
    of_a, of_b = PostgresRegistry(control, MASTER, "a"), PostgresRegistry(control, MASTER, "b")
    await of_a.create_key(key(buckets=("logs",), prefix="2026/", read_only=True))
    assert await of_b.find_key("AKIDEXAMPLE") is None
    assert list(await of_b.list_keys()) == []
    assert await of_b.rotate_key("AKIDEXAMPLE", "anothersecret") is None
    assert await of_b.revoke_key("AKIDEXAMPLE") is None
    with pytest.raises(RegistryError):
        await of_b.create_key(key())
    with pytest.raises(RegistryError):
        await of_b.put_key(key(secret="anothersecret"))
    found = await of_a.find_key("AKIDEXAMPLE")
    assert found is not None
    assert (found.tenant_id, found.secret) == ("a", "secretsecret")
    assert (found.buckets, found.prefix, found.read_only) == (("logs",), "2026/", True)
    with pytest.raises(RegistryError):
        await PostgresRegistry(control, MASTER, "nobody").create_key(key("OTHERKEY"))


async def test_rotated_key_has_the_new_secret_only(directory, control):
    await directory.create(tenant())
    registry = PostgresRegistry(control, MASTER, "acme")
    await registry.create_key(key())
    assert await registry.rotate_key("AKIDEXAMPLE", "anothersecret") is not None
    found = await registry.find_key("AKIDEXAMPLE")
    assert found is not None
    assert found.secret == "anothersecret"
    await registry.revoke_key("AKIDEXAMPLE")
    assert await registry.rotate_key("AKIDEXAMPLE", "thirdsecret") is None


async def test_secret_moved_to_another_tenant_or_column_does_not_open(directory, control, database):
    await directory.create(tenant("a"))
    await directory.create(tenant("b"))
    await PostgresRegistry(control, MASTER, "a").create_key(key())
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("update control.access_keys set tenant_id = 'b'")
        connection.execute(
            "update control.tenants set database_url = (select database_url from control.tenants where id = 'a') "
            "where id = 'b'"
        )
        connection.execute("update control.tenants set owner_url = database_url where id = 'a'")
    with pytest.raises(SecretError):
        await PostgresKeys(control, MASTER).find_key("AKIDEXAMPLE")
    for name in ("a", "b"):
        with pytest.raises(SecretError):
            await directory.find(name)


async def test_host_belongs_to_one_tenant(directory):
    await directory.create(tenant("a", hosts=("s3.example",)))
    with pytest.raises(TakenError):
        await directory.create(tenant("b", hosts=("s3.example",)))
    with pytest.raises(TakenError):
        await directory.update("b", {"hosts": ("s3.example",)})
    assert await directory.tenant_of_host("s3.example") == "a"


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "UPPER"},
        {"id": "../etc"},
        {"id": ""},
        {"id": "a" * 64},
        {"database_url": "not a url"},
        {"owner_url": ""},
        {"jwt_secret": "short"},
        {"hosts": ("a b",)},
        {"region": ""},
        {"description": "two\nlines"},
    ],
)
async def test_bad_values_are_refused_and_store_nothing(directory, changes):
    with pytest.raises(RegistryError):
        await directory.create(tenant(**changes))
    assert list(await directory.page()) == []


async def test_jwks_are_sealed_rolled_and_removed(directory, jwks, database):
    await directory.create(tenant())
    assert (await jwks.add("acme", JWK)).signing
    assert not (await jwks.add("acme", JWK | {"kid": "second"})).signing
    with pytest.raises(TakenError):
        await jwks.add("acme", JWK)
    assert (await jwks.roll("acme", "second")).signing
    assert {stored.kid: (stored.signing, stored.jwk["k"]) for stored in await jwks.keys_of("acme")} == {
        "first": (False, JWK["k"]),
        "second": (True, JWK["k"]),
    }
    await jwks.remove("acme", "first")
    for refused in (jwks.roll("acme", "first"), jwks.remove("acme", "first"), jwks.roll("nobody", "second")):
        with pytest.raises(UnknownError):
            await refused
    with psycopg.connect(database.owner_url) as connection:
        stored = connection.execute("select jwk from control.jwks").fetchall()
    assert all(JWK["k"].encode() not in bytes(row[0]) for row in stored)


@pytest.mark.parametrize(
    "jwk",
    [
        JWK | {"kid": ""},
        JWK | {"alg": "none"},
        JWK | {"alg": "RS256"},
        JWK | {"kty": "RSA", "alg": "HS256"},
        {"kty": "RSA", "kid": "a", "alg": "RS256", "n": "x"},
        {"kty": "EC", "kid": "a", "alg": "ES256", "crv": "P-256", "x": "x", "y": "y", "d": "private"},
        JWK | {"k": "x" * 10_000},
        JWK | {"kid": ["a"]},
        {},
    ],
)
async def test_what_is_no_public_key_is_refused(directory, jwks, jwk):
    await directory.create(tenant())
    with pytest.raises(RegistryError) as refused:
        await jwks.add("acme", jwk)
    assert "private" not in str(refused.value) or "private members" in str(refused.value)
    assert await jwks.keys_of("acme") == []


async def test_every_change_is_audited_with_its_actor_and_no_secret(directory, control, jwks, database):
    with acting(Actor("admin API", "10.1.2.3", "REQUEST1")):
        await directory.create(tenant(jwt_secret=SECRET, hosts=("acme.example",)))
        await PostgresRegistry(control, MASTER, "acme").create_key(key())
        await jwks.add("acme", JWK)
        await directory.set_status("acme", "suspended")
        await PostgresRegistry(control, MASTER, "acme").revoke_key("AKIDEXAMPLE")
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("update control.tenants set description = 'by hand' where id = 'acme'")
    entries = list(reversed(await audit.page(control, tenant_id="acme")))
    assert [(entry.action, entry.target) for entry in entries] == [
        ("insert tenant", "acme"),
        ("insert host", "acme.example"),
        ("insert access key", "AKIDEXAMPLE"),
        ("insert jwk", "first"),
        ("update tenant", "acme"),
        ("update access key", "AKIDEXAMPLE"),
        ("update tenant", "acme"),
    ]
    assert {(entry.actor, entry.client_address, entry.request_id) for entry in entries[:-1]} == {
        ("admin API", "10.1.2.3", "REQUEST1")
    }
    assert entries[4].changed == ["status"]
    assert entries[5].changed == ["revoked_at"]
    assert entries[-1].actor == psycopg.conninfo.conninfo_to_dict(database.owner_url)["user"]
    assert [entry.id for entry in await audit.page(control, before=entries[1].id, limit=1)] == [entries[0].id]


async def test_refused_change_is_not_audited(directory, control):
    await directory.create(tenant("a", hosts=("s3.example",)))
    before = len(await audit.page(control))
    await directory.create(tenant("b"))
    with pytest.raises(TakenError):
        await directory.update("b", {"hosts": ("s3.example",)})
    # creating b, and the update of b that came before its hosts were refused changed nothing
    assert len(await audit.page(control)) == before + 1


async def test_gateway_cannot_rewrite_the_audit(directory, database):
    await directory.create(tenant())
    with psycopg.connect(database.gateway_url, autocommit=True) as connection:
        for statement in (
            "update control.audit set actor = 'x'",
            "delete from control.audit",
            "truncate control.audit",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role", "rowlock_engine"])
def test_no_role_of_a_caller_reads_the_registry(database, role):
    with psycopg.connect(database.gateway_url, autocommit=True) as connection:
        connection.execute(f"set role {role}")
        for table in ("tenants", "tenant_hosts", "jwks", "access_keys", "tenant_migrations", "audit"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select * from control.{table}")


async def test_rotation_seals_everything_anew_and_goes_on_where_it_stopped(directory, control, jwks, database):
    await directory.create(tenant("a", jwt_secret=SECRET, pool_url=URL))
    await directory.create(tenant("b"))
    for number in range(7):
        await PostgresRegistry(control, MASTER, "a").create_key(key(f"AKID{number}"))
    await jwks.add("a", JWK)
    new = MasterKey(b"n" * 32, MasterKey.of(b"n" * 32).id, (MASTER,))
    # somebody began: a part is sealed with the new key already
    await PostgresRegistry(control, new, "a").rotate_key("AKID3", "anothersecret")
    done = await rotation.rotate(control, new, page_size=2)
    assert (done.access_keys, done.tenants, done.jwks) == (6, 2, 1)
    assert dict(await rotation.sealed_by(control)) == {new.id.hex(): 12}
    again = await rotation.rotate(control, new)
    assert (again.access_keys, again.tenants, again.jwks) == (0, 0, 0)
    alone = MasterKey.of(b"n" * 32)
    found = await TenantDirectory(control, alone).find("a")
    assert found is not None
    assert (found.database_url, found.pool_url, found.jwt_secret) == (URL, URL, SECRET)
    assert (await PostgresKeys(control, alone).find_key("AKID6")).secret == "secretsecret"
    assert (await PostgresKeys(control, alone).find_key("AKID3")).secret == "anothersecret"
    assert (await JwkStore(control, alone).keys_of("a"))[0].jwk == JWK
    with pytest.raises(SecretError):
        await directory.find("a")


async def test_rotation_without_the_earlier_key_changes_nothing(directory, control):
    await directory.create(tenant())
    with pytest.raises(SecretError):
        await rotation.rotate(control, MasterKey.of(b"n" * 32))
    assert await directory.find("acme") is not None


async def test_listener_tells_of_changes_and_of_its_own_interruptions(directory, control, jwks, database):
    changes, connections = [], []
    listener = ControlListener(
        database.gateway_url, lambda channel, name: changes.append((channel, name)), connections.append
    )
    listener.start()
    try:
        await eventually(lambda: connections == [True])
        await directory.create(tenant())
        await PostgresRegistry(control, MASTER, "acme").create_key(key())
        await eventually(lambda: ("control_access_keys", "AKIDEXAMPLE") in changes)
        assert ("control_tenants", "acme") in changes
        changes.clear()
        await jwks.add("acme", JWK)
        await eventually(lambda: ("control_tenants", "acme") in changes)
        # what comes while the connection is asked whether it is alive is not lost either
        await asyncio.sleep(2.2)
        changes.clear()
        await directory.set_status("acme", "suspended")
        await eventually(lambda: ("control_tenants", "acme") in changes)
        with psycopg.connect(database.owner_url, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'rowlock-listener'"
            )
        await eventually(lambda: connections == [True, False, True])
    finally:
        await listener.stop()
    assert connections[-1] is False


async def eventually(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
