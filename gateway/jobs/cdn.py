"""Tells a CDN what to forget: one request an object, a bucket or a tenant, to the one URL the operator configured.

The body is that of Supabase's storage-api (``POST <url>/purge``, bearer key), with surrogate keys beside it. What was
noted by triggers (sql/tenant/0026_cdn.sql) is told at least once, again and again for some hours.
"""

import asyncio
import http.client
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from gateway.config import Settings
from gateway.errors import StorageError
from gateway.metadata import cdn
from gateway.metadata.cdn import ClaimedPurge
from gateway.metadata.session import Session

_log = structlog.get_logger(__name__)

PURGE_SECONDS: Final = 10.0
PAGE_PURGES: Final = 500
# More objects of a bucket than this at a time, and the whole bucket is told in one request.
MOST_OBJECTS: Final = 50
CONCURRENCY: Final = 4
NUDGE_SECONDS: Final = 0.2
MAX_ATTEMPTS: Final = 60
LONGEST_PAUSE_SECONDS: Final = 300.0

_LEASE_SECONDS: Final = PURGE_SECONDS * (MOST_OBJECTS + 1)
_DIGEST_HEX_DIGITS: Final = 16


class PurgeFailed(Exception):
    """The CDN did not confirm. The text is for the log."""


@dataclass(frozen=True, slots=True)
class Purge:
    """What is to be forgotten: an object, a bucket (no ``key``), or everything of the tenant (no ``bucket``).
    ``transforms``: of it, the rendered images alone."""

    bucket: str | None = None
    key: str | None = None
    transforms: bool = False

    @property
    def kind(self) -> str:
        """Supabase's word for it."""
        what = "tenant" if self.bucket is None else "bucket" if self.key is None else "object"
        return f"{what}-transforms" if self.transforms else what


def surrogate_keys(tenant_id: str, bucket: str | None = None, key: str | None = None) -> tuple[str, ...]:
    """The keys of a tenant, of a bucket in it, and of an object in that: what an answer is labelled with, widest first.
    Hashed, because a header holds few characters and a key any."""
    names = [part for part in (tenant_id, bucket, key) if part is not None]
    return tuple(f"{letter}-{_digest(names[: count + 1])}" for count, letter in enumerate("tbo"[: len(names)]))


def _digest(names: Sequence[str]) -> str:
    return sha256("\0".join(names).encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_HEX_DIGITS]


