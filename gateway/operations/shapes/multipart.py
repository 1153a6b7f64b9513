"""Multipart uploads: typed inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from gateway.operations.shapes.common import CommonPrefix, Owner
from gateway.wire.addressing import CopySource

if TYPE_CHECKING:
    from gateway.wire.body import BodyStream


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateMultipartUploadInput:
    """What CreateMultipartUpload is asked."""

    bucket: str
    key: str
    acl: str | None = None
    cache_control: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    content_type: str | None = None
    expires: str | None = None
    grant_full_control: str | None = None
    grant_read: str | None = None
    grant_read_acp: str | None = None
    grant_write_acp: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    server_side_encryption: str | None = None
    storage_class: str | None = None
    website_redirect_location: str | None = None
    sse_customer_algorithm: str | None = None
    sse_customer_key: str | None = None
    sse_customer_key_md5: str | None = None
    sse_kms_key_id: str | None = None
    sse_kms_encryption_context: str | None = None
    bucket_key_enabled: bool | None = None
    request_payer: str | None = None
    tagging: str | None = None
    object_lock_mode: str | None = None
    object_lock_retain_until_date: datetime | None = None
    object_lock_legal_hold_status: str | None = None
    object_lock_event_hold: str | None = None
    object_lock_event_hold_duration_days: int | None = None
    object_lock_event_hold_duration_years: int | None = None
    expected_bucket_owner: str | None = None
    checksum_algorithm: str | None = None
    checksum_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateMultipartUploadOutput:
    """What CreateMultipartUpload answers."""

    abort_date: datetime | None = None
    abort_rule_id: str | None = None
    bucket: str | None = None
    key: str | None = None
    upload_id: str | None = None
    server_side_encryption: str | None = None
    sse_customer_algorithm: str | None = None
    sse_customer_key_md5: str | None = None
    sse_kms_key_id: str | None = None
    sse_kms_encryption_context: str | None = None
    bucket_key_enabled: bool | None = None
    request_charged: str | None = None
    checksum_algorithm: str | None = None
    checksum_type: str | None = None
    version_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPartInput:
    """What UploadPart is asked."""

    body: BodyStream
    bucket: str
    key: str
    part_number: int
    upload_id: str
    content_length: int | None = None
    content_md5: str | None = None
    checksum_algorithm: str | None = None
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
    sse_customer_algorithm: str | None = None
    sse_customer_key: str | None = None
    sse_customer_key_md5: str | None = None
    request_payer: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPartOutput:
    """What UploadPart answers."""

    server_side_encryption: str | None = None
    etag: str | None = None
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
    sse_customer_algorithm: str | None = None
    sse_customer_key_md5: str | None = None
    sse_kms_key_id: str | None = None
    bucket_key_enabled: bool | None = None
    request_charged: str | None = None
    version_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyPartResult:
    """Container for all response elements."""

    etag: str | None = None
    last_modified: datetime | None = None
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
class UploadPartCopyInput:
    """What UploadPartCopy is asked."""

    bucket: str
    copy_source: CopySource
    key: str
    part_number: int
    upload_id: str
    copy_source_if_match: str | None = None
    copy_source_if_modified_since: datetime | None = None
    copy_source_if_none_match: str | None = None
    copy_source_if_unmodified_since: datetime | None = None
    copy_source_range: str | None = None
    sse_customer_algorithm: str | None = None
    sse_customer_key: str | None = None
    sse_customer_key_md5: str | None = None
    copy_source_sse_customer_algorithm: str | None = None
    copy_source_sse_customer_key: str | None = None
    copy_source_sse_customer_key_md5: str | None = None
    request_payer: str | None = None
    expected_bucket_owner: str | None = None
    expected_source_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPartCopyOutput:
    """What UploadPartCopy answers."""

    copy_source_version_id: str | None = None
    copy_part_result: CopyPartResult | None = None
    server_side_encryption: str | None = None
    sse_customer_algorithm: str | None = None
    sse_customer_key_md5: str | None = None
    sse_kms_key_id: str | None = None
    bucket_key_enabled: bool | None = None
    request_charged: str | None = None
    version_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedPart:
    """Details of the parts that were uploaded."""

    etag: str
    part_number: int
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
class CompletedMultipartUpload:
    """The container for the completed multipart upload details."""

    parts: tuple[CompletedPart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteMultipartUploadInput:
    """What CompleteMultipartUpload is asked."""

    bucket: str
    key: str
    upload_id: str
    multipart_upload: CompletedMultipartUpload
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
    checksum_type: str | None = None
    mpu_object_size: int | None = None
    request_payer: str | None = None
    expected_bucket_owner: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    sse_customer_algorithm: str | None = None
    sse_customer_key: str | None = None
    sse_customer_key_md5: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteMultipartUploadOutput:
    """What CompleteMultipartUpload answers."""

    location: str | None = None
    bucket: str | None = None
    key: str | None = None
    expiration: str | None = None
    etag: str | None = None
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
    checksum_type: str | None = None
    server_side_encryption: str | None = None
    version_id: str | None = None
    sse_kms_key_id: str | None = None
    bucket_key_enabled: bool | None = None
    request_charged: str | None = None
    sse_customer_algorithm: str | None = None
    sse_customer_key_md5: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortMultipartUploadInput:
    """What AbortMultipartUpload is asked."""

    bucket: str
    key: str
    upload_id: str
    request_payer: str | None = None
    expected_bucket_owner: str | None = None
    if_match_initiated_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortMultipartUploadOutput:
    """What AbortMultipartUpload answers."""

    request_charged: str | None = None
    version_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Container for elements related to a part."""

    part_number: int | None = None
    last_modified: datetime | None = None
    etag: str | None = None
    size: int | None = None
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
class Initiator:
    """Container element that identifies who initiated the multipart upload."""

    id: str | None = None
    display_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPartsInput:
    """What ListParts is asked."""

    bucket: str
    key: str
    upload_id: str
    max_parts: int | None = None
    part_number_marker: int | None = None
    request_payer: str | None = None
    expected_bucket_owner: str | None = None
    sse_customer_algorithm: str | None = None
    sse_customer_key: str | None = None
    sse_customer_key_md5: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPartsOutput:
    """What ListParts answers."""

    abort_date: datetime | None = None
    abort_rule_id: str | None = None
    bucket: str | None = None
    key: str | None = None
    upload_id: str | None = None
    part_number_marker: int | None = None
    next_part_number_marker: int | None = None
    max_parts: int | None = None
    is_truncated: bool | None = None
    parts: tuple[Part, ...] = ()
    initiator: Initiator | None = None
    owner: Owner | None = None
    storage_class: str | None = None
    request_charged: str | None = None
    checksum_algorithm: str | None = None
    checksum_type: str | None = None
    version_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipartUpload:
    """Container for the MultipartUpload for the Amazon S3 object."""

    upload_id: str | None = None
    key: str | None = None
    initiated: datetime | None = None
    storage_class: str | None = None
    owner: Owner | None = None
    initiator: Initiator | None = None
    checksum_algorithm: str | None = None
    checksum_type: str | None = None
    version_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMultipartUploadsInput:
    """What ListMultipartUploads is asked."""

    bucket: str
    delimiter: str | None = None
    encoding_type: str | None = None
    key_marker: str | None = None
    max_uploads: int | None = None
    prefix: str | None = None
    upload_id_marker: str | None = None
    expected_bucket_owner: str | None = None
    request_payer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMultipartUploadsOutput:
    """What ListMultipartUploads answers."""

    bucket: str | None = None
    key_marker: str | None = None
    upload_id_marker: str | None = None
    next_key_marker: str | None = None
    prefix: str | None = None
    delimiter: str | None = None
    next_upload_id_marker: str | None = None
    max_uploads: int | None = None
    is_truncated: bool | None = None
    uploads: tuple[MultipartUpload, ...] = ()
    common_prefixes: tuple[CommonPrefix, ...] = ()
    encoding_type: str | None = None
    request_charged: str | None = None
