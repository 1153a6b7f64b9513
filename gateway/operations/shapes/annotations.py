"""Annotations of objects: typed inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.blobs.protocol import BlobReader
    from gateway.wire.body import BodyStream


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationEntry:
    """Describes a single annotation attached to an object."""

    annotation_name: str
    last_modified: datetime
    size: int
    etag: str | None = None
    checksum_algorithm: tuple[str, ...] = ()
    replication_status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutObjectAnnotationInput:
    """What PutObjectAnnotation is asked."""

    bucket: str
    key: str
    annotation_name: str
    annotation_payload: BodyStream
    version_id: str | None = None
    object_if_match: str | None = None
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
    content_md5: str | None = None
    request_payer: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutObjectAnnotationOutput:
    """What PutObjectAnnotation answers."""

    key: str | None = None
    annotation_name: str | None = None
    object_version_id: str | None = None
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
    request_charged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetObjectAnnotationInput:
    """What GetObjectAnnotation is asked."""

    bucket: str
    key: str
    annotation_name: str
    version_id: str | None = None
    request_payer: str | None = None
    expected_bucket_owner: str | None = None
    checksum_mode: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetObjectAnnotationOutput:
    """What GetObjectAnnotation answers."""

    annotation_payload: BlobReader | None = None
    object_version_id: str | None = None
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
    server_side_encryption: str | None = None
    request_charged: str | None = None
    replication_status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListObjectAnnotationsInput:
    """What ListObjectAnnotations is asked."""

    bucket: str
    key: str
    version_id: str | None = None
    max_annotation_results: int | None = None
    annotation_prefix: str | None = None
    continuation_token: str | None = None
    request_payer: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListObjectAnnotationsOutput:
    """What ListObjectAnnotations answers."""

    annotations: tuple[AnnotationEntry, ...] | None = None
    bucket: str | None = None
    key: str | None = None
    object_version_id: str | None = None
    annotation_prefix: str | None = None
    max_annotation_results: int | None = None
    annotation_count: int | None = None
    continuation_token: str | None = None
    next_continuation_token: str | None = None
    request_charged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteObjectAnnotationInput:
    """What DeleteObjectAnnotation is asked."""

    bucket: str
    key: str
    annotation_name: str
    version_id: str | None = None
    request_payer: str | None = None
    expected_bucket_owner: str | None = None
    object_if_match: str | None = None
    bypass_governance_retention: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteObjectAnnotationOutput:
    """What DeleteObjectAnnotation answers."""

    object_version_id: str | None = None
    request_charged: str | None = None
