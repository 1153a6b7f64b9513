"""What a caller is told who found nothing, and refusals shared by many operations.

Rows hide behind row-level security, so "not there" and "not yours" look alike from here. A caller who proved who it
is gets NoSuchKey, as Supabase answers; an anonymous one must not learn which keys exist in a bucket it cannot see
(AWS: without s3:ListBucket a missing key is AccessDenied).
"""

from collections.abc import Mapping
from typing import Any

from gateway.context import ANONYMOUS_ROLE, Call
from gateway.errors import StorageError
from gateway.metadata import buckets, configurations, objects
from gateway.metadata.configurations import Kind
from gateway.metadata.records import BucketRecord, Visibility
from gateway.operations.services import Services


async def missing_key(services: Services, call: Call, bucket: str, key: str) -> StorageError:
    """Why a key was not found: NoSuchBucket, AccessDenied or NoSuchKey. To be raised by the caller."""
    seen, marker = await objects.explain_missing(services.session, call.scope, bucket, key)
    refusal = _refusal(call, bucket, seen)
    if refusal is not None:
        return refusal
    if marker is None:
        return StorageError("NoSuchKey", Key=key)
    return StorageError("NoSuchKey", Key=key, delete_marker="true", version_id=marker.version_id)


async def missing_version(services: Services, call: Call, bucket: str, key: str, version_id: str) -> StorageError:
    """Why a version was not found: NoSuchBucket, AccessDenied or NoSuchVersion. To be raised by the caller."""
    seen = await buckets.visibility(services.session, call.scope, bucket)
    return _refusal(call, bucket, seen) or StorageError("NoSuchVersion", Key=key, VersionId=version_id)


def _refusal(call: Call, bucket: str, seen: Visibility) -> StorageError | None:
    if seen is Visibility.NONE:
        return StorageError("NoSuchBucket", BucketName=bucket)
    if seen is Visibility.HIDDEN and call.principal.role == ANONYMOUS_ROLE:
        return StorageError("AccessDenied")
    return None


async def require_bucket(services: Services, call: Call, bucket: str) -> BucketRecord:
    """The bucket, if the caller sees it. Raises NoSuchBucket or AccessDenied."""
    found, seen = await buckets.find_bucket(services.session, call.scope, bucket)
    if found is not None:
        return found
    raise StorageError("NoSuchBucket", BucketName=bucket) if seen is Visibility.NONE else StorageError("AccessDenied")


async def require_listing(services: Services, call: Call, bucket: str) -> None:
    """After an empty listing: may the caller be told that there is nothing? Raises NoSuchBucket or AccessDenied."""
    refusal = _refusal(call, bucket, await buckets.visibility(services.session, call.scope, bucket))
    if refusal is not None:
        raise refusal


async def require_configuration(
    services: Services, call: Call, bucket: str, kind: Kind, missing: str
) -> Mapping[str, Any]:
    """One configuration of a bucket. Raises NoSuchBucket, AccessDenied, or the code ``missing``."""
    document, seen = await configurations.find(services.session, call.scope, bucket, kind)
    if document is not None:
        return document
    if seen is Visibility.NONE:
        raise StorageError("NoSuchBucket", BucketName=bucket)
    if seen is Visibility.HIDDEN:
        raise StorageError("AccessDenied")
    raise StorageError(missing, BucketName=bucket)


def refuse_unimplemented(document: Any, **headers: str) -> None:
    """Refuse what would change the meaning of the request if it were ignored: ``member="header-name"``.

    Raises NotImplemented naming the header.
    """
    for member, header in headers.items():
        if getattr(document, member, None) is not None:
            raise StorageError("NotImplemented", Header=header)


def refuse_unimplemented_writing(document: Any) -> None:
    """:func:`refuse_unimplemented` for everything that writes an object."""
    refuse_unimplemented(
        document,
        write_offset_bytes="x-amz-write-offset-bytes",
        object_lock_event_hold="x-amz-object-lock-event-hold",
        object_lock_event_hold_duration_days="x-amz-object-lock-event-hold-duration-days",
        object_lock_event_hold_duration_years="x-amz-object-lock-event-hold-duration-years",
    )
