"""Where reads of a bucket are redirected, and what a CDN has to forget (sql/tenant/0026_cdn.sql)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway import statements
from gateway.context import system_scope
from gateway.errors import StorageError
from gateway.metadata.session import Session

_SQL: Final = statements.load("cdn")
_SCOPE: Final = system_scope("rowlock.cdn")


class Redirect(StrEnum):
    """Where reads of a bucket may be sent."""

    BACKEND = "backend"
    CDN = "cdn"


@dataclass(frozen=True, slots=True)
class BucketRedirect:
    """What a bucket says of redirects; None: its reads are answered here."""

    to: Redirect | None
    is_public: bool


@dataclass(frozen=True, slots=True)
class ClaimedPurge:
    """Something the CDN has to forget: an object, a bucket, or everything. ``attempts`` counts this one too."""

    id: int
    bucket: str | None
    key: str | None
    attempts: int


async def bucket_redirect(session: Session, bucket: str) -> BucketRedirect:
    """What a bucket says; one that does not exist says nothing."""
    [row] = await session.fetch(_SCOPE, _SQL["bucket_redirect"], bucket=bucket)
    return BucketRedirect(Redirect(row[0]) if row[0] is not None else None, bool(row[1]))


async def bucket_redirects(session: Session) -> dict[str, Redirect]:
    """The buckets that redirect."""
    rows = await session.fetch(_SCOPE, _SQL["list_bucket_redirects"])
    return {row[0]: Redirect(row[1]) for row in rows}


async def set_bucket_redirect(session: Session, bucket: str, to: Redirect | None) -> None:
    """Redirect reads of a bucket from now on, or no more. Raises NoSuchBucket."""
    if not await session.write(_SCOPE, _SQL["set_bucket_redirect"], bucket=bucket, redirect=to):
        raise StorageError("NoSuchBucket", BucketName=bucket)


async def follow(session: Session) -> None:
    """Note from now on what the CDN has to forget. What it got before that is forgotten once."""
    [row] = await session.write(_SCOPE, _SQL["follow_cdn"], follow=True)
    if row[0]:
        await request_purge(session, None, None)


async def leave(session: Session) -> None:
    """Note nothing any more, and forget what was noted."""
    [row] = await session.write(_SCOPE, _SQL["follow_cdn"], follow=False)
    if row[0]:
        await session.write(_SCOPE, _SQL["forget_purges"])


async def request_purge(session: Session, bucket: str | None, key: str | None) -> None:
    """Have an object, a bucket, or everything forgotten."""
    await session.write(_SCOPE, _SQL["request_purge"], bucket=bucket, key=key)


async def claim_purges(session: Session, page_size: int, lease_seconds: float) -> list[ClaimedPurge]:
    """A page of what is due; nobody else gets it before the lease is over."""
    rows = await session.write(_SCOPE, _SQL["claim_purges"], page_size=page_size, lease_seconds=lease_seconds)
    return [ClaimedPurge(*row) for row in rows]


async def finish_purges(session: Session, ids: Sequence[int]) -> None:
    """These are done, or given up."""
    await session.fetch(_SCOPE, _SQL["finish_purges"], ids=list(ids))


async def postpone_purges(session: Session, ids: Sequence[int], seconds: float) -> None:
    """These are to be tried again after so many seconds."""
    await session.fetch(_SCOPE, _SQL["postpone_purges"], ids=list(ids), seconds=seconds)
