"""storage.buckets, one function a query."""

import json
from collections.abc import Mapping
from typing import Any, Final

from gateway import statements
from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata.errors import DuplicateRow, OutcomeUnknown, ReferencedRow
from gateway.metadata.keyspace import KeyRange
from gateway.metadata.records import BucketRecord, VersioningStatus, Visibility
from gateway.metadata.session import Session

_SQL: Final = statements.load("buckets")


async def list_buckets(session: Session, scope: Scope, keys: KeyRange, page_size: int) -> list[BucketRecord]:
    """Buckets the caller sees, by name in byte order."""
    rows = await session.fetch(scope, _SQL["list_buckets"], lower=keys.lower, upper=keys.upper, page_size=page_size)
    return [BucketRecord(id=row[0], created_at=row[1], owner_id=row[2]) for row in rows]


async def create_bucket(
    session: Session, scope: Scope, bucket: str, owner_id: str | None, *, public: bool, object_lock: bool = False
) -> None:
    """Insert as the caller. Raises DuplicateRow when the name is taken."""
    statement = _SQL["create_locked_bucket"] if object_lock else _SQL["create_bucket"]
    try:
        await session.write(scope, statement, bucket=bucket, owner_id=owner_id, public=public)
    except OutcomeUnknown:
        found, _ = await find_bucket(session, scope, bucket)
        if found is None:
            raise


async def find_bucket(session: Session, scope: Scope, bucket: str) -> tuple[BucketRecord | None, Visibility]:
    """The bucket as the caller sees it, and what to say if it sees none."""
    [row] = await session.fetch(scope, _SQL["find_bucket"], bucket=bucket)
    visibility = Visibility(row[4])
    if row[0] is None:
        return None, visibility
    return BucketRecord(
        id=row[0], created_at=row[1], owner_id=row[2], public=bool(row[3]), versioning_status=VersioningStatus(row[5])
    ), visibility


async def visibility(session: Session, scope: Scope, bucket: str) -> Visibility:
    """What the caller may be told of a bucket."""
    [row] = await session.fetch(scope, _SQL["bucket_visibility"], bucket=bucket)
    return Visibility(row[0])


async def set_versioning(session: Session, scope: Scope, bucket: str, status: VersioningStatus) -> None:
    """Set as the caller. Raises NoSuchBucket, AccessDenied, and InvalidBucketState if an object lock forbids it."""
    [row] = await session.write(scope, _SQL["set_versioning"], bucket=bucket, status=status.value)
    _require_set(row[0], bucket)


async def put_lock_configuration(session: Session, scope: Scope, bucket: str, document: Mapping[str, Any]) -> None:
    """Set the default retention as the caller. Raises NoSuchBucket, AccessDenied, and InvalidBucketState for a bucket
    that does not keep versions."""
    [row] = await session.write(
        scope, _SQL["put_lock_configuration"], bucket=bucket, document=json.dumps(dict(document))
    )
    _require_set(row[0], bucket)


def _require_set(answer: str, bucket: str) -> None:
    if answer == Visibility.NONE:
        raise StorageError("NoSuchBucket", BucketName=bucket)
    if answer != "set":
        raise StorageError("AccessDenied")


async def delete_bucket(session: Session, scope: Scope, bucket: str) -> None:
    """Delete as the caller. Raises NoSuchBucket, AccessDenied, BucketNotEmpty."""
    try:
        [row] = await session.fetch(scope, _SQL["delete_bucket"], bucket=bucket)
    except ReferencedRow as error:
        raise StorageError("BucketNotEmpty", BucketName=bucket) from error
    if row[0] == "none":
        raise StorageError("NoSuchBucket", BucketName=bucket)
    if row[0] != "deleted":
        raise StorageError("AccessDenied")


__all__ = [
    "DuplicateRow",
    "create_bucket",
    "delete_bucket",
    "find_bucket",
    "list_buckets",
    "put_lock_configuration",
    "set_versioning",
    "visibility",
]
