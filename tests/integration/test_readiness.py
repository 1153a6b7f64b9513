"""Readiness over a real database: down while it is away, and up again when it is back."""

import asyncio
import json
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo, sql

from gateway.config import Settings
from gateway.jobs.health import DATABASE, Readiness, database_check
from gateway.many_tenants import ManyTenants
from gateway.metadata.embedded import Databases
from gateway.metadata.session import Session


def allow(database: Databases, allowed: bool) -> None:
    """Let everybody connect, or nobody, throwing out who is."""
    name = conninfo.conninfo_to_dict(database.owner_url)["dbname"]
    with psycopg.connect(conninfo.make_conninfo(database.owner_url, dbname="postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(sql.Identifier(str(name)), sql.Literal(allowed))
        )
        if not allowed:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


async def test_database_that_is_away_is_down_and_up_again_when_it_is_back(database: Databases) -> None:
    session = Session(database.gateway_url, pool_size=3, pool_timeout_seconds=1, statement_timeout_seconds=5)
    await session.open()
    readiness = Readiness({DATABASE: database_check(session)}, fresh_seconds=0)
    try:
        assert (await readiness.report()).is_ready
        allow(database, False)
        try:
            assert (await readiness.report()).document["down"] == [DATABASE]
        finally:
            allow(database, True)
        for _ in range(100):
            report = await readiness.report()
            if report.is_ready:
                break
            await asyncio.sleep(0.1)
        assert report.is_ready
    finally:
        await session.close()


async def asked(application: Any, path: str, host: bytes) -> tuple[int, bytes]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "scheme": "http",
        "headers": [(b"host", host)], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 9000), "root_path": "",
        "http_version": "1.1",
    }  # fmt: skip
    await application(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def test_fleet_without_its_control_database_is_alive_and_not_ready(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, multi_tenant=True, database_pool_timeout_seconds=1)
    application = ManyTenants(settings, "postgresql://127.0.0.1:1/nowhere?connect_timeout=1")
    await application.start()
    try:
        for host in (b"localhost", b"somebody.example"):
            assert await asked(application, "/storage/v1/status", host) == (200, b"")
            status, body = await asked(application, "/storage/v1/health/ready", host)
            document = {"ready": False, "down": ["control"], "checks": {"control": "down", "backend:file": "up"}}
            assert (status, json.loads(body)) == (503, document)
    finally:
        await application.close()
