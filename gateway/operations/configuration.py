"""Sub-resource GETs of what nobody has configured: S3's own answers, which clients poke at before they work."""

from gateway.context import Call
from gateway.errors import StorageError
from gateway.operations import access, owners, versions
from gateway.operations.services import Services
from gateway.operations.shapes import (
    GetBucketAccelerateConfigurationInput,
    GetBucketAccelerateConfigurationOutput,
    GetBucketAclInput,
    GetBucketAclOutput,
    GetBucketLoggingInput,
    GetBucketLoggingOutput,
    GetBucketNotificationConfigurationInput,
    GetBucketNotificationConfigurationOutput,
    GetBucketOwnershipControlsInput,
    GetBucketOwnershipControlsOutput,
    GetBucketPolicyInput,
    GetBucketPolicyOutput,
    GetBucketPolicyStatusInput,
    GetBucketPolicyStatusOutput,
    GetBucketReplicationInput,
    GetBucketReplicationOutput,
    GetBucketRequestPaymentInput,
    GetBucketRequestPaymentOutput,
    GetBucketWebsiteInput,
    GetBucketWebsiteOutput,
    GetObjectAclInput,
    GetObjectAclOutput,
    GetPublicAccessBlockInput,
    GetPublicAccessBlockOutput,
    Grant,
    Grantee,
)


async def get_bucket_acl(services: Services, call: Call, asked: GetBucketAclInput) -> GetBucketAclOutput:
    """Its owner has full control."""
    bucket = await access.require_bucket(services, call, asked.bucket)
    return GetBucketAclOutput(owner=owners.owner(call, bucket.owner_id), grants=_full_control(call, bucket.owner_id))


async def get_object_acl(services: Services, call: Call, asked: GetObjectAclInput) -> GetObjectAclOutput:
    """Its owner has full control."""
    record = await versions.find_object(services, call, asked.bucket, asked.key, asked.version_id)
    return GetObjectAclOutput(owner=owners.owner(call, record.owner_id), grants=_full_control(call, record.owner_id))


async def get_bucket_request_payment(
    services: Services, call: Call, asked: GetBucketRequestPaymentInput
) -> GetBucketRequestPaymentOutput:
    """The owner pays."""
    await access.require_bucket(services, call, asked.bucket)
    return GetBucketRequestPaymentOutput(payer="BucketOwner")


async def get_bucket_logging(services: Services, call: Call, asked: GetBucketLoggingInput) -> GetBucketLoggingOutput:
    """No logging: an empty document."""
    await access.require_bucket(services, call, asked.bucket)
    return GetBucketLoggingOutput()


async def get_bucket_notification(
    services: Services, call: Call, asked: GetBucketNotificationConfigurationInput
) -> GetBucketNotificationConfigurationOutput:
    """No notifications: an empty document."""
    await access.require_bucket(services, call, asked.bucket)
    return GetBucketNotificationConfigurationOutput()


async def get_bucket_accelerate(
    services: Services, call: Call, asked: GetBucketAccelerateConfigurationInput
) -> GetBucketAccelerateConfigurationOutput:
    """No acceleration: an empty document."""
    await access.require_bucket(services, call, asked.bucket)
    return GetBucketAccelerateConfigurationOutput()


async def get_bucket_policy(services: Services, call: Call, asked: GetBucketPolicyInput) -> GetBucketPolicyOutput:
    """No policy."""
    raise await _not_configured(services, call, asked.bucket, "NoSuchBucketPolicy")


async def get_bucket_policy_status(
    services: Services, call: Call, asked: GetBucketPolicyStatusInput
) -> GetBucketPolicyStatusOutput:
    """No policy, so no status of it."""
    raise await _not_configured(services, call, asked.bucket, "NoSuchBucketPolicy")


async def get_bucket_ownership_controls(
    services: Services, call: Call, asked: GetBucketOwnershipControlsInput
) -> GetBucketOwnershipControlsOutput:
    """No ownership controls."""
    raise await _not_configured(services, call, asked.bucket, "OwnershipControlsNotFoundError")


async def get_bucket_replication(
    services: Services, call: Call, asked: GetBucketReplicationInput
) -> GetBucketReplicationOutput:
    """No replication."""
    raise await _not_configured(services, call, asked.bucket, "ReplicationConfigurationNotFoundError")


async def get_bucket_website(services: Services, call: Call, asked: GetBucketWebsiteInput) -> GetBucketWebsiteOutput:
    """No website."""
    raise await _not_configured(services, call, asked.bucket, "NoSuchWebsiteConfiguration")


async def get_public_access_block(
    services: Services, call: Call, asked: GetPublicAccessBlockInput
) -> GetPublicAccessBlockOutput:
    """No public access block."""
    raise await _not_configured(services, call, asked.bucket, "NoSuchPublicAccessBlockConfiguration")


async def _not_configured(services: Services, call: Call, bucket: str, code: str) -> StorageError:
    await access.require_bucket(services, call, bucket)
    return StorageError(code, BucketName=bucket)


def _full_control(call: Call, owner_id: str | None) -> tuple[Grant, ...]:
    owner = owners.owner(call, owner_id)
    grantee = Grantee(type="CanonicalUser", id=owner.id, display_name=owner.display_name)
    return (Grant(grantee=grantee, permission="FULL_CONTROL"),)
