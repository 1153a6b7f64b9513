"""storage.objects, one function a query."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from gateway import statements
from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata.errors import OutcomeUnknown, ReferencedRow
from gateway.metadata.keyspace import KeyRange, successor
from gateway.metadata.records import (
    NO_ATTRIBUTES,
    Attributes,
    Checksum,
    DeleteOutcome,
    Headers,
    ListedObject,
    NewObject,
    ObjectRecord,
    Written,
    headers_of,
    metadata_json,
)
from gateway.metadata.session import Row, Session, Transaction
from gateway.wire.conditions import WriteCondition

_SQL: Final = statements.load("objects")
_NO_COLUMNS: Final = (None,) * 6


async def find_object(session: Session, scope: Scope, bucket: str, key: str) -> ObjectRecord | None:
    """The current object as the caller sees it, with inline bytes."""
    rows = await session.fetch(scope, _SQL["find_object"], bucket=bucket, key=key)
    return _object(rows[0]) if rows else None


async def describe_object(session: Session, scope: Scope, bucket: str, key: str) -> ObjectRecord | None:
    """The same without inline bytes."""
    rows = await session.fetch(scope, _SQL["describe_object"], bucket=bucket, key=key)
    return _object(rows[0]) if rows else None


async def put_object(session: Session, scope: Scope, new: NewObject, condition: WriteCondition) -> Written:
    """Commit an object whose bytes are durable; says its Last-Modified.

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
    try:
        if new.epoch is not None:
            [row] = await session.write(scope, _SQL["put_object"], **values)
            return Written(*row)
        if await _is_current_version(session, scope, new):
            found = await describe_object(session, scope, new.bucket, new.key)
            return Written(found.updated_at if found else datetime.now().astimezone())
    except (StorageError, ReferencedRow) as error:
        raise OutcomeUnknown from error
    raise OutcomeUnknown


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
) -> None:
    """Would this write be let in? Raises what the write would."""
    await session.fetch(
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


async def replace_metadata(
    session: Session,
    scope: Scope,
    bucket: str,
    key: str,
    source: ObjectRecord,
    headers: Headers,
    tags: Mapping[str, str] | None,
    condition: WriteCondition,
) -> Written | None:
    """Give an object new headers, and new tags unless they are None; None when another writer replaced it
    meanwhile."""
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
    return Written(*rows[0]) if rows else None


async def replace_tags(session: Session, scope: Scope, record: ObjectRecord, tags: Mapping[str, str]) -> bool:
    """Give exactly this version other tags; False when it was replaced or deleted since. Raises AccessDenied."""
    [row] = await session.write(
        scope, _SQL["replace_tags"], id=record.id, version=record.version, tags=_tags_json(tags)
    )
    return bool(row[0])


async def delete_object(session: Session, scope: Scope, bucket: str, key: str, if_match: str | None) -> DeleteOutcome:
    """Delete as the caller. Raises AccessDenied, NoSuchBucket, PreconditionFailed.

    A lost COMMIT is not repeated: it could delete what was put since.
    """
    [row] = await session.write(scope, _SQL["delete_object"], bucket=bucket, key=key, if_match=if_match)
    return DeleteOutcome(row[0])


async def delete_objects(
    session: Session, scope: Scope, bucket: str, keys: Sequence[str], etags: Sequence[str | None]
) -> dict[str, DeleteOutcome]:
    """Delete many as the caller, all in one transaction; says of each key what became of it."""
    rows = await session.write(scope, _SQL["delete_objects"], bucket=bucket, keys=list(keys), etags=list(etags))
    return {row[0]: DeleteOutcome(row[1]) for row in rows}


async def list_objects(
    session: Session, scope: Scope, bucket: str, keys: KeyRange, prefix: str, delimiter: str | None, page_size: int
) -> list[ListedObject]:
    """One page of keys and common prefixes in byte order; at most ``page_size`` entries."""
    if keys.is_empty or page_size <= 0:
        return []
    if delimiter:
        rows = await session.fetch(
            scope,
            _SQL["list_objects"],
            bucket=bucket,
            lower=keys.lower,
            upper=keys.upper,
            prefix_length=len(prefix),
            delimiter=delimiter,
            seek=successor(delimiter),
            page_size=page_size,
        )
    else:
        rows = await session.fetch(
            scope, _SQL["list_objects_flat"], bucket=bucket, lower=keys.lower, upper=keys.upper, page_size=page_size
        )
    return list(map(ListedObject._make, rows))


async def _is_current_version(session: Session, scope: Scope, new: NewObject) -> bool:
    [row] = await session.fetch(scope, _SQL["is_current_version"], bucket=new.bucket, key=new.key, version=new.version)
    return bool(row[0])


def _put_values(new: NewObject, condition: WriteCondition) -> dict[str, Any]:
    checksum = new.checksum
    return {
        "bucket": new.bucket,
        "key": new.key,
        "version": new.version,
        "owner_id": new.owner_id,
        "metadata": metadata_json(new.headers, new.size_bytes, new.etag, datetime.now().astimezone()),
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
        headers=headers_of(_document(row[3]), _document(row[4])),
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
        attributes=_attributes(row[18:24]),
        lifecycle_revision=row[24],
    )


def _attributes(columns: Row) -> Attributes:
    if columns == _NO_COLUMNS:
        return NO_ATTRIBUTES
    tags, acl, lock_mode, lock_until, legal_hold, encryption = columns
    return Attributes(_document(tags), _document(acl), lock_mode, lock_until, legal_hold, _document(encryption))


def _document(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str | bytes):
        value = json.loads(value)
    return value if isinstance(value, dict) else None
