"""storage.objects, one function a query."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from gateway import statements
from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata.errors import OutcomeUnknown, ReferencedRow
from gateway.metadata.records import (
    NO_ATTRIBUTES,
    NULL_VERSION,
    Attributes,
    Checksum,
    DeleteMarker,
    DeleteOutcome,
    Deletion,
    Doomed,
    Headers,
    NewObject,
    ObjectRecord,
    Place,
    Replaced,
    Visibility,
    Written,
    headers_of,
    json_document,
    metadata_json,
)
from gateway.metadata.session import Row, Session, Transaction
from gateway.wire.conditions import WriteCondition

_SQL: Final = statements.load("objects")
_NO_COLUMNS: Final = (None,) * 7


async def find_object(
    session: Session, scope: Scope, bucket: str, key: str, version_id: str | None = None
) -> ObjectRecord | None:
    """The current object as the caller sees it, with inline bytes; with ``version_id`` that version (``null`` names
    the one written without), which may be a delete marker."""
    if version_id is not None:
        return await _find_version(session, scope, bucket, key, version_id, with_content=True)
    rows = await session.fetch(scope, _SQL["find_object"], bucket=bucket, key=key)
    return _object(rows[0]) if rows else None


async def describe_object(
    session: Session, scope: Scope, bucket: str, key: str, version_id: str | None = None
) -> ObjectRecord | None:
    """The same without inline bytes."""
    if version_id is not None:
        return await _find_version(session, scope, bucket, key, version_id, with_content=False)
    rows = await session.fetch(scope, _SQL["describe_object"], bucket=bucket, key=key)
    return _object(rows[0]) if rows else None


async def _find_version(
    session: Session, scope: Scope, bucket: str, key: str, version_id: str, *, with_content: bool
) -> ObjectRecord | None:
    rows = await session.fetch(
        scope, _SQL["find_version"], bucket=bucket, key=key, version_id=version_id, with_content=with_content
    )
    return _object(rows[0]) if rows else None


async def explain_missing(
    session: Session, scope: Scope, bucket: str, key: str
) -> tuple[Visibility, DeleteMarker | None]:
    """Why there is no current object: what to say of the bucket, and the delete marker in its place, if any."""
    [row] = await session.fetch(scope, _SQL["explain_missing"], bucket=bucket, key=key)
    seen, version, is_versioned, modified = row
    if version is None:
        return Visibility(seen), None
    return Visibility(seen), DeleteMarker(version if is_versioned else NULL_VERSION, modified)


async def put_object(session: Session, scope: Scope, new: NewObject, condition: WriteCondition) -> Written:
    """Commit an object whose bytes are durable; says its Last-Modified and its version.

    Raises StorageError. When the outcome of COMMIT is unknown it finds out; :class:`OutcomeUnknown` means that it
    could not, and that the blob must be left alone.
    """
    values = _put_values(new, condition)
    try:
        [row] = await session.write(scope, _SQL["put_object"], **values)
    except ReferencedRow as error:
        raise StorageError("NoSuchBucket", BucketName=new.bucket) from error
    except OutcomeUnknown:
        return await _settle(session, scope, new, values)
    return Written(*row)


async def _settle(session: Session, scope: Scope, new: NewObject, values: Mapping[str, Any]) -> Written:
    """After a lost COMMIT. Raises OutcomeUnknown, also for a refusal: the first attempt may still be under way.

    A write with a blob is repeated: the database knows whether the blob was given to a row before, and counts it
    once. Bytes in the row leave no such trace once they are replaced, so they are only looked for.
    """
    if new.epoch is None:
        return await find_written(session, scope, new)
    try:
        [row] = await session.write(scope, _SQL["put_object"], **values)
    except (StorageError, ReferencedRow) as error:
        raise OutcomeUnknown from error
    return Written(*row)


async def find_written(session: Session, scope: Scope, new: NewObject) -> Written:
    """After a lost COMMIT: the object, if it was written. Raises OutcomeUnknown if there is no trace of it."""
    try:
        [row] = await session.fetch(
            scope, _SQL["find_written_version"], bucket=new.bucket, key=new.key, version=new.version
        )
    except (StorageError, ReferencedRow) as error:
        raise OutcomeUnknown from error
    if row[0] is None:
        raise OutcomeUnknown
    return Written(*row)


async def put_object_in(transaction: Transaction, new: NewObject, condition: WriteCondition) -> Written:
    """The same as one statement of a transaction."""
    [row] = await transaction.fetch(_SQL["put_object"], **_put_values(new, condition))
    return Written(*row)


async def probe_put_object(
    session: Session,
    scope: Scope,
    bucket: str,
    key: str,
    owner_id: str | None,
    headers: Headers,
    size_bytes: int | None,
    condition: WriteCondition,
) -> Place:
    """Would this write be let in, and what does its bucket say of new bytes? Raises what the write would."""
    [row] = await session.fetch(
        scope,
        _SQL["probe_put_object"],
        bucket=bucket,
        key=key,
        owner_id=owner_id,
        metadata=metadata_json(headers, size_bytes, None, None),
        user_metadata=headers.user_metadata_json,
        size_bytes=size_bytes,
        if_match=condition.if_match,
        if_none_match=condition.if_none_match,
    )
    return Place(json_document(row[0]), row[1], row[2])


async def replace_metadata(
    session: Session,
    scope: Scope,
    bucket: str,
    key: str,
    source: ObjectRecord,
    headers: Headers,
    tags: Mapping[str, str] | None,
    condition: WriteCondition,
) -> Replaced:
    """Give an object new headers, and new tags unless they are None. Nothing is done in a bucket that keeps versions,
    nor to an object that another writer replaced meanwhile."""
    rows = await session.write(
        scope,
        _SQL["replace_metadata"],
        bucket=bucket,
        key=key,
        source_version=source.version,
        metadata=metadata_json(headers, source.size_bytes, source.etag, None),
        user_metadata=headers.user_metadata_json,
        tags=_tags_json(tags),
        keep_tags=tags is None,
        if_match=condition.if_match,
        if_none_match=condition.if_none_match,
    )
    if not rows:
        return Replaced(None)
    [[modified, revision]] = rows
    return Replaced(modified, keeps_versions=modified is None, lifecycle_revision=revision)


async def replace_tags(session: Session, scope: Scope, record: ObjectRecord, tags: Mapping[str, str]) -> bool:
    """Give exactly this version other tags; False when it was replaced or deleted since. Raises AccessDenied."""
    [row] = await session.write(
        scope, _SQL["replace_tags"], id=record.id, version=record.version, tags=_tags_json(tags)
    )
    return bool(row[0])


async def delete_object(
    session: Session, scope: Scope, bucket: str, doomed: Doomed, *, bypass_governance: bool = False
) -> Deletion:
    """Delete as the caller. Raises NoSuchBucket, and AccessDenied for a locked version.

    A lost COMMIT is not repeated: it could delete what was put since.
    """
    [row] = await session.write(
        scope,
        _SQL["delete_object"],
        bucket=bucket,
        key=doomed.key,
        version_id=doomed.version_id,
        owner_id=scope.subject or None,
        if_match=doomed.etag,
        if_size=doomed.size_bytes,
        if_modified=doomed.modified,
        bypass=bypass_governance,
    )
    return _deletion(row)


async def delete_objects(
    session: Session, scope: Scope, bucket: str, doomed: Sequence[Doomed], *, bypass_governance: bool = False
) -> list[Deletion]:
    """Delete many as the caller, all in one transaction; says of each what became of it, in their order."""
    rows = await session.write(
        scope,
        _SQL["delete_objects"],
        bucket=bucket,
        keys=[entry.key for entry in doomed],
        version_ids=[entry.version_id for entry in doomed],
        owner_id=scope.subject or None,
        etags=[entry.etag for entry in doomed],
        sizes=[entry.size_bytes for entry in doomed],
        modified=[entry.modified for entry in doomed],
        bypass=bypass_governance,
    )
    return [_deletion(row) for row in rows]


def _deletion(row: Row) -> Deletion:
    outcome, version_id, is_marker = row
    return Deletion(DeleteOutcome(outcome), version_id, bool(is_marker))


async def put_retention(
    session: Session,
    scope: Scope,
    bucket: str,
    key: str,
    version_id: str | None,
    *,
    mode: str | None,
    until: datetime | None,
    bypass_governance: bool,
) -> str:
    """Lock a version, or unlock it (no mode), as the caller: ``set``, ``absent``, ``marker`` or ``denied``.

    Raises AccessDenied for what the lock it has forbids, InvalidRequest for a bucket without object lock.
    """
    [row] = await session.write(
        scope,
        _SQL["put_lock"],
        bucket=bucket,
        key=key,
        version_id=version_id,
        sets_retention=True,
        mode=mode,
        until=until,
        legal_hold=None,
        bypass=bypass_governance,
    )
    return str(row[0])


async def put_legal_hold(
    session: Session, scope: Scope, bucket: str, key: str, version_id: str | None, *, held: bool
) -> str:
    """Hold a version or let it go, as the caller; answers as :func:`put_retention`."""
    [row] = await session.write(
        scope,
        _SQL["put_lock"],
        bucket=bucket,
        key=key,
        version_id=version_id,
        sets_retention=False,
        mode=None,
        until=None,
        legal_hold=held,
        bypass=False,
    )
    return str(row[0])


async def has_object_lock(session: Session, scope: Scope, bucket: str) -> bool:
    """Can versions in this bucket be locked?"""
    [row] = await session.fetch(scope, _SQL["has_object_lock"], bucket=bucket)
    return bool(row[0])


def _put_values(new: NewObject, condition: WriteCondition) -> dict[str, Any]:
    checksum = new.checksum
    return {
        "bucket": new.bucket,
        "key": new.key,
        "version": new.version,
        "owner_id": new.owner_id,
        "metadata": metadata_json(new.headers, new.size_bytes, new.etag, datetime.now(UTC)),
        "user_metadata": new.headers.user_metadata_json,
        "epoch": new.epoch,
        "backend": new.backend,
        "blob_id": new.blob_id,
        "content": new.content,
        "size_bytes": new.size_bytes,
        "etag": new.etag,
        "part_sizes": list(new.part_sizes) or None,
        "part_blobs": list(new.part_blobs) or None,
        "part_checksums": list(new.part_checksums) or None,
        "checksum_algorithm": checksum.algorithm if checksum else None,
        "checksum_type": checksum.type if checksum else None,
        "checksum_value": checksum.value if checksum else None,
        "attributes": new.attributes.json,
        "if_match": condition.if_match,
        "if_none_match": condition.if_none_match,
    }


def _tags_json(tags: Mapping[str, str] | None) -> str | None:
    return json.dumps(dict(tags), ensure_ascii=False) if tags else None


def _object(row: Row) -> ObjectRecord:
    algorithm, kind, value = row[15:18]
    return ObjectRecord(
        id=row[0],
        is_stored=row[7] is not None,
        version=row[1] or "",
        is_versioned=row[2],
        headers=headers_of(json_document(row[3]), json_document(row[4])),
        updated_at=row[5],
        owner_id=row[6],
        size_bytes=row[7] or 0,
        etag=row[8] or "",
        backend=row[9],
        blob_id=row[10],
        content=row[11],
        part_sizes=tuple(row[12] or ()),
        part_blobs=tuple(row[13] or ()),
        part_checksums=tuple(row[14] or ()),
        checksum=Checksum(algorithm, kind, value) if algorithm and kind and value else None,
        attributes=_attributes(row[18:25]),
        lifecycle_revision=row[25],
        is_delete_marker=bool(row[26:] and row[26]),
    )


def _attributes(columns: Row) -> Attributes:
    if columns == _NO_COLUMNS:
        return NO_ATTRIBUTES
    tags, acl, lock_mode, lock_until, legal_hold, encryption, is_annotated = columns
    return Attributes(
        json_document(tags),
        json_document(acl),
        lock_mode,
        lock_until,
        legal_hold,
        json_document(encryption),
        is_annotated=bool(is_annotated),
    )
