"""What a caller is told who found nothing, and refusals shared by many operations.

Rows hide behind row-level security, so "not there" and "not yours" look alike from here. A user who proved who it is
gets NoSuchKey, as Supabase answers; an anonymous caller and an S3 account must not learn which keys exist in a bucket
they cannot list (AWS: without s3:ListBucket a missing key is AccessDenied).
"""

from collections.abc import Sequence
from typing import Any, Final

from gateway.context import ACCOUNT_ROLE, ANONYMOUS_ROLE, Call
from gateway.errors import StorageError
from gateway.metadata import access as access_database
from gateway.metadata import buckets
from gateway.metadata.records import BucketRecord, Visibility
from gateway.operations.services import Services

# Roles bound by S3's own model (sql/tenant/0009_s3_access.sql).
BOUND_ROLES: Final = frozenset({ANONYMOUS_ROLE, ACCOUNT_ROLE})


async def missing_key(services: Services, call: Call, bucket: str, key: str) -> StorageError:
    """Why a key was not found: NoSuchBucket, AccessDenied or NoSuchKey. To be raised by the caller."""
    seen = await buckets.visibility(services.session, call.scope, bucket)
    if seen is Visibility.NONE:
        return StorageError("NoSuchBucket", BucketName=bucket)
    if call.principal.role in BOUND_ROLES and (
        seen is Visibility.HIDDEN or await access_database.is_hidden(services.session, call.scope, bucket, key)
    ):
        return StorageError("AccessDenied")
    return StorageError("NoSuchKey", Key=key)


async def require_bucket(services: Services, call: Call, bucket: str) -> BucketRecord:
    """The bucket, if the caller sees it. Raises NoSuchBucket or AccessDenied."""
    found, seen = await buckets.find_bucket(services.session, call.scope, bucket)
    if found is not None:
        return found
    raise StorageError("NoSuchBucket", BucketName=bucket) if seen is Visibility.NONE else StorageError("AccessDenied")


async def require_listing(services: Services, call: Call, bucket: str) -> None:
    """After an empty listing: may the caller be told that there is nothing? Raises NoSuchBucket or AccessDenied."""
    seen = await buckets.visibility(services.session, call.scope, bucket)
    if seen is Visibility.NONE:
        raise StorageError("NoSuchBucket", BucketName=bucket)
    if seen is Visibility.HIDDEN and call.principal.role in BOUND_ROLES:
        raise StorageError("AccessDenied")


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


def require_null_version(version_id: str | None, key: str) -> None:
    """Objects have one version, named ``null``. Raises NoSuchVersion for any other."""
    if version_id not in (None, "null"):
        raise StorageError("NoSuchVersion", Key=key, VersionId=version_id or "")


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
        server_side_encryption="x-amz-server-side-encryption",
        sse_customer_algorithm="x-amz-server-side-encryption-customer-algorithm",
        sse_customer_key="x-amz-server-side-encryption-customer-key",
        copy_source_sse_customer_algorithm="x-amz-copy-source-server-side-encryption-customer-algorithm",
        tagging="x-amz-tagging",
        object_lock_mode="x-amz-object-lock-mode",
        object_lock_retain_until_date="x-amz-object-lock-retain-until-date",
        object_lock_legal_hold_status="x-amz-object-lock-legal-hold",
        object_lock_event_hold="x-amz-object-lock-event-hold",
    )


def refuse_customer_key(document: Any) -> None:
    """No object is stored under a customer's key, so a read must not bring one."""
    if getattr(document, "sse_customer_algorithm", None) or getattr(document, "sse_customer_key", None):
        raise StorageError("InvalidRequest", "The encryption parameters are not applicable to this object.")
