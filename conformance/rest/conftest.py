"""A Rowlock with a JWT secret and a port for the JSON API, callers for it, and its database."""

import itertools
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from conformance.rest import tokens
from conformance.rest.client import Api
from conformance.server import RunningServer, shared_server

_numbers: Final = itertools.count(1)


@pytest.fixture(scope="session")
def rest_server(run_directory: Path) -> Iterator[RunningServer]:
    """The server of this suite; a given ``ROWLOCK_ENDPOINT`` has secrets of its own and is not used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"ROWLOCK_JWT_SECRET": tokens.SECRET, "ROWLOCK_REST_PORT": str(port), "ROWLOCK_MAX_PUT_BYTES": "2000000"}
    with shared_server(run_directory, "rest", settings=settings) as running:
        yield running


@pytest.fixture(scope="session")
def nobody(rest_server: RunningServer) -> Api:
    """A caller without a token."""
    return Api("127.0.0.1", rest_server.port)


@pytest.fixture(scope="session")
def anon(nobody: Api) -> Api:
    """A caller with the anon key."""
    return nobody.by(tokens.mint({"role": "anon"}))


@pytest.fixture(scope="session")
def service(nobody: Api) -> Api:
    """A caller with the service key."""
    return nobody.by(tokens.mint({"role": "service_role"}))


@pytest.fixture(scope="session")
def alice(nobody: Api) -> Api:
    """A user."""
    return nobody.by(tokens.user(tokens.ALICE))


@pytest.fixture(scope="session")
def bob(nobody: Api) -> Api:
    """Another user."""
    return nobody.by(tokens.user(tokens.BOB))


@pytest.fixture(scope="session")
def own_port(rest_server: RunningServer, service: Api) -> Api:
    """The service key at the JSON API's own port, where it is at the root."""
    return Api("127.0.0.1", int(rest_server.settings["ROWLOCK_REST_PORT"]), service.token, "")


@pytest.fixture(scope="session")
def sql(rest_server: RunningServer) -> Iterator[psycopg.Connection[Any]]:
    """The database, as its owner."""
    url = rest_server.run("db", "url").stdout.strip().splitlines()[-1]
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def rest_s3(rest_server: RunningServer) -> Iterator[Any]:
    """The S3 door of the same server."""
    client = rest_server.target.client()
    yield client
    client.close()


@pytest.fixture
def name() -> Callable[[], str]:
    """Makes bucket names nobody has used in this run."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return lambda: f"rest-{os.getpid()}-{worker}-{next(_numbers)}"


@pytest.fixture
def fresh(service: Api, name: Callable[[], str]) -> str:
    """A private bucket of the service role's."""
    return service.make_bucket(name())


@pytest.fixture
def public(service: Api, name: Callable[[], str]) -> str:
    """A public bucket."""
    return service.make_bucket(name(), public=True)


@pytest.fixture
def shared(fresh: str, sql: psycopg.Connection[Any]) -> Iterator[str]:
    """A bucket that users see, where each does what he likes in a folder of his own name: one policy, for all doors."""
    policy = f"folders {fresh}"
    in_it = f"bucket_id = '{fresh}' AND (storage.foldername(name))[1] = (SELECT auth.uid())::text"
    sql.execute(f'CREATE POLICY "{policy}" ON storage.objects TO authenticated USING ({in_it}) WITH CHECK ({in_it})')
    sql.execute(f"CREATE POLICY \"{policy}\" ON storage.buckets FOR SELECT TO authenticated USING (id = '{fresh}')")
    yield fresh
    sql.execute(f'DROP POLICY "{policy}" ON storage.objects')
    sql.execute(f'DROP POLICY "{policy}" ON storage.buckets')
