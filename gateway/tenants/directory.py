"""The directory of tenants in ``control.tenants``: create, find, change, suspend, delete.

Statements go to an injected ``ControlDatabase``; URLs and secrets are sealed there and leave this module only inside a
``Tenant``.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from gateway import statements
from gateway.tenants.choices import TenantBackends, TenantFeatures, check_jwks_url
from gateway.tenants.errors import RegistryError, TakenError, UnknownError
from gateway.tenants.limits import TenantLimits
from gateway.tenants.registry import PAGE_LIMIT, ControlDatabase
from gateway.tenants.secrets import MasterKey

Status = Literal["active", "suspended"]

MAX_TEXT_LENGTH: Final = 256
MAX_URL_LENGTH: Final = 2048
MAX_HOSTS: Final = 100
MAX_DOCUMENT_BYTES: Final = 64 * 1024
MIN_JWT_SECRET_LENGTH: Final = 32

SEALED: Final = ("database_url", "owner_url", "pool_url", "jwt_secret")
"""Columns of ``control.tenants`` that hold secrets."""

_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_HOST: Final = re.compile(r"[a-z0-9.-]{1,253}")


def sealed_column(name: str) -> str:
    """What a secret of a tenant is bound to, besides the tenant."""
    return f"control.tenants.{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantInfo:
    """A stored tenant without its secrets. ``revision`` grows with every change."""

    id: str
    status: Status
    description: str | None
    region: str | None
    jwks_url: str | None
    jwt_audience: str | None
    jwt_issuer: str | None
    limits: TenantLimits
    features: Mapping[str, Any]
    backends: Mapping[str, Any]
    hosts: tuple[str, ...]
    revision: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTenant(TenantInfo):
    """A tenant with its secrets. ``database_url`` is the gateway's login; ``owner_url`` may change the schema (None:
    the same login); ``pool_url`` leads there through a transaction pooler, for requests."""

    database_url: str = field(repr=False)
    owner_url: str | None = field(repr=False)
    pool_url: str | None = field(repr=False)
    jwt_secret: str | None = field(repr=False)

    @property
    def request_url(self) -> str:
        """What requests connect to."""
        return self.pool_url or self.database_url

    @property
    def schema_url(self) -> str:
        """What migrations connect to: never a pooler, for they hold a session's lock."""
        return self.owner_url or self.database_url


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTenant:
    """A tenant to store."""

    id: str
    database_url: str = field(repr=False)
    owner_url: str | None = field(default=None, repr=False)
    pool_url: str | None = field(default=None, repr=False)
    jwt_secret: str | None = field(default=None, repr=False)
    description: str | None = None
    region: str | None = None
    jwks_url: str | None = None
    jwt_audience: str | None = None
    jwt_issuer: str | None = None
    limits: TenantLimits = field(default_factory=TenantLimits)
    features: Mapping[str, Any] = field(default_factory=dict)
    backends: Mapping[str, Any] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()


