"""A scoped session on a fresh database, and the scopes tests act in."""

from collections.abc import AsyncIterator

import psycopg
import pytest

from gateway.context import Scope
from gateway.metadata.embedded import Databases
from gateway.metadata.session import Session

SERVICE = Scope(role="service_role", operation="test")
ANON = Scope(role="anon", operation="test")


def user(subject: str, **claims: str) -> Scope:
    """A scope of role authenticated."""
    import json

    return Scope(
        role="authenticated",
        operation="storage.s3.test",
        subject=subject,
        claims_json=json.dumps({"sub": subject, "role": "authenticated", **claims}),
    )


@pytest.fixture
async def session(database: Databases) -> AsyncIterator[Session]:
    opened = Session(database.gateway_url, pool_size=4, pool_timeout_seconds=5, statement_timeout_seconds=30)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def owner(database: Databases) -> psycopg.Connection:
    """A connection of the database's owner: psql, as an operator has it."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        yield connection
