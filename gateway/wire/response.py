"""The answer, and how it is sent: a deadline per piece, the reader always closed, truncation never clean."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_BODILESS: Final = frozenset({204, 304})


class ResponseBroken(Exception):
    """The answer cannot be completed after its head was sent. The server must break the connection; a clean end would
    make a short body look whole (RFC 9112 §8)."""


class ResponseBody(Protocol):
    """A body read piece by piece, such as a ``BlobReader``. ``size_bytes`` None is an unknown length (chunked)."""

    @property
    def size_bytes(self) -> int | None: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Response:
    """Status, headers (lower-case names, checked values) and body. Content-Length is added when it is not given."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes | ResponseBody = b""


async def send_response(response: Response, send: Send, *, idle_seconds: float, head: bool = False) -> int:
    """Send an answer and return the number of body bytes. ``head`` keeps the headers and leaves out the body.

    ``idle_seconds`` bounds each wait for the client to take one piece. The first piece is read before the head is
    sent, so a reader that fails at once raises its own error and can still be answered. Afterwards every failure of
    the reader, and a client that takes nothing or has gone, raises :class:`ResponseBroken`.
    """
    body = response.body
    if isinstance(body, bytes):
        return await _send_bytes(response, body, send, idle_seconds, head)
    try:
        if head or response.status in _BODILESS:
            await _send(send, _start(response, body.size_bytes), idle_seconds)
            await _send(send, {"type": "http.response.body", "body": b""}, idle_seconds)
            return 0
        return await _send_pieces(response, body, send, idle_seconds)
    finally:
        await body.close()


async def _send_bytes(response: Response, body: bytes, send: Send, idle_seconds: float, head: bool) -> int:
    content = b"" if head or response.status in _BODILESS else body
    try:
        async with asyncio.timeout(idle_seconds):
            await send(_start(response, len(body)))
            await send({"type": "http.response.body", "body": content})
    except TimeoutError:
        raise ResponseBroken("the client takes no bytes") from None
    except OSError as error:
        raise ResponseBroken("the client has gone") from error
    return len(content)


async def _send_pieces(response: Response, body: ResponseBody, send: Send, idle_seconds: float) -> int:
    pieces = aiter(body)
    piece = await anext(pieces, b"")
    await _send(send, _start(response, body.size_bytes), idle_seconds)
    sent = 0
    while piece:
        sent += len(piece)
        if body.size_bytes is not None and sent > body.size_bytes:
            raise ResponseBroken("the reader gave more bytes than it announced")
        await _send(send, {"type": "http.response.body", "body": piece, "more_body": True}, idle_seconds)
        try:
            piece = await anext(pieces, b"")
        except Exception as error:
            raise ResponseBroken("the reader failed after the head was sent") from error
    if body.size_bytes is not None and sent != body.size_bytes:
        raise ResponseBroken("the reader gave fewer bytes than it announced")
    await _send(send, {"type": "http.response.body", "body": b""}, idle_seconds)
    return sent


async def _send(send: Send, message: MutableMapping[str, Any], idle_seconds: float) -> None:
    try:
        async with asyncio.timeout(idle_seconds):
            await send(message)
    except TimeoutError:
        raise ResponseBroken("the client takes no bytes") from None
    except OSError as error:
        raise ResponseBroken("the client has gone") from error


def _start(response: Response, size_bytes: int | None) -> MutableMapping[str, Any]:
    headers = list(response.headers)
    if (
        size_bytes is not None
        and response.status not in _BODILESS
        and not any(name == b"content-length" for name, _ in headers)
    ):
        headers.append((b"content-length", b"%d" % size_bytes))
    return {"type": "http.response.start", "status": response.status, "headers": headers}
