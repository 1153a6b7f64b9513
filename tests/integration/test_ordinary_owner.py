"""A database whose owner is no superuser: the migrations run where they may, and else say what to do.

On a server of its own, for what is tried here are roles, which belong to the whole server.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql

from gateway.metadata.directory import DataDirectory
from gateway.metadata.embedded import EmbeddedPostgres
from gateway.metadata.migrate import MigrationError, migrate, status
from tests.fix_postgres import FAMILIES, FAST_SETTINGS

PASSWORD = "only-of-this-test"


@contextmanager
def owned_database(superuser_url: str, owner: str, *, may_create_roles: bool) -> Iterator[str]:
    """A database and the login that owns it; the URL of that login."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        rights = sql.SQL("login createrole" if may_create_roles else "login")
        name = sql.Identifier(owner)
        connection.execute(sql.SQL("create role {} {} password {}").format(name, rights, sql.Literal(PASSWORD)))
        connection.execute(sql.SQL("create database {} owner {}").format(name, name))
    yield conninfo.make_conninfo(superuser_url, dbname=owner, user=owner, password=PASSWORD)


def act(url: str) -> int:
    """What a gateway with this login does: become the service role, and read keys as itself."""
    with psycopg.connect(url) as connection:
        connection.execute("select count(*) from control.access_keys")
        connection.execute("select set_config('role', 'service_role', true)")
        connection.execute("insert into storage.buckets (id, name) values ('b', 'b')")
        connection.execute("select rowlock.bucket_exists('b')")
        row = connection.execute("select count(*) from storage.buckets").fetchone()
        assert row is not None
        return int(row[0])


def follow_cdn(url: str) -> list[tuple[str | None, str | None]]:
    """What is noted for a CDN of a change after it was set up; turning triggers on is for who owns the tables."""
    with psycopg.connect(url) as connection:
        connection.execute("select rowlock.follow_cdn(true)")
        connection.execute("select set_config('role', 'service_role', true)")
        connection.execute("update storage.buckets set public = true")
        connection.execute("update storage.buckets set public = false")
        connection.execute("select set_config('role', 'rowlock_engine', true)")
        return connection.execute("select bucket_id, name from rowlock.cdn_purges").fetchall()


def test_owner_with_and_without_createrole(directory: Path) -> None:
    with (
        DataDirectory.hold(directory) as held,
        EmbeddedPostgres(held, settings=FAST_SETTINGS) as server,
        owned_database(server.owner_url, "plain", may_create_roles=False) as plain,
        owned_database(server.owner_url, "maker", may_create_roles=True) as maker,
    ):
        with pytest.raises(MigrationError) as caught:
            migrate(plain, "tenant")
        assert "run `rowlock db migrate` once with DATABASE_URL of a superuser" in str(caught.value)
        assert "GRANT rowlock_gateway TO plain" in str(caught.value)

        for family in FAMILIES:
            migrate(maker, family)
        assert act(maker) == 1

        for family in FAMILIES:
            migrate(conninfo.make_conninfo(server.owner_url, dbname="plain"), family)
        with psycopg.connect(server.owner_url, autocommit=True) as connection:
            connection.execute("grant rowlock_gateway to plain")
        assert [status(plain, family).pending for family in FAMILIES] == [(), ()]
        assert [migrate(plain, family) for family in FAMILIES] == [[], []]
        assert act(plain) == 1
        assert [follow_cdn(url) for url in (maker, plain)] == [[("b", None)]] * 2
