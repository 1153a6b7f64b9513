"""A Rowlock with a JWT secret and a port for the JSON API, callers for it, and its database."""

import itertools
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from conformance import server, upstream
from conformance.rest import tokens
from conformance.rest.client import Api
from conformance.rest.stubs import Stub
from conformance.server import RunningServer, shared_server
from conformance.upstream import Upstream

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


ADMIN_KEY: Final = "admin-key-of-the-suite"
# Whoever connects from here is the proxy; everybody else in these tests comes from 127.0.0.1.
PROXY_ADDRESS: Final = "127.0.0.2"


@pytest.fixture(scope="session")
def stub() -> Iterator[Stub]:
    """A CDN to be told of changes, and a store that can be switched off."""
    opened = Stub()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def store(run_directory: Path) -> Iterator[Upstream]:
    """A second Rowlock that the first one keeps bytes in, seen by clients as localhost."""
    with upstream.shared_upstream(run_directory, "rowlock") as running:
        yield running


@pytest.fixture(scope="session")
def handing(store: Upstream, stub: Stub) -> Iterator[RunningServer]:
    """A server that lets others answer reads, and tells a CDN of changes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        admin_port = probe.getsockname()[1]
    away = {
        "kind": "s3",
        "endpoint": stub.url,
        "bucket": "b",
        "access_key_id": "k",
        "secret_access_key": {"env": "STUB"},
    }
    backends = {"store": store.backend(public_endpoint=store.endpoint.replace("127.0.0.1", "localhost")), "away": away}
    running = server.start(
        settings={
            "ROWLOCK_JWT_SECRET": tokens.SECRET,
            "ROWLOCK_BACKENDS": json.dumps(backends),
            upstream.SECRET_VARIABLE: store.secret_access_key,
            "STUB": "nothing",
            "ROWLOCK_ADMIN_PORT": str(admin_port),
            "ROWLOCK_ADMIN_API_KEY": ADMIN_KEY,
            "ROWLOCK_CDN_URL": "https://cdn.example.test",
            "ROWLOCK_CDN_PURGE_URL": f"{stub.url}/cdn",
            "ROWLOCK_CDN_PURGE_KEY": "purge-key",
            "ROWLOCK_SURROGATE_HEADER": "surrogate-key",
            "ROWLOCK_S_MAXAGE_SECONDS": "600",
            "ROWLOCK_ACCEL": "x-accel-redirect",
            "ROWLOCK_TRUSTED_PROXIES": f"{PROXY_ADDRESS}/32",
        }
    )
    yield running
    server.stop(running)


@pytest.fixture(scope="session")
def handing_service(handing: RunningServer) -> Api:
    """The service key at that server."""
    return Api("127.0.0.1", handing.port, tokens.mint({"role": "service_role"}))


@pytest.fixture(scope="session")
def handing_s3(handing: RunningServer) -> Iterator[Any]:
    """Its S3 door."""
    client = handing.target.client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def handing_sql(handing: RunningServer) -> Iterator[psycopg.Connection[Any]]:
    """Its database, as the owner."""
    url = handing.run("db", "url").stdout.strip().splitlines()[-1]
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection
