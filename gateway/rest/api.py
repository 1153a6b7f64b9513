"""What handlers of the JSON API are given and what they give back."""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.auth.signed_url import UrlSigner
from gateway.context import Call
from gateway.jobs.cdn import PurgeEndpoint
from gateway.operations.services import Services
from gateway.rest.errors import JSON_TYPE
from gateway.rest.schemas import Schema
from gateway.wire.body import BodyLimits
from gateway.wire.request import RawRequest
from gateway.wire.response import Response

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the API allows. ``strict_keys``: only the names storage-api takes, which are ASCII. ``pending_*``: how long
    an upload may wait to be confirmed, and how many may."""

    max_upload_bytes: int
    body: BodyLimits
    upload_url_seconds: int
    pending_max_seconds: int
    pending_max_uploads: int
    empty_bucket_max_objects: int
    strict_keys: bool


@dataclass(frozen=True, slots=True)
class Caching:
    """What a CDN before us is told: how long it may keep public objects (0: as their own max-age says), what they are
    labelled with (None: nothing), and where it takes orders to forget."""

    s_maxage_seconds: int = 0
    surrogate_header: bytes | None = None
    purge: PurgeEndpoint | None = None


@dataclass(frozen=True, slots=True)
class Api:
    """What every handler works with."""

    services: Services
    signer: UrlSigner
    limits: Limits
    caching: Caching = Caching()


@dataclass(frozen=True, slots=True)
class Asked:
    """One understood request. ``headers`` by lower-case name; ``is_identified``: it brought a token that convinced."""

    call: Call
    request: RawRequest
    receive: Receive
    headers: Mapping[str, str]
    bucket: str
    key: str
    query: Schema | None
    body: Schema | None
    is_identified: bool

    @property
    def is_head(self) -> bool:
        """Only the head of the answer is wanted."""
        return self.request.method == "HEAD"


Handler = Callable[[Api, Asked], Awaitable[Response]]


def json_response(document: Any, status: int = 200) -> Response:
    """A document as the answer."""
    content = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    return Response(status, (JSON_TYPE,), content)


def instant(moment: datetime | None) -> str | None:
    """A time as JavaScript writes it: UTC, milliseconds."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
