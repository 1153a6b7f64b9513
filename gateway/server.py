"""One worker process: hypercorn on an inherited listening socket, and its orderly end.

The stop that SIGTERM begins: readiness fails and answers carry ``Connection: close``; after a short grace hypercorn
stops accepting and closes idle connections; at the deadline what still runs is cancelled; a little later the process
ends whatever happens. Hypercorn's own shutdown is not enough: its timeout is never reached on Python >= 3.12.1.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from hypercorn.asyncio.run import worker_serve
from hypercorn.config import Sockets
from hypercorn.utils import LifespanFailureError, LifespanTimeoutError, wrap_app

from gateway.config import Settings
from gateway.wire.connection import ConnectionFactory, ConnectionLimits, EdgeConfig, install
from gateway.wire.drain import Application, DrainGuard
from gateway.wire.inflight import InFlight

try:
    import uvloop
except ImportError:  # only CPython has it
    _new_event_loop: Callable[[], asyncio.AbstractEventLoop] | None = None
else:
    _new_event_loop = uvloop.new_event_loop

logger = logging.getLogger(__name__)

# How long clients of kept-alive connections get to learn from an answer that the connection ends.
_GRACE_SECONDS: Final = 1.0
# What closing the app (pools, threads) may take after the last request.
_LIFESPAN_SECONDS: Final = 10.0
_HARD_EXIT_SECONDS: Final = 5.0
_TRANSPORT_HEADER_BYTES: Final = 64 * 1024
_YOUNG_OBJECTS: Final = 20_000

AppFactory = Callable[[Settings], Application]


def run_worker(
    settings: Settings,
    sock: socket.socket,
    app_factory: AppFactory,
    *,
    on_ready: Callable[[], None] | None = None,
    further: Sequence[socket.socket] = (),
) -> int:
    """Serve ``app_factory(settings)`` on ``sock`` until SIGTERM or SIGINT; returns the exit status.

    ``sock`` and the ``further`` ones are bound, may be shared with other workers, and are closed at the end.
    ``on_ready`` is called once the app's lifespan has started. Must run in a main thread. A second signal cancels
    running requests at once.
    """
    # A thread, because a blocked event loop is one of the things it is there for.
    last_resort = threading.Timer(settings.drain_seconds + _LIFESPAN_SECONDS + _HARD_EXIT_SECONDS, _hard_exit)
    last_resort.daemon = True
    try:
        with asyncio.Runner(loop_factory=_new_event_loop) as runner:
            return runner.run(_run(settings, (sock, *further), app_factory, on_ready, last_resort))
    finally:
        last_resort.cancel()


async def _run(
    settings: Settings,
    sockets: Sequence[socket.socket],
    app_factory: AppFactory,
    on_ready: Callable[[], None] | None,
    last_resort: threading.Timer,
) -> int:
    worker = Worker(settings, app_factory(settings), on_ready)

    def on_signal() -> None:
        if not worker.stopping:
            last_resort.start()
        worker.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        await worker.serve(*sockets)
    except (LifespanFailureError, LifespanTimeoutError) as error:
        logger.error("the server could not start: %s", error)
        return 1
    return 0


class Worker:
    """One app behind hypercorn in the running event loop. ``stop`` may be called from a signal handler."""

    def __init__(self, settings: Settings, app: Application, on_ready: Callable[[], None] | None = None) -> None:
        self._settings = settings
        self._in_flight = InFlight(_announcing(DrainGuard(app), on_ready))
        limits = ConnectionLimits(
            header_seconds=settings.header_timeout_seconds,
            keep_alive_seconds=settings.keep_alive_seconds,
            send_seconds=settings.send_idle_seconds,
            connections=settings.connections,
        )
        self._connections = ConnectionFactory(limits, self._in_flight if settings.edge == "rowlock" else None)
        self._stopping = asyncio.Event()
        self._closing = asyncio.Event()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """Begin the orderly end; called again, cancel what still runs."""
        if self._stopping.is_set():
            self._in_flight.cancel_all()
        self._in_flight.draining = True
        self._stopping.set()

    async def serve(self, *listeners: socket.socket) -> None:
        """Returns when the last connection and the app's lifespan have ended. Raises LifespanFailureError or
        LifespanTimeoutError when the app cannot start."""
        install()
        config = configuration(self._settings)
        config.connections = self._connections
        for listener in listeners:
            listener.setblocking(False)
        sockets = Sockets([*listeners], [], []) if config.ssl_enabled else Sockets([], [*listeners], [])
        ending = asyncio.create_task(self._end())
        try:
            in_flight: Any = self._in_flight
            app = wrap_app(in_flight, config.wsgi_max_body_size, "asgi")
            await worker_serve(app, config, sockets=sockets, shutdown_trigger=self._closing.wait)
        finally:
            ending.cancel()
            self._connections.shutdown()

    async def _end(self) -> None:
        await self._stopping.wait()
        drain_seconds = self._settings.drain_seconds
        logger.info("stopping: %d requests are running", len(self._in_flight))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + drain_seconds
        with suppress(TimeoutError):
            async with asyncio.timeout(min(_GRACE_SECONDS, drain_seconds)):
                await self._connections.idle.wait()
        self._closing.set()
        self._connections.close_idle()
        await asyncio.sleep(max(0.0, deadline - loop.time()))
        if len(self._in_flight):
            logger.warning("stopping: %d requests are cancelled at the deadline", len(self._in_flight))
        self._in_flight.cancel_all()


def configuration(settings: Settings) -> EdgeConfig:
    """Hypercorn's configuration, still without its ``connections``."""
    config = EdgeConfig()
    config.alpn_protocols = ["http/1.1"]  # its HTTP/2 drops the connection on every early answer to an upload
    config.keep_alive_timeout = settings.keep_alive_seconds
    config.keep_alive_max_requests = 100_000  # the default of 1,000 closes busy connections of SDKs
    config.read_timeout = None  # would also end requests whose client merely waits; BodyStream has its own limits
    config.h11_max_incomplete_size = _TRANSPORT_HEADER_BYTES
    config.max_app_queue_size = 16  # pieces of 64 KiB or less; backpressure works through it
    config.backlog = 1024
    config.graceful_timeout = settings.drain_seconds + _HARD_EXIT_SECONDS
    config.shutdown_timeout = _LIFESPAN_SECONDS
    config.include_server_header = False
    config.accesslog = None  # its fields would print presigned signatures
    config.errorlog = logging.getLogger("hypercorn.error")
    config.ssl_handshake_timeout = settings.header_timeout_seconds
    if settings.tls_cert is not None and settings.tls_key is not None:
        config.certfile = str(settings.tls_cert)
        config.keyfile = str(settings.tls_key)
    return config


def _announcing(app: Application, on_ready: Callable[[], None] | None) -> Application:
    if on_ready is None:
        return app

    async def announcing(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return

        async def observed(message: Any) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                _calm_garbage_collection()
                on_ready()

        await app(scope, receive, observed)

    return announcing


def _calm_garbage_collection() -> None:
    """What the start made stays for good, and a request leaves no cycles: look for them rarely, and not among it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)


def _hard_exit() -> None:
    os.write(2, b"rowlock: the worker did not stop in time\n")
    os._exit(1)
