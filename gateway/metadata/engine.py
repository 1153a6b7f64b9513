"""What the server asks for itself: epochs, garbage, and what fsck compares. Runs as ``rowlock_engine``."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from gateway import statements
from gateway.context import system_scope
from gateway.metadata.records import json_document
from gateway.metadata.session import Session

_SQL: Final = statements.load("engine")
_FIRST: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Garbage:
    """A released blob whose grace period is over, claimed by this process for a while."""

    id: int
    backend: str
    blob_id: str


@dataclass(frozen=True, slots=True)
class OwnedBlobs:
    """A row that owns blobs: an object, or a part of an open upload. ``blobs`` are ids and sizes of the plaintext."""

    bucket: str
    key: str
    backend: str
    blobs: tuple[tuple[str, int], ...]
    etag: str
    encryption: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class InlineObject:
    """A row that holds its bytes itself."""

    bucket: str
    key: str
    content: bytes
    size_bytes: int
    etag: str
    encryption: Mapping[str, Any] | None = None


async def begin_epoch(session: Session, host: str, process_id: int) -> int:
    """Start a life of a process that writes blobs; returns its number."""
    [row] = await session.write(system_scope("rowlock.epoch"), _SQL["begin_epoch"], host=host, process_id=process_id)
    return int(row[0])


async def beat(session: Session, epoch: int) -> bool:
    """Say that this process is alive. False: it was declared dead and must stop writing."""
    return bool(await session.fetch(system_scope("rowlock.epoch"), _SQL["beat"], epoch=epoch))


async def end_epoch(session: Session, epoch: int) -> None:
    """An orderly end; the sweeper need not wait."""
    await session.fetch(system_scope("rowlock.epoch"), _SQL["end_epoch"], epoch=epoch)


async def end_epochs_of_host(session: Session, host: str) -> None:
    """Declare dead whatever wrote as ``host`` before; only for who holds its data directory alone."""
    await session.fetch(system_scope("rowlock.epoch"), _SQL["end_epochs_of_host"], host=host)


async def declare_dead_epochs(session: Session, silence_seconds: float) -> list[int]:
    """Epochs that are dead and not swept yet."""
    rows = await session.fetch(
        system_scope("rowlock.sweep"), _SQL["declare_dead_epochs"], silence_seconds=silence_seconds
    )
    return [int(row[0]) for row in rows]


async def await_epoch(session: Session, epoch: int) -> None:
    """Return when no transaction of a dead epoch is in flight any more."""
    await session.fetch(system_scope("rowlock.sweep"), _SQL["await_epoch"], epoch=epoch)


async def mark_epoch_swept(session: Session, epoch: int) -> None:
    """The leftovers of this epoch are dealt with."""
    await session.fetch(system_scope("rowlock.sweep"), _SQL["mark_epoch_swept"], epoch=epoch)


async def live_epochs(session: Session) -> frozenset[int]:
    """Epochs whose process may still be about to commit."""
    rows = await session.fetch(system_scope("rowlock.fsck"), _SQL["known_epochs"])
    return frozenset(int(row[0]) for row in rows if not row[1])


async def owned_blobs(session: Session, blob_ids: Sequence[str]) -> frozenset[str]:
    """Which of these blobs a row, a part or the garbage owns."""
    rows = await session.fetch(system_scope("rowlock.sweep"), _SQL["owned_blobs"], blob_ids=list(blob_ids))
    return frozenset(row[0] for row in rows)


async def has_live_row(session: Session, blob_id: str) -> bool:
    """True while a row or a part says that this blob is its own."""
    [row] = await session.fetch(system_scope("rowlock.fsck"), _SQL["state_of_blob"], blob_id=blob_id)
    return bool(row[0])


async def claim_garbage(session: Session, grace_seconds: float, claim_seconds: float, page_size: int) -> list[Garbage]:
    """Take a page of garbage to destroy; the claim lapses by itself."""
    rows = await session.write(
        system_scope("rowlock.sweep"),
        _SQL["claim_garbage"],
        grace_seconds=grace_seconds,
        claim_seconds=claim_seconds,
        page_size=page_size,
    )
    return [Garbage(*row) for row in rows]


async def count_garbage(session: Session) -> int:
    """How many released blobs are not destroyed yet; counted as far as 100,001."""
    [row] = await session.fetch(system_scope("rowlock.sweep"), _SQL["count_garbage"])
    return int(row[0])


async def note_destroyed(session: Session, ids: Sequence[int]) -> None:
    """The bytes are gone."""
    await session.fetch(system_scope("rowlock.sweep"), _SQL["note_destroyed"], ids=list(ids))


async def forget_destroyed(session: Session, older_than_seconds: float) -> None:
    """Drop the memory of blobs that no write can name any more."""
    await session.fetch(system_scope("rowlock.sweep"), _SQL["forget_destroyed"], older_than_seconds=older_than_seconds)


async def abandon_blobs(session: Session, epoch: int, backend: str, blob_ids: Sequence[str]) -> None:
    """Give up blobs of one epoch whose commit had an unknown outcome: what no row names becomes garbage for good."""
    await session.fetch(
        system_scope("rowlock.epoch"), _SQL["abandon_blobs"], epoch=epoch, backend=backend, blob_ids=list(blob_ids)
    )


async def forget_completed_uploads(session: Session, older_than_seconds: float) -> None:
    """Drop the remembered answers of completions nobody will repeat any more."""
    await session.fetch(
        system_scope("rowlock.sweep"), _SQL["forget_completed_uploads"], older_than_seconds=older_than_seconds
    )


async def expire_pending_uploads(session: Session, page_size: int) -> list[str]:
    """Remove uploads whose time to be confirmed is over, at most a page; the states they were in."""
    rows = await session.fetch(system_scope("rowlock.sweep"), _SQL["expire_pending_uploads"], page_size=page_size)
    return [row[0] for row in rows]


async def objects_with_blobs(session: Session, page_size: int = 1000) -> AsyncIterator[OwnedBlobs]:
    """Every object whose bytes are in a backend."""
    after = _FIRST
    while rows := await session.fetch(
        system_scope("rowlock.fsck"), _SQL["page_of_blobs"], after=after, page_size=page_size
    ):
        for row in rows:
            _, bucket, key, backend, blob_id, size, etag, part_sizes, part_blobs, encryption = row
            blobs = ((blob_id, size),) if blob_id else tuple(zip(part_blobs, part_sizes, strict=True))
            yield OwnedBlobs(bucket, key, backend, blobs, etag, json_document(encryption))
        after = rows[-1][0]


async def parts_with_blobs(session: Session, page_size: int = 1000) -> AsyncIterator[OwnedBlobs]:
    """Every part of an open upload."""
    async for owner in _single_blobs(session, "page_of_parts", page_size):
        yield owner


async def pending_with_blobs(session: Session, page_size: int = 1000) -> AsyncIterator[OwnedBlobs]:
    """Every upload that waits to be confirmed and whose bytes are in a backend."""
    async for owner in _single_blobs(session, "page_of_pending", page_size):
        yield owner


async def _single_blobs(session: Session, query: str, page_size: int) -> AsyncIterator[OwnedBlobs]:
    after = _FIRST
    while rows := await session.fetch(system_scope("rowlock.fsck"), _SQL[query], after=after, page_size=page_size):
        for row in rows:
            _, bucket, key, backend, blob_id, size, etag, encryption = row
            yield OwnedBlobs(bucket, key, backend, ((blob_id, size),), etag, json_document(encryption))
        after = rows[-1][0]


async def inline_objects(session: Session, page_size: int = 1000) -> AsyncIterator[InlineObject]:
    """Every object whose bytes are in its row."""
    async for item in _inline(session, "page_of_inline", page_size):
        yield item


async def inline_pending(session: Session, page_size: int = 1000) -> AsyncIterator[InlineObject]:
    """Every upload that waits to be confirmed and whose bytes are in its row."""
    async for item in _inline(session, "page_of_pending_inline", page_size):
        yield item


async def _inline(session: Session, query: str, page_size: int) -> AsyncIterator[InlineObject]:
    after = _FIRST
    while rows := await session.fetch(system_scope("rowlock.fsck"), _SQL[query], after=after, page_size=page_size):
        for row in rows:
            _, bucket, key, content, size, etag, encryption = row
            yield InlineObject(bucket, key, content, size, etag, json_document(encryption))
        after = rows[-1][0]
