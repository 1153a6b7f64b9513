"""Compare both stores in both directions: every row has its exact bytes, every blob has an owner."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from gateway.blobs.digest import multipart_etag
from gateway.blobs.locator import BlobStores
from gateway.blobs.protocol import BlobStore, epoch_of
from gateway.metadata import engine
from gateway.metadata.engine import OwnedBlobs
from gateway.metadata.session import Session

_OWNERS_PAGE: Final = 500
_PIECES_LISTED: Final = 100


@dataclass(slots=True)
class FsckReport:
    """What was looked at and what is wrong. The lists of findings are cut at a hundred; the counters are not."""

    objects: int = 0
    inline_objects: int = 0
    parts: int = 0
    blobs: int = 0
    in_flight: int = 0
    missing: int = 0
    wrong: int = 0
    ownerless: int = 0
    quarantined: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """True if no row lacks its bytes and no blob lacks an owner."""
        return not (self.missing or self.wrong or self.ownerless - self.quarantined)

    def note(self, finding: str) -> None:
        """Remember one finding for the reader."""
        if len(self.findings) < _PIECES_LISTED:
            self.findings.append(finding)


class Fsck:
    """One check of a tenant. ``read_bytes`` compares contents with ETags; ``quarantine`` puts ownerless blobs away.
    Safe beside a running server: what an epoch that lives has not committed yet counts as in flight."""

    def __init__(self, session: Session, blobs: BlobStores, *, read_bytes: bool, quarantine: bool) -> None:
        self._session = session
        self._blobs = blobs
        self._read_bytes = read_bytes
        self._quarantine = quarantine

    async def run(self) -> FsckReport:
        """Check everything. Raises StorageError when a store or the database cannot be read."""
        report = FsckReport()
        async for owner in engine.objects_with_blobs(self._session):
            report.objects += 1
            await self._check_owner(report, owner)
        async for owner in engine.parts_with_blobs(self._session):
            report.parts += 1
            await self._check_owner(report, owner)
        async for item in engine.inline_objects(self._session):
            report.inline_objects += 1
            digest = hashlib.md5(item.content, usedforsecurity=False).hexdigest()
            if len(item.content) != item.size_bytes or (digest != item.etag and "-" not in item.etag):
                report.wrong += 1
                report.note(f"wrong bytes in the row of {item.bucket}/{item.key}")
        for store in self._blobs.stores.values():
            await self._check_store(report, store)
        return report

    async def _check_owner(self, report: FsckReport, owner: OwnedBlobs) -> None:
        store = self._blobs.stores.get(owner.backend)
        sound: list[tuple[str, int]] = []
        for blob_id, size in owner.blobs:
            found = await store.stat(blob_id) if store is not None else None
            if found is None:
                # Deleted since the row was read? Then nothing is missing.
                if await engine.has_live_row(self._session, blob_id):
                    report.missing += 1
                    report.note(f"no bytes of {owner.bucket}/{owner.key}: {owner.backend}:{blob_id}")
            elif found.size_bytes != size:
                report.wrong += 1
                report.note(f"{found.size_bytes} bytes instead of {size} of {owner.bucket}/{owner.key}: {blob_id}")
            elif store is not None:
                sound.append((blob_id, size))
        if self._read_bytes and store is not None and len(sound) == len(owner.blobs):
            await self._compare_bytes(report, store, owner)

    async def _compare_bytes(self, report: FsckReport, store: BlobStore, owner: OwnedBlobs) -> None:
        """Compare with the ETag: the MD5 of one blob, or that of the parts' MD5s."""
        try:
            digests = [await _md5(store, blob_id, size) for blob_id, size in owner.blobs]
        except FileNotFoundError:
            # Its row was replaced since, or the next check says that it is missing.
            return
        etag = multipart_etag(digests) if "-" in owner.etag else digests[0].hex()
        if etag != owner.etag:
            report.wrong += 1
            report.note(f"other bytes than were stored of {owner.bucket}/{owner.key}: {owner.blobs[0][0]}")

    async def _check_store(self, report: FsckReport, store: BlobStore) -> None:
        # Asked before the listing: an epoch that begins later is not in it.
        living = await engine.live_epochs(self._session)
        async for page in _pages(store):
            report.blobs += len(page)
            owned = await engine.owned_blobs(self._session, page)
            for blob_id in page:
                if blob_id in owned:
                    continue
                if epoch_of(blob_id) in living:
                    report.in_flight += 1
                    continue
                report.ownerless += 1
                report.note(f"nobody owns {store.name}:{blob_id}")
                if self._quarantine:
                    await store.quarantine(blob_id)
                    report.quarantined += 1


async def _pages(store: BlobStore) -> AsyncIterator[list[str]]:
    page: list[str] = []
    for epoch in await store.epochs():
        async for blob in store.list_epoch(epoch):
            page.append(blob.blob_id)
            if len(page) == _OWNERS_PAGE:
                yield page
                page = []
    if page:
        yield page


async def _md5(store: BlobStore, blob_id: str, size: int) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    reader = await store.open(blob_id, 0, size)
    try:
        async for piece in reader:
            digest.update(piece)
    finally:
        await reader.close()
    return digest.digest()
