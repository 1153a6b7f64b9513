"""The only two ways to a tenant's database: a scoped statement and a scoped transaction (DESIGN §4).

Both begin with the scope (role, claims, context), transaction-local and sent together with the first statement, so
one statement is one round trip and nothing is left behind on a shared connection. Handlers see only this seam.

Single statements go through two lanes of pipelined connections (``lane.py``), transactions through an ordinary pool.
Behind a pooler that does not follow prepared statements (PgBouncer before 1.21) everything goes through the pool.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import structlog
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg_pool import AsyncConnectionPool

from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata.errors import RETRYABLE, OutcomeUnknown, is_connection_loss, translate
from gateway.metadata.lane import Lane, LaneLimits
from gateway.metadata.parameters import encode
from gateway.metadata.pipeline import STALE_PLAN, PipelineUnsupported, Row, Segment
from gateway.metadata.scope import ALLOWED_ROLES, SET_SCOPE, ScopeValues
from gateway.statements import Lane as LaneName
from gateway.statements import Statement

__all__ = ["ALLOWED_ROLES", "SET_SCOPE", "Connections", "Row", "Session", "Statistics", "Transaction"]

_log = structlog.get_logger(__name__)

_ATTEMPTS: Final = 3
_BACKOFF_SECONDS: Final = 0.05
_WAITING_PER_CONNECTION: Final = 64
_QUICK_IN_FLIGHT: Final = 16
_SILENCE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a session has asked of the database so far. A round trip is something sent and waited for."""

    statements: int
    round_trips: int


@dataclass(frozen=True, slots=True)
class Connections:
    """The connections of a session now: how many there may be, are, have a statement under way; and what waits."""

    most: int
    open: int
    busy: int
    waiting: int


@dataclass(slots=True)
class _Counts:
    statements: int = 0
    round_trips: int = 0

    def add(self, statements: int, round_trips: int) -> None:
        self.statements += statements
        self.round_trips += round_trips


