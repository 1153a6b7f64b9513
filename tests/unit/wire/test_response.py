"""Answers: framing, deadlines, and readers that fail."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.errors import StorageError
from gateway.wire.response import DEADLINE, SEND_FILE, Response, ResponseBroken, send_response


class Reader:
    def __init__(self, *pieces: bytes | Exception, size_bytes: int | None = None) -> None:
        self.size_bytes = size_bytes
        self._pieces = pieces
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def close(self) -> None:
        self.closed += 1


class Sink:
    def __init__(self, stall_at: int | None = None) -> None:
        self.messages: list[Any] = []
        self._stall_at = stall_at

    async def __call__(self, message: Any) -> None:
        if self._stall_at == len(self.messages):
            await asyncio.sleep(10)
        self.messages.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    @property
    def finished(self) -> bool:
        return bool(self.messages) and not self.messages[-1].get("more_body", False) and len(self.messages) > 1

    def header(self, name: bytes) -> bytes | None:
        return dict(self.messages[0]["headers"]).get(name)


async def test_bytes() -> None:
    sink = Sink()
    assert await send_response(Response(200, ((b"etag", b'"a"'),), b"abc"), sink, idle_seconds=1) == 3
    assert (sink.body, sink.finished) == (b"abc", True)
    assert (sink.header(b"content-length"), sink.header(b"etag")) == (b"3", b'"a"')


async def test_a_given_content_length_stays() -> None:
    sink = Sink()
    await send_response(Response(200, ((b"content-length", b"77"),)), sink, idle_seconds=1, head=True)
    assert [pair for pair in sink.messages[0]["headers"] if pair[0] == b"content-length"] == [
        (b"content-length", b"77")
    ]


@pytest.mark.parametrize("status", [204, 304])
async def test_bodiless_statuses(status: int) -> None:
    sink = Sink()
    assert await send_response(Response(status, (), b"abc"), sink, idle_seconds=1) == 0
    assert (sink.body, sink.header(b"content-length")) == (b"", None)


async def test_a_reader_is_sent_piece_by_piece_and_closed() -> None:
    sink, reader = Sink(), Reader(b"abc", b"def", size_bytes=6)
    assert await send_response(Response(206, (), reader), sink, idle_seconds=1) == 6
    assert (sink.body, sink.finished, sink.header(b"content-length")) == (b"abcdef", True, b"6")
    assert reader.closed == 1


async def test_an_unknown_length_has_no_content_length() -> None:
    sink = Sink()
    assert await send_response(Response(200, (), Reader(b"abc")), sink, idle_seconds=1) == 3
    assert sink.header(b"content-length") is None


async def test_HEAD_reads_nothing_and_keeps_the_length() -> None:
    sink, reader = Sink(), Reader(RuntimeError("read"), size_bytes=6)
    assert await send_response(Response(200, (), reader), sink, idle_seconds=1, head=True) == 0
    assert (sink.body, sink.finished, sink.header(b"content-length")) == (b"", True, b"6")
    assert reader.closed == 1


async def test_a_reader_that_fails_at_once_can_still_be_answered() -> None:
    sink, reader = Sink(), Reader(StorageError("InternalError"), size_bytes=6)
    with pytest.raises(StorageError, match="InternalError"):
        await send_response(Response(200, (), reader), sink, idle_seconds=1)
    assert (sink.messages, reader.closed) == ([], 1)


@pytest.mark.parametrize(
    "pieces", [(b"abc", OSError("EIO")), (b"abc",), (b"abc", b"defg")], ids=["fails", "too short", "too long"]
)
async def test_a_wrong_body_never_ends_cleanly(pieces: tuple[bytes | Exception, ...]) -> None:
    sink, reader = Sink(), Reader(*pieces, size_bytes=6)
    with pytest.raises(ResponseBroken):
        await send_response(Response(200, (), reader), sink, idle_seconds=1)
    assert not sink.finished
    assert reader.closed == 1


@pytest.mark.parametrize("stall_at", [0, 1, 2, 3])
async def test_a_client_that_takes_nothing(stall_at: int) -> None:
    sink, reader = Sink(stall_at), Reader(b"abc", b"def", size_bytes=6)
    with pytest.raises(ResponseBroken):
        await send_response(Response(200, (), reader), sink, idle_seconds=0.02)
    assert reader.closed == 1
    with pytest.raises(ResponseBroken):
        await send_response(Response(200, (), b"abc"), Sink(min(stall_at, 1)), idle_seconds=0.02)


async def test_a_client_that_has_gone() -> None:
    async def send(message: Any) -> None:
        raise ConnectionResetError

    reader = Reader(b"abc", size_bytes=3)
    for body in (reader, b"abc"):
        with pytest.raises(ResponseBroken, match="gone"):
            await send_response(Response(200, (), body), send, idle_seconds=1)
    assert reader.closed == 1


class Segmented(Reader):
    """A reader that can also give its bytes as ``segments()``, or has them in memory."""

    def __init__(self, *segments: Any, size_bytes: int, content: bytes | None = None) -> None:
        super().__init__(*[segment for segment in segments if isinstance(segment, bytes)], size_bytes=size_bytes)
        self.given = segments
        self.content = content

    async def segments(self) -> AsyncIterator[Any]:
        for segment in self.given:
            yield segment


class OpenFile:
    offset_bytes = 7
    size_bytes = 100

    def fileno(self) -> int:
        return 3


async def test_a_file_is_sent_by_a_server_that_can() -> None:
    sink, file = Sink(), OpenFile()
    reader = Segmented(b"ab", file, b"c", size_bytes=103)
    sent = await send_response(Response(200, (), reader), sink, idle_seconds=1, extensions={SEND_FILE: {}})
    assert sent == 103
    assert reader.closed
    file_message = {"type": SEND_FILE, "file": file, "offset": 7, "count": 100, "more_body": True}
    assert sink.messages[2] == file_message
    assert [message.get("body") for message in sink.messages[1:]] == [b"ab", None, b"c", b""]


async def test_a_file_is_read_for_a_server_that_cannot() -> None:
    sink = Sink()
    reader = Segmented(b"abc", OpenFile(), size_bytes=3)
    assert await send_response(Response(200, (), reader), sink, idle_seconds=1) == 3
    assert all(message["type"] != SEND_FILE for message in sink.messages)


async def test_files_longer_than_announced_are_never_sent() -> None:
    reader = Segmented(OpenFile(), size_bytes=99)
    with pytest.raises(ResponseBroken):
        await send_response(Response(200, (), reader), Sink(), idle_seconds=1, extensions={SEND_FILE: {}})
    assert reader.closed


async def test_bytes_in_memory_are_one_message() -> None:
    sink = Sink()
    reader = Segmented(size_bytes=3, content=b"abc")
    assert await send_response(Response(200, (), reader), sink, idle_seconds=1) == 3
    assert [message["type"] for message in sink.messages] == ["http.response.start", "http.response.body"]
    assert reader.closed


async def test_a_server_with_its_own_deadline_gets_no_timeout() -> None:
    async def slow(message: Any) -> None:
        await asyncio.sleep(0.05)

    response = Response(200, (), b"abc")
    assert await send_response(response, slow, idle_seconds=0.01, extensions={DEADLINE: {}}) == 3
    with pytest.raises(ResponseBroken):
        await send_response(response, slow, idle_seconds=0.01)
