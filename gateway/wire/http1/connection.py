"""The protocol class of the HTTP/1.1 edge: one connection, one request at a time, one task a request.

What the connections of a worker share is in :mod:`gateway.wire.http1.edge`.
"""

import asyncio
import errno
import logging
import socket
from math import inf
from typing import Any, Final
from urllib.parse import unquote

from gateway.wire.drain import LINGER_BYTES, LINGER_SECONDS
from gateway.wire.http1 import answer
from gateway.wire.http1.edge import READ_BYTES, Edge
from gateway.wire.http1.exchange import Exchange
from gateway.wire.http1.head import HEAD_END, MAX_HEAD_BYTES, BadMessage, RequestHead, looks_bad
from gateway.wire.http1.sendfile import AVAILABLE as SENDFILE_AVAILABLE
from gateway.wire.http1.sendfile import FileSender, FileTooShort
from gateway.wire.response import DEADLINE, SEND_FILE

logger = logging.getLogger(__name__)

# What may arrive of later requests while one runs.
_AHEAD_BYTES: Final = 64 * 1024
_WRITE_HIGH_BYTES: Final = 256 * 1024
_ASGI: Final = {"version": "3.0", "spec_version": "2.4"}


class EdgeConnection(asyncio.BufferedProtocol):
    """One connection. ``closed`` is done when it has ended; ``deadline`` is when :meth:`on_deadline` is due."""

    def __init__(self, edge: Edge, transport: asyncio.Transport) -> None:
        self._edge = edge
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._buffer = edge.buffer
        self.clock = edge.clock
        self.buffered_limit_bytes = READ_BYTES
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.deadline = self._loop.time() + edge.limits.keep_alive_seconds
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._ahead = bytearray()
        self._searched_bytes = 0
        self._lingered_bytes = 0
        self._ending = self._lost = self._at_eof = False
        self._reading = True
        self._writable: asyncio.Future[None] | None = None
        self._write_paused = False
        self._file: FileSender | None = None
        self._secure = transport.get_extra_info("ssl_object") is not None
        self._extensions: dict[str, dict[str, Any]] = {DEADLINE: {}}
        if SENDFILE_AVAILABLE and not self._secure:
            self._extensions[SEND_FILE] = {}
        self._client = _address(transport.get_extra_info("peername"))
        self._server = _address(transport.get_extra_info("sockname"))
        transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)
        edge.opened(self)

    # --- what the transport calls ---------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to: the worker's one buffer."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes were read."""
        self.feed(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool:
        """The client sends nothing more. It may still read: an answer that runs is finished."""
        self._at_eof = True
        exchange = self._exchange
        if exchange is None or self._ending:
            return False
        if not exchange.body_ended:
            self._break_off(exchange, "IncompleteBody")
        return not self._secure

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._lost = self._ending = True
        self.deadline = inf
        self._edge.closed(self)
        if self._exchange is not None:
            self._exchange.disconnect()
        if self._file is not None:
            self._file.connection_lost()
        self._set_writable()
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """The transport holds enough."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """The transport takes more."""
        self._write_paused = False
        self._set_writable()

    # --- reading --------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take bytes of the client."""
        exchange = self._exchange
        if self._ending:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > LINGER_BYTES:
                self._transport.close()
        elif exchange is None:
            self._feed_head(data)
        elif exchange.body_ended:
            self._keep_for_later(data)
        else:
            self._feed_body(exchange, data)

    def _feed_body(self, exchange: Exchange, data: bytes) -> None:
        try:
            rest = exchange.feed(data)
        except BadMessage:
            self._break_off(exchange, "BadRequest")
            return
        if rest:
            self._keep_for_later(rest)

    def _keep_for_later(self, data: bytes) -> None:
        self._ahead += data
        if len(self._ahead) > _AHEAD_BYTES:
            self.hold_reading()

    def _feed_head(self, data: bytes) -> None:
        if self._ahead:
            self._ahead += data
            data = bytes(self._ahead)
        end = data.find(HEAD_END, self._searched_bytes)
        if end < 0:
            self._wait_for_head(data)
            return
        end += len(HEAD_END)
        if end > MAX_HEAD_BYTES:
            self._refuse("RequestHeaderSectionTooLarge")
            return
        self._ahead = bytearray()
        self._searched_bytes = 0
        try:
            head = self._edge.parser.parse(data[:end] if len(data) > end else data)
        except BadMessage as error:
            logger.debug("bad request head: %s", error)
            self._refuse("BadRequest")
            return
        self._begin(head, data[end:])

    def _wait_for_head(self, data: bytes) -> None:
        if len(data) > MAX_HEAD_BYTES:
            self._refuse("RequestHeaderSectionTooLarge")
        elif looks_bad(data):
            self._refuse("BadRequest")
        else:
            if not self._ahead:
                self._ahead += data
                self.deadline = self._loop.time() + self._edge.limits.header_seconds
            self._searched_bytes = max(0, len(data) - len(HEAD_END) + 1)

    def hold_reading(self) -> None:
        """Stop reading: the app is slower than the client."""
        if self._reading and not self._transport.is_closing():
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if not self._reading and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    # --- running --------------------------------------------------------------------------------------------------

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        self.deadline = inf
        exchange = self._exchange = Exchange(self, head)
        self._task = self._loop.create_task(self._run(exchange))
        if rest:
            self.feed(rest)

    async def _run(self, exchange: Exchange) -> None:
        try:
            await self._edge.app(self._scope(exchange.head), exchange.receive, exchange.send)
        except asyncio.CancelledError:
            logger.debug("request cancelled")
        except Exception:
            logger.exception("the application failed")
        finally:
            self._exchange = self._task = None
            exchange.disconnect()
            self._end(exchange)

    def _scope(self, head: RequestHead) -> dict[str, Any]:
        raw_path, _, query = head.target.partition(b"?")
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": head.version,
            "method": head.method,
            "scheme": "https" if self._secure else "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": head.headers,
            "client": self._client,
            "server": self._server,
            "state": self._edge.state.copy(),
            "extensions": self._extensions,
        }

    def _end(self, exchange: Exchange) -> None:
        """The app has returned: go on with the next request, or end the connection."""
        if self._lost or self._ending:
            return
        if not exchange.answered:
            self._abandon(exchange)
        elif not (exchange.keep_alive and exchange.body_ended) or self._at_eof or self._edge.draining:
            self._close()
        else:
            self.deadline = self._loop.time() + self._edge.limits.keep_alive_seconds
            self.resume_reading()
            if self._ahead:
                data = bytes(self._ahead)
                self._ahead.clear()
                self._feed_head(data)

    def _abandon(self, exchange: Exchange) -> None:
        """The app gave no whole answer: 500, or an end that no client takes for a whole body."""
        if not exchange.started:
            self._refuse("InternalError")
        elif exchange.is_framed:
            self._close()
        else:
            self._transport.abort()

    def _break_off(self, exchange: Exchange, code: str) -> None:
        """The request body is broken: answer while that is still possible, and let the app know."""
        self.hold_reading()
        exchange.keep_alive = False
        if exchange.started:
            exchange.disconnect()
        else:
            exchange.refuse(answer.render_error(code, self.clock.date_line()))
            self._linger()

    # --- writing --------------------------------------------------------------------------------------------------

    def write(self, *pieces: bytes) -> None:
        """Hand bytes to the transport. Raises ConnectionResetError."""
        if self._lost or self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        if len(pieces) == 1:
            self._transport.write(pieces[0])
        else:
            self._transport.writelines(pieces)

    async def drain(self) -> None:
        """Wait while the transport holds enough. Raises ConnectionResetError: the client is gone or too slow."""
        if self._write_paused:
            await self._until_writable()

    async def _until_writable(self) -> None:
        self._writable = self._loop.create_future()
        self._blocked()
        try:
            await self._writable
        finally:
            self._writable = None
            self._unblocked()
        if self._lost:
            raise ConnectionResetError("the client has gone")

    async def send_file(self, fd: int, offset_bytes: int, count_bytes: int) -> None:
        """Send a range of a file behind everything written. Raises ConnectionResetError and other OSErrors."""
        while self._transport.get_write_buffer_size():
            self._transport.set_write_buffer_limits(high=0)
            try:
                if self._write_paused:
                    await self._until_writable()
                else:
                    await asyncio.sleep(0)
            finally:
                self._transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)
        if self._lost or self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        sock: socket.socket = self._transport.get_extra_info("socket")
        self._file = FileSender(self._edge.file_threads, sock, on_blocked=self._blocked, on_progress=self._unblocked)
        try:
            await self._file.send(fd, offset_bytes, count_bytes)
        except FileTooShort:
            raise OSError(errno.EIO, "the file ended before its range") from None
        finally:
            self._file = None

    def _blocked(self) -> None:
        self.deadline = self._loop.time() + self._edge.limits.send_seconds

    def _unblocked(self) -> None:
        if not self._ending:
            self.deadline = inf

    def _set_writable(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # --- ending ---------------------------------------------------------------------------------------------------

    def refuse(self, code: str) -> None:
        """Answer at once and end the connection, whatever the client wants."""
        self._refuse(code)

    def close_if_idle(self) -> None:
        """Close a connection that has no request."""
        if self._exchange is None and not self._ahead and not self._ending:
            self._close()

    def on_deadline(self) -> None:
        """The client took too long."""
        if self._exchange is not None or self._transport.is_closing():
            self.deadline = inf
            self._transport.abort()
        elif self._ahead and not self._ending:
            self._refuse("RequestTimeout", 408)
        else:
            self._close()

    def _refuse(self, code: str, status: int | None = None) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer.render_error(code, self.clock.date_line(), status))
        self._linger()

    def _linger(self) -> None:
        """End the connection, but read on for a while: a socket closed with unread bytes is reset, and the reset can
        destroy the answer in the client's buffer."""
        self._ending = True
        self._ahead.clear()
        self.deadline = self._loop.time() + LINGER_SECONDS
        if self._at_eof or self._transport.is_closing():
            self._close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.resume_reading()

    def _close(self) -> None:
        """Flush and close; a peer that reads nothing does not hold it for long."""
        self._ending = True
        self.deadline = self._loop.time() + self._edge.limits.close_seconds
        self._transport.close()


def _address(name: Any) -> tuple[str, int] | None:
    return (name[0], name[1]) if isinstance(name, tuple) else None
