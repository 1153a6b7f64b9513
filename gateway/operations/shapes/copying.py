"""Server-side copies: typed inputs and outputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gateway.wire.addressing import CopySource


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyObjectResult:
    """Container for all response elements."""

    etag: str | None = None
    last_modified: datetime | None = None
    checksum_type: str | None = None
    checksum_crc32: str | None = None
    checksum_crc32c: str | None = None
    checksum_crc64nvme: str | None = None
    checksum_sha1: str | None = None
    checksum_sha256: str | None = None
    checksum_sha512: str | None = None
    checksum_md5: str | None = None
    checksum_xxhash64: str | None = None
    checksum_xxhash3: str | None = None
    checksum_xxhash128: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyObjectInput:
    """What CopyObject is asked."""

    bucket: str
    copy_source: CopySource
    key: str
    acl: str | None = None
    cache_control: str | None = None
    checksum_algorithm: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    content_type: str | None = None
    copy_source_if_match: str | None = None
    copy_source_if_modified_since: datetime | None = None
    copy_source_if_none_match: str | None = None
    copy_source_if_unmodified_since: datetime | None = None
    expires: str | None = None
    grant_full_control: str | None = None
    grant_read: str | None = None
    grant_read_acp: str | None = None
    grant_write_acp: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    metadata_directive: str | None = None
    tagging_directive: str | None = None
    annotation_directive: str | None = None
    server_side_encryption: str | None = None
    storage_class: str | None = None
    website_redirect_location: str | None = None
    sse_customer_algorithm: str | None = None
    sse_customer_key: str | None = None
    sse_customer_key_md5: str | None = None
    sse_kms_key_id: str | None = None
    sse_kms_encryption_context: str | None = None
    bucket_key_enabled: bool | None = None
    copy_source_sse_customer_algorithm: str | None = None
    copy_source_sse_customer_key: str | None = None
    copy_source_sse_customer_key_md5: str | None = None
    request_payer: str | None = None
    tagging: str | None = None
    object_lock_mode: str | None = None
    object_lock_retain_until_date: datetime | None = None
    object_lock_legal_hold_status: str | None = None
    object_lock_event_hold: str | None = None
    object_lock_event_hold_duration_days: int | None = None
    object_lock_event_hold_duration_years: int | None = None
    expected_bucket_owner: str | None = None
    expected_source_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyObjectOutput:
    """What CopyObject answers."""

    copy_object_result: CopyObjectResult | None = None
    expiration: str | None = None
    copy_source_version_id: str | None = None
    version_id: str | None = None
    server_side_encryption: str | None = None
    sse_customer_algorithm: str | None = None
    sse_customer_key_md5: str | None = None
    sse_kms_key_id: str | None = None
    sse_kms_encryption_context: str | None = None
    bucket_key_enabled: bool | None = None
    request_charged: str | None = None
