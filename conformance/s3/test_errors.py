"""The shape of errors, and what every answer carries."""

from typing import Any

import pytest

from conformance.rawhttp import RawClient, RawResponse


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
