"""Encryption, object lock, retention and legal hold: typed inputs and outputs."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSideEncryptionByDefault:
    """Describes the default server-side encryption to apply to new objects in the bucket."""

    sse_algorithm: str
    kms_master_key_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedEncryptionTypes:
    """A bucket-level setting for Amazon S3 general purpose buckets used to prevent the upload of new objects
    encrypted with the specified server-side encryption type.
    """

    encryption_type: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSideEncryptionRule:
    """Specifies the default server-side encryption configuration."""

    apply_server_side_encryption_by_default: ServerSideEncryptionByDefault | None = None
    bucket_key_enabled: bool | None = None
    blocked_encryption_types: BlockedEncryptionTypes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSideEncryptionConfiguration:
    """Specifies the default server-side-encryption configuration."""

    rules: tuple[ServerSideEncryptionRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketEncryptionInput:
    """What GetBucketEncryption is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketEncryptionOutput:
    """What GetBucketEncryption answers."""

    server_side_encryption_configuration: ServerSideEncryptionConfiguration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketEncryptionInput:
    """What PutBucketEncryption is asked."""

    bucket: str
    server_side_encryption_configuration: ServerSideEncryptionConfiguration
    content_md5: str | None = None
    checksum_algorithm: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketEncryptionOutput:
    """What PutBucketEncryption answers: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBucketEncryptionInput:
    """What DeleteBucketEncryption is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBucketEncryptionOutput:
    """What DeleteBucketEncryption answers: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventHoldDuration:
    """Contains the event hold duration configuration, specified in either days or years."""

    days: int | None = None
    years: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultRetention:
    """The container element for optionally specifying the default Object Lock retention settings for new objects
    placed in the specified bucket.
    """

    mode: str | None = None
    days: int | None = None
    years: int | None = None
    default_event_hold: EventHoldDuration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectLockRule:
    """The container element for an Object Lock rule."""

    default_retention: DefaultRetention | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectLockConfiguration:
    """The container element for Object Lock configuration parameters."""

    object_lock_enabled: str | None = None
    rule: ObjectLockRule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetObjectLockConfigurationInput:
    """What GetObjectLockConfiguration is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetObjectLockConfigurationOutput:
    """What GetObjectLockConfiguration answers."""

    object_lock_configuration: ObjectLockConfiguration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectLockRetention:
    """A Retention configuration for an object."""

    mode: str | None = None
    retain_until_date: datetime | None = None
    event_hold: str | None = None
    event_hold_duration: EventHoldDuration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetObjectRetentionInput:
    """What GetObjectRetention is asked."""

    bucket: str
    key: str
    version_id: str | None = None
    request_payer: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetObjectRetentionOutput:
    """What GetObjectRetention answers."""

    retention: ObjectLockRetention | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectLockLegalHold:
    """A legal hold configuration for an object."""

    status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetObjectLegalHoldInput:
    """What GetObjectLegalHold is asked."""

    bucket: str
    key: str
    version_id: str | None = None
    request_payer: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetObjectLegalHoldOutput:
    """What GetObjectLegalHold answers."""

    legal_hold: ObjectLockLegalHold | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutObjectLockConfigurationInput:
    """What PutObjectLockConfiguration is asked."""

    bucket: str
    object_lock_configuration: ObjectLockConfiguration | None = None
    request_payer: str | None = None
    token: str | None = None
    content_md5: str | None = None
    checksum_algorithm: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutObjectLockConfigurationOutput:
    """What PutObjectLockConfiguration answers."""

    request_charged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutObjectRetentionInput:
    """What PutObjectRetention is asked."""

    bucket: str
    key: str
    retention: ObjectLockRetention | None = None
    request_payer: str | None = None
    version_id: str | None = None
    bypass_governance_retention: bool | None = None
    content_md5: str | None = None
    checksum_algorithm: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutObjectRetentionOutput:
    """What PutObjectRetention answers."""

    request_charged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutObjectLegalHoldInput:
    """What PutObjectLegalHold is asked."""

    bucket: str
    key: str
    legal_hold: ObjectLockLegalHold | None = None
    request_payer: str | None = None
    version_id: str | None = None
    content_md5: str | None = None
    checksum_algorithm: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutObjectLegalHoldOutput:
    """What PutObjectLegalHold answers."""

    request_charged: str | None = None
