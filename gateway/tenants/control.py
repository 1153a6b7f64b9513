"""The control database over psycopg's pool. Small: it is asked for keys, never for objects."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from gateway.errors import StorageError
from gateway.statements import Statement

MAX_CONNECTIONS: Final = 2
MAX_WAITING: Final = 64

_OVERLOAD: Final = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed, TooManyRequests)


class PostgresControlDatabase:
    """Runs named statements, each its own transaction. An async context manager; nothing connects before it is entered.

    ``fetch`` raises StorageError (ServiceUnavailable) when the database cannot be reached or is overloaded.
    """

    def __init__(self, url: str, *, timeout_seconds: float, max_connections: int = MAX_CONNECTIONS) -> None:
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

    async def fetch(self, statement: Statement, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of one statement, none when it returns no rows."""
        values = statement.bind(parameters)
        try:
            async with self._pool.connection() as connection:
                cursor = await psycopg.AsyncRawCursor(connection).execute(statement.text, values)
                return await cursor.fetchall() if cursor.description else []
        except _OVERLOAD as error:
            raise StorageError("ServiceUnavailable") from error
