"""Multipart uploads and their parts, one function a query."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from gateway import statements
from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata.errors import OutcomeUnknown, ReferencedRow
from gateway.metadata.keyspace import KeyRange
from gateway.metadata.records import (
    NO_ATTRIBUTES,
    Attributes,
    Headers,
    ListedUpload,
    PartRecord,
    UploadForPart,
    UploadRecord,
    headers_of,
    metadata_json,
)
from gateway.metadata.session import Row, Session, Transaction

_SQL: Final = statements.load("multipart")


async def create_multipart_upload(
    session: Session,
    scope: Scope,
    *,
    upload_id: str,
    bucket: str,
    key: str,
    version: str,
    owner_id: str | None,
    headers: Headers,
    backend: str,
    checksum_algorithm: str | None,
    checksum_type: str | None,
    attributes: Attributes = NO_ATTRIBUTES,
) -> None:
    """Begin an upload, after a dry run of its final write as the caller."""
    try:
        await session.write(
            scope,
            _SQL["create_multipart_upload"],
            upload_id=upload_id,
            bucket=bucket,
            key=key,
            version=version,
            owner_id=owner_id,
            metadata=metadata_json(headers, None, None, None),
            user_metadata=headers.user_metadata_json,
            backend=backend,
            checksum_algorithm=checksum_algorithm,
            checksum_type=checksum_type,
            attributes=attributes.json,
        )
    except ReferencedRow as error:
        raise StorageError("NoSuchBucket", BucketName=bucket) from error


async def probe_part(
    session: Session, scope: Scope, upload_id: str, bucket: str, key: str, size_bytes: int | None
) -> UploadForPart:
    """May the caller add this part? Raises NoSuchUpload, AccessDenied, EntityTooLarge."""
    [row] = await session.fetch(
        scope, _SQL["probe_part"], upload_id=upload_id, bucket=bucket, key=key, size_bytes=size_bytes
    )
    backend, version, algorithm, kind, attributes = row
    return UploadForPart(backend, version, algorithm, kind, Attributes.of(attributes).encryption)


async def record_part(
    session: Session,
    scope: Scope,
    *,
    upload_id: str,
    bucket: str,
    key: str,
    part_number: int,
    epoch: int,
    backend: str,
    blob_id: str,
    size_bytes: int,
    etag: str,
    checksum_algorithm: str | None,
    checksum_value: str | None,
    owner_id: str | None,
) -> datetime:
    """Record a part whose blob is durable. A lost COMMIT is tried once more; the database counts it once."""
    values: dict[str, Any] = {
        "upload_id": upload_id,
        "bucket": bucket,
        "key": key,
        "part_number": part_number,
        "epoch": epoch,
        "backend": backend,
        "blob_id": blob_id,
        "size_bytes": size_bytes,
        "etag": etag,
        "checksum_algorithm": checksum_algorithm,
        "checksum_value": checksum_value,
        "owner_id": owner_id,
    }
    try:
        [row] = await session.write(scope, _SQL["record_part"], **values)
    except OutcomeUnknown:
        try:
            [row] = await session.write(scope, _SQL["record_part"], **values)
        except StorageError as error:
            # Not a refusal to act on: the first attempt may still be under way.
            raise OutcomeUnknown from error
    stored: datetime = row[0]
    return stored


async def list_parts(
    session: Session, scope: Scope, upload_id: str, bucket: str, key: str, after: int, page_size: int
) -> tuple[UploadForPart, list[PartRecord]]:
    """The upload and a page of its parts. Raises NoSuchUpload, AccessDenied."""
    rows = await session.fetch(
        scope, _SQL["list_parts"], upload_id=upload_id, bucket=bucket, key=key, after=after, page_size=page_size
    )
    backend, algorithm, kind = rows[0][:3]
    parts = [_part(row[3:10]) for row in rows if row[3] is not None]
    owner_id, initiator_id, storage_class = rows[0][10:]
    begun = UploadForPart(
        backend, "", algorithm, kind, owner_id=owner_id, initiator_id=initiator_id, storage_class=storage_class
    )
    return begun, parts


async def lock_upload(transaction: Transaction, upload_id: str, bucket: str, key: str) -> UploadRecord:
    """Hold an upload for the rest of the transaction. Raises NoSuchUpload."""
    [row] = await transaction.fetch(_SQL["lock_upload"], upload_id=upload_id, bucket=bucket, key=key)
    return UploadRecord(
        version=row[0],
        owner_id=row[1],
        headers=headers_of(row[2], row[3]),
        backend=row[4],
        checksum_algorithm=row[5],
        checksum_type=row[6],
        answer=row[7],
        attributes=Attributes.of(row[8]),
    )


async def all_parts(transaction: Transaction, upload_id: str) -> list[PartRecord]:
    """Every part of a locked upload, by number."""
    return [_part(row) for row in await transaction.fetch(_SQL["all_parts"], upload_id=upload_id)]


async def finish_upload(
    transaction: Transaction, upload_id: str, blob_ids: Sequence[str], answer: Mapping[str, Any]
) -> None:
    """Give the parts used to the object, the others to the garbage, and remember the answer."""
    await transaction.fetch(
        _SQL["finish_upload"], upload_id=upload_id, blob_ids=list(blob_ids), answer=json.dumps(answer)
    )


async def completed_answer(
    session: Session, scope: Scope, upload_id: str, bucket: str, key: str
) -> Mapping[str, Any] | None:
    """The answer of an earlier completion, or None while the upload is open."""
    [row] = await session.fetch(scope, _SQL["completed_answer"], upload_id=upload_id, bucket=bucket, key=key)
    answer: Mapping[str, Any] | None = row[0]
    return answer


async def abort_upload(session: Session, scope: Scope, upload_id: str, bucket: str, key: str) -> None:
    """End an upload; its parts go to the garbage. Raises NoSuchUpload, AccessDenied."""
    values = {"upload_id": upload_id, "bucket": bucket, "key": key}
    try:
        await session.write(scope, _SQL["abort_upload"], **values)
    except OutcomeUnknown:
        try:
            await session.write(scope, _SQL["abort_upload"], **values)
        except StorageError as error:
            if error.code.name != "NoSuchUpload":
                raise


async def list_uploads(
    session: Session,
    scope: Scope,
    bucket: str,
    keys: KeyRange,
    after_key: str,
    after: tuple[datetime, str] | None,
    page_size: int,
) -> list[ListedUpload]:
    """A page of open uploads the caller sees, by key and start; within ``after_key`` those after ``after``."""
    if keys.is_empty:
        return []
    started, upload_id = after or (None, None)
    rows = await session.fetch(
        scope,
        _SQL["list_uploads"],
        bucket=bucket,
        lower=keys.lower,
        upper=keys.upper,
        after_key=after_key,
        after_created_at=started,
        after_id=upload_id,
        page_size=page_size,
    )
    return [ListedUpload(*row) for row in rows]


async def find_upload_start(session: Session, scope: Scope, bucket: str, upload_id: str) -> datetime | None:
    """When an upload began, if the caller sees it."""
    rows = await session.fetch(scope, _SQL["find_upload_start"], bucket=bucket, upload_id=upload_id)
    return rows[0][0] if rows else None


def _part(row: Row) -> PartRecord:
    return PartRecord(*row)
