"""Buckets as the JSON API has them: with limits, searched and sorted, emptied in one go."""

from dataclasses import dataclass
from typing import Final

from gateway.context import Call
from gateway.errors import StorageError
from gateway.metadata import buckets, storage_api
from gateway.metadata.errors import DuplicateRow
from gateway.metadata.records import Visibility
from gateway.metadata.storage_api import BucketChanges, BucketRow, NewBucket
from gateway.operations.services import Services
from gateway.wire.addressing import RESERVED_BUCKET

_EMPTIED_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class BucketSearch:
    """Which buckets and in which order; ``search`` is a part of the name, whatever the case."""

    search: str | None = None
    sort_column: str = "name"
    sort_order: str = "asc"
    limit: int | None = None
    offset: int = 0


async def list_buckets(services: Services, call: Call, asked: BucketSearch) -> list[BucketRow]:
    """The buckets the caller sees."""
    return await storage_api.list_buckets(
        services.session,
        call.scope,
        search=asked.search,
        sort_column=asked.sort_column,
        descending=asked.sort_order == "desc",
        page_size=asked.limit,
        skip=asked.offset,
    )


async def get_bucket(services: Services, call: Call, bucket: str) -> BucketRow:
    """One bucket. Raises NoSuchBucket, also for one the caller does not see."""
    found = await storage_api.find_bucket(services.session, call.scope, bucket)
    if found is None:
        raise StorageError("NoSuchBucket", BucketName=bucket)
    return found


async def create_bucket(services: Services, call: Call, new: NewBucket) -> None:
    """Make a bucket owned by the caller. Raises BucketAlreadyExists, InvalidBucketName (the reserved name)."""
    if RESERVED_BUCKET in (new.id, new.name):
        raise StorageError("InvalidBucketName", BucketName=new.id)
    try:
        await storage_api.create_bucket(services.session, call.scope, new, call.principal.subject)
    except DuplicateRow:
        raise StorageError("BucketAlreadyExists", BucketName=new.id) from None


async def update_bucket(services: Services, call: Call, bucket: str, changes: BucketChanges) -> None:
    """Change the settings that are given. Raises NoSuchBucket, AccessDenied."""
    await storage_api.update_bucket(services.session, call.scope, bucket, changes)


async def delete_bucket(services: Services, call: Call, bucket: str) -> None:
    """Delete an empty bucket. Raises NoSuchBucket (one the caller does not see too), BucketNotEmpty, AccessDenied."""
    try:
        await buckets.delete_bucket(services.session, call.scope, bucket)
    except StorageError as error:
        if error.code.name != "AccessDenied":
            raise
        if await buckets.visibility(services.session, call.scope, bucket) is Visibility.VISIBLE:
            raise
        raise StorageError("NoSuchBucket", BucketName=bucket) from None


async def empty_bucket(services: Services, call: Call, bucket: str, at_most: int) -> int:
    """Delete every object, with all its versions, that the caller may delete; returns how many.

    Objects written after it began stay. It runs in many short transactions, so a failure leaves some deleted. Raises
    NoSuchBucket, InvalidRequest (more than ``at_most`` objects), AccessDenied (not all of them were the caller's to
    delete, or one is locked).
    """
    session, scope = services.session, call.scope
    if await buckets.visibility(session, scope, bucket) is not Visibility.VISIBLE:
        raise StorageError("NoSuchBucket", BucketName=bucket)
    if await storage_api.count_objects(session, scope, bucket, at_most + 1) > at_most:
        raise StorageError("InvalidRequest", f"A bucket of more than {at_most} objects cannot be emptied at once.")
    until = await storage_api.now(session, scope)
    deleted = 0
    while count := await storage_api.empty_bucket(session, scope, bucket, until, _EMPTIED_AT_ONCE):
        deleted += count
    if not deleted and await storage_api.count_objects(session, scope, bucket, 1):
        raise StorageError("AccessDenied")
    return deleted
