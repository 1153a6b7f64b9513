"""storage.object_annotations, one function a query.

Each names the object as it was read, by its row and its version. None for an answer says that another version has
taken its place since: the caller reads the object again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from gateway import statements
from gateway.context import Scope
from gateway.metadata.keyspace import KeyRange
from gateway.metadata.records import Checksum, ObjectRecord, json_document
from gateway.metadata.session import Session, Transaction

_SQL: Final = statements.load("annotations")
_FULL_OBJECT: Final = "FULL_OBJECT"


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation. ``payload`` may be encrypted (``encryption`` says how); the other facts are of the text."""

    payload: bytes
    size_bytes: int
    etag: str
    checksum: Checksum | None = None
    encryption: Mapping[str, Any] | None = None
    updated_at: datetime | None = None


class ListedAnnotation(NamedTuple):
    """One entry of a listing, in the order of the columns of its query."""

    name: str
    updated_at: datetime
    size_bytes: int
    etag: str
    checksum_algorithm: str | None


@dataclass(frozen=True, slots=True)
class Taken:
    """An annotation on its way from one object to another."""

    name: str
    payload: bytes
    size_bytes: int
    encryption: Mapping[str, Any] | None


async def find(session: Session, scope: Scope, record: ObjectRecord, name: str) -> tuple[Annotation | None, bool]:
    """An annotation as the caller sees it, if there is one; False if the object is another version by now."""
    rows = await session.fetch(scope, _SQL["find_annotation"], **_of(record), name=name)
    if not rows:
        return None, False
    payload, size_bytes, etag, algorithm, value, encryption, updated_at = rows[0]
    if payload is None:
        return None, True
    checksum = Checksum(algorithm, _FULL_OBJECT, value) if algorithm and value else None
    return Annotation(payload, size_bytes, etag, checksum, json_document(encryption), updated_at), True


async def list_names(
    session: Session, scope: Scope, record: ObjectRecord, names: KeyRange, page_size: int
) -> list[ListedAnnotation] | None:
    """Annotations by name in byte order, at most ``page_size``."""
    rows = await session.fetch(
        scope, _SQL["list_annotations"], **_of(record), lower=names.lower, upper=names.upper, page_size=page_size
    )
    return [ListedAnnotation._make(row) for row in rows if row[0] is not None] if rows else None


async def put(
    session: Session, scope: Scope, record: ObjectRecord, name: str, new: Annotation, if_match: str | None
) -> datetime | None:
    """Write one as the caller; says when. Raises AccessDenied, PreconditionFailed, AnnotationLimitExceeded.

    To be repeated after a lost COMMIT: it writes the same again.
    """
    checksum = new.checksum
    [row] = await session.fetch(
        scope,
        _SQL["put_annotation"],
        **_of(record),
        if_match=if_match,
        name=name,
        payload=new.payload,
        size_bytes=new.size_bytes,
        etag=new.etag,
        checksum_algorithm=checksum.algorithm if checksum else None,
        checksum_value=checksum.value if checksum else None,
        encryption=_json(new.encryption),
    )
    written: datetime | None = row[0]
    return written


async def delete(
    session: Session,
    scope: Scope,
    bucket: str,
    record: ObjectRecord,
    name: str,
    if_match: str | None,
    *,
    bypass_governance: bool,
) -> bool | None:
    """Delete one as the caller; False if there was none. Raises AccessDenied, PreconditionFailed."""
    [row] = await session.write(
        scope,
        _SQL["delete_annotation"],
        bucket=bucket,
        **_of(record),
        if_match=if_match,
        name=name,
        bypass=bypass_governance,
    )
    deleted: bool | None = row[0]
    return deleted


async def take(transaction: Transaction, source: ObjectRecord, s3_request_json: str) -> UUID | None:
    """Copy all annotations of an object, for :func:`give` in the same transaction. Raises AccessDenied."""
    [row] = await transaction.fetch(_SQL["take_annotations"], **_of(source), request=s3_request_json)
    taken: UUID | None = row[0]
    return taken


async def next_taken(transaction: Transaction, taken: UUID, after: str) -> Taken | None:
    """The first one taken whose name is greater than ``after``."""
    [row] = await transaction.fetch(_SQL["next_taken_annotation"], taken=taken, after=after)
    return Taken(row[0], row[1], row[2], json_document(row[3])) if row[0] is not None else None


async def replace_taken(
    transaction: Transaction, taken: UUID, name: str, payload: bytes, encryption: Mapping[str, Any] | None
) -> None:
    """The same text, encrypted in another way."""
    await transaction.fetch(
        _SQL["replace_taken_annotation"], taken=taken, name=name, payload=payload, encryption=_json(encryption)
    )


async def give(
    transaction: Transaction, taken: UUID, bucket: str, key: str, version: str, s3_request_json: str
) -> None:
    """Give what was taken to the object just written. Raises AccessDenied."""
    await transaction.fetch(
        _SQL["give_annotations"], taken=taken, bucket=bucket, key=key, version=version, request=s3_request_json
    )


def _of(record: ObjectRecord) -> dict[str, Any]:
    return {"object_id": record.id, "version": record.version}


def _json(document: Mapping[str, Any] | None) -> str | None:
    return json.dumps(dict(document)) if document is not None else None
