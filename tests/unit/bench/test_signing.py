"""The fast signer says what botocore says."""

import hashlib
from datetime import UTC, datetime

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from conformance.bench.signing import EMPTY_SHA256, UNSIGNED_PAYLOAD, Signer

MOMENT = datetime(2026, 11, 21, 10, 27, 35, tzinfo=UTC)
TIMESTAMP = "20261121T102735Z"
SECRET = "bench/secret+KEY/that=is/40/chars/long=="


def signer(**changes: str) -> Signer:
    options = {
        "access_key_id": "AKIABENCH",
        "secret_access_key": SECRET,
        "region": "eu-central-1",
        "host": "127.0.0.1:9801",
    }
    return Signer(**(options | changes), moment=MOMENT)


def by_botocore(method: str, path: str, query: str, payload_sha256: str) -> str:
    auth = S3SigV4Auth(Credentials("AKIABENCH", SECRET), "s3", "eu-central-1")
    request = AWSRequest(method, f"http://127.0.0.1:9801{path}{'?' if query else ''}{query}")
    request.context["timestamp"] = TIMESTAMP
    request.headers["X-Amz-Date"] = TIMESTAMP
    request.headers["X-Amz-Content-SHA256"] = payload_sha256
    return auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)


@pytest.mark.parametrize(
    ("method", "path", "query", "payload"),
    [
        ("GET", "/bench/get/1024/000001", "", EMPTY_SHA256),
        ("PUT", "/bench/put/1024/0/3/000017", "", hashlib.sha256(b"bytes").hexdigest()),
        ("PUT", "/bench/put/65536/0/3/000017", "", UNSIGNED_PAYLOAD),
        ("GET", "/bench", "list-type=2&prefix=d00001%2F", EMPTY_SHA256),
        ("GET", "/bench", "delimiter=%2F&list-type=2", EMPTY_SHA256),
        ("POST", "/bench/multipart/0/0/000000", "uploads=", EMPTY_SHA256),
        ("DELETE", "/bench/delete/1/0/000000", "", EMPTY_SHA256),
    ],
)
def test_signature_is_that_of_botocore(method: str, path: str, query: str, payload: str) -> None:
    assert signer().signature(method, path, query, payload) == by_botocore(method, path, query, payload)


def test_signature_depends_on_the_secret() -> None:
    path = "/bench/key"
    assert signer(secret_access_key="other").signature("GET", path, "", EMPTY_SHA256) != signer().signature(
        "GET", path, "", EMPTY_SHA256
    )


def test_head_carries_what_was_signed() -> None:
    head = signer().head("PUT", "/bench/key", "partNumber=1&uploadId=x", payload_sha256="ab", length_bytes=5)
    assert head.startswith(b"PUT /bench/key?partNumber=1&uploadId=x HTTP/1.1\r\nHost: 127.0.0.1:9801\r\n")
    assert head.endswith(b"\r\nContent-Length: 5\r\n\r\n")
    signature = signer().signature("PUT", "/bench/key", "partNumber=1&uploadId=x", "ab")
    assert f"Signature={signature}\r\n".encode() in head
    assert f"\r\nX-Amz-Date: {TIMESTAMP}\r\nX-Amz-Content-SHA256: ab\r\n".encode() in head
    assert b"Credential=AKIABENCH/20261121/eu-central-1/s3/aws4_request, " in head


def test_head_without_a_body_has_no_length() -> None:
    assert b"Content-Length" not in signer().head("GET", "/bench/key")
