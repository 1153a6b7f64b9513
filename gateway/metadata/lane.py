"""A lane: a few pipelined connections, a bounded number of segments in flight on each, a bounded queue before them.

Quick reads share few connections; statements that may wait for a lock or the disk have one to themselves while they
run, so nobody waits behind them.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
import structlog
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from gateway.metadata.pipeline import PipelineConnection, PipelineUnsupported, Row, Segment

_log = structlog.get_logger(__name__)

STALE_SECONDS: Final = 0.02
_IDLE_SECONDS: Final = 60.0
_TEND_SECONDS: Final = 0.5
_CONNECT_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 5.0
_FIRST_BACKOFF_SECONDS: Final = 0.05
_LONGEST_BACKOFF_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """Most connections, most segments in flight on each, most segments waiting, and how long they wait for a place.

    ``stuck_seconds`` is the silence after which a server that owes an answer counts as gone. ``kept`` connections stay
    open when nobody needs them.
    """

    connections: int
    in_flight: int
    waiting: int
    wait_seconds: float
    stuck_seconds: float
    kept: int = 1


@dataclass(frozen=True, slots=True)
class LaneConnections:
    """How many are open, how many of those have segments in flight, and how many segments wait."""

    open: int
    busy: int
    waiting: int


@dataclass(slots=True, eq=False)
class _Waiting:
    segment: Segment
    timer: asyncio.TimerHandle = field(repr=False)


class Lane:
    """Runs segments. Connections are opened when they are needed and closed when they are not."""

    def __init__(self, conninfo: str, limits: LaneLimits, on_lost: Callable[[], None]) -> None:
        self._conninfo = conninfo
        self._limits = limits
        self._on_lost = on_lost
        self._connections: list[PipelineConnection] = []
        self._queue: deque[_Waiting] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening = 0
        self._backoff_seconds = 0.0
        self._closed = False
        self._tending: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None
        self.unsupported = False

    def open(self) -> None:
        """Begin to connect what is kept, without waiting for it."""
        self._loop = asyncio.get_running_loop()
        self._tending = self._loop.call_later(_TEND_SECONDS, self._tend)
        if self._limits.kept:
            self._open_connection()

    async def close(self) -> None:
        """Let running segments end, five seconds at most, and close every connection."""
        self._closed = True
        if self._tending is not None:
            self._tending.cancel()
        self._fail_queue(PoolClosed("the session is closed"))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if any(connection.in_flight for connection in self._connections):
            self._drained = self._loop.create_future()
            await asyncio.wait([self._drained], timeout=_CLOSE_SECONDS)
        for connection in list(self._connections):
            connection.drop("the session is closed")

    async def run(self, segment: Segment) -> list[Row]:
        """The rows of a segment.

        Raises psycopg.Error: what the server said, OperationalError when its connection was lost, PoolTimeout or
        TooManyRequests when there was no place for it; and PipelineUnsupported when this lane cannot work at all.
        A caller that is cancelled leaves its segment to run, which nobody else notices.
        """
        if self._closed:
            raise PoolClosed("the session is closed")
        if self.unsupported:
            raise PipelineUnsupported
        connection = self._choose() if not self._queue else None
        if connection is not None:
            connection.send(segment)
        else:
            self._enqueue(segment)
        try:
            return await segment.future
        except asyncio.CancelledError:
            self._abandon(segment)
            raise

    @property
    def connections(self) -> LaneConnections:
        """How its connections are used."""
        busy = sum(connection.in_flight > 0 for connection in self._connections)
        return LaneConnections(len(self._connections), busy, len(self._queue))

    @property
    def prepared(self) -> list[int]:
        """Prepared statements on each open connection."""
        return [connection.prepared for connection in self._connections]

    def _choose(self) -> PipelineConnection | None:
        """The least busy connection, of those that are not held up by a slow statement."""
        stale = self._loop.time() - STALE_SECONDS
        chosen: PipelineConnection | None = None
        least = self._limits.in_flight
        for connection in self._connections:
            carried = connection.in_flight
            if carried < least and connection.usable and (carried == 0 or connection.head_since > stale):
                chosen = connection
                least = carried
                if carried == 0:
                    break
        return chosen

    def _enqueue(self, segment: Segment) -> None:
        if len(self._queue) >= self._limits.waiting:
            raise TooManyRequests(f"more than {self._limits.waiting} statements are waiting")
        timer = self._loop.call_later(self._limits.wait_seconds, self._expire, segment)
        self._queue.append(_Waiting(segment, timer))
        self._open_connection()

    def _expire(self, segment: Segment) -> None:
        if not segment.future.done():
            segment.future.set_exception(PoolTimeout("no connection became free in time"))
        self._leave_queue(segment)

    def _leave_queue(self, segment: Segment) -> bool:
        for waiting in self._queue:
            if waiting.segment is segment:
                waiting.timer.cancel()
                self._queue.remove(waiting)
                return True
        return False

    def _fail_queue(self, error: Exception) -> None:
        while self._queue:
            waiting = self._queue.popleft()
            waiting.timer.cancel()
            if not waiting.segment.future.done():
                waiting.segment.future.set_exception(error)

    def _pump(self) -> None:
        while self._queue:
            connection = self._choose()
            if connection is None:
                self._open_connection()
                return
            waiting = self._queue.popleft()
            waiting.timer.cancel()
            if not waiting.segment.future.done():
                connection.send(waiting.segment)

    def _on_change(self, connection: PipelineConnection) -> None:
        if connection.lost and connection in self._connections:
            self._connections.remove(connection)
            if not self._closed:
                self._on_lost()
        if self._drained is not None and not self._drained.done():
            if not any(connection.in_flight for connection in self._connections):
                self._drained.set_result(None)
        elif self._queue:
            self._pump()

    def _abandon(self, segment: Segment) -> None:
        if not self._leave_queue(segment):
            # Most statements are over in an instant; only what lingers is worth a request to cancel it.
            self._loop.call_later(STALE_SECONDS, self._cancel, segment)

    def _cancel(self, segment: Segment) -> None:
        for connection in self._connections:
            if not self._closed and connection.carries_only(segment):
                self._spawn(connection.cancel(segment))

    def _open_connection(self) -> None:
        total = len(self._connections) + self._opening
        wanted = 1 if self._backoff_seconds or total == 0 else len(self._queue)
        if total < self._limits.connections and self._opening < wanted and not (self._closed or self.unsupported):
            self._opening += 1
            self._spawn(self._connect())

    async def _connect(self) -> None:
        try:
            if self._backoff_seconds:
                await asyncio.sleep(self._backoff_seconds * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects
            async with asyncio.timeout(_CONNECT_SECONDS):
                connection = await PipelineConnection.connect(self._conninfo, self._on_change)
        except PipelineUnsupported as error:
            self.unsupported = True
            self._fail_queue(error)
            return
        except (psycopg.Error, OSError) as error:
            if not self._backoff_seconds:
                _log.warning("database_unreachable", error=str(error) or type(error).__name__)
            self._backoff_seconds = min(
                max(self._backoff_seconds * 2, _FIRST_BACKOFF_SECONDS), _LONGEST_BACKOFF_SECONDS
            )
        else:
            self._backoff_seconds = 0.0
            self._connections.append(connection)
        finally:
            self._opening -= 1
        self._pump()

    def _tend(self) -> None:
        """Close what is idle or dead; a server that went away without a word is noticed here."""
        now = self._loop.time()
        for connection in list(self._connections):
            if connection.in_flight:
                if now - connection.head_since > self._limits.stuck_seconds:
                    connection.drop("the server does not answer")
                elif now - connection.head_since > _TEND_SECONDS:
                    connection.look()
            elif now - connection.last_used > _IDLE_SECONDS and len(self._connections) > self._limits.kept:
                connection.drop("idle")
        self._tending = self._loop.call_later(_TEND_SECONDS, self._tend)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
