"""Keys are literal bytes: never normalised, never a path, never longer than 1,024 bytes."""

from typing import Any
from urllib.parse import quote

import pytest

from conformance.expect import keys_of, read, refused
from conformance.rawhttp import RawClient

ODD_KEYS = [
    "..",
    ".",
    "../../../../etc/passwd",
    "a/../b",
    "a/./b",
    "a//b",
    "a///",
    "a/",
    "/a",
    "//",
    "/",
    "a\nb",
    "a\rb",
    "a\r\nb",
    "a\tb",
    "\x01\x1f\x7f",
    " leading and trailing ",
    "\u00fc",
    "u\u0308",
    "日本語/ファイル.txt",
    "😀",
    "\uffee",
    "\u202egnp.exe",
    "%2F",
    "%00",
    "100%",
    "%zz",
    "a+b",
    "a b",
    "a?b=c&d",
    "a#b",
    "a;b",
    "a:b",
    "a\\b",
    "C:\\x",
    "con",
    "trailing.",
    "'; DROP TABLE objects; --",
    "<tag>&amp;\"'",
    "]]>",
    "a*b",
    "~tilde!$'()",
    "_%_",
    "null",
    "undefined",
    "storage/v1/object",
    ".rowlock",
    "x" * 255 + "/" + "y" * 300,
]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_PutObject_odd_key(s3: Any, bucket: str, key: str) -> None:
    body = b"body of " + key.encode()
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    assert keys_of(s3, bucket) == [key]
    assert read(s3, bucket, key) == body
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == len(body)
    s3.delete_object(Bucket=bucket, Key=key)
    assert keys_of(s3, bucket) == []


def test_PutObject_odd_keys_do_not_collide(s3: Any, bucket: str) -> None:
    for key in ODD_KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert keys_of(s3, bucket) == sorted(ODD_KEYS)
    for key in ODD_KEYS:
        assert read(s3, bucket, key) == key.encode()
    # Quiet, because boto3's XML parser cannot read an answer that names keys with control characters, AWS's included.
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in ODD_KEYS], "Quiet": True})
    assert keys_of(s3, bucket) == []


@pytest.mark.parametrize("path", ["a%2Fb", "a/b"])
def test_PutObject_encoded_slash_is_a_slash(s3: Any, raw: RawClient, bucket: str, path: str) -> None:
    assert raw("PUT", f"/{bucket}/{path}", body=b"v").status == 200
    assert keys_of(s3, bucket) == ["a/b"]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("%2e%2e/x", "../x"),
        ("..%2fx", "../x"),
        ("%252e%252e", "%2e%2e"),
        ("%25252F", "%252F"),
        ("a+b", "a+b"),
        ("a%2Bb", "a+b"),
        ("%e4%b8%ad", "中"),
        ("a;versionId=1", "a;versionId=1"),
    ],
)
def test_PutObject_path_is_decoded_once(s3: Any, raw: RawClient, bucket: str, path: str, key: str) -> None:
    assert raw("PUT", f"/{bucket}/{path}", body=b"v").status == 200
    assert keys_of(s3, bucket) == [key]


@pytest.mark.parametrize("key", ["k" * 1024, "ü" * 512, "/" * 1024, "😀" * 256])
def test_PutObject_longest_key(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=b"v")
    assert keys_of(s3, bucket) == [key]
    assert read(s3, bucket, key) == b"v"


@pytest.mark.parametrize("key", ["k" * 1025, "ü" * 512 + "x", "k" * 3000])
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_KeyTooLongError(s3: Any, raw: RawClient, bucket: str, method: str, key: str) -> None:
    answer = raw(method, f"/{bucket}/{quote(key)}", body=b"v" if method == "PUT" else b"")
    assert answer.refusal() == (400, "KeyTooLongError")
    assert keys_of(s3, bucket) == []


def test_KeyTooLongError_in_other_operations(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    with refused(400, "KeyTooLongError"):
        s3.create_multipart_upload(Bucket=bucket, Key="k" * 1025)
    with refused(400, "KeyTooLongError"):
        s3.copy_object(Bucket=bucket, Key="k" * 1025, CopySource={"Bucket": bucket, "Key": "k"})


@pytest.mark.parametrize("path", ["nul%00byte", "%00", "bad%FFutf8", "%C0%AE", "%ED%A0%80", "cut%E2%82"])
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_InvalidURI_for_bytes_that_are_no_text(s3: Any, raw: RawClient, bucket: str, method: str, path: str) -> None:
    answer = raw(method, f"/{bucket}/{path}", body=b"v" if method == "PUT" else b"")
    assert answer.status == 400
    assert answer.code in {"InvalidURI", "InvalidArgument", "InvalidRequest"}
    assert keys_of(s3, bucket) == []
