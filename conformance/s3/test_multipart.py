"""Multipart uploads: their life, the rules of parts, what is visible when."""

import hashlib
from typing import Any

import pytest

from conformance.expect import exists, keys_of, read, refused
from conformance.rawhttp import RawClient

MIN_PART_BYTES = 5 * 1024 * 1024
BIG = bytes(range(256)) * (MIN_PART_BYTES // 256)
SMALL = b"the last part"


class Upload:
    """One upload under way."""

    def __init__(self, s3: Any, bucket: str, key: str = "k", **options: Any) -> None:
        self.s3 = s3
        self.id: str = s3.create_multipart_upload(Bucket=bucket, Key=key, **options)["UploadId"]
        self.names = {"Bucket": bucket, "Key": key, "UploadId": self.id}
        self.etags: dict[int, str] = {}

    def part(self, number: int, body: bytes) -> str:
        self.etags[number] = self.s3.upload_part(**self.names, PartNumber=number, Body=body)["ETag"]
        return self.etags[number]

    def complete(self, *numbers: int, **options: Any) -> Any:
        chosen = numbers or sorted(self.etags)
        parts = [{"PartNumber": number, "ETag": self.etags[number]} for number in chosen]
        return self.s3.complete_multipart_upload(**self.names, MultipartUpload={"Parts": parts}, **options)


def etag_of(*parts: bytes) -> str:
    """MD5 of the parts' MD5s, and how many there are."""
    digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
    return f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"'


def test_multipart_whole_life(s3: Any, raw: RawClient, bucket: str) -> None:
    upload = Upload(s3, bucket, Metadata={"a": "1"}, ContentType="video/mp4", CacheControl="no-cache")
    second = bytes(reversed(BIG))
    upload.part(3, SMALL)
    upload.part(1, BIG)
    upload.part(2, second)
    assert not exists(s3, bucket, "k")
    assert keys_of(s3, bucket) == []
    answer = upload.complete()
    assert answer["ETag"] == etag_of(BIG, second, SMALL)
    assert (answer["Bucket"], answer["Key"]) == (bucket, "k")
    assert answer["Location"].endswith(f"/{bucket}/k")

    whole = BIG + second + SMALL
    assert read(s3, bucket, "k") == whole
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ContentLength"], head["ETag"]) == (len(whole), answer["ETag"])
    assert (head["ContentType"], head["CacheControl"], head["Metadata"]) == ("video/mp4", "no-cache", {"a": "1"})
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["Size"] == len(whole)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)

    boundary = MIN_PART_BYTES
    for first, last in [
        (boundary - 1, boundary),
        (boundary, boundary),
        (boundary - 3, 2 * boundary + 2),
        (2 * boundary - 1, len(whole) - 1),
    ]:
        assert read(s3, bucket, "k", Range=f"bytes={first}-{last}") == whole[first : last + 1]
    assert read(s3, bucket, "k", Range="bytes=-20") == whole[-20:]

    for number, body in [(1, BIG), (2, second), (3, SMALL)]:
        part = raw("GET", f"/{bucket}/k?partNumber={number}")
        assert (part.status, part.headers["x-amz-mp-parts-count"]) == (206, "3")
        assert part.body == body
    head = s3.head_object(Bucket=bucket, Key="k", PartNumber=3)
    assert (head["ContentLength"], head["PartsCount"]) == (len(SMALL), 3)
    assert raw("GET", f"/{bucket}/k?partNumber=4").refusal() == (416, "InvalidPartNumber")


