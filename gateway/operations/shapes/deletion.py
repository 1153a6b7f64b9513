"""Deletion of objects and versions, one or many: typed inputs and outputs."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteObjectInput:
    """What DeleteObject is asked."""

    bucket: str
    key: str
    mfa: str | None = None
    version_id: str | None = None
    request_payer: str | None = None
    bypass_governance_retention: bool | None = None
    expected_bucket_owner: str | None = None
    if_match: str | None = None
    if_match_last_modified_time: datetime | None = None
    if_match_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteObjectOutput:
    """What DeleteObject answers."""

    delete_marker: bool | None = None
    version_id: str | None = None
    request_charged: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectIdentifier:
    """Object Identifier is unique value to identify objects."""

    key: str
    version_id: str | None = None
    etag: str | None = None
    last_modified_time: datetime | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Container for the objects to delete."""

    objects: tuple[ObjectIdentifier, ...]
    quiet: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedObject:
    """Information about the deleted object."""

    key: str | None = None
    version_id: str | None = None
    delete_marker: bool | None = None
    delete_marker_version_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Error:
    """Container for all error elements."""

    key: str | None = None
    version_id: str | None = None
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteObjectsInput:
    """What DeleteObjects is asked."""

    bucket: str
    delete: Delete
    mfa: str | None = None
    request_payer: str | None = None
    bypass_governance_retention: bool | None = None
    expected_bucket_owner: str | None = None
    checksum_algorithm: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteObjectsOutput:
    """What DeleteObjects answers."""

    deleted: tuple[DeletedObject, ...] = ()
    request_charged: str | None = None
    errors: tuple[S3Error, ...] = ()
