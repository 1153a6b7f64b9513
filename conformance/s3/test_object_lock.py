"""Object lock: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conformance.expect import read, refused
from conformance.rawhttp import RawClient


def later(**delta: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(**delta)


@pytest.fixture
def locked(s3: Any, fresh_name: Callable[[], str]) -> Iterator[str]:
    """A bucket with object lock; its versions are under governance at most, or held, and are freed afterwards."""
    name = fresh_name()
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    yield name
    page = s3.list_object_versions(Bucket=name)
    for entry in page.get("Versions", []):
        named = {"Bucket": name, "Key": entry["Key"], "VersionId": entry["VersionId"]}
        s3.put_object_legal_hold(**named, LegalHold={"Status": "OFF"})
        s3.delete_object(**named, BypassGovernanceRetention=True)
    for entry in page.get("DeleteMarkers", []):
        s3.delete_object(Bucket=name, Key=entry["Key"], VersionId=entry["VersionId"])
    s3.delete_bucket(Bucket=name)


def put(s3: Any, bucket: str, **options: Any) -> dict[str, Any]:
    """Names a fresh version."""
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"v", **options)["VersionId"]
    return {"Bucket": bucket, "Key": "k", "VersionId": version}


def test_CreateBucket_object_lock_keeps_versions(s3: Any, locked: str) -> None:
    assert s3.get_bucket_versioning(Bucket=locked)["Status"] == "Enabled"
    assert s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"] == {
        "ObjectLockEnabled": "Enabled"
    }
    with refused(409, "InvalidBucketState"):
        s3.put_bucket_versioning(Bucket=locked, VersioningConfiguration={"Status": "Suspended"})
    assert s3.get_bucket_versioning(Bucket=locked)["Status"] == "Enabled"


@pytest.mark.parametrize("period", [{"Days": 3}, {"Years": 1}])
def test_PutObjectLockConfiguration_default_retention(s3: Any, locked: str, period: dict[str, int]) -> None:
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", **period}}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=configuration)
    assert s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"] == configuration
    head = s3.head_object(**put(s3, locked))
    assert head["ObjectLockMode"] == "GOVERNANCE"
    days = period.get("Days", 365)
    assert timedelta(days=days - 1) < head["ObjectLockRetainUntilDate"] - datetime.now(UTC) < timedelta(days=days + 2)
    s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    assert "ObjectLockMode" not in s3.head_object(**put(s3, locked))


@pytest.mark.parametrize("wrong", ["", "<Days>1</Days><Years>1</Years>", "<Days>x</Days>", "<Days>0</Days>"])
def test_PutObjectLockConfiguration_wrong_period(raw: RawClient, locked: str, wrong: str) -> None:
    body = (
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>"
        f"<Mode>GOVERNANCE</Mode>{wrong}</DefaultRetention></Rule></ObjectLockConfiguration>"
    ).encode()
    assert raw("PUT", f"/{locked}?object-lock", {}, body).status == 400


def test_PutObject_retention_headers_hold_the_version(s3: Any, locked: str) -> None:
    until = later(days=1)
    named = put(s3, locked, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": until}
    assert s3.get_object_retention(**named)["Retention"] == retention
    with refused(403, "AccessDenied"):
        s3.delete_object(**named)
    answer = s3.delete_objects(Bucket=locked, Delete={"Objects": [{k: named[k] for k in ("Key", "VersionId")}]})
    assert [entry["Code"] for entry in answer["Errors"]] == ["AccessDenied"]
    marker = s3.delete_object(Bucket=locked, Key="k")
    assert marker["DeleteMarker"]
    assert read(s3, locked, "k", VersionId=named["VersionId"]) == b"v"
    s3.delete_object(**named, BypassGovernanceRetention=True)
    with refused(404, "NoSuchVersion"):
        s3.get_object(**named)


@pytest.mark.parametrize(
    "headers",
    [
        {"ObjectLockMode": "GOVERNANCE"},
        {"ObjectLockRetainUntilDate": datetime(2099, 1, 1, tzinfo=UTC)},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": datetime(2001, 1, 1, tzinfo=UTC)},
    ],
    ids=["mode alone", "date alone", "past"],
)
def test_PutObject_wrong_retention_headers(s3: Any, locked: str, headers: dict[str, Any]) -> None:
    with refused(400, "InvalidArgument"):
        put(s3, locked, **headers)


@pytest.mark.parametrize("status", ["ON", "OFF"])
def test_PutObject_lock_headers_in_a_bucket_without(s3: Any, bucket: str, status: str) -> None:
    for write in (s3.put_object, s3.create_multipart_upload):
        with refused(400, "InvalidRequest"):
            write(Bucket=bucket, Key="k", ObjectLockLegalHoldStatus=status)


def test_CopyObject_takes_its_own_lock(s3: Any, locked: str) -> None:
    source = put(s3, locked, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=later(days=1))
    plain = s3.copy_object(Bucket=locked, Key="plain", CopySource=source)
    assert "ObjectLockMode" not in s3.head_object(Bucket=locked, Key="plain", VersionId=plain["VersionId"])
    s3.copy_object(Bucket=locked, Key="held", CopySource=source, ObjectLockLegalHoldStatus="ON")
    assert s3.get_object_legal_hold(Bucket=locked, Key="held")["LegalHold"] == {"Status": "ON"}


def test_PutObjectRetention_governance_is_shortened_by_bypass_alone(s3: Any, locked: str) -> None:
    named = put(s3, locked)
    modified = s3.head_object(**named)["LastModified"]
    for days in (2, 3):
        s3.put_object_retention(**named, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": later(days=days)})
    shorter = {"Mode": "GOVERNANCE", "RetainUntilDate": later(days=1)}
    for changed in (shorter, {}):
        with refused(403, "AccessDenied"):
            s3.put_object_retention(**named, Retention=changed)
    s3.put_object_retention(**named, Retention=shorter, BypassGovernanceRetention=True)
    assert s3.get_object_retention(**named)["Retention"] == shorter
    assert s3.head_object(**named)["LastModified"] == modified
    s3.put_object_retention(**named, Retention={}, BypassGovernanceRetention=True)
    s3.delete_object(**named)


def test_PutObjectLegalHold_holds_whatever_is_bypassed(s3: Any, locked: str) -> None:
    named = put(s3, locked)
    s3.put_object_legal_hold(**named, LegalHold={"Status": "ON"})
    assert s3.head_object(**named)["ObjectLockLegalHoldStatus"] == "ON"
    with refused(403, "AccessDenied"):
        s3.delete_object(**named, BypassGovernanceRetention=True)
    s3.put_object_legal_hold(**named, LegalHold={"Status": "OFF"})
    s3.delete_object(**named)


def test_PutObjectRetention_of_what_is_not_there(s3: Any, locked: str) -> None:
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": later(days=1)}
    with refused(404, "NoSuchKey"):
        s3.put_object_retention(Bucket=locked, Key="none", Retention=retention)
    named = put(s3, locked)
    with refused(404, "NoSuchVersion"):
        s3.put_object_retention(Bucket=locked, Key="k", VersionId="none", Retention=retention)
    marker = s3.delete_object(Bucket=locked, Key="k")["VersionId"]
    with refused(405, "MethodNotAllowed"):
        s3.put_object_retention(Bucket=locked, Key="k", VersionId=marker, Retention=retention)
    assert "ObjectLockMode" not in s3.head_object(**named)


@pytest.mark.parametrize("query", ["retention", "legal-hold"])
def test_GetObjectRetention_of_a_version_without(raw: RawClient, s3: Any, locked: str, query: str) -> None:
    put(s3, locked)
    assert raw("GET", f"/{locked}/k?{query}").refusal() == (404, "NoSuchObjectLockConfiguration")


@pytest.mark.parametrize("path", ["?object-lock", "?versioning", "/k?retention", "/k?legal-hold"])
def test_lock_document_needs_a_checksum(raw: RawClient, s3: Any, locked: str, path: str) -> None:
    put(s3, locked)
    answer = raw("PUT", f"/{locked}{path}", {"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}, b"<x/>")
    assert answer.refusal() == (400, "BadDigest")
