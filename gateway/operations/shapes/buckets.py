"""Buckets and their plain switches: typed inputs and outputs."""

from dataclasses import dataclass
from datetime import datetime

from gateway.operations.shapes.common import Grantee, Owner, Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """In terms of implementation, a Bucket is a resource."""

    name: str | None = None
    creation_date: datetime | None = None
    bucket_region: str | None = None
    bucket_arn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListBucketsInput:
    """What ListBuckets is asked."""

    max_buckets: int | None = None
    continuation_token: str | None = None
    prefix: str | None = None
    bucket_region: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListBucketsOutput:
    """What ListBuckets answers."""

    buckets: tuple[Bucket, ...] | None = None
    owner: Owner | None = None
    continuation_token: str | None = None
    prefix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationInfo:
    """Specifies the location where the bucket will be created."""

    type: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketInfo:
    """Specifies the information about the bucket that will be created."""

    data_redundancy: str | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateBucketConfiguration:
    """The configuration information for the bucket."""

    location_constraint: str | None = None
    location: LocationInfo | None = None
    bucket: BucketInfo | None = None
    tags: tuple[Tag, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateBucketInput:
    """What CreateBucket is asked."""

    bucket: str
    acl: str | None = None
    create_bucket_configuration: CreateBucketConfiguration | None = None
    grant_full_control: str | None = None
    grant_read: str | None = None
    grant_read_acp: str | None = None
    grant_write: str | None = None
    grant_write_acp: str | None = None
    object_lock_enabled_for_bucket: bool | None = None
    object_ownership: str | None = None
    bucket_namespace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateBucketOutput:
    """What CreateBucket answers."""

    location: str | None = None
    bucket_arn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadBucketInput:
    """What HeadBucket is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadBucketOutput:
    """What HeadBucket answers."""

    bucket_arn: str | None = None
    bucket_location_type: str | None = None
    bucket_location_name: str | None = None
    bucket_region: str | None = None
    access_point_alias: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBucketInput:
    """What DeleteBucket is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBucketOutput:
    """What DeleteBucket answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketLocationInput:
    """What GetBucketLocation is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketLocationOutput:
    """What GetBucketLocation answers."""

    location_constraint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketVersioningInput:
    """What GetBucketVersioning is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketVersioningOutput:
    """What GetBucketVersioning answers."""

    status: str | None = None
    mfa_delete: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersioningConfiguration:
    """Describes the versioning state of an Amazon S3 bucket."""

    mfa_delete: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketVersioningInput:
    """What PutBucketVersioning is asked."""

    bucket: str
    versioning_configuration: VersioningConfiguration
    content_md5: str | None = None
    checksum_algorithm: str | None = None
    mfa: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketVersioningOutput:
    """What PutBucketVersioning answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketAccelerateConfigurationInput:
    """What GetBucketAccelerateConfiguration is asked."""

    bucket: str
    expected_bucket_owner: str | None = None
    request_payer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketAccelerateConfigurationOutput:
    """What GetBucketAccelerateConfiguration answers."""

    status: str | None = None
    request_charged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketRequestPaymentInput:
    """What GetBucketRequestPayment is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketRequestPaymentOutput:
    """What GetBucketRequestPayment answers."""

    payer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGrant:
    """Container for granting information."""

    grantee: Grantee | None = None
    permission: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SimplePrefix:
    """To use simple format for S3 keys for log objects, set SimplePrefix to an empty object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionedPrefix:
    """Amazon S3 keys for log objects are partitioned in the following format: [DestinationPrefix][SourceAccountId]/[
    SourceRegion]/[SourceBucket]/[YYYY]/[MM]/[DD]/[YYYY]-[MM]-[DD]-[hh]-[mm]-[ss]-[UniqueString] PartitionedPrefix
    defaults to EventTime delivery when server access logs are delivered.
    """

    partition_date_source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetObjectKeyFormat:
    """Amazon S3 key format for log objects."""

    simple_prefix: SimplePrefix | None = None
    partitioned_prefix: PartitionedPrefix | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingEnabled:
    """Describes where logs are stored and the prefix that Amazon S3 assigns to all log object keys for a bucket."""

    target_bucket: str
    target_prefix: str
    target_grants: tuple[TargetGrant, ...] | None = None
    target_object_key_format: TargetObjectKeyFormat | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketLoggingInput:
    """What GetBucketLogging is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketLoggingOutput:
    """What GetBucketLogging answers."""

    logging_enabled: LoggingEnabled | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketLoggingStatus:
    """Container for logging status information."""

    logging_enabled: LoggingEnabled | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketLoggingInput:
    """What PutBucketLogging is asked."""

    bucket: str
    bucket_logging_status: BucketLoggingStatus
    content_md5: str | None = None
    checksum_algorithm: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketLoggingOutput:
    """What PutBucketLogging answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPaymentConfiguration:
    """Container for Payer."""

    payer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketRequestPaymentInput:
    """What PutBucketRequestPayment is asked."""

    bucket: str
    request_payment_configuration: RequestPaymentConfiguration
    content_md5: str | None = None
    checksum_algorithm: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketRequestPaymentOutput:
    """What PutBucketRequestPayment answers."""
