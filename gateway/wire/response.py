"""The answer, and how it is sent: a deadline per piece, the reader always closed, truncation never clean."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

# ASGI extensions a server may offer: it sends files by the kernel, and it bounds the wait for the client itself.
SEND_FILE: Final = "http.response.zerocopysend"
DEADLINE: Final = "rowlock.response.deadline"

_BODILESS: Final = frozenset({204, 304})


class ResponseBroken(Exception):
    """The answer cannot be completed after its head was sent. The server must break the connection; a clean end would
    make a short body look whole (RFC 9112 §8)."""


class FileRange(Protocol):
    """A range of an open file, which stays open until the reader that gave it is closed or asked for what follows."""

    @property
    def offset_bytes(self) -> int: ...

    @property
    def size_bytes(self) -> int: ...

    def fileno(self) -> int: ...


class ResponseBody(Protocol):
    """A body read piece by piece, such as a ``BlobReader``. ``size_bytes`` None is an unknown length (chunked).

    A reader may add ``content``, its bytes when they are in memory anyway, and ``segments()``, which iterates over
    bytes and :class:`FileRange` for servers that can send files.
    """

    @property
    def size_bytes(self) -> int | None: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Response:
    """Status, headers (lower-case names, checked values) and body. Content-Length is added when it is not given."""

    status: int
    headers: Headers = ()
    body: bytes | ResponseBody = b""


async def send_response(
    response: Response,
    send: Send,
    *,
    idle_seconds: float,
    head: bool = False,
    extensions: Collection[str] = (),
    common: Headers = (),
) -> int:
    """Send an answer and return the number of body bytes. ``head`` keeps the headers and leaves out the body;
    ``common`` are headers that come before the answer's own.

    ``idle_seconds`` bounds each wait for the client to take one piece; a server that offers :data:`DEADLINE` among
    the ASGI ``extensions`` does that itself. The first piece is read before the head is sent, so a reader that fails
    at once raises its own error and can still be answered. Afterwards every failure of the reader, and a client that
    takes nothing or has gone, raises :class:`ResponseBroken`.
    """
    sender = _Sender(send, None if DEADLINE in extensions else idle_seconds)
    body = response.body
    if isinstance(body, bytes):
        return await _send_content(_start(response, common, len(body)), body, sender, head)
    try:
        start = _start(response, common, body.size_bytes)
        if head or response.status in _BODILESS:
            return await _send_content(start, b"", sender, head)
        content: bytes | None = getattr(body, "content", None)
        if content is not None:
            return await _send_content(start, content, sender, head)
        return await _send_pieces(start, body, sender, SEND_FILE in extensions)
    finally:
        await body.close()


async def _send_content(start: Message, body: bytes, sender: "_Sender", head: bool) -> int:
    content = b"" if head or start["status"] in _BODILESS else body
    await sender.send_all(start, {"type": "http.response.body", "body": content})
    return len(content)


async def _send_pieces(start: Message, body: ResponseBody, sender: "_Sender", send_files: bool) -> int:
    segments: Callable[[], AsyncIterator[bytes | FileRange]] | None = getattr(body, "segments", None)
    pieces = segments() if send_files and segments is not None else aiter(body)
    piece: bytes | FileRange = await anext(pieces, b"")
    await sender.send_all(start)
    sent = 0
    while piece:
        sent += len(piece) if isinstance(piece, bytes) else piece.size_bytes
        if body.size_bytes is not None and sent > body.size_bytes:
            raise ResponseBroken("the reader gave more bytes than it announced")
        await sender.send_all(_piece(piece))
        try:
            piece = await anext(pieces, b"")
        except Exception as error:
            raise ResponseBroken("the reader failed after the head was sent") from error
    if body.size_bytes is not None and sent != body.size_bytes:
        raise ResponseBroken("the reader gave fewer bytes than it announced")
    await sender.send_all({"type": "http.response.body", "body": b""})
    return sent


def _piece(piece: bytes | FileRange) -> Message:
    if isinstance(piece, bytes):
        return {"type": "http.response.body", "body": piece, "more_body": True}
    return {
        "type": SEND_FILE,
        "file": piece,
        "offset": piece.offset_bytes,
        "count": piece.size_bytes,
        "more_body": True,
    }


class _Sender:
    """``send`` with a deadline, unless the server has its own; what fails in it breaks the answer."""

    __slots__ = ("_idle_seconds", "_send")

    def __init__(self, send: Send, idle_seconds: float | None) -> None:
        self._send = send
        self._idle_seconds = idle_seconds

    async def send_all(self, *messages: Message) -> None:
        try:
            for message in messages:
                if self._idle_seconds is None:
                    await self._send(message)
                else:
                    async with asyncio.timeout(self._idle_seconds):
                        await self._send(message)
        except TimeoutError:
            raise ResponseBroken("the client takes no bytes") from None
        except OSError as error:
            raise ResponseBroken("the client has gone") from error


def _start(response: Response, common: Headers, size_bytes: int | None) -> Message:
    headers = [*common, *response.headers]
    if size_bytes is not None and response.status not in _BODILESS and b"content-length" not in dict(headers):
        headers.append((b"content-length", b"%d" % size_bytes))
    return {"type": "http.response.start", "status": response.status, "headers": headers}