def test_CompleteMultipartUpload_numbers_may_have_gaps(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.part(10_000, SMALL)
    upload.part(3, BIG)
    assert upload.complete(3, 10_000)["ETag"] == etag_of(BIG, SMALL)
    assert read(s3, bucket, "k", Range=f"bytes={MIN_PART_BYTES - 5}-") == BIG[-5:] + SMALL


def test_CompleteMultipartUpload_single_small_part(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.part(1, b"x")
    assert upload.complete()["ETag"] == etag_of(b"x")
    assert read(s3, bucket, "k") == b"x"


def test_CompleteMultipartUpload_retry_is_idempotent(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.part(1, b"x")
    first = upload.complete()
    again = upload.complete()
    assert again["ETag"] == first["ETag"]
    assert read(s3, bucket, "k") == b"x"


def test_CompleteMultipartUpload_descending_order(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.part(1, BIG)
    upload.part(2, BIG)
    with refused(400, "InvalidPartOrder"):
        upload.complete(2, 1)
    assert not exists(s3, bucket, "k")
    upload.complete(1, 2)
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 2 * MIN_PART_BYTES


def test_CompleteMultipartUpload_part_named_twice(s3: Any, bucket: str) -> None:
    """A part sent again may be listed again: the last mention counts, and must be of what is stored."""
    upload = Upload(s3, bucket)
    first, second = ({"PartNumber": 1, "ETag": upload.part(1, body)} for body in (b"first", b"second"))
    with refused(400, {"InvalidPartOrder", "InvalidPart"}):
        s3.complete_multipart_upload(**upload.names, MultipartUpload={"Parts": [second, first]})
    assert not exists(s3, bucket, "k")
    s3.complete_multipart_upload(**upload.names, MultipartUpload={"Parts": [first, second]})
    assert read(s3, bucket, "k") == b"second"


def test_CompleteMultipartUpload_entity_too_small(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.part(1, BIG[:-1])
    upload.part(2, SMALL)
    with refused(400, "EntityTooSmall"):
        upload.complete()
    assert not exists(s3, bucket, "k")
    assert len(s3.list_parts(**upload.names)["Parts"]) == 2


def test_CompleteMultipartUpload_unknown_part(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.part(1, b"x")
    upload.etags[2] = upload.etags[1]
    with refused(400, "InvalidPart"):
        upload.complete(2)
    assert not exists(s3, bucket, "k")


def test_CompleteMultipartUpload_wrong_etag(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.part(1, b"x")
    upload.etags[1] = '"00000000000000000000000000000000"'
    with refused(400, "InvalidPart"):
        upload.complete()
    assert not exists(s3, bucket, "k")


def test_CompleteMultipartUpload_etag_without_quotes(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.etags[1] = upload.part(1, b"x").strip('"')
    assert upload.complete()["ETag"] == etag_of(b"x")


def test_CompleteMultipartUpload_no_parts(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.part(1, b"x")
    with refused(400, {"MalformedXML", "InvalidRequest"}):
        s3.complete_multipart_upload(**upload.names, MultipartUpload={"Parts": []})
    assert not exists(s3, bucket, "k")


def test_CompleteMultipartUpload_leaves_unnamed_parts_out(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.part(1, b"one")
    upload.part(2, b"two")
    upload.complete(2)
    assert read(s3, bucket, "k") == b"two"


def test_CompleteMultipartUpload_object_size_mismatch(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.part(1, b"four")
    with refused(400, "InvalidRequest"):
        upload.complete(MpuObjectSize=5)
    assert not exists(s3, bucket, "k")
    upload.complete(MpuObjectSize=4)
    assert read(s3, bucket, "k") == b"four"


def test_CompleteMultipartUpload_replaces_object_only_at_the_end(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"old", Metadata={"old": "1"})
    upload = Upload(s3, bucket)
    upload.part(1, b"new")
    assert read(s3, bucket, "k") == b"old"
    upload.complete()
    assert read(s3, bucket, "k") == b"new"
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {}


def test_UploadPart_again_replaces(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    first = upload.part(1, b"first")
    upload.part(1, b"second")
    assert [part["Size"] for part in s3.list_parts(**upload.names)["Parts"]] == [6]
    current, upload.etags[1] = upload.etags[1], first
    with refused(400, "InvalidPart"):
        upload.complete()
    upload.etags[1] = current
    upload.complete()
    assert read(s3, bucket, "k") == b"second"


def test_UploadPart_etag_is_md5(s3: Any, bucket: str) -> None:
    assert Upload(s3, bucket).part(1, b"x") == f'"{hashlib.md5(b"x", usedforsecurity=False).hexdigest()}"'


@pytest.mark.parametrize("number", ["0", "10001", "-1", "abc", "", "99999999999999999999"])
def test_UploadPart_number_out_of_range(s3: Any, raw: RawClient, bucket: str, number: str) -> None:
    upload = Upload(s3, bucket)
    answer = raw("PUT", f"/{bucket}/k?partNumber={number}&uploadId={upload.id}", body=b"x")
    assert answer.refusal() == (400, "InvalidArgument")
    assert "Parts" not in s3.list_parts(**upload.names)
    assert not exists(s3, bucket, "k")


@pytest.mark.parametrize("upload_id", ["nobody", "..%2F..%2Fetc", "%00", "x" * 2000, "0"])
def test_NoSuchUpload_for_unknown_id(s3: Any, raw: RawClient, bucket: str, upload_id: str) -> None:
    body = (
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%s</ETag></Part></CompleteMultipartUpload>"
        % (b"0" * 32)
    )
    expected = (404, "NoSuchUpload")
    answers = [
        raw("PUT", f"/{bucket}/k?partNumber=1&uploadId={upload_id}", body=b"x").refusal(),
        raw("GET", f"/{bucket}/k?uploadId={upload_id}").refusal(),
        raw("DELETE", f"/{bucket}/k?uploadId={upload_id}").refusal(),
        raw("POST", f"/{bucket}/k?uploadId={upload_id}", body=body).refusal(),
    ]
    if upload_id == "%00":
        assert all(status in {400, 404} for status, _ in answers)
    else:
        assert answers == [expected] * 4
    assert not exists(s3, bucket, "k")


def test_NoSuchUpload_for_other_key(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    with refused(404, "NoSuchUpload"):
        s3.upload_part(**(upload.names | {"Key": "other"}), PartNumber=1, Body=b"x")
    with refused(404, "NoSuchUpload"):
        s3.abort_multipart_upload(**(upload.names | {"Key": "other"}))
    upload.part(1, b"x")
    upload.complete()


def test_AbortMultipartUpload(s3: Any, bucket: str) -> None:
    upload = Upload(s3, bucket)
    upload.part(1, b"x")
    assert s3.abort_multipart_upload(**upload.names)["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused(404, "NoSuchUpload"):
        upload.part(2, b"x")
    with refused(404, "NoSuchUpload"):
        s3.list_parts(**upload.names)
    with refused(404, "NoSuchUpload"):
        upload.complete(1)
    assert not exists(s3, bucket, "k")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_AbortMultipartUpload_leaves_the_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    s3.abort_multipart_upload(**Upload(s3, bucket).names)
    assert read(s3, bucket, "k") == b"old"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<CompleteMultipartUpload>",
        b"<Other/>",
        b"<CompleteMultipartUpload><Part><PartNumber>x</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>",
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
        b"<CompleteMultipartUpload><Part><ETag>e</ETag></Part></CompleteMultipartUpload>",
        b"<!DOCTYPE a []><CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part>"
        b"</CompleteMultipartUpload>",
    ],
    ids=["empty", "cut", "other-root", "number-text", "no-etag", "no-number", "doctype"],
)
def test_CompleteMultipartUpload_malformed(s3: Any, raw: RawClient, bucket: str, body: bytes) -> None:
    upload = Upload(s3, bucket)
    upload.part(1, b"x")
    answer = raw("POST", f"/{bucket}/k?uploadId={upload.id}", body=body)
    assert answer.status == 400
    assert answer.code in {"MalformedXML", "InvalidRequest", "MissingRequestBodyError", "InvalidArgument"}
    assert not exists(s3, bucket, "k")
    upload.complete()


@pytest.mark.parametrize(
    ("numbers", "codes"),
    [
        ([0], {"InvalidArgument", "InvalidPart", "MalformedXML"}),
        ([10_001], {"InvalidArgument", "InvalidPart", "MalformedXML"}),
        (range(1, 10_002), {"InvalidPart", "MalformedXML", "InvalidArgument", "EntityTooSmall"}),
    ],
    ids=["part-0", "part-10001", "10001-parts"],
)
def test_CompleteMultipartUpload_numbers_out_of_range(
    s3: Any, bucket: str, numbers: list[int], codes: set[str]
) -> None:
    upload = Upload(s3, bucket)
    upload.etags = dict.fromkeys(numbers, upload.part(1, b"x"))
    with refused(400, codes):
        upload.complete(*numbers)
    assert not exists(s3, bucket, "k")
