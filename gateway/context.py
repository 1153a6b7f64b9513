"""The frozen records that travel with a request: who asks, for what, and within which scope.

Fronts build them, operations read them, the metadata session turns :class:`Scope` into transaction-local
settings. Nothing here does I/O or knows HTTP.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Protocol

from gateway.frozen import quick

ANONYMOUS_ROLE: Final = "anon"
ACCOUNT_ROLE: Final = "s3_account"
SERVICE_ROLE: Final = "service_role"
ENGINE_ROLE: Final = "rowlock_engine"


class AuthMethod(StrEnum):
    """Every way a caller may prove who it is. No handler asks again; a new member needs a case in ``auth/identify``."""

    ANONYMOUS = "anonymous"
    SIGV4_HEADER = "sigv4-header"
    SIGV4_QUERY = "sigv4-query"
    POST_POLICY = "post-policy"
    BEARER = "bearer"
    SIGNED_URL = "signed-url"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A database, its secrets and its limits. Single-tenant mode is one implicit tenant."""

    id: str
    region: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a request wants: S3's action (``s3:GetObject``), the bucket, the key; of a listing its prefix."""

    action: str
    bucket: str | None = None
    key: str | None = None
    prefix: str | None = None
    delimiter: str | None = None


class Restriction(Protocol):
    """What takes rights away from a principal (``auth/restrictions.py``, ``auth/session_policy.py``)."""

    def permits(self, attempt: Attempt) -> bool: ...


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts. ``role`` is a Postgres role out of the allow-list, ``claims`` are what policies read as the JWT.

    Every one of ``restrictions`` must permit what is asked (``operations/restricted.py``). Made once a key, not once a
    request: ``claims_json`` is what every scope of this principal says.
    """

    tenant_id: str
    role: str
    method: AuthMethod
    subject: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    access_key_id: str | None = None
    display_name: str | None = None
    restrictions: tuple[Restriction, ...] = ()
    claims_json: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        claims = {"role": self.role, **self.claims}
        if self.subject is not None:
            claims.setdefault("sub", self.subject)
        object.__setattr__(self, "claims_json", json.dumps(claims, ensure_ascii=False))


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """The service itself: ``GET /``."""


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """A bucket, by path style or by host style."""

    bucket: str


@dataclass(frozen=True, slots=True)
class ObjectAddress:
    """A key in a bucket. The key is literal: decoded once from the raw path, never normalised."""

    bucket: str
    key: str


Address = ServiceAddress | BucketAddress | ObjectAddress


@quick
@dataclass(frozen=True, slots=True)
class Scope:
    """What a statement runs as: the settings made transaction-local before it (DESIGN §4)."""

    role: str
    operation: str
    claims_json: str = "{}"
    subject: str = ""
    method: str = ""
    path: str = ""
    headers_json: str = "{}"
    request_id: str = ""
    access_key_id: str = ""
    client_address: str = ""
    s3_request_json: str = ""


@dataclass(frozen=True, slots=True)
class Handover:
    """What may be done with a read in place of streaming it (``operations/delivery.py``): redirect it to the backend or
    to the CDN, or have the proxy before us send the file."""

    redirects: bool
    to_cdn: bool
    accelerates: bool


@quick
@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request for one operation.

    ``operation`` is the name policies see in ``storage.operation()``; ``headers_json`` holds only headers that are
    safe to show to SQL (no credentials). ``s3_request_json`` is what S3's access model asks about the request
    (``s3/access_request.py``); empty for roles that it does not bind. ``scope`` is what every statement of this call
    runs in.
    """

    tenant: Tenant
    principal: Principal
    operation: str
    request_id: str
    method: str = ""
    path: str = ""
    headers_json: str = "{}"
    client_address: str = ""
    secure: bool = False
    s3_request_json: str = ""
    handover: Handover | None = None
    scope: Scope = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        principal = self.principal
        scope = Scope(
            principal.role,
            self.operation,
            principal.claims_json,
            principal.subject or "",
            self.method,
            self.path,
            self.headers_json,
            self.request_id,
            principal.access_key_id or "",
            self.client_address,
            self.s3_request_json,
        )
        object.__setattr__(self, "scope", scope)

    def reading(self, bucket: str, key: str, version_id: str | None) -> "Call":
        """The same call while it reads the source of a copy, where other rules hold than at its target."""
        return self.asking("s3:GetObject" if version_id is None else "s3:GetObjectVersion", bucket, key)

    def asking(self, action: str, bucket: str, key: str) -> "Call":
        """The same call while S3's model is asked for another action than the operation's."""
        if not self.s3_request_json:
            return self
        request = json.loads(self.s3_request_json)
        request |= {"bucket": bucket, "action": action, "listing": {"s3:prefix": [key]}}
        return replace(self, s3_request_json=json.dumps(request, ensure_ascii=False))


def elevated(call: Call, role: str) -> Call:
    """The same call by another role, for what the caller may have done without seeing it: a public bucket read, a
    signed URL followed. Who calls stays on record."""
    return replace(call, principal=replace(call.principal, role=role))


def system_scope(operation: str) -> Scope:
    """The scope of the server's own work: sweeper, heartbeat, fsck."""
    return Scope(role=ENGINE_ROLE, operation=operation)
