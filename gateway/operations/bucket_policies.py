"""Bucket policy and its status, public access block, ownership controls."""

from dataclasses import fields
from typing import Any, Final

from gateway import access_policy
from gateway.context import Call
from gateway.errors import StorageError
from gateway.metadata import access as access_database
from gateway.metadata import configurations
from gateway.metadata.access import ENFORCED, PREFERRED
from gateway.metadata.configurations import Kind
from gateway.metadata.records import Visibility
from gateway.operations import access, acl
from gateway.operations.owners import canonical_id
from gateway.operations.services import Services
from gateway.operations.shapes import (
    DeleteBucketOwnershipControlsInput,
    DeleteBucketOwnershipControlsOutput,
    DeleteBucketPolicyInput,
    DeleteBucketPolicyOutput,
    DeletePublicAccessBlockInput,
    DeletePublicAccessBlockOutput,
    GetBucketOwnershipControlsInput,
    GetBucketOwnershipControlsOutput,
    GetBucketPolicyInput,
    GetBucketPolicyOutput,
    GetBucketPolicyStatusInput,
    GetBucketPolicyStatusOutput,
    GetPublicAccessBlockInput,
    GetPublicAccessBlockOutput,
    OwnershipControls,
    OwnershipControlsRule,
    PolicyStatus,
    PublicAccessBlockConfiguration,
    PutBucketOwnershipControlsInput,
    PutBucketOwnershipControlsOutput,
    PutBucketPolicyInput,
    PutBucketPolicyOutput,
    PutPublicAccessBlockInput,
    PutPublicAccessBlockOutput,
)

_OWNERSHIPS: Final = frozenset({ENFORCED, PREFERRED, "ObjectWriter"})
_BLOCK_FIELDS: Final = tuple(field.name for field in fields(PublicAccessBlockConfiguration))


def require_ownership(value: str) -> None:
    """Raise InvalidArgument unless it is one of S3's settings of object ownership."""
    if value not in _OWNERSHIPS:
        raise StorageError(
            "InvalidArgument",
            f"Invalid x-amz-object-ownership header: {value[:100]}",
            ArgumentName="x-amz-object-ownership",
            ArgumentValue=value[:100],
        )


async def get_bucket_policy(services: Services, call: Call, asked: GetBucketPolicyInput) -> GetBucketPolicyOutput:
    """The policy, byte for byte as it was put."""
    document = await _require(services, call, asked.bucket, Kind.POLICY, "NoSuchBucketPolicy")
    return GetBucketPolicyOutput(policy=document["text"])


async def put_bucket_policy(services: Services, call: Call, asked: PutBucketPolicyInput) -> PutBucketPolicyOutput:
    """Replace the policy (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html).

    Raises MalformedPolicy; AccessDenied also for a public policy where the public access block forbids one.
    """
    policy = access_policy.parse(asked.policy, asked.bucket)
    await access.require_bucket(services, call, asked.bucket)
    facts = await access_database.facts(services.session, call.scope, asked.bucket)
    if policy.is_public and facts.public_access_block.get("block_public_policy"):
        raise StorageError("AccessDenied")
    at_hand = {
        canonical_id(call.tenant.id, subject): subject
        for subject in (call.principal.subject or "", facts.owner_id or "")
        if subject
    }
    accounts = await access_database.find_accounts(
        services.session, call.scope, canonical_ids=policy.canonical_ids - at_hand.keys()
    )
    subjects = at_hand | {account.canonical_id: account.subject for account in accounts}
    document = policy.document(subjects, binds_owner=bool(asked.confirm_remove_self_bucket_access))
    await configurations.put(services.session, call.scope, asked.bucket, Kind.POLICY, document)
    return PutBucketPolicyOutput()


async def delete_bucket_policy(
    services: Services, call: Call, asked: DeleteBucketPolicyInput
) -> DeleteBucketPolicyOutput:
    """Remove the policy; no error where there is none."""
    await _delete(services, call, asked.bucket, Kind.POLICY)
    return DeleteBucketPolicyOutput()


