"""A matrix of bad input: S3's code, never a 5xx, nothing changed."""

import base64
import contextlib
import hashlib
import http.client
from collections.abc import Collection
from typing import Any

import pytest

from conformance.expect import keys_of, read
from conformance.rawhttp import RawClient

BILLION_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + level, b"&%c;" % (97 + level) * 10) for level in range(9))
    + b"]><CreateBucketConfiguration><LocationConstraint>&j;</LocationConstraint></CreateBucketConfiguration>"
)

CASES: list[tuple[str, str, str, dict[str, str], bytes, Collection[str]]] = [
    ("bucket-doctype", "PUT", "/{0}-new", {}, b"<!DOCTYPE a><CreateBucketConfiguration/>", {"MalformedXML"}),
    ("bucket-entities", "PUT", "/{0}-new", {}, BILLION_LAUGHS, {"MalformedXML"}),
    ("bucket-text", "PUT", "/{0}-new", {}, b"hello", {"MalformedXML"}),
    ("bucket-other-root", "PUT", "/{0}-new", {}, b"<Tagging/>", {"MalformedXML"}),
    ("delete-utf7", "POST", "/{0}?delete", {"Content-MD5": "{md5}"}, b'<?xml version="1.0" encoding="UTF-7"?><Delete/>',
     {"MalformedXML"}),
    ("part-number-text", "PUT", "/{0}/k?partNumber=one&uploadId=x", {}, b"x", {"InvalidArgument", "NoSuchUpload"}),
    ("max-keys-float", "GET", "/{0}?max-keys=1e3", {}, b"", {"InvalidArgument"}),
    ("max-uploads-text", "GET", "/{0}?uploads&max-uploads=many", {}, b"", {"InvalidArgument"}),
    ("copy-no-key", "PUT", "/{0}/new", {"x-amz-copy-source": "{0}"}, b"", {"InvalidArgument", "InvalidRequest"}),
    ("copy-directive", "PUT", "/{0}/new", {"x-amz-copy-source": "{0}/k", "x-amz-metadata-directive": "x"}, b"",
     {"InvalidArgument"}),
    ("storage-class", "PUT", "/{0}/new", {"x-amz-storage-class": "x"}, b"v", {"InvalidStorageClass"}),
    ("acl-canned", "PUT", "/{0}/new", {"x-amz-acl": "everybody"}, b"v", {"InvalidArgument", "NotImplemented"}),
    ("md5", "PUT", "/{0}/new", {"Content-MD5": "x"}, b"v", {"InvalidDigest"}),
    ("sse-unknown", "PUT", "/{0}/new", {"x-amz-server-side-encryption": "rot13"}, b"v",
     {"InvalidArgument", "InvalidEncryptionAlgorithmError", "NotImplemented"}),
    ("sse-c-key-alone", "PUT", "/{0}/new", {"x-amz-server-side-encryption-customer-key": "eA=="}, b"v",
     {"InvalidArgument", "InvalidRequest", "NotImplemented"}),
    ("tagging-header", "PUT", "/{0}/new", {"x-amz-tagging": "a=1&a=2"}, b"v",
     {"InvalidTag", "InvalidArgument", "NotImplemented"}),
    ("lock-mode-alone", "PUT", "/{0}/new", {"x-amz-object-lock-mode": "GOVERNANCE"}, b"v",
     {"InvalidArgument", "InvalidRequest", "NotImplemented"}),
    ("method-unknown", "BREW", "/{0}/k", {}, b"", {"MethodNotAllowed", "NotImplemented", "BadRequest"}),
    ("percent-cut", "GET", "/{0}/%", {}, b"", {"InvalidURI", "NoSuchKey", "SignatureDoesNotMatch"}),
    ("percent-garbage", "GET", "/{0}/%zz", {}, b"", {"InvalidURI", "NoSuchKey", "SignatureDoesNotMatch"}),
    ("version-id-unknown", "GET", "/{0}/k?versionId=no-such-version", {}, b"",
     {"NoSuchVersion", "InvalidArgument", "NotImplemented"}),
    ("version-id-delete", "DELETE", "/{0}/k?versionId=no-such-version", {}, b"",
     {"NoSuchVersion", "InvalidArgument", "NotImplemented"}),
    ("encoding-type", "GET", "/{0}?encoding-type=base64", {}, b"", {"InvalidArgument"}),
]  # fmt: skip


def buckets_of(s3: Any, prefix: str) -> set[str]:
    """Which of this bucket and the one the cases would create exist."""
    return {entry["Name"] for entry in s3.list_buckets()["Buckets"] if entry["Name"] in {prefix, f"{prefix}-new"}}


@pytest.fixture
def held(s3: Any, bucket: str) -> str:
    """A bucket that holds ``k``."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    return bucket


@pytest.mark.parametrize(
    ("method", "address", "headers", "body", "codes"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_bad_input(
    s3: Any,
    raw: RawClient,
    held: str,
    method: str,
    address: str,
    headers: dict[str, str],
    body: bytes,
    codes: Collection[str],
) -> None:
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    sent = {name: value.format(held, md5=md5) for name, value in headers.items()}
    before = buckets_of(s3, held)
    answer = raw(method, address.format(held), sent, body)
    if not (method == "DELETE" and answer.status == 204):
        assert answer.code in codes
    assert answer.status < 500 or answer.code == "NotImplemented"
    assert keys_of(s3, held) == ["k"]
    assert read(s3, held, "k") == b"v"
    assert buckets_of(s3, held) == before


@pytest.mark.parametrize("value", ["+1", "-1", "0x1", "1_0", " 1x", "9" * 30])
def test_content_length_malformed(s3: Any, raw: RawClient, held: str, value: str) -> None:
    request = raw.sign("PUT", f"/{held}/k", body=b"o").with_headers({"Content-Length": value})
    # cutting off a peer that does not speak HTTP is an answer too
    with contextlib.suppress(ConnectionError, http.client.RemoteDisconnected):
        assert raw.send(request).status in {400, 411, 413, 501}
    assert read(s3, held, "k") == b"v"


def test_content_length_beyond_the_largest_object(s3: Any, raw: RawClient, held: str) -> None:
    """S3: one PutObject holds at most 5 GiB; the refusal comes before the bytes."""
    request = raw.sign("PUT", f"/{held}/k", payload="UNSIGNED-PAYLOAD").with_headers(
        {"Content-Length": str(6 * 1024**3)}
    )
    assert raw.send(request).refusal() == (400, "EntityTooLarge")
    assert read(s3, held, "k") == b"v"


def test_header_section_too_large(raw: RawClient, held: str) -> None:
    request = raw.sign("GET", f"/{held}/k").with_headers({f"x-filler-{number}": "x" * 1000 for number in range(90)})
    # closed before all of it was read
    with contextlib.suppress(ConnectionError):
        assert raw.send(request).status in {400, 431}
    assert raw("GET", f"/{held}/k").body == b"v"


@pytest.mark.parametrize("key", ["k1", "../k2", "k\n3", "k'4", "kü5"])
def test_metadata_is_never_interpreted(s3: Any, raw: RawClient, held: str, key: str) -> None:
    value = "'; DROP TABLE storage.objects; -- ${jndi:ldap://x} {{7*7}} %s <b>"
    s3.put_object(Bucket=held, Key=key, Body=b"v", Metadata={"a": value})
    assert s3.head_object(Bucket=held, Key=key)["Metadata"] == {"a": value}
