"""Hypercorn's HTTP/1.1 connection with its gaps closed (each proven by ``conformance/wire``).

Stock hypercorn 0.18 sends ``100 Continue`` before the app runs, upgrades any cleartext connection to h2c, limits a slow
request head only by the keep-alive time, keeps a closed idle connection for that time too, waits for ever to close a
socket whose peer reads nothing, and has no limit on connections. :class:`Connection` takes the place of its
``TCPServer``; HTTP/2 is not reachable through it. By default, though, :class:`ConnectionFactory` hands the connections
that hypercorn accepts to our own protocol class, :mod:`gateway.wire.http1`, which does the same for a fraction of the
time.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

import h11
import hypercorn.asyncio.run
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Body
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from gateway.errors import CATALOGUE
from gateway.telemetry import metrics
from gateway.wire.drain import Application
from gateway.wire.http1.connection import EdgeConnection
from gateway.wire.http1.edge import Edge, EdgeLimits

# The classes below override internals, so another version must be read and tested before it is allowed.
SUPPORTED_HYPERCORN: Final = "0.18.0"

logger = logging.getLogger(__name__)

_BAD_LINES: Final = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|\n[ \t]")
_READ_BYTES: Final = 64 * 1024
_REASONS: Final = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
_CODES: Final[Mapping[int, str]] = {408: "RequestTimeout", 431: "RequestHeaderSectionTooLarge", 503: "SlowDown"}


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """``header_seconds`` runs from the first byte of a request head to its last; ``keep_alive_seconds`` is how long a
    connection may be idle, ``send_seconds`` how long a client may take nothing of an answer, ``close_seconds`` how long
    a closed connection may take to flush; ``connections`` is the most a worker keeps open."""

    header_seconds: float = 10.0
    keep_alive_seconds: float = 75.0
    send_seconds: float = 60.0
    close_seconds: float = 2.0
    connections: int = 10_000


class ConnectionFactory:
    """Makes and counts the connections of one worker. ``idle`` is set while there are none.

    With an ``app`` they are our own edge's; without one they are hypercorn's, which brings the app itself.
    """

    def __init__(self, limits: ConnectionLimits, app: Application | None = None) -> None:
        self.limits = limits
        self.open = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self._edge: Edge | None = None
        if app is not None:
            times = EdgeLimits(
                limits.header_seconds, limits.keep_alive_seconds, limits.send_seconds, limits.close_seconds
            )
            self._edge = Edge(app, times)

    def __call__(self, *arguments: Any) -> Awaitable[None]:
        """Called by hypercorn in place of ``TCPServer``, with its arguments."""
        if self._edge is not None:
            _app, _loop, _config, _context, state, reader, writer = arguments
            self._edge.state = state
            return self._serve(EdgeRun(self._edge, reader, writer))
        return self._serve(Connection(self.limits, *arguments))

    def close_idle(self) -> None:
        """Begin the end: connections without a request are closed. Hypercorn's close themselves."""
        if self._edge is not None:
            self._edge.close_idle()

    def shutdown(self) -> None:
        """Let go of threads, after the last connection."""
        if self._edge is not None:
            self._edge.shutdown()

    async def _serve(self, connection: "Connection | EdgeRun") -> None:
        if self.open >= self.limits.connections:
            metrics.refused("connections")
            await connection.refuse()
            return
        self.open += 1
        metrics.connections_changed(1)
        self.idle.clear()
        try:
            await connection.run()
        finally:
            self.open -= 1
            metrics.connections_changed(-1)
            if not self.open:
                self.idle.set()


