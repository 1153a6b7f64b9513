"""Pages of storage.objects: the walk of a listing, over current objects and over all versions."""

from typing import Final

from gateway import statements
from gateway.context import Scope
from gateway.metadata.keyspace import KeyRange, successor
from gateway.metadata.records import ListedObject, ListedVersion
from gateway.metadata.session import Session

_SQL: Final = statements.load("objects")


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


async def list_versions(
    session: Session,
    scope: Scope,
    bucket: str,
    keys: KeyRange,
    inside: tuple[str, str] | None,
    prefix: str,
    delimiter: str | None,
    page_size: int,
) -> list[ListedVersion]:
    """One page of versions and common prefixes: by key in byte order, within a key the newest first.

    ``inside``: begin behind this position (:func:`version_position`) of a key, then go on with ``keys``.
    """
    if (keys.is_empty and inside is None) or page_size <= 0:
        return []
    key, position = inside or (None, None)
    rows = await session.fetch(
        scope,
        _SQL["list_versions"],
        bucket=bucket,
        lower=keys.lower,
        upper=keys.upper,
        inside=key,
        inside_at=position,
        prefix_length=len(prefix),
        delimiter=delimiter,
        seek=successor(delimiter) if delimiter else None,
        page_size=page_size,
    )
    return list(map(ListedVersion._make, rows))


async def version_position(session: Session, scope: Scope, bucket: str, key: str, version_id: str) -> str | None:
    """Where a version stands among those of its key, to list what is older; None for one the caller does not see."""
    [row] = await session.fetch(scope, _SQL["version_position"], bucket=bucket, key=key, version_id=version_id)
    position: str | None = row[0]
    return position
