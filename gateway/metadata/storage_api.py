"""What the JSON API asks beside S3's operations: bucket settings, folders, whole rows, moves. One function a query."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from gateway import statements
from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata.errors import OutcomeUnknown
from gateway.metadata.records import Visibility, json_document
from gateway.metadata.session import Row, Session

_SQL: Final = statements.load("storage_api")


@dataclass(frozen=True, slots=True)
class BucketRow:
    """A row of storage.buckets with its settings. Sizes in bytes."""

    id: str
    name: str
    owner: UUID | None
    owner_id: str | None
    public: bool
    file_size_limit: int | None
    allowed_mime_types: tuple[str, ...] | None
    created_at: datetime | None
    updated_at: datetime | None
    type: str
    versioning_status: str


@dataclass(frozen=True, slots=True)
class NewBucket:
    """A bucket to be made. An empty ``allowed_mime_types`` allows every type, as None does."""

    id: str
    name: str
    public: bool
    file_size_limit: int | None
    allowed_mime_types: tuple[str, ...] | None
    versioning_status: str = "DISABLED"


@dataclass(frozen=True, slots=True)
class BucketChanges:
    """What changes of a bucket; a setting that is not named in ``given`` stays as it is."""

    given: frozenset[str]
    public: bool | None = None
    file_size_limit: int | None = None
    allowed_mime_types: tuple[str, ...] | None = None
    versioning_status: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """A row of storage.objects as Supabase shows it. ``user_metadata`` is any JSON object."""

    id: UUID
    bucket_id: str
    name: str
    owner: UUID | None
    owner_id: str | None
    version: str | None
    created_at: datetime | None
    updated_at: datetime | None
    last_accessed_at: datetime | None
    metadata: dict[str, Any] | None
    user_metadata: dict[str, Any] | None
    size_bytes: int | None
    etag: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a listing: an object, or a folder, which has a name and at most times."""

    name: str
    is_folder: bool
    id: UUID | None
    updated_at: datetime | None
    created_at: datetime | None
    last_accessed_at: datetime | None
    metadata: dict[str, Any] | None


class Moved(StrEnum):
    """What became of a move."""

    MOVED = "moved"
    ABSENT = "absent"
    VERSIONS = "versions"


async def list_buckets(
    session: Session,
    scope: Scope,
    *,
    search: str | None,
    sort_column: str,
    descending: bool,
    page_size: int | None,
    skip: int,
) -> list[BucketRow]:
    """Buckets the caller sees."""
    rows = await session.fetch(
        scope,
        _SQL["list_buckets"],
        search=search,
        sort_column=sort_column,
        descending=descending,
        page_size=page_size,
        skip=skip,
    )
    return list(map(_bucket, rows))


async def find_bucket(session: Session, scope: Scope, bucket: str) -> BucketRow | None:
    """A bucket as the caller sees it."""
    rows = await session.fetch(scope, _SQL["find_bucket"], bucket=bucket)
    return _bucket(rows[0]) if rows else None


async def create_bucket(session: Session, scope: Scope, new: NewBucket, owner_id: str | None) -> None:
    """Insert as the caller. Raises DuplicateRow, AccessDenied."""
    try:
        await session.write(
            scope,
            _SQL["create_bucket"],
            id=new.id,
            name=new.name,
            owner_id=owner_id,
            public=new.public,
            file_size_limit=new.file_size_limit,
            allowed_mime_types=_texts(new.allowed_mime_types),
            versioning_status=new.versioning_status,
        )
    except OutcomeUnknown:
        if await find_bucket(session, scope, new.id) is None:
            raise


async def update_bucket(session: Session, scope: Scope, bucket: str, changes: BucketChanges) -> None:
    """Change as the caller. Raises NoSuchBucket, AccessDenied, InvalidBucketState if an object lock needs versions."""
    [row] = await session.write(
        scope,
        _SQL["update_bucket"],
        bucket=bucket,
        public=changes.public,
        sets_size_limit="file_size_limit" in changes.given,
        file_size_limit=changes.file_size_limit,
        sets_mime_types="allowed_mime_types" in changes.given,
        allowed_mime_types=_texts(changes.allowed_mime_types),
        versioning_status=changes.versioning_status,
    )
    if row[0] != "set":
        raise StorageError("AccessDenied" if row[0] == Visibility.VISIBLE else "NoSuchBucket")


async def is_public_bucket(session: Session, scope: Scope, bucket: str) -> bool | None:
    """May everybody read what is in it? None: there is no such bucket."""
    [row] = await session.fetch(scope, _SQL["is_public_bucket"], bucket=bucket)
    return None if row[0] is None else bool(row[0])


async def object_id(session: Session, scope: Scope, bucket: str, key: str) -> UUID | None:
    """The id of the object the caller has just written."""
    [row] = await session.fetch(scope, _SQL["object_id"], bucket=bucket, key=key)
    found: UUID | None = row[0]
    return found


async def find_rows(session: Session, scope: Scope, bucket: str, keys: Sequence[str]) -> list[ObjectRow]:
    """Those of these objects that the caller sees, in no order."""
    return list(map(_object, await session.fetch(scope, _SQL["find_rows"], bucket=bucket, keys=list(keys))))


