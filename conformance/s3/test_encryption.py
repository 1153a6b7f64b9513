"""Server-side encryption: SSE-S3, SSE-KMS, SSE-C and the defaults of buckets, as clients see them."""

import base64
import hashlib
import os
from collections.abc import Iterator
from typing import Any

import pytest

from conformance.expect import read, refused
from conformance.rawhttp import RawClient
from conformance.s3.test_objects import md5

KIB = 1024
MEBIBYTE = KIB * KIB
SIZES = (0, 1, 5000, 64 * KIB, 64 * KIB + 1, 700_000)


def customer(seed: int, prefix: str = "") -> dict[str, Any]:
    """boto3's arguments for a customer's key."""
    return {f"{prefix}SSECustomerAlgorithm": "AES256", f"{prefix}SSECustomerKey": bytes([seed]) * 32}


def customer_headers(seed: int) -> dict[str, str]:
    """The headers themselves, for requests boto3 would not send."""
    key = bytes([seed]) * 32
    prefix = "x-amz-server-side-encryption-customer-"
    return {
        f"{prefix}algorithm": "AES256",
        f"{prefix}key": base64.b64encode(key).decode(),
        f"{prefix}key-md5": base64.b64encode(hashlib.md5(key, usedforsecurity=False).digest()).decode(),
    }


def default_encryption(algorithm: str, key_id: str | None = None) -> dict[str, Any]:
    """The configuration of a bucket."""
    by_default = {"SSEAlgorithm": algorithm} | ({"KMSMasterKeyID": key_id} if key_id else {})
    return {"Rules": [{"ApplyServerSideEncryptionByDefault": by_default}]}


