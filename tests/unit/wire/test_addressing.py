"""Keys are literal, decoded once; buckets follow S3's naming rules; host style and path style never mix."""

import pytest

from gateway.context import BucketAddress, ObjectAddress, ServiceAddress
from gateway.errors import StorageError
from gateway.wire.addressing import CopySource, parse_copy_source, resolve, validate_bucket_name
from tests.unit.wire.requests import request


def address(target: bytes, host: bytes = b"localhost:9000", domain: str | None = None) -> object:
    return resolve(request("GET", target, (b"host", host)), domain)


def code_of(target: bytes) -> str:
    with pytest.raises(StorageError) as refusal:
        address(target)
    return refusal.value.code.name


@pytest.mark.parametrize(
    ("target", "key"),
    [
        (b"/bucket/a/../b", "a/../b"),
        (b"/bucket/%2e%2e%2fb", "../b"),
        (b"/bucket/%252e", "%2e"),
        (b"/bucket//a//", "/a//"),
        (b"/bucket/./a", "./a"),
        (b"/bucket/a%2Fb", "a/b"),
        (b"/bucket/a/", "a/"),
        (b"/bucket/a%0Ab", "a\nb"),
        (b"/bucket/a%0A", "a\n"),
        (b"/bucket/a+b%2B%20", "a+b+ "),
        (b"/bucket/%F0%9F%98%80", "😀"),
        (b"/bucket/C:%5Cx", "C:\\x"),
        (b"/bucket/caf%C3%A9", "café"),
        (b"/bucket/cafe%CC%81", "cafe\u0301"),
        (b"/bucket/" + b"k" * 1024, "k" * 1024),
    ],
)
def test_keys_are_literal(target: bytes, key: str) -> None:
    assert address(target) == ObjectAddress("bucket", key)


def test_path_style() -> None:
    assert address(b"/") == ServiceAddress()
    assert address(b"/bucket") == BucketAddress("bucket")
    assert address(b"/bucket/") == BucketAddress("bucket")


@pytest.mark.parametrize(
    ("host", "target", "expected"),
    [
        (b"s3.example.com:9000", b"/", ServiceAddress()),
        (b"s3.example.com", b"/bucket/k", ObjectAddress("bucket", "k")),
        (b"bucket.S3.example.com", b"/", BucketAddress("bucket")),
        (b"bucket.s3.example.com:80", b"/other/k", ObjectAddress("bucket", "other/k")),
        (b"my.dotted.bucket.s3.example.com", b"/k", ObjectAddress("my.dotted.bucket", "k")),
        (b"evils3.example.com", b"/bucket/k", ObjectAddress("bucket", "k")),
        (b"127.0.0.1", b"/bucket/k", ObjectAddress("bucket", "k")),
    ],
)
def test_host_style(host: bytes, target: bytes, expected: object) -> None:
    assert address(target, host, "s3.example.com") == expected


@pytest.mark.parametrize(
    "target",
    [b"/bucket/%ff", b"/bucket/%c0%ae", b"/bucket/%ed%a0%80", b"/bucket/a%00", b"/bucket/%", b"/bucket/%2", b"/%00"],
)
def test_undecodable(target: bytes) -> None:
    assert code_of(target) == "InvalidURI"


@pytest.mark.parametrize("key", [b"k" * 1025, b"%C3%A9" * 513, b"%F0%9F%98%80" * 257])
def test_key_too_long(key: bytes) -> None:
    assert code_of(b"/bucket/" + key) == "KeyTooLongError"


@pytest.mark.parametrize(
    "name",
    [
        "ab",
        "a" * 64,
        "Upper",
        "under_score",
        "a..b",
        "a.-b",
        "a-.b",
        ".abc",
        "abc.",
        "-abc",
        "abc-",
        "1.2.3.4",
        "a b",
        "a%2Fb",
        "..",
        "",
        "bücket",
        "abc\n",
    ],
)
def test_bucket_names_S3_refuses(name: str) -> None:
    with pytest.raises(StorageError, match="InvalidBucketName"):
        validate_bucket_name(name, creating=False)


@pytest.mark.parametrize("name", ["abc", "a" * 63, "a.b-c.d", "1a2", "999", "1.2.3.4.5"])
def test_bucket_names_S3_allows(name: str) -> None:
    validate_bucket_name(name, creating=True)


@pytest.mark.parametrize(
    "name", ["xn--abc", "sthree-abc", "amzn-s3-demo-abc", "abc-s3alias", "abc--ol-s3", "abc.mrap", "abc--x-s3"]
)
def test_reserved_bucket_names_only_matter_when_creating(name: str) -> None:
    validate_bucket_name(name, creating=False)
    with pytest.raises(StorageError, match="InvalidBucketName"):
        validate_bucket_name(name, creating=True)


def test_an_encoded_slash_does_not_split_bucket_and_key() -> None:
    assert code_of(b"/bucket%2Fkey") == "InvalidBucketName"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"bucket/key", CopySource("bucket", "key", None)),
        (b"/bucket/a%20b/c", CopySource("bucket", "a b/c", None)),
        (b"bucket%2Fa%2Fb", CopySource("bucket", "a/b", None)),
        (b"bucket/a?versionId=v1", CopySource("bucket", "a", "v1")),
        (b"bucket/a%3FversionId=v1", CopySource("bucket", "a?versionId=v1", None)),
        (b"bucket/a/../b", CopySource("bucket", "a/../b", None)),
        (b"bucket//a", CopySource("bucket", "/a", None)),
        (b"bucket/a+b", CopySource("bucket", "a+b", None)),
    ],
)
def test_copy_source(value: bytes, expected: CopySource) -> None:
    assert parse_copy_source(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"/",
        b"//",
        b"bucket",
        b"bucket/",
        b"//bucket/key",
        b"a/key",
        b"bucket/%ff",
        b"bucket/a%00",
        b"bucket/a?versionId=",
        b"%2e%2e/key",
        b"?versionId=a",
        b"bucket/" + b"k" * 1025,
    ],
)
def test_copy_source_refused(value: bytes) -> None:
    with pytest.raises(StorageError) as refusal:
        parse_copy_source(value)
    assert refusal.value.code.status == 400
