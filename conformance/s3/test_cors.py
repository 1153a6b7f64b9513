"""Cross-origin rules: configuring them, preflights, and the headers on every other answer."""

import time
from typing import Any

import pytest

from conformance.expect import refused
from conformance.rawhttp import RawClient, RawResponse

ORIGIN = "https://app.example.com"
RULES: list[dict[str, Any]] = [
    {
        "ID": "app",
        "AllowedOrigins": ["https://*.example.com"],
        "AllowedMethods": ["GET", "PUT"],
        "AllowedHeaders": ["Content-*", "x-amz-meta-a"],
        "ExposeHeaders": ["ETag", "x-amz-request-id"],
        "MaxAgeSeconds": 300,
    },
    {"AllowedOrigins": ["*"], "AllowedMethods": ["HEAD"]},
]
VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


@pytest.fixture
def shared(s3: Any, bucket: str) -> str:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES})
    return bucket


def preflight(raw: RawClient, path: str, origin: str | None, method: str | None, headers: str = "") -> RawResponse:
    given = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers or None,
    }
    return raw.anonymous("OPTIONS", path, {name: value for name, value in given.items() if value is not None})


def allowed(answer: RawResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items() if name.lower().startswith("access-control-")}


def test_PutBucketCors_and_back(s3: Any, bucket: str) -> None:
    with refused(404, "NoSuchCORSConfiguration"):
        s3.get_bucket_cors(Bucket=bucket)
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES
    s3.delete_bucket_cors(Bucket=bucket)
    with refused(404, "NoSuchCORSConfiguration"):
        s3.get_bucket_cors(Bucket=bucket)
    s3.delete_bucket_cors(Bucket=bucket)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"AllowedOrigins": ["http://*.*.com"]}, "InvalidRequest"),
        ({"AllowedHeaders": ["x-*-*"]}, "InvalidRequest"),
        ({"AllowedHeaders": ["x y"]}, "InvalidRequest"),
        ({"AllowedMethods": ["PATCH"]}, "InvalidRequest"),
        ({"AllowedMethods": ["get"]}, "InvalidRequest"),
        ({"ExposeHeaders": ["x-*"]}, "InvalidRequest"),
        ({"ExposeHeaders": ["x-a\r\nx-b: c"]}, "InvalidRequest"),
        ({"ID": "i" * 256}, "InvalidRequest"),
        ({"AllowedMethods": []}, "MalformedXML"),
        ({"AllowedOrigins": []}, "MalformedXML"),
        ({"MaxAgeSeconds": -1}, "MalformedXML"),
    ],
)
def test_PutBucketCors_refuses_bad_rules(s3: Any, bucket: str, change: dict[str, Any], code: str) -> None:
    with refused(400, code):
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [{**RULES[0], **change}]})
    with refused(404, "NoSuchCORSConfiguration"):
        s3.get_bucket_cors(Bucket=bucket)


def test_PutBucketCors_number_of_rules(s3: Any, bucket: str) -> None:
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [RULES[1]] * 100})
    with refused(400, "InvalidRequest"):
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [RULES[1]] * 101})
    with refused(400, "MalformedXML"):
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": []})
    assert len(s3.get_bucket_cors(Bucket=bucket)["CORSRules"]) == 100


def test_preflight_allowed(raw: RawClient, shared: str) -> None:
    answer = preflight(raw, f"/{shared}/any/key", ORIGIN, "PUT", "Content-Type, X-Amz-Meta-A")
    assert (answer.status, answer.body) == (200, b"")
    assert allowed(answer) == {
        "access-control-allow-origin": ORIGIN,
        "access-control-allow-methods": "GET, PUT",
        "access-control-allow-headers": "content-type, x-amz-meta-a",
        "access-control-expose-headers": "ETag, x-amz-request-id",
        "access-control-max-age": "300",
        "access-control-allow-credentials": "true",
    }
    assert answer.headers["Vary"] == VARY


def test_preflight_for_everybody_allows_no_credentials(raw: RawClient, shared: str) -> None:
    answer = preflight(raw, f"/{shared}", "http://elsewhere", "HEAD")
    assert answer.status == 200
    assert allowed(answer) == {"access-control-allow-origin": "*", "access-control-allow-methods": "HEAD"}


