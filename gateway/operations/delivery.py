"""Reads that others answer: the backend or the CDN after a redirect, or the proxy before us, which sends a file.

All of it comes after authorisation and conditions, and only for objects that can be served as they lie: plaintext in
one blob. Whatever the other side would answer differently (conditions, parts, checksums) is answered here.
"""

import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from gateway.blobs.protocol import BlobStore, LocatedStore, PresigningStore
from gateway.config import Settings
from gateway.context import Handover
from gateway.errors import StorageError
from gateway.metadata import cdn
from gateway.metadata.cdn import BucketRedirect, Redirect
from gateway.metadata.records import NO_ATTRIBUTES, ObjectRecord
from gateway.metadata.session import Session
from gateway.wire.proxies import TrustedProxies

# The other side would compare these with an ETag or a date of its own.
_CONDITIONS: Final = ("if-match", "if-modified-since", "if-unmodified-since", "if-range")
# RFC 8586: a CDN that asks must get the object, or it would be sent to itself.
_CDN_LOOP: Final = "cdn-loop"
_PLACEHOLDER: Final = re.compile(r"\{(tenant|bucket|key)\}")
_PUBLIC_ROUTE: Final = "/storage/v1/object/public/{bucket}/{key}"

# The headers of an answer as S3's ``Response…`` parameters (``ResponseContentType``).
Describe = Callable[[ObjectRecord], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Wording:
    """How a door answers a read. ``describe`` gives its headers. ``cdn_query`` is what the public route needs besides
    bucket and key; None: it could not answer the same. ``most_seconds``: a redirect must not be good for longer.
    ``drops_metadata``: the door shows no more than the few headers that every proxy keeps."""

    describe: Describe
    cdn_query: str | None = ""
    most_seconds: int | None = None
    drops_metadata: bool = False


class LocalFile:
    """A BlobReader of no bytes: the proxy sends the file itself. ``field`` is the header that tells it to."""

    content = b""

    def __init__(self, field: tuple[bytes, bytes], blob_size_bytes: int) -> None:
        self.field: Final = field
        self.size_bytes = 0
        self.blob_size_bytes = blob_size_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.content

    async def close(self) -> None:
        """Nothing to let go of."""


class BucketRedirects:
    """Where buckets redirect, as one worker knows them: at most ``max_entries``, none older than ``ttl_seconds``."""

    def __init__(
        self, *, ttl_seconds: float = 5.0, max_entries: int = 1024, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl_seconds: Final = ttl_seconds
        self._max_entries: Final = max_entries
        self._monotonic: Final = monotonic
        self._entries: Final[OrderedDict[str, tuple[float, BucketRedirect]]] = OrderedDict()

    async def find(self, session: Session, bucket: str) -> BucketRedirect:
        """What the bucket says. Raises StorageError."""
        now = self._monotonic()
        entry = self._entries.get(bucket)
        if entry is None or entry[0] <= now:
            entry = self._entries[bucket] = (now + self._ttl_seconds, await cdn.bucket_redirect(session, bucket))
            if len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)
        self._entries.move_to_end(bucket)
        return entry[1]


@dataclass(frozen=True, slots=True)
class Acceleration:
    """How a proxy is told to send a file: the header, and what its value begins with in place of ``root`` (None: the
    path as it is)."""

    header: bytes
    root: Path
    prefix: str | None
    min_bytes: int

    @classmethod
    def of(cls, settings: Settings) -> "Acceleration | None":
        """As the settings have it."""
        if settings.accel is None:
            return None
        root = (settings.accel_root or settings.data_dir).absolute()
        prefix = settings.accel_prefix if settings.accel == "x-accel-redirect" else None
        return cls(settings.accel.encode(), root, prefix, settings.accel_min_bytes)

    def field(self, path: Path) -> tuple[bytes, bytes] | None:
        """The header for this file; None for one outside the root."""
        if not path.is_relative_to(self.root):
            return None
        value = str(path) if self.prefix is None else self.prefix + str(path.relative_to(self.root))
        return self.header, quote(value).encode("ascii")


class Delivery:
    """Decides for one tenant who answers a read. Belongs to one event loop."""

    def __init__(self, settings: Settings, tenant_id: str, session: Session, stores: Mapping[str, BlobStore]) -> None:
        self._session: Final = session
        self._stores: Final = stores
        self._tenant_id: Final = tenant_id
        self._min_bytes: Final = settings.redirect_min_bytes
        self._seconds: Final = settings.redirect_seconds
        self._cdn: Final = _template(settings.cdn_url)
        self._presigns: Final = any(isinstance(store, PresigningStore) for store in stores.values())
        self._acceleration: Final = Acceleration.of(settings)
        self._proxies: Final = TrustedProxies(settings.trusted_proxies)
        self._buckets: Final = BucketRedirects()

    @classmethod
    def of(
        cls, settings: Settings, tenant_id: str, session: Session, stores: Mapping[str, BlobStore]
    ) -> "Delivery | None":
        """None where the settings leave nothing but to stream."""
        made = cls(settings, tenant_id, session, stores)
        return made if made._presigns or made._cdn is not None or made._acceleration is not None else None

    def offer(self, headers: Mapping[str, str], client_address: str, *, follows: bool = True) -> Handover | None:
        """What this request leaves open; None: it is to be streamed. ``headers`` by lower-case name. ``follows``: a
        redirect is of use to the client."""
        redirects = follows and (self._presigns or self._cdn is not None)
        accelerates = self._acceleration is not None and self._proxies.trusts(client_address)
        if not (redirects or accelerates) or any(name in headers for name in _CONDITIONS):
            return None
        # A client repeats its headers, and S3 refuses such as a presigned URL did not sign.
        redirects = redirects and not any(name.startswith("x-amz-") for name in headers)
        # The proxy answers ranges itself, several at once too, which S3 does not.
        accelerates = accelerates and "if-none-match" not in headers and "," not in headers.get("range", "")
        return Handover(redirects, redirects and _CDN_LOOP not in headers, accelerates)

    async def hand_over(
        self, handover: Handover, bucket: str, key: str, record: ObjectRecord, wording: Wording
    ) -> LocalFile | None:
        """A file for the proxy to send, or None: the read is to be streamed.

        Raises StorageError(TemporaryRedirect) with the URL to ask instead; FileNotFoundError if the file is gone.
        """
        if record.content is not None:
            return None
        if handover.redirects and record.size_bytes >= self._min_bytes:
            url = await self._elsewhere(handover, bucket, key, record, wording)
            if url is not None:
                raise StorageError("TemporaryRedirect", location=url)
        acceleration = self._acceleration
        if not handover.accelerates or acceleration is None or not _lies_plainly(record):
            return None
        if record.size_bytes < acceleration.min_bytes:
            return None
        # A proxy keeps few of our headers; S3's further ones would be lost.
        if not wording.drops_metadata and (record.headers.user_metadata or record.attributes is not NO_ATTRIBUTES):
            return None
        store = self._stores.get(record.backend or "")
        if store is None or not isinstance(store, LocatedStore) or not record.blob_id:
            return None
        field = acceleration.field(store.path(record.blob_id))
        if field is None:
            return None
        found = await store.stat(record.blob_id)
        if found is None:
            raise FileNotFoundError(record.blob_id)
        return LocalFile(field, found.size_bytes)

    async def _elsewhere(
        self, handover: Handover, bucket: str, key: str, record: ObjectRecord, wording: Wording
    ) -> str | None:
        store = self._stores.get(record.backend or "")
        if store is None:
            return None
        presigner = store if isinstance(store, PresigningStore) and _lies_plainly(record) else None
        if presigner is None and self._cdn is None:
            return None
        says = await self._buckets.find(self._session, bucket)
        if says.to is Redirect.CDN and self._cdn is not None and says.is_public:
            return self._cdn_url(handover, bucket, key, record, wording)
        if says.to is not Redirect.BACKEND or presigner is None:
            return None
        seconds = self._seconds if wording.most_seconds is None else min(self._seconds, wording.most_seconds)
        return await presigner.presign(record.blob_id or "", max(seconds, 1), wording.describe(record))

    def _cdn_url(self, handover: Handover, bucket: str, key: str, record: ObjectRecord, wording: Wording) -> str | None:
        if self._cdn is None or not handover.to_cdn or wording.cdn_query is None:
            return None
        # Clients take such segments out of a URL, which then names another object.
        if not {"", ".", ".."}.isdisjoint((bucket, *key.split("/"))):
            return None
        values = {"tenant": self._tenant_id, "bucket": bucket, "key": key}
        url = _PLACEHOLDER.sub(lambda found: quote(values[found[1]]), self._cdn)
        # Each content has a version, so a redirect never leads to a copy of an older one.
        query = "&".join(filter(None, (wording.cdn_query, f"v={quote(record.version, safe='')}")))
        return f"{url}{'&' if '?' in url else '?'}{query}"


def _lies_plainly(record: ObjectRecord) -> bool:
    return record.blob_id is not None and record.attributes.encryption is None


def _template(cdn_url: str | None) -> str | None:
    if cdn_url is None or "{key}" in cdn_url:
        return cdn_url
    return cdn_url.rstrip("/") + _PUBLIC_ROUTE