METHODS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}, {}),
    "SSE-S3": ({"ServerSideEncryption": "AES256"}, {}, {}),
    "SSE-KMS": ({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key-1"}, {}, {}),
    "SSE-C": (customer(1), customer(1), customer(1, "CopySource")),
}
ENCRYPTED = [name for name in METHODS if name != "plain"]


@pytest.fixture
def other_bucket_https(s3_https: Any, fresh_name: Any) -> Iterator[str]:
    """A second fresh bucket at the https endpoint."""
    from conformance.conftest import temporary_bucket

    with temporary_bucket(s3_https, fresh_name()) as name:
        yield name


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", ENCRYPTED)
def test_PutObject_and_GetObject(s3_https: Any, bucket_https: str, method: str, size: int) -> None:
    wanted, given, _ = METHODS[method]
    content = os.urandom(size)
    put = s3_https.put_object(Bucket=bucket_https, Key="k", Body=content, **wanted)
    found = s3_https.get_object(Bucket=bucket_https, Key="k", **given)
    head = s3_https.head_object(Bucket=bucket_https, Key="k", **given)
    assert found["Body"].read() == content
    assert found["ContentLength"] == head["ContentLength"] == size
    assert put["ETag"] == found["ETag"] == head["ETag"]
    [entry] = s3_https.list_objects_v2(Bucket=bucket_https)["Contents"]
    assert (entry["Size"], entry["ETag"]) == (size, put["ETag"])
    for answer in (put, found, head):
        assert answer.get("ServerSideEncryption") == wanted.get("ServerSideEncryption")
        assert answer.get("SSEKMSKeyId") == wanted.get("SSEKMSKeyId")
        assert answer.get("SSECustomerAlgorithm") == wanted.get("SSECustomerAlgorithm")
        assert ("SSECustomerKeyMD5" in answer) == (method == "SSE-C")


@pytest.mark.parametrize("method", ENCRYPTED)
def test_GetObject_range(s3_https: Any, bucket_https: str, method: str) -> None:
    wanted, given, _ = METHODS[method]
    size = 300_000
    content = os.urandom(size)
    s3_https.put_object(Bucket=bucket_https, Key="k", Body=content, **wanted)
    for first, last in ((0, 0), (65_535, 65_536), (100, 200_000), (262_144, size - 1), (size - 1, size - 1)):
        found = s3_https.get_object(Bucket=bucket_https, Key="k", Range=f"bytes={first}-{last}", **given)
        assert found["Body"].read() == content[first : last + 1]
        assert found["ContentRange"] == f"bytes {first}-{last}/{size}"
    assert read(s3_https, bucket_https, "k", Range="bytes=-70000", **given) == content[-70_000:]


def test_PutObject_sse_etag_is_md5_for_SSE_S3_only(s3_https: Any, bucket_https: str) -> None:
    for method, (wanted, _, _) in METHODS.items():
        put = s3_https.put_object(Bucket=bucket_https, Key="k", Body=b"body", **wanted)
        assert (put["ETag"] == md5(b"body")) == (method in ("plain", "SSE-S3"))


@pytest.mark.parametrize("method", METHODS)
def test_CreateMultipartUpload(s3_https: Any, bucket_https: str, method: str) -> None:
    wanted, given, source = METHODS[method]
    parts = [os.urandom(5 * MEBIBYTE + 1), os.urandom(100)]
    begun = s3_https.create_multipart_upload(Bucket=bucket_https, Key="k", **wanted)
    identity = {"Bucket": bucket_https, "Key": "k", "UploadId": begun["UploadId"]}
    done = []
    for number, content in ((2, parts[0]), (7, parts[1])):
        part = s3_https.upload_part(**identity, PartNumber=number, Body=content, **given)
        assert part.get("ServerSideEncryption") == wanted.get("ServerSideEncryption")
        done.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
    answer = s3_https.complete_multipart_upload(**identity, MultipartUpload={"Parts": done}, **given)
    assert answer.get("ServerSideEncryption") == wanted.get("ServerSideEncryption")
    whole = b"".join(parts)
    assert read(s3_https, bucket_https, "k", **given) == whole
    border = len(parts[0])
    found = read(s3_https, bucket_https, "k", Range=f"bytes={border - 5}-{border + 4}", **given)
    assert found == whole[border - 5 : border + 5]
    assert read(s3_https, bucket_https, "k", PartNumber=2, **given) == parts[1]
    s3_https.copy_object(
        Bucket=bucket_https, Key="copy", CopySource={"Bucket": bucket_https, "Key": "k"}, **wanted, **source
    )
    assert read(s3_https, bucket_https, "copy", **given) == whole


@pytest.mark.parametrize("source", METHODS)
@pytest.mark.parametrize("target", METHODS)
def test_CopyObject_between_methods(
    s3_https: Any, bucket_https: str, other_bucket_https: str, source: str, target: str
) -> None:
    content = os.urandom(100_000)
    s3_https.put_object(Bucket=bucket_https, Key="k", Body=content, **METHODS[source][0])
    wanted, given = METHODS[target][:2]
    if target == "SSE-C":
        wanted = given = customer(2)
    answer = s3_https.copy_object(
        Bucket=other_bucket_https,
        Key="copy",
        CopySource={"Bucket": bucket_https, "Key": "k"},
        **wanted,
        **METHODS[source][2],
    )
    assert answer.get("ServerSideEncryption") == wanted.get("ServerSideEncryption")
    assert answer.get("SSEKMSKeyId") == wanted.get("SSEKMSKeyId")
    assert read(s3_https, other_bucket_https, "copy", **given) == content


@pytest.mark.parametrize("source", METHODS)
@pytest.mark.parametrize("target", METHODS)
def test_UploadPartCopy_between_methods(s3_https: Any, bucket_https: str, source: str, target: str) -> None:
    content = os.urandom(200_000)
    s3_https.put_object(Bucket=bucket_https, Key="k", Body=content, **METHODS[source][0])
    wanted, given, _ = METHODS[target]
    begun = s3_https.create_multipart_upload(Bucket=bucket_https, Key="copy", **wanted)
    identity = {"Bucket": bucket_https, "Key": "copy", "UploadId": begun["UploadId"]}
    part = s3_https.upload_part_copy(
        **identity,
        PartNumber=1,
        CopySource={"Bucket": bucket_https, "Key": "k"},
        CopySourceRange="bytes=60000-140000",
        **given,
        **METHODS[source][2],
    )
    done = {"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}
    done |= {k: v for k, v in part["CopyPartResult"].items() if k.startswith("Checksum")}
    s3_https.complete_multipart_upload(**identity, MultipartUpload={"Parts": [done]}, **given)
    assert read(s3_https, bucket_https, "copy", **given) == content[60_000:140_001]


def test_CopyObject_onto_itself_changes_encryption(s3_https: Any, bucket_https: str) -> None:
    source = {"Bucket": bucket_https, "Key": "k"}
    s3_https.put_object(Bucket=bucket_https, Key="k", Body=b"body", Metadata={"a": "1"})
    s3_https.copy_object(Bucket=bucket_https, Key="k", CopySource=source, ServerSideEncryption="AES256")
    head = s3_https.head_object(Bucket=bucket_https, Key="k")
    assert (head["ServerSideEncryption"], head["Metadata"]) == ("AES256", {"a": "1"})
    s3_https.copy_object(
        Bucket=bucket_https, Key="k", CopySource=source, MetadataDirective="REPLACE", Metadata={"b": "2"}
    )
    head = s3_https.head_object(Bucket=bucket_https, Key="k")
    assert (head["ServerSideEncryption"], head["Metadata"]) == ("AES256", {"b": "2"})
    assert read(s3_https, bucket_https, "k") == b"body"


@pytest.mark.parametrize("size", [4, 100_000])
class TestCustomerKey:
    @pytest.fixture(autouse=True)
    def _stored(self, s3_https: Any, bucket_https: str, size: int) -> None:
        s3_https.put_object(Bucket=bucket_https, Key="k", Body=b"x" * size, **customer(1))

    def test_is_needed_to_read(self, s3_https: Any, bucket_https: str, size: int) -> None:
        with refused(400, "InvalidRequest"):
            s3_https.get_object(Bucket=bucket_https, Key="k")
        with refused(400, "400"):
            s3_https.head_object(Bucket=bucket_https, Key="k")
        with refused(400, "InvalidRequest"):
            s3_https.get_object_attributes(Bucket=bucket_https, Key="k", ObjectAttributes=["ETag"])
        with refused(400, "InvalidRequest"):
            s3_https.copy_object(Bucket=bucket_https, Key="c", CopySource={"Bucket": bucket_https, "Key": "k"})
        names = ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")  # boto3 does not encode these here
        given = dict(zip(names, customer_headers(1).values(), strict=True))
        found = s3_https.get_object_attributes(Bucket=bucket_https, Key="k", ObjectAttributes=["ObjectSize"], **given)
        assert found["ObjectSize"] == size

    def test_another_one_is_denied(self, s3_https: Any, bucket_https: str, size: int) -> None:
        with refused(403, "AccessDenied"):
            s3_https.get_object(Bucket=bucket_https, Key="k", **customer(2))
        with refused(403, "403"):
            s3_https.head_object(Bucket=bucket_https, Key="k", **customer(2))
        with refused(403, "AccessDenied"):
            s3_https.copy_object(
                Bucket=bucket_https,
                Key="c",
                CopySource={"Bucket": bucket_https, "Key": "k"},
                **customer(2, "CopySource"),
            )

    def test_is_not_needed_to_delete_and_list(self, s3_https: Any, bucket_https: str, size: int) -> None:
        assert [entry["Size"] for entry in s3_https.list_objects(Bucket=bucket_https)["Contents"]] == [size]
        s3_https.delete_objects(Bucket=bucket_https, Delete={"Objects": [{"Key": "k"}]})
        assert "Contents" not in s3_https.list_objects(Bucket=bucket_https)


def test_GetObject_customer_key_of_plain_object(s3_https: Any, bucket_https: str) -> None:
    s3_https.put_object(Bucket=bucket_https, Key="k", Body=b"x")
    with refused(400, "InvalidRequest"):
        s3_https.get_object(Bucket=bucket_https, Key="k", **customer(1))


def test_UploadPart_customer_key_must_be_the_uploads(s3_https: Any, bucket_https: str) -> None:
    begun = s3_https.create_multipart_upload(Bucket=bucket_https, Key="k", **customer(1))
    identity = {"Bucket": bucket_https, "Key": "k", "UploadId": begun["UploadId"]}
    for wrong in ({}, customer(2)):
        with refused(400, "InvalidRequest"):
            s3_https.upload_part(**identity, PartNumber=1, Body=b"x", **wrong)
    part = s3_https.upload_part(**identity, PartNumber=1, Body=b"x", **customer(1))
    done = [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]}]
    for wrong in ({}, customer(2)):
        with refused(400, "InvalidRequest"):
            s3_https.complete_multipart_upload(**identity, MultipartUpload={"Parts": done}, **wrong)
    s3_https.complete_multipart_upload(**identity, MultipartUpload={"Parts": done}, **customer(1))
    plain = s3_https.create_multipart_upload(Bucket=bucket_https, Key="p")
    with refused(400, "InvalidRequest"):
        s3_https.upload_part(
            Bucket=bucket_https, Key="p", UploadId=plain["UploadId"], PartNumber=1, Body=b"x", **customer(1)
        )


