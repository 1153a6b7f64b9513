"""Bucket configurations made of rules (lifecycle, notification, replication, website): typed inputs and outputs."""

from dataclasses import dataclass
from datetime import datetime

from gateway.operations.shapes.common import Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleExpiration:
    """Container for the expiration for the lifecycle of the object."""

    date: datetime | None = None
    days: int | None = None
    expired_object_delete_marker: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleRuleAndOperator:
    """This is used in a Lifecycle Rule Filter to apply a logical AND to two or more predicates."""

    prefix: str | None = None
    tags: tuple[Tag, ...] = ()
    object_size_greater_than: int | None = None
    object_size_less_than: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleRuleFilter:
    """The Filter is used to identify objects that a Lifecycle Rule applies to."""

    prefix: str | None = None
    tag: Tag | None = None
    object_size_greater_than: int | None = None
    object_size_less_than: int | None = None
    and_: LifecycleRuleAndOperator | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """Specifies when an object transitions to a specified storage class."""

    date: datetime | None = None
    days: int | None = None
    storage_class: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoncurrentVersionTransition:
    """Container for the transition rule that describes when noncurrent objects transition to the STANDARD_IA,
    ONEZONE_IA, INTELLIGENT_TIERING, GLACIER_IR, GLACIER, or DEEP_ARCHIVE storage class.
    """

    noncurrent_days: int | None = None
    storage_class: str | None = None
    newer_noncurrent_versions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoncurrentVersionExpiration:
    """Specifies when noncurrent object versions expire."""

    noncurrent_days: int | None = None
    newer_noncurrent_versions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortIncompleteMultipartUpload:
    """Specifies the days since the initiation of an incomplete multipart upload that Amazon S3 will wait before
    permanently removing all parts of the upload.
    """

    days_after_initiation: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleRule:
    """A lifecycle rule for individual objects in an Amazon S3 bucket."""

    status: str
    expiration: LifecycleExpiration | None = None
    id: str | None = None
    prefix: str | None = None
    filter: LifecycleRuleFilter | None = None
    transitions: tuple[Transition, ...] = ()
    noncurrent_version_transitions: tuple[NoncurrentVersionTransition, ...] = ()
    noncurrent_version_expiration: NoncurrentVersionExpiration | None = None
    abort_incomplete_multipart_upload: AbortIncompleteMultipartUpload | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketLifecycleConfigurationInput:
    """What GetBucketLifecycleConfiguration is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketLifecycleConfigurationOutput:
    """What GetBucketLifecycleConfiguration answers."""

    rules: tuple[LifecycleRule, ...] = ()
    transition_default_minimum_object_size: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketLifecycleConfiguration:
    """Specifies the lifecycle configuration for objects in an Amazon S3 bucket."""

    rules: tuple[LifecycleRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketLifecycleConfigurationInput:
    """What PutBucketLifecycleConfiguration is asked."""

    bucket: str
    checksum_algorithm: str | None = None
    lifecycle_configuration: BucketLifecycleConfiguration | None = None
    expected_bucket_owner: str | None = None
    transition_default_minimum_object_size: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketLifecycleConfigurationOutput:
    """What PutBucketLifecycleConfiguration answers."""

    transition_default_minimum_object_size: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBucketLifecycleInput:
    """What DeleteBucketLifecycle is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBucketLifecycleOutput:
    """What DeleteBucketLifecycle answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRule:
    """Specifies the Amazon S3 object key name to filter on."""

    name: str | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class S3KeyFilter:
    """A container for object key name prefix and suffix filtering rules."""

    filter_rules: tuple[FilterRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationConfigurationFilter:
    """Specifies object key name filtering rules."""

    key: S3KeyFilter | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicConfiguration:
    """A container for specifying the configuration for publication of messages to an Amazon Simple Notification
    Service (Amazon SNS) topic when Amazon S3 detects specified events.
    """

    topic_arn: str
    events: tuple[str, ...]
    id: str | None = None
    filter: NotificationConfigurationFilter | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueConfiguration:
    """Specifies the configuration for publishing messages to an Amazon Simple Queue Service (Amazon SQS) queue when
    Amazon S3 detects specified events.
    """

    queue_arn: str
    events: tuple[str, ...]
    id: str | None = None
    filter: NotificationConfigurationFilter | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaFunctionConfiguration:
    """A container for specifying the configuration for Lambda notifications."""

    lambda_function_arn: str
    events: tuple[str, ...]
    id: str | None = None
    filter: NotificationConfigurationFilter | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBridgeConfiguration:
    """A container for specifying the configuration for Amazon EventBridge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketNotificationConfigurationInput:
    """What GetBucketNotificationConfiguration is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketNotificationConfigurationOutput:
    """What GetBucketNotificationConfiguration answers."""

    topic_configurations: tuple[TopicConfiguration, ...] = ()
    queue_configurations: tuple[QueueConfiguration, ...] = ()
    lambda_function_configurations: tuple[LambdaFunctionConfiguration, ...] = ()
    event_bridge_configuration: EventBridgeConfiguration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationConfiguration:
    """A container for specifying the notification configuration of the bucket."""

    topic_configurations: tuple[TopicConfiguration, ...] = ()
    queue_configurations: tuple[QueueConfiguration, ...] = ()
    lambda_function_configurations: tuple[LambdaFunctionConfiguration, ...] = ()
    event_bridge_configuration: EventBridgeConfiguration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketNotificationConfigurationInput:
    """What PutBucketNotificationConfiguration is asked."""

    bucket: str
    notification_configuration: NotificationConfiguration
    expected_bucket_owner: str | None = None
    skip_destination_validation: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketNotificationConfigurationOutput:
    """What PutBucketNotificationConfiguration answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationRuleAndOperator:
    """A container for specifying rule filters."""

    prefix: str | None = None
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationRuleFilter:
    """A filter that identifies the subset of objects to which the replication rule applies."""

    prefix: str | None = None
    tag: Tag | None = None
    and_: ReplicationRuleAndOperator | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SseKmsEncryptedObjects:
    """A container for filter information for the selection of S3 objects encrypted with Amazon Web Services KMS."""

    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaModifications:
    """A filter that you can specify for selection for modifications on replicas."""

    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSelectionCriteria:
    """A container that describes additional filters for identifying the source objects that you want to replicate."""

    sse_kms_encrypted_objects: SseKmsEncryptedObjects | None = None
    replica_modifications: ReplicaModifications | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingObjectReplication:
    """Optional configuration to replicate existing source bucket objects."""

    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessControlTranslation:
    """A container for information about access control for replicas."""

    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionConfiguration:
    """Specifies encryption-related information for an Amazon S3 bucket that is a destination for replicated objects."""

    replica_kms_key_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationTimeValue:
    """A container specifying the time value for S3 Replication Time Control (S3 RTC) and replication metrics
    EventThreshold.
    """

    minutes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationTime:
    """A container specifying S3 Replication Time Control (S3 RTC) related information, including whether S3 RTC is
    enabled and the time when all objects and operations on objects must be replicated.
    """

    status: str
    time: ReplicationTimeValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """A container specifying replication metrics-related settings enabling replication metrics and events."""

    status: str
    event_threshold: ReplicationTimeValue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Specifies information about where to publish analysis or configuration results for an Amazon S3 bucket and S3
    Replication Time Control (S3 RTC).
    """

    bucket: str
    account: str | None = None
    storage_class: str | None = None
    access_control_translation: AccessControlTranslation | None = None
    encryption_configuration: EncryptionConfiguration | None = None
    replication_time: ReplicationTime | None = None
    metrics: Metrics | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteMarkerReplication:
    """Specifies whether Amazon S3 replicates delete markers."""

    status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationRule:
    """Specifies which Amazon S3 objects to replicate and where to store the replicas."""

    status: str
    destination: Destination
    id: str | None = None
    priority: int | None = None
    prefix: str | None = None
    filter: ReplicationRuleFilter | None = None
    source_selection_criteria: SourceSelectionCriteria | None = None
    existing_object_replication: ExistingObjectReplication | None = None
    delete_marker_replication: DeleteMarkerReplication | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationConfiguration:
    """A container for replication rules."""

    role: str
    rules: tuple[ReplicationRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketReplicationInput:
    """What GetBucketReplication is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketReplicationOutput:
    """What GetBucketReplication answers."""

    replication_configuration: ReplicationConfiguration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectAllRequestsTo:
    """Specifies the redirect behavior of all requests to a website endpoint of an Amazon S3 bucket."""

    host_name: str
    protocol: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexDocument:
    """Container for the Suffix element."""

    suffix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDocument:
    """The error information."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A container for describing a condition that must be met for the specified redirect to apply."""

    http_error_code_returned_equals: str | None = None
    key_prefix_equals: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Specifies how requests are redirected."""

    host_name: str | None = None
    http_redirect_code: str | None = None
    protocol: str | None = None
    replace_key_prefix_with: str | None = None
    replace_key_with: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRule:
    """Specifies the redirect behavior and when a redirect is applied."""

    redirect: Redirect
    condition: Condition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketWebsiteInput:
    """What GetBucketWebsite is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketWebsiteOutput:
    """What GetBucketWebsite answers."""

    redirect_all_requests_to: RedirectAllRequestsTo | None = None
    index_document: IndexDocument | None = None
    error_document: ErrorDocument | None = None
    routing_rules: tuple[RoutingRule, ...] | None = None
