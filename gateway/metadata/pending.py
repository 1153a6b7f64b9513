"""Uploads that wait for their confirmation, one function a query."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid4

from gateway import statements
from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata.errors import OutcomeUnknown, ReferencedRow
from gateway.metadata.records import Headers, NewObject, Place, headers_of, json_document, metadata_json
from gateway.metadata.session import Session

_SQL: Final = statements.load("pending")


class Outcome(StrEnum):
    """What a statement says of a pending upload."""

    OPEN = "open"
    USED = "used"
    FULL = "full"
    STORED = "stored"
    EXPIRED = "expired"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class PendingName:
    """A pending upload: its id, and the object it is to become."""

    id: UUID
    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class PendingRow:
    """An upload that waits. ``created_at``: when its bytes were complete."""

    id: UUID
    version: str
    headers: Headers
    size_bytes: int
    etag: str
    created_at: datetime
    expires_at: datetime


async def probe(
    session: Session, scope: Scope, name: PendingName, mime_type: str, size_bytes: int | None, limit: int
) -> tuple[Outcome, Place]:
    """May these bytes come: OPEN, USED or FULL; and what the bucket says of them. Raises NoSuchBucket,
    EntityTooLarge, InvalidMimeType."""
    [row] = await session.fetch(
        scope, _SQL["probe_pending_upload"], **_named(name), mime_type=mime_type, size_bytes=size_bytes, limit=limit
    )
    return Outcome(row[0]), Place(json_document(row[1]), row[2], row[3])


async def record(
    session: Session, scope: Scope, pending_id: UUID, new: NewObject, *, upsert: bool, expires_at: datetime
) -> Outcome:
    """Record an upload whose bytes are durable: STORED, USED or EXPIRED. A lost COMMIT is tried once more; the database
    counts it once. Raises NoSuchBucket, EntityTooLarge, InvalidMimeType, QuotaExceeded, OutcomeUnknown."""
    checksum = new.checksum
    values: dict[str, Any] = {
        "id": pending_id,
        "bucket": new.bucket,
        "key": new.key,
        "owner_id": new.owner_id,
        "upsert": upsert,
        "expires_at": expires_at,
        "version": new.version,
        "metadata": metadata_json(new.headers, new.size_bytes, new.etag, None),
        "user_metadata": new.headers.user_metadata_json,
        "epoch": new.epoch,
        "backend": new.backend,
        "blob_id": new.blob_id,
        "content": new.content,
        "size_bytes": new.size_bytes,
        "etag": new.etag,
        "checksum_algorithm": checksum.algorithm if checksum else None,
        "checksum_type": checksum.type if checksum else None,
        "checksum_value": checksum.value if checksum else None,
        "attributes": new.attributes.json,
    }
    return await _write(session, scope, "record_pending_upload", new.bucket, values)


async def find(session: Session, scope: Scope, name: PendingName) -> PendingRow | None:
    """The upload, if it waits and the caller may write the object. Raises NoSuchBucket, AccessDenied."""
    rows = await session.fetch(scope, _SQL["find_pending_upload"], **_named(name))
    if not rows:
        return None
    row_id, version, metadata, user_metadata, size, etag, created_at, expires_at = rows[0]
    headers = headers_of(json_document(metadata), json_document(user_metadata))
    return PendingRow(row_id, version, headers, size, etag, created_at, expires_at)


async def confirm(session: Session, scope: Scope, name: PendingName, owner_id: str | None) -> Outcome:
    """Make the upload an object, as the caller: CONFIRMED, USED or ABSENT. Raises what PutObject raises; then it still
    waits. After a lost COMMIT it is asked once more, and told what the first attempt did."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    values = {**_named(name), "owner_id": owner_id, "modified": now, "confirmation": uuid4()}
    return await _write(session, scope, "confirm_upload", name.bucket, values)


async def cancel(session: Session, scope: Scope, name: PendingName) -> Outcome:
    """Give the upload up: CANCELLED or ABSENT, which a repetition after a lost COMMIT may be told of its first attempt.
    Raises NoSuchBucket, AccessDenied."""
    return await _write(session, scope, "cancel_upload", name.bucket, _named(name))


async def _write(session: Session, scope: Scope, query: str, bucket: str, values: dict[str, Any]) -> Outcome:
    try:
        [row] = await session.write(scope, _SQL[query], **values)
    except ReferencedRow as error:
        raise StorageError("NoSuchBucket", BucketName=bucket) from error
    except OutcomeUnknown:
        try:
            [row] = await session.write(scope, _SQL[query], **values)
        except (StorageError, ReferencedRow) as error:
            # Not a refusal to act on: the first attempt may still be under way.
            raise OutcomeUnknown from error
    return Outcome(row[0])


def _named(name: PendingName) -> dict[str, Any]:
    return {"id": name.id, "bucket": name.bucket, "key": name.key}
