"""Annotations: https://docs.aws.amazon.com/AmazonS3/latest/userguide/annotations-overview.html."""

import base64
import contextlib
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conformance.expect import read, refused
from conformance.rawhttp import RawClient
from conformance.s3.test_object_lock import locked

__all__ = ["locked"]

MEBIBYTE = 1024 * 1024


def md5(text: bytes) -> str:
    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def annotate(s3: Any, bucket: str, name: str, text: bytes = b"text", **options: Any) -> dict[str, Any]:
    return dict(
        s3.put_object_annotation(
            **{"Bucket": bucket, "Key": "k", "AnnotationName": name, "AnnotationPayload": text, **options}
        )
    )


def text_of(s3: Any, bucket: str, name: str, **options: Any) -> bytes:
    answer = s3.get_object_annotation(**{"Bucket": bucket, "Key": "k", "AnnotationName": name, **options})
    with contextlib.closing(answer["AnnotationPayload"]) as payload:
        return bytes(payload.read())


def names_of(s3: Any, bucket: str, **options: Any) -> list[str]:
    answer = s3.list_object_annotations(**{"Bucket": bucket, "Key": "k", **options})
    return [entry["AnnotationName"] for entry in answer.get("Annotations", [])]


@pytest.fixture
def held(s3: Any, bucket: str) -> str:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", Metadata={"a": "1"})
    return bucket


def test_PutObjectAnnotation_is_told_by_GetObjectAnnotation(s3: Any, held: str) -> None:
    written = annotate(s3, held, "légende/1", "grüße".encode())
    assert (written["Key"], written["AnnotationName"]) == ("k", "légende/1")
    assert written["ETag"] == f'"{md5("grüße".encode())}"'
    assert "ObjectVersionId" not in written
    answer = s3.get_object_annotation(Bucket=held, Key="k", AnnotationName="légende/1")
    assert answer["AnnotationPayload"].read() == "grüße".encode()
    assert (answer["ETag"], answer["ContentLength"]) == (written["ETag"], 7)
    assert abs(answer["LastModified"] - datetime.now(UTC)) < timedelta(minutes=1)


def test_PutObjectAnnotation_replaces_the_one_of_this_name(s3: Any, held: str) -> None:
    annotate(s3, held, "a", b"one")
    annotate(s3, held, "A", b"another")
    annotate(s3, held, "a", b"two")
    assert (text_of(s3, held, "a"), text_of(s3, held, "A")) == (b"two", b"another")
    assert names_of(s3, held) == ["A", "a"]


def test_PutObjectAnnotation_leaves_the_object_alone(s3: Any, held: str) -> None:
    before = s3.head_object(Bucket=held, Key="k")
    annotate(s3, held, "a")
    after = s3.head_object(Bucket=held, Key="k")
    for field in ("LastModified", "ETag", "Metadata", "ContentLength"):
        assert after[field] == before[field]
    assert read(s3, held, "k") == b"v"


@pytest.mark.parametrize("size", [1, 100_000, MEBIBYTE])
def test_PutObjectAnnotation_sizes(s3: Any, held: str, size: int) -> None:
    text = b"x" * size
    annotate(s3, held, "a", text)
    assert text_of(s3, held, "a") == text


def test_PutObjectAnnotation_too_large(s3: Any, held: str) -> None:
    with refused(400, "EntityTooLarge"):
        annotate(s3, held, "a", b"x" * (MEBIBYTE + 1))
    assert names_of(s3, held) == []


def test_PutObjectAnnotation_empty(s3: Any, held: str) -> None:
    with refused(400, "InvalidRequest"):
        annotate(s3, held, "a", b"")


@pytest.mark.parametrize("text", [b"\xff", "ü".encode()[:1], b"a\xed\xa0\x80"])
def test_PutObjectAnnotation_not_utf8(s3: Any, held: str, text: bytes) -> None:
    annotate(s3, held, "a", b"before")
    with refused(415, "UnsupportedMediaType"):
        annotate(s3, held, "a", text)
    assert text_of(s3, held, "a") == b"before"


@pytest.mark.parametrize("name", ["aws", "AWS-x", "s3", "S3:note", "a\tb", "a\nb", "\x01", ""])
def test_PutObjectAnnotation_invalid_name(raw: RawClient, held: str, name: str) -> None:
    encoded = "".join(f"%{byte:02X}" for byte in name.encode())
    target = f"/{held}/k?annotation&annotationName={encoded}"
    assert raw("PUT", target, {}, b"text").refusal() == (400, "InvalidAnnotationName")


