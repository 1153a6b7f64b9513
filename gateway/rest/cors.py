"""Cross-origin access to the JSON API (https://fetch.spec.whatwg.org/#http-cors-protocol).

Callers prove themselves by a header, never by a cookie, so a page of any site may be let in: it can do no more than
its user's token can. Where origins are named, only theirs are.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.wire.response import Response

ANYONE: Final = frozenset({"*"})
_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_HEADERS: Final = (
    "authorization, apikey, cache-control, content-type, range, x-client-info, x-metadata, x-robots-tag, x-upsert"
)
_EXPOSED: Final = (
    b"accept-ranges, cache-control, content-disposition, content-encoding, content-length, content-range, etag, "
    b"expires, last-modified, x-request-id, x-transformations"
)
_VARY: Final = (b"vary", b"Origin")


def preflight(headers: Mapping[str, str], origins: frozenset[str]) -> Response:
    """The answer to OPTIONS, which carries no credentials and is told nothing of what exists."""
    origin = headers.get("origin", "")
    if not _is_allowed(origin, origins):
        return Response(204)
    wanted = headers.get("access-control-request-headers", _HEADERS)
    names = [name.strip().lower() for name in wanted.split(",")]
    safe = ", ".join(name for name in names if name and all(c.isalnum() or c in "-_." for c in name) and name.isascii())
    return Response(
        204,
        (
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", safe.encode("ascii")),
            (b"access-control-max-age", b"86400"),
        ),
    )


def answer_headers(headers: Iterable[tuple[bytes, bytes]], origins: frozenset[str]) -> tuple[tuple[bytes, bytes], ...]:
    """What every answer says. With named origins, an answer is for the origin that asked."""
    if origins == ANYONE:
        return ((b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", _EXPOSED))
    origin = next((value for name, value in headers if name == b"origin"), b"")
    if not _is_allowed(origin.decode("latin-1"), origins):
        return (_VARY,)
    return ((b"access-control-allow-origin", origin), (b"access-control-expose-headers", _EXPOSED), _VARY)


def _is_allowed(origin: str, origins: frozenset[str]) -> bool:
    return origins == ANYONE or origin in origins
