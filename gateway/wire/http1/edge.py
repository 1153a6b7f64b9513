"""What the connections of one worker share: a read buffer (a read and its ``buffer_updated`` are one step of the loop),
a head parser, and one timer that looks over all deadlines, so that no request starts or cancels a timer."""

import asyncio
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gateway.wire.drain import Application
from gateway.wire.http1.answer import Clock
from gateway.wire.http1.head import HeadParser

READ_BYTES: Final = 256 * 1024
_SENDFILE_THREADS: Final = 4


class Watched(Protocol):
    """A connection. ``deadline`` is when :meth:`on_deadline` is due, in the loop's time."""

    deadline: float

    def on_deadline(self) -> None: ...

    def close_if_idle(self) -> None: ...


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """How long a client may take, in seconds: to send a head, to send nothing at all between requests, to take some of
    an answer, and to let a closed connection flush."""

    header_seconds: float = 10.0
    keep_alive_seconds: float = 75.0
    send_seconds: float = 60.0
    close_seconds: float = 2.0


class Edge:
    """What the connections of one worker share. ``state`` is the app's lifespan state."""

    def __init__(self, app: Application, limits: EdgeLimits) -> None:
        self.app = app
        self.limits = limits
        self.state: dict[str, Any] = {}
        self.clock = Clock()
        self.parser = HeadParser()
        self.buffer = memoryview(bytearray(READ_BYTES))
        self.connections: set[Watched] = set()
        self.draining = False
        self._period_seconds = min(1.0, min(limits.header_seconds, limits.keep_alive_seconds, limits.send_seconds) / 10)
        self._sweeping: asyncio.TimerHandle | None = None
        self._files: Executor | None = None

    @property
    def file_threads(self) -> Executor:
        """The threads that call sendfile, which can wait for a disk."""
        if self._files is None:
            self._files = ThreadPoolExecutor(_SENDFILE_THREADS, thread_name_prefix="sendfile")
        return self._files

    def opened(self, connection: Watched) -> None:
        """Watch a connection."""
        self.connections.add(connection)
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(self._period_seconds, self._sweep)

    def closed(self, connection: Watched) -> None:
        """Forget a connection."""
        self.connections.discard(connection)

    def close_idle(self) -> None:
        """Close connections that wait for a request, now and whenever one becomes idle."""
        self.draining = True
        for connection in tuple(self.connections):
            connection.close_if_idle()

    def shutdown(self) -> None:
        """Let go of the threads."""
        if self._files is not None:
            self._files.shutdown()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in [each for each in self.connections if each.deadline <= now]:
            connection.on_deadline()
        self._sweeping = loop.call_later(self._period_seconds, self._sweep) if self.connections else None