def test_PutObjectAnnotation_longest_name(s3: Any, held: str) -> None:
    annotate(s3, held, "ü" * 256)
    assert names_of(s3, held) == ["ü" * 256]
    with refused(400, "AnnotationNameTooLong"):
        annotate(s3, held, "ü" * 256 + "x")


def test_PutObjectAnnotation_without_a_name(raw: RawClient, held: str) -> None:
    assert raw("PUT", f"/{held}/k?annotation", {}, b"text").refusal() == (400, "InvalidRequest")
    assert raw("GET", f"/{held}/k").body == b"v"


def test_annotations_of_what_is_not_there(s3: Any, held: str, fresh_name: Any) -> None:
    for options, code in (({"Key": "none"}, "NoSuchKey"), ({"Bucket": fresh_name()}, "NoSuchBucket")):
        with refused(404, code):
            annotate(s3, held, "a", **options)
        with refused(404, code):
            text_of(s3, held, "a", **options)
        with refused(404, code):
            names_of(s3, held, **options)
        with refused(404, code):
            s3.delete_object_annotation(**{"Bucket": held, "Key": "k", "AnnotationName": "a", **options})
    with refused(404, "NoSuchAnnotation"):
        text_of(s3, held, "a")
    with refused(404, "NoSuchVersion"):
        annotate(s3, held, "a", VersionId="0" * 32)


def test_DeleteObjectAnnotation(s3: Any, held: str) -> None:
    annotate(s3, held, "a")
    annotate(s3, held, "b")
    for _ in range(2):
        answer = s3.delete_object_annotation(Bucket=held, Key="k", AnnotationName="a")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert names_of(s3, held) == ["b"]


def test_annotations_x_amz_object_if_match(s3: Any, held: str) -> None:
    etag = s3.head_object(Bucket=held, Key="k")["ETag"]
    annotate(s3, held, "a", ObjectIfMatch=etag)
    for expected in ('"0123"', etag.replace('"', "x")):
        with refused(412, "PreconditionFailed") as caught:
            annotate(s3, held, "a", b"other", ObjectIfMatch=expected)
        assert caught.value.response["Error"]["Condition"] == "x-amz-object-if-match"
        with refused(412, "PreconditionFailed"):
            s3.delete_object_annotation(Bucket=held, Key="k", AnnotationName="a", ObjectIfMatch=expected)
    assert text_of(s3, held, "a") == b"text"
    s3.delete_object_annotation(Bucket=held, Key="k", AnnotationName="a", ObjectIfMatch=etag)
    assert names_of(s3, held) == []


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_annotations_checksums(s3: Any, held: str, algorithm: str) -> None:
    written = annotate(s3, held, "a", ChecksumAlgorithm=algorithm)
    assert written[f"Checksum{algorithm}"]
    assert written["ChecksumType"] == "FULL_OBJECT"
    answer = s3.get_object_annotation(Bucket=held, Key="k", AnnotationName="a", ChecksumMode="ENABLED")
    assert answer[f"Checksum{algorithm}"] == written[f"Checksum{algorithm}"]
    entry = s3.list_object_annotations(Bucket=held, Key="k")["Annotations"][0]
    assert entry["ChecksumAlgorithm"] == [algorithm]


def test_PutObjectAnnotation_wrong_checksum(raw: RawClient, held: str) -> None:
    target = f"/{held}/k?annotation&annotationName=a"
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    assert raw("PUT", target, {"x-amz-checksum-sha256": wrong}, b"text").refusal() == (400, "BadDigest")
    wrong = base64.b64encode(bytes.fromhex(md5(b"other"))).decode()
    assert raw("PUT", target, {"content-md5": wrong}, b"text").refusal() == (400, "BadDigest")
    assert raw("GET", target).refusal() == (404, "NoSuchAnnotation")


def test_annotations_over_https_with_a_trailer(s3_https: Any, bucket_https: str) -> None:
    s3_https.put_object(Bucket=bucket_https, Key="k", Body=b"v")
    annotate(s3_https, bucket_https, "a", b"text", ChecksumAlgorithm="CRC32C")
    assert text_of(s3_https, bucket_https, "a", ChecksumMode="ENABLED") == b"text"


