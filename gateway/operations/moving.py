"""What the JSON API does with whole objects beside S3's operations: move, remove with an answer, look at rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from gateway.context import SERVICE_ROLE, Call, elevated
from gateway.errors import StorageError
from gateway.metadata import objects, storage_api
from gateway.metadata.errors import DuplicateRow
from gateway.metadata.records import DeleteOutcome, Doomed
from gateway.metadata.storage_api import Moved, ObjectRow
from gateway.operations import access, copying, deletion
from gateway.operations.services import Services
from gateway.operations.shapes import CopyObjectInput, DeleteObjectInput
from gateway.wire.addressing import CopySource


@dataclass(frozen=True, slots=True)
class Move:
    """An object and the name it is to have."""

    bucket: str
    key: str
    to_bucket: str
    to_key: str


async def move_object(services: Services, call: Call, asked: Move) -> UUID | None:
    """Give an object another name, in another bucket if wanted; returns the id of its row.

    One UPDATE as the caller; the bytes stay where they are. Where a bucket keeps versions it is a copy and then a
    delete marker, as S3 would have it. Raises NoSuchBucket, NoSuchKey, KeyAlreadyExists, AccessDenied, and what the
    other bucket does not take.
    """
    try:
        outcome, row_id = await storage_api.move_object(
            services.session, call.scope, asked.bucket, asked.key, asked.to_bucket, asked.to_key
        )
    except DuplicateRow:
        raise StorageError("KeyAlreadyExists", Key=asked.to_key) from None
    match outcome:
        case Moved.MOVED:
            return row_id
        case Moved.ABSENT:
            raise await access.missing_key(services, call, asked.bucket, asked.key)
        case Moved.VERSIONS:
            return await _copy_and_delete(services, call, asked)


async def _copy_and_delete(services: Services, call: Call, asked: Move) -> UUID | None:
    copy = CopyObjectInput(
        bucket=asked.to_bucket,
        key=asked.to_key,
        copy_source=CopySource(asked.bucket, asked.key, None),
        if_none_match="*",
    )
    try:
        await copying.copy_object(services, call, copy)
    except StorageError as error:
        if error.code.name == "PreconditionFailed":
            raise StorageError("KeyAlreadyExists", Key=asked.to_key) from None
        raise
    await deletion.delete_object(services, call, DeleteObjectInput(bucket=asked.bucket, key=asked.key))
    return await storage_api.object_id(services.session, call.scope, asked.to_bucket, asked.to_key)


async def find_row(services: Services, call: Call, bucket: str, key: str, version_id: str | None = None) -> ObjectRow:
    """The row of an object, or of one version, as the caller sees it. Raises NoSuchBucket, NoSuchKey, NoSuchVersion,
    AccessDenied."""
    if version_id is not None:
        found = await storage_api.find_version_rows(services.session, call.scope, bucket, [(key, version_id)])
        if not found:
            raise await access.missing_version(services, call, bucket, key, version_id)
        return found[0][0]
    rows = await storage_api.find_rows(services.session, call.scope, bucket, [key])
    if not rows:
        raise await access.missing_key(services, call, bucket, key)
    return rows[0]


async def written_row(services: Services, call: Call, bucket: str, key: str) -> ObjectRow | None:
    """The row the caller has just written, whether or not a policy shows it; None if it is gone already."""
    rows = await storage_api.find_rows(services.session, elevated(call, SERVICE_ROLE).scope, bucket, [key])
    return rows[0] if rows else None


async def remove_objects(
    services: Services, call: Call, bucket: str, keys: Sequence[str], versions: Sequence[tuple[str, str]] = ()
) -> list[ObjectRow]:
    """Delete objects, and single versions by key and id, in one transaction; returns the rows that are gone. What is
    not there, or not the caller's to see or delete, is left out without a word."""
    rows = await storage_api.find_rows(services.session, call.scope, bucket, keys) if keys else []
    doomed = [Doomed(row.name) for row in rows]
    if versions:
        for row, version_id in await storage_api.find_version_rows(services.session, call.scope, bucket, versions):
            rows.append(row)
            doomed.append(Doomed(row.name, version_id))
    if not rows:
        return []
    done = await objects.delete_objects(services.session, call.scope, bucket, doomed)
    return [row for row, end in zip(rows, done, strict=True) if end.outcome is DeleteOutcome.DELETED]


async def remove_object(services: Services, call: Call, bucket: str, key: str, version_id: str | None = None) -> None:
    """Delete one object, or one version of it. Raises NoSuchBucket, NoSuchKey, NoSuchVersion, AccessDenied."""
    await find_row(services, call, bucket, key, version_id)
    done = await objects.delete_object(services.session, call.scope, bucket, Doomed(key, version_id))
    if done.outcome is DeleteOutcome.ABSENT:
        raise StorageError("NoSuchKey", Key=key)
    if done.outcome is not DeleteOutcome.DELETED:
        raise StorageError("AccessDenied")
