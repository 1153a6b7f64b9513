"""Tags of objects and buckets."""

import base64
import hashlib
import time
from typing import Any

import pytest

from conformance.expect import read, refused
from conformance.rawhttp import RawClient

TAGS = [{"Key": "a", "Value": "1"}, {"Key": "ключ/и:пр", "Value": "знач=ение +.-_@"}]


def md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def tags_of(client: Any, bucket: str, key: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}


@pytest.fixture
def held(s3: Any, bucket: str) -> str:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", Metadata={"a": "1"})
    return bucket


def test_PutObjectTagging_replaces_the_set(s3: Any, held: str) -> None:
    assert tags_of(s3, held, "k") == {}
    s3.put_object_tagging(Bucket=held, Key="k", Tagging={"TagSet": TAGS})
    assert s3.get_object_tagging(Bucket=held, Key="k")["TagSet"] == TAGS
    s3.put_object_tagging(Bucket=held, Key="k", Tagging={"TagSet": [{"Key": "b", "Value": ""}]})
    assert tags_of(s3, held, "k") == {"b": ""}
    s3.delete_object_tagging(Bucket=held, Key="k")
    assert tags_of(s3, held, "k") == {}
    s3.delete_object_tagging(Bucket=held, Key="k")


def test_PutObjectTagging_leaves_the_rest_of_the_object_alone(s3: Any, held: str) -> None:
    before = s3.head_object(Bucket=held, Key="k")
    time.sleep(1.1)
    s3.put_object_tagging(Bucket=held, Key="k", Tagging={"TagSet": TAGS})
    after = s3.head_object(Bucket=held, Key="k")
    for name in ("LastModified", "ETag", "Metadata", "ContentLength"):
        assert after[name] == before[name]
    assert read(s3, held, "k") == b"v"


def test_tagging_count_is_told_only_of_tagged_objects(s3: Any, held: str) -> None:
    assert "TagCount" not in s3.get_object(Bucket=held, Key="k")
    s3.put_object_tagging(Bucket=held, Key="k", Tagging={"TagSet": TAGS})
    assert s3.get_object(Bucket=held, Key="k")["TagCount"] == 2
    assert s3.head_object(Bucket=held, Key="k")["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"] == "2"


@pytest.mark.parametrize(
    "tags",
    [
        [("k" * 129, "v")],
        [("k", "v" * 257)],
        [("k", "1"), ("k", "2")],
        [("aws:x", "v")],
        [("AWS:x", "v")],
        [("k\u2603", "v")],
        [("k", "v!")],
        [("k", "v\n")],
        [(str(number), "") for number in range(11)],
    ],
)
def test_PutObjectTagging_refuses_what_no_tag_may_be(s3: Any, held: str, tags: list[tuple[str, str]]) -> None:
    s3.put_object_tagging(Bucket=held, Key="k", Tagging={"TagSet": TAGS})
    with refused(400, "InvalidTag"):
        s3.put_object_tagging(
            Bucket=held, Key="k", Tagging={"TagSet": [{"Key": key, "Value": value} for key, value in tags]}
        )
    assert s3.get_object_tagging(Bucket=held, Key="k")["TagSet"] == TAGS


