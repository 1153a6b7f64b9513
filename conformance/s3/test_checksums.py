"""Integrity: Content-MD5, x-amz-content-sha256, and the flexible checksums by header and by trailer."""

import base64
import hashlib
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from awscrt import checksums as crt

from conformance.expect import exists, keys_of, read, refused
from conformance.rawhttp import STREAMING_UNSIGNED_TRAILER, UNSIGNED_PAYLOAD, RawClient, RawRequest
from conformance.s3.test_multipart import BIG, Upload

BODY = b"The quick brown fox jumps over the lazy dog"
ALGORITHMS: dict[str, Callable[[bytes], bytes]] = {
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "CRC32C": lambda data: crt.crc32c(data).to_bytes(4, "big"),
    "CRC64NVME": lambda data: crt.crc64nvme(data).to_bytes(8, "big"),
    "SHA1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
    "SHA512": lambda data: hashlib.sha512(data).digest(),
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).digest(),
    "XXHASH64": lambda data: bytes(crt.XXHash.compute_xxhash64(data)),
    "XXHASH3": lambda data: bytes(crt.XXHash.compute_xxhash3_64(data)),
    "XXHASH128": lambda data: bytes(crt.XXHash.compute_xxhash3_128(data)),
}
COMBINABLE = ["CRC32", "CRC32C", "CRC64NVME"]
COMPOSITE = [name for name in ALGORITHMS if name != "CRC64NVME"]
every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS)
every_algorithm_of_the_sdk = pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "MD5"])


def checksum(algorithm: str, data: bytes) -> str:
    """The value of ``x-amz-checksum-<algorithm>``."""
    return base64.b64encode(ALGORITHMS[algorithm](data)).decode()


def given(algorithm: str, data: bytes) -> dict[str, str]:
    """What makes boto3 send the checksum: it computes all of them but MD5."""
    return {"ChecksumMD5": checksum("MD5", data)} if algorithm == "MD5" else {"ChecksumAlgorithm": algorithm}


def header(algorithm: str) -> str:
    """The name of a checksum's header."""
    return f"x-amz-checksum-{algorithm.lower()}"


@every_algorithm
def test_PutObject_checksum_by_header(s3: Any, raw: RawClient, bucket: str, algorithm: str) -> None:
    name, value = header(algorithm), checksum(algorithm, BODY)
    answer = raw("PUT", f"/{bucket}/k", {name: value}, BODY)
    assert answer.status == 200
    assert answer.headers[name] == value
    assert answer.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    for method in ("GET", "HEAD"):
        asked = raw(method, f"/{bucket}/k", {"x-amz-checksum-mode": "ENABLED"})
        assert (asked.headers[name], asked.headers["x-amz-checksum-type"]) == (value, "FULL_OBJECT")
        assert name not in raw(method, f"/{bucket}/k").headers
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["ChecksumAlgorithm"] == [algorithm]


@every_algorithm
def test_PutObject_checksum_wrong(s3: Any, raw: RawClient, bucket: str, algorithm: str) -> None:
    s3.put_object(Bucket=bucket, Key="old", Body=b"old")
    for key in ("k", "old"):
        answer = raw("PUT", f"/{bucket}/{key}", {header(algorithm): checksum(algorithm, b"other")}, BODY)
        assert answer.refusal() == (400, "BadDigest")
    assert keys_of(s3, bucket) == ["old"]
    assert read(s3, bucket, "old") == b"old"


@every_algorithm
@pytest.mark.parametrize("value", ["", "bad", "AAAA", "not base64!", "=" * 40, "A" * 46 + "=="])
def test_PutObject_checksum_malformed(s3: Any, raw: RawClient, bucket: str, algorithm: str, value: str) -> None:
    answer = raw("PUT", f"/{bucket}/k", {header(algorithm): value}, BODY)
    assert answer.status == 400
    assert answer.code in {"InvalidRequest", "BadDigest"}
    assert not exists(s3, bucket, "k")


def test_PutObject_two_checksums(s3: Any, raw: RawClient, bucket: str) -> None:
    both = {header(name): checksum(name, BODY) for name in ("CRC32", "SHA256")}
    assert raw("PUT", f"/{bucket}/k", both, BODY).refusal() == (400, "InvalidRequest")
    assert not exists(s3, bucket, "k")