@dataclass(frozen=True, slots=True)
class PurgeEndpoint:
    """The URL that purges, for one tenant."""

    url: str
    key: str | None = field(repr=False)
    tenant_id: str

    @classmethod
    def of(cls, settings: Settings, tenant_id: str) -> "PurgeEndpoint | None":
        """That of the settings; None without a CDN."""
        if settings.cdn_purge_url is None:
            return None
        key = settings.cdn_purge_key
        return cls(settings.cdn_purge_url, None if key is None else key.get_secret_value(), tenant_id)

    async def send(self, purge: Purge) -> None:
        """Have this forgotten. No redirect is followed. Raises PurgeFailed."""
        await asyncio.to_thread(self._post, json.dumps(self._document(purge)).encode())

    def _document(self, purge: Purge) -> dict[str, Any]:
        document: dict[str, Any] = {"type": purge.kind, "tenant": {"ref": self.tenant_id}}
        if purge.bucket is not None:
            document["bucketId"] = purge.bucket
        if purge.key is not None:
            document["objectName"] = purge.key
        document["surrogateKeys"] = [surrogate_keys(self.tenant_id, purge.bucket, purge.key)[-1]]
        return document

    def _post(self, document: bytes) -> None:
        parts = urlsplit(self.url)
        kind: Any = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection: http.client.HTTPConnection = kind(parts.hostname, parts.port, timeout=PURGE_SECONDS)
        headers = {"Content-Type": "application/json", "User-Agent": "rowlock"}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        try:
            connection.request("POST", f"{parts.path.rstrip('/')}/purge", document, headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise PurgeFailed(type(error).__name__) from error
        finally:
            connection.close()
        if not 200 <= status < 300:
            raise PurgeFailed(f"the CDN answered {status}")


class PurgeRelay:
    """Tells what was noted in one database. Any number of processes may do so at the same time."""

    def __init__(self, session: Session, endpoint: PurgeEndpoint) -> None:
        self._session: Final = session
        self._endpoint: Final = endpoint
        self._following = False

    async def run(self) -> int:
        """Tell what is due; returns how many notes are done with. Raises StorageError.

        At the first failure the rest of a page waits too, the longer the more often it failed.
        """
        if not self._following:
            await cdn.follow(self._session)
            self._following = True
        done = 0
        while claimed := await cdn.claim_purges(self._session, PAGE_PURGES, _LEASE_SECONDS):
            failed = await self._tell(claimed)
            finished = {purge.id for purge in claimed} - {purge.id for purge in failed}
            await cdn.finish_purges(self._session, sorted(finished))
            done += len(finished)
            if failed:
                await self._postpone(failed)
                break
            if len(claimed) < PAGE_PURGES:
                break
        return done

    async def _tell(self, claimed: Sequence[ClaimedPurge]) -> list[ClaimedPurge]:
        """What was not confirmed."""
        waiting = list(coalesced(claimed).items())
        failed: list[ClaimedPurge] = []

        async def work() -> None:
            while waiting:
                purge, notes = waiting.pop()
                if not failed:
                    try:
                        await self._endpoint.send(purge)
                        continue
                    except PurgeFailed as error:
                        _log.warning("cdn_purge_failed", kind=purge.kind, bucket=purge.bucket, reason=str(error))
                failed.extend(notes)

        await asyncio.gather(*(work() for _ in range(min(CONCURRENCY, len(waiting)))))
        return failed

    async def _postpone(self, failed: Sequence[ClaimedPurge]) -> None:
        hopeless = [purge for purge in failed if purge.attempts >= MAX_ATTEMPTS]
        if hopeless:
            _log.error("cdn_purge_given_up", purges=len(hopeless), bucket=hopeless[0].bucket)
            await cdn.finish_purges(self._session, [purge.id for purge in hopeless])
        by_attempts: dict[int, list[int]] = {}
        for purge in failed:
            if purge.attempts < MAX_ATTEMPTS:
                by_attempts.setdefault(purge.attempts, []).append(purge.id)
        for attempts, ids in by_attempts.items():
            await cdn.postpone_purges(self._session, ids, pause_seconds(attempts))


class NudgedRelay:
    """A relay that runs soon after somebody wrote, beside the round of the background worker, which comes to each of
    many tenants seldom. Belongs to one event loop."""

    def __init__(self, relay: PurgeRelay) -> None:
        self._relay: Final = relay
        self._written: Final = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="cdn-relay")

    def nudge(self) -> None:
        """Something may have been written."""
        self._written.set()

    async def stop(self) -> None:
        """End; what is not told yet the background worker tells."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await self._written.wait()
            await asyncio.sleep(NUDGE_SECONDS)
            self._written.clear()
            try:
                await self._relay.run()
            except StorageError as error:
                _log.warning("cdn_relay_failed", error=str(error))


def pause_seconds(attempts: int) -> float:
    """How long to wait after so many failures."""
    return float(min(LONGEST_PAUSE_SECONDS, 2.0 ** min(attempts, 16)))


def coalesced(claimed: Iterable[ClaimedPurge]) -> dict[Purge, list[ClaimedPurge]]:
    """As few requests as say the same: a tenant's stands for all, a bucket's for its objects, and many objects of one
    bucket become the bucket."""
    notes = list(claimed)
    if any(note.bucket is None for note in notes):
        return {Purge(): notes}
    by_bucket: dict[str | None, list[ClaimedPurge]] = {}
    for note in notes:
        by_bucket.setdefault(note.bucket, []).append(note)
    found: dict[Purge, list[ClaimedPurge]] = {}
    for bucket, of_bucket in by_bucket.items():
        whole = any(note.key is None for note in of_bucket) or len({note.key for note in of_bucket}) > MOST_OBJECTS
        for note in of_bucket:
            found.setdefault(Purge(bucket, None if whole else note.key), []).append(note)
    return found
