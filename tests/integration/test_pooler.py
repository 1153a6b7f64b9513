"""Behind PgBouncer in transaction mode: scopes stay apart, and lanes are used only where prepared statements follow."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo

from gateway.metadata.embedded import Databases
from gateway.metadata.session import Session
from gateway.statements import parse
from tests.integration.conftest import ANON, SERVICE, user

# Debian 12 has 1.18; this names another one to test with.
PGBOUNCER = os.environ.get("ROWLOCK_TEST_PGBOUNCER") or shutil.which(
    "pgbouncer", path="/usr/local/bin:/usr/bin:/usr/sbin"
)
ALICE = "6f0e3f8e-7d1c-4c1b-9a57-0a3c4e6c0001"

_SQL = parse(
    """
-- name: who_am_i
-- lane: quick
SELECT current_user::text, auth.uid()::text, storage.operation(), %(tag)s::integer;

-- name: divide
-- lane: quick
SELECT 1 / (%(zero)s::integer);
"""
)

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed")


async def test_scopes_stay_apart_with_and_without_prepared_statements(database: Databases) -> None:
    follows = _version() >= (1, 21)
    async with (
        bouncer(database, *(["max_prepared_statements = 200"] if follows else [])) as url,
        opened(url) as session,
    ):

        async def ask(number: int) -> None:
            if number % 5 == 4:
                with pytest.raises(psycopg.errors.DivisionByZero):
                    await session.fetch(user(ALICE), _SQL["divide"], zero=0)
                return
            scope, role = [(user(ALICE), "authenticated"), (ANON, "anon"), (SERVICE, "service_role")][number % 3]
            [row] = await session.fetch(scope, _SQL["who_am_i"], tag=number)
            assert (row[0], row[3]) == (role, number)

        for _ in range(5):
            await asyncio.gather(*map(ask, range(60)))
        async with session.transaction(user(ALICE)) as transaction:
            for number in range(8):
                [row] = await transaction.fetch(_SQL["who_am_i"], tag=number)
                assert row[:2] == ("authenticated", ALICE)
        assert session.multiplexed is follows


async def test_pooler_that_does_not_follow_prepared_statements_is_recognised(database: Databases) -> None:
    settings = ["max_prepared_statements = 0"] if _version() >= (1, 21) else []
    async with bouncer(database, *settings) as url, opened(url) as first, opened(url) as second:
        for session in (first, second, first, second):
            rows = await asyncio.gather(*(session.fetch(ANON, _SQL["who_am_i"], tag=n) for n in range(20)))
            assert [row[0][3] for row in rows] == list(range(20))
        assert not first.multiplexed
        assert not second.multiplexed


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Session]:
    session = Session(url, pool_size=8, pool_timeout_seconds=5, statement_timeout_seconds=30)
    await session.open()
    try:
        yield session
    finally:
        await session.close()


@contextlib.asynccontextmanager
async def bouncer(database: Databases, *settings: str) -> AsyncIterator[str]:
    """PgBouncer before the test database; gives the URL of the gateway's login through it."""
    parts = conninfo.conninfo_to_dict(database.gateway_url)
    async with relay(f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}") as postgres_port:
        with _process(f"{parts['user']}", f"{parts['password']}", postgres_port, settings) as port:
            await _listening(port)
            yield conninfo.make_conninfo(database.gateway_url, host="127.0.0.1", port=port)


@contextlib.contextmanager
def _process(user_name: str, password: str, postgres_port: int, settings: tuple[str, ...]) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="rl-") as directory:
        Path(directory, "users").write_text(f'"{user_name}" "{password}"\n')
        lines = [
            "[databases]",
            f"* = host=127.0.0.1 port={postgres_port}",
            "[pgbouncer]",
            "listen_addr = 127.0.0.1",
            f"listen_port = {port}",
            "unix_socket_dir =",
            "auth_type = scram-sha-256",
            f"auth_file = {directory}/users",
            "pool_mode = transaction",
            "default_pool_size = 4",
            *settings,
        ]
        Path(directory, "ini").write_text("\n".join(lines) + "\n")
        options = []
        if os.geteuid() == 0:
            # PgBouncer refuses to run as root, so another user must read its files.
            shutil.chown(directory, "nobody")
            options = ["-u", "nobody"]
        process = subprocess.Popen(
            [str(PGBOUNCER), *options, f"{directory}/ini"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield port
        finally:
            process.terminate()
            process.wait(10)


@contextlib.asynccontextmanager
async def relay(path: str) -> AsyncIterator[int]:
    """A TCP port before a Unix socket: PgBouncer's user may not enter the server's directory."""
    serving: set[asyncio.Task[None] | None] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        there_reader, there_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        running = [task for task in serving if task is not None]
        if running:
            await asyncio.wait(running, timeout=5)


async def _listening(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    pytest.fail("pgbouncer did not start")


def _version() -> tuple[int, int]:
    said = subprocess.run([str(PGBOUNCER), "--version"], capture_output=True, text=True, check=True).stdout
    major, minor, *_ = said.split()[1].split(".")
    return int(major), int(minor)
