"""Real Postgres for tests: ``database`` is a fresh, migrated database; ``postgres`` is the server behind it.

The server is ``ROWLOCK_TEST_DATABASE_URL`` (a superuser's) or an embedded one in a temporary directory, one a pytest
worker. Databases are cloned from a template that is migrated once, so a fresh one costs some 50 ms.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql

from gateway import statements
from gateway.metadata.directory import DataDirectory
from gateway.metadata.embedded import GATEWAY_ROLE, Databases, EmbeddedPostgres, enable_login
from gateway.metadata.migrate import migrate

FAMILIES = ("tenant", "control")
# Fast, and no promise is tested by pulling the plug of this server.
FAST_SETTINGS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB", "max_wal_size": "256MB"}


@dataclass(frozen=True)
class Server:
    """A server whose ``databases`` point at its maintenance database, and a way to get fresh databases on it."""

    databases: Databases
    template: str

    def fresh(self) -> AbstractContextManager[Databases]:
        """A new migrated database; dropped at the end, whoever is still connected."""
        return _fresh(self)


@contextlib.contextmanager
def _fresh(server: Server) -> Iterator[Databases]:
    name = f"test_{secrets.token_hex(6)}"
    _administer(server, "create database {} template {}", name, server.template)
    try:
        yield _at(server.databases, name)
    finally:
        _administer(server, "drop database if exists {} with (force)", name)


def _administer(server: Server, statement: str, *names: str) -> None:
    with psycopg.connect(server.databases.owner_url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _at(databases: Databases, name: str) -> Databases:
    return Databases(
        conninfo.make_conninfo(databases.owner_url, dbname=name),
        conninfo.make_conninfo(databases.gateway_url, dbname=name),
    )


@contextlib.contextmanager
def _server() -> Iterator[Databases]:
    given = os.environ.get("ROWLOCK_TEST_DATABASE_URL")
    if given:
        # The same password in every pytest worker, for they share the role.
        password = "test-" + str(conninfo.conninfo_to_dict(given).get("password", "none"))
        yield Databases(given, conninfo.make_conninfo(given, user=GATEWAY_ROLE, password=password))
        return
    path = Path(tempfile.mkdtemp(prefix="rowlock-test-"))
    try:
        with (
            DataDirectory.hold(path) as directory,
            EmbeddedPostgres(directory, connections=180, settings=FAST_SETTINGS) as embedded,
        ):
            yield embedded.databases
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The server, with a migrated template database."""
    with _server() as databases:
        server = Server(databases, f"rowlock_template_{secrets.token_hex(6)}")
        _administer(server, "create database {}", server.template)
        target = _at(databases, server.template)
        # Roles belong to the whole server, so workers that share one must not make them at the same time.
        with open(Path(tempfile.gettempdir()) / f"rowlock-test-{os.getuid()}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for family in FAMILIES:
                if (statements.sql_directory() / family).is_dir():
                    migrate(target.owner_url, family)
            if _has_gateway_role(target.owner_url):
                enable_login(target.owner_url, str(conninfo.conninfo_to_dict(target.gateway_url)["password"]))
        yield server
        _administer(server, "drop database if exists {} with (force)", server.template)


def _has_gateway_role(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("select from pg_roles where rolname = %s", [GATEWAY_ROLE]).fetchone() is not None


@pytest.fixture
def database(postgres: Server) -> Iterator[Databases]:
    """A fresh, migrated database for one test."""
    with postgres.fresh() as databases:
        yield databases


@pytest.fixture(scope="module")
def module_database(postgres: Server) -> Iterator[Databases]:
    """A fresh, migrated database that the tests of one module share."""
    with postgres.fresh() as databases:
        yield databases


@pytest.fixture
def directory() -> Iterator[Path]:
    """A temporary directory with a path short enough for sockets, empty of what pytest keeps."""
    path = Path(tempfile.mkdtemp(prefix="rl-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
