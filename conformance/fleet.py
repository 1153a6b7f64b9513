"""A server with many tenants, for tests: its admin API, its tenants' clients, and its Postgres."""

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from botocore.exceptions import ClientError
from psycopg import sql

from conformance import server as product
from conformance.rawhttp import RawClient
from conformance.server import RunningServer
from conformance.target import Target

ADMIN_KEY: Final = "an admin key of the tests"
REVOCATION_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """A server with many tenants, its admin API, and its Postgres."""

    running: RunningServer
    admin_port: int
    owner_url: str

    def admin(self, method: str, path: str, body: Any = None, *, key: str | None = ADMIN_KEY) -> tuple[int, Any]:
        """The status and the document of one request to the admin API."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=30)) as connection:
            headers = {"apikey": key} if key is not None else {}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        return answer.status, json.loads(content) if content else None

    def make(self, tenant_id: str, **settings: Any) -> "Client":
        """A tenant with a fresh database, and a client with its first key."""
        place = parse_qs(urlsplit(self.owner_url).query)
        database, login = f"t_{tenant_id}", f"login_{tenant_id}"
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
            connection.execute(
                sql.SQL("create role {} login password 'for-tests' in role rowlock_gateway").format(
                    sql.Identifier(login)
                )
            )
        query = f"?host={place['host'][0]}&port={place['port'][0]}"
        owner = urlsplit(self.owner_url)
        document = {
            "id": tenant_id,
            "database_url": f"postgresql://{login}:for-tests@/{database}{query}",
            "owner_url": f"postgresql://{owner.netloc}/{database}{query}",
            **settings,
        }
        status, made = self.admin("POST", "/tenants", document)
        assert (status, made["id"]) == (201, tenant_id)
        return self.client(tenant_id)

    def client(self, tenant_id: str, **key: Any) -> "Client":
        """A client with a fresh key of a tenant."""
        status, made = self.admin("POST", f"/tenants/{tenant_id}/keys", key)
        assert status == 201, made
        target = replace(
            self.running.target,
            access_key_id=made["access_key_id"],
            secret_access_key=made["secret_access_key"],
        )
        return Client(tenant_id, target, target.client())


@dataclass(frozen=True, slots=True)
class Client:
    """One access key of one tenant."""

    tenant_id: str
    target: Target
    s3: Any


def refusal(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
    """Status and code of a call that must be refused."""
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    answer = refused.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def anonymous(fleet: Fleet, host: str, path: str, method: str = "GET") -> tuple[int, bytes]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", fleet.running.port, timeout=30)) as connection:
        connection.request(method, path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read()


def until_refused(client: Client, code: str) -> float:
    """Seconds until the last request that was let in, before thirty in a row, over as many connections and so over all
    workers, were refused."""
    raw = RawClient(client.target)
    began = last = time.monotonic()
    refused = 0
    while refused < 30:
        assert time.monotonic() - began < 3 * REVOCATION_SECONDS, "the key is not refused"
        answer = raw("GET", "/")
        if answer.status == 200:
            refused, last = 0, time.monotonic()
        else:
            refused += 1
            assert answer.refusal() == (403, code)
    return last - began


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_fleet(**settings: str) -> Iterator[Fleet]:
    """Start one with these settings besides what many tenants need; stop it at the end."""
    admin_port = free_port()
    running = product.start(
        settings={
            "ROWLOCK_MULTI_TENANT": "true",
            "ROWLOCK_ACCESS_KEY_ID": "",
            "ROWLOCK_SECRET_ACCESS_KEY": "",
            "ROWLOCK_ADMIN_PORT": str(admin_port),
            "ROWLOCK_ADMIN_API_KEY": ADMIN_KEY,
            "ROWLOCK_TENANT_HOST_PATTERN": r"(?P<tenant>[a-z0-9-]+)\.s3\.test",
            "ROWLOCK_SWEEP_INTERVAL_SECONDS": "1",
            "ROWLOCK_GARBAGE_GRACE_SECONDS": "0",
            "ROWLOCK_WORKERS": "2",
            **settings,
        }
    )
    try:
        yield Fleet(running, admin_port, running.run("db", "url").stdout.strip())
    finally:
        product.stop(running)
