"""CreateBucket, HeadBucket, DeleteBucket, ListBuckets, GetBucketLocation, and what a missing bucket answers."""

import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conformance.conftest import temporary_bucket
from conformance.expect import keys_of, refused, status_and_code
from conformance.rawhttp import RawClient
from conformance.target import Target

INVALID_NAMES = [
    "ab",
    "a" * 64,
    "Upper-case",
    "under_score",
    "-leading",
    "trailing-",
    ".leading-dot",
    "trailing-dot.",
    "two..dots",
    "192.168.5.4",
    "xn--prefix",
    "sthree-prefix",
    "amzn-s3-demo-prefix",
    "suffix-s3alias",
    "suffix--ol-s3",
    "suffix.mrap",
    "space%20inside",
    "b%C3%BCcket",
    "percent%25",
    "star*",
    "nul%00",
    "bad-utf8-%FF",
]


def test_CreateBucket_then_HeadBucket(s3: Any, target: Target, fresh_name: Callable[[], str]) -> None:
    name = fresh_name()
    with refused(404, {"404", "NoSuchBucket"}):
        s3.head_bucket(Bucket=name)
    with temporary_bucket(s3, name):
        answer = s3.head_bucket(Bucket=name)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == target.region


def test_CreateBucket_answers_location(s3: Any, raw: RawClient, fresh_name: Callable[[], str]) -> None:
    name = fresh_name()
    answer = raw("PUT", f"/{name}")
    try:
        assert answer.status == 200
        assert answer.headers["Location"].endswith(f"/{name}")
        assert answer.body == b""
    finally:
        s3.delete_bucket(Bucket=name)


@pytest.mark.parametrize("length", [3, 63])
def test_CreateBucket_shortest_and_longest_name(s3: Any, bucket_prefix: str, length: int) -> None:
    name = f"{zlib.crc32(bucket_prefix.encode()):08x}"[:3] if length == 3 else f"{bucket_prefix}{'x' * 63}"[:63]
    with temporary_bucket(s3, name):
        assert s3.head_bucket(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("form", ["{}dot.ted.name", "{}with-hyphen", "{}9digits9"])
def test_CreateBucket_valid_name(s3: Any, fresh_name: Callable[[], str], form: str) -> None:
    with temporary_bucket(s3, form.format(f"{fresh_name()}-")) as name:
        s3.put_object(Bucket=name, Key="k", Body=b"v")
        assert keys_of(s3, name) == ["k"]


@pytest.mark.parametrize("name", INVALID_NAMES)
def test_CreateBucket_invalid_name(raw: RawClient, name: str) -> None:
    answer = raw("PUT", f"/{name}")
    if answer.status == 200:
        raw("DELETE", f"/{name}")
    assert answer.status == 400
    assert answer.code in {"InvalidBucketName", "InvalidURI"}


def test_CreateBucket_again_by_owner_keeps_objects(s3: Any, target: Target, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="kept", Body=b"v")
    try:
        s3.create_bucket(Bucket=bucket)
    except ClientError as error:
        assert status_and_code(error) == (409, "BucketAlreadyOwnedByYou")  # noqa: PT017 - either answer is AWS's own
    else:
        assert target.region == "us-east-1", "only us-east-1 answers 200 to a second CreateBucket"
    assert keys_of(s3, bucket) == ["kept"]


def test_CreateBucket_location_constraint_of_nowhere(s3: Any, fresh_name: Callable[[], str]) -> None:
    name = fresh_name()
    with refused(400, {"InvalidLocationConstraint", "IllegalLocationConstraintException"}):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "mars-north-9"})
    with refused(404, {"404", "NoSuchBucket"}):
        s3.head_bucket(Bucket=name)


def test_CreateBucket_malformed_configuration(raw: RawClient, fresh_name: Callable[[], str]) -> None:
    name = fresh_name()
    assert raw("PUT", f"/{name}", body=b"<CreateBucketConfiguration><Loc").refusal() == (400, "MalformedXML")
    assert raw("HEAD", f"/{name}").status == 404


