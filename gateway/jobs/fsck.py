"""Compare both stores in both directions: every row has its exact bytes, every blob has an owner."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.blobs.digest import multipart_etag
from gateway.blobs.encrypted import BlobSource, EncryptedBlob
from gateway.blobs.locator import BlobStores
from gateway.blobs.protocol import BlobStore, epoch_of
from gateway.encryption.keys import ROW_IDENTITY, SSE_C, SSE_S3, DataKey, StoredEncryption, WrongKey
from gateway.encryption.stream import Span, Tampered, open_span, sealed_bytes
from gateway.encryption.vault import UnknownMasterKey, Vault
from gateway.errors import StorageError
from gateway.metadata import engine
from gateway.metadata.engine import InlineObject, OwnedBlobs
from gateway.metadata.session import Session

_OWNERS_PAGE: Final = 500
_PIECES_LISTED: Final = 100


@dataclass(slots=True)
class FsckReport:
    """What was looked at and what is wrong. The lists of findings are cut at a hundred; the counters are not.
    ``locked`` objects are encrypted with keys of customers: of their bytes only the length was compared."""

    objects: int = 0
    inline_objects: int = 0
    parts: int = 0
    pending: int = 0
    blobs: int = 0
    in_flight: int = 0
    missing: int = 0
    wrong: int = 0
    ownerless: int = 0
    quarantined: int = 0
    locked: int = 0
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
    """One check of a tenant, or of what it has in one ``backend``. ``read_bytes`` compares contents with ETags;
    ``quarantine`` puts ownerless blobs away. Without a ``vault``, encrypted contents are not read.

    Safe beside a running server: what an epoch that lives has not committed yet counts as in flight."""

    def __init__(
        self,
        session: Session,
        blobs: BlobStores,
        *,
        read_bytes: bool,
        quarantine: bool,
        vault: Vault | None = None,
        backend: str | None = None,
    ) -> None:
        self._session = session
        self._blobs = blobs
        self._read_bytes = read_bytes
        self._quarantine = quarantine
        self._vault = vault
        self._backend = backend
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="encryption")

    async def run(self) -> FsckReport:
        """Check everything. Raises StorageError when a store or the database cannot be read."""
        report = FsckReport()
        async for owner in engine.objects_with_blobs(self._session):
            if self._is_looked_at(owner.backend):
                report.objects += 1
                await self._check_owner(report, owner)
        async for owner in engine.parts_with_blobs(self._session):
            if self._is_looked_at(owner.backend):
                report.parts += 1
                await self._check_owner(report, owner)
        async for owner in engine.pending_with_blobs(self._session):
            if self._is_looked_at(owner.backend):
                report.pending += 1
                await self._check_owner(report, owner)
        if self._backend is None:
            await self._check_rows(report)
        for name, store in self._blobs.stores.items():
            if self._is_looked_at(name):
                await self._check_store(report, store)
        return report

    def _is_looked_at(self, backend: str) -> bool:
        return self._backend is None or backend == self._backend

    async def _check_rows(self, report: FsckReport) -> None:
        async for item in engine.inline_objects(self._session):
            report.inline_objects += 1
            self._check_row(report, item)
        async for item in engine.inline_pending(self._session):
            report.pending += 1
            self._check_row(report, item)

    def _check_row(self, report: FsckReport, item: InlineObject) -> None:
        if not self._is_row_sound(report, item):
            report.wrong += 1
            report.note(f"wrong bytes in the row of {item.bucket}/{item.key}")

    def _is_row_sound(self, report: FsckReport, item: InlineObject) -> bool:
        if len(item.content) != _stored_bytes(item.size_bytes, item.encryption):
            return False
        content = item.content
        if item.encryption is not None:
            key = self._unlock(report, item.encryption)
            if key is None:
                return True
            span = Span.of(item.size_bytes, 0, item.size_bytes)
            try:
                content = open_span(key.stream_key(ROW_IDENTITY), item.size_bytes, span, content, item.size_bytes)
            except Tampered:
                return False
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return digest == item.etag or "-" in item.etag or not _has_md5_etag(item.encryption)

    def _unlock(self, report: FsckReport, encryption: Mapping[str, Any]) -> DataKey | None:
        """The data key, None if it takes a customer's key or no vault was given. Raises StorageError(InternalError)
        if the master key is another."""
        stored = StoredEncryption.of(encryption)
        if stored.method == SSE_C:
            report.locked += 1
            return None
        if self._vault is None:
            return None
        try:
            return self._vault.unlock(stored)
        except UnknownMasterKey as error:
            raise StorageError("InternalError", f"An object is encrypted under {error}, which is not here.") from error
        except WrongKey as error:
            raise StorageError("InternalError", "A data key does not open under its master key.") from error

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
            elif found.size_bytes != (expected := _stored_bytes(size, owner.encryption)):
                report.wrong += 1
                report.note(f"{found.size_bytes} bytes instead of {expected} of {owner.bucket}/{owner.key}: {blob_id}")
            elif store is not None:
                sound.append((blob_id, size))
        if self._read_bytes and store is not None and len(sound) == len(owner.blobs):
            await self._compare_bytes(report, store, owner)

    async def _compare_bytes(self, report: FsckReport, store: BlobStore, owner: OwnedBlobs) -> None:
        """Compare with the ETag: the MD5 of one blob, or that of the parts' MD5s. Encrypted bytes prove themselves when
        they are decrypted."""
        key: DataKey | None = None
        origins = [blob_id for blob_id, _ in owner.blobs]
        if owner.encryption is not None:
            key = self._unlock(report, owner.encryption)
            if key is None:
                return
            origins = list(StoredEncryption.of(owner.encryption).origins) or origins
        try:
            digests = []
            for (blob_id, size), origin in zip(owner.blobs, origins, strict=True):
                source: BlobSource = store
                if key is not None:
                    source = EncryptedBlob(store, self._executor, key.stream_key(origin), size)
                digests.append(await _md5(source, blob_id, size))
        except FileNotFoundError:
            # Its row was replaced since, or the next check says that it is missing.
            return
        except StorageError:
            if key is None:
                raise
            report.wrong += 1
            report.note(f"bytes that do not decrypt of {owner.bucket}/{owner.key}: {owner.blobs[0][0]}")
            return
        if not _has_md5_etag(owner.encryption):
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


def _stored_bytes(size_bytes: int, encryption: Mapping[str, Any] | None) -> int:
    return size_bytes if encryption is None else sealed_bytes(size_bytes)


def _has_md5_etag(encryption: Mapping[str, Any] | None) -> bool:
    return encryption is None or encryption["algorithm"] == SSE_S3


async def _md5(store: BlobSource, blob_id: str, size: int) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    reader = await store.open(blob_id, 0, size)
    try:
        async for piece in reader:
            digest.update(piece)
    finally:
        await reader.close()
    return digest.digest()