def test_PutObject_checksum_other_than_announced_algorithm(s3: Any, raw: RawClient, bucket: str) -> None:
    headers = {"x-amz-sdk-checksum-algorithm": "SHA256", header("CRC32"): checksum("CRC32", BODY)}
    assert raw("PUT", f"/{bucket}/k", headers, BODY).refusal() == (400, "InvalidRequest")
    assert not exists(s3, bucket, "k")


def test_PutObject_checksum_algorithm_unknown(s3: Any, raw: RawClient, bucket: str) -> None:
    answer = raw("PUT", f"/{bucket}/k", {"x-amz-sdk-checksum-algorithm": "ROT13"}, BODY)
    assert answer.refusal() == (400, "InvalidRequest")
    assert not exists(s3, bucket, "k")


def test_PutObject_without_checksum_gets_crc64nvme(raw: RawClient, bucket: str) -> None:
    """AWS: "If no checksum is provided, S3 computes CRC64NVME and stores it with the object"."""
    raw("PUT", f"/{bucket}/k", body=BODY)
    answer = raw("HEAD", f"/{bucket}/k", {"x-amz-checksum-mode": "ENABLED"})
    assert answer.headers[header("CRC64NVME")] == checksum("CRC64NVME", BODY)


@every_algorithm_of_the_sdk
def test_PutObject_checksum_sdk_over_http_and_back(s3: Any, bucket: str, algorithm: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=BODY, ChecksumAlgorithm=algorithm)
    answer = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert answer["Body"].read() == BODY
    assert answer[f"Checksum{algorithm}"] == checksum(algorithm, BODY)


