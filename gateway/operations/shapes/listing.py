"""Listings of keys and versions: typed inputs and outputs."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from gateway.operations.shapes.common import CommonPrefix, Owner


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreStatus:
    """Specifies the restoration status of an object."""

    is_restore_in_progress: bool | None = None
    restore_expiry_date: datetime | None = None


class S3Object(NamedTuple):
    """An object consists of data and its descriptive metadata. A tuple: a page makes a thousand, four times faster."""

    key: str | None = None
    last_modified: datetime | None = None
    etag: str | None = None
    checksum_algorithm: tuple[str, ...] = ()
    checksum_type: str | None = None
    size: int | None = None
    storage_class: str | None = None
    owner: Owner | None = None
    restore_status: RestoreStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListObjectsInput:
    """What ListObjects is asked."""

    bucket: str
    delimiter: str | None = None
    encoding_type: str | None = None
    marker: str | None = None
    max_keys: int | None = None
    prefix: str | None = None
    request_payer: str | None = None
    expected_bucket_owner: str | None = None
    optional_object_attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListObjectsOutput:
    """What ListObjects answers."""

    is_truncated: bool | None = None
    marker: str | None = None
    next_marker: str | None = None
    contents: tuple[S3Object, ...] = ()
    name: str | None = None
    prefix: str | None = None
    delimiter: str | None = None
    max_keys: int | None = None
    common_prefixes: tuple[CommonPrefix, ...] = ()
    encoding_type: str | None = None
    request_charged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListObjectsV2Input:
    """What ListObjectsV2 is asked."""

    bucket: str
    delimiter: str | None = None
    encoding_type: str | None = None
    max_keys: int | None = None
    prefix: str | None = None
    continuation_token: str | None = None
    fetch_owner: bool | None = None
    start_after: str | None = None
    request_payer: str | None = None
    expected_bucket_owner: str | None = None
    optional_object_attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListObjectsV2Output:
    """What ListObjectsV2 answers."""

    is_truncated: bool | None = None
    contents: tuple[S3Object, ...] = ()
    name: str | None = None
    prefix: str | None = None
    delimiter: str | None = None
    max_keys: int | None = None
    common_prefixes: tuple[CommonPrefix, ...] = ()
    encoding_type: str | None = None
    key_count: int | None = None
    continuation_token: str | None = None
    next_continuation_token: str | None = None
    start_after: str | None = None
    request_charged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectVersion:
    """The version of an object."""

    etag: str | None = None
    checksum_algorithm: tuple[str, ...] = ()
    checksum_type: str | None = None
    size: int | None = None
    storage_class: str | None = None
    key: str | None = None
    version_id: str | None = None
    is_latest: bool | None = None
    last_modified: datetime | None = None
    owner: Owner | None = None
    restore_status: RestoreStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteMarkerEntry:
    """Information about the delete marker."""

    owner: Owner | None = None
    key: str | None = None
    version_id: str | None = None
    is_latest: bool | None = None
    last_modified: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListObjectVersionsInput:
    """What ListObjectVersions is asked."""

    bucket: str
    delimiter: str | None = None
    encoding_type: str | None = None
    key_marker: str | None = None
    max_keys: int | None = None
    prefix: str | None = None
    version_id_marker: str | None = None
    expected_bucket_owner: str | None = None
    request_payer: str | None = None
    optional_object_attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListObjectVersionsOutput:
    """What ListObjectVersions answers."""

    is_truncated: bool | None = None
    key_marker: str | None = None
    version_id_marker: str | None = None
    next_key_marker: str | None = None
    next_version_id_marker: str | None = None
    versions: tuple[ObjectVersion, ...] = ()
    delete_markers: tuple[DeleteMarkerEntry, ...] = ()
    name: str | None = None
    prefix: str | None = None
    delimiter: str | None = None
    max_keys: int | None = None
    common_prefixes: tuple[CommonPrefix, ...] = ()
    encoding_type: str | None = None
    request_charged: str | None = None