class Transaction:
    """Several statements in one scope and one transaction. Made by :meth:`Session.transaction`."""

    def __init__(self, connection: AsyncConnection[Row], scope_values: list[str], counts: _Counts) -> None:
        self._connection = connection
        self._scope_values: list[str] | None = scope_values
        self._counts = counts

    async def fetch(self, statement: Statement, **values: Any) -> list[Row]:
        """Run one statement and return its rows. The first one carries the scope with it."""
        bound = statement.bind(values)
        self._counts.add(statements=1, round_trips=1)
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
    """A tenant's database. Bounded: at most ``pool_size`` connections (three at least, one a kind), a bounded queue
    before them, a bounded wait. ``kept_connections`` of each kind stay open when nobody needs them. Belongs to the
    event loop that opened it."""

    def __init__(
        self,
        conninfo: str,
        *,
        pool_size: int,
        pool_timeout_seconds: float,
        statement_timeout_seconds: float,
        kept_connections: int = 1,
        further_roles: frozenset[str] = frozenset(),
    ) -> None:
        self._pool_size = pool_size
        self._scopes = ScopeValues(statement_timeout_seconds, further_roles)
        self._counts = _Counts()
        self._checking: asyncio.Task[None] | None = None
        for_transactions = max(1, pool_size // 4)
        for_quick = max(1, pool_size // 4)
        self._pool: AsyncConnectionPool[AsyncConnection[Row]] = AsyncConnectionPool(
            conninfo,
            min_size=0,
            max_size=for_transactions,
            max_waiting=pool_size * _WAITING_PER_CONNECTION,
            timeout=pool_timeout_seconds,
            max_idle=60,
            reconnect_timeout=30,
            open=False,
            # Nothing of the pool is prepared: a pooler may be between us and Postgres.
            kwargs={
                "autocommit": True,
                "cursor_factory": AsyncRawCursor,
                "application_name": "rowlock",
                "prepare_threshold": None,
            },
        )

        def lane(connections: int, in_flight: int) -> Lane:
            limits = LaneLimits(
                connections=connections,
                in_flight=in_flight,
                waiting=pool_size * _WAITING_PER_CONNECTION,
                wait_seconds=pool_timeout_seconds,
                stuck_seconds=statement_timeout_seconds + _SILENCE_SECONDS,
                kept=kept_connections,
            )
            return Lane(conninfo, limits, self._check_pool)

        self._lanes = {
            LaneName.QUICK: lane(for_quick, _QUICK_IN_FLIGHT),
            LaneName.SLOW: lane(max(1, pool_size - for_transactions - for_quick), 1),
        }
        self._multiplexed = True

    async def open(self) -> None:
        """Connect. Does not wait for the database: the first request does."""
        await self._pool.open()
        for lane in self._lanes.values():
            lane.open()

    async def close(self) -> None:
        """Let running statements end, for some seconds; then close every connection."""
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))
        if self._checking is not None:
            await asyncio.wait([self._checking])
        await self._pool.close()

    @property
    def statistics(self) -> Statistics:
        """Statements and round trips since the session was made."""
        return Statistics(self._counts.statements, self._counts.round_trips)

    @property
    def connections(self) -> Connections:
        """How its connections are used."""
        pool = self._pool.get_stats()
        lanes = [lane.connections for lane in self._lanes.values()] if self._multiplexed else []
        in_pool = pool.get("pool_size", 0)
        return Connections(
            self._pool_size,
            in_pool + sum(lane.open for lane in lanes),
            in_pool - pool.get("pool_available", 0) + sum(lane.busy for lane in lanes),
            pool.get("requests_waiting", 0) + sum(lane.waiting for lane in lanes),
        )

    @property
    def multiplexed(self) -> bool:
        """False once a pooler was found that cannot carry prepared statements."""
        return self._multiplexed

    async def fetch(self, scope: Scope, statement: Statement, **values: Any) -> list[Row]:
        """One scoped statement that changes nothing, or may safely run twice: one round trip.

        Raises StorageError. A lost connection and a deadlock are tried again, three times in all.
        """
        bound = statement.bind(values)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._run(scope, statement, bound)
            except (psycopg.Error, TimeoutError) as error:
                if attempt == _ATTEMPTS or not (_state(error) in _REPEATABLE or is_connection_loss(error)):
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
                return await self._run(scope, statement, bound)
            except (psycopg.Error, TimeoutError) as error:
                if is_connection_loss(error):
                    await self._recover(error, attempt)
                    raise OutcomeUnknown from error
                if attempt == _ATTEMPTS or _state(error) not in _REPEATABLE:
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
                transaction = Transaction(connection, self._scopes.texts(scope), self._counts)
                try:
                    yield transaction
                except BaseException:
                    if transaction.begun and not connection.closed:
                        await connection.execute("ROLLBACK")
                    raise
                if transaction.begun:
                    self._counts.add(statements=0, round_trips=1)
                    try:
                        await connection.execute("COMMIT")
                    except psycopg.Error as error:
                        if is_connection_loss(error):
                            raise OutcomeUnknown from error
                        raise
        except (psycopg.Error, TimeoutError) as error:
            raise translate(error) from error

    async def _run(self, scope: Scope, statement: Statement, bound: list[Any]) -> list[Row]:
        self._counts.add(statements=1, round_trips=1)
        if self._multiplexed:
            parameters, formats = encode(bound)
            future: asyncio.Future[list[Row]] = asyncio.get_running_loop().create_future()
            segment = Segment(self._scopes.encoded(scope), scope.role, statement, parameters, formats, future)
            try:
                return await self._lanes[statement.lane].run(segment)
            except PipelineUnsupported:
                await self._use_pool_only()
        return await self._run_in_pool(scope, statement, bound)

    async def _run_in_pool(self, scope: Scope, statement: Statement, bound: list[Any]) -> list[Row]:
        scope_values = self._scopes.texts(scope)
        async with self._pool.connection() as connection:
            # Outside an explicit transaction everything up to the pipeline's Sync is one: the scope ends with it.
            async with connection.pipeline():
                await connection.execute(SET_SCOPE.text, scope_values)
                cursor = await connection.execute(statement.text, bound, binary=True)
            return await cursor.fetchall() if cursor.description else []

    async def _use_pool_only(self) -> None:
        if self._multiplexed:
            self._multiplexed = False
            _log.warning(
                "pipelining_unavailable",
                reason="a pooler before Postgres does not follow prepared statements; "
                "with PgBouncer 1.21 or later set max_prepared_statements",
            )
            await self._pool.resize(1, self._pool_size)

    async def _recover(self, error: Exception, attempt: int) -> None:
        if _state(error) in STALE_PLAN:
            return
        if is_connection_loss(error):
            # One connection is dead, so the others of this pool probably are: drop them before the next attempt.
            await self._pool.check()
        await asyncio.sleep(_BACKOFF_SECONDS * attempt)

    def _check_pool(self) -> None:
        """A lane lost a connection; so may the pool have, and nobody would tell it."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.get_running_loop().create_task(self._pool.check())


_REPEATABLE: Final = RETRYABLE | STALE_PLAN


def _state(error: Exception) -> str | None:
    return error.sqlstate if isinstance(error, psycopg.Error) else None
