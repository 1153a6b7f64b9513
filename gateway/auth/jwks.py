"""The keys an issuer publishes: fetched from the one configured URL, kept for a minute, and longer while it is down.

A token never decides what is fetched (no ``jku``, no ``x5u``), only, at a limited rate, when.
"""

import asyncio
import http.client
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from gateway.auth.jwk import UnusableKey, VerificationKey, of_jwks
from gateway.errors import StorageError

_log = structlog.get_logger(__name__)

TTL_SECONDS: Final = 60.0
# An unknown kid may mean new keys, or a forger: it is worth a question this often.
REFRESH_SECONDS: Final = 10.0
STALE_SECONDS: Final = 24 * 60 * 60.0
MAX_DOCUMENT_BYTES: Final = 256 * 1024
FETCH_SECONDS: Final = 5.0

Fetch = Callable[[str], Awaitable[bytes]]


class FetchFailed(Exception):
    """The document could not be had. The text is for the log."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one fetch. ``generation`` tells one set of keys from the next."""

    keys: tuple[VerificationKey, ...]
    generation: int
    fetched_at: float


class PublishedKeys:
    """The keys at one URL. Belongs to one event loop; any number of askers share one fetch."""

    def __init__(
        self, url: str, fetch: Fetch | None = None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._url: Final = url
        self._fetch: Final = fetch or fetch_document
        self._monotonic: Final = monotonic
        self._held: KeySet | None = None
        self._tried_at: float | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def keys(self, key_id: str | None) -> KeySet:
        """The keys, fresh to within a minute; asked for again when none is called ``key_id``.

        When the issuer does not answer, the last keys serve for a day. Raises StorageError(ServiceUnavailable) when
        there are none.
        """
        now = self._monotonic()
        held = self._held
        if held is None or now - held.fetched_at >= TTL_SECONDS or not _names(held, key_id):
            if self._refreshing is not None or self._tried_at is None or now - self._tried_at >= REFRESH_SECONDS:
                await self._refresh(now)
            held = self._held
        if held is None or self._monotonic() - held.fetched_at > STALE_SECONDS:
            raise StorageError("ServiceUnavailable")
        return held

    async def _refresh(self, now: float) -> None:
        if self._refreshing is None:
            self._tried_at = now
            self._refreshing = asyncio.create_task(self._load(now), name="jwks")
        # Shielded: an asker that goes away must not take the keys from the others.
        await asyncio.shield(self._refreshing)

    async def _load(self, asked: float) -> None:
        try:
            document = await self._fetch(self._url)
            keys = tuple(of_jwks(json.loads(document), shared=False))
            generation = 0 if self._held is None else self._held.generation + 1
            self._held = KeySet(keys, generation, asked)
        except (FetchFailed, UnusableKey, ValueError, RecursionError) as error:
            _log.warning("jwks_unavailable", reason=str(error)[:200])
        finally:
            self._refreshing = None


def _names(held: KeySet, key_id: str | None) -> bool:
    return key_id is None or any(key.id == key_id for key in held.keys)


async def fetch_document(url: str) -> bytes:
    """GET a document of at most 256 KiB within five seconds. Redirects are not followed. Raises FetchFailed."""
    return await asyncio.to_thread(_get, url)


def _get(url: str) -> bytes:
    parts = urlsplit(url)
    deadline = time.monotonic() + FETCH_SECONDS
    kind: Any = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection: http.client.HTTPConnection = kind(parts.hostname, parts.port, timeout=FETCH_SECONDS)
    try:
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request("GET", target, headers={"Accept": "application/json", "User-Agent": "rowlock"})
        response = connection.getresponse()
        if response.status != 200:
            raise FetchFailed(f"the server answered {response.status}")
        pieces: list[bytes] = []
        size_bytes = 0
        while piece := response.read1(16 * 1024):
            size_bytes += len(piece)
            if size_bytes > MAX_DOCUMENT_BYTES:
                raise FetchFailed("the document is too large")
            if time.monotonic() > deadline:
                raise FetchFailed("the document came too slowly")
            pieces.append(piece)
        return b"".join(pieces)
    except (OSError, http.client.HTTPException) as error:
        raise FetchFailed(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()
