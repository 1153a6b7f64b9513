"""Who may come in: SigV4 in the Authorization header, and everything that is not quite that."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conformance.expect import exists, keys_of, read
from conformance.rawhttp import TIMESTAMP, RawClient, RawRequest

MALFORMED = (400, "AuthorizationHeaderMalformed")


@pytest.fixture
def held(s3: Any, bucket: str) -> str:
    """A bucket that holds ``k``."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    return bucket


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "/"),
        ("GET", "/{0}"),
        ("GET", "/{0}?list-type=2"),
        ("GET", "/{0}/k"),
        ("GET", "/{0}/missing"),
        ("PUT", "/{0}/k"),
        ("PUT", "/{0}/new"),
        ("DELETE", "/{0}/k"),
        ("DELETE", "/{0}"),
        ("POST", "/{0}/k?uploads"),
        ("GET", "/{0}?acl"),
        ("GET", "/{0}?uploads"),
    ],
)
def test_anonymous_is_denied(s3: Any, raw: RawClient, held: str, method: str, address: str) -> None:
    body = b"anonymous" if method in {"PUT", "POST"} else b""
    assert raw.anonymous(method, address.format(held), body=body).refusal() == (403, "AccessDenied")
    assert keys_of(s3, held) == ["k"]
    assert read(s3, held, "k") == b"v"


def test_anonymous_DeleteObjects_is_denied(s3: Any, raw: RawClient, held: str) -> None:
    body = b"<Delete><Object><Key>k</Key></Object></Delete>"
    digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    answer = raw.anonymous("POST", f"/{held}?delete", (("Content-MD5", digest),), body=body)
    assert answer.refusal() == (403, "AccessDenied")
    assert keys_of(s3, held) == ["k"]


def test_anonymous_HEAD_is_denied_without_body(raw: RawClient, held: str) -> None:
    for target in (f"/{held}", f"/{held}/k", f"/{held}/missing"):
        answer = raw.anonymous("HEAD", target)
        assert (answer.status, answer.body) == (403, b"")


def test_anonymous_CreateBucket_is_denied(s3: Any, raw: RawClient, fresh_name: Any) -> None:
    name = fresh_name()
    assert raw.anonymous("PUT", f"/{name}").refusal() == (403, "AccessDenied")
    assert name not in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]


def test_wrong_secret(s3: Any, raw: RawClient, held: str) -> None:
    answer = raw("PUT", f"/{held}/k", body=b"other", secret_access_key="wrong")
    assert answer.refusal() == (403, "SignatureDoesNotMatch")
    assert read(s3, held, "k") == b"v"


def test_wrong_secret_answer_tells_no_secret(raw: RawClient, held: str) -> None:
    moment = datetime.now(UTC)
    wrong = raw.sign("GET", f"/{held}/k", now=moment, secret_access_key="wrong")
    right = raw.sign("GET", f"/{held}/k", now=moment).header("Authorization").rpartition("Signature=")[2]
    body = raw.send(wrong).body.decode()
    assert right not in body
    assert raw.endpoint.secret_access_key not in body


def test_unknown_access_key(raw: RawClient, held: str) -> None:
    answer = raw("GET", f"/{held}/k", access_key_id="AKIANOBODYNOBODY0000")
    assert answer.refusal() == (403, "InvalidAccessKeyId")


@pytest.mark.parametrize("access_key_id", ["x" * 3000, "'; --", "../..", "%00"])
def test_odd_access_key(raw: RawClient, held: str, access_key_id: str) -> None:
    answer = raw("GET", f"/{held}/k", access_key_id=access_key_id)
    assert answer.refusal() in {(403, "InvalidAccessKeyId"), MALFORMED}


def test_wrong_region(raw: RawClient, held: str) -> None:
    answer = raw("GET", f"/{held}/k", region="mars-north-9")
    assert answer.refusal() == MALFORMED
    assert answer.xml.findtext("Region") == raw.endpoint.region


@pytest.mark.parametrize("service", ["ec2", "s3tables", "S3"])
def test_wrong_service(raw: RawClient, held: str, service: str) -> None:
    assert raw("GET", f"/{held}/k", service=service).refusal() == MALFORMED


@pytest.mark.parametrize("minutes", [-16, 16, -60 * 24 * 8])
def test_clock_skew_too_large(raw: RawClient, held: str, minutes: int) -> None:
    answer = raw("GET", f"/{held}/k", now=datetime.now(UTC) + timedelta(minutes=minutes))
    assert answer.refusal() == (403, "RequestTimeTooSkewed")


