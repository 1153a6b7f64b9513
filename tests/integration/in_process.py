"""A worker with many tenants inside the test's process: requests go to its ASGI application, no socket between."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from botocore.credentials import Credentials
from psycopg import conninfo

from conformance.isolation.callers import Caller, Kind
from conformance.isolation.wire import Answer, Request
from gateway.config import Settings
from gateway.context import SERVICE_ROLE
from gateway.many_tenants import ManyTenants
from gateway.metadata.embedded import Databases
from gateway.statements import load
from gateway.tenants.control import PostgresControlDatabase
from gateway.tenants.directory import NewTenant, TenantDirectory
from gateway.tenants.registry import NewAccessKey, PostgresRegistry
from gateway.tenants.secrets import MasterKey

SECRET: Final = "a-secret-of-forty-characters-for-a-test."


@dataclass(frozen=True, slots=True)
class Worker:
    """The application, and callers with a key of each tenant."""

    application: ManyTenants
    callers: dict[str, Caller]
    places: dict[str, Databases]

    async def ask(self, tenant: str, request: Request) -> Answer:
        """The answer to a request signed with the tenant's key."""
        return await send(self.application, self.callers[tenant].signed(request))

    def forget(self, tenant: str) -> None:
        """Empty a tenant."""
        with psycopg.connect(self.places[tenant].owner_url, autocommit=True) as connection:
            connection.execute(load("testing")["forget_everything"].text)


async def send(application: Any, request: Request) -> Answer:
    """One ASGI request, its answer whole."""
    path, _, query = request.target.partition("?")
    started: dict[str, Any] = {}
    body = bytearray()
    messages = [{"type": "http.request", "body": request.body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def answer(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
        elif message["type"] == "http.response.body":
            body.extend(message.get("body", b""))

    headers = [(name.lower().encode(), value.encode()) for name, value in request.headers]
    headers.append((b"content-length", str(len(request.body)).encode()))
    scope = {
        "type": "http", "method": request.method, "scheme": "http", "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 9000),
        "http_version": "1.1",
    }  # fmt: skip
    await application(scope, receive, answer)
    kept = tuple((name.decode(), value.decode("latin-1")) for name, value in started["headers"])
    return Answer(started["status"], kept, bytes(body))


@contextlib.asynccontextmanager
async def many_tenants(control: Databases, places: dict[str, Databases], directory: Path) -> AsyncIterator[Worker]:
    """A worker that serves these tenants, whose databases are migrated already."""
    settings = Settings(data_dir=directory, multi_tenant=True, tenant_host_pattern=r"(?P<tenant>[a-z0-9-]+)\.s3\.test")
    master_key = MasterKey.load(settings, directory)
    callers = {}
    async with PostgresControlDatabase(control.owner_url, timeout_seconds=5) as database:
        tenants = TenantDirectory(database, master_key)
        for name, place in places.items():
            await tenants.create(NewTenant(id=name, database_url=place.gateway_url, owner_url=place.owner_url))
            key_id = f"AKIA{name.upper().replace('-', '')}"
            await PostgresRegistry(database, master_key, name).create_key(
                NewAccessKey(access_key_id=key_id, secret=SECRET, role=SERVICE_ROLE)
            )
            callers[name] = Caller(Kind.KEY, "127.0.0.1:9000", Credentials(key_id, SECRET))
    gateway_url = conninfo.make_conninfo(control.gateway_url)
    application = ManyTenants(settings, gateway_url)
    await application.start()
    try:
        yield Worker(application, callers, places)
    finally:
        await application.close()
