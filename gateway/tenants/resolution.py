"""Which tenant a request is for, as far as its head says: by access key, by host, by a header of our own proxies.

An access key id is unique among all tenants, so it decides; the host (or header) must then not name another one. Only
what trusted proxies send is believed beyond the Host: anybody can write an ``X-Forwarded-Host``.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from gateway.config import Settings
from gateway.wire.proxies import TrustedProxies

_FORWARDED_HOST: Final = b"x-forwarded-host"
_CREDENTIAL: Final = re.compile(rb"\bCredential=([^/,\s]{1,256})/")
_CREDENTIAL_PARAMETER: Final = b"X-Amz-Credential"
_SECURITY_TOKEN: Final = b"x-amz-security-token"
_SECURITY_TOKEN_PARAMETER: Final = b"X-Amz-Security-Token"
_HOST: Final = re.compile(r"([a-z0-9._-]{1,253})(?::[0-9]{0,5})?")


@dataclass(frozen=True, slots=True)
class Named:
    """What the head of a request names: an access key id with its session token, a host without its port, and a tenant
    by our header."""

    access_key_id: str | None
    security_token: str | None
    host: str | None
    tenant_header: str | None


class HeadReader:
    """Reads from the head of a request what may name its tenant. Judges nothing: the front does."""

    def __init__(self, settings: Settings) -> None:
        self._header: Final = settings.tenant_header.lower().encode() if settings.tenant_header else None
        self._trusts: Final = TrustedProxies(settings.trusted_proxies)

    def read(self, scope: Mapping[str, Any]) -> Named:
        """From an ASGI ``http`` scope."""
        headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
        authorization = host = forwarded = tenant = token = None
        for name, value in headers:
            if name == b"authorization":
                authorization = value
            elif name == b"host":
                host = value
            elif name == _FORWARDED_HOST:
                # the proxy nearest to us wrote the last one
                forwarded = value.rpartition(b",")[2]
            elif name == _SECURITY_TOKEN:
                token = value
            elif name == self._header:
                tenant = value
        if (forwarded or tenant) and not self._trusts(scope):
            forwarded = tenant = None
        key_id, token = _credential(authorization, token, scope["query_string"])
        return Named(
            key_id,
            token.decode("latin-1") if token else None,
            host_name(forwarded or host),
            tenant.decode("ascii", "replace").strip() if tenant else None,
        )


class HostPattern:
    """Finds the tenant in a host name by a regular expression, which must match the whole of it."""

    def __init__(self, pattern: str | None) -> None:
        self._pattern: Final = re.compile(pattern) if pattern is not None else None
        self._group: Final[str | int] = (
            "tenant" if self._pattern is not None and "tenant" in self._pattern.groupindex else 1
        )

    def tenant(self, host: str) -> str | None:
        """The tenant, or None where the pattern does not match."""
        match = self._pattern.fullmatch(host) if self._pattern is not None else None
        return match[self._group] if match is not None else None


def host_name(value: bytes | None) -> str | None:
    """A Host without its port, in lower case; None for what is no host name."""
    if value is None:
        return None
    match = _HOST.fullmatch(value.decode("latin-1").strip().lower())
    return match[1] if match is not None else None


def _credential(authorization: bytes | None, token: bytes | None, query: bytes) -> tuple[str | None, bytes | None]:
    """The id that a header or a presigned query is signed with, and the session token beside it."""
    if authorization is not None:
        match = _CREDENTIAL.search(authorization)
        return (match[1].decode("ascii", "replace") if match is not None else None), token
    if _CREDENTIAL_PARAMETER not in query:
        return None, token
    values = dict(parse_qsl(query, keep_blank_values=True))
    key_id = values.get(_CREDENTIAL_PARAMETER, b"").decode("utf-8", "replace").partition("/")[0]
    return key_id or None, values.get(_SECURITY_TOKEN_PARAMETER, token)
