"""What a caller is told who found nothing, and refusals shared by many operations.

Rows hide behind row-level security, so "not there" and "not yours" look alike from here. A user who proved who it is
gets NoSuchKey, as Supabase answers; an anonymous caller and an S3 account must not learn which keys exist in a bucket
they cannot list (AWS: without s3:ListBucket a missing key is AccessDenied).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.context import ACCOUNT_ROLE, ANONYMOUS_ROLE, Call
from gateway.errors import StorageError
from gateway.metadata import access as access_database
from gateway.metadata import buckets, configurations, objects
from gateway.metadata.configurations import Kind
from gateway.metadata.records import BucketRecord, Visibility
from gateway.operations.services import Services

# Roles bound by S3's own model (sql/tenant/0017_s3_access.sql).
BOUND_ROLES: Final = frozenset({ANONYMOUS_ROLE, ACCOUNT_ROLE})


async def missing_key(services: Services, call: Call, bucket: str, key: str) -> StorageError:
    """Why a key was not found: NoSuchBucket, AccessDenied or NoSuchKey. To be raised by the caller."""
    seen, marker = await objects.explain_missing(services.session, call.scope, bucket, key)
    refusal = await _refusal(services, call, bucket, seen, key)
    if refusal is not None:
        return refusal
    if marker is None:
        return StorageError("NoSuchKey", Key=key)
    return StorageError("NoSuchKey", Key=key, delete_marker="true", version_id=marker.version_id)


async def missing_version(services: Services, call: Call, bucket: str, key: str, version_id: str) -> StorageError:
    """Why a version was not found: NoSuchBucket, AccessDenied or NoSuchVersion. To be raised by the caller."""
    seen = await buckets.visibility(services.session, call.scope, bucket)
    refusal = await _refusal(services, call, bucket, seen, key)
    return refusal or StorageError("NoSuchVersion", Key=key, VersionId=version_id)


async def _refusal(
    services: Services, call: Call, bucket: str, seen: Visibility, key: str | None = None
) -> StorageError | None:
    if seen is Visibility.NONE:
        return StorageError("NoSuchBucket", BucketName=bucket)
    if call.principal.role not in BOUND_ROLES or not call.s3_request_json:
        # in the JSON API, which asks nothing of S3's access model, what a caller does not see is not there
        return None
    if seen is Visibility.HIDDEN:
        return StorageError("AccessDenied")
    if key is not None and await access_database.is_hidden(services.session, call.scope, bucket, key):
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
    seen = await buckets.visibility(services.session, call.scope, bucket)
    refusal = await _refusal(services, call, bucket, seen)
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


async def forbidden(services: Services, call: Call, bucket: str, keys: Sequence[str]) -> frozenset[str]:
    """Of keys that were not there to delete, those of which the caller must not be told so: a policy is asked only for
    rows that exist. Asks the database only for a caller bound by S3's own model. Raises NoSuchBucket."""
    if not keys or call.principal.role not in BOUND_ROLES:
        return frozenset()
    if call.principal.role == ANONYMOUS_ROLE:
        seen = await buckets.visibility(services.session, call.scope, bucket)
        if seen is Visibility.NONE:
            raise StorageError("NoSuchBucket", BucketName=bucket)
        if seen is Visibility.VISIBLE:
            return frozenset()
    allowed = await access_database.permitted_names(services.session, call.scope, bucket, keys)
    return frozenset(keys) - allowed


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
