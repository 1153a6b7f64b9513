"""storage.buckets, one function a query."""

from typing import Final

from gateway import statements
from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata.errors import DuplicateRow, OutcomeUnknown, ReferencedRow
from gateway.metadata.keyspace import KeyRange
from gateway.metadata.records import BucketRecord, Visibility
from gateway.metadata.session import Session

_SQL: Final = statements.load("buckets")


async def list_buckets(session: Session, scope: Scope, keys: KeyRange, page_size: int) -> list[BucketRecord]:
    """Buckets the caller sees, by name in byte order."""
    rows = await session.fetch(scope, _SQL["list_buckets"], lower=keys.lower, upper=keys.upper, page_size=page_size)
    return [BucketRecord(id=row[0], created_at=row[1], owner_id=row[2]) for row in rows]


async def create_bucket(session: Session, scope: Scope, bucket: str, owner_id: str | None, *, public: bool) -> None:
    """Insert as the caller. Raises DuplicateRow when the name is taken."""
    try:
        await session.write(scope, _SQL["create_bucket"], bucket=bucket, owner_id=owner_id, public=public)
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
    return BucketRecord(id=row[0], created_at=row[1], owner_id=row[2], public=bool(row[3])), visibility


async def visibility(session: Session, scope: Scope, bucket: str) -> Visibility:
    """What the caller may be told of a bucket."""
    [row] = await session.fetch(scope, _SQL["bucket_visibility"], bucket=bucket)
    return Visibility(row[0])


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


__all__ = ["DuplicateRow", "create_bucket", "delete_bucket", "find_bucket", "list_buckets", "visibility"]
