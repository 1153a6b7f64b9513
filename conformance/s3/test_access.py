"""S3 accounts: ACLs, bucket policies, public access block, ownership; two accounts, and a caller without a key."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from conformance.conftest import destroy_bucket
from conformance.target import Target


@dataclass(frozen=True)
class Account:
    """A client and the id under which S3 knows its account."""

    s3: Any
    id: str


@pytest.fixture(scope="module")
def make_account(target: Target, keys: Callable[..., dict[str, str]]) -> Callable[[str], Account]:
    def make(name: str) -> Account:
        claims = json.dumps({"email": f"{name}@example.com"})
        key = keys("--account", "--subject", name, "--display-name", name.title(), "--claims", claims)
        holder = Target(target.endpoint_url, key["access_key_id"], key["secret_access_key"], target.region)
        return Account(holder.client(), key["canonical_id"])

    return make


@pytest.fixture(scope="module")
def alice(make_account: Callable[[str], Account]) -> Account:
    return make_account("alice")


@pytest.fixture(scope="module")
def bob(make_account: Callable[[str], Account]) -> Account:
    return make_account("bob")


@pytest.fixture(scope="module")
def nobody(target: Target) -> Any:
    config = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    return boto3.client("s3", endpoint_url=target.endpoint_url, region_name=target.region, config=config)


@pytest.fixture
def hers(alice: Account, s3: Any, fresh_name: Callable[[], str]) -> Iterator[str]:
    """A bucket of Alice's with the object ``key``."""
    name = fresh_name()
    alice.s3.create_bucket(Bucket=name)
    alice.s3.put_object(Bucket=name, Key="key", Body=b"hers")
    yield name
    destroy_bucket(s3, name)


