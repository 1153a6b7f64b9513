"""Answers as the edge writes them, driven without a socket."""

import asyncio
from typing import Any

import pytest

from gateway.wire.http1.connection import EdgeConnection
from gateway.wire.http1.edge import Edge, EdgeLimits
from tests.edge_transport import FakeTransport

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(content: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


class Run:
    """What an app that sends ``messages`` makes the edge write."""

    def __init__(self, *messages: dict[str, Any], request: bytes = GET) -> None:
        self.messages = messages
        self.request = request
        self.error: Exception | None = None
        self.transport = FakeTransport()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            for message in self.messages:
                await send(message)
        except Exception as error:
            self.error = error
            raise

    async def __call__(self) -> bytes:
        connection = EdgeConnection(Edge(self.app, EdgeLimits()), self.transport)
        connection.feed(self.request)
        for _ in range(10):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        return self.transport.written


async def test_head_and_body_are_one_write() -> None:
    run = Run(start((b"content-length", b"2")), body(b"ok"))
    written = await run()
    assert written.startswith(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: ")
    assert written.endswith(b" GMT\r\n\r\nok")
    assert run.transport.writes == 1
    assert not run.transport.closing


async def test_a_body_of_one_message_gets_its_length() -> None:
    assert b"content-length: 2\r\n" in await Run(start(), body(b"ok"))()


async def test_a_stream_without_length_is_chunked() -> None:
    written = await Run(start(), body(b"ab", more=True), body(b"", more=True), body(b"c"))()
    assert b"transfer-encoding: chunked\r\n" in written
    assert written.endswith(b"\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")


async def test_a_stream_without_length_ends_an_HTTP_1_0_connection() -> None:
    request = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    run = Run(start(), body(b"ab", more=True), body(b"c"), request=request)
    written = await run()
    assert b"chunked" not in written
    assert b"connection: close\r\n" in written
    assert written.endswith(b"\r\n\r\nabc")
    assert run.transport.closing


@pytest.mark.parametrize(("option", "kept"), [(b"keep-alive", True), (b"close", False), (b"x, Keep-Alive", True)])
async def test_HTTP_1_0_persists_only_when_asked(option: bytes, kept: bool) -> None:
    run = Run(start(), body(b"ok"), request=b"GET / HTTP/1.0\r\nConnection: " + option + b"\r\n\r\n")
    assert (b"connection: keep-alive\r\n" in await run()) is kept
    assert run.transport.closing is not kept


@pytest.mark.parametrize("status", [204, 304])
async def test_bodiless_statuses(status: int) -> None:
    written = await Run(start(status=status), body(b"never"))()
    assert written.endswith(b"\r\n\r\n")
    assert b"content-length" not in written


async def test_HEAD_keeps_the_length() -> None:
    request = GET.replace(b"GET", b"HEAD")
    written = await Run(start((b"content-length", b"9")), body(b"", more=False), request=request)()
    assert b"content-length: 9\r\n" in written
    assert written.endswith(b"\r\n\r\n")


async def test_unknown_statuses_have_a_phrase() -> None:
    assert (await Run(start(status=299), body())()).startswith(b"HTTP/1.1 299 Unknown\r\n")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b"])
async def test_no_field_splits_the_answer(value: bytes) -> None:
    """Nothing was sent, so the app may still answer; one that does not is answered 500."""
    run = Run(start((b"x-test", value)), body(b"ok"))
    assert (await run()).startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert isinstance(run.error, ValueError)
    assert run.transport.written.count(b"HTTP/1.1") == 1
    assert b"set-cookie" not in run.transport.written


@pytest.mark.parametrize("content", [b"abc", b"a"])
async def test_a_body_of_another_length_is_cut(content: bytes) -> None:
    run = Run(start((b"content-length", b"2")), body(b"", more=True), body(content))
    written = await run()
    assert isinstance(run.error, RuntimeError)
    assert run.transport.closing
    assert len(written.partition(b"\r\n\r\n")[2]) < 2


async def test_nothing_after_the_answer() -> None:
    run = Run(start(), body(b"ok"), body(b"more"))
    assert (await run()).endswith(b"\r\n\r\nok")
    assert isinstance(run.error, ConnectionResetError)


async def test_an_app_that_says_nothing_is_500() -> None:
    run = Run()
    written = await run()
    assert written.startswith(b"HTTP/1.1 500 ")
    assert b"<Code>InternalError</Code>" in written
    assert run.transport.closing


async def test_connection_close_of_the_app_is_obeyed_once() -> None:
    run = Run(start((b"connection", b"close")), body(b"ok"))
    assert (await run()).count(b"connection: close") == 1
    assert run.transport.closing


async def test_reading_stops_when_the_app_does_not_read() -> None:
    waiting = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await waiting.wait()
        size = 0
        while (message := await receive())["more_body"]:
            size += len(message["body"])
        await send(start())
        await send(body(b"%d" % (size + len(message["body"]))))

    transport = FakeTransport()
    connection = EdgeConnection(Edge(app, EdgeLimits()), transport)
    connection.feed(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    connection.feed(bytes(200_000))
    assert transport.reading
    connection.feed(bytes(200_000))
    assert not transport.reading
    waiting.set()
    await asyncio.sleep(0.01)
    assert transport.reading
    connection.feed(bytes(600_000))
    await asyncio.sleep(0.01)
    assert transport.written.endswith(b"\r\n\r\n1000000")
    connection.connection_lost(None)


async def test_reading_stops_when_too_much_is_pipelined() -> None:
    waiting = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await waiting.wait()
        await send(start(status=204))
        await send(body())

    transport = FakeTransport()
    connection = EdgeConnection(Edge(app, EdgeLimits()), transport)
    count = 100_000 // len(GET)
    connection.feed(GET * count)
    await asyncio.sleep(0)
    assert not transport.reading
    waiting.set()
    for _ in range(600):
        if transport.written.count(b"HTTP/1.1 204 No Content\r\n") == count:
            break
        await asyncio.sleep(0.05)
    assert transport.written.count(b"HTTP/1.1 204 No Content\r\n") == count
    assert transport.reading
    connection.connection_lost(None)
