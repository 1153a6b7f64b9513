"""The front as an ASGI application: the order of its steps, what it reads, and what it answers."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Any

import pytest
from lxml import etree
from structlog.testing import capture_logs

from gateway.config import Settings
from gateway.context import AuthMethod, Call, Principal, Tenant
from gateway.errors import StorageError
from gateway.operations import shapes
from gateway.operations.operation import Operation
from gateway.s3.front import FrontLimits, S3Front
from gateway.telemetry.events import RequestLog
from gateway.wire.headers import visible_headers
from gateway.wire.request import RawRequest
from gateway.wire.response import ResponseBroken

from .requests import Headers, scope


@dataclass(frozen=True)
class PlainPayload:
    """An unsigned body, or one that claims aws-chunked framing."""

    is_streaming: bool = False
    sha256: bytes | None = None

    def decoder(self, *, decoded_length: int, trailer_names: Collection[str]) -> None:
        return None


@dataclass(frozen=True)
class Verdict:
    principal: Principal
    payload: PlainPayload


SIGNED = Principal("t", "service_role", AuthMethod.SIGV4_HEADER, access_key_id="AKID")
ANONYMOUS = Principal("t", "anon", AuthMethod.ANONYMOUS)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    log: RequestLog
    received: int

    @property
    def code(self) -> str | None:
        return etree.fromstring(self.body).findtext("Code")


@dataclass
class Harness:
    """A front with recording handlers."""

    verdict: Verdict | StorageError = field(default_factory=lambda: Verdict(SIGNED, PlainPayload()))
    calls: list[tuple[Call, Any]] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)

    async def identify(self, request: RawRequest) -> Verdict:
        if isinstance(self.verdict, StorageError):
            raise self.verdict
        return self.verdict

    def operation(self, name: str) -> Operation:
        async def handler(services: Any, call: Call, given: Any) -> Any:
            assert services == "services"
            self.calls.append((call, given))
            result = self.results[name] if name in self.results else shapes.OUTPUTS[name]()
            if isinstance(result, Exception):
                raise result
            return await result(given) if callable(result) else result

        return Operation(name, f"storage.s3.{name}", shapes.INPUTS[name], shapes.OUTPUTS[name], handler)

    async def ask(
        self,
        method: str,
        target: str,
        headers: Headers | None = None,
        body: bytes = b"",
        *,
        length: bool = True,
    ) -> Answer:
        limits = FrontLimits.of(Settings(_env_file=None))
        front = S3Front(
            [self.operation(name) for name in shapes.INPUTS],
            "services",
            self.identify,
            tenant=Tenant("t", "us-east-1"),
            domain="s3.example.com",
            limits=limits,
        )
        given = list(headers or [])
        if body and length:
            given.append((b"content-length", str(len(body)).encode()))
        received = 0
        messages: list[Any] = []

        async def receive() -> dict[str, Any]:
            nonlocal received
            received += 1
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        asked: dict[str, Any] = scope(method, target, given)
        await front(asked, receive, send)
        start, *rest = messages
        return Answer(
            start["status"],
            {name.decode(): value.decode() for name, value in start["headers"]},
            b"".join(message["body"] for message in rest),
            asked["rowlock.log"],
            received,
        )


class Reader:
    """An open blob of two pieces."""

    def __init__(self, *pieces: bytes, fail: Exception | None = None) -> None:
        self.pieces, self.fail, self.closed = pieces, fail, False
        self.size_bytes = sum(map(len, pieces))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.fail is not None:
            raise self.fail
        for piece in self.pieces:
            yield piece

    async def close(self) -> None:
        self.closed = True


async def test_every_answer_has_its_ids() -> None:
    harness = Harness()
    fine, refused = await harness.ask("GET", "/"), await harness.ask("PATCH", "/bucket/key")
    for answer in (fine, refused):
        assert len(answer.headers["x-amz-request-id"]) == 16
        assert answer.headers["x-amz-id-2"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    root = etree.fromstring(refused.body)
    assert root.findtext("RequestId") == refused.headers["x-amz-request-id"]
    assert root.findtext("HostId") == refused.headers["x-amz-id-2"]
    assert root.findtext("Resource") == "/bucket/key"
    assert refused.headers["allow"] == "DELETE, GET, HEAD, PUT"


async def test_handler_gets_the_call_and_typed_input() -> None:
    harness = Harness()
    answer = await harness.ask("HEAD", "/a%20b", [(b"host", b"photos.s3.example.com"), (b"cookie", b"c")])
    ((call, given),) = harness.calls
    assert given == shapes.HeadObjectInput(bucket="photos", key="a b")
    assert (call.operation, call.method, call.path) == ("storage.s3.HeadObject", "HEAD", "/a%20b")
    assert (call.client_address, call.principal) == ("192.0.2.7", SIGNED)
    assert "cookie" not in json.loads(call.headers_json)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.log == RequestLog("s3", "HeadObject", "photos", "a b", "AKID")


async def test_refused_caller_costs_no_body_and_no_handler() -> None:
    harness = Harness(StorageError("SignatureDoesNotMatch"))
    answer = await harness.ask("PUT", "/bucket/key", body=b"x" * 100)
    assert (answer.status, answer.code, answer.received) == (403, "SignatureDoesNotMatch", 0)
    assert harness.calls == []
    assert answer.log.error_code == "SignatureDoesNotMatch"


async def test_operation_without_handler_is_501_and_reads_nothing() -> None:
    harness = Harness()
    answer = await harness.ask("POST", "/bucket/key?restore", body=b"text")
    assert (answer.status, answer.code, answer.received) == (501, "NotImplemented", 0)
    assert answer.log.operation == "RestoreObject"
    assert harness.calls == []


async def test_PutObject_body_is_a_verified_stream() -> None:
    harness = Harness()

    async def store(given: shapes.PutObjectInput) -> shapes.PutObjectOutput:
        content = await given.body.read_all(1 << 20)
        return shapes.PutObjectOutput(etag=hashlib.md5(content, usedforsecurity=False).hexdigest())

    harness.results["PutObject"] = store
    answer = await harness.ask("PUT", "/bucket/key", body=b"hello")
    assert (answer.status, answer.headers["etag"]) == (200, '"5d41402abc4b2a76b9719d911017c592"')
    assert answer.log.bytes_in == 5
    wrong = await harness.ask("PUT", "/bucket/key", [(b"content-md5", b"AAAAAAAAAAAAAAAAAAAAAA==")], b"hello")
    assert (wrong.status, wrong.code) == (400, "BadDigest")


async def test_PutObject_without_a_length_is_411() -> None:
    answer = await Harness().ask("PUT", "/bucket/key", body=b"hello", length=False)
    assert (answer.status, answer.code) == (411, "MissingContentLength")


DELETE = b"<Delete><Object><Key>a</Key></Object></Delete>"


async def test_DeleteObjects_needs_a_checksum_and_verifies_it() -> None:
    harness = Harness()
    missing = await harness.ask("POST", "/bucket?delete", body=DELETE)
    assert (missing.status, missing.code, missing.received) == (400, "InvalidRequest", 0)
    assert b"Missing required header for this request: Content-MD5 OR x-amz-checksum-*" in missing.body
    md5 = base64.b64encode(hashlib.md5(DELETE, usedforsecurity=False).digest())
    fine = await harness.ask("POST", "/bucket?delete", [(b"content-md5", md5)], DELETE)
    assert fine.status == 200
    assert harness.calls[0][1].delete == shapes.Delete(objects=(shapes.ObjectIdentifier(key="a"),))
    sha256 = base64.b64encode(hashlib.sha256(b"other").digest())
    wrong = await harness.ask("POST", "/bucket?delete", [(b"x-amz-checksum-sha256", sha256)], DELETE)
    assert (wrong.status, wrong.code, len(harness.calls)) == (400, "BadDigest", 1)


async def test_CompleteMultipartUpload_checksum_header_is_the_objects() -> None:
    """Its x-amz-checksum-* is about the assembled object, not about the document that lists the parts."""
    harness = Harness()
    document = (
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>"
    )
    answer = await harness.ask("POST", "/bucket/key?uploadId=u", [(b"x-amz-checksum-crc32", b"AAAAAA==")], document)
    assert answer.status == 200
    assert harness.calls[0][1].checksum_crc32 == "AAAAAA=="


async def test_too_long_document_is_refused_unread() -> None:
    answer = await Harness().ask("PUT", "/bucket", body=b" " * (1024 * 1024 + 1))
    assert (answer.status, answer.code, answer.received) == (400, "MaxMessageLengthExceeded", 0)


async def test_body_of_an_operation_without_one_is_left_alone() -> None:
    answer = await Harness().ask("GET", "/bucket", body=b"surprise")
    assert (answer.status, answer.received) == (200, 0)


@pytest.mark.parametrize(("method", "target"), [("GET", "/bucket/key"), ("POST", "/bucket?delete"), ("PUT", "/bucket")])
async def test_streaming_payload_only_where_bytes_are_stored(method: str, target: str) -> None:
    harness = Harness(Verdict(SIGNED, PlainPayload(is_streaming=True)))
    answer = await harness.ask(method, target)
    assert (answer.status, answer.code) == (400, "InvalidArgument")
    assert harness.calls == []


async def test_anonymous_response_overrides_are_refused() -> None:
    harness = Harness(Verdict(ANONYMOUS, PlainPayload()))
    answer = await harness.ask("GET", "/bucket/key?response-content-type=text%2Fhtml")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert (await harness.ask("GET", "/bucket/key")).status == 200
    assert (await Harness().ask("GET", "/bucket/key?response-content-type=text%2Fhtml")).status == 200


async def test_GetObject_streams_and_closes_its_reader() -> None:
    harness, reader = Harness(), Reader(b"hel", b"lo")
    harness.results["GetObject"] = shapes.GetObjectOutput(body=reader, content_length=5, content_range="bytes 0-4/9")
    answer = await harness.ask("GET", "/bucket/key")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (206, b"hello", "5")
    assert (reader.closed, answer.log.bytes_out) == (True, 5)


async def test_GetObject_reader_that_fails_at_once_is_an_honest_500() -> None:
    harness, reader = Harness(), Reader(fail=FileNotFoundError("gone"))
    harness.results["GetObject"] = shapes.GetObjectOutput(body=reader)
    with capture_logs():
        answer = await harness.ask("GET", "/bucket/key")
    assert (answer.status, answer.code, reader.closed) == (500, "InternalError", True)


async def test_GetObject_reader_that_stops_short_breaks_the_connection() -> None:
    harness, reader = Harness(), Reader(b"hel")
    reader.size_bytes = 5
    harness.results["GetObject"] = shapes.GetObjectOutput(body=reader)
    with pytest.raises(ResponseBroken):
        await harness.ask("GET", "/bucket/key")
    assert reader.closed


async def test_unexpected_error_tells_the_log_and_not_the_caller() -> None:
    harness = Harness()
    harness.results["GetObject"] = RuntimeError("secret detail")
    with capture_logs() as logs:
        answer = await harness.ask("GET", "/bucket/key")
    assert (answer.status, answer.code) == (500, "InternalError")
    assert b"secret" not in answer.body
    assert [entry["event"] for entry in logs] == ["request_failed"]
    assert logs[0]["request_id"] == answer.headers["x-amz-request-id"]


async def test_HEAD_refusals_have_no_body() -> None:
    harness = Harness()
    harness.results["HeadObject"] = StorageError("NoSuchKey")
    answer = await harness.ask("HEAD", "/bucket/key")
    assert (answer.status, answer.body) == (404, b"")
    assert answer.log.error_code == "NoSuchKey"


async def test_not_modified_keeps_the_etag() -> None:
    harness = Harness()
    harness.results["GetObject"] = StorageError("NotModified", etag="abc")
    answer = await harness.ask("GET", "/bucket/key")
    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", '"abc"')
    assert "content-length" not in answer.headers


async def test_malformed_request_is_answered_before_anyone_is_asked() -> None:
    answer = await Harness(StorageError("AccessDenied")).ask("GET", "/bucket/%ff")
    assert (answer.status, answer.code) == (400, "InvalidURI")


def test_visible_headers_hold_no_credentials() -> None:
    names = (
        "authorization",
        "cookie",
        "apikey",
        "x-amz-security-token",
        "x-amz-server-side-encryption-customer-key",
        "x-amz-copy-source-server-side-encryption-customer-key-md5",
        "proxy-authorization",
    )
    headers = {**dict.fromkeys(names, "s"), "user-agent": "u", "x-colour": "red"}
    assert json.loads(visible_headers(headers)) == {"user-agent": "u", "x-colour": "red"}
