"""What a fresh bucket and a fresh object answer about things nobody has configured."""

from collections.abc import Callable
from typing import Any

import pytest

from conformance.expect import refused
from conformance.rawhttp import RawClient

NOT_CONFIGURED = [
    ("policy", 404, "NoSuchBucketPolicy"),
    ("lifecycle", 404, "NoSuchLifecycleConfiguration"),
    ("tagging", 404, "NoSuchTagSet"),
    ("object-lock", 404, "ObjectLockConfigurationNotFoundError"),
    ("replication", 404, "ReplicationConfigurationNotFoundError"),
    ("website", 404, "NoSuchWebsiteConfiguration"),
    ("cors", 404, "NoSuchCORSConfiguration"),
]
EMPTY = [
    ("versioning", "VersioningConfiguration"),
    ("logging", "BucketLoggingStatus"),
    ("notification", "NotificationConfiguration"),
    ("accelerate", "AccelerateConfiguration"),
]
ALL = [name for name, *_ in NOT_CONFIGURED + EMPTY] + [
    "acl", "location", "encryption", "requestPayment", "ownershipControls", "publicAccessBlock",
]  # fmt: skip


@pytest.mark.parametrize(("name", "status", "code"), NOT_CONFIGURED)
def test_bucket_subresource_not_configured(raw: RawClient, bucket: str, name: str, status: int, code: str) -> None:
    assert raw("GET", f"/{bucket}?{name}").refusal() == (status, code)


@pytest.mark.parametrize(("name", "root"), EMPTY)
def test_bucket_subresource_empty(raw: RawClient, bucket: str, name: str, root: str) -> None:
    answer = raw("GET", f"/{bucket}?{name}")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/xml"
    assert (answer.xml.tag, len(answer.xml)) == (root, 0)


@pytest.mark.parametrize("name", ALL)
def test_bucket_subresource_of_missing_bucket(raw: RawClient, fresh_name: Callable[[], str], name: str) -> None:
    assert raw("GET", f"/{fresh_name()}?{name}").refusal() == (404, "NoSuchBucket")


@pytest.mark.parametrize("name", ALL)
def test_bucket_subresource_with_equals_sign(raw: RawClient, bucket: str, name: str) -> None:
    assert raw("GET", f"/{bucket}?{name}=").refusal() == raw("GET", f"/{bucket}?{name}").refusal()


def test_GetBucketAcl_owner_has_full_control(s3: Any, bucket: str) -> None:
    answer = s3.get_bucket_acl(Bucket=bucket)
    grant = answer["Grants"]
    assert [entry["Permission"] for entry in grant] == ["FULL_CONTROL"]
    assert grant[0]["Grantee"]["Type"] == "CanonicalUser"
    assert grant[0]["Grantee"]["ID"] == answer["Owner"]["ID"]


def test_GetObjectAcl_owner_has_full_control(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    answer = s3.get_object_acl(Bucket=bucket, Key="k")
    assert [entry["Permission"] for entry in answer["Grants"]] == ["FULL_CONTROL"]
    assert answer["Grants"][0]["Grantee"]["ID"] == answer["Owner"]["ID"]


def test_GetBucketRequestPayment(s3: Any, bucket: str) -> None:
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"


def test_GetBucketVersioning_never_enabled(s3: Any, bucket: str) -> None:
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)


def test_GetObjectTagging_empty(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []


@pytest.mark.parametrize("method", ["get_object_acl", "get_object_tagging"])
def test_object_subresource_of_missing_key(s3: Any, bucket: str, method: str) -> None:
    with refused(404, "NoSuchKey"):
        getattr(s3, method)(Bucket=bucket, Key="nobody")


def test_GetBucketEncryption_default(raw: RawClient, bucket: str) -> None:
    """AWS encrypts every bucket with SSE-S3 since 2023; a server that does not must not claim it."""
    answer = raw("GET", f"/{bucket}?encryption")
    if answer.status == 200:
        assert answer.xml.findtext(".//SSEAlgorithm") == "AES256"
    else:
        assert answer.refusal() == (404, "ServerSideEncryptionConfigurationNotFoundError")


def test_GetBucketOwnershipControls_default(raw: RawClient, bucket: str) -> None:
    answer = raw("GET", f"/{bucket}?ownershipControls")
    if answer.status == 200:
        assert answer.xml.findtext(".//ObjectOwnership") == "BucketOwnerEnforced"
    else:
        assert answer.refusal() == (404, "OwnershipControlsNotFoundError")


def test_GetPublicAccessBlock_default(raw: RawClient, bucket: str) -> None:
    answer = raw("GET", f"/{bucket}?publicAccessBlock")
    if answer.status == 200:
        assert answer.xml.tag == "PublicAccessBlockConfiguration"
        assert {element.text for element in answer.xml} == {"true"}
    else:
        assert answer.refusal() == (404, "NoSuchPublicAccessBlockConfiguration")


def test_GetBucketPolicyStatus_without_policy_is_not_public(s3: Any, bucket: str) -> None:
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"] == {"IsPublic": False}
