"""ListParts, ListMultipartUploads, and UploadPartCopy."""

from typing import Any

import pytest

from conformance.expect import exists, read, refused
from conformance.rawhttp import RawClient
from conformance.s3.test_multipart import BIG, MIN_PART_BYTES, Upload, etag_of


def test_ListParts_pages(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    numbers = [1, 2, 5, 9, 10_000]
    for number in reversed(numbers):
        upload.part(number, b"x" * number)
    found: list[tuple[int, str, int]] = []
    marker = 0
    for expected_count, truncated in [(2, True), (2, True), (1, False)]:
        page = s3.list_parts(**upload.names, MaxParts=2, PartNumberMarker=marker)
        assert (len(page["Parts"]), page["IsTruncated"], page["MaxParts"]) == (expected_count, truncated, 2)
        assert page["PartNumberMarker"] == marker
        found += [(part["PartNumber"], part["ETag"], part["Size"]) for part in page["Parts"]]
        marker = page["NextPartNumberMarker"]
    assert found == [(number, upload.etags[number], number) for number in numbers]


def test_ListParts_of_fresh_upload(s3: Any, bucket: str) -> None:
    page = s3.list_parts(**Upload(s3, bucket).names)
    assert "Parts" not in page
    assert not page["IsTruncated"]
    assert page["Initiator"]["ID"]
    assert page["Owner"]["ID"]
    assert page["StorageClass"] == "STANDARD"


@pytest.mark.parametrize("query", ["max-parts=-1", "max-parts=x", "part-number-marker=x", "part-number-marker=-1"])
def test_ListParts_bad_numbers(s3: Any, raw: RawClient, bucket: str, query: str) -> None:
    upload = Upload(s3, bucket)
    assert raw("GET", f"/{bucket}/k?uploadId={upload.id}&{query}").refusal() == (400, "InvalidArgument")


def uploads_of(page: Any) -> list[tuple[str, str]]:
    """Key and id of each upload of a page."""
    return [(upload["Key"], upload["UploadId"]) for upload in page.get("Uploads", [])]


def test_ListMultipartUploads_pages(s3: Any, bucket: str) -> None:
    created = [(key, Upload(s3, bucket, key).id) for key in ("a", "b/1", "b/2", "b/2", "c", "ü")]
    found: list[tuple[str, str]] = []
    markers: dict[str, str] = {}
    for _ in range(10):
        page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=2, **markers)
        assert len(uploads_of(page)) <= 2
        found += uploads_of(page)
        if not page["IsTruncated"]:
            break
        markers = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
    assert [key for key, _ in found] == ["a", "b/1", "b/2", "b/2", "c", "ü"]
    assert sorted(found) == sorted(created)
    whole = s3.list_multipart_uploads(Bucket=bucket)
    assert uploads_of(whole) == found
    first = whole["Uploads"][0]
    assert first["Initiated"]
    assert first["StorageClass"] == "STANDARD"
    assert first["Owner"]["ID"]
    assert first["Initiator"]["ID"]


def test_ListMultipartUploads_prefix_and_delimiter(s3: Any, bucket: str) -> None:
    for key in ("a", "b/1", "b/2", "b/c/3", "d/1"):
        Upload(s3, bucket, key)
    page = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [key for key, _ in uploads_of(page)] == ["a"]
    assert [entry["Prefix"] for entry in page["CommonPrefixes"]] == ["b/", "d/"]
    page = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/", Prefix="b/")
    assert [key for key, _ in uploads_of(page)] == ["b/1", "b/2"]
    assert [entry["Prefix"] for entry in page["CommonPrefixes"]] == ["b/c/"]
    assert page["Prefix"] == "b/"


def test_ListMultipartUploads_key_marker_alone_skips_that_key(s3: Any, bucket: str) -> None:
    for key in ("a", "b", "b", "c"):
        Upload(s3, bucket, key)
    assert [key for key, _ in uploads_of(s3.list_multipart_uploads(Bucket=bucket, KeyMarker="b"))] == ["c"]


@pytest.mark.parametrize("query", ["max-uploads=-1", "max-uploads=x", "encoding-type=rot13"])
def test_ListMultipartUploads_bad_arguments(raw: RawClient, bucket: str, query: str) -> None:
    assert raw("GET", f"/{bucket}?uploads&{query}").refusal() == (400, "InvalidArgument")


def test_UploadPartCopy_whole_and_range(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=BIG + b"tail")
    source = {"Bucket": bucket, "Key": "source"}
    upload = Upload(s3, bucket)
    whole = s3.upload_part_copy(**upload.names, PartNumber=1, CopySource=source)["CopyPartResult"]
    ranged = s3.upload_part_copy(
        **upload.names,
        PartNumber=2,
        CopySource=source,
        CopySourceRange=f"bytes={MIN_PART_BYTES - 2}-{MIN_PART_BYTES + 1}",
    )["CopyPartResult"]
    assert whole["LastModified"]
    upload.etags = {1: whole["ETag"], 2: ranged["ETag"]}
    last = BIG[-2:] + b"ta"
    assert [part["Size"] for part in s3.list_parts(**upload.names)["Parts"]] == [MIN_PART_BYTES + 4, 4]
    s3.delete_object(**source)
    assert upload.complete()["ETag"] == etag_of(BIG + b"tail", last)
    assert read(s3, bucket, "k") == BIG + b"tail" + last


@pytest.mark.parametrize(
    "value",
    [
        "bytes=0-4",
        "bytes=4-9",
        "bytes=5-5",
        "bytes=3-1",
        "bytes=0-",
        "bytes=-2",
        "0-1",
        "bytes=a-b",
        "bytes=0-1,2-3",
        "bytes=0",
    ],
)
def test_UploadPartCopy_range_invalid(s3: Any, raw: RawClient, bucket: str, value: str) -> None:
    """Unlike Range this header must be exact: first and last byte, inside the source (which has four bytes here)."""
    s3.put_object(Bucket=bucket, Key="source", Body=b"four")
    upload = Upload(s3, bucket)
    headers = {"x-amz-copy-source": f"{bucket}/source", "x-amz-copy-source-range": value}
    answer = raw("PUT", f"/{bucket}/k?partNumber=1&uploadId={upload.id}", headers)
    assert answer.refusal() in {(400, "InvalidArgument"), (416, "InvalidRange"), (400, "InvalidRange")}
    assert "Parts" not in s3.list_parts(**upload.names)


def test_UploadPartCopy_source_missing(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    with refused(404, "NoSuchKey"):
        s3.upload_part_copy(**upload.names, PartNumber=1, CopySource={"Bucket": bucket, "Key": "nobody"})


def test_UploadPartCopy_source_condition_fails(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"v")
    upload = Upload(s3, bucket)
    source = {"Bucket": bucket, "Key": "source"}
    with refused(412, "PreconditionFailed"):
        s3.upload_part_copy(**upload.names, PartNumber=1, CopySource=source, CopySourceIfMatch='"other"')
    assert "Parts" not in s3.list_parts(**upload.names)


def test_UploadPartCopy_unknown_upload(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"v")
    source = {"Bucket": bucket, "Key": "source"}
    with refused(404, "NoSuchUpload"):
        s3.upload_part_copy(Bucket=bucket, Key="k", UploadId="nobody", PartNumber=1, CopySource=source)
    assert not exists(s3, bucket, "k")