@every_algorithm_of_the_sdk
@pytest.mark.parametrize("size", [0, 43, 200_000])
def test_PutObject_checksum_sdk_trailer_over_https(s3_https: Any, bucket_https: str, algorithm: str, size: int) -> None:
    body = (BODY * (size // len(BODY) + 1))[:size]
    s3_https.put_object(Bucket=bucket_https, Key="k", Body=body, ChecksumAlgorithm=algorithm, ContentEncoding="gzip")
    answer = s3_https.get_object(Bucket=bucket_https, Key="k", ChecksumMode="ENABLED")
    assert answer["Body"].read() == body
    assert answer["ContentLength"] == size
    assert answer["ContentEncoding"] == "gzip"
    assert answer[f"Checksum{algorithm}"] == checksum(algorithm, body)


def trailer_request(raw: RawClient, target: str, announced: str, trailer: bytes, **headers: str) -> RawRequest:
    """An aws-chunked PUT whose checksum comes behind the body."""
    chunks = b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(BODY), BODY, trailer)
    names = {
        "Content-Encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(len(BODY)),
        "x-amz-trailer": announced,
        **headers,
    }
    return raw.sign("PUT", target, names, chunks, payload=STREAMING_UNSIGNED_TRAILER)


@every_algorithm
def test_PutObject_checksum_by_trailer(s3: Any, raw: RawClient, bucket: str, algorithm: str) -> None:
    name, value = header(algorithm), checksum(algorithm, BODY)
    answer = raw.send(trailer_request(raw, f"/{bucket}/k", name, f"{name}:{value}\r\n".encode()))
    assert answer.status == 200
    assert answer.headers[name] == value
    assert read(s3, bucket, "k") == BODY
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["ContentLength"] == len(BODY)
    assert "ContentEncoding" not in head


@every_algorithm
def test_PutObject_checksum_by_trailer_wrong(s3: Any, raw: RawClient, bucket: str, algorithm: str) -> None:
    name, value = header(algorithm), checksum(algorithm, b"other")
    answer = raw.send(trailer_request(raw, f"/{bucket}/k", name, f"{name}:{value}\r\n".encode()))
    assert answer.refusal() == (400, "BadDigest")
    assert not exists(s3, bucket, "k")


@pytest.mark.parametrize(
    ("announced", "trailer"),
    [
        ("x-amz-checksum-crc32", b""),
        ("x-amz-checksum-crc32", b"x-amz-checksum-sha256:%s\r\n" % checksum("SHA256", BODY).encode()),
        ("x-amz-checksum-crc32", b"x-amz-checksum-crc32:bad\r\n"),
        ("x-amz-checksum-crc32", b"no colon\r\n"),
        ("x-amz-checksum-rot13", b"x-amz-checksum-rot13:AAAA\r\n"),
        ("x-amz-checksum-crc32", b"x-amz-meta-filler:" + b"x" * 1_000_000 + b"\r\n"),
    ],
    ids=["missing", "other-than-announced", "malformed-value", "no-colon", "unknown-algorithm", "huge-line"],
)
def test_PutObject_trailer_malformed(s3: Any, raw: RawClient, bucket: str, announced: str, trailer: bytes) -> None:
    try:
        answer = raw.send(trailer_request(raw, f"/{bucket}/k", announced, trailer))
    except ConnectionError:
        assert len(trailer) > 100_000, "only a flood may be cut off without an answer"
    else:
        assert answer.status == 400
        assert answer.code in {"MalformedTrailerError", "InvalidRequest", "BadDigest", "IncompleteBody"}
    assert not exists(s3, bucket, "k")


def test_UploadPart_checksum_by_trailer(s3: Any, raw: RawClient, bucket: str) -> None:
    upload = Upload(s3, bucket)
    target = f"/{bucket}/k?partNumber=1&uploadId={upload.id}"
    name = header("CRC32C")
    bad = f"{name}:{checksum('CRC32C', b'other')}\r\n".encode()
    assert raw.send(trailer_request(raw, target, name, bad)).refusal() == (400, "BadDigest")
    assert "Parts" not in s3.list_parts(**upload.names)
    good = f"{name}:{checksum('CRC32C', BODY)}\r\n".encode()
    answer = raw.send(trailer_request(raw, target, name, good))
    assert answer.status == 200
    upload.etags[1] = answer.headers["ETag"]
    upload.complete()
    assert read(s3, bucket, "k") == BODY


@pytest.mark.parametrize("algorithm", COMPOSITE)
def test_CompleteMultipartUpload_composite_checksum(s3: Any, bucket: str, algorithm: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm)
    names = {"Bucket": bucket, "Key": "k", "UploadId": upload["UploadId"]}
    assert upload["ChecksumAlgorithm"] == algorithm
    parts = []
    for number, body in [(1, BIG), (2, BODY)]:
        part = s3.upload_part(**names, PartNumber=number, Body=body, **given(algorithm, body))
        assert part[f"Checksum{algorithm}"] == checksum(algorithm, body)
        parts.append({"PartNumber": number, "ETag": part["ETag"], f"Checksum{algorithm}": part[f"Checksum{algorithm}"]})
    listed = s3.list_parts(**names)["Parts"]
    assert [part[f"Checksum{algorithm}"] for part in listed] == [part[f"Checksum{algorithm}"] for part in parts]
    answer = s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
    digest = ALGORITHMS[algorithm](ALGORITHMS[algorithm](BIG) + ALGORITHMS[algorithm](BODY))
    expected = base64.b64encode(digest).decode() + "-2"
    assert (answer[f"Checksum{algorithm}"], answer["ChecksumType"]) == (expected, "COMPOSITE")
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head[f"Checksum{algorithm}"], head["ChecksumType"]) == (expected, "COMPOSITE")
    attributes = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ObjectParts"])
    assert attributes["Checksum"] == {f"Checksum{algorithm}": expected, "ChecksumType": "COMPOSITE"}
    shown = [part[f"Checksum{algorithm}"] for part in attributes["ObjectParts"]["Parts"]]
    assert shown == [part[f"Checksum{algorithm}"] for part in parts]
    second = s3.get_object(Bucket=bucket, Key="k", PartNumber=2, ChecksumMode="ENABLED")
    assert (second["Body"].read(), second[f"Checksum{algorithm}"]) == (BODY, checksum(algorithm, BODY))


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name not in COMBINABLE])
def test_CreateMultipartUpload_full_object_is_for_crcs(s3: Any, bucket: str, algorithm: str) -> None:
    with refused(400, "InvalidRequest"):
        s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT")


@every_algorithm
def test_GetObjectAttributes_checksum(s3: Any, bucket: str, algorithm: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=BODY, **given(algorithm, BODY))
    answer = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum"])
    assert answer["Checksum"] == {f"Checksum{algorithm}": checksum(algorithm, BODY), "ChecksumType": "FULL_OBJECT"}


