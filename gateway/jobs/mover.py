"""Moves the bytes of a bucket to another backend while it is in use, or copies them to a replica.

Each version by itself: copy, compare, then one transaction that gives its row the new place if it still has the old
one; the old blob goes to the garbage and is readable until its grace is over. There is no other state: what was moved
is what its row says, so a mover that was stopped or killed is simply started again. What it copied and did not hand
over is an ordinary leftover of its epoch.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from gateway.blobs.digest import multipart_etag
from gateway.blobs.locator import BlobStores
from gateway.blobs.protocol import BlobDescription, BlobStore
from gateway.errors import StorageError
from gateway.jobs.throttle import Throttle
from gateway.jobs.transfer import copy_blob
from gateway.metadata import moving
from gateway.metadata.errors import OutcomeUnknown
from gateway.metadata.moving import PlacedVersion
from gateway.metadata.session import Session

_log = structlog.get_logger(__name__)

_PASSES: Final = 10
_PAUSE_SECONDS: Final = 1.0
_FAILURES_LISTED: Final = 100
_PARTS_AT_ONCE: Final = 4


@dataclass(slots=True)
class Progress:
    """What was done so far. ``changed``: replaced or deleted while it was copied."""

    versions: int = 0
    size_bytes: int = 0
    already_there: int = 0
    changed: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)

    def forget_failures(self) -> None:
        """Another pass tries them again."""
        self.failed = 0
        self.failures.clear()

    def note_failure(self, placed: PlacedVersion, reason: str) -> None:
        """Remember one for the reader."""
        self.failed += 1
        if len(self.failures) < _FAILURES_LISTED:
            self.failures.append(f"{placed.bucket}/{placed.key}: {reason}")


@dataclass(frozen=True, slots=True)
class Pace:
    """How hard to work. ``stopping``: begin nothing more."""

    concurrency: int = 4
    bytes_per_second: float | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    report: Callable[[Progress], None] = lambda progress: None


class Mover:
    """One bucket, one target. ``blobs.epoch`` must be alive."""

    def __init__(self, session: Session, blobs: BlobStores, pace: Pace, *, tenant_id: str) -> None:
        self._session = session
        self._blobs = blobs
        self._pace = pace
        self._tenant_id = tenant_id
        self._throttle = Throttle(pace.bytes_per_second)
        self.progress: Final = Progress()

    async def move(self, bucket: str, backend: str) -> Progress:
        """Move everything the bucket has elsewhere; what is written elsewhere meanwhile is caught by another pass.

        Raises StorageError when the database cannot be reached, and InternalError for a backend that does not exist.
        """
        target = self._blobs.named(backend)
        for _ in range(_PASSES):
            before = self.progress.versions + self.progress.changed
            self.progress.forget_failures()
            await self._each(moving.versions_elsewhere(self._session, bucket, backend), target, self._move)
            if self._pace.stopping.is_set():
                break
            if self.progress.failed:
                await asyncio.sleep(_PAUSE_SECONDS)
            elif self.progress.versions + self.progress.changed == before:
                break
        return self.progress

    async def replicate(self, bucket: str, replica: BlobStore) -> Progress:
        """Copy everything under the same ids, without a change of any row; what is there is only compared in size."""
        await self._each(moving.versions_of(self._session, bucket), replica, self._replicate)
        return self.progress

    async def _each(
        self,
        versions: AsyncGenerator[PlacedVersion, None],
        target: BlobStore,
        work: Callable[[PlacedVersion, BlobStore], Awaitable[None]],
    ) -> None:
        limit = asyncio.Semaphore(self._pace.concurrency)
        async with aclosing(versions), asyncio.TaskGroup() as group:
            async for placed in versions:
                await limit.acquire()
                if self._pace.stopping.is_set():
                    return
                group.create_task(self._one(placed, target, work, limit))

    async def _one(
        self,
        placed: PlacedVersion,
        target: BlobStore,
        work: Callable[[PlacedVersion, BlobStore], Awaitable[None]],
        limit: asyncio.Semaphore,
    ) -> None:
        try:
            await work(placed, target)
        except FileNotFoundError:
            # Replaced or deleted, and its bytes destroyed, since the row was read; or lost, which fsck tells.
            self.progress.changed += 1
        except StorageError as error:
            _log.warning("move_failed", bucket=placed.bucket, key=placed.key, code=error.code.name)
            self.progress.note_failure(placed, error.message)
        finally:
            limit.release()
        self._pace.report(self.progress)

    async def _move(self, placed: PlacedVersion, target: BlobStore) -> None:
        source = self._blobs.named(placed.backend)
        epoch = self._blobs.epoch.number
        new_blobs = [self._blobs.new_blob_id() for _ in placed.blobs]
        try:
            _require_etag(placed, await self._copy(placed, source, target, new_blobs))
        except BaseException:
            await self._discard(target, new_blobs)
            raise
        try:
            moved = await moving.move_object(self._session, placed, epoch, target.name, new_blobs)
        except BaseException as error:
            if isinstance(error, StorageError) and not isinstance(error, OutcomeUnknown):
                await self._discard(target, new_blobs)
            else:
                self._blobs.doubt(target.name, new_blobs)
            raise
        if not moved:
            self.progress.changed += 1
            await self._discard(target, new_blobs)
            return
        self.progress.versions += 1
        self.progress.size_bytes += placed.size_bytes

    async def _copy(
        self, placed: PlacedVersion, source: BlobStore, target: BlobStore, new_blobs: list[str]
    ) -> list[bytes]:
        limit = asyncio.Semaphore(_PARTS_AT_ONCE)
        fallback = self._description(placed)

        async def copy_one(old: str, new: str) -> bytes:
            async with limit:
                return (await copy_blob(source, target, old, new, fallback, self._throttle)).md5

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(copy_one(old, new)) for old, new in zip(placed.blobs, new_blobs, strict=True)
                ]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _replicate(self, placed: PlacedVersion, replica: BlobStore) -> None:
        source = self._blobs.named(placed.backend)
        is_new = False
        for blob_id in placed.blobs:
            there, here = await replica.stat(blob_id), await source.stat(blob_id)
            if here is None:
                raise FileNotFoundError(blob_id)
            if there is not None and there.size_bytes == here.size_bytes:
                continue
            if there is not None:
                await replica.delete_many([blob_id])
            await copy_blob(source, replica, blob_id, blob_id, self._description(placed), self._throttle)
            is_new = True
        if is_new:
            self.progress.versions += 1
            self.progress.size_bytes += placed.size_bytes
        else:
            self.progress.already_there += 1

    async def _discard(self, target: BlobStore, blob_ids: list[str]) -> None:
        """What cannot be deleted now is a leftover of this epoch."""
        with suppress(StorageError):
            await target.delete_many(blob_ids)

    def _description(self, placed: PlacedVersion) -> BlobDescription:
        return BlobDescription(
            tenant_id=self._tenant_id,
            bucket=placed.bucket,
            key=placed.key,
            version=placed.version,
            etag=placed.etag,
            content_type=placed.headers.content_type,
            metadata=placed.headers.user_metadata,
        )


def _require_etag(placed: PlacedVersion, md5s: list[bytes]) -> None:
    """Raises StorageError for bytes that are not those that were stored: they stay where they are, for fsck."""
    if placed.is_encrypted:
        return
    etag = multipart_etag(md5s) if "-" in placed.etag else md5s[0].hex()
    if etag != placed.etag:
        raise StorageError("InternalError", "The bytes are not those that were stored; see rowlock fsck --checksums.")