@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD"])
def test_customer_key_over_http_is_refused(raw: RawClient, s3: Any, bucket: str, method: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"kept")
    answer = raw(method, f"/{bucket}/k", headers=customer_headers(1), body=b"x" if method == "PUT" else b"")
    assert answer.status == 400
    if method != "HEAD":
        assert answer.code == "InvalidRequest"
        assert b"secure connection" in answer.body
    assert read(s3, bucket, "k") == b"kept"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reads_must_not_name_a_method(raw: RawClient, s3: Any, bucket: str, method: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="AES256")
    headers = {"x-amz-server-side-encryption": "AES256"}
    answer = raw(method, f"/{bucket}/k", headers=headers)
    assert answer.status == 400
    assert method == "HEAD" or answer.code == "InvalidArgument"


@pytest.mark.parametrize(
    ("method", "key_id", "context", "code"),
    [
        ("aes:kms", None, None, "InvalidArgument"),
        ("AES256", "k", None, "InvalidArgument"),
        (None, "k", None, "InvalidArgument"),
        ("aws:kms", "a b", None, "KMS.NotFoundException"),
        ("aws:kms", "k", "{}", "InvalidArgument"),
    ],
)
def test_PutObject_encryption_headers_that_contradict(
    raw: RawClient, s3: Any, bucket: str, method: str | None, key_id: str | None, context: str | None, code: str
) -> None:
    name = "x-amz-server-side-encryption"
    given = {name: method, f"{name}-aws-kms-key-id": key_id, f"{name}-context": context}
    headers = {header: value for header, value in given.items() if value is not None}
    answer = raw("PUT", f"/{bucket}/k", headers=headers, body=b"x")
    assert (answer.status, answer.code) == (400, code)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_PutBucketEncryption(s3: Any, bucket: str) -> None:
    with refused(404, "ServerSideEncryptionConfigurationNotFoundError"):
        s3.get_bucket_encryption(Bucket=bucket)
    for algorithm, key_id in (("AES256", None), ("aws:kms", "key-1")):
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=default_encryption(algorithm, key_id))
        [rule] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        found = rule["ApplyServerSideEncryptionByDefault"]
        assert (found["SSEAlgorithm"], found.get("KMSMasterKeyID")) == (algorithm, key_id)
    s3.delete_bucket_encryption(Bucket=bucket)
    s3.delete_bucket_encryption(Bucket=bucket)
    with refused(404, "ServerSideEncryptionConfigurationNotFoundError"):
        s3.get_bucket_encryption(Bucket=bucket)


