"""PutObject, GetObject, HeadObject, DeleteObject: bytes, ETag, metadata, headers."""

import contextlib
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conformance.expect import exists, keys_of, read, refused
from conformance.rawhttp import RawClient

CONTENT_HEADERS = {
    "CacheControl": "max-age=60, private",
    "ContentDisposition": 'attachment; filename="a b.txt"',
    "ContentEncoding": "gzip",
    "ContentLanguage": "de-CH",
    "ContentType": "text/plain; charset=utf-8",
}


def md5(data: bytes) -> str:
    """The ETag of an object written by one PutObject."""
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 65_537, 3 * 1024 * 1024 + 1])
def test_PutObject_round_trip(s3: Any, bucket: str, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    assert s3.put_object(Bucket=bucket, Key="k", Body=body)["ETag"] == md5(body)
    answer = s3.get_object(Bucket=bucket, Key="k")
    with contextlib.closing(answer["Body"]) as stream:
        assert stream.read() == body
    assert answer["ContentLength"] == size
    assert answer["ETag"] == md5(body)
    assert answer["AcceptRanges"] == "bytes"
    assert abs(answer["LastModified"] - datetime.now(UTC)) < timedelta(minutes=1)
    head = s3.head_object(Bucket=bucket, Key="k")
    for name in ("ContentLength", "ETag", "AcceptRanges", "LastModified", "ContentType"):
        assert head[name] == answer[name]


def test_PutObject_default_content_type(raw: RawClient, bucket: str) -> None:
    raw("PUT", f"/{bucket}/k", body=b"v")
    assert raw("GET", f"/{bucket}/k").headers["Content-Type"] == "binary/octet-stream"


def test_PutObject_content_headers_are_stored(s3: Any, bucket: str) -> None:
    expires = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", Expires=expires, **CONTENT_HEADERS)
    for answer in (s3.head_object(Bucket=bucket, Key="k"), s3.get_object(Bucket=bucket, Key="k")):
        assert {name: answer[name] for name in CONTENT_HEADERS} == CONTENT_HEADERS
        assert answer["ResponseMetadata"]["HTTPHeaders"]["expires"] == "Tue, 06 May 2031 07:08:09 GMT"
        if "Body" in answer:
            answer["Body"].close()


def test_PutObject_metadata_round_trip(s3: Any, bucket: str) -> None:
    metadata = {"author": "Ada", "with-dash": "a=b; c", "empty": "", "long": "x" * 500, "quoted": '"q" <&>'}
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", Metadata=metadata)
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == metadata


def test_PutObject_metadata_names_are_lower_case(raw: RawClient, bucket: str) -> None:
    raw("PUT", f"/{bucket}/k", {"X-Amz-Meta-MiXed": "Value"}, b"v")
    assert raw("HEAD", f"/{bucket}/k").headers["x-amz-meta-mixed"] == "Value"


def test_PutObject_metadata_largest(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", Metadata={"a": "x" * 2030})
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"a": "x" * 2030}


def test_PutObject_metadata_too_large(s3: Any, bucket: str) -> None:
    with refused(400, "MetadataTooLarge"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"v", Metadata={"a": "x" * 1024, "b": "y" * 1024})
    assert keys_of(s3, bucket) == []


def test_PutObject_overwrite_replaces_bytes_and_metadata(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"old", Metadata={"a": "1"}, ContentType="text/plain")
    before = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"newer", Metadata={"b": "2"})
    head = s3.head_object(Bucket=bucket, Key="k")
    assert read(s3, bucket, "k") == b"newer"
    assert head["Metadata"] == {"b": "2"}
    assert head["ContentType"] == "binary/octet-stream"
    assert head["LastModified"] >= before
    assert keys_of(s3, bucket) == ["k"]


def test_PutObject_invalid_storage_class(raw: RawClient, s3: Any, bucket: str) -> None:
    answer = raw("PUT", f"/{bucket}/k", {"x-amz-storage-class": "SHINY"}, b"v")
    assert answer.refusal() == (400, "InvalidStorageClass")
    assert not exists(s3, bucket, "k")


