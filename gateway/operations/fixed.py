"""Configurations with one possible value here: putting it is accepted, for it is true; anything else would be a promise
that nobody keeps, and is refused.

Clients put them when they make, import or reset a bucket: "the owner pays", "no logging", "no notifications".
"""

from gateway.context import SERVICE_ROLE, Call
from gateway.errors import StorageError
from gateway.operations import access
from gateway.operations.services import Services
from gateway.operations.shapes import (
    BucketLoggingStatus,
    NotificationConfiguration,
    PutBucketLoggingInput,
    PutBucketLoggingOutput,
    PutBucketNotificationConfigurationInput,
    PutBucketNotificationConfigurationOutput,
    PutBucketRequestPaymentInput,
    PutBucketRequestPaymentOutput,
)


async def put_bucket_request_payment(
    services: Services, call: Call, asked: PutBucketRequestPaymentInput
) -> PutBucketRequestPaymentOutput:
    """The owner pays; there is nobody who would charge the requester."""
    if asked.request_payment_configuration.payer != "BucketOwner":
        raise StorageError("NotImplemented", "Buckets whose requesters pay are not implemented.")
    await _require_owner(services, call, asked.bucket)
    return PutBucketRequestPaymentOutput()


async def put_bucket_logging(services: Services, call: Call, asked: PutBucketLoggingInput) -> PutBucketLoggingOutput:
    """No logging to a bucket."""
    if asked.bucket_logging_status != BucketLoggingStatus():
        raise StorageError("NotImplemented", "Logging to a bucket is not implemented.")
    await _require_owner(services, call, asked.bucket)
    return PutBucketLoggingOutput()


async def put_bucket_notification(
    services: Services, call: Call, asked: PutBucketNotificationConfigurationInput
) -> PutBucketNotificationConfigurationOutput:
    """No notifications."""
    if asked.notification_configuration != NotificationConfiguration():
        raise StorageError("NotImplemented", "Notifications are not implemented.")
    await _require_owner(services, call, asked.bucket)
    return PutBucketNotificationConfigurationOutput()


async def _require_owner(services: Services, call: Call, bucket: str) -> None:
    """Who owns a bucket configures it. Raises NoSuchBucket, AccessDenied."""
    found = await access.require_bucket(services, call, bucket)
    if call.principal.role != SERVICE_ROLE and (not found.owner_id or found.owner_id != call.principal.subject):
        raise StorageError("AccessDenied")