def test_PutBucketEncryption_refusals(s3: Any, bucket: str, fresh_name: Any) -> None:
    rule = default_encryption("AES256")["Rules"][0]
    for configuration, code in (
        (default_encryption("AES256", "key-1"), "InvalidArgument"),
        ({"Rules": []}, "MalformedXML"),
        ({"Rules": [rule, rule]}, "MalformedXML"),
        (default_encryption("ROT13"), "MalformedXML"),
    ):
        with refused(400, code):
            s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=configuration)
    with refused(501, "NotImplemented"):
        s3.put_bucket_encryption(
            Bucket=bucket,
            ServerSideEncryptionConfiguration={
                "Rules": [{**rule, "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}}]
            },
        )
    missing = fresh_name()
    with refused(404, "NoSuchBucket"):
        s3.put_bucket_encryption(Bucket=missing, ServerSideEncryptionConfiguration={"Rules": [rule]})
    with refused(404, "NoSuchBucket"):
        s3.get_bucket_encryption(Bucket=missing)
    with refused(404, "NoSuchBucket"):
        s3.delete_bucket_encryption(Bucket=missing)


@pytest.mark.parametrize("size", [10, 100_000])
def test_PutBucketEncryption_holds_from_the_next_write_on(s3: Any, bucket: str, size: int) -> None:
    """Each change is seen at once, whichever process answers."""
    for algorithm in ("AES256", None, "aws:kms", None):
        if algorithm is None:
            s3.delete_bucket_encryption(Bucket=bucket)
        else:
            s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=default_encryption(algorithm))
        for _ in range(6):
            assert s3.put_object(Bucket=bucket, Key="k", Body=b"x" * size).get("ServerSideEncryption") == algorithm
            assert s3.head_object(Bucket=bucket, Key="k").get("ServerSideEncryption") == algorithm
            begun = s3.create_multipart_upload(Bucket=bucket, Key="m")
            assert begun.get("ServerSideEncryption") == algorithm
            s3.abort_multipart_upload(Bucket=bucket, Key="m", UploadId=begun["UploadId"])
        s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "k"})
        assert s3.head_object(Bucket=bucket, Key="c").get("ServerSideEncryption") == algorithm
        assert read(s3, bucket, "c") == b"x" * size