def test_ListObjectAnnotations_pages_and_prefix(s3: Any, held: str) -> None:
    wanted = sorted(f"{letter}{number:02d}" for letter in "ab" for number in range(7))
    for name in wanted:
        annotate(s3, held, name, name.encode())
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = s3.list_object_annotations(Bucket=held, Key="k", MaxAnnotationResults=4, **token)
        found += [entry["AnnotationName"] for entry in page["Annotations"]]
        assert page["AnnotationCount"] == len(page["Annotations"]) <= 4
        assert (page["Bucket"], page["Key"], page["MaxAnnotationResults"]) == (held, "k", 4)
        if "NextContinuationToken" not in page:
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    assert found == wanted
    page = s3.list_object_annotations(Bucket=held, Key="k", AnnotationPrefix="b")
    assert [entry["AnnotationName"] for entry in page["Annotations"]] == [n for n in wanted if n[0] == "b"]
    assert page["AnnotationPrefix"] == "b"
    assert page["Annotations"][0]["Size"] == 3
    assert page["Annotations"][0]["ETag"] == f'"{md5(b"b00")}"'


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("max-annotation-results=0", "InvalidArgument"),
        ("max-annotation-results=1001", "InvalidArgument"),
        ("continuation-token=x", "InvalidArgument"),
        ("annotation-prefix=a%0Ab", "InvalidPrefix"),
        (f"annotation-prefix={'x' * 513}", "InvalidPrefix"),
    ],
)
def test_ListObjectAnnotations_refusals(raw: RawClient, held: str, query: str, code: str) -> None:
    assert raw("GET", f"/{held}/k?annotation&{query}").refusal() == (400, code)


def test_annotations_root_elements(raw: RawClient, held: str) -> None:
    written = raw("PUT", f"/{held}/k?annotation&annotationName=a%26b", {}, b"text")
    assert (written.status, written.xml.tag) == (200, "PutObjectAnnotationOutput")
    listed = raw("GET", f"/{held}/k?annotation")
    assert (listed.status, listed.xml.tag) == (200, "ListObjectAnnotationsOutput")


def test_PutObject_begins_without_annotations(s3: Any, held: str) -> None:
    annotate(s3, held, "a")
    s3.put_object(Bucket=held, Key="k", Body=b"v")
    assert names_of(s3, held) == []


def test_DeleteObject_takes_annotations_along(s3: Any, held: str) -> None:
    annotate(s3, held, "a")
    s3.delete_object(Bucket=held, Key="k")
    s3.put_object(Bucket=held, Key="k", Body=b"v")
    assert names_of(s3, held) == []


def test_versions_keep_their_annotations(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0")
    annotate(s3, bucket, "a", b"null")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    assert names_of(s3, bucket) == []
    assert annotate(s3, bucket, "a", b"first")["ObjectVersionId"] == first
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"2")["VersionId"]
    assert annotate(s3, bucket, "b", b"late", VersionId=first)["ObjectVersionId"] == first
    assert text_of(s3, bucket, "a", VersionId="null") == b"null"
    assert text_of(s3, bucket, "a", VersionId=first) == b"first"
    assert names_of(s3, bucket, VersionId=first) == ["a", "b"]
    assert names_of(s3, bucket, VersionId=second) == []
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    with refused(404, "NoSuchKey"):
        names_of(s3, bucket)
    with refused(405, "MethodNotAllowed"):
        annotate(s3, bucket, "a", VersionId=marker)
    s3.delete_object(Bucket=bucket, Key="k", VersionId=marker)
    s3.delete_object(Bucket=bucket, Key="k", VersionId=second)
    assert names_of(s3, bucket) == ["a", "b"]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    s3.put_object(Bucket=bucket, Key="k", Body=b"3")
    assert names_of(s3, bucket, VersionId="null") == []
    assert names_of(s3, bucket, VersionId=first) == ["a", "b"]


@pytest.mark.parametrize("directive", [None, "COPY", "EXCLUDE"])
@pytest.mark.parametrize("encryption", [{}, {"ServerSideEncryption": "AES256"}])
def test_CopyObject_annotation_directive(s3: Any, held: str, directive: str | None, encryption: Any) -> None:
    annotate(s3, held, "a", b"one")
    annotate(s3, held, "b", b"two" * 50_000)
    how = {"AnnotationDirective": directive} if directive else {}
    s3.copy_object(Bucket=held, Key="copy", CopySource=f"{held}/k", **how, **encryption)
    if directive == "EXCLUDE":
        assert names_of(s3, held, Key="copy") == []
        return
    assert names_of(s3, held, Key="copy") == ["a", "b"]
    assert text_of(s3, held, "b", Key="copy") == b"two" * 50_000
    s3.delete_object(Bucket=held, Key="k")
    assert text_of(s3, held, "a", Key="copy") == b"one"