@pytest.mark.parametrize(
    ("origin", "method", "headers"),
    [
        ("http://elsewhere", "GET", ""),
        ("https://example.com", "GET", ""),
        ("https://app.example.com.evil.net", "GET", ""),
        ("HTTPS://APP.EXAMPLE.COM", "GET", ""),
        (ORIGIN, "DELETE", ""),
        (ORIGIN, "PUT", "x-amz-meta-b"),
        (ORIGIN, "PUT", "content-type, authorization"),
    ],
)
def test_preflight_not_allowed(raw: RawClient, shared: str, origin: str, method: str, headers: str) -> None:
    answer = preflight(raw, f"/{shared}/k", origin, method, headers)
    assert answer.refusal() == (403, "AccessForbidden")
    assert answer.xml.findtext("Message").startswith("CORSResponse: This CORS request is not allowed.")
    assert (answer.xml.findtext("Method"), answer.xml.findtext("ResourceType")) == (method, "OBJECT")
    assert allowed(answer) == {}


def test_preflight_without_rules(raw: RawClient, bucket: str) -> None:
    answer = preflight(raw, f"/{bucket}", ORIGIN, "GET")
    assert answer.refusal() == (403, "AccessForbidden")
    assert answer.xml.findtext("Message") == "CORSResponse: CORS is not enabled for this bucket."
    assert preflight(raw, "/", ORIGIN, "GET").refusal() == (403, "AccessForbidden")


@pytest.mark.parametrize(
    ("origin", "method"), [(None, None), (None, "GET"), (ORIGIN, None), (ORIGIN, "PATCH"), (ORIGIN, "get")]
)
def test_preflight_that_is_none(raw: RawClient, shared: str, origin: str | None, method: str | None) -> None:
    assert preflight(raw, f"/{shared}/k", origin, method).refusal() == (400, "BadRequest")


def test_preflight_of_a_presigned_url_needs_no_valid_signature(raw: RawClient, shared: str) -> None:
    request = raw.presign("PUT", f"/{shared}/k")
    assert preflight(raw, request.target, ORIGIN, "PUT").status == 200


def test_answers_carry_the_headers(raw: RawClient, shared: str) -> None:
    answer = raw("GET", f"/{shared}/k", {"Origin": ORIGIN})
    assert (answer.status, answer.body) == (200, b"v")
    assert allowed(answer) == {
        "access-control-allow-origin": ORIGIN,
        "access-control-allow-methods": "GET, PUT",
        "access-control-expose-headers": "ETag, x-amz-request-id",
        "access-control-max-age": "300",
        "access-control-allow-credentials": "true",
    }
    assert answer.headers["Vary"] == VARY
    assert allowed(raw("HEAD", f"/{shared}/k", {"Origin": "null"}))["access-control-allow-origin"] == "*"


def test_refusals_carry_the_headers(raw: RawClient, shared: str) -> None:
    missing = raw("GET", f"/{shared}/nobody", {"Origin": ORIGIN})
    denied = raw.anonymous("GET", f"/{shared}/k", {"Origin": ORIGIN})
    forged = raw("GET", f"/{shared}/k", {"Origin": ORIGIN}, secret_access_key="wrong")
    unmodified = raw("GET", f"/{shared}/k", {"Origin": ORIGIN, "If-None-Match": "*"})
    assert [answer.status for answer in (missing, denied, forged, unmodified)] == [404, 403, 403, 304]
    for answer in (missing, denied, forged, unmodified):
        assert allowed(answer)["access-control-allow-origin"] == ORIGIN


def test_answers_to_others_carry_none(raw: RawClient, shared: str) -> None:
    for headers in ({}, {"Origin": "http://elsewhere"}):
        answer = raw("GET", f"/{shared}/k", headers)
        assert (answer.status, allowed(answer), answer.headers["Vary"]) == (200, {}, None)
    assert allowed(raw("DELETE", f"/{shared}/k", {"Origin": ORIGIN})) == {}


def test_a_change_counts_within_a_second_in_every_worker(s3: Any, raw: RawClient, shared: str) -> None:
    def statuses() -> set[int]:
        return {preflight(raw, f"/{shared}/k", ORIGIN, "PUT").status for _ in range(8)}

    assert statuses() == {200}
    s3.put_bucket_cors(Bucket=shared, CORSConfiguration={"CORSRules": [RULES[1]]})
    time.sleep(1.1)
    assert statuses() == {403}
