"""One request and its answer: the ``receive`` and ``send`` of ASGI, and the framing of both bodies.

Nothing is queued but the pieces of the request body that have arrived, of which the connection stops reading more when
the app is slow; nothing is written but what the transport takes, and the app waits when it does not.
"""

import asyncio
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, Final, Protocol

from gateway.wire.http1 import answer
from gateway.wire.http1.chunked import ChunkedDecoder
from gateway.wire.http1.head import RequestHead
from gateway.wire.response import SEND_FILE

Message = MutableMapping[str, Any]

# Above this, the head and a piece of the body are written apart rather than copied together.
_JOIN_BYTES: Final = 64 * 1024
_BODILESS: Final = frozenset({204, 304})


class Link(Protocol):
    """What an exchange needs of its connection."""

    @property
    def clock(self) -> answer.Clock: ...

    @property
    def buffered_limit_bytes(self) -> int: ...

    def write(self, *pieces: bytes) -> None:
        """Hand bytes to the transport. Raises ConnectionResetError."""
        ...

    async def drain(self) -> None:
        """Wait until the transport takes more. Raises ConnectionResetError."""
        ...

    async def send_file(self, fd: int, offset_bytes: int, count_bytes: int) -> None: ...

    def hold_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Exchange:
    """``keep_alive`` tells, at the end, whether the connection can carry another request."""

    __slots__ = (
        "_decoder", "_delivered_end", "_disconnected", "_expects_continue", "_head_answer", "_is_chunked", "_left",
        "_link", "_pieces", "_pieces_bytes", "_silent", "_to_send", "_waiter", "answered", "body_ended", "head",
        "keep_alive", "started",
    )  # fmt: skip

    def __init__(self, link: Link, head: RequestHead) -> None:
        self._link = link
        self.head = head
        self.keep_alive = head.keep_alive
        self._decoder = ChunkedDecoder() if head.length is None else None
        self._left = head.length or 0
        self.body_ended = head.length == 0
        self._expects_continue = head.expects_continue and not self.body_ended
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._delivered_end = False
        self._disconnected = False
        self._waiter: asyncio.Future[None] | None = None
        self._head_answer: Message | None = None
        # Bytes of the body that the answer's head promised and the app still owes; None where none were promised.
        self._to_send: int | None = None
        self._is_chunked = False
        self._silent = False
        self.started = False
        self.answered = False

    # --- the request body -----------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the body; returns what follows it. Raises BadMessage."""
        rest = b""
        if self._decoder is not None:
            pieces, rest = self._decoder.feed(data)
            self._pieces += pieces
            self._pieces_bytes += sum(map(len, pieces))
            self.body_ended = self._decoder.ended
        else:
            if len(data) > self._left:
                data, rest = data[: self._left], data[self._left :]
            self._left -= len(data)
            self._pieces.append(data)
            self._pieces_bytes += len(data)
            self.body_ended = not self._left
        if self._pieces_bytes >= self._link.buffered_limit_bytes:
            self._link.hold_reading()
        self._wake()
        return rest

    def disconnect(self) -> None:
        """Nothing more comes from the client, or nothing more goes to it: the app reads ``http.disconnect``."""
        self._disconnected = True
        self._wake()

    async def receive(self) -> Message:
        """The ``receive`` of ASGI; a body piece is everything that has arrived."""
        while True:
            if self._disconnected:
                return {"type": "http.disconnect"}
            if self._pieces:
                return self._take()
            if self.body_ended and not self._delivered_end:
                self._delivered_end = True
                return {"type": "http.request", "body": b"", "more_body": False}
            if self._expects_continue:
                self._expects_continue = False
                if not self.started:
                    with suppress(ConnectionResetError):  # the disconnect comes next
                        self._link.write(answer.CONTINUE)
            if self._waiter is None or self._waiter.done():
                self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def _take(self) -> Message:
        self._expects_continue = False
        pieces, self._pieces, self._pieces_bytes = self._pieces, [], 0
        self._delivered_end = self.body_ended
        self._link.resume_reading()
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return {"type": "http.request", "body": body, "more_body": not self.body_ended}

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- the answer -----------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """The ``send`` of ASGI, with its extension ``zerocopysend``.

        Raises ConnectionResetError when nobody can receive the answer any more, ValueError for a field with a line
        end, RuntimeError for messages out of order and for a body that is not as long as announced.
        """
        kind = message["type"]
        if self.answered:
            raise ConnectionResetError("the exchange has ended")
        if kind == "http.response.start":
            if self._head_answer is not None:
                raise RuntimeError("the answer has already begun")
            self._head_answer = message
            return
        if self._head_answer is None:
            raise RuntimeError("the answer has no head")
        more = message.get("more_body", False)
        if kind == "http.response.body":
            self._write_piece(message.get("body", b""), more)
        elif kind == SEND_FILE:
            await self._send_file(message)
        else:
            raise RuntimeError(f"unknown message {kind}")
        if not more:
            self._end()
        await self._link.drain()

    def refuse(self, content: bytes) -> None:
        """Answer in the app's place and end the connection; what the app says later is refused."""
        self.keep_alive = False
        self.started = self.answered = True
        self._link.write(content)
        self.disconnect()

    def _write_piece(self, body: bytes, more: bool) -> None:
        head = b"" if self.started else self._render(len(body), more)
        if self._silent:
            body = b""
        elif self._is_chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        elif self._to_send is not None:
            self._to_send -= len(body)
            if self._to_send < 0:
                raise RuntimeError("the body is longer than Content-Length")
        if len(body) > _JOIN_BYTES:
            self._link.write(head, body) if head else self._link.write(body)
        elif head or body:
            self._link.write(head + body)

    async def _send_file(self, message: Message) -> None:
        count = message["count"]
        if not self.started:
            self._link.write(self._render(count, True))
        if self._silent:
            return
        if self._to_send is None or count > self._to_send:
            raise RuntimeError("a file is sent only within Content-Length")
        await self._link.send_file(message["file"].fileno(), message["offset"], count)
        self._to_send -= count

    def _end(self) -> None:
        if self._to_send and not self._silent:
            raise RuntimeError("the body is shorter than Content-Length")
        self.answered = True

    def _render(self, size_bytes: int, more: bool) -> bytes:
        """The head, once it is known how the body will be framed."""
        message = self._head_answer
        assert message is not None  # noqa: S101 - send() has checked it
        status, headers = message["status"], message.get("headers", ())
        length: int | None = None
        closes = False
        for name, value in headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"connection":
                closes = closes or value.lower() == b"close"
        added = self._link.clock.date_line()
        self._silent = self.head.method == "HEAD" or status in _BODILESS
        if length is None and not self._silent:
            if not more:
                length = size_bytes
                added += b"content-length: %d\r\n" % length
            elif self.head.version == "1.1":
                self._is_chunked = True
                added += b"transfer-encoding: chunked\r\n"
            else:
                self.keep_alive = False
        if closes:
            self.keep_alive = False
        elif not self.keep_alive:
            added += b"connection: close\r\n"
        elif self.head.version == "1.0":
            added += b"connection: keep-alive\r\n"
        try:
            rendered = answer.render_head(status, headers, added)
        except ValueError:
            self._head_answer = None  # nothing was sent, so the app may answer otherwise
            raise
        self._to_send = length
        self.started = True
        return rendered

    @property
    def is_framed(self) -> bool:
        """Whether the client can tell a cut body from a whole one."""
        return self._is_chunked or self._to_send is not None or self._silent
