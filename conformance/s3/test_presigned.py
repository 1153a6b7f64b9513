"""Presigned URLs: SigV4 in the query."""

import http.client
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from conformance.expect import exists, keys_of, read
from conformance.rawhttp import RawClient, RawRequest, RawResponse

PARAMETERS_ERROR = (400, "AuthorizationQueryParametersError")


@pytest.fixture
def held(s3: Any, bucket: str) -> str:
    """A bucket that holds ``k``."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", ContentType="text/plain")
    return bucket


def fetch(raw: RawClient, url: str, method: str = "GET", body: bytes = b"") -> RawResponse:
    """Send an SDK's URL as a browser would: no headers of ours."""
    parts = urlsplit(url)
    return raw.send(RawRequest(method, f"{parts.path}?{parts.query}", body=body))


def test_presigned_GET_by_sdk(s3: Any, raw: RawClient, held: str) -> None:
    answer = fetch(raw, s3.generate_presigned_url("get_object", Params={"Bucket": held, "Key": "k"}, ExpiresIn=60))
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"v", "text/plain")


def test_presigned_GET_with_overrides(s3: Any, raw: RawClient, held: str) -> None:
    parameters = {"Bucket": held, "Key": "k", "ResponseContentDisposition": 'attachment; filename="ü.txt"'}
    answer = fetch(raw, s3.generate_presigned_url("get_object", Params=parameters))
    assert answer.status == 200
    assert answer.headers["Content-Disposition"].startswith("attachment;")


def test_presigned_PUT_by_sdk(s3: Any, raw: RawClient, held: str) -> None:
    url = s3.generate_presigned_url("put_object", Params={"Bucket": held, "Key": "new"}, ExpiresIn=60)
    assert fetch(raw, url, "PUT", b"written").status == 200
    assert read(s3, held, "new") == b"written"


@pytest.mark.parametrize("key", ["ü b+c", "a//b", "../k", "%2F", "😀"])
def test_presigned_odd_key(s3: Any, raw: RawClient, held: str, key: str) -> None:
    s3.put_object(Bucket=held, Key=key, Body=key.encode())
    url = s3.generate_presigned_url("get_object", Params={"Bucket": held, "Key": key})
    assert fetch(raw, url).body == key.encode()


def test_presigned_HEAD_DELETE_and_list(s3: Any, raw: RawClient, held: str) -> None:
    assert (
        fetch(raw, s3.generate_presigned_url("head_object", Params={"Bucket": held, "Key": "k"}), "HEAD").status == 200
    )
    answer = fetch(raw, s3.generate_presigned_url("list_objects_v2", Params={"Bucket": held}))
    assert answer.xml.findtext("Contents/Key") == "k"
    url = s3.generate_presigned_url("delete_object", Params={"Bucket": held, "Key": "k"})
    assert fetch(raw, url, "DELETE").status == 204
    assert keys_of(s3, held) == []


def test_presigned_multipart(s3: Any, raw: RawClient, held: str) -> None:
    names = {"Bucket": held, "Key": "mp"}
    created = fetch(raw, s3.generate_presigned_url("create_multipart_upload", Params=names), "POST")
    upload = names | {"UploadId": created.xml.findtext("UploadId")}
    url = s3.generate_presigned_url("upload_part", Params=upload | {"PartNumber": 1})
    etag = fetch(raw, url, "PUT", b"part").headers["ETag"]
    body = (
        f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    )
    url = s3.generate_presigned_url("complete_multipart_upload", Params=upload)
    assert fetch(raw, url, "POST", body.encode()).status == 200
    assert read(s3, held, "mp") == b"part"


def test_presigned_expired(raw: RawClient, held: str) -> None:
    request = raw.presign("GET", f"/{held}/k", expires="60", now=datetime.now(UTC) - timedelta(seconds=70))
    answer = raw.send(request)
    assert answer.refusal() == (403, "AccessDenied")
    assert "expired" in answer.xml.findtext("Message")


def test_presigned_still_valid_after_the_skew_of_headers(raw: RawClient, held: str) -> None:
    request = raw.presign("GET", f"/{held}/k", expires="604800", now=datetime.now(UTC) - timedelta(days=6))
    assert raw.send(request).body == b"v"


def test_presigned_not_yet_valid(raw: RawClient, held: str) -> None:
    request = raw.presign("GET", f"/{held}/k", now=datetime.now(UTC) + timedelta(minutes=20))
    assert raw.send(request).refusal() == (403, "AccessDenied")


@pytest.mark.parametrize("expires", ["-1", "604801", "abc", "", "1e3", "0x10", "1.5", "9" * 30])
def test_presigned_expires_invalid(raw: RawClient, held: str, expires: str) -> None:
    assert raw.send(raw.presign("GET", f"/{held}/k", expires=expires)).refusal() == PARAMETERS_ERROR


@pytest.mark.parametrize(
    "parameter", ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"]
)
def test_presigned_parameter_missing(raw: RawClient, held: str, parameter: str) -> None:
    path, _, query = raw.presign("GET", f"/{held}/k").target.partition("?")
    rest = "&".join(pair for pair in query.split("&") if not pair.startswith(f"{parameter}="))
    answer = raw.send(RawRequest("GET", f"{path}?{rest}"))
    # without its algorithm the query is no signature at all: AWS answers as to an anonymous caller
    assert answer.refusal() in {PARAMETERS_ERROR, (403, "AccessDenied")}


