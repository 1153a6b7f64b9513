"""GetBucketAcl, PutBucketAcl, GetObjectAcl, PutObjectAcl."""

from typing import Final

from gateway.context import Call
from gateway.errors import StorageError
from gateway.metadata import access as access_database
from gateway.metadata.records import Visibility
from gateway.operations import acl, versions
from gateway.operations.services import Services
from gateway.operations.shapes import (
    GetBucketAclInput,
    GetBucketAclOutput,
    GetObjectAclInput,
    GetObjectAclOutput,
    PutBucketAclInput,
    PutBucketAclOutput,
    PutObjectAclInput,
    PutObjectAclOutput,
)

_ATTEMPTS: Final = 3


async def get_bucket_acl(services: Services, call: Call, asked: GetBucketAclInput) -> GetBucketAclOutput:
    """Owner and grants (https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketAcl.html)."""
    owner_id, found, unseen = await access_database.bucket_acl(services.session, call.scope, asked.bucket)
    _require_seen(unseen, asked.bucket)
    owner, grants = await acl.rendered(services, call, found, owner_id)
    return GetBucketAclOutput(owner=owner, grants=grants)


async def put_bucket_acl(services: Services, call: Call, asked: PutBucketAclInput) -> PutBucketAclOutput:
    """Replace a bucket's ACL (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketAcl.html)."""
    _, _, unseen = await access_database.bucket_acl(services.session, call.scope, asked.bucket)
    _require_seen(unseen, asked.bucket)
    facts = await access_database.facts(services.session, call.scope, asked.bucket)
    wanted = await acl.requested(services, call, asked, facts, facts.owner_id, asked.access_control_policy)
    await access_database.set_bucket_acl(services.session, call.scope, asked.bucket, wanted)
    return PutBucketAclOutput()


async def get_object_acl(services: Services, call: Call, asked: GetObjectAclInput) -> GetObjectAclOutput:
    """Owner and grants; the bucket's owner's alone where its ownership controls disable ACLs
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAcl.html)."""
    record = await versions.find_stored_object(services, call, asked.bucket, asked.key, asked.version_id)
    facts = await access_database.facts(services.session, call.scope, asked.bucket)
    if facts.acls_disabled:
        owner, grants = await acl.rendered(services, call, None, facts.owner_id)
    else:
        owner_id = facts.owner_id if record.owner_id is None else record.owner_id
        owner, grants = await acl.rendered(services, call, record.attributes.acl, owner_id)
    return GetObjectAclOutput(owner=owner, grants=grants)


async def put_object_acl(services: Services, call: Call, asked: PutObjectAclInput) -> PutObjectAclOutput:
    """Replace an object's ACL; neither its bytes nor its Last-Modified change
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectAcl.html)."""
    for _ in range(_ATTEMPTS):
        record = await versions.find_stored_object(services, call, asked.bucket, asked.key, asked.version_id)
        facts = await access_database.facts(services.session, call.scope, asked.bucket)
        owner_id = facts.owner_id if record.owner_id is None else record.owner_id
        wanted = await acl.requested(services, call, asked, facts, owner_id, asked.access_control_policy)
        if await access_database.set_object_acl(services.session, call.scope, record, wanted):
            return PutObjectAclOutput()
    raise StorageError("ConditionalRequestConflict")


def _require_seen(unseen: Visibility | None, bucket: str) -> None:
    if unseen is Visibility.NONE:
        raise StorageError("NoSuchBucket", BucketName=bucket)
    if unseen is not None:
        raise StorageError("AccessDenied")