async def get_bucket_policy_status(
    services: Services, call: Call, asked: GetBucketPolicyStatusInput
) -> GetBucketPolicyStatusOutput:
    """Is the bucket public, by its policy or by its ACL?"""
    await access.require_bucket(services, call, asked.bucket)
    facts = await access_database.facts(services.session, call.scope, asked.bucket)
    block = facts.public_access_block
    by_acl = acl.is_public(facts.acl) and not facts.acls_disabled and not block.get("ignore_public_acls")
    by_policy = facts.policy_is_public and not block.get("restrict_public_buckets")
    return GetBucketPolicyStatusOutput(policy_status=PolicyStatus(is_public=bool(by_acl or by_policy)))


async def get_public_access_block(
    services: Services, call: Call, asked: GetPublicAccessBlockInput
) -> GetPublicAccessBlockOutput:
    """The four switches."""
    code = "NoSuchPublicAccessBlockConfiguration"
    document = await _require(services, call, asked.bucket, Kind.PUBLIC_ACCESS_BLOCK, code)
    found = {name: bool(document.get(name)) for name in _BLOCK_FIELDS}
    return GetPublicAccessBlockOutput(public_access_block_configuration=PublicAccessBlockConfiguration(**found))


async def put_public_access_block(
    services: Services, call: Call, asked: PutPublicAccessBlockInput
) -> PutPublicAccessBlockOutput:
    """Set all four switches; one that is not given is off."""
    given = asked.public_access_block_configuration
    document = {name: bool(getattr(given, name)) for name in _BLOCK_FIELDS}
    await configurations.put(services.session, call.scope, asked.bucket, Kind.PUBLIC_ACCESS_BLOCK, document)
    return PutPublicAccessBlockOutput()


async def delete_public_access_block(
    services: Services, call: Call, asked: DeletePublicAccessBlockInput
) -> DeletePublicAccessBlockOutput:
    """Remove the switches; no error where there are none."""
    await _delete(services, call, asked.bucket, Kind.PUBLIC_ACCESS_BLOCK)
    return DeletePublicAccessBlockOutput()


async def get_bucket_ownership_controls(
    services: Services, call: Call, asked: GetBucketOwnershipControlsInput
) -> GetBucketOwnershipControlsOutput:
    """Who owns what others write into the bucket."""
    document = await _require(services, call, asked.bucket, Kind.OWNERSHIP, "OwnershipControlsNotFoundError")
    rule = OwnershipControlsRule(object_ownership=document["object_ownership"])
    return GetBucketOwnershipControlsOutput(ownership_controls=OwnershipControls(rules=(rule,)))


async def put_bucket_ownership_controls(
    services: Services, call: Call, asked: PutBucketOwnershipControlsInput
) -> PutBucketOwnershipControlsOutput:
    """Set the object ownership. Raises InvalidBucketAclWithObjectOwnership for a bucket whose ACL grants something to
    others, when ACLs are to be disabled."""
    rules = asked.ownership_controls.rules
    if len(rules) != 1 or rules[0].object_ownership not in _OWNERSHIPS:
        raise StorageError("MalformedXML")
    ownership = rules[0].object_ownership
    await access.require_bucket(services, call, asked.bucket)
    facts = await access_database.facts(services.session, call.scope, asked.bucket)
    if ownership == ENFORCED and facts.acl is not None:
        raise StorageError("InvalidBucketAclWithObjectOwnership")
    document = {"object_ownership": ownership}
    await configurations.put(services.session, call.scope, asked.bucket, Kind.OWNERSHIP, document)
    return PutBucketOwnershipControlsOutput()


async def delete_bucket_ownership_controls(
    services: Services, call: Call, asked: DeleteBucketOwnershipControlsInput
) -> DeleteBucketOwnershipControlsOutput:
    """Back to the default, ObjectWriter."""
    await _delete(services, call, asked.bucket, Kind.OWNERSHIP)
    return DeleteBucketOwnershipControlsOutput()


async def _require(services: Services, call: Call, bucket: str, kind: Kind, code: str) -> Any:
    document, seen = await configurations.find(services.session, call.scope, bucket, kind)
    if seen is Visibility.NONE:
        raise StorageError("NoSuchBucket", BucketName=bucket)
    if seen is Visibility.HIDDEN:
        raise StorageError("AccessDenied")
    if document is None:
        raise StorageError(code, BucketName=bucket)
    return document


async def _delete(services: Services, call: Call, bucket: str, kind: Kind) -> None:
    await access.require_bucket(services, call, bucket)
    await configurations.delete(services.session, call.scope, bucket, kind)
