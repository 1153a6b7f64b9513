"""The drain guard against a server that, like hypercorn, blocks its reader on a bounded queue."""

import asyncio
from typing import Any

import pytest

from gateway.wire.drain import DrainGuard
from gateway.wire.inflight import InFlight
from gateway.wire.response import ResponseBroken
from tests.unit.wire.requests import scope


class Server:
    """Delivers ``pieces`` through a queue of two, and ``http.disconnect`` through the same queue, as hypercorn does."""

    def __init__(self, *pieces: bytes, ends: bool = True) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue(2)
        self.sent: list[Any] = []
        self._pieces = pieces
        self._ends = ends
        self._over = False

    async def serve(self, app: Any, *headers: tuple[bytes, bytes]) -> None:
        feeder = asyncio.create_task(self._feed())
        try:
            await asyncio.sleep(0.01)  # the reader is ahead of the app, as over a socket
            async with asyncio.timeout(1):
                await app(scope("PUT", b"/b/k", *headers), self.queue.get, self._send)
                if not self.closed:
                    await self._disconnect()
                await asyncio.wait([feeder], timeout=0.5)
                assert feeder.done() or not self._ends, "the server's reader is blocked"
        finally:
            feeder.cancel()

    async def _disconnect(self) -> None:
        self._over = True
        await self.queue.put({"type": "http.disconnect"})

    async def _feed(self) -> None:
        for piece in self._pieces:
            if self._over:
                return
            await self.queue.put({"type": "http.request", "body": piece, "more_body": True})
        if self._ends and not self._over:
            await self.queue.put({"type": "http.request", "body": b"", "more_body": False})

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        if self.closed:
            await self._disconnect()

    @property
    def closed(self) -> bool:
        return (
            self.sent[-1]["type"] == "http.response.body" and not self.sent[-1].get("more_body", False)
            if self.sent
            else False
        )

    @property
    def connection(self) -> bytes | None:
        return dict(self.sent[0]["headers"]).get(b"connection")


def answering(*, read: int = 0) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(read):
            await receive()
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"no"})

    return app


def guarded(app: Any, **extra: Any) -> DrainGuard:
    return DrainGuard(app, **{"reuse_bytes": 100, "linger_bytes": 1000, "linger_seconds": 0.1, **extra})


LENGTH_60 = (b"content-length", b"60")
CHUNKED = (b"transfer-encoding", b"chunked")


async def test_the_trap_is_real() -> None:
    """Without the guard the same exchange hangs: otherwise these tests prove nothing."""
    with pytest.raises((TimeoutError, AssertionError)):
        await Server(*[b"x" * 10] * 6).serve(answering(), LENGTH_60)


async def test_a_short_rest_is_read_and_the_connection_kept() -> None:
    server = Server(*[b"x" * 10] * 6)
    await server.serve(guarded(answering()), LENGTH_60)
    assert server.connection is None
    assert [message.get("more_body") for message in server.sent[1:]] == [True, False]
    assert server.sent[1]["body"] == b"no"


async def test_a_long_rest_closes_the_connection() -> None:
    server = Server(*[b"x" * 10] * 20)
    await server.serve(guarded(answering()), (b"content-length", b"200"))
    assert server.connection == b"close"


async def test_an_unknown_rest_closes_the_connection() -> None:
    server = Server(*[b"x"] * 11)
    await server.serve(guarded(answering()), CHUNKED)
    assert server.connection == b"close"


async def test_more_than_the_linger_budget_is_left_to_the_server() -> None:
    server = Server(*[b"x" * 100] * 50, ends=False)
    await server.serve(guarded(answering()), (b"content-length", b"5000"))
    assert server.connection == b"close"
    assert server.closed


async def test_a_stalled_client_is_given_up() -> None:
    server = Server(b"x", ends=False)
    started = asyncio.get_running_loop().time()
    await server.serve(guarded(answering()), (b"content-length", b"5000"))
    assert asyncio.get_running_loop().time() - started < 1
    assert server.closed


async def test_a_client_waiting_for_100_Continue_gets_close() -> None:
    server = Server(ends=False)
    await server.serve(guarded(answering()), LENGTH_60, (b"expect", b"100-continue"))
    assert server.connection == b"close"


async def test_a_client_somebody_lost_patience_with_gets_close() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.01)
        await answering()(scope, receive, send)

    server = Server(ends=False)
    await server.serve(guarded(app), LENGTH_60)
    assert server.connection == b"close"


async def test_a_body_read_to_its_end_passes_through() -> None:
    server = Server(b"x" * 60)
    await server.serve(guarded(answering(read=2)), LENGTH_60)
    assert server.connection is None
    assert len(server.sent) == 2


async def test_ambiguous_framing_always_closes() -> None:
    server = Server(b"x" * 60)
    await server.serve(guarded(answering(read=2)), LENGTH_60, CHUNKED)
    assert server.connection == b"close"


@pytest.mark.parametrize("error", [RuntimeError("a defect"), ResponseBroken("the reader failed")])
async def test_an_app_that_fails_does_not_block_the_reader(error: Exception) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    server = Server(*[b"x"] * 50)
    if isinstance(error, ResponseBroken):
        await server.serve(guarded(app), CHUNKED)
        return

    async def catching(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(RuntimeError):
            await guarded(app)(scope, receive, send)

    await server.serve(catching, CHUNKED)


async def test_a_websocket_is_closed() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await DrainGuard(answering())({"type": "websocket", "headers": []}, asyncio.Queue().get, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


class TestInFlight:
    async def test_draining_closes_and_is_visible(self) -> None:
        seen: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope.get("state", {}).get("draining"))
            await answering()(scope, receive, send)

        registry = InFlight(app)
        for draining, connection in ((False, None), (True, b"close")):
            registry.draining = draining
            server = Server()
            await server.serve(registry)
            assert server.connection == connection
        assert seen == [None, True]
        assert len(registry) == 0

    async def test_a_waiting_request_is_answered_503_at_the_deadline(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(60)

        registry = InFlight(app)
        server = Server()
        task = asyncio.create_task(server.serve(registry))
        await asyncio.sleep(0.05)
        assert len(registry) == 1
        registry.draining = True
        registry.cancel_all()
        await task
        assert server.sent[0]["status"] == 503
        assert server.connection == b"close"

    async def test_a_begun_answer_is_cut_at_the_deadline(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await asyncio.sleep(60)

        registry = InFlight(app)
        server = Server()
        task = asyncio.create_task(server.serve(registry))
        await asyncio.sleep(0.05)
        registry.cancel_all()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not server.closed

    async def test_a_lifespan_that_raises_has_failed(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise RuntimeError("no database")

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await InFlight(app)({"type": "lifespan"}, asyncio.Queue().get, send)
        assert sent == [{"type": "lifespan.startup.failed", "message": "RuntimeError: no database"}]
