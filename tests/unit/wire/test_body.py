"""A body can only be read through its verifier: every announcement is checked before, during or after."""

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.errors import StorageError
from gateway.wire.body import BodyLimits, BodyStream, ClientDisconnected, open_body
from gateway.wire.checksums import CHECKSUM_ALGORITHMS, new_hash
from tests.unit.wire.requests import request

LIMITS = BodyLimits(idle_seconds=0.05, min_bytes_per_second=1024)


class Refusal(Exception):
    """Shaped like an error of sigv4."""

    code = "SignatureDoesNotMatch"
    message = "the chunk signature is wrong"
    fields: Mapping[str, str] = {"Chunk": "2"}


class Decoder:
    """Stands for sigv4's: takes ``<``-marked pieces, and whatever trailers it is given."""

    def __init__(self, trailers: Mapping[str, str], fail_on: bytes | None = None) -> None:
        self.trailers = trailers
        self._fail_on = fail_on
        self.finished = False

    def feed(self, data: bytes) -> list[bytes]:
        if self._fail_on is not None and self._fail_on in data:
            raise Refusal
        return [b"", *data.split(b"|")]

    def finish(self) -> None:
        self.finished = True


@dataclass
class Payload:
    sha256: bytes | None = None
    is_streaming: bool = False
    trailers: Mapping[str, str] = field(default_factory=dict)
    fail_on: bytes | None = None
    asked: tuple[int, tuple[str, ...]] | None = None

    def decoder(self, *, decoded_length: int, trailer_names: Collection[str]) -> Decoder | None:
        self.asked = (decoded_length, tuple(trailer_names))
        return Decoder(self.trailers, self.fail_on) if self.is_streaming else None


def receiving(*pieces: bytes, end: dict[str, Any] | None = None, delay: float = 0.0) -> Any:
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append(end or {"type": "http.request", "body": b"", "more_body": False})
    queue = iter(messages)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(delay)
        return next(queue)

    return receive


def opened(
    *headers: tuple[bytes, bytes],
    receive: Any = None,
    payload: Payload | None = None,
    max_bytes: int = 1000,
    **extra: Any,
) -> BodyStream:
    made = request("PUT", b"/b/k", *headers)
    return open_body(made, receive or receiving(), payload or Payload(), LIMITS, max_bytes, **extra)


def length(size: int) -> tuple[bytes, bytes]:
    return (b"content-length", b"%d" % size)


def code_at_open(*headers: tuple[bytes, bytes], **extra: Any) -> str:
    with pytest.raises(StorageError) as refusal:
        opened(*headers, **extra)
    return refusal.value.code.name


async def code_of(body: BodyStream) -> str:
    with pytest.raises(StorageError) as refusal:
        await body.read_all(1000)
    return refusal.value.code.name


def encoded(algorithm: str, data: bytes) -> str:
    running = new_hash(algorithm)
    running.update(data)
    return b64encode(running.digest()).decode()


class TestLength:
    async def test_a_body_arrives_whole(self) -> None:
        body = opened(length(6), receive=receiving(b"abc", b"", b"def"))
        assert body.length == 6
        assert [piece async for piece in body] == [b"abc", b"def"]

    async def test_no_body_reads_nothing(self) -> None:
        async def receive() -> dict[str, Any]:
            raise AssertionError("nothing to read")

        for headers in ((), (length(0),)):
            assert await opened(*headers, receive=receive).read_all(10) == b""

    async def test_chunked_without_length(self) -> None:
        body = opened((b"transfer-encoding", b"chunked"), receive=receiving(b"abc"))
        assert body.length is None
        assert await body.read_all(10) == b"abc"

    def test_a_required_length(self) -> None:
        assert code_at_open(length_required=True) == "MissingContentLength"
        assert opened(length(0), length_required=True).length == 0

    def test_too_large_is_refused_before_a_byte_is_read(self) -> None:
        assert code_at_open(length(1001)) == "EntityTooLarge"
        assert opened(length(1000)).length == 1000

    async def test_too_large_without_announcement(self) -> None:
        body = opened((b"transfer-encoding", b"chunked"), receive=receiving(b"x" * 600, b"x" * 600))
        assert await code_of(body) == "EntityTooLarge"

    async def test_a_document_over_its_own_limit(self) -> None:
        with pytest.raises(StorageError, match="MaxMessageLengthExceeded"):
            await opened(length(11)).read_all(10)
        body = opened((b"transfer-encoding", b"chunked"), receive=receiving(b"x" * 11))
        with pytest.raises(StorageError, match="MaxMessageLengthExceeded"):
            await body.read_all(10)

    @pytest.mark.parametrize("sent", [b"abc", b"abcdefg", b""])
    async def test_another_length_than_announced(self, sent: bytes) -> None:
        assert await code_of(opened(length(6), receive=receiving(sent))) == "IncompleteBody"

    async def test_a_store_that_kept_less(self) -> None:
        body = opened(length(3), receive=receiving(b"abc"))
        assert [piece async for piece in body]
        with pytest.raises(StorageError, match="IncompleteBody"):
            body.verify({}, 2)

    async def test_it_is_read_once_and_verified_after_its_end(self) -> None:
        body = opened(length(3), receive=receiving(b"abc"))
        with pytest.raises(RuntimeError):
            body.verify({}, 3)
        assert await body.read_all(10) == b"abc"
        with pytest.raises(RuntimeError):
            await body.read_all(10)


