"""The control database over psycopg's pool. Small: it is asked for keys and tenants, never for objects."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Final, Self

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from gateway import statements
from gateway.errors import StorageError
from gateway.statements import Statement
from gateway.tenants.errors import TakenError

MAX_CONNECTIONS: Final = 2
MAX_WAITING: Final = 64

_OVERLOAD: Final = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed, TooManyRequests)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes the control database, as its audit will say."""

    actor: str
    client_address: str = ""
    request_id: str = ""


_actor: ContextVar[Actor | None] = ContextVar("rowlock.actor", default=None)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """What this task changes meanwhile is audited as done by ``actor``; else the login is named."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


class PostgresControlDatabase:
    """Runs named statements, each its own transaction. An async context manager; nothing connects before it is entered.

    ``fetch`` raises StorageError (ServiceUnavailable) when the database cannot be reached or is overloaded, and
    TakenError when something of that name exists.
    """

    def __init__(self, url: str, *, timeout_seconds: float, max_connections: int = MAX_CONNECTIONS) -> None:
        self._act_as: Final = statements.load("control")["act_as"]
        self._pool: Final = AsyncConnectionPool(
            url,
            min_size=0,
            max_size=max_connections,
            max_waiting=MAX_WAITING,
            timeout=timeout_seconds,
            open=False,
            name="control",
            # One round trip, seldom made: a restart of Postgres then costs nobody a refused request.
            check=AsyncConnectionPool.check_connection,
            # Server-side prepared statements do not survive a transaction pooler.
            kwargs={"autocommit": True, "prepare_threshold": None, "application_name": "rowlock-control"},
        )

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()

    async def ping(self) -> None:
        """Ask whether it answers. Raises StorageError (ServiceUnavailable)."""
        await self.fetch(statements.load("engine")["ping"], {})

    async def fetch(self, statement: Statement, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of one statement, none when it returns no rows."""
        values = statement.bind(parameters)
        actor = _actor.get()
        try:
            async with self._pool.connection() as connection:
                cursor = psycopg.AsyncRawCursor(connection)
                if actor is None:
                    await cursor.execute(statement.text, values)
                else:
                    async with connection.transaction():
                        await psycopg.AsyncRawCursor(connection).execute(
                            self._act_as.text, self._act_as.bind(asdict(actor))
                        )
                        await cursor.execute(statement.text, values)
                return await cursor.fetchall() if cursor.description else []
        except psycopg.errors.UniqueViolation as error:
            raise TakenError("something of that name exists") from error
        except _OVERLOAD as error:
            raise StorageError("ServiceUnavailable") from error
