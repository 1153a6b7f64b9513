"""DeleteObjects: the XML list, its limits, its integrity header."""

import base64
import hashlib
import zlib
from typing import Any

import pytest

from conformance.expect import keys_of, refused
from conformance.rawhttp import RawClient, RawResponse

DELETE_K = b'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>k</Key></Object></Delete>'


def content_md5(body: bytes) -> dict[str, str]:
    """The integrity header older clients send."""
    return {"Content-MD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()}


def post(raw: RawClient, bucket: str, body: bytes, headers: dict[str, str] | None = None) -> RawResponse:
    """POST a delete list, with Content-MD5 unless other headers are given."""
    return raw("POST", f"/{bucket}?delete", content_md5(body) if headers is None else headers, body)


@pytest.fixture
def held(s3: Any, bucket: str) -> str:
    """A bucket that holds ``k``."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    return bucket


def test_DeleteObjects(s3: Any, bucket: str) -> None:
    for number in range(5):
        s3.put_object(Bucket=bucket, Key=f"k{number}", Body=b"v")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": f"k{number}"} for number in range(4)]})
    assert sorted(entry["Key"] for entry in answer["Deleted"]) == ["k0", "k1", "k2", "k3"]
    assert "Errors" not in answer
    assert keys_of(s3, bucket) == ["k4"]


def test_DeleteObjects_thousand_keys_most_missing(s3: Any, bucket: str) -> None:
    for number in range(0, 1000, 100):
        s3.put_object(Bucket=bucket, Key=f"k{number:04}", Body=b"v")
    s3.put_object(Bucket=bucket, Key="kept", Body=b"v")
    keys = [f"k{number:04}" for number in range(1000)]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert sorted(entry["Key"] for entry in answer["Deleted"]) == keys
    assert keys_of(s3, bucket) == ["kept"]


def test_DeleteObjects_quiet(s3: Any, held: str) -> None:
    answer = s3.delete_objects(Bucket=held, Delete={"Quiet": True, "Objects": [{"Key": "k"}, {"Key": "missing"}]})
    assert "Deleted" not in answer
    assert "Errors" not in answer
    assert keys_of(s3, held) == []


def test_DeleteObjects_over_thousand(s3: Any, held: str) -> None:
    entries = [{"Key": "k"}, *({"Key": f"k{number}"} for number in range(1000))]
    with refused(400, "MalformedXML"):
        s3.delete_objects(Bucket=held, Delete={"Objects": entries})
    assert keys_of(s3, held) == ["k"]


def test_DeleteObjects_duplicate_keys(s3: Any, held: str) -> None:
    answer = s3.delete_objects(Bucket=held, Delete={"Objects": [{"Key": "k"}, {"Key": "k"}]})
    assert {entry["Key"] for entry in answer["Deleted"]} == {"k"}
    assert keys_of(s3, held) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        b"<Delete><Object><Key>k</Key></Object>",
        b"<Delete></Delete>",
        b"<Delete><Object></Object></Delete>",
        b"<Other><Object><Key>k</Key></Object></Other>",
        b"<Delete><Quiet>perhaps</Quiet><Object><Key>k</Key></Object></Delete>",
        b'<!DOCTYPE Delete [<!ENTITY e "k">]><Delete><Object><Key>&e;</Key></Object></Delete>',
        b'<!DOCTYPE Delete SYSTEM "file:///etc/passwd"><Delete><Object><Key>k</Key></Object></Delete>',
        b"<Delete>" + b"<a>" * 10_000 + b"</a>" * 10_000 + b"</Delete>",
        '<?xml version="1.0" encoding="UTF-8"?><Delete><Object><Key>k</Key></Object></Delete>'.encode("utf-16"),
        b"<Delete><Object><Key>\xff\xfe</Key></Object></Delete>",
    ],
    ids=[
        "empty", "text", "cut", "no-object", "no-key", "other-root", "bad-quiet",
        "entity", "doctype", "deep", "utf-16-lie", "bad-utf-8",
    ],
)  # fmt: skip
def test_DeleteObjects_malformed(s3: Any, raw: RawClient, held: str, body: bytes) -> None:
    answer = post(raw, held, body)
    assert answer.status == 400
    assert answer.code in {"MalformedXML", "MissingRequestBodyError"}
    assert keys_of(s3, held) == ["k"]


def test_DeleteObjects_key_too_long(s3: Any, held: str) -> None:
    """Whether the key alone or the whole list is refused, nothing is deleted under another name."""
    try:
        answer = s3.delete_objects(Bucket=held, Delete={"Objects": [{"Key": "k" * 1025}]})
    except s3.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] in {"KeyTooLongError", "MalformedXML"}  # noqa: PT017
    else:
        assert [entry["Code"] for entry in answer.get("Errors", [])] == ["KeyTooLongError"]
    assert keys_of(s3, held) == ["k"]


def test_DeleteObjects_without_integrity_header(s3: Any, raw: RawClient, held: str) -> None:
    assert post(raw, held, DELETE_K, {}).refusal() == (400, "InvalidRequest")
    assert keys_of(s3, held) == ["k"]


def test_DeleteObjects_wrong_md5(s3: Any, raw: RawClient, held: str) -> None:
    assert post(raw, held, DELETE_K, content_md5(b"other")).refusal() == (400, "BadDigest")
    assert keys_of(s3, held) == ["k"]


def test_DeleteObjects_malformed_md5(s3: Any, raw: RawClient, held: str) -> None:
    assert post(raw, held, DELETE_K, {"Content-MD5": "not-base64"}).refusal() == (400, "InvalidDigest")
    assert keys_of(s3, held) == ["k"]


def test_DeleteObjects_checksum_instead_of_md5(s3: Any, raw: RawClient, held: str) -> None:
    checksum = base64.b64encode(zlib.crc32(DELETE_K).to_bytes(4, "big")).decode()
    assert post(raw, held, DELETE_K, {"x-amz-checksum-crc32": checksum}).status == 200
    assert keys_of(s3, held) == []


def test_DeleteObjects_wrong_checksum(s3: Any, raw: RawClient, held: str) -> None:
    assert post(raw, held, DELETE_K, {"x-amz-checksum-crc32": "AAAAAA=="}).refusal() == (400, "BadDigest")
    assert keys_of(s3, held) == ["k"]


@pytest.mark.parametrize("form", [DELETE_K, DELETE_K.replace(b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', b"")])
def test_DeleteObjects_with_and_without_namespace(s3: Any, raw: RawClient, held: str, form: bytes) -> None:
    answer = post(raw, held, form)
    assert answer.status == 200
    assert answer.xml.tag == "DeleteResult"
    assert answer.xml.findtext("Deleted/Key") == "k"
    assert keys_of(s3, held) == []


def test_DeleteObjects_cdata_and_references_in_key(s3: Any, raw: RawClient, bucket: str) -> None:
    for key in ("a<b", "a\nb", "é"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"v")
    body = (
        b"<Delete><Object><Key><![CDATA[a<b]]></Key></Object><Object><Key>a&#10;b</Key></Object>"
        b"<Object><Key>&#xe9;</Key></Object></Delete>"
    )
    assert post(raw, bucket, body).status == 200
    assert keys_of(s3, bucket) == []


def test_DeleteObjects_path_like_keys_are_literal(s3: Any, held: str) -> None:
    s3.delete_objects(Bucket=held, Delete={"Objects": [{"Key": "../k"}, {"Key": "./k"}, {"Key": "/k"}, {"Key": "%6B"}]})
    assert keys_of(s3, held) == ["k"]