class EdgeRun:
    """A connection hypercorn has accepted, on its way to our protocol class."""

    def __init__(self, edge: Edge, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._edge = edge
        self._reader = reader
        self._transport = writer.transport

    async def run(self) -> None:
        """Hand the transport over and wait until the connection has ended."""
        transport: Any = self._transport
        if transport.is_closing():
            return
        transport.pause_reading()
        connection = EdgeConnection(self._edge, transport)
        # What arrived before this task ran; an end of the input is read once more.
        self._reader.feed_eof()
        early = await self._reader.read()
        transport.set_protocol(connection)
        transport.resume_reading()
        if early:
            connection.feed(early)
        await connection.closed

    async def refuse(self) -> None:
        """Answer 503 at once, without reading: the worker has enough connections."""
        transport: Any = self._transport
        if transport.is_closing():
            return
        connection = EdgeConnection(self._edge, transport)
        transport.set_protocol(connection)
        connection.refuse("SlowDown")
        await connection.closed


class EdgeConfig(Config):
    """Hypercorn's configuration, and who makes the connections of the server it configures."""

    connections: ConnectionFactory


def install() -> None:
    """Let hypercorn's servers with an :class:`EdgeConfig` use its factory; others are left alone. May be called again.
    Raises RuntimeError for a hypercorn that was not tested."""
    if version("hypercorn") != SUPPORTED_HYPERCORN:
        raise RuntimeError(f"hypercorn {version('hypercorn')} is not supported, install {SUPPORTED_HYPERCORN}")
    module: Any = hypercorn.asyncio.run
    module.TCPServer = _connect


def _connect(app: Any, loop: Any, config: Config, *arguments: Any) -> Awaitable[None]:
    make: Any = config.connections if isinstance(config, EdgeConfig) else TCPServer
    connection: Awaitable[None] = make(app, loop, config, *arguments)
    return connection


class Connection(TCPServer):
    """One accepted connection, which can only speak HTTP/1.1."""

    def __init__(self, limits: ConnectionLimits, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._limits = limits

    async def run(self) -> None:
        """Serve until the connection ends; hypercorn's ``TCPServer.run`` without the ways into HTTP/2."""
        socket = self.writer.get_extra_info("socket")
        try:
            client = parse_socket_addr(socket.family, socket.getpeername())
            server = parse_socket_addr(socket.family, socket.getsockname())
            async with TaskGroup(self.loop) as task_group:
                self._task_group = task_group
                # Typed as the wrapper that could switch to HTTP/2, of which only these two methods are used.
                protocol: Any = Http11Protocol(
                    self._limits,
                    self.app,
                    self.config,
                    self.context,
                    task_group,
                    ConnectionState(self.state),
                    self.writer.get_extra_info("ssl_object") is not None,
                    client,
                    server,
                    self.protocol_send,
                    is_lost=self.writer.transport.is_closing,
                )
                self.protocol = protocol
                await protocol.initiate()
                await self.idle_task.restart(task_group, self._idle_timeout)
                await self._read_data()
                # The group would wait for the keep-alive time of a connection its client has already closed.
                await self.idle_task.stop()
        except OSError:
            logger.debug("connection lost", exc_info=True)
        finally:
            await self._close()

    async def _read_data(self) -> None:
        # Hypercorn's loop, except that the end of the input always reaches the protocol: a body cut short is answered.
        data = b"-"
        while data:
            try:
                data = await self.reader.read(_READ_BYTES)
            except OSError:
                break
            await self.protocol.handle(RawData(data))
        await self.protocol.handle(Closed())

    async def refuse(self) -> None:
        """Answer 503 at once, without reading: the worker has enough connections."""
        status, body = _error_body("SlowDown")
        head = (
            f"HTTP/1.1 {status} Service Unavailable\r\ncontent-type: application/xml\r\ncontent-length: {len(body)}\r\n"
            "retry-after: 1\r\nconnection: close\r\n\r\n"
        )
        self.writer.write(head.encode("ascii") + body)
        await self._close()

    async def _close(self) -> None:
        # A transport flushes before it closes; a peer that reads nothing would keep it for ever.
        abort = self.loop.call_later(self._limits.close_seconds, self.writer.transport.abort)
        try:
            await super()._close()
        except OSError:
            logger.debug("connection lost while closing", exc_info=True)
        finally:
            abort.cancel()


class Http11Protocol(H11Protocol):
    """HTTP/1.1 with a deadline on the head, a withheld 100 Continue, no upgrades, and errors as S3's XML."""

    def __init__(self, limits: ConnectionLimits, app: Any, *arguments: Any, is_lost: Callable[[], bool]) -> None:
        super().__init__(app, *arguments)
        self._limits = limits
        self._is_lost = is_lost
        self._wrapped: Any = app
        self._head_timer: asyncio.TimerHandle | None = None
        self._at_eof = False
        self.app: Any = self._run_app
        self._h11 = _PatientConnection(h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size)
        self.connection = self._h11

    async def handle(self, event: Event) -> None:
        """Take bytes, or the end of the connection."""
        if isinstance(event, RawData):
            self._at_eof = not event.data
            await super().handle(event)
            self._watch_head()
        else:
            self._stop_watching()
            await super().handle(event)

    async def stream_send(self, event: Any) -> None:
        """Take an event of the app. Raises ConnectionResetError for body bytes nobody can receive any more, as ASGI 2.4
        asks; stock hypercorn drops them, and a download would be read to its end for nobody."""
        if isinstance(event, Body) and self._is_lost():
            raise ConnectionResetError("the client has gone")
        await super().stream_send(event)

    def _watch_head(self) -> None:
        partial = self.stream is None and not self._at_eof and self.connection.trailing_data[0]
        if not partial:
            self._stop_watching()
        elif self._head_timer is None:
            loop = asyncio.get_running_loop()
            self._head_timer = loop.call_later(self._limits.header_seconds, self._on_slow_head)

    def _stop_watching(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_slow_head(self) -> None:
        self._head_timer = None
        self.task_group.spawn(self._refuse_slow_head)

    async def _refuse_slow_head(self) -> None:
        if self.stream is None:
            await self._send_error_response(408)
            await self.send(Closed())

    async def _check_protocol(self, event: h11.Request) -> None:
        # Stock hypercorn upgrades to h2c here, past every proxy rule; an Upgrade field may always be ignored.
        return

    async def _create_stream(self, request: h11.Request) -> None:
        self._stop_watching()
        if request.http_version not in (b"1.0", b"1.1"):
            await self._send_error_response(400)
            await self.send(Closed())
            return
        await super()._create_stream(request)

    async def _run_app(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any, *spawners: Any) -> None:
        if self._h11.client_is_waiting_for_100_continue:
            receive = self._continuing(receive)
        await self._wrapped(scope, receive, send, *spawners)

    def _continuing(self, receive: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
        async def receive_after_continue() -> Any:
            # h11 forgets the expectation with the first answer, so nothing follows a final status.
            if self._h11.client_is_waiting_for_100_continue:
                await self._send_h11_event(h11.InformationalResponse(status_code=100, headers=[]))
            return await receive()

        return receive_after_continue

    async def _send_h11_event(self, event: Any) -> None:
        # Without a reason phrase botocore does not recognise a final status that comes instead of 100 Continue.
        if isinstance(event, h11.Response) and not event.reason:
            reason = _REASONS.get(event.status_code, b"Unknown")
            event = h11.Response(status_code=event.status_code, headers=event.headers, reason=reason)
        await super()._send_h11_event(event)

    async def _send_error_response(self, status_code: int) -> None:
        code = _CODES.get(status_code, "BadRequest")
        if code == "BadRequest" and self._at_eof and self.stream is not None:
            code = "IncompleteBody"
        status, body = _error_body(code)
        headers = [
            (b"content-type", b"application/xml"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=408 if status_code == 408 else status, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())


class _PatientConnection(h11.Connection):
    """h11's state machine, stricter about lines, and silent about 100 Continue: the app's first read decides that."""

    @property
    def they_are_waiting_for_100_continue(self) -> bool:
        return False

    def next_event(self) -> Any:
        """As h11's. Raises RemoteProtocolError also for bare CR or LF and for folded lines, which h11 repairs but other
        parsers on the way may read otherwise (RFC 9112 §2.2, §5.2)."""
        if self.their_state is h11.IDLE and _BAD_LINES.search(self.trailing_data[0].partition(b"\r\n\r\n")[0]):
            raise h11.RemoteProtocolError("bare line end or folded line in the head")
        return super().next_event()


def _error_body(code: str) -> tuple[int, bytes]:
    entry = CATALOGUE[code]
    text = f"<Error><Code>{entry.name}</Code><Message>{entry.message}</Message></Error>"
    return entry.status, b'<?xml version="1.0" encoding="UTF-8"?>\n' + text.encode("ascii")
