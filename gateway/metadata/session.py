"""The only two ways to a tenant's database: a scoped statement and a scoped transaction (DESIGN §4).

Both begin with the scope (role, claims, context), transaction-local and sent together with the first statement, so
one statement is one round trip and nothing is left behind on a pooled connection. Handlers see only this seam.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg_pool import AsyncConnectionPool

from gateway import statements
from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata.errors import RETRYABLE, OutcomeUnknown, is_connection_loss, translate
from gateway.statements import Statement

Row = tuple[Any, ...]

ALLOWED_ROLES: Final = frozenset({"anon", "authenticated", "service_role", "rowlock_engine"})
_ATTEMPTS: Final = 3
_BACKOFF_SECONDS: Final = 0.05


class Transaction:
    """Several statements in one scope and one transaction. Made by :meth:`Session.transaction`."""

    def __init__(self, connection: AsyncConnection[Row], scope_values: list[Any]) -> None:
        self._connection = connection
        self._scope_values: list[Any] | None = scope_values

    async def fetch(self, statement: Statement, **values: Any) -> list[Row]:
        """Run one statement and return its rows. The first one carries the scope with it."""
        bound = statement.bind(values)
        cursor = AsyncRawCursor(self._connection)
        if self._scope_values is None:
            await cursor.execute(statement.text, bound, binary=True)
        else:
            scope_values, self._scope_values = self._scope_values, None
            async with self._connection.pipeline():
                await self._connection.execute("BEGIN")
                await AsyncRawCursor(self._connection).execute(SET_SCOPE.text, scope_values)
                await cursor.execute(statement.text, bound, binary=True)
        return await cursor.fetchall() if cursor.description else []

    @property
    def begun(self) -> bool:
        """True once a statement was sent."""
        return self._scope_values is None


class Session:
    """A tenant's database. Bounded: at most ``pool_size`` connections, a bounded queue before them, a bounded wait."""

    def __init__(
        self, conninfo: str, *, pool_size: int, pool_timeout_seconds: float, statement_timeout_seconds: float
    ) -> None:
        self._statement_timeout = f"{statement_timeout_seconds * 1000:.0f}ms"
        self._pool: AsyncConnectionPool[AsyncConnection[Row]] = AsyncConnectionPool(
            conninfo,
            min_size=1,
            max_size=pool_size,
            max_waiting=pool_size * 64,
            timeout=pool_timeout_seconds,
            max_idle=60,
            reconnect_timeout=30,
            open=False,
            kwargs={"autocommit": True, "cursor_factory": AsyncRawCursor, "application_name": "rowlock"},
        )

    async def open(self) -> None:
        """Connect. Does not wait for the database: the first request does."""
        await self._pool.open()

    async def close(self) -> None:
        """Close every connection; running statements are abandoned."""
        await self._pool.close()

    async def fetch(self, scope: Scope, statement: Statement, **values: Any) -> list[Row]:
        """One scoped statement that changes nothing, or may safely run twice: one round trip.

        Raises StorageError. A lost connection and a deadlock are tried again, three times in all.
        """
        bound = statement.bind(values)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._fetch_once(scope, statement, bound)
            except (psycopg.Error, TimeoutError) as error:
                if attempt == _ATTEMPTS or not (_state(error) in RETRYABLE or is_connection_loss(error)):
                    raise translate(error) from error
                await self._recover(error, attempt)
        raise StorageError("ServiceUnavailable")

    async def write(self, scope: Scope, statement: Statement, **values: Any) -> list[Row]:
        """One scoped statement that changes something: one round trip.

        Raises StorageError; :class:`OutcomeUnknown` when the connection was lost, since it may have been committed.
        """
        bound = statement.bind(values)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._fetch_once(scope, statement, bound)
            except (psycopg.Error, TimeoutError) as error:
                if is_connection_loss(error):
                    await self._recover(error, attempt)
                    raise OutcomeUnknown from error
                if attempt == _ATTEMPTS or _state(error) not in RETRYABLE:
                    raise translate(error) from error
                await self._recover(error, attempt)
        raise StorageError("ServiceUnavailable")

    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncIterator[Transaction]:
        """Several statements in one scope. Commits at the end of the block, rolls back on an exception.

        Raises StorageError; :class:`OutcomeUnknown` when the connection was lost in COMMIT.
        """
        try:
            async with self._pool.connection() as connection:
                transaction = Transaction(connection, self._scope_values(scope))
                try:
                    yield transaction
                except BaseException:
                    if transaction.begun and not connection.closed:
                        await connection.execute("ROLLBACK")
                    raise
                if transaction.begun:
                    try:
                        await connection.execute("COMMIT")
                    except psycopg.Error as error:
                        if is_connection_loss(error):
                            raise OutcomeUnknown from error
                        raise
        except (psycopg.Error, TimeoutError) as error:
            raise translate(error) from error

    async def _fetch_once(self, scope: Scope, statement: Statement, bound: list[Any]) -> list[Row]:
        scope_values = self._scope_values(scope)
        async with self._pool.connection() as connection:
            # Outside an explicit transaction everything up to the pipeline's Sync is one: the scope ends with it.
            async with connection.pipeline():
                await connection.execute(SET_SCOPE.text, scope_values)
                cursor = await connection.execute(statement.text, bound, binary=True)
            return await cursor.fetchall() if cursor.description else []

    def _scope_values(self, scope: Scope) -> list[Any]:
        if scope.role not in ALLOWED_ROLES:
            raise StorageError("AccessDenied")
        return SET_SCOPE.bind(
            {
                "role": scope.role,
                "claims_json": scope.claims_json,
                "subject": scope.subject,
                "headers_json": scope.headers_json,
                "method": scope.method,
                "path": scope.path,
                "operation": scope.operation,
                "request_id": scope.request_id,
                "access_key_id": scope.access_key_id,
                "client_address": scope.client_address,
                "statement_timeout": self._statement_timeout,
                "lock_timeout": self._statement_timeout,
            }
        )

    async def _recover(self, error: Exception, attempt: int) -> None:
        if is_connection_loss(error):
            # One connection is dead, so the others of this pool probably are: drop them before the next attempt.
            await self._pool.check()
        await asyncio.sleep(_BACKOFF_SECONDS * attempt)


def _state(error: Exception) -> str | None:
    return error.sqlstate if isinstance(error, psycopg.Error) else None


def _load_scope() -> Statement:
    loaded: Mapping[str, Statement] = statements.load("session")
    return loaded["set_scope"]


SET_SCOPE: Final = _load_scope()