@pytest.mark.parametrize("algorithm", COMBINABLE)
def test_CompleteMultipartUpload_full_object_checksum(s3: Any, bucket: str, algorithm: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT")
    names = {"Bucket": bucket, "Key": "k", "UploadId": upload["UploadId"]}
    entries = []
    for number, body in [(1, BIG), (2, BODY)]:
        part = s3.upload_part(**names, PartNumber=number, Body=body, ChecksumAlgorithm=algorithm)
        entries.append({"PartNumber": number} | {name: part[name] for name in ("ETag", f"Checksum{algorithm}")})
    parts = {"Parts": entries}
    value = {f"Checksum{algorithm}": checksum(algorithm, BIG + BODY), "ChecksumType": "FULL_OBJECT"}
    wrong = value | {f"Checksum{algorithm}": checksum(algorithm, b"other")}
    with pytest.raises(s3.exceptions.ClientError) as caught:
        s3.complete_multipart_upload(**names, MultipartUpload=parts, **wrong)
    assert caught.value.response["Error"]["Code"] in {"BadDigest", "InvalidRequest"}
    assert not exists(s3, bucket, "k")
    answer = s3.complete_multipart_upload(**names, MultipartUpload=parts, **value)
    assert {name: answer[name] for name in value} == value


@every_algorithm
def test_CopyObject_keeps_the_checksum(s3: Any, bucket: str, algorithm: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=BODY, **given(algorithm, BODY))
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k"})
    head = s3.head_object(Bucket=bucket, Key="copy", ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"] == checksum(algorithm, BODY)


@every_algorithm
def test_CopyObject_gives_the_checksum_asked_for(s3: Any, bucket: str, algorithm: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    source = {"Bucket": bucket, "Key": "k"}
    answer = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, ChecksumAlgorithm=algorithm)
    assert answer["CopyObjectResult"][f"Checksum{algorithm}"] == checksum(algorithm, BODY)
    head = s3.head_object(Bucket=bucket, Key="copy", ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"] == checksum(algorithm, BODY)


def test_PutObject_content_md5(s3: Any, raw: RawClient, bucket: str) -> None:
    value = base64.b64encode(hashlib.md5(BODY, usedforsecurity=False).digest()).decode()
    assert raw("PUT", f"/{bucket}/k", {"Content-MD5": value}, BODY).status == 200
    assert read(s3, bucket, "k") == BODY


@pytest.mark.parametrize("address", ["/{bucket}/k", "/{bucket}/k?partNumber=1&uploadId={upload_id}"])
def test_content_md5_wrong(s3: Any, raw: RawClient, bucket: str, address: str) -> None:
    upload = Upload(s3, bucket)
    value = base64.b64encode(hashlib.md5(b"other", usedforsecurity=False).digest()).decode()
    answer = raw("PUT", address.format(bucket=bucket, upload_id=upload.id), {"Content-MD5": value}, BODY)
    assert answer.refusal() == (400, "BadDigest")
    assert not exists(s3, bucket, "k")
    assert "Parts" not in s3.list_parts(**upload.names)


@pytest.mark.parametrize("value", ["", "x", "YmFk", "not base64 at all", "=" * 24])
def test_PutObject_content_md5_malformed(s3: Any, raw: RawClient, bucket: str, value: str) -> None:
    answer = raw("PUT", f"/{bucket}/k", {"Content-MD5": value}, BODY)
    assert answer.refusal() == (400, "InvalidDigest")
    assert not exists(s3, bucket, "k")


@pytest.mark.parametrize("address", ["/{bucket}/k", "/{bucket}/k?partNumber=1&uploadId={upload_id}"])
def test_body_other_than_signed(s3: Any, raw: RawClient, bucket: str, address: str) -> None:
    upload = Upload(s3, bucket)
    path = address.format(bucket=bucket, upload_id=upload.id)
    answer = raw("PUT", path, body=b"altered", payload=hashlib.sha256(b"signed").hexdigest())
    assert answer.refusal() == (400, "XAmzContentSHA256Mismatch")
    assert not exists(s3, bucket, "k")
    assert "Parts" not in s3.list_parts(**upload.names)


def test_DeleteObjects_body_other_than_signed(s3: Any, raw: RawClient, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    body = b"<Delete><Object><Key>k</Key></Object></Delete>"
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    answer = raw("POST", f"/{bucket}?delete", {"Content-MD5": md5}, body, payload=hashlib.sha256(b"x").hexdigest())
    assert answer.refusal() == (400, "XAmzContentSHA256Mismatch")
    assert keys_of(s3, bucket) == ["k"]


def test_PutObject_unsigned_payload(s3: Any, raw: RawClient, bucket: str) -> None:
    assert raw("PUT", f"/{bucket}/k", body=BODY, payload=UNSIGNED_PAYLOAD).status == 200
    assert read(s3, bucket, "k") == BODY
