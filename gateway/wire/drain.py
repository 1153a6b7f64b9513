"""The outermost ASGI middleware: an answer given before the body was read neither hangs nor gets lost.

Hypercorn 0.18 puts ``http.disconnect`` on the bounded queue its reader is blocked on, so an early answer to a body of
more than a few pieces leaves both waiting for ever. And a socket closed with unread bytes is reset, which can destroy
the answer in the client's buffer. Cure: forward the whole answer first, then read and drop the rest of the body for
a while, and if it does not end keep taking messages until the server has closed the exchange. Correct on any server.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from gateway.wire.response import ResponseBroken

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]

# Up to this many unread bytes are read for the sake of keeping the connection.
REUSE_BYTES: Final = 1024 * 1024
# Up to this many, and for this long, so that the client can read the answer before the socket dies.
LINGER_BYTES: Final = 16 * 1024 * 1024
LINGER_SECONDS: Final = 2.0


class DrainGuard:
    """Wraps every front. Also closes connections whose framing was ambiguous, refuses websockets, and turns
    :class:`~gateway.wire.response.ResponseBroken` into a broken connection without a traceback."""

    def __init__(
        self,
        app: Application,
        *,
        reuse_bytes: int = REUSE_BYTES,
        linger_bytes: int = LINGER_BYTES,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._app = app
        self.reuse_bytes = reuse_bytes
        self.linger_bytes = linger_bytes
        self.linger_seconds = linger_seconds
        self._sinks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length, chunked, expects = _framing(scope["headers"])
        try:
            if length == 0 and not chunked:
                await self._app(scope, receive, send)
                return
            exchange = _Exchange(self, receive, send, length, chunked, expects)
            try:
                await self._app(scope, exchange.receive, exchange.send)
            finally:
                if not exchange.settled:
                    self._sink(receive)
        except ResponseBroken:
            # Returning inside an answer is how ASGI says it: the server closes the connection.
            return

    def _sink(self, receive: Receive) -> None:
        """Take what is left until the server says that the exchange is over, or its reader would block for ever."""
        task = asyncio.create_task(take_until_disconnect(receive))
        self._sinks.add(task)
        task.add_done_callback(self._sinks.discard)


class _Exchange:
    """One request with a body: who has read how much of it, and what the answer may promise."""

    def __init__(
        self, guard: DrainGuard, receive: Receive, send: Send, length: int | None, chunked: bool, expects: bool
    ) -> None:
        self._guard = guard
        self._receive = receive
        self._send = send
        self._length = length
        self._ambiguous = length is not None and chunked
        self._withheld = expects
        self._stalled = False
        self._received = 0
        self.settled = False

    async def receive(self) -> Message:
        self._withheld = False
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            # Somebody lost patience with this client, so its connection is not worth keeping.
            self._stalled = not self.settled
            raise
        if message["type"] == "http.disconnect":
            self.settled = True
        else:
            self._received += len(message.get("body", b""))
            self.settled = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self._reusable():
            message = {**message, "headers": _closing(message.get("headers", ()))}
        elif message["type"] == "http.response.body" and not message.get("more_body", False) and not self.settled:
            await self._finish(message)
            return
        await self._send(message)

    def _reusable(self) -> bool:
        if self._ambiguous:
            return False
        if self.settled:
            return True
        # A client still waiting for 100 Continue may or may not send its body (RFC 9110 §10.1.1).
        if self._withheld or self._stalled or self._length is None:
            return False
        return self._length - self._received <= self._guard.reuse_bytes

    async def _finish(self, message: Message) -> None:
        closing: Message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send({**message, "more_body": True})
        await self._linger()
        if self.settled:
            await self._send(closing)
            return
        sink = asyncio.create_task(take_until_disconnect(self._receive))
        try:
            await self._send(closing)
            self.settled = True
        finally:
            sink.cancel()

    async def _linger(self) -> None:
        end = self._received + self._guard.linger_bytes
        try:
            async with asyncio.timeout(self._guard.linger_seconds):
                while not self.settled and self._received < end:
                    await self.receive()
        except TimeoutError:
            return


async def take_until_disconnect(receive: Receive) -> None:
    """Read and drop messages until ``http.disconnect``."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _framing(headers: Any) -> tuple[int | None, bool, bool]:
    """Declared length (0 when the request has no body, None when unknown), chunked, expects 100 Continue."""
    length: int | None = None
    chunked = expects = False
    for name, value in headers:
        if name == b"content-length":
            length = int(value) if value.isdigit() else None
        elif name == b"transfer-encoding":
            chunked = True
        elif name == b"expect":
            expects = True
    return (0 if length is None and not chunked else length), chunked, expects


def _closing(headers: Any) -> list[tuple[bytes, bytes]]:
    return [*((name, value) for name, value in headers if name.lower() != b"connection"), (b"connection", b"close")]