def test_CopyObject_unknown_annotation_directive(raw: RawClient, held: str) -> None:
    headers = {"x-amz-copy-source": f"/{held}/k", "x-amz-object-annotation-directive": "MOVE"}
    assert raw("PUT", f"/{held}/copy", headers).refusal() == (400, "InvalidArgument")


@pytest.mark.parametrize("versioned", [False, True])
@pytest.mark.parametrize("encryption", [{}, {"ServerSideEncryption": "AES256"}])
def test_CopyObject_onto_itself_keeps_annotations(s3: Any, held: str, versioned: bool, encryption: Any) -> None:
    if versioned:
        s3.put_bucket_versioning(Bucket=held, VersioningConfiguration={"Status": "Enabled"})
    annotate(s3, held, "a", b"one")
    onto = {"Bucket": held, "Key": "k", "CopySource": f"{held}/k", "MetadataDirective": "REPLACE", **encryption}
    s3.copy_object(**onto)
    assert text_of(s3, held, "a") == b"one"
    s3.copy_object(**onto, AnnotationDirective="EXCLUDE")
    assert names_of(s3, held) == []


def test_CopyObject_of_a_version_brings_its_annotations(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    annotate(s3, bucket, "a", b"first")
    s3.put_object(Bucket=bucket, Key="k", Body=b"2")
    s3.copy_object(Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "k", "VersionId": first})
    assert text_of(s3, bucket, "a") == b"first"


@pytest.mark.parametrize("method", [{"ServerSideEncryption": "AES256"}, {"ServerSideEncryption": "aws:kms"}])
def test_annotations_are_encrypted_as_their_object(s3: Any, bucket: str, method: dict[str, str]) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v", **method)
    written = annotate(s3, bucket, "a", b"x" * 200_000)
    assert written["ServerSideEncryption"] == method["ServerSideEncryption"]
    answer = s3.get_object_annotation(Bucket=bucket, Key="k", AnnotationName="a")
    assert answer["ServerSideEncryption"] == method["ServerSideEncryption"]
    assert answer["AnnotationPayload"].read() == b"x" * 200_000
    for change in ({}, {"ServerSideEncryption": "AES256"}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k2"}):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k", **change)
        assert text_of(s3, bucket, "a", Key="copy") == b"x" * 200_000


def test_annotations_are_not_for_customer_keys(s3_https: Any, bucket_https: str) -> None:
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}
    s3_https.put_object(Bucket=bucket_https, Key="k", Body=b"v", **key)
    with refused(400, "InvalidRequest"):
        annotate(s3_https, bucket_https, "a")
    s3_https.put_object(Bucket=bucket_https, Key="k", Body=b"v")
    annotate(s3_https, bucket_https, "a")
    target = {"Bucket": bucket_https, "Key": "copy", "CopySource": f"{bucket_https}/k", **key}
    with refused(400, "InvalidRequest"):
        s3_https.copy_object(**target)
    s3_https.copy_object(**target, AnnotationDirective="EXCLUDE")


def test_annotations_of_a_locked_version(s3: Any, raw: RawClient, locked: str) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    s3.put_object(Bucket=locked, Key="k", Body=b"v", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)
    annotate(s3, locked, "a")
    annotate(s3, locked, "b")
    with refused(403, "AccessDenied"):
        annotate(s3, locked, "a", b"other")
    with refused(403, "AccessDenied"):
        s3.delete_object_annotation(Bucket=locked, Key="k", AnnotationName="a")
    assert text_of(s3, locked, "a") == b"text"
    bypass = {"x-amz-bypass-governance-retention": "true"}
    assert raw("DELETE", f"/{locked}/k?annotation&annotationName=a", bypass).status == 204
    assert names_of(s3, locked) == ["b"]
    s3.put_object_legal_hold(Bucket=locked, Key="k", LegalHold={"Status": "ON"})
    assert raw("DELETE", f"/{locked}/k?annotation&annotationName=b", bypass).refusal() == (403, "AccessDenied")
