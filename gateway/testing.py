"""A running gateway for the tests of other applications: real S3, real policies, bytes in memory.

As a pytest plugin it gives the fixture ``rowlock``: one server for the whole run, its Postgres without fsync, empty
before every test that asks for it (some milliseconds). Elsewhere, use :func:`running_gateway`::

    def test_upload(rowlock):
        s3 = boto3.client("s3", **rowlock.client_options())
        s3.create_bucket(Bucket="docs")

Nothing here keeps any promise about a power cut; never point it at data that matters.
"""

import asyncio
import contextlib
import secrets
import socket
import tempfile
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from pydantic import SecretStr

from gateway import statements
from gateway.app import SINGLE_TENANT, Rowlock
from gateway.blobs.memory import MemoryStore
from gateway.config import Settings
from gateway.context import SERVICE_ROLE
from gateway.metadata.directory import DataDirectory
from gateway.metadata.embedded import Databases, EmbeddedPostgres
from gateway.metadata.migrate import migrate
from gateway.server import Worker
from gateway.tenants.control import PostgresControlDatabase
from gateway.tenants.registry import NewAccessKey, PostgresRegistry
from gateway.tenants.secrets import MasterKey

_SQL: Final = statements.load("testing")
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 15.0
_BACKENDS: Final = '{"memory": {"kind": "memory", "max_bytes": 268435456}}'
# Fast, and nobody pulls the plug of a test.
_POSTGRES_SETTINGS: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
}


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """Where it is, and how to use it. ``database_url`` is Postgres as the owner, to write policies with."""

    endpoint_url: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str
    database_url: str = field(repr=False)
    _app: Rowlock = field(repr=False)
    _loop: asyncio.AbstractEventLoop = field(repr=False)

    def client_options(self) -> dict[str, Any]:
        """What ``boto3.client("s3", **…)`` needs."""
        return {
            "endpoint_url": self.endpoint_url,
            "aws_access_key_id": self.access_key_id,
            "aws_secret_access_key": self.secret_access_key,
            "region_name": self.region,
        }

    def forget_everything(self) -> None:
        """Remove every bucket with everything in it, locked or not. Policies stay."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(_SQL["forget_everything"].text)
        for store in self._app.blobs.stores.values():
            if isinstance(store, MemoryStore):
                self._loop.call_soon_threadsafe(store.clear)


@contextlib.contextmanager
def running_gateway(**settings: Any) -> Iterator[RunningGateway]:
    """Start one in this process, on a free port of 127.0.0.1; ``settings`` are fields of ``gateway.config.Settings``.

    Raises StartupError, and RuntimeError if it does not come up.
    """
    key_id, secret = f"TEST{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30)
    with tempfile.TemporaryDirectory(prefix="rl-", ignore_cleanup_errors=True) as path, contextlib.ExitStack() as stack:
        Path(path).chmod(0o755)  # an embedded Postgres started by root runs as another user
        chosen = Settings(
            **{
                "data_dir": Path(path, "data"),
                "workers": 1,
                "port": 0,
                "backends": _BACKENDS,
                "default_backend": "memory",
                "database_pool_size": 8,
                "drain_seconds": 1.0,
                "master_key": SecretStr(b64encode(secrets.token_bytes(32)).decode()),
                **settings,
            }
        )
        directory = stack.enter_context(DataDirectory.hold(chosen.data_dir))
        postgres = EmbeddedPostgres(
            directory, postgres_bin=chosen.postgres_bin, connections=40, settings=_POSTGRES_SETTINGS
        )
        databases = stack.enter_context(postgres).databases
        for family in ("tenant", "control"):
            migrate(databases.owner_url, family)
        postgres.enable_gateway()
        asyncio.run(_store_key(chosen, databases, NewAccessKey(access_key_id=key_id, secret=secret, role=SERVICE_ROLE)))
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        server = stack.enter_context(_Server(chosen, databases, listener))
        yield RunningGateway(
            endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            access_key_id=key_id,
            secret_access_key=secret,
            region=chosen.region,
            database_url=databases.owner_url,
            _app=server.app,
            _loop=server.loop,
        )


class _Server:
    """The worker's event loop, in a thread."""

    def __init__(self, settings: Settings, databases: Databases, listener: socket.socket) -> None:
        self._settings = settings
        self._databases = databases
        self._listener = listener.dup()  # the server closes its own
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="rowlock-testing", daemon=True)
        self.app: Rowlock
        self.loop: asyncio.AbstractEventLoop

    def __enter__(self) -> "_Server":
        self._thread.start()
        if not self._ready.wait(_START_SECONDS):
            raise RuntimeError("the gateway did not come up")
        return self

    def __exit__(self, *failure: object) -> None:
        self.loop.call_soon_threadsafe(self._worker.stop)
        self._thread.join(_STOP_SECONDS)

    async def _run(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.app = Rowlock(self._settings, self._databases.gateway_url)
        self._worker = Worker(self._settings, self.app)
        serving = asyncio.create_task(self._worker.serve(self._listener))
        while not serving.done():
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(*self._listener.getsockname())
                writer.close()
                break
            await asyncio.sleep(0.01)
        self._ready.set()
        await serving


async def _store_key(settings: Settings, databases: Databases, key: NewAccessKey) -> None:
    master_key = MasterKey.load(settings, settings.data_dir)
    timeout = settings.database_pool_timeout_seconds
    async with PostgresControlDatabase(databases.gateway_url, timeout_seconds=timeout) as control:
        await PostgresRegistry(control, master_key, SINGLE_TENANT).put_key(key)


@pytest.fixture(scope="session")
def rowlock_server() -> Iterator[RunningGateway]:
    """The gateway of this run (of each worker, under pytest-xdist)."""
    with running_gateway() as running:
        yield running


@pytest.fixture
def rowlock(rowlock_server: RunningGateway) -> RunningGateway:
    """The same, with nothing in it."""
    rowlock_server.forget_everything()
    return rowlock_server