async def find_version_rows(
    session: Session, scope: Scope, bucket: str, versions: Sequence[tuple[str, str]]
) -> list[tuple[ObjectRow, str]]:
    """Those of these versions, by key and id (``null`` names the one without), that the caller sees, each with its id;
    no delete markers. In no order."""
    keys, version_ids = [key for key, _ in versions], [version_id for _, version_id in versions]
    rows = await session.fetch(scope, _SQL["find_version_rows"], bucket=bucket, keys=keys, version_ids=version_ids)
    return [(_object(row), row[13]) for row in rows]


async def search(
    session: Session,
    scope: Scope,
    bucket: str,
    *,
    prefix: str,
    search_text: str,
    sort_column: str,
    sort_order: str,
    page_size: int,
    skip: int,
) -> list[Entry]:
    """One page of a folder; names relative to it."""
    rows = await session.fetch(
        scope,
        _SQL["search"],
        bucket=bucket,
        prefix=prefix,
        search=search_text,
        sort_column=sort_column,
        sort_order=sort_order,
        page_size=page_size,
        skip=skip,
    )
    return [
        Entry(name, row_id is None, row_id, updated_at, created_at, last_accessed_at, json_document(metadata))
        for name, row_id, updated_at, created_at, last_accessed_at, metadata in rows
    ]


async def list_entries(
    session: Session,
    scope: Scope,
    bucket: str,
    *,
    prefix: str,
    lower: str,
    upper: str,
    delimiter: str,
    descending: bool,
    page_size: int,
) -> list[Entry]:
    """One page by name; full names, folders with their delimiter. ``delimiter`` "" lists no folders."""
    rows = await session.fetch(
        scope,
        _SQL["list_entries"],
        bucket=bucket,
        prefix=prefix,
        lower=lower,
        upper=upper,
        delimiter=delimiter,
        descending=descending,
        page_size=page_size,
    )
    return list(map(_entry, rows))


async def list_entries_by_time(
    session: Session,
    scope: Scope,
    bucket: str,
    *,
    prefix: str,
    lower: str,
    upper: str,
    delimiter: str,
    sort_column: str,
    descending: bool,
    after: tuple[datetime, str] | None,
    page_size: int,
) -> list[Entry]:
    """One page by ``created_at`` or ``updated_at``, then by name, behind ``after``."""
    rows = await session.fetch(
        scope,
        _SQL["list_entries_by_time"],
        bucket=bucket,
        prefix=prefix,
        lower=lower,
        upper=upper,
        delimiter=delimiter,
        sort_column=sort_column,
        descending=descending,
        after_time=after[0] if after else None,
        after_name=after[1] if after else None,
        page_size=page_size,
    )
    return list(map(_entry, rows))


async def move_object(
    session: Session, scope: Scope, bucket: str, key: str, to_bucket: str, to_key: str
) -> tuple[Moved, UUID | None]:
    """Rename as the caller, bytes untouched. Raises DuplicateRow (the name is taken), NoSuchBucket, AccessDenied,
    EntityTooLarge and InvalidMimeType (what the other bucket does not take)."""
    [row] = await session.write(scope, _SQL["move_object"], bucket=bucket, key=key, to_bucket=to_bucket, to_key=to_key)
    return Moved(row[0]), row[1]


async def count_objects(session: Session, scope: Scope, bucket: str, at_most: int) -> int:
    """How many rows of a bucket the caller sees, versions too; counting ends at ``at_most``."""
    [row] = await session.fetch(scope, _SQL["count_objects"], bucket=bucket, at_most=at_most)
    return int(row[0])


async def empty_bucket(session: Session, scope: Scope, bucket: str, until: datetime, page_size: int) -> int:
    """Delete up to ``page_size`` objects that were there at ``until``, as the caller; returns how many."""
    [row] = await session.fetch(scope, _SQL["empty_bucket"], bucket=bucket, until=until, page_size=page_size)
    return int(row[0])


async def now(session: Session, scope: Scope) -> datetime:
    """The database's clock."""
    [row] = await session.fetch(scope, _SQL["now"])
    moment: datetime = row[0]
    return moment


def _bucket(row: Row) -> BucketRow:
    row_id, name, owner, owner_id, public, limit, types, created_at, updated_at, kind, versions = row
    allowed = tuple(types) if types is not None else None
    return BucketRow(
        row_id, name, owner, owner_id, bool(public), limit, allowed, created_at, updated_at, kind, versions
    )


def _object(row: Row) -> ObjectRow:
    return ObjectRow(
        id=row[0],
        bucket_id=row[1],
        name=row[2],
        owner=row[3],
        owner_id=row[4],
        version=row[5],
        created_at=row[6],
        updated_at=row[7],
        last_accessed_at=row[8],
        metadata=json_document(row[9]),
        user_metadata=json_document(row[10]),
        size_bytes=row[11],
        etag=row[12],
    )


def _entry(row: Row) -> Entry:
    name, is_folder, row_id, updated_at, created_at, last_accessed_at, metadata = row
    return Entry(name, is_folder, row_id, updated_at, created_at, last_accessed_at, json_document(metadata))


def _texts(values: tuple[str, ...] | None) -> list[str] | None:
    return list(values) if values is not None else None
