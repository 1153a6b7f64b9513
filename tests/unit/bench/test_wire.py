"""The answer parser: every way of cutting an answer into pieces gives the same result."""

import hashlib

import pytest

from conformance.bench.wire import Answer, AnswerParser, Exchange, MalformedAnswerError, Payload

SIZED = b'HTTP/1.1 200 OK\r\nETag: "abc"\r\ncontent-length: 11\r\n\r\nhello world'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED
NO_CONTENT = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


def feed(data: bytes, piece_bytes: int, exchange: Exchange) -> tuple[AnswerParser, int]:
    """Feed until complete; also says how many bytes were left over."""
    parser = AnswerParser()
    parser.begin(exchange)
    for first in range(0, len(data), piece_bytes):
        if parser.feed(memoryview(data[first : first + piece_bytes])):
            return parser, max(0, len(data) - first - piece_bytes)
    raise AssertionError("the answer never ended")


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 7, 40, 1000])
@pytest.mark.parametrize("data", [SIZED, CHUNKED, CONTINUED])
def test_body_is_found_however_it_arrives(data: bytes, piece_bytes: int) -> None:
    parser, left_over = feed(data, piece_bytes, Exchange(b"", keep_answer=True))
    assert (parser.status, parser.body, parser.body_bytes, left_over) == (200, b"hello world", 11, 0)
    assert not parser.closes


@pytest.mark.parametrize("piece_bytes", [1, 1000])
def test_body_is_only_counted_unless_kept(piece_bytes: int) -> None:
    parser, _ = feed(SIZED, piece_bytes, Exchange(b""))
    assert (parser.body, parser.body_bytes) == (b"", 11)


def test_HEAD_answer_has_a_length_but_no_body() -> None:
    parser, _ = feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n", 1000, Exchange(b"", answer_is_head_only=True))
    assert (parser.status, parser.body_bytes) == (200, 0)


def test_no_content_ends_with_its_head() -> None:
    parser, _ = feed(NO_CONTENT, 1000, Exchange(b""))
    assert (parser.status, parser.closes) == (204, True)


def test_parser_is_used_again() -> None:
    parser = AnswerParser()
    for data in (CHUNKED, SIZED, NO_CONTENT, CHUNKED):
        parser.begin(Exchange(b"", keep_answer=True))
        assert parser.feed(memoryview(data))
        assert parser.body == (b"" if data is NO_CONTENT else b"hello world")


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_malformed_answer_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        feed(data, 1000, Exchange(b""))


def test_etag_is_read_from_the_head() -> None:
    assert Answer(200, SIZED.partition(b"\r\n\r\n")[0] + b"\r\n", b"").etag == b'"abc"'
    assert Answer(200, b"HTTP/1.1 200 OK\r\n", b"").etag == b""


def test_payload_hash_is_that_of_all_repeats() -> None:
    payload = Payload(b"abc", 3)
    assert payload.size_bytes == 9
    assert payload.sha256() == hashlib.sha256(b"abcabcabc").hexdigest()
