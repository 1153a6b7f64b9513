"""Cross-origin requests: the preflight, and the headers on every answer to a request that names an Origin.

https://fetch.spec.whatwg.org/#http-cors-protocol as S3 speaks it
(https://docs.aws.amazon.com/AmazonS3/latest/API/RESTOPTIONSobject.html). A preflight carries no credentials, so it is
answered before anybody is asked for any.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.context import Address, BucketAddress, ObjectAddress
from gateway.errors import StorageError
from gateway.operations.cors_rules import METHODS, matching_rule
from gateway.operations.services import Services
from gateway.operations.shapes import CORSRule
from gateway.wire.response import Response

_ORIGIN: Final = b"origin"
_REQUEST_METHOD: Final = b"access-control-request-method"
_VARY: Final = (b"vary", b"Origin, Access-Control-Request-Headers, Access-Control-Request-Method")
_NO_BUCKET: Final = "CORSResponse: Bucket not found"
_NOT_ENABLED: Final = "CORSResponse: CORS is not enabled for this bucket."
_NOT_ALLOWED: Final = (
    "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / "
    "Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."
)


async def preflight(services: Services, address: Address, headers: Mapping[str, str]) -> Response:
    """The answer to OPTIONS; ``headers`` by lower-case name.

    Raises StorageError: BadRequest (it is no preflight), AccessForbidden (no rule lets the request in).
    """
    origin = headers.get("origin")
    if not origin:
        raise StorageError("BadRequest", "Insufficient information. Origin request header needed.")
    method = headers.get("access-control-request-method")
    if method not in METHODS:
        raise StorageError("BadRequest", f"Invalid Access-Control-Request-Method: {(method or 'null')[:64]}")
    asked = [name.strip() for name in headers.get("access-control-request-headers", "").split(",") if name.strip()]
    facts = {"Method": method, "ResourceType": "OBJECT" if isinstance(address, ObjectAddress) else "BUCKET"}
    if not isinstance(address, BucketAddress | ObjectAddress):
        raise StorageError("AccessForbidden", _NOT_ENABLED, **facts)
    rules = await services.cors_rules.find(services.session, address.bucket)
    if not rules:
        raise StorageError("AccessForbidden", _NO_BUCKET if rules is None else _NOT_ENABLED, **facts)
    found = matching_rule(rules, origin, method, asked)
    if found is None:
        raise StorageError("AccessForbidden", _NOT_ALLOWED, **facts)
    allowed = _allowed(*found, origin)
    if asked:
        names = ", ".join(name.lower() for name in asked)
        allowed.append((b"access-control-allow-headers", names.encode("latin-1", "replace")))
    return Response(200, tuple(allowed))


def names_origin(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request is one that a browser may have made for another site."""
    return _ORIGIN in dict(headers)


async def answer_headers(
    services: Services, bucket: str, method: str, headers: Iterable[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    """What an answer must carry for the page at Origin to read it; nothing where no rule lets it. Raises StorageError.

    A page that names the method it asked for (``Access-Control-Request-Method``) is judged by that, as S3 does.
    """
    found = dict(headers)
    origin = found[_ORIGIN].decode("latin-1")
    rules = await services.cors_rules.find(services.session, bucket)
    matched = matching_rule(rules or (), origin, found.get(_REQUEST_METHOD, method.encode()).decode("latin-1"))
    return _allowed(*matched, origin) if matched is not None else []


def _allowed(rule: CORSRule, pattern: str, origin: str) -> list[tuple[bytes, bytes]]:
    everybody = pattern == "*"
    headers = [
        (b"access-control-allow-origin", b"*" if everybody else origin.encode("latin-1", "replace")),
        (b"access-control-allow-methods", ", ".join(rule.allowed_methods).encode("ascii")),
    ]
    if rule.expose_headers:
        headers.append((b"access-control-expose-headers", ", ".join(rule.expose_headers).encode("ascii")))
    if rule.max_age_seconds is not None:
        headers.append((b"access-control-max-age", b"%d" % rule.max_age_seconds))
    if not everybody:
        headers.append((b"access-control-allow-credentials", b"true"))
    return [*headers, _VARY]
