"""ListBuckets, CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation."""

from typing import Final

from gateway.context import ANONYMOUS_ROLE, Call
from gateway.errors import StorageError
from gateway.metadata import access as access_database
from gateway.metadata import buckets, keyspace
from gateway.metadata.access import Acl
from gateway.metadata.buckets import DuplicateRow
from gateway.operations import access, acl, owners
from gateway.operations.bucket_policies import require_ownership
from gateway.operations.services import Services
from gateway.operations.shapes import (
    Bucket,
    CreateBucketInput,
    CreateBucketOutput,
    DeleteBucketInput,
    DeleteBucketOutput,
    GetBucketLocationInput,
    GetBucketLocationOutput,
    HeadBucketInput,
    HeadBucketOutput,
    ListBucketsInput,
    ListBucketsOutput,
)
from gateway.operations.tokens import decode_token, encode_token
from gateway.wire.addressing import validate_bucket_name

_MAX_BUCKETS: Final = 10_000
# The region in which a bucket may be made again by its owner, and whose buckets have no location constraint.
_CLASSIC_REGION: Final = "us-east-1"


async def list_buckets(services: Services, call: Call, asked: ListBucketsInput) -> ListBucketsOutput:
    """The buckets the caller sees (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html)."""
    limit = _MAX_BUCKETS if asked.max_buckets is None else asked.max_buckets
    if not 1 <= limit <= _MAX_BUCKETS:
        raise StorageError(
            "InvalidArgument",
            f"Argument max-buckets must be an integer between 1 and {_MAX_BUCKETS}",
            ArgumentName="max-buckets",
            ArgumentValue=str(limit),
        )
    if asked.bucket_region not in (None, call.tenant.region):
        return ListBucketsOutput(buckets=(), owner=owners.owner(call, call.principal.subject), prefix=asked.prefix)
    last = decode_token(asked.continuation_token) if asked.continuation_token else None
    keys = keyspace.within(asked.prefix or "", lower=keyspace.after(last) if last else "")
    found = await buckets.list_buckets(services.session, call.scope, keys, limit + 1)
    page = found[:limit]
    if not found and call.principal.role == ANONYMOUS_ROLE:
        raise StorageError("AccessDenied")
    # The region and the token belong to the paged form of the request; older clients do not expect them.
    paged = asked.max_buckets is not None or asked.continuation_token is not None
    return ListBucketsOutput(
        buckets=tuple(
            Bucket(
                name=bucket.id,
                creation_date=bucket.created_at,
                bucket_region=call.tenant.region if paged else None,
            )
            for bucket in page
        ),
        owner=owners.owner(call, call.principal.subject),
        continuation_token=encode_token(page[-1].id) if len(found) > limit else None,
        prefix=asked.prefix,
    )


async def create_bucket(services: Services, call: Call, asked: CreateBucketInput) -> CreateBucketOutput:
    """Make a bucket owned by the caller (https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html)."""
    validate_bucket_name(asked.bucket, creating=True)
    access.refuse_unimplemented(asked, bucket_namespace="x-amz-bucket-namespace")
    _require_location(asked, call.tenant.region)
    subject = call.principal.subject
    granted: Acl | None = None
    if asked.object_ownership is not None:
        require_ownership(asked.object_ownership)
    if acl.asks(asked):
        fresh = access_database.AccessFacts(subject, None, None, {}, policy_is_public=False)
        granted = await acl.requested(services, call, asked, fresh, subject)
        if granted is not None and asked.object_ownership == access_database.ENFORCED:
            raise StorageError("InvalidBucketAclWithObjectOwnership")
    try:
        if granted is None and asked.object_ownership is None:
            await buckets.create_bucket(
                services.session,
                call.scope,
                asked.bucket,
                subject,
                public=False,
                object_lock=bool(asked.object_lock_enabled_for_bucket),
            )
        else:
            await access_database.create_bucket(
                services.session,
                call.scope,
                asked.bucket,
                subject,
                granted,
                asked.object_ownership,
                object_lock=bool(asked.object_lock_enabled_for_bucket),
            )
    except DuplicateRow as error:
        existing, _ = await buckets.find_bucket(services.session, call.scope, asked.bucket)
        if existing is None or (existing.owner_id or None) != subject:
            raise StorageError("BucketAlreadyExists", BucketName=asked.bucket) from error
        if call.tenant.region != _CLASSIC_REGION:
            raise StorageError("BucketAlreadyOwnedByYou", BucketName=asked.bucket) from error
        facts = await access_database.facts(services.session, call.scope, asked.bucket)
        if facts.acl != granted:
            # Made again it would be another bucket.
            raise StorageError("BucketAlreadyExists", BucketName=asked.bucket) from error
    return CreateBucketOutput(location=f"/{asked.bucket}")


async def head_bucket(services: Services, call: Call, asked: HeadBucketInput) -> HeadBucketOutput:
    """Does the bucket exist and may the caller see it?"""
    await access.require_bucket(services, call, asked.bucket)
    return HeadBucketOutput(bucket_region=call.tenant.region)


async def delete_bucket(services: Services, call: Call, asked: DeleteBucketInput) -> DeleteBucketOutput:
    """Delete an empty bucket, and with it the uploads into it that were never finished."""
    await buckets.delete_bucket(services.session, call.scope, asked.bucket)
    return DeleteBucketOutput()


async def get_bucket_location(services: Services, call: Call, asked: GetBucketLocationInput) -> GetBucketLocationOutput:
    """The bucket's region; nothing for us-east-1, as S3 has it."""
    await access.require_bucket(services, call, asked.bucket)
    region = call.tenant.region
    return GetBucketLocationOutput(location_constraint=None if region == _CLASSIC_REGION else region)


def _require_location(asked: CreateBucketInput, region: str) -> None:
    configuration = asked.create_bucket_configuration
    wanted = configuration.location_constraint if configuration else None
    if wanted and wanted != region:
        raise StorageError(
            "IllegalLocationConstraintException",
            f"The {wanted} location constraint is incompatible for the region specific endpoint this request was "
            "sent to.",
        )
