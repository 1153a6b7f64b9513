"""CopyObject: sources, directives, conditions, independence of the copy."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from conformance.expect import exists, keys_of, read, refused
from conformance.rawhttp import RawClient
from conformance.s3.test_objects import md5

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


@pytest.fixture
def source(s3: Any, bucket: str) -> dict[str, str]:
    """An object with headers and metadata."""
    s3.put_object(
        Bucket=bucket,
        Key="source",
        Body=b"source body",
        Metadata={"a": "1"},
        ContentType="text/plain",
        CacheControl="no-cache",
    )
    return {"Bucket": bucket, "Key": "source"}


def test_CopyObject(s3: Any, bucket: str, source: dict[str, str]) -> None:
    result = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)["CopyObjectResult"]
    head = s3.head_object(Bucket=bucket, Key="copy")
    assert read(s3, bucket, "copy") == b"source body"
    assert result["ETag"] == head["ETag"] == md5(b"source body")
    assert result["LastModified"].replace(microsecond=0) == head["LastModified"]
    assert (head["ContentType"], head["CacheControl"], head["Metadata"]) == ("text/plain", "no-cache", {"a": "1"})


def test_CopyObject_to_other_bucket(s3: Any, other_bucket: str, source: dict[str, str]) -> None:
    s3.copy_object(Bucket=other_bucket, Key="deep/copy", CopySource=source)
    assert read(s3, other_bucket, "deep/copy") == b"source body"


def test_CopyObject_empty_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "empty"})
    assert read(s3, bucket, "copy") == b""


def test_CopyObject_large_object(s3: Any, bucket: str) -> None:
    body = bytes(range(256)) * 8192
    s3.put_object(Bucket=bucket, Key="large", Body=body)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "large"})
    s3.delete_object(Bucket=bucket, Key="large")
    assert read(s3, bucket, "copy") == body


def test_CopyObject_is_independent_of_its_source(s3: Any, bucket: str, source: dict[str, str]) -> None:
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    s3.put_object(**source, Body=b"changed")
    assert read(s3, bucket, "copy") == b"source body"
    s3.delete_object(**source)
    assert read(s3, bucket, "copy") == b"source body"


def test_CopyObject_overwrites(s3: Any, bucket: str, source: dict[str, str]) -> None:
    s3.put_object(Bucket=bucket, Key="copy", Body=b"old", Metadata={"old": "1"})
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    assert read(s3, bucket, "copy") == b"source body"
    assert s3.head_object(Bucket=bucket, Key="copy")["Metadata"] == {"a": "1"}


def test_CopyObject_directive_copy_ignores_given_metadata(s3: Any, bucket: str, source: dict[str, str]) -> None:
    s3.copy_object(
        Bucket=bucket, Key="copy", CopySource=source, MetadataDirective="COPY", Metadata={"b": "2"}, ContentType="a/b"
    )
    head = s3.head_object(Bucket=bucket, Key="copy")
    assert (head["Metadata"], head["ContentType"]) == ({"a": "1"}, "text/plain")


def test_CopyObject_directive_replace(s3: Any, bucket: str, source: dict[str, str]) -> None:
    s3.copy_object(
        Bucket=bucket,
        Key="copy",
        CopySource=source,
        MetadataDirective="REPLACE",
        Metadata={"b": "2"},
        ContentType="a/b",
    )
    head = s3.head_object(Bucket=bucket, Key="copy")
    assert (head["Metadata"], head["ContentType"]) == ({"b": "2"}, "a/b")
    assert "CacheControl" not in head


def test_CopyObject_directive_unknown(s3: Any, bucket: str, source: dict[str, str]) -> None:
    with refused(400, "InvalidArgument"):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, MetadataDirective="MERGE")
    assert not exists(s3, bucket, "copy")


def test_CopyObject_onto_itself_without_change(s3: Any, source: dict[str, str]) -> None:
    with refused(400, "InvalidRequest"):
        s3.copy_object(**source, CopySource=source)
    assert read(s3, bucket=source["Bucket"], key=source["Key"]) == b"source body"


def test_CopyObject_onto_itself_replacing_metadata(s3: Any, bucket: str, source: dict[str, str]) -> None:
    s3.copy_object(**source, CopySource=source, MetadataDirective="REPLACE", Metadata={"mtime": "1.5"})
    head = s3.head_object(**source)
    assert (head["Metadata"], head["ETag"]) == ({"mtime": "1.5"}, md5(b"source body"))
    assert read(s3, bucket, "source") == b"source body"


def test_CopyObject_source_key_missing(s3: Any, bucket: str) -> None:
    with refused(404, "NoSuchKey"):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "nobody"})
    assert not exists(s3, bucket, "copy")


@pytest.mark.parametrize("key", ["ü/😀", "a b+c", "a%2Fb", "a?b=c", "../x", "/lead", "trail/", "a//b", "a\nb"])
def test_CopyObject_odd_keys(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    s3.copy_object(Bucket=bucket, Key=f"copy of {key}", CopySource={"Bucket": bucket, "Key": key})
    assert read(s3, bucket, f"copy of {key}") == key.encode()
    assert sorted(keys_of(s3, bucket)) == sorted([key, f"copy of {key}"])


@pytest.mark.parametrize("lead", ["", "/"])
def test_CopyObject_source_forms(raw: RawClient, s3: Any, bucket: str, source: dict[str, str], lead: str) -> None:
    answer = raw("PUT", f"/{bucket}/copy", {"x-amz-copy-source": f"{lead}{bucket}/source"})
    assert answer.status == 200
    assert answer.xml.tag == "CopyObjectResult"
    assert read(s3, bucket, "copy") == b"source body"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "/",
        "nothing-but-a-bucket",
        "/nothing-but-a-bucket",
        "{bucket}/",
        "{bucket}",
        "//source",
        "{bucket}/%FF",
        "{bucket}/%00",
    ],
)
def test_CopyObject_source_malformed(s3: Any, raw: RawClient, bucket: str, source: dict[str, str], value: str) -> None:
    answer = raw("PUT", f"/{bucket}/copy", {"x-amz-copy-source": value.format(bucket=bucket)})
    assert answer.status == 400
    assert answer.code in {"InvalidArgument", "InvalidRequest", "InvalidURI", "InvalidBucketName"}
    assert keys_of(s3, bucket) == ["source"]


@pytest.mark.parametrize("form", ["{0}/../{1}/source", "{0}/%2e%2e/{1}/source", "{0}/./source"])
def test_CopyObject_source_is_never_normalised(
    s3: Any, raw: RawClient, bucket: str, other_bucket: str, source: dict[str, str], form: str
) -> None:
    answer = raw("PUT", f"/{other_bucket}/copy", {"x-amz-copy-source": form.format(other_bucket, bucket)})
    assert answer.status in {400, 403, 404}
    assert keys_of(s3, other_bucket) == []


def test_CopyObject_source_conditions_hold(s3: Any, bucket: str, source: dict[str, str]) -> None:
    etag = s3.head_object(**source)["ETag"]
    s3.copy_object(Bucket=bucket, Key="c1", CopySource=source, CopySourceIfMatch=etag)
    s3.copy_object(Bucket=bucket, Key="c2", CopySource=source, CopySourceIfNoneMatch='"other"')
    s3.copy_object(Bucket=bucket, Key="c3", CopySource=source, CopySourceIfModifiedSince=LONG_AGO)
    s3.copy_object(Bucket=bucket, Key="c4", CopySource=source, CopySourceIfUnmodifiedSince=datetime.now(UTC))
    s3.copy_object(
        Bucket=bucket, Key="c5", CopySource=source, CopySourceIfMatch=etag, CopySourceIfUnmodifiedSince=LONG_AGO
    )
    assert keys_of(s3, bucket) == ["c1", "c2", "c3", "c4", "c5", "source"]


def test_CopyObject_source_conditions_fail(s3: Any, bucket: str, source: dict[str, str]) -> None:
    head = s3.head_object(**source)
    refusals: list[dict[str, Any]] = [
        {"CopySourceIfMatch": '"other"'},
        {"CopySourceIfNoneMatch": head["ETag"]},
        {"CopySourceIfModifiedSince": head["LastModified"]},
        {"CopySourceIfUnmodifiedSince": LONG_AGO},
        {"CopySourceIfNoneMatch": head["ETag"], "CopySourceIfModifiedSince": LONG_AGO},
    ]
    for condition in refusals:
        with refused(412, "PreconditionFailed"):
            s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, **condition)
    assert keys_of(s3, bucket) == ["source"]


def test_CopyObject_of_multipart_object(s3: Any, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="source", Metadata={"a": "1"})["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="source", UploadId=upload, PartNumber=7, Body=b"only part")
    parts = {"Parts": [{"PartNumber": 7, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="source", UploadId=upload, MultipartUpload=parts)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "source"})
    s3.delete_object(Bucket=bucket, Key="source")
    assert read(s3, bucket, "copy") == b"only part"
    assert s3.head_object(Bucket=bucket, Key="copy")["Metadata"] == {"a": "1"}


def test_CopyObject_key_quoting(s3: Any, raw: RawClient, bucket: str) -> None:
    """Every byte of the source may be percent-encoded."""
    s3.put_object(Bucket=bucket, Key="plain", Body=b"v")
    encoded = "".join(f"%{byte:02X}" for byte in b"plain")
    assert raw("PUT", f"/{bucket}/copy", {"x-amz-copy-source": f"{quote(bucket)}/{encoded}"}).status == 200
    assert read(s3, bucket, "copy") == b"v"