@pytest.mark.parametrize("minutes", [-14, 14])
def test_clock_skew_tolerated(raw: RawClient, held: str, minutes: int) -> None:
    assert raw("GET", f"/{held}/k", now=datetime.now(UTC) + timedelta(minutes=minutes)).status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 Credential=x",
        "AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential={scope}, Signature={zeros}",
        "AWS4-HMAC-SHA256 SignedHeaders=host, Signature={zeros}",
        "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature={zeros}",
        "AWS4-HMAC-SHA256 Credential={key}/20200101/{region}/s3/aws_request, SignedHeaders=host, Signature={zeros}",
        "AWS4-HMAC-SHA256 Credential={key}/notadate/{region}/s3/aws4_request, SignedHeaders=host, Signature={zeros}",
    ],
)
def test_authorization_malformed(raw: RawClient, held: str, authorization: str) -> None:
    now = datetime.now(UTC)
    key, region = raw.endpoint.access_key_id, raw.endpoint.region
    scope = f"{key}/{now:%Y%m%d}/{region}/s3/aws4_request"
    value = authorization.format(key=key, region=region, scope=scope, zeros="0" * 64)
    request = raw.sign("GET", f"/{held}/k").replacing_header("Authorization", value)
    assert raw.send(request).refusal() == MALFORMED


@pytest.mark.parametrize(
    "scheme",
    ["AWS {key}:c2lnbmF0dXJl", "Bearer abc", "Basic dXNlcjpwYXNz", "AWS4-ECDSA-P256-SHA256 {rest}", "Nonsense"],
)
def test_authorization_of_other_scheme(raw: RawClient, held: str, scheme: str) -> None:
    """An explicit error: a scheme that is not spoken is never read as anonymous, whatever anonymous may do."""
    request = raw.sign("GET", f"/{held}/k")
    rest = request.header("Authorization").partition(" ")[2]
    answer = raw.send(
        request.replacing_header("Authorization", scheme.format(key=raw.endpoint.access_key_id, rest=rest))
    )
    assert answer.status in {400, 401, 403, 501}
    assert answer.code in {
        "InvalidRequest", "InvalidArgument", "AuthorizationHeaderMalformed", "AccessDenied", "NotImplemented",
        "InvalidToken",
    }  # fmt: skip


@pytest.mark.parametrize("signature", ["{upper}", "{short}", "{long}", "z" * 64, ""])
def test_signature_of_wrong_shape(raw: RawClient, held: str, signature: str) -> None:
    request = raw.sign("GET", f"/{held}/k")
    head, _, good = request.header("Authorization").rpartition("Signature=")
    shaped = signature.format(upper=good.upper(), short=good[:-1], long=good + "0")
    answer = raw.send(request.replacing_header("Authorization", f"{head}Signature={shaped}"))
    assert answer.refusal() in {(403, "SignatureDoesNotMatch"), MALFORMED}


@pytest.mark.parametrize(
    "header", ["x-amz-acl", "x-amz-meta-added", "x-amz-copy-source", "x-amz-security-token", "x-amz-storage-class"]
)
def test_unsigned_amz_header(s3: Any, raw: RawClient, held: str, header: str) -> None:
    request = raw.sign("PUT", f"/{held}/new", body=b"v").with_headers({header: f"{held}/k"})
    answer = raw.send(request)
    assert answer.status in {400, 403}
    assert answer.code in {"AccessDenied", "SignatureDoesNotMatch", "InvalidToken"}
    assert not exists(s3, held, "new")


def test_signed_header_altered(s3: Any, raw: RawClient, held: str) -> None:
    request = raw.sign("PUT", f"/{held}/new", {"x-amz-meta-a": "1"}, b"v").replacing_header("x-amz-meta-a", "2")
    assert raw.send(request).refusal() == (403, "SignatureDoesNotMatch")
    assert not exists(s3, held, "new")


def test_signed_header_left_out(raw: RawClient, held: str) -> None:
    request = raw.sign("GET", f"/{held}/k", {"x-amz-meta-a": "1"}).without_header("x-amz-meta-a")
    assert raw.send(request).refusal() == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("address", ["/{0}/other", "/{0}/k?versionId=null", "/{0}/k?acl", "/{0}//k", "/{0}/%6B"])
