"""Sub-resource GETs of what nobody has configured: S3's own answers, which clients poke at before they work."""

from gateway.context import Call
from gateway.errors import StorageError
from gateway.metadata import objects
from gateway.metadata.records import ObjectRecord
from gateway.operations import access
from gateway.operations.services import Services
from gateway.operations.shapes import (
    GetBucketAccelerateConfigurationInput,
    GetBucketAccelerateConfigurationOutput,
    GetBucketCorsInput,
    GetBucketCorsOutput,
    GetBucketEncryptionInput,
    GetBucketEncryptionOutput,
    GetBucketLifecycleConfigurationInput,
    GetBucketLifecycleConfigurationOutput,
    GetBucketLoggingInput,
    GetBucketLoggingOutput,
    GetBucketNotificationConfigurationInput,
    GetBucketNotificationConfigurationOutput,
    GetBucketReplicationInput,
    GetBucketReplicationOutput,
    GetBucketRequestPaymentInput,
    GetBucketRequestPaymentOutput,
    GetBucketTaggingInput,
    GetBucketTaggingOutput,
    GetBucketVersioningInput,
    GetBucketVersioningOutput,
    GetBucketWebsiteInput,
    GetBucketWebsiteOutput,
    GetObjectLegalHoldInput,
    GetObjectLegalHoldOutput,
    GetObjectLockConfigurationInput,
    GetObjectLockConfigurationOutput,
    GetObjectRetentionInput,
    GetObjectRetentionOutput,
    GetObjectTaggingInput,
    GetObjectTaggingOutput,
)


async def get_bucket_versioning(
    services: Services, call: Call, asked: GetBucketVersioningInput
) -> GetBucketVersioningOutput:
    """Never enabled: an empty document."""
    await access.require_bucket(services, call, asked.bucket)
    return GetBucketVersioningOutput()


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


async def get_bucket_lifecycle(
    services: Services, call: Call, asked: GetBucketLifecycleConfigurationInput
) -> GetBucketLifecycleConfigurationOutput:
    """No lifecycle rules."""
    raise await _not_configured(services, call, asked.bucket, "NoSuchLifecycleConfiguration")


async def get_bucket_tagging(services: Services, call: Call, asked: GetBucketTaggingInput) -> GetBucketTaggingOutput:
    """No tags of the bucket."""
    raise await _not_configured(services, call, asked.bucket, "NoSuchTagSet")


async def get_object_tagging(services: Services, call: Call, asked: GetObjectTaggingInput) -> GetObjectTaggingOutput:
    """No tags: unlike a bucket's, an object's empty set is an answer."""
    await _require_object(services, call, asked.bucket, asked.key, asked.version_id)
    return GetObjectTaggingOutput(tag_set=())


async def get_bucket_encryption(
    services: Services, call: Call, asked: GetBucketEncryptionInput
) -> GetBucketEncryptionOutput:
    """No default encryption."""
    raise await _not_configured(services, call, asked.bucket, "ServerSideEncryptionConfigurationNotFoundError")


async def get_object_lock_configuration(
    services: Services, call: Call, asked: GetObjectLockConfigurationInput
) -> GetObjectLockConfigurationOutput:
    """No object lock on the bucket."""
    raise await _not_configured(services, call, asked.bucket, "ObjectLockConfigurationNotFoundError")


async def get_object_retention(
    services: Services, call: Call, asked: GetObjectRetentionInput
) -> GetObjectRetentionOutput:
    """No object lock on the bucket, so none on the object."""
    await _require_object(services, call, asked.bucket, asked.key, asked.version_id)
    raise StorageError("InvalidRequest", "Bucket is missing Object Lock Configuration")


async def get_object_legal_hold(
    services: Services, call: Call, asked: GetObjectLegalHoldInput
) -> GetObjectLegalHoldOutput:
    """No object lock on the bucket, so none on the object."""
    await _require_object(services, call, asked.bucket, asked.key, asked.version_id)
    raise StorageError("InvalidRequest", "Bucket is missing Object Lock Configuration")


async def get_bucket_replication(
    services: Services, call: Call, asked: GetBucketReplicationInput
) -> GetBucketReplicationOutput:
    """No replication."""
    raise await _not_configured(services, call, asked.bucket, "ReplicationConfigurationNotFoundError")


async def get_bucket_website(services: Services, call: Call, asked: GetBucketWebsiteInput) -> GetBucketWebsiteOutput:
    """No website."""
    raise await _not_configured(services, call, asked.bucket, "NoSuchWebsiteConfiguration")


async def get_bucket_cors(services: Services, call: Call, asked: GetBucketCorsInput) -> GetBucketCorsOutput:
    """No CORS rules."""
    raise await _not_configured(services, call, asked.bucket, "NoSuchCORSConfiguration")


async def _not_configured(services: Services, call: Call, bucket: str, code: str) -> StorageError:
    await access.require_bucket(services, call, bucket)
    return StorageError(code, BucketName=bucket)


async def _require_object(
    services: Services, call: Call, bucket: str, key: str, version_id: str | None
) -> ObjectRecord:
    access.require_null_version(version_id, key)
    record = await objects.describe_object(services.session, call.scope, bucket, key)
    if record is None:
        raise await access.missing_key(services, call, bucket, key)
    return record
