"""Our head and chunk parsers against h11's on broken and odd requests.

Whatever both accept, they must read alike; whatever h11 refuses, ours refuses. A difference here is a way to smuggle
one request past a proxy inside another.
"""

import asyncio
import random
from typing import Any

import h11
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.wire.http1.connection import EdgeConnection
from gateway.wire.http1.edge import Edge, EdgeLimits
from tests.edge_transport import FakeTransport

GET = b"GET /bucket/key?a=b HTTP/1.1\r\nHost: example.com\r\nX-Test: one two\r\nAccept: */*\r\n\r\n"
PUT = b"PUT /bucket/key HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nabcde"
CHUNKED = (
    b"PUT /bucket/key HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;x=y\r\nabcde\r\nA\r\n0123456789\r\n0\r\nX-Trailer: a\r\n\r\n"
)
OLD = b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
PIECES = [
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"\0", b":", b",", b";", b"\xff", b"\x7f", b"+", b"-1", b"0", b"1",
    b"g", b"0x1", b"chunked", b"\r\n ", b"\r\nHost: b", b"\r\nContent-Length: 5", b"\r\nContent-Length: 1, 1",
    b"\r\nTransfer-Encoding: chunked", b"\r\nTransfer-Encoding: identity", b"\r\nConnection: close",
    b"\r\nUpgrade: h2c\r\nConnection: upgrade", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1", b"GET ", b"/", b"#", b"?",
]  # fmt: skip

Seen = tuple[str, bytes, tuple[tuple[bytes, bytes], ...], bytes, bool]


async def ours(data: bytes, cuts: list[int]) -> tuple[list[Seen], bytes]:
    """The requests our edge shows an app that reads them whole, and what it wrote."""
    seen: list[Seen] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        # h11 shows this one value in lower case.
        headers = tuple(
            (name, value.lower() if name == b"transfer-encoding" else value) for name, value in scope["headers"]
        )
        seen.append((scope["method"], target, headers, body, scope["http_version"] == "1.1"))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    transport = FakeTransport()
    connection = EdgeConnection(Edge(app, EdgeLimits()), transport)
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        if data[start:end] and not transport.closing:
            connection.feed(data[start:end])
        for _ in range(4):
            await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    connection.connection_lost(None)
    for _ in range(4):
        await asyncio.sleep(0)
    return seen, transport.written


def theirs(data: bytes) -> list[Seen]:
    """The requests h11 reads before it refuses or wants more."""
    seen: list[Seen] = []
    connection = h11.Connection(h11.SERVER)
    request: h11.Request | None = None
    body = b""
    try:
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                method = request.method.decode("ascii")
                headers = tuple((bytes(name), bytes(value)) for name, value in request.headers)
                target = bytes(request.target)
                target = target[:-1] if target.endswith(b"?") and target.count(b"?") == 1 else target
                seen.append((method, target, headers, body, request.http_version == b"1.1"))
                connection.send(h11.Response(status_code=204, headers=[]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.MUST_CLOSE:
                    connection.start_next_cycle()
                elif _persists(request):
                    rest, connection = connection.trailing_data[0], h11.Connection(h11.SERVER)
                    connection.receive_data(rest)
                else:
                    return seen
            else:
                return seen
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        return seen


def _persists(request: h11.Request) -> bool:
    """HTTP/1.0 with keep-alive, which h11 does not offer (RFC 9112 §C.2.2)."""
    values = b",".join(value for name, value in request.headers if name == b"connection").lower().split(b",")
    options = {value.strip() for value in values}
    return request.http_version == b"1.0" and b"keep-alive" in options and b"close" not in options


async def compare(data: bytes, cuts: list[int]) -> None:
    expected = theirs(data)
    seen, written = await ours(data, cuts)
    assert seen == expected[: len(seen)], (data, expected)
    if len(seen) < len(expected):
        assert b"HTTP/1.1 400 " in written, (data, expected, written)
    assert written.count(b"HTTP/1.1 204") == len(seen)
    assert written.count(b"HTTP/1.1 400") <= 1


@st.composite
def mutated(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    """One to three good requests in a row with a few bytes put in, taken out or replaced, cut into reads."""
    data = b"".join(draw(st.lists(st.sampled_from([GET, PUT, CHUNKED, OLD]), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 4))
        data = data[:at] + draw(st.sampled_from([*PIECES, b""])) + data[at + length :]
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=3)))
    return data, cuts


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
@example((GET + PUT + CHUNKED + OLD, []))
@example((GET + CHUNKED + GET, [3, 90, 150]))
def test_mutated_requests_are_read_as_h11_reads_them(case: tuple[bytes, list[int]]) -> None:
    asyncio.run(compare(*case))


def test_seeded_mutations_are_read_as_h11_reads_them() -> None:
    """Many more, cheaper ones: single bytes anywhere."""
    chance = random.Random(20261121)

    async def run() -> None:
        for _ in range(4000):
            data = chance.choice((GET, PUT + GET, CHUNKED + GET, OLD + GET))
            at = chance.randrange(len(data))
            piece = chance.choice((bytes([chance.randrange(256)]), chance.choice(PIECES)))
            data = data[:at] + piece + data[at + chance.randrange(2) :]
            await compare(data, sorted(chance.sample(range(len(data)), 2)))

    asyncio.run(run())


@pytest.mark.parametrize(
    "data",
    [
        GET.replace(b"\r\nHost", b"\nHost"),
        GET.replace(b"Host: ", b"Host : "),
        GET.replace(b"X-Test", b"X-T\0st"),
        GET.replace(b"one two", b"one\r\n two"),
        GET.replace(b"one two", b"one\rtwo"),
        GET.replace(b"GET ", b"GET  "),
        GET.replace(b"HTTP/1.1", b"HTTP/2.0"),
        GET.replace(b"Host: example.com\r\n", b""),
        GET.replace(b"X-Test", b"Host"),
        PUT.replace(b": 5", b": 5, 5"),
        PUT.replace(b": 5", b": +5"),
        PUT.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"),
        PUT.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
        CHUNKED.replace(b": chunked", b": gzip, chunked"),
        CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0"),
        CHUNKED.replace(b"abcde\r\n", b"abcde\n"),
        CHUNKED.replace(b"abcde\r\n", b"abcdef\r\n"),
        CHUNKED.replace(b"5;x=y\r\n", b"5;x=y\n"),
        CHUNKED.replace(b"5;x=y", b"5 "),
        CHUNKED.replace(b"5;x=y", b"0x5"),
        CHUNKED.replace(b"5;x=y", b"-5"),
        CHUNKED.replace(b"5;x=y", b"5" * 17),
        CHUNKED.replace(b"X-Trailer: a", b"X Trailer: a"),
        CHUNKED.replace(b"X-Trailer: a", b"Content-Length: 5 a"),
        CHUNKED.replace(b"X-Trailer: a", b"transfer-encoding: chunked"),
        CHUNKED.replace(b"X-Trailer: a", b"X-Trailer: " + b"a" * 5000),
    ],
)
async def test_refused_with_400_and_nothing_after_it(data: bytes) -> None:
    seen, written = await ours(data + GET, [])
    assert seen == []
    assert written.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"connection: close" in written
    assert written.count(b"HTTP/1.1") == 1