def test_presigned_signature_missing(raw: RawClient, held: str) -> None:
    target = raw.presign("GET", f"/{held}/k").target.partition("&X-Amz-Signature=")[0]
    assert raw.send(RawRequest("GET", target)).refusal() in {PARAMETERS_ERROR, (403, "AccessDenied")}


@pytest.mark.parametrize("signature", ["0" * 64, "abc", ""])
def test_presigned_signature_wrong(raw: RawClient, held: str, signature: str) -> None:
    target = raw.presign("GET", f"/{held}/k").target.partition("&X-Amz-Signature=")[0]
    answer = raw.send(RawRequest("GET", f"{target}&X-Amz-Signature={signature}"))
    assert answer.refusal() in {(403, "SignatureDoesNotMatch"), PARAMETERS_ERROR}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD"])
def test_presigned_GET_for_other_method(s3: Any, raw: RawClient, held: str, method: str) -> None:
    request = raw.presign("GET", f"/{held}/k")
    assert raw.send(RawRequest(method, request.target, body=b"x" if method == "PUT" else b"")).status == 403
    assert read(s3, held, "k") == b"v"


def test_presigned_for_other_key(raw: RawClient, held: str) -> None:
    query = raw.presign("GET", f"/{held}/other").target.partition("?")[2]
    assert raw.send(RawRequest("GET", f"/{held}/k?{query}")).refusal() == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    "added",
    [
        "versionId=null",
        "response-content-type=text%2Fhtml",
        "partNumber=1",
        "uploadId=x",
        "tagging",
        "acl",
        "X-Amz-Expires=700",
    ],
)
def test_presigned_with_added_parameter(raw: RawClient, held: str, added: str) -> None:
    target = raw.presign("GET", f"/{held}/k").target
    answer = raw.send(RawRequest("GET", f"{target}&{added}"))
    assert answer.refusal() in {(403, "SignatureDoesNotMatch"), PARAMETERS_ERROR}


@pytest.mark.parametrize(
    "header", ["x-amz-copy-source", "x-amz-tagging", "x-amz-acl", "x-amz-meta-a", "x-amz-security-token"]
)
def test_presigned_PUT_with_unsigned_header(s3: Any, raw: RawClient, held: str, header: str) -> None:
    request = raw.presign("PUT", f"/{held}/new").with_headers({header: f"{held}/k"})
    answer = raw.send(request)
    assert answer.status in {400, 403}
    assert answer.code in {"AccessDenied", "SignatureDoesNotMatch", "InvalidToken", "InvalidRequest"}
    assert not exists(s3, held, "new")


def test_presigned_PUT_with_signed_header(s3: Any, raw: RawClient, held: str) -> None:
    request = raw.presign("PUT", f"/{held}/new", {"Content-Type": "text/css", "x-amz-meta-a": "1"})
    sent = RawRequest("PUT", request.target, request.headers, b"v")
    assert raw.send(sent.replacing_header("Content-Type", "text/html")).refusal() == (403, "SignatureDoesNotMatch")
    assert raw.send(sent.without_header("x-amz-meta-a")).refusal() == (403, "SignatureDoesNotMatch")
    assert raw.send(sent).status == 200
    head = s3.head_object(Bucket=held, Key="new")
    assert (head["ContentType"], head["Metadata"]) == ("text/css", {"a": "1"})


def test_presigned_query_metadata_acts_as_header(s3: Any, raw: RawClient, held: str) -> None:
    """SDKs hoist x-amz-* headers into the signed query."""
    request = raw.presign("PUT", f"/{held}/new?x-amz-meta-a=1")
    assert raw.send(RawRequest("PUT", request.target, body=b"v")).status == 200
    assert s3.head_object(Bucket=held, Key="new")["Metadata"] == {"a": "1"}


def test_presigned_with_authorization_header_too(raw: RawClient, held: str) -> None:
    presigned = raw.presign("GET", f"/{held}/k")
    signed = raw.sign("GET", f"/{held}/k")
    assert raw.send(RawRequest("GET", presigned.target, signed.headers)).status == 400


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"secret_access_key": "wrong"}, (403, "SignatureDoesNotMatch")),
        ({"access_key_id": "AKIANOBODYNOBODY0000"}, (403, "InvalidAccessKeyId")),
        ({"region": "mars-north-9"}, PARAMETERS_ERROR),
    ],
)
def test_presigned_by_wrong_credentials(
    raw: RawClient, held: str, options: dict[str, str], refusal: tuple[int, str]
) -> None:
    assert raw.send(raw.presign("GET", f"/{held}/k", **options)).refusal() == refusal


def test_presigned_v2_is_refused(raw: RawClient, held: str) -> None:
    answer = raw.send(
        RawRequest("GET", f"/{held}/k?AWSAccessKeyId={raw.endpoint.access_key_id}&Expires=9999999999&Signature=x")
    )
    assert answer.status in {400, 403}
    assert answer.code in {
        "InvalidRequest",
        "AccessDenied",
        "InvalidArgument",
        "SignatureDoesNotMatch",
        "NotImplemented",
    }


def test_presigned_needs_no_host_trick(raw: RawClient, held: str) -> None:
    """Host is signed: another Host header is another request."""
    request = raw.presign("GET", f"/{held}/k").with_headers({"Host": "evil.example.com"})
    try:
        assert raw.send(request).status in {400, 403, 404}
    except http.client.HTTPException as error:
        pytest.fail(f"no HTTP answer: {error}")
