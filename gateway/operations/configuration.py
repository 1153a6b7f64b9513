"""Sub-resource GETs of what nobody has configured: S3's own answers, which clients poke at before they work."""

from gateway.context import Call
from gateway.errors import StorageError
from gateway.operations import access
from gateway.operations.services import Services
from gateway.operations.shapes import (
    GetBucketAccelerateConfigurationInput,
    GetBucketAccelerateConfigurationOutput,
    GetBucketLoggingInput,
    GetBucketLoggingOutput,
    GetBucketNotificationConfigurationInput,
    GetBucketNotificationConfigurationOutput,
    GetBucketReplicationInput,
    GetBucketReplicationOutput,
    GetBucketRequestPaymentInput,
    GetBucketRequestPaymentOutput,
    GetBucketWebsiteInput,
    GetBucketWebsiteOutput,
)


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


async def get_bucket_replication(
    services: Services, call: Call, asked: GetBucketReplicationInput
) -> GetBucketReplicationOutput:
    """No replication."""
    raise await _not_configured(services, call, asked.bucket, "ReplicationConfigurationNotFoundError")


async def get_bucket_website(services: Services, call: Call, asked: GetBucketWebsiteInput) -> GetBucketWebsiteOutput:
    """No website."""
    raise await _not_configured(services, call, asked.bucket, "NoSuchWebsiteConfiguration")


async def _not_configured(services: Services, call: Call, bucket: str, code: str) -> StorageError:
    await access.require_bucket(services, call, bucket)
    return StorageError(code, BucketName=bucket)