def test_DeleteBucket_empty(s3: Any, fresh_name: Callable[[], str]) -> None:
    name = fresh_name()
    s3.create_bucket(Bucket=name)
    assert s3.delete_bucket(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused(404, "NoSuchBucket"):
        s3.list_objects_v2(Bucket=name)


def test_DeleteBucket_missing(s3: Any, fresh_name: Callable[[], str]) -> None:
    with refused(404, "NoSuchBucket"):
        s3.delete_bucket(Bucket=fresh_name())


def test_DeleteBucket_not_empty(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a/b", Body=b"v")
    with refused(409, "BucketNotEmpty"):
        s3.delete_bucket(Bucket=bucket)
    assert keys_of(s3, bucket) == ["a/b"]


def test_DeleteBucket_after_its_objects(s3: Any, fresh_name: Callable[[], str]) -> None:
    name = fresh_name()
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=b"v")
    s3.delete_object(Bucket=name, Key="k")
    s3.delete_bucket(Bucket=name)
    s3.create_bucket(Bucket=name)
    assert keys_of(s3, name) == []
    s3.delete_bucket(Bucket=name)


def test_ListBuckets_sorted_with_dates_and_owner(s3: Any, fresh_name: Callable[[], str]) -> None:
    names = [fresh_name() for _ in range(3)]
    for name in reversed(names):
        s3.create_bucket(Bucket=name)
    try:
        answer = s3.list_buckets()
        assert answer["Owner"]["ID"]
        listed = [entry["Name"] for entry in answer["Buckets"]]
        assert set(names) <= set(listed)
        assert listed == sorted(listed)
        mine = [entry for entry in answer["Buckets"] if entry["Name"] in names]
        for entry in mine:
            assert abs(entry["CreationDate"] - datetime.now(UTC)) < timedelta(minutes=2)
    finally:
        for name in names:
            s3.delete_bucket(Bucket=name)


def test_ListBuckets_prefix_and_paging(s3: Any, fresh_name: Callable[[], str]) -> None:
    base = fresh_name()
    names = sorted(f"{base}-page-{number}" for number in range(5))
    for name in names:
        s3.create_bucket(Bucket=name)
    try:
        found: list[str] = []
        pages = 0
        token: dict[str, str] = {}
        while True:
            answer = s3.list_buckets(Prefix=f"{base}-page-", MaxBuckets=2, **token)
            assert answer["Prefix"] == f"{base}-page-"
            assert len(answer["Buckets"]) <= 2
            found += [entry["Name"] for entry in answer["Buckets"]]
            pages += 1
            if "ContinuationToken" not in answer:
                break
            token = {"ContinuationToken": answer["ContinuationToken"]}
        assert found == names
        assert pages == 3
        assert s3.list_buckets(Prefix=f"{base}-nobody")["Buckets"] == []
    finally:
        for name in names:
            s3.delete_bucket(Bucket=name)


@pytest.mark.parametrize("maximum", ["0", "10001", "-1", "x"])
def test_ListBuckets_max_buckets_out_of_range(raw: RawClient, maximum: str) -> None:
    assert raw("GET", f"/?max-buckets={maximum}").refusal() == (400, "InvalidArgument")


def test_ListBuckets_continuation_token_garbage(raw: RawClient) -> None:
    assert raw("GET", "/?continuation-token=not%20a%20token").refusal() == (400, "InvalidArgument")


def test_GetBucketLocation(s3: Any, target: Target, bucket: str) -> None:
    expected = None if target.region == "us-east-1" else target.region
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == expected


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", b""),
        ("GET", "?list-type=2", b""),
        ("GET", "?versions", b""),
        ("GET", "?uploads", b""),
        ("GET", "?location", b""),
        ("GET", "/key", b""),
        ("PUT", "/key", b"v"),
        ("DELETE", "/key", b""),
        ("DELETE", "", b""),
        ("POST", "/key?uploads", b""),
    ],
)
def test_NoSuchBucket_from_every_family(
    raw: RawClient, fresh_name: Callable[[], str], method: str, path: str, body: bytes
) -> None:
    assert raw(method, f"/{fresh_name()}{path}", body=body).refusal() == (404, "NoSuchBucket")


def test_NoSuchBucket_DeleteObjects_and_CopyObject(s3: Any, bucket: str, fresh_name: Callable[[], str]) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    missing = fresh_name()
    with refused(404, "NoSuchBucket"):
        s3.delete_objects(Bucket=missing, Delete={"Objects": [{"Key": "k"}]})
    with refused(404, "NoSuchBucket"):
        s3.copy_object(Bucket=missing, Key="k", CopySource={"Bucket": bucket, "Key": "k"})
    with refused(404, "NoSuchBucket"):
        s3.copy_object(Bucket=bucket, Key="new", CopySource={"Bucket": missing, "Key": "k"})