def test_PutObjectTagging_longest_tags(s3: Any, held: str) -> None:
    tags = {f"{number}".ljust(128, "k"): "v" * 256 for number in range(10)}
    s3.put_object_tagging(
        Bucket=held, Key="k", Tagging={"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}
    )
    assert tags_of(s3, held, "k") == tags


@pytest.mark.parametrize("method", ["get_object_tagging", "put_object_tagging", "delete_object_tagging"])
def test_tagging_of_missing_key(s3: Any, bucket: str, method: str) -> None:
    given: dict[str, Any] = {"Tagging": {"TagSet": TAGS}} if method.startswith("put") else {}
    with refused(404, "NoSuchKey"):
        getattr(s3, method)(Bucket=bucket, Key="nobody", **given)
    with refused(404, "NoSuchVersion"):
        getattr(s3, method)(Bucket=bucket, Key="nobody", VersionId="4f6f3c", **given)


def test_PutObject_with_tags(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", Tagging="a=1&b&c%20d=e%2Bf+g")
    assert tags_of(s3, bucket, "k") == {"a": "1", "b": "", "c d": "e+f g"}
    s3.put_object(Bucket=bucket, Key="k", Body=b"w")
    assert tags_of(s3, bucket, "k") == {}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("a=1&a=2", "InvalidArgument"),
        ("a=%ff", "InvalidArgument"),
        ("=v", "InvalidTag"),
        ("a=1;b", "InvalidTag"),
        ("aws:a=1", "InvalidTag"),
        ("&".join(f"{number}=" for number in range(11)), "InvalidTag"),
    ],
)
def test_PutObject_with_a_bad_tagging_header(s3: Any, bucket: str, header: str, code: str) -> None:
    for method in ("put_object", "create_multipart_upload"):
        with refused(400, code):
            getattr(s3, method)(Bucket=bucket, Key="k", Tagging=header)
    with refused(404, "NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="k")


def test_CopyObject_takes_tags_over(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", Tagging="a=1")
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="same", CopySource=source)
    assert tags_of(s3, bucket, "same") == {"a": "1"}
    s3.copy_object(Bucket=bucket, Key="same", CopySource=source, Tagging="b=2", TaggingDirective="COPY")
    assert tags_of(s3, bucket, "same") == {"a": "1"}
    s3.copy_object(Bucket=bucket, Key="new", CopySource=source, Tagging="b=2", TaggingDirective="REPLACE")
    assert tags_of(s3, bucket, "new") == {"b": "2"}
    s3.copy_object(Bucket=bucket, Key="none", CopySource=source, TaggingDirective="REPLACE")
    assert tags_of(s3, bucket, "none") == {}


def test_CopyObject_onto_itself(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", Tagging="a=1")
    onto: dict[str, Any] = {
        "Bucket": bucket, "Key": "k", "CopySource": {"Bucket": bucket, "Key": "k"}, "MetadataDirective": "REPLACE",
    }  # fmt: skip
    s3.copy_object(**onto, Metadata={"m": "1"})
    assert tags_of(s3, bucket, "k") == {"a": "1"}
    s3.copy_object(**onto, Metadata={"m": "2"}, Tagging="b=2", TaggingDirective="REPLACE")
    assert tags_of(s3, bucket, "k") == {"b": "2"}
    before = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    time.sleep(1.1)
    s3.copy_object(**onto, Metadata={"m": "2"}, TaggingDirective="REPLACE")
    assert tags_of(s3, bucket, "k") == {}
    assert s3.head_object(Bucket=bucket, Key="k")["LastModified"] > before


def test_multipart_upload_keeps_its_tags(s3: Any, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", Tagging="a=1&b=2")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"v")
    s3.complete_multipart_upload(
        Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    assert tags_of(s3, bucket, "k") == {"a": "1", "b": "2"}


def test_PutObjectTagging_malformed_document(raw: RawClient, s3: Any, held: str) -> None:
    for body in (b"<Tagging/>", b"<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>", b"<Tag"):
        answer = raw("PUT", f"/{held}/k?tagging", {"Content-MD5": md5(body)}, body)
        assert answer.refusal() == (400, "MalformedXML")
    assert read(s3, held, "k") == b"v"


def test_bucket_tags(s3: Any, bucket: str) -> None:
    with refused(404, "NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=bucket)
    tags = [{"Key": f"k{number}", "Value": "v"} for number in range(50)]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    with refused(400, "InvalidTag"):
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [*tags, {"Key": "k50", "Value": "v"}]})
    with refused(400, "InvalidTag"):
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "aws:a", "Value": "v"}]})
    assert len(s3.get_bucket_tagging(Bucket=bucket)["TagSet"]) == 50
    s3.delete_bucket_tagging(Bucket=bucket)
    with refused(404, "NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=bucket)
    s3.delete_bucket_tagging(Bucket=bucket)


@pytest.mark.parametrize("method", ["get_bucket_tagging", "put_bucket_tagging", "delete_bucket_tagging"])
def test_bucket_tags_of_missing_bucket(s3: Any, fresh_name: Any, method: str) -> None:
    given: dict[str, Any] = {"Tagging": {"TagSet": TAGS}} if method.startswith("put") else {}
    with refused(404, "NoSuchBucket"):
        getattr(s3, method)(Bucket=fresh_name(), **given)