def test_signature_is_for_one_target(raw: RawClient, held: str, address: str) -> None:
    request = raw.sign("GET", f"/{held}/k")
    answer = raw.send(RawRequest("GET", address.format(held), request.headers))
    if address.endswith("%6B"):
        # AWS signs the decoded and re-encoded path: both spellings are the same key and the same signature
        assert answer.refusal() in {(200, None), (403, "SignatureDoesNotMatch")}
    else:
        assert answer.refusal() == (403, "SignatureDoesNotMatch")


def test_signature_is_for_one_method(s3: Any, raw: RawClient, held: str) -> None:
    request = raw.sign("GET", f"/{held}/k")
    assert raw.send(RawRequest("DELETE", request.target, request.headers)).refusal() == (403, "SignatureDoesNotMatch")
    assert read(s3, held, "k") == b"v"


def test_date_missing(raw: RawClient, held: str) -> None:
    answer = raw.send(raw.sign("GET", f"/{held}/k").without_header("x-amz-date"))
    assert answer.refusal() == (403, "AccessDenied")


@pytest.mark.parametrize("value", ["now", "20200101", "99999999T999999Z", ""])
def test_date_malformed(raw: RawClient, held: str, value: str) -> None:
    answer = raw.send(raw.sign("GET", f"/{held}/k").replacing_header("x-amz-date", value))
    assert answer.status == 403
    assert answer.code in {"AccessDenied", "SignatureDoesNotMatch", "RequestTimeTooSkewed"}


def test_date_other_than_scope(raw: RawClient, held: str) -> None:
    request = raw.sign("GET", f"/{held}/k", now=datetime(2020, 1, 1, tzinfo=UTC))
    request = request.replacing_header("x-amz-date", datetime.now(UTC).strftime(TIMESTAMP))
    answer = raw.send(request)
    assert answer.status in {400, 403}
    assert answer.code in {"AuthorizationHeaderMalformed", "SignatureDoesNotMatch", "RequestTimeTooSkewed"}


def test_content_sha256_missing(raw: RawClient, held: str) -> None:
    answer = raw.send(raw.sign("GET", f"/{held}/k").without_header("x-amz-content-sha256"))
    assert answer.status == 400
    assert answer.code in {"InvalidRequest", "MissingSecurityHeader"}


@pytest.mark.parametrize("name", ["Authorization", "x-amz-date", "x-amz-content-sha256"])
def test_security_header_twice(raw: RawClient, held: str, name: str) -> None:
    request = raw.sign("GET", f"/{held}/k")
    answer = raw.send(request.with_headers({name: request.header(name)}))
    assert answer.status in {400, 403}
    assert answer.code is not None


@pytest.mark.parametrize(
    "address",
    [
        "/{0}//k",
        "/{0}/a/./k",
        "/{0}/a/../k",
        "/{0}/%2Fk",
        "/{0}/%252F",
        "/{0}/a+b",
        "/{0}/a%20b",
        "/{0}/%C3%BC",
        "/{0}/~-._",
    ],
)
def test_signature_covers_the_path_as_sent(raw: RawClient, held: str, address: str) -> None:
    path = address.format(held)
    assert raw("PUT", path, body=b"signed").status == 200
    assert raw("GET", path).body == b"signed"


@pytest.mark.parametrize(
    "query", ["prefix=a%20b&list-type=2", "list-type=2&delimiter=%2F&prefix=", "list-type=2&prefix=%C3%BC%2B"]
)
def test_signature_covers_the_query_as_sent(raw: RawClient, held: str, query: str) -> None:
    assert raw("GET", f"/{held}?{query}").status == 200


def test_signature_tolerates_spaces_in_header_values(s3: Any, raw: RawClient, held: str) -> None:
    assert raw("PUT", f"/{held}/new", {"x-amz-meta-a": "  two   spaces  "}, b"v").status == 200
    assert s3.head_object(Bucket=held, Key="new")["Metadata"]["a"].split() == ["two", "spaces"]


def test_further_key_reads_what_the_first_wrote(keys: Any, s3: Any, raw: RawClient, held: str) -> None:
    key = keys()
    options = {"access_key_id": key["access_key_id"], "secret_access_key": key["secret_access_key"]}
    assert raw("GET", f"/{held}/k", **options).body == b"v"
    assert raw("GET", f"/{held}/k", **(options | {"secret_access_key": "wrong"})).status == 403
