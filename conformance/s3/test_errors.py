"""The shape of errors, and what every answer carries."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conformance.rawhttp import TIMESTAMP, RawClient, RawResponse


@pytest.fixture
def errors(raw: RawClient, bucket: str) -> list[RawResponse]:
    """Errors of several families."""
    return [
        raw("GET", f"/{bucket}/missing%3C%26key"),
        raw("GET", f"/{bucket}-missing"),
        raw("GET", f"/{bucket}?max-keys=x"),
        raw("POST", f"/{bucket}?delete", body=b"<"),
        raw("PUT", "/No_Bucket"),
        raw("GET", f"/{bucket}/k", secret_access_key="wrong"),
        raw.anonymous("GET", f"/{bucket}/k"),
        raw("GET", f"/{bucket}?policy"),
    ]


def test_error_document(errors: list[RawResponse]) -> None:
    for answer in errors:
        assert answer.status >= 400
        assert answer.headers["Content-Type"] == "application/xml"
        assert answer.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
        assert b"<Error>" in answer.body, "the Error element has no namespace"
        root = answer.xml
        assert root.findtext("Code")
        assert root.findtext("Message")
        assert root.findtext("RequestId") == answer.headers["x-amz-request-id"]
        assert root.findtext("HostId") == answer.headers["x-amz-id-2"]


def test_error_request_ids_differ(errors: list[RawResponse]) -> None:
    assert len({answer.headers["x-amz-request-id"] for answer in errors}) == len(errors)


def test_error_names_its_resource(raw: RawClient, bucket: str) -> None:
    answer = raw("GET", f"/{bucket}/a%20%26b")
    assert (answer.code, answer.xml.findtext("Key")) == ("NoSuchKey", "a &b")
    answer = raw("GET", f"/{bucket}-missing/k")
    assert (answer.code, answer.xml.findtext("BucketName")) == ("NoSuchBucket", f"{bucket}-missing")


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE"])
def test_success_carries_request_id_and_date(s3: Any, raw: RawClient, bucket: str, method: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    answer = raw(method, f"/{bucket}/k", body=b"v" if method == "PUT" else b"")
    assert answer.status in {200, 204}
    assert answer.headers["x-amz-request-id"]
    assert answer.headers["Date"]


@pytest.mark.parametrize("address", ["/{0}/missing", "/{0}-missing", "/{0}-missing/k"])
def test_HEAD_error_has_no_body(raw: RawClient, bucket: str, address: str) -> None:
    answer = raw("HEAD", address.format(bucket))
    assert (answer.status, answer.body) == (404, b"")
    assert answer.headers["x-amz-request-id"]


@pytest.mark.parametrize("method", ["PATCH", "FOO", "POST", "TRACE"])
def test_method_not_allowed(s3: Any, raw: RawClient, bucket: str, method: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    answer = raw(method, f"/{bucket}/k")
    assert answer.status in {400, 403, 405, 501}
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"v"


def test_error_never_shows_what_is_below(errors: list[RawResponse]) -> None:
    for answer in errors:
        text = answer.body.decode().lower()
        for word in ("traceback", "select ", "insert ", "psycopg", "postgres", "constraint", ".py"):
            assert word not in text


def test_SignatureDoesNotMatch_echoes_what_was_signed(raw: RawClient, bucket: str) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html: everything but the secret."""
    request = raw.sign("GET", f"/{bucket}/a%20b?prefix=x", secret_access_key="wrong")
    answer = raw.send(request)
    assert answer.refusal() == (403, "SignatureDoesNotMatch")
    fields = {element.tag: element.text or "" for element in answer.xml}
    assert fields["AWSAccessKeyId"] == raw.endpoint.access_key_id
    assert fields["SignatureProvided"] == request.header("Authorization").rpartition("Signature=")[2]
    text, canonical = fields["StringToSign"], fields["CanonicalRequest"]
    assert text.splitlines()[0] == "AWS4-HMAC-SHA256"
    assert text.splitlines()[3] == hashlib.sha256(canonical.encode()).hexdigest()
    assert canonical.splitlines()[:3] == ["GET", f"/{bucket}/a%20b", "prefix=x"]
    assert bytes.fromhex(fields["StringToSignBytes"]) == text.encode()
    assert bytes.fromhex(fields["CanonicalRequestBytes"]) == canonical.encode()
    assert raw.endpoint.secret_access_key not in answer.body.decode()


def test_RequestTimeTooSkewed_tells_both_times(raw: RawClient, bucket: str) -> None:
    sent = datetime.now(UTC) - timedelta(hours=1)
    answer = raw("GET", f"/{bucket}", now=sent)
    assert answer.refusal() == (403, "RequestTimeTooSkewed")
    assert answer.xml.findtext("RequestTime") == sent.strftime(TIMESTAMP)
    told = datetime.fromisoformat(answer.xml.findtext("ServerTime"))
    assert abs(told - datetime.now(UTC)) < timedelta(minutes=1)
    assert answer.xml.findtext("MaxAllowedSkewMilliseconds") == "900000"


def test_InvalidAccessKeyId_names_the_key(raw: RawClient, bucket: str) -> None:
    answer = raw("GET", f"/{bucket}", access_key_id="AKIANOBODY")
    assert answer.refusal() == (403, "InvalidAccessKeyId")
    assert answer.xml.findtext("AWSAccessKeyId") == "AKIANOBODY"


@pytest.mark.parametrize(
    ("method", "query", "body"),
    [
        ("GET", "", b""),
        ("PUT", "", b"v"),
        ("DELETE", "", b""),
        ("GET", "?tagging", b""),
        ("POST", "?uploads", b""),
        ("PUT", "?partNumber=1&uploadId=x", b"v"),
        ("GET", "?annotation", b""),
    ],
)
def test_NoSuchBucket_names_the_bucket(raw: RawClient, bucket: str, method: str, query: str, body: bytes) -> None:
    answer = raw(method, f"/{bucket}-missing/k{query}", {}, body)
    assert answer.refusal() == (404, "NoSuchBucket")
    assert answer.xml.findtext("BucketName") == f"{bucket}-missing"


@pytest.mark.parametrize(
    ("method", "headers"),
    [("GET", {}), ("PUT", {"If-Match": '"x"'}), ("PUT", {"x-amz-copy-source": "/{0}/a%20b"})],
)
def test_NoSuchKey_names_the_key(raw: RawClient, bucket: str, method: str, headers: dict[str, str]) -> None:
    sent = {name: value.format(bucket) for name, value in headers.items()}
    answer = raw(method, f"/{bucket}/a%20b", sent, b"v" if "If-Match" in sent else b"")
    assert answer.refusal() == (404, "NoSuchKey")
    assert answer.xml.findtext("Key") == "a b"


def test_PreconditionFailed_names_the_condition(s3: Any, raw: RawClient, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    for header, value in (("If-Match", '"x"'), ("If-None-Match", "*")):
        answer = raw("PUT", f"/{bucket}/k", {header: value}, b"w")
        assert answer.refusal() == (412, "PreconditionFailed")
        assert answer.xml.findtext("Condition") == header


def test_EntityTooLarge_tells_both_sizes(raw: RawClient, bucket: str) -> None:
    request = raw.sign("PUT", f"/{bucket}/k", payload="UNSIGNED-PAYLOAD")
    answer = raw.send(request, content_length=6 * 1024**4, ends=False)
    assert answer.refusal() == (400, "EntityTooLarge")
    assert answer.xml.findtext("ProposedSize") == str(6 * 1024**4)
    assert int(answer.xml.findtext("MaxSizeAllowed")) >= 5 * 1024**3
