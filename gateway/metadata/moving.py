"""Where a bucket's bytes go, and giving those it has another place."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from gateway import statements
from gateway.context import system_scope
from gateway.errors import StorageError
from gateway.metadata.errors import OutcomeUnknown
from gateway.metadata.records import Headers, headers_of, json_document
from gateway.metadata.session import Session

_SQL: Final = statements.load("moving")
_SCOPE: Final = system_scope("rowlock.move")
_FIRST: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class PlacedVersion:
    """A version and where its bytes are: one blob, or parts in order. ``sizes`` are those of the bytes before
    encryption."""

    id: UUID
    bucket: str
    key: str
    version: str
    backend: str
    is_manifest: bool
    blobs: tuple[str, ...]
    sizes: tuple[int, ...]
    etag: str
    is_encrypted: bool
    headers: Headers

    @property
    def size_bytes(self) -> int:
        """The size of the object."""
        return sum(self.sizes)


@dataclass(frozen=True, slots=True)
class Remainder:
    """What a bucket has elsewhere."""

    versions: int
    size_bytes: int
    open_uploads: int


async def bucket_backends(session: Session) -> list[tuple[str, str | None]]:
    """Every bucket and the backend it names."""
    rows = await session.fetch(_SCOPE, _SQL["list_bucket_backends"])
    return [(row[0], row[1]) for row in rows]


async def set_bucket_backend(session: Session, bucket: str, backend: str | None) -> None:
    """New objects of this bucket go there from now on (None: to the default). Raises NoSuchBucket."""
    rows = await session.write(_SCOPE, _SQL["set_bucket_backend"], bucket=bucket, backend=backend)
    if not rows:
        raise StorageError("NoSuchBucket", BucketName=bucket)


async def measure(session: Session, bucket: str, backend: str) -> Remainder:
    """What is still to be moved to this backend."""
    [row] = await session.fetch(_SCOPE, _SQL["measure_bucket"], bucket=bucket, backend=backend)
    return Remainder(*row)


async def versions_elsewhere(
    session: Session, bucket: str, backend: str, page_size: int = 500
) -> AsyncGenerator[PlacedVersion, None]:
    """Versions whose bytes are in another backend than this one."""
    after = _FIRST
    while rows := await session.fetch(
        _SCOPE, _SQL["page_to_move"], bucket=bucket, backend=backend, after=after, page_size=page_size
    ):
        for row in rows:
            yield _placed(bucket, row)
        after = rows[-1][0]


async def versions_of(session: Session, bucket: str, page_size: int = 500) -> AsyncGenerator[PlacedVersion, None]:
    """Versions whose bytes are in any backend."""
    after = _FIRST
    while rows := await session.fetch(_SCOPE, _SQL["page_of_bucket"], bucket=bucket, after=after, page_size=page_size):
        for row in rows:
            yield _placed(bucket, row)
        after = rows[-1][0]


async def move_object(
    session: Session, placed: PlacedVersion, epoch: int, backend: str, new_blobs: Sequence[str]
) -> bool:
    """Say that the bytes are there now; False if the version was replaced or deleted since. A lost COMMIT is tried
    once more. Raises StorageError."""
    values = {
        "id": placed.id,
        "from_backend": placed.backend,
        "blob_id": None if placed.is_manifest else placed.blobs[0],
        "part_blobs": list(placed.blobs) if placed.is_manifest else None,
        "epoch": epoch,
        "backend": backend,
        "new_blob_id": None if placed.is_manifest else new_blobs[0],
        "new_part_blobs": list(new_blobs) if placed.is_manifest else None,
    }
    try:
        [row] = await session.write(_SCOPE, _SQL["move_object"], **values)
    except OutcomeUnknown:
        try:
            [row] = await session.write(_SCOPE, _SQL["move_object"], **values)
        except StorageError as error:
            raise OutcomeUnknown from error
    return bool(row[0])


def _placed(bucket: str, row: Sequence[object]) -> PlacedVersion:
    id_, key, version, backend, blob_id, size, etag, part_sizes, part_blobs, is_encrypted, metadata, user_metadata = row
    return PlacedVersion(
        id=id_,  # type: ignore[arg-type]
        bucket=bucket,
        key=str(key),
        version=str(version or ""),
        backend=str(backend),
        is_manifest=blob_id is None,
        blobs=(str(blob_id),) if blob_id is not None else tuple(part_blobs),  # type: ignore[arg-type]
        sizes=(int(size),) if blob_id is not None else tuple(part_sizes),  # type: ignore[call-overload, arg-type]
        etag=str(etag or ""),
        is_encrypted=bool(is_encrypted),
        headers=headers_of(json_document(metadata), json_document(user_metadata)),
    )
