"""One Postgres connection in pipeline mode, shared by statements of different principals.

Everything before a Sync is one transaction, so a :class:`Segment` (the scope, the statement, Sync) is a complete
scoped transaction in one round trip: its settings end with it, and an error ends nothing but it. Segments are answered
in the order they were sent. Nothing here waits: the event loop says when the socket can be read or written.
(https://www.postgresql.org/docs/current/libpq-pipeline-mode.html,
https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING)
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.adapt import Transformer
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult

from gateway import statements
from gateway.metadata.scope import SET_SCOPE
from gateway.statements import Statement

Row = tuple[Any, ...]

MAX_PREPARED: Final = 256
# A prepared statement the server does not know any more, or whose result changed shape under it (a migration). Both are
# refused before anything ran, so whatever the statement does, it may be sent again.
STALE_PLAN: Final = frozenset({"26000", "0A000"})
_READ_ONLY: Final = "25006"
_CANCEL_SECONDS: Final = 5.0
_SQL: Final = statements.load("session")
_SCOPE_PLAN: Final[tuple[str, str]] = (SET_SCOPE.text, "")


class PipelineUnsupported(Exception):
    """Between us and Postgres is a pooler that does not follow prepared statements."""


class Segment:
    """One scoped statement and the future of its rows. ``plan`` is (text, role): plans depend on row-level security,
    hence on the role, so each role has its own prepared statement."""

    __slots__ = ("error", "formats", "future", "name", "parameters", "plan", "prepared", "results", "scope")

    def __init__(
        self,
        scope: list[bytes],
        role: str,
        statement: Statement,
        parameters: list[bytes | None],
        formats: Sequence[Format] | None,
        future: asyncio.Future[list[Row]],
    ) -> None:
        self.scope = scope
        self.name = statement.name
        self.plan = (statement.text, role)
        self.parameters = parameters
        self.formats = formats
        self.future = future
        self.error: psycopg.Error | None = None
        self.results: list[PGresult] = []
        # (position among the results, plan) of what this segment was the first to prepare
        self.prepared: list[tuple[int, tuple[str, str]]] = []


class PipelineConnection:
    """A connection that answers segments in order. Made by :meth:`connect`; ``on_change`` is called after segments
    ended and when the connection was lost."""

    def __init__(self, connection: AsyncConnection[Any], on_change: Callable[["PipelineConnection"], None]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._descriptor = self._pgconn.socket
        self._transformer = Transformer(connection)
        self._in_flight: deque[Segment] = deque()
        self._names: dict[tuple[str, str], bytes] = {}
        self._preparing: dict[tuple[str, str], bytes] = {}
        self._last_name = 0
        self._to_close: list[bytes] = []
        self._writing = False
        self._cancelling = False
        self._retired = False
        self.lost = False
        self.last_used = self.head_since = self._loop.time()
        self._pgconn.nonblocking = 1
        self._pgconn.enter_pipeline_mode()
        self._loop.add_reader(self._descriptor, self._on_readable)

    @classmethod
    async def connect(cls, conninfo: str, on_change: Callable[["PipelineConnection"], None]) -> Self:
        """Open a connection. Raises psycopg.Error, and PipelineUnsupported for an unfit pooler in the way."""
        connection = await AsyncConnection.connect(conninfo, autocommit=True, application_name="rowlock")
        try:
            await _require_prepared_statements(connection)
            return cls(connection, on_change)
        except BaseException:
            await connection.close()
            raise

    @property
    def in_flight(self) -> int:
        """Segments sent and not yet answered."""
        return len(self._in_flight)

    @property
    def prepared(self) -> int:
        """Prepared statements the server holds for this connection; at most ``MAX_PREPARED`` and a few to be closed."""
        return len(self._names) + len(self._preparing) + len(self._to_close)

    @property
    def usable(self) -> bool:
        """False for a connection that takes no more segments."""
        return not (self.lost or self._retired or self._cancelling)

    def send(self, segment: Segment) -> None:
        """Put a segment on its way. A failure reaches the segment's future, never the caller."""
        if not self._in_flight:
            self.head_since = self._loop.time()
        self._in_flight.append(segment)
        pgconn = self._pgconn
        position = 0
        try:
            while self._to_close:
                pgconn.send_close_prepared(self._to_close.pop())
                position += 1
            position = self._execute(segment, SET_SCOPE.name, _SCOPE_PLAN, position, segment.scope, None)
            self._execute(segment, segment.name, segment.plan, position, segment.parameters, segment.formats)
            pgconn.pipeline_sync()
            self._flush()
        except Exception as error:
            # Half a segment may be on its way: whatever the reason, answers could no longer be told apart.
            self._lose(error)

    def carries_only(self, segment: Segment) -> bool:
        """True while a segment is under way here with none behind it."""
        return len(self._in_flight) == 1 and self._in_flight[0] is segment

    async def cancel(self, segment: Segment) -> None:
        """Ask the server to end a segment nobody waits for, if no other could be hit. Takes no segments meanwhile."""
        if self._cancelling or not self.carries_only(segment):
            return
        self._cancelling = True
        try:
            await self._connection.cancel_safe(timeout=_CANCEL_SECONDS)
        except psycopg.Error as error:
            # It is not known whether and when the request will strike: nobody else may be hit by it.
            self._lose(error)
        except asyncio.CancelledError:
            self._lose(psycopg.OperationalError("cancelled"))
            raise
        finally:
            self._cancelling = False
        self._on_change(self)

    def look(self) -> None:
        """Read what may have arrived unannounced, and have it announced again.

        After Postgres died and came back, an event loop was seen to say nothing of a connection whose end had come:
        the kernel gives its descriptor's number to another one at once, and registrations go by number.
        """
        self._loop.remove_reader(self._descriptor)
        self._loop.add_reader(self._descriptor, self._on_readable)
        self._on_readable()

    def drop(self, reason: str) -> None:
        """Close the connection. Segments it still carries fail as if it had been lost."""
        self._lose(psycopg.OperationalError(reason))

    def _execute(
        self,
        segment: Segment,
        statement_name: str,
        plan: tuple[str, str],
        position: int,
        parameters: Sequence[bytes | None],
        formats: Sequence[Format] | None,
    ) -> int:
        """Send a statement as one result, or two when it is prepared first; returns the position after them."""
        name = self._names.get(plan)
        if name is not None:
            self._pgconn.send_query_prepared(name, parameters, formats, Format.BINARY)
            return position + 1
        if plan in self._preparing:
            # Another segment brings it, and may fail to: nobody may rely on the name before that is known.
            self._pgconn.send_query_params(plan[0].encode(), parameters, None, formats, Format.BINARY)
            return position + 1
        self._last_name += 1
        # Says in pg_prepared_statements and on the wire what it is; Postgres keeps 63 bytes of it.
        name = self._preparing[plan] = f"rowlock.{statement_name[:40]}({self._last_name})".encode()
        segment.prepared.append((position, plan))
        self._pgconn.send_prepare(name, plan[0].encode())
        self._pgconn.send_query_prepared(name, parameters, formats, Format.BINARY)
        return position + 2

    def _remember(self, plan: tuple[str, str]) -> None:
        if len(self._names) >= MAX_PREPARED:
            # Closed by the next segment; statements already sent under this name come before.
            self._forget(next(iter(self._names)))
        self._names[plan] = self._preparing.pop(plan)

    def _forget(self, plan: tuple[str, str]) -> None:
        name = self._names.pop(plan, None)
        if name is not None:
            self._to_close.append(name)

    def _flush(self) -> None:
        waiting = self._pgconn.flush() == 1
        if waiting is not self._writing:
            self._writing = waiting
            if waiting:
                self._loop.add_writer(self._descriptor, self._on_writable)
            else:
                self._loop.remove_writer(self._descriptor)

    def _on_writable(self) -> None:
        try:
            self._flush()
        except psycopg.Error as error:
            self._lose(error)

    def _on_readable(self) -> None:
        try:
            self._pgconn.consume_input()
            if self._writing:
                self._flush()
            ended = self._collect()
        except Exception as error:
            self._lose(error)
            return
        if not ended:
            return
        self.last_used = self._loop.time()
        if self._retired and not self._in_flight:
            self.drop("the server is read-only")
        else:
            self._on_change(self)

    def _collect(self) -> bool:
        """Take what has arrived; True if a segment ended."""
        pgconn = self._pgconn
        ended = False
        nothing = 0
        while self._in_flight and not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                # one after each command; two and more when there is nothing left to be had
                nothing += 1
                if nothing > 2:
                    if pgconn.status == ConnStatus.BAD:
                        raise psycopg.OperationalError("the connection is lost")
                    break
                continue
            nothing = 0
            segment = self._in_flight[0]
            status = result.status
            if status == ExecStatus.PIPELINE_SYNC:
                self._answer(segment)
                self._in_flight.popleft()
                self.head_since = self._loop.time()
                ended = True
            elif status == ExecStatus.FATAL_ERROR and segment.error is None:
                segment.error = errors.error_from_result(result, "utf-8")
                segment.results.append(result)
            else:
                segment.results.append(result)
        return ended

    def _answer(self, segment: Segment) -> None:
        """A segment's Sync arrived: its transaction is committed, or rolled back by its error."""
        for position, plan in segment.prepared:
            if segment.results[position].status == ExecStatus.COMMAND_OK:
                self._remember(plan)
            else:
                del self._preparing[plan]
        error = segment.error
        if error is not None:
            if error.sqlstate in STALE_PLAN:
                self._forget(segment.plan)
                self._forget(_SCOPE_PLAN)
            elif error.sqlstate == _READ_ONLY:
                # A fail-over made this server a standby: look for the primary anew.
                self._retired = True
            _fail(segment, error)
        elif not segment.future.done():
            try:
                segment.future.set_result(self._rows(segment.results[-1]))
            except Exception as unreadable:
                segment.future.set_exception(unreadable)

    def _rows(self, result: PGresult) -> list[Row]:
        if result.status != ExecStatus.TUPLES_OK:
            return []
        self._transformer.set_pgresult(result)
        rows: list[Row] = self._transformer.load_rows(0, result.ntuples, tuple)
        return rows

    def _lose(self, error: Exception) -> None:
        if self.lost:
            return
        self.lost = True
        self._loop.remove_reader(self._descriptor)
        if self._writing:
            self._loop.remove_writer(self._descriptor)
        self._pgconn.finish()
        in_flight, self._in_flight = self._in_flight, deque()
        for segment in in_flight:
            # What the server said of a segment is what became of it; of the others nothing is known.
            _fail(segment, segment.error or psycopg.OperationalError(str(error)))
        self._on_change(self)


def _fail(segment: Segment, error: psycopg.Error) -> None:
    if not segment.future.done():
        segment.future.set_exception(error)


async def _require_prepared_statements(connection: AsyncConnection[Any]) -> None:
    """Raises PipelineUnsupported unless named statements stay with this connection from one transaction to the next.

    A pooler is known by the process id it makes up for its clients. It follows prepared statements if it renames them
    (PgBouncer 1.21 with max_prepared_statements); one that passes our names through would look for them on whichever
    server connection it takes next.
    """
    if not psycopg.capabilities.has_send_close_prepared():
        raise PipelineUnsupported
    cursor = await connection.execute(_SQL["backend_process"].text, prepare=False)
    found = await cursor.fetchone()
    if found is not None and found[0] == connection.pgconn.backend_pid:
        return
    try:
        async with connection.transaction():
            cursor = await connection.execute(_SQL["probe_prepared"].text, prepare=True)
            found = await cursor.fetchone()
            passed_through = found is None or found[0]
            if passed_through:
                await connection.execute(_SQL["forget_prepared"].text, prepare=False)
    except psycopg.ProgrammingError as error:
        raise PipelineUnsupported from error
    if passed_through:
        raise PipelineUnsupported
