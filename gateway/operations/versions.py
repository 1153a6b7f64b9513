"""Versions of objects: finding one, GetBucketVersioning, PutBucketVersioning, ListObjectVersions
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/Versioning.html)."""

from typing import Any, Final

from gateway.context import Call
from gateway.errors import StorageError
from gateway.metadata import buckets, keyspace, listings, objects
from gateway.metadata.keyspace import KeyRange
from gateway.metadata.records import ListedVersion, ObjectRecord, VersioningStatus
from gateway.operations import access, owners
from gateway.operations.listing import MAX_KEYS
from gateway.operations.services import Services
from gateway.operations.shapes import (
    CommonPrefix,
    DeleteMarkerEntry,
    GetBucketVersioningInput,
    GetBucketVersioningOutput,
    ListObjectVersionsInput,
    ListObjectVersionsOutput,
    ObjectVersion,
    PutBucketVersioningInput,
    PutBucketVersioningOutput,
)
from gateway.wire.headers import http_date

_STANDARD: Final = "STANDARD"
_SHOWN: Final = {VersioningStatus.ENABLED: "Enabled", VersioningStatus.SUSPENDED: "Suspended"}


async def find_object(
    services: Services, call: Call, bucket: str, key: str, version_id: str | None, *, with_content: bool = False
) -> ObjectRecord:
    """The current object or one version of it, as the caller sees it.

    Raises NoSuchBucket, AccessDenied; NoSuchKey (which says if a delete marker is there instead) or NoSuchVersion;
    MethodNotAllowed if ``version_id`` names a delete marker
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeleteMarker.html).
    """
    finder = objects.find_object if with_content else objects.describe_object
    record = await finder(services.session, call.scope, bucket, key, version_id)
    if record is None:
        if version_id is None:
            raise await access.missing_key(services, call, bucket, key)
        raise await access.missing_version(services, call, bucket, key, version_id)
    if record.is_delete_marker:
        raise StorageError(
            "MethodNotAllowed",
            Method="GET",
            ResourceType="DeleteMarker",
            delete_marker="true",
            version_id=record.version_id,
            last_modified=http_date(record.updated_at),
        )
    return record


async def find_stored_object(
    services: Services, call: Call, bucket: str, key: str, version_id: str | None, *, with_content: bool = False
) -> ObjectRecord:
    """The same for readers of bytes: a row that plain SQL made has none, and counts as missing."""
    record = await find_object(services, call, bucket, key, version_id, with_content=with_content)
    if not record.is_stored:
        raise await access.missing_key(services, call, bucket, key)
    return record


def shown_version_id(record: ObjectRecord, asked: str | None) -> str | None:
    """What ``x-amz-version-id`` says: nothing for the one version of an unversioned object, unless it was asked for."""
    return record.version_id if record.is_versioned or asked is not None else None


async def get_bucket_versioning(
    services: Services, call: Call, asked: GetBucketVersioningInput
) -> GetBucketVersioningOutput:
    """An empty document for a bucket that never kept versions."""
    found = await access.require_bucket(services, call, asked.bucket)
    return GetBucketVersioningOutput(status=_SHOWN.get(found.versioning_status))


async def put_bucket_versioning(
    services: Services, call: Call, asked: PutBucketVersioningInput
) -> PutBucketVersioningOutput:
    """Keep versions, or stop to (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketVersioning.html).

    MFA delete needs AWS's own devices and is refused.
    """
    wanted = asked.versioning_configuration
    if asked.mfa is not None:
        raise StorageError("NotImplemented", Header="x-amz-mfa")
    if wanted.mfa_delete == "Enabled":
        raise StorageError("NotImplemented", "MFA delete is not implemented.")
    if wanted.status is None:
        raise StorageError("IllegalVersioningConfigurationException")
    status = VersioningStatus(wanted.status.upper())
    await buckets.set_versioning(services.session, call.scope, asked.bucket, status)
    return PutBucketVersioningOutput()


async def list_object_versions(
    services: Services, call: Call, asked: ListObjectVersionsInput
) -> ListObjectVersionsOutput:
    """Every version and delete marker, by key, the newest first
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html)."""
    max_keys = MAX_KEYS if asked.max_keys is None else min(asked.max_keys, MAX_KEYS)
    # One more than asked tells whether there is more.
    found = await _walk(services, call, asked, max_keys + 1 if max_keys > 0 else 0)
    page, is_truncated = found[:max_keys], len(found) > max_keys
    versions = [entry for entry in page if not entry.is_prefix]
    last = page[-1] if page and is_truncated else None
    return ListObjectVersionsOutput(
        is_truncated=is_truncated,
        key_marker=asked.key_marker or "",
        version_id_marker=asked.version_id_marker or "",
        next_key_marker=last.name if last else None,
        next_version_id_marker=last.version_id if last and not last.is_prefix else None,
        versions=tuple(
            ObjectVersion(
                etag=entry.etag,
                checksum_algorithm=(entry.checksum_algorithm,) if entry.checksum_algorithm else (),
                checksum_type=entry.checksum_type,
                size=entry.size_bytes,
                storage_class=entry.storage_class or _STANDARD,
                **_shared(call, entry),
            )
            for entry in versions
            if not entry.is_delete_marker
        ),
        delete_markers=tuple(DeleteMarkerEntry(**_shared(call, entry)) for entry in versions if entry.is_delete_marker),
        name=asked.bucket,
        prefix=asked.prefix or "",
        delimiter=asked.delimiter or None,
        max_keys=max_keys,
        common_prefixes=tuple(CommonPrefix(prefix=entry.name) for entry in page if entry.is_prefix),
        encoding_type=asked.encoding_type,
    )


async def _walk(services: Services, call: Call, asked: ListObjectVersionsInput, page_size: int) -> list[ListedVersion]:
    prefix, delimiter = asked.prefix or "", asked.delimiter or None
    key_marker, version_marker = asked.key_marker or "", asked.version_id_marker
    if version_marker and not key_marker:
        raise StorageError(
            "InvalidArgument",
            "A version-id marker cannot be specified without a key marker.",
            ArgumentName="version-id-marker",
            ArgumentValue=version_marker[:100],
        )
    keys = keyspace.within(prefix, lower=keyspace.resume_after(key_marker, prefix, delimiter) if key_marker else "")
    inside: tuple[str, str] | None = None
    is_inside = key_marker.startswith(prefix) and not (
        delimiter and keyspace.common_prefix(key_marker, prefix, delimiter)
    )
    if version_marker and is_inside:
        position = await listings.version_position(
            services.session, call.scope, asked.bucket, key_marker, version_marker
        )
        if position is None:
            # Deleted since the last page, as clients do that empty a bucket: begin the key again, and miss nothing.
            keys = KeyRange(max(key_marker, prefix), keys.upper)
        else:
            inside = (key_marker, position)
    found = await listings.list_versions(
        services.session, call.scope, asked.bucket, keys, inside, prefix, delimiter, page_size
    )
    if not found:
        await access.require_listing(services, call, asked.bucket)
    return found


def _shared(call: Call, entry: ListedVersion) -> dict[str, Any]:
    return {
        "key": entry.name,
        "version_id": entry.version_id,
        "is_latest": entry.is_latest,
        "last_modified": entry.updated_at,
        "owner": owners.owner(call, entry.owner_id),
    }