def code_of(call: Callable[..., Any], **arguments: Any) -> str:
    """The error's code; "" if there is none. HEAD has only a status."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def put_policy(account: Account, bucket: str, *statements: dict[str, Any]) -> str:
    made = [{"Effect": "Allow", "Principal": "*", **each} for each in statements]
    for each in made:
        each["Resource"] = [f"arn:aws:s3:::{bucket}{rest}" for rest in each["Resource"]]
    text = json.dumps({"Version": "2012-10-17", "Statement": made}, indent=3)
    account.s3.put_bucket_policy(Bucket=bucket, Policy=text)
    return text


_TAGS = {"TagSet": [{"Key": "a", "Value": "b"}]}
_GRANTS = {"BlockPublicAcls": False}
# Every operation on a bucket or a key of somebody else's, with what it needs to be understood.
FOREIGN: dict[str, dict[str, Any]] = {
    "head_bucket": {}, "delete_bucket": {}, "get_bucket_location": {}, "list_objects": {}, "list_objects_v2": {},
    "list_object_versions": {}, "list_multipart_uploads": {}, "get_bucket_acl": {}, "get_bucket_policy": {},
    "get_bucket_policy_status": {}, "get_public_access_block": {}, "get_bucket_ownership_controls": {},
    "get_bucket_cors": {}, "get_bucket_tagging": {}, "get_bucket_versioning": {}, "get_bucket_encryption": {},
    "get_bucket_lifecycle_configuration": {}, "get_bucket_logging": {}, "get_bucket_request_payment": {},
    "get_bucket_notification_configuration": {}, "get_object_lock_configuration": {}, "get_bucket_website": {},
    "get_bucket_replication": {}, "get_bucket_accelerate_configuration": {},
    "put_bucket_acl": {"ACL": "private"}, "put_bucket_policy": {"Policy": "…"}, "delete_bucket_policy": {},
    "put_public_access_block": {"PublicAccessBlockConfiguration": _GRANTS}, "delete_public_access_block": {},
    "put_bucket_ownership_controls": {"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}},
    "delete_bucket_ownership_controls": {},
    "put_object": {"Key": "key", "Body": b"x"}, "get_object": {"Key": "key"}, "head_object": {"Key": "key"},
    "delete_object": {"Key": "key"}, "get_object_acl": {"Key": "key"},
    "put_object_acl": {"Key": "key", "ACL": "private"},
    "get_object_attributes": {"Key": "key", "ObjectAttributes": ["ETag"]}, "get_object_tagging": {"Key": "key"},
    "get_object_retention": {"Key": "key"}, "get_object_legal_hold": {"Key": "key"},
    "create_multipart_upload": {"Key": "key"}, "copy_object": {"Key": "copy", "CopySource": "self"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "key"),
    [
        (operation, key)
        for operation in sorted(FOREIGN)
        for key in ("key", "missing")[: 1 + ("Key" in FOREIGN[operation])]
    ],
)
def test_stranger_gets_AccessDenied_whatever_it_asks(hers: str, bob: Account, operation: str, key: str) -> None:
    arguments = {**FOREIGN[operation], "Bucket": hers}
    if "CopySource" in arguments:
        arguments["CopySource"] = {"Bucket": hers, "Key": key}
    elif "Key" in arguments:
        arguments["Key"] = key
    if "Policy" in arguments:
        arguments["Policy"] = json.dumps(
            {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{hers}"}]}
        )
    assert code_of(getattr(bob.s3, operation), **arguments) in ("AccessDenied", "403")


def test_DeleteObjects_tells_a_stranger_nothing_of_keys(hers: str, alice: Account, bob: Account) -> None:
    answer = bob.s3.delete_objects(Bucket=hers, Delete={"Objects": [{"Key": "key"}, {"Key": "missing"}]})
    assert {(each["Key"], each["Code"]) for each in answer["Errors"]} == {
        ("key", "AccessDenied"),
        ("missing", "AccessDenied"),
    }
    assert alice.s3.head_object(Bucket=hers, Key="key")


def test_ListBuckets_shows_an_account_its_own(hers: str, alice: Account, bob: Account, s3: Any) -> None:
    assert hers in [each["Name"] for each in alice.s3.list_buckets()["Buckets"]]
    assert hers not in [each["Name"] for each in bob.s3.list_buckets()["Buckets"]]
    assert hers in [each["Name"] for each in s3.list_buckets()["Buckets"]]


def test_CreateBucket_of_a_strangers_name(hers: str, bob: Account) -> None:
    assert code_of(bob.s3.create_bucket, Bucket=hers) == "BucketAlreadyExists"


def test_public_read_object_is_for_everybody(hers: str, alice: Account, bob: Account, nobody: Any) -> None:
    alice.s3.put_object_acl(Bucket=hers, Key="key", ACL="public-read")
    assert bob.s3.get_object(Bucket=hers, Key="key")["Body"].read() == b"hers"
    assert nobody.get_object(Bucket=hers, Key="key")["Body"].read() == b"hers"
    assert code_of(nobody.list_objects_v2, Bucket=hers) == "AccessDenied"
    assert code_of(nobody.get_object, Bucket=hers, Key="missing") == "AccessDenied"
    alice.s3.put_object(Bucket=hers, Key="key", Body=b"again")
    assert code_of(nobody.get_object, Bucket=hers, Key="key") == "AccessDenied"


def test_grants_name_accounts_by_id_and_by_address(hers: str, alice: Account, bob: Account) -> None:
    alice.s3.put_object(Bucket=hers, Key="by-id", Body=b"1", GrantRead=f'id="{bob.id}"')
    alice.s3.put_object(Bucket=hers, Key="by-address", Body=b"2", GrantRead='emailAddress="BOB@example.com"')
    for key in ("by-id", "by-address"):
        assert bob.s3.get_object(Bucket=hers, Key=key)
        [grant] = alice.s3.get_object_acl(Bucket=hers, Key=key)["Grants"]
        assert grant["Grantee"] == {"Type": "CanonicalUser", "ID": bob.id, "DisplayName": "Bob"}
    unknown = {"GrantRead": f'id="{"0" * 64}"'}
    assert code_of(alice.s3.put_object, Bucket=hers, Key="x", **unknown) == "InvalidArgument"
    unknown = {"GrantRead": 'emailAddress="no@example.com"'}
    assert code_of(alice.s3.put_object, Bucket=hers, Key="x", **unknown) == "UnresolvableGrantByEmailAddress"


def test_bucket_acl_lets_list_and_write(hers: str, alice: Account, bob: Account, nobody: Any) -> None:
    alice.s3.put_bucket_acl(Bucket=hers, ACL="public-read-write")
    assert [each["Key"] for each in nobody.list_objects_v2(Bucket=hers)["Contents"]] == ["key"]
    bob.s3.put_object(Bucket=hers, Key="his", Body=b"his")
    assert code_of(alice.s3.get_object, Bucket=hers, Key="his") == "AccessDenied"
    assert code_of(alice.s3.get_object, Bucket=hers, Key="missing") == "NoSuchKey"
    alice.s3.delete_object(Bucket=hers, Key="his")


def test_policy_comes_back_byte_for_byte_and_deny_wins(hers: str, alice: Account, bob: Account, nobody: Any) -> None:
    text = put_policy(
        alice,
        hers,
        {"Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["", "/*"]},
        {"Effect": "Deny", "Action": "s3:GetObject", "Resource": ["/secret/*"]},
    )
    assert alice.s3.get_bucket_policy(Bucket=hers)["Policy"] == text
    alice.s3.put_object(Bucket=hers, Key="secret/x", Body=b"x")
    for client in (bob.s3, nobody, alice.s3):
        assert client.get_object(Bucket=hers, Key="key")
        assert code_of(client.get_object, Bucket=hers, Key="secret/x") == "AccessDenied"
        assert len(client.list_objects_v2(Bucket=hers)["Contents"]) == 2
    assert alice.s3.get_bucket_policy_status(Bucket=hers)["PolicyStatus"] == {"IsPublic": True}
    alice.s3.delete_bucket_policy(Bucket=hers)
    assert code_of(alice.s3.get_bucket_policy, Bucket=hers) == "NoSuchBucketPolicy"
    assert code_of(bob.s3.get_object, Bucket=hers, Key="key") == "AccessDenied"


def test_condition_on_the_prefix_needs_one(hers: str, alice: Account, bob: Account) -> None:
    condition = {"StringLike": {"s3:prefix": "pub/*"}}
    put_policy(alice, hers, {"Action": "s3:ListBucket", "Resource": [""], "Condition": condition})
    assert code_of(bob.s3.list_objects_v2, Bucket=hers) == "AccessDenied"
    assert code_of(bob.s3.list_objects_v2, Bucket=hers, Prefix="k") == "AccessDenied"
    assert bob.s3.list_objects_v2(Bucket=hers, Prefix="pub/")["KeyCount"] == 0
    assert code_of(bob.s3.get_object, Bucket=hers, Key="pub/x") == "NoSuchKey"
    assert code_of(bob.s3.get_object, Bucket=hers, Key="x") == "AccessDenied"


def test_copy_needs_the_right_to_read_its_source(hers: str, alice: Account, bob: Account) -> None:
    put_policy(alice, hers, {"Action": "s3:PutObject", "Resource": ["/*"]})
    for key in ("key", "missing"):
        source = {"Bucket": hers, "Key": key}
        assert code_of(bob.s3.copy_object, Bucket=hers, Key="copy", CopySource=source) == "AccessDenied"
    alice.s3.put_object_acl(Bucket=hers, Key="key", ACL="authenticated-read")
    bob.s3.copy_object(Bucket=hers, Key="copy", CopySource={"Bucket": hers, "Key": "key"})
    assert bob.s3.get_object(Bucket=hers, Key="copy")["Body"].read() == b"hers"


def test_public_access_block(hers: str, alice: Account, nobody: Any) -> None:
    alice.s3.put_object_acl(Bucket=hers, Key="key", ACL="public-read")
    switches = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True}
    alice.s3.put_public_access_block(Bucket=hers, PublicAccessBlockConfiguration=switches)
    found = alice.s3.get_public_access_block(Bucket=hers)["PublicAccessBlockConfiguration"]
    assert found == {**switches, "RestrictPublicBuckets": False}
    assert code_of(nobody.get_object, Bucket=hers, Key="key") == "AccessDenied"
    assert code_of(alice.s3.put_object, Bucket=hers, Key="x", ACL="public-read") == "AccessDenied"
    with pytest.raises(ClientError, match="AccessDenied"):
        put_policy(alice, hers, {"Action": "s3:GetObject", "Resource": ["/*"]})
    alice.s3.delete_public_access_block(Bucket=hers)
    assert nobody.get_object(Bucket=hers, Key="key")


def test_ownership_enforced_disables_acls(hers: str, alice: Account, bob: Account) -> None:
    put_policy(alice, hers, {"Action": "s3:PutObject", "Resource": ["/*"]})
    controls = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    alice.s3.put_bucket_ownership_controls(Bucket=hers, OwnershipControls=controls)
    bob.s3.put_object(Bucket=hers, Key="his", Body=b"his")
    assert alice.s3.get_object(Bucket=hers, Key="his")["Body"].read() == b"his"
    assert code_of(bob.s3.get_object, Bucket=hers, Key="his") == "AccessDenied"
    assert alice.s3.get_object_acl(Bucket=hers, Key="his")["Owner"]["ID"] == alice.id
    assert code_of(bob.s3.put_object, Bucket=hers, Key="x", ACL="private") == "AccessControlListNotSupported"
    bob.s3.put_object(Bucket=hers, Key="x", ACL="bucket-owner-full-control")


def test_expected_bucket_owner(hers: str, alice: Account, bob: Account) -> None:
    assert alice.s3.head_bucket(Bucket=hers, ExpectedBucketOwner=alice.id)
    assert code_of(alice.s3.list_objects_v2, Bucket=hers, ExpectedBucketOwner=bob.id) == "AccessDenied"
    assert code_of(alice.s3.put_object, Bucket=hers, Key="x", ExpectedBucketOwner="bob") == "AccessDenied"


def test_service_role_is_not_bound(hers: str, alice: Account, s3: Any) -> None:
    put_policy(alice, hers, {"Effect": "Deny", "Action": "s3:*", "Resource": ["", "/*"]})
    assert code_of(alice.s3.get_object, Bucket=hers, Key="key") == "AccessDenied"
    assert s3.get_object(Bucket=hers, Key="key")["Body"].read() == b"hers"
    alice.s3.delete_bucket_policy(Bucket=hers)