class TenantDirectory:
    """Every method may raise StorageError (ServiceUnavailable); those that change something, RegistryError."""

    def __init__(self, database: ControlDatabase, master_key: MasterKey) -> None:
        self._database: Final = database
        self._master_key: Final = master_key
        self._statements: Final = statements.load("tenants")

    async def create(self, tenant: NewTenant) -> TenantInfo:
        """Store a new tenant. Raises TakenError for an id that is or was in use, or a host of another tenant."""
        check_tenant_id(tenant.id)
        values = _checked({name: getattr(tenant, name) for name in _CHANGEABLE})
        hosts = values.pop("hosts")
        if not await self._database.fetch(
            self._statements["create_tenant"], {"id": tenant.id, **self._columns(tenant.id, values)}
        ):
            raise TakenError(f"the tenant id {tenant.id} is taken")
        if hosts:
            await self._put_hosts(tenant.id, hosts)
        return await self.read(tenant.id)

    async def update(self, tenant_id: str, changes: Mapping[str, Any]) -> TenantInfo:
        """Change what ``changes`` names, fields of :class:`NewTenant` but ``id``. Raises UnknownError."""
        unknown = sorted(set(changes) - set(_CHANGEABLE))
        if unknown:
            raise RegistryError(f"{unknown[0]} cannot be changed")
        values = _checked(changes)
        hosts = values.pop("hosts", None)
        given = self._columns(tenant_id, values)
        parameters: dict[str, Any] = {"id": tenant_id}
        for name in _CHANGEABLE:
            if name != "hosts":
                parameters |= {name: given.get(name), f"set_{name}": name in given}
        if not await self._database.fetch(self._statements["update_tenant"], parameters):
            raise UnknownError(f"there is no tenant {tenant_id}")
        if hosts is not None:
            await self._put_hosts(tenant_id, hosts)
        return await self.read(tenant_id)

    async def set_status(self, tenant_id: str, status: Status) -> TenantInfo:
        """Suspend a tenant, or let it in again. Raises UnknownError."""
        parameters = {"id": tenant_id, "status": status}
        if not await self._database.fetch(self._statements["set_tenant_status"], parameters):
            raise UnknownError(f"there is no tenant {tenant_id}")
        return await self.read(tenant_id)

    async def delete(self, tenant_id: str) -> None:
        """End a tenant for good: its keys are revoked and its secrets forgotten; its database and its blobs are left
        alone, and its id is never given out again. Raises UnknownError."""
        if not await self._database.fetch(self._statements["delete_tenant"], {"id": tenant_id}):
            raise UnknownError(f"there is no tenant {tenant_id}")

    async def find(self, tenant_id: str) -> StoredTenant | None:
        """The tenant, unless it is unknown, suspended or deleted. Raises SecretError."""
        return await self._one("find_tenant", tenant_id)

    async def read(self, tenant_id: str) -> StoredTenant:
        """The tenant, suspended or not. Raises UnknownError and SecretError."""
        found = await self._one("read_tenant", tenant_id)
        if found is None:
            raise UnknownError(f"there is no tenant {tenant_id}")
        return found

    async def tenant_of_host(self, host: str) -> str | None:
        """The tenant that has this host name for an alias."""
        rows = await self._database.fetch(self._statements["find_tenant_of_host"], {"host": host})
        return rows[0][0] if rows else None

    async def page(self, *, after: str = "", limit: int = PAGE_LIMIT) -> Sequence[TenantInfo]:
        """A page of tenants in order of their ids, from the first above ``after``."""
        parameters = {"after": after, "limit": min(limit, PAGE_LIMIT)}
        rows = await self._database.fetch(self._statements["list_tenants"], parameters)
        return [TenantInfo(**_facts(row)) for row in rows]

    async def _one(self, statement: str, tenant_id: str) -> StoredTenant | None:
        rows = await self._database.fetch(self._statements[statement], {"id": tenant_id})
        if not rows:
            return None
        *row, database_url, owner_url, pool_url, jwt_secret = rows[0]
        sealed = zip(SEALED, (database_url, owner_url, pool_url, jwt_secret), strict=True)
        opened: dict[str, Any] = {
            name: None
            if value is None
            else self._master_key.open(bytes(value), tenant=tenant_id, column=sealed_column(name), row=tenant_id)
            for name, value in sealed
        }
        return StoredTenant(**_facts(tuple(row)), **opened)

    async def _put_hosts(self, tenant_id: str, hosts: Sequence[str]) -> None:
        try:
            await self._database.fetch(self._statements["put_hosts"], {"id": tenant_id, "hosts": list(hosts)})
        except TakenError:
            raise TakenError("one of the hosts is another tenant's") from None

    def _columns(self, tenant_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        columns = dict(values)
        for name in SEALED:
            if columns.get(name) is not None:
                columns[name] = self._master_key.seal(
                    columns[name], tenant=tenant_id, column=sealed_column(name), row=tenant_id
                )
        if "limits" in columns:
            columns["limits"] = columns["limits"].document
        for name in ("limits", "features", "backends"):
            if name in columns:
                columns[name] = json.dumps(dict(columns[name]), allow_nan=False)
        return columns


_TEXTS: Final = ("description", "region", "jwt_audience", "jwt_issuer")
_CHANGEABLE: Final = (*SEALED, *_TEXTS, "jwks_url", "limits", "features", "backends", "hosts")


def check_tenant_id(tenant_id: str) -> None:
    """Raise RegistryError unless this can be the id of a tenant, which is also the name of a directory."""
    if _ID.fullmatch(tenant_id) is None:
        raise RegistryError("a tenant id has 1 to 63 of the characters a-z 0-9 _ - and begins with a letter or digit")


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, or RegistryError. URLs are judged by how they are written; nobody is asked."""
    for name in ("database_url", "owner_url", "pool_url"):
        url = values.get(name)
        if url is None:
            if name in values and name == "database_url":
                raise RegistryError("a tenant needs a database_url")
            continue
        try:
            known = bool(conninfo_to_dict(url)) and len(url) <= MAX_URL_LENGTH and "\0" not in url
        except (ProgrammingError, UnicodeError):
            known = False
        if not known:
            raise RegistryError(f"{name} is not a Postgres connection string (postgresql://…)")
    secret = values.get("jwt_secret")
    if secret is not None and len(secret) < MIN_JWT_SECRET_LENGTH:
        raise RegistryError(f"a jwt_secret has at least {MIN_JWT_SECRET_LENGTH} characters")
    for name in _TEXTS:
        text = values.get(name)
        if text is not None and (not 1 <= len(text) <= MAX_TEXT_LENGTH or not text.isprintable()):
            raise RegistryError(f"{name} has 1 to {MAX_TEXT_LENGTH} printable characters")
    for name in ("features", "backends"):
        if len(json.dumps(dict(values.get(name) or {}))) > MAX_DOCUMENT_BYTES:
            raise RegistryError(f"{name} is a JSON object of at most {MAX_DOCUMENT_BYTES} bytes")
    if (url := values.get("jwks_url")) is not None:
        check_jwks_url(url)
    TenantFeatures.of(values.get("features") or {})
    TenantBackends.of(values.get("backends") or {})
    checked = dict(values)
    if "hosts" in values:
        hosts = tuple(sorted({host.lower().rstrip(".") for host in values["hosts"]}))
        if len(hosts) > MAX_HOSTS or not all(_HOST.fullmatch(host) for host in hosts):
            raise RegistryError(f"hosts are at most {MAX_HOSTS} host names without ports")
        checked["hosts"] = hosts
    return checked


def _facts(row: tuple[Any, ...]) -> dict[str, Any]:
    names = (
        "id", "status", "description", "region", "jwks_url", "jwt_audience", "jwt_issuer", "limits",
        "features", "backends", "revision", "created_at", "updated_at", "hosts",
    )  # fmt: skip
    facts = dict(zip(names, row, strict=True))
    return facts | {"limits": TenantLimits.of(facts["limits"]), "hosts": tuple(facts["hosts"])}
