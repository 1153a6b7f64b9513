"""The background worker's broom: released blobs whose grace is over, and what dead processes left behind.

Sweepers are known to eat data (reliability.md §0.7), so this one never judges by age or by a listing alone: garbage
is what a trigger released, a leftover is a blob of an epoch that is dead, whose transactions have all ended, and that
no row, part or garbage names. A leftover goes to quarantine, not to destruction; and if most of a large epoch looks
ownerless, the likelier cause is a restored database, so nothing is touched and somebody is told.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.blobs.locator import BlobStores
from gateway.blobs.protocol import BlobStore, EpochRemovingStore
from gateway.metadata import engine
from gateway.metadata.engine import Garbage
from gateway.metadata.session import Session
from gateway.telemetry.failpoints import failpoint_async

_log = structlog.get_logger(__name__)

_GARBAGE_PAGE: Final = 500
_OWNERS_PAGE: Final = 500
_PENDING_PAGE: Final = 500
_CLAIM_SECONDS: Final = 300.0
_ANSWER_KEPT_SECONDS: Final = 86_400.0
# Longer than a write may be repeated after it lost its connection: pool, lock and statement timeouts together.
_DESTROYED_KEPT_SECONDS: Final = 3600.0
# From this many leftovers on, and if they are more than half of an epoch, the sweeper stops and reports.
_SUSPICIOUS_LEFTOVERS: Final = 1000


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What one round did."""

    destroyed_blobs: int
    quarantined_blobs: int
    swept_epochs: int
    purged_blobs: int
    expired_uploads: int = 0


@dataclass(frozen=True, slots=True)
class SweepPolicy:
    """How long things are kept, in seconds."""

    garbage_grace_seconds: float
    epoch_dead_seconds: float
    quarantine_seconds: float


class Sweeper:
    """One round at a time; several sweepers may run beside each other."""

    def __init__(self, session: Session, blobs: BlobStores, policy: SweepPolicy) -> None:
        self._session = session
        self._blobs = blobs
        self._policy = policy

    async def sweep(self) -> SweepResult:
        """One round. Raises StorageError; what was done until then stays done, and the next round goes on."""
        expired = await self._expire_pending_uploads()
        destroyed = await self._destroy_garbage()
        quarantined = swept = 0
        for epoch in await engine.declare_dead_epochs(self._session, self._policy.epoch_dead_seconds):
            found = await self._sweep_epoch(epoch)
            if found is not None:
                quarantined += found
                swept += 1
        purged = 0
        for store in self._blobs.stores.values():
            purged += await store.purge_quarantine(self._policy.quarantine_seconds)
        await engine.forget_destroyed(self._session, _DESTROYED_KEPT_SECONDS)
        await engine.forget_completed_uploads(self._session, _ANSWER_KEPT_SECONDS)
        result = SweepResult(destroyed, quarantined, swept, purged, expired)
        if any((destroyed, quarantined, swept, purged, expired)):
            _log.info(
                "swept", destroyed=destroyed, quarantined=quarantined, epochs=swept, purged=purged, expired=expired
            )
        return result

    async def waiting_garbage(self) -> int:
        """How many released blobs wait for their grace to end; never more than 100,001. Raises StorageError."""
        return await engine.count_garbage(self._session)

    async def _expire_pending_uploads(self) -> int:
        """How many lost their bytes because nobody confirmed them."""
        expired = 0
        while states := await engine.expire_pending_uploads(self._session, _PENDING_PAGE):
            expired += states.count("pending")
            if len(states) < _PENDING_PAGE:
                break
        return expired

    async def _destroy_garbage(self) -> int:
        destroyed = 0
        while claimed := await engine.claim_garbage(
            self._session, self._policy.garbage_grace_seconds, _CLAIM_SECONDS, _GARBAGE_PAGE
        ):
            by_backend: defaultdict[str, list[Garbage]] = defaultdict(list)
            for item in claimed:
                by_backend[item.backend].append(item)
            for backend, items in by_backend.items():
                store = self._blobs.stores.get(backend)
                if store is None:
                    _log.error("unknown_backend", backend=backend, blobs=len(items))
                    continue
                await failpoint_async("gc.after_claim")
                await store.delete_many([item.blob_id for item in items])
                await failpoint_async("gc.after_unlink")
                await engine.note_destroyed(self._session, [item.id for item in items])
                destroyed += len(items)
            if len(claimed) < _GARBAGE_PAGE:
                break
        return destroyed

    async def _sweep_epoch(self, epoch: int) -> int | None:
        """Quarantine the leftovers of a dead epoch; None if there are suspiciously many."""
        await engine.await_epoch(self._session, epoch)
        quarantined = 0
        for store in self._blobs.stores.values():
            leftovers, total = await self._leftovers(store, epoch)
            if len(leftovers) >= _SUSPICIOUS_LEFTOVERS and 2 * len(leftovers) > total:
                _log.error("sweep_refused", epoch=epoch, backend=store.name, ownerless=len(leftovers), blobs=total)
                return None
            for blob_id in leftovers:
                with suppress(FileNotFoundError):  # another sweeper was faster
                    await store.quarantine(blob_id)
                    quarantined += 1
                await failpoint_async("gc.after_quarantine")
            if isinstance(store, EpochRemovingStore):
                await store.remove_epoch(epoch)
        await engine.mark_epoch_swept(self._session, epoch)
        return quarantined

    async def _leftovers(self, store: BlobStore, epoch: int) -> tuple[list[str], int]:
        leftovers: list[str] = []
        total = 0
        page: list[str] = []
        async for blob in store.list_epoch(epoch):
            total += 1
            page.append(blob.blob_id)
            if len(page) == _OWNERS_PAGE:
                leftovers += await self._ownerless(page)
                page = []
        if page:
            leftovers += await self._ownerless(page)
        return leftovers, total

    async def _ownerless(self, blob_ids: Sequence[str]) -> list[str]:
        owned = await engine.owned_blobs(self._session, blob_ids)
        return [blob_id for blob_id in blob_ids if blob_id not in owned]