class TestSlowClients:
    async def test_silence_is_RequestTimeout(self) -> None:
        assert await code_of(opened(length(3), receive=receiving(b"abc", delay=1.0))) == "RequestTimeout"

    async def test_a_trickle_is_RequestTimeout(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.wire.body._RATE_WINDOW_SECONDS", 0.05)
        trickle = receiving(*[b"x"] * 100, delay=0.01)
        assert await code_of(opened(length(100), receive=trickle)) == "RequestTimeout"

    async def test_time_we_take_ourselves_is_not_the_clients(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.wire.body._RATE_WINDOW_SECONDS", 0.05)
        body = opened(length(3), receive=receiving(b"a", b"b", b"c"))
        async for _ in body:
            await asyncio.sleep(0.06)
        body.verify({}, 3)

    async def test_a_client_that_goes_away(self) -> None:
        body = opened(length(6), receive=receiving(b"abc", end={"type": "http.disconnect"}))
        with pytest.raises(ClientDisconnected):
            await body.read_all(10)


class TestContentMD5:
    async def test_match_and_mismatch(self) -> None:
        right = b64encode(hashlib.md5(b"abc", usedforsecurity=False).digest())
        body = opened(length(3), (b"content-md5", right), receive=receiving(b"abc"))
        assert body.required_digests == {"md5"}
        assert await body.read_all(10) == b"abc"
        assert await code_of(opened(length(3), (b"content-md5", right), receive=receiving(b"abd"))) == "BadDigest"

    @pytest.mark.parametrize("value", [b"", b"bad", b"YWJj", b"!" * 24, b"YWJj" * 6])
    def test_malformed(self, value: bytes) -> None:
        assert code_at_open(length(3), (b"content-md5", value)) == "InvalidDigest"


async def test_signed_hash_match_and_mismatch() -> None:
    payload = Payload(sha256=hashlib.sha256(b"abc").digest())
    assert await opened(length(3), receive=receiving(b"abc"), payload=payload).read_all(10) == b"abc"
    assert await code_of(opened(length(3), receive=receiving(b"abd"), payload=payload)) == "XAmzContentSHA256Mismatch"


class TestChecksumHeaders:
    @pytest.mark.parametrize("algorithm", sorted(CHECKSUM_ALGORITHMS))
    async def test_match_and_mismatch(self, algorithm: str) -> None:
        header = (f"x-amz-checksum-{algorithm}".encode(), encoded(algorithm, b"abc").encode())
        body = opened(length(3), header, receive=receiving(b"abc"))
        assert body.required_digests == {algorithm}
        assert body.checksum is None
        assert await body.read_all(10) == b"abc"
        assert body.checksum == (algorithm, encoded(algorithm, b"abc"))
        assert await code_of(opened(length(3), header, receive=receiving(b"abd"))) == "BadDigest"

    @pytest.mark.parametrize("value", [b"", b"bad", b"AAAA", b"AAAAAAA=", b"\xff\xff\xff\xff", b"AAAAAA=="[:-1]])
    def test_malformed(self, value: bytes) -> None:
        with pytest.raises(StorageError, match="Value for x-amz-checksum-crc32 header is invalid"):
            opened(length(3), (b"x-amz-checksum-crc32", value))

    def test_two(self) -> None:
        crc = (b"x-amz-checksum-crc32", b"AAAAAA==")
        with pytest.raises(StorageError, match="Expecting a single x-amz-checksum- header"):
            opened(length(3), crc, (b"x-amz-checksum-crc32c", b"AAAAAA=="))
        assert code_at_open(length(3), crc, crc) == "InvalidRequest"

    def test_headers_that_only_look_alike(self) -> None:
        body = opened(length(3), (b"x-amz-checksum-type", b"FULL_OBJECT"), (b"x-amz-checksum-mode", b"ENABLED"))
        assert body.required_digests == frozenset()

    async def test_an_algorithm_without_value_is_computed(self) -> None:
        body = opened(length(3), (b"x-amz-sdk-checksum-algorithm", b"CRC64NVME"), receive=receiving(b"abc"))
        assert await body.read_all(10) == b"abc"
        assert body.checksum == ("crc64nvme", encoded("crc64nvme", b"abc"))

    def test_an_algorithm_that_is_unknown_or_another(self) -> None:
        assert code_at_open(length(3), (b"x-amz-sdk-checksum-algorithm", b"CRC7")) == "InvalidRequest"
        headers = (b"x-amz-checksum-crc32", b"AAAAAA=="), (b"x-amz-sdk-checksum-algorithm", b"SHA1")
        assert code_at_open(length(3), *headers) == "InvalidRequest"


class TestStreaming:
    HEADERS = (length(40), (b"x-amz-decoded-content-length", b"6"))
    TRAILER = (b"x-amz-trailer", b"x-amz-checksum-crc32")

    def receive(self) -> Any:
        return receiving(b"abc|", b"def", b"|" * 33)

    async def test_decoded_content(self) -> None:
        payload = Payload(is_streaming=True)
        body = opened(*self.HEADERS, receive=self.receive(), payload=payload)
        assert body.length == 6
        assert [piece async for piece in body] == [b"abc", b"def"]
        assert payload.asked == (6, ())

    async def test_trailer_match_and_mismatch(self) -> None:
        for data, expected in ((b"abcdef", None), (b"other", "BadDigest")):
            trailers = {"x-amz-checksum-crc32": encoded("crc32", data)}
            payload = Payload(is_streaming=True, trailers=trailers)
            body = opened(*self.HEADERS, self.TRAILER, receive=self.receive(), payload=payload)
            assert payload.asked == (6, ("x-amz-checksum-crc32",))
            assert body.required_digests == {"crc32"}
            if expected is None:
                assert await body.read_all(10) == b"abcdef"
                assert body.checksum == ("crc32", encoded("crc32", b"abcdef"))
            else:
                assert await code_of(body) == expected

    @pytest.mark.parametrize(
        ("trailers", "code"),
        [({}, "MalformedTrailerError"), ({"x-amz-checksum-crc32": "bad"}, "BadDigest")],
    )
    async def test_trailer_missing_or_malformed(self, trailers: Mapping[str, str], code: str) -> None:
        payload = Payload(is_streaming=True, trailers=trailers)
        assert await code_of(opened(*self.HEADERS, self.TRAILER, receive=self.receive(), payload=payload)) == code

    def test_announcements_that_contradict(self) -> None:
        streaming = Payload(is_streaming=True)
        both = (b"x-amz-checksum-crc32", b"AAAAAA==")
        assert code_at_open(*self.HEADERS, self.TRAILER, both, payload=streaming) == "InvalidRequest"
        two = (b"x-amz-trailer", b"x-amz-checksum-crc32, x-amz-checksum-sha1")
        assert code_at_open(*self.HEADERS, two, payload=streaming) == "InvalidRequest"
        assert code_at_open(*self.HEADERS, (b"x-amz-trailer", b"x-evil"), payload=streaming) == "InvalidRequest"
        assert code_at_open(*self.HEADERS, self.TRAILER) == "InvalidRequest"
        other = (b"x-amz-sdk-checksum-algorithm", b"SHA256")
        assert code_at_open(*self.HEADERS, self.TRAILER, other, payload=streaming) == "InvalidRequest"

    def test_decoded_length(self) -> None:
        payload = Payload(is_streaming=True)
        assert code_at_open(length(40), payload=payload) == "MissingContentLength"
        for value in (b"-1", b"abc", b"", b"1e3", b"9" * 20):
            header = (b"x-amz-decoded-content-length", value)
            assert code_at_open(length(40), header, payload=payload) == "InvalidArgument"
        assert code_at_open(length(40), (b"x-amz-decoded-content-length", b"1001"), payload=payload) == "EntityTooLarge"

    async def test_decoded_length_differs(self) -> None:
        for value in (b"5", b"7"):
            headers = length(40), (b"x-amz-decoded-content-length", value)
            body = opened(*headers, receive=self.receive(), payload=Payload(is_streaming=True))
            assert await code_of(body) == "IncompleteBody"

    async def test_a_refusal_of_sigv4_becomes_a_StorageError(self) -> None:
        payload = Payload(is_streaming=True, fail_on=b"def")
        with pytest.raises(StorageError, match="the chunk signature is wrong") as refusal:
            await opened(*self.HEADERS, receive=self.receive(), payload=payload).read_all(10)
        assert refusal.value.code.name == "SignatureDoesNotMatch"
        assert refusal.value.fields == {"Chunk": "2"}