def test_PutObject_incomplete_body_changes_nothing(s3: Any, raw: RawClient, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    request = raw.sign("PUT", f"/{bucket}/k", body=b"short", payload="UNSIGNED-PAYLOAD")
    with contextlib.suppress(ConnectionError):
        assert raw.send(request, content_length=50).status == 400
    assert read(s3, bucket, "k") == b"old"


def test_PutObject_without_content_length(s3: Any, raw: RawClient, bucket: str) -> None:
    request = raw.sign("PUT", f"/{bucket}/k")
    answer = raw.send(request, content_length=None)
    assert answer.refusal() == (411, "MissingContentLength")
    assert not exists(s3, bucket, "k")


def test_PutObject_chunked_without_decoded_length(s3: Any, raw: RawClient, bucket: str) -> None:
    """ceph/s3-tests want it stored, AWS refuses it; nobody may do half of either."""
    request = raw.sign(
        "PUT", f"/{bucket}/k", {"Transfer-Encoding": "chunked"}, b"1\r\nv\r\n0\r\n\r\n", payload="UNSIGNED-PAYLOAD"
    )
    answer = raw.send(request)
    if answer.status == 200:
        assert read(s3, bucket, "k") == b"v"
    else:
        assert answer.refusal() in {(411, "MissingContentLength"), (501, "NotImplemented")}
        assert not exists(s3, bucket, "k")


def test_GetObject_missing(s3: Any, raw: RawClient, bucket: str) -> None:
    with refused(404, "NoSuchKey") as caught:
        s3.get_object(Bucket=bucket, Key="not/here")
    assert caught.value.response["Error"]["Key"] == "not/here"


def test_HeadObject_missing_has_no_body(raw: RawClient, bucket: str) -> None:
    answer = raw("HEAD", f"/{bucket}/k")
    assert (answer.status, answer.body) == (404, b"")


def test_GetObject_response_overrides(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", **CONTENT_HEADERS)
    answer = s3.get_object(
        Bucket=bucket,
        Key="k",
        ResponseCacheControl="no-store",
        ResponseContentDisposition="inline",
        ResponseContentEncoding="identity",
        ResponseContentLanguage="en",
        ResponseContentType="text/csv",
        ResponseExpires=datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    answer["Body"].close()
    found = [answer[name] for name in CONTENT_HEADERS]
    assert found == ["no-store", "inline", "identity", "en", "text/csv"]
    assert answer["ResponseMetadata"]["HTTPHeaders"]["expires"] == "Wed, 02 Jan 2030 03:04:05 GMT"


def test_GetObject_standard_storage_class_is_not_sent(raw: RawClient, bucket: str) -> None:
    raw("PUT", f"/{bucket}/k", {"x-amz-storage-class": "STANDARD"}, b"v")
    assert "x-amz-storage-class" not in raw("GET", f"/{bucket}/k").headers


STORAGE_CLASSES = ["STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "REDUCED_REDUNDANCY"]


@pytest.mark.parametrize("storage_class", STORAGE_CLASSES)
def test_PutObject_storage_class_is_echoed(s3: Any, bucket: str, storage_class: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", StorageClass=storage_class)
    s3.put_object(Bucket=bucket, Key="l", Body=b"v")
    assert s3.head_object(Bucket=bucket, Key="k")["StorageClass"] == storage_class
    assert s3.get_object(Bucket=bucket, Key="k")["StorageClass"] == storage_class
    wanted = [storage_class, "STANDARD"]
    for page in (
        s3.list_objects_v2(Bucket=bucket)["Contents"],
        s3.list_objects(Bucket=bucket)["Contents"],
        s3.list_objects_v2(Bucket=bucket, Delimiter="/")["Contents"],
        s3.list_object_versions(Bucket=bucket)["Versions"],
    ):
        assert [entry["StorageClass"] for entry in page] == wanted


def test_CreateMultipartUpload_storage_class_is_echoed(s3: Any, bucket: str) -> None:
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", StorageClass="STANDARD_IA")
    upload = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
    assert s3.list_multipart_uploads(Bucket=bucket)["Uploads"][0]["StorageClass"] == "STANDARD_IA"
    assert s3.list_parts(**upload)["StorageClass"] == "STANDARD_IA"
    part = {"PartNumber": 1, "ETag": s3.upload_part(**upload, PartNumber=1, Body=b"v")["ETag"]}
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})
    assert s3.head_object(Bucket=bucket, Key="k")["StorageClass"] == "STANDARD_IA"


def test_CopyObject_storage_class_is_the_requests(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", StorageClass="STANDARD_IA")
    s3.copy_object(Bucket=bucket, Key="plain", CopySource=f"{bucket}/k")
    s3.copy_object(Bucket=bucket, Key="cold", CopySource=f"{bucket}/k", StorageClass="GLACIER_IR")
    assert "StorageClass" not in s3.head_object(Bucket=bucket, Key="plain")
    assert s3.head_object(Bucket=bucket, Key="cold")["StorageClass"] == "GLACIER_IR"


@pytest.mark.parametrize("expires", ["Tue, 06 May 2031 07:08:09 GMT", "0", "never, if you ask me"])
def test_PutObject_expires_is_kept_verbatim(raw: RawClient, bucket: str, expires: str) -> None:
    raw("PUT", f"/{bucket}/k", {"Expires": expires}, b"v")
    for method in ("GET", "HEAD"):
        assert raw(method, f"/{bucket}/k").headers["Expires"] == expires


@pytest.mark.parametrize("location", ["/elsewhere", "https://example.com/a?b=c"])
def test_PutObject_website_redirect_location_is_kept(s3: Any, bucket: str, location: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", WebsiteRedirectLocation=location)
    for answer in (s3.head_object(Bucket=bucket, Key="k"), s3.get_object(Bucket=bucket, Key="k")):
        assert answer["WebsiteRedirectLocation"] == location
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    assert "WebsiteRedirectLocation" not in s3.head_object(Bucket=bucket, Key="copy")


def test_GetObject_response_overrides_need_a_signature(raw: RawClient, bucket: str) -> None:
    raw("PUT", f"/{bucket}/k", {}, b"v")
    target = f"/{bucket}/k?response-content-type=text%2Fhtml"
    assert raw("GET", target).headers["Content-Type"] == "text/html"
    assert raw("HEAD", target).headers["Content-Type"] == "text/html"
    assert raw.send(raw.presign("GET", target)).headers["Content-Type"] == "text/html"
    assert raw.anonymous("GET", target).refusal() == (400, "InvalidRequest")


def test_DeleteObject(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    assert s3.delete_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused(404, "NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="k")
    assert keys_of(s3, bucket) == []


def test_DeleteObject_missing_is_idempotent(s3: Any, bucket: str) -> None:
    for _ in range(2):
        assert s3.delete_object(Bucket=bucket, Key="never")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_DeleteObject_leaves_neighbours(s3: Any, bucket: str) -> None:
    for key in ("a", "a/", "a/b", "a/b/c", "ab"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    s3.delete_object(Bucket=bucket, Key="a/b")
    assert keys_of(s3, bucket) == ["a", "a/", "a/b/c", "ab"]
    assert read(s3, bucket, "a/b/c") == b"a/b/c"


def test_PutObject_folder_and_object_of_one_name(s3: Any, bucket: str) -> None:
    for key in ("a", "a/", "a/b"):
        s3.put_object(Bucket=bucket, Key=key, Body=f"body of {key}".encode())
    for key in ("a", "a/", "a/b"):
        assert read(s3, bucket, key) == f"body of {key}".encode()


@pytest.mark.parametrize("header", ["Content-Type", "Cache-Control", "Content-Disposition", "x-amz-meta-note"])
def test_PutObject_control_character_in_header(s3: Any, raw: RawClient, bucket: str, header: str) -> None:
    answer = raw("PUT", f"/{bucket}/k", {header: "a\x01b"}, b"v")
    if answer.status == 200:
        assert raw("GET", f"/{bucket}/k").headers[header] == "a\x01b"
    else:
        assert 400 <= answer.status < 500
        assert not exists(s3, bucket, "k")
