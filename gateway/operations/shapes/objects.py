"""Single objects: put, get, head, attributes: typed inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.blobs.protocol import BlobReader
    from gateway.wire.body import BodyStream


@dataclass(frozen=True, slots=True, kw_only=True)
class PutObjectInput:
    """What PutObject is asked."""

    body: BodyStream
    bucket: str
    key: str
    acl: str | None = None
    cache_control: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    content_length: int | None = None
    content_md5: str | None = None
    content_type: str | None = None
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
    expires: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    grant_full_control: str | None = None
    grant_read: str | None = None
    grant_read_acp: str | None = None
    grant_write_acp: str | None = None
    write_offset_bytes: int | None = None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PutObjectOutput:
    """What PutObject answers."""

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
    sse_customer_algorithm: str | None = None
    sse_customer_key_md5: str | None = None
    sse_kms_key_id: str | None = None
    sse_kms_encryption_context: str | None = None
    bucket_key_enabled: bool | None = None
    size: int | None = None
    request_charged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetObjectInput:
    """What GetObject is asked."""

    bucket: str
    key: str
    if_match: str | None = None
    if_modified_since: datetime | None = None
    if_none_match: str | None = None
    if_unmodified_since: datetime | None = None
    range: str | None = None
    response_cache_control: str | None = None
    response_content_disposition: str | None = None
    response_content_encoding: str | None = None
    response_content_language: str | None = None
    response_content_type: str | None = None
    response_expires: str | None = None
    version_id: str | None = None
    sse_customer_algorithm: str | None = None
    sse_customer_key: str | None = None
    sse_customer_key_md5: str | None = None
    request_payer: str | None = None
    part_number: int | None = None
    expected_bucket_owner: str | None = None
    checksum_mode: str | None = None
    server_side_encryption: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetObjectOutput:
    """What GetObject answers."""

    body: BlobReader | None = None
    delete_marker: bool | None = None
    accept_ranges: str | None = None
    expiration: str | None = None
    restore: str | None = None
    last_modified: datetime | None = None
    content_length: int | None = None
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
    missing_meta: int | None = None
    version_id: str | None = None
    cache_control: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    content_range: str | None = None
    content_type: str | None = None
    expires: str | None = None
    website_redirect_location: str | None = None
    server_side_encryption: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    sse_customer_algorithm: str | None = None
    sse_customer_key_md5: str | None = None
    sse_kms_key_id: str | None = None
    bucket_key_enabled: bool | None = None
    storage_class: str | None = None
    request_charged: str | None = None
    replication_status: str | None = None
    parts_count: int | None = None
    tag_count: int | None = None
    object_lock_mode: str | None = None
    object_lock_retain_until_date: datetime | None = None
    object_lock_legal_hold_status: str | None = None
    object_lock_event_hold: str | None = None
    object_lock_event_hold_duration_days: int | None = None
    object_lock_event_hold_duration_years: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadObjectInput:
    """What HeadObject is asked."""

    bucket: str
    key: str
    if_match: str | None = None
    if_modified_since: datetime | None = None
    if_none_match: str | None = None
    if_unmodified_since: datetime | None = None
    range: str | None = None
    response_cache_control: str | None = None
    response_content_disposition: str | None = None
    response_content_encoding: str | None = None
    response_content_language: str | None = None
    response_content_type: str | None = None
    response_expires: str | None = None
    version_id: str | None = None
    sse_customer_algorithm: str | None = None
    sse_customer_key: str | None = None
    sse_customer_key_md5: str | None = None
    request_payer: str | None = None
    part_number: int | None = None
    expected_bucket_owner: str | None = None
    checksum_mode: str | None = None
    server_side_encryption: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadObjectOutput:
    """What HeadObject answers."""

    delete_marker: bool | None = None
    accept_ranges: str | None = None
    expiration: str | None = None
    restore: str | None = None
    archive_status: str | None = None
    last_modified: datetime | None = None
    content_length: int | None = None
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
    etag: str | None = None
    missing_meta: int | None = None
    version_id: str | None = None
    cache_control: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    content_type: str | None = None
    content_range: str | None = None
    expires: str | None = None
    website_redirect_location: str | None = None
    server_side_encryption: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    sse_customer_algorithm: str | None = None
    sse_customer_key_md5: str | None = None
    sse_kms_key_id: str | None = None
    bucket_key_enabled: bool | None = None
    storage_class: str | None = None
    request_charged: str | None = None
    replication_status: str | None = None
    parts_count: int | None = None
    tag_count: int | None = None
    object_lock_mode: str | None = None
    object_lock_retain_until_date: datetime | None = None
    object_lock_legal_hold_status: str | None = None
    object_lock_event_hold: str | None = None
    object_lock_event_hold_duration_days: int | None = None
    object_lock_event_hold_duration_years: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksum:
    """Contains all the possible checksum or digest values for an object."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPart:
    """A container for elements related to an individual part."""

    part_number: int | None = None
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
class GetObjectAttributesParts:
    """A collection of parts associated with a multipart upload."""

    total_parts_count: int | None = None
    part_number_marker: int | None = None
    next_part_number_marker: int | None = None
    max_parts: int | None = None
    is_truncated: bool | None = None
    parts: tuple[ObjectPart, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GetObjectAttributesInput:
    """What GetObjectAttributes is asked."""

    bucket: str
    key: str
    object_attributes: tuple[str, ...]
    version_id: str | None = None
    max_parts: int | None = None
    part_number_marker: int | None = None
    sse_customer_algorithm: str | None = None
    sse_customer_key: str | None = None
    sse_customer_key_md5: str | None = None
    request_payer: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetObjectAttributesOutput:
    """What GetObjectAttributes answers."""

    delete_marker: bool | None = None
    last_modified: datetime | None = None
    version_id: str | None = None
    request_charged: str | None = None
    etag: str | None = None
    checksum: Checksum | None = None
    object_parts: GetObjectAttributesParts | None = None
    storage_class: str | None = None
    object_size: int | None = None
