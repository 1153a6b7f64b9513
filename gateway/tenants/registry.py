"""The registry of access keys: create, find, list, rotate, revoke.

It knows neither who connects nor where: statements go to an injected ``ControlDatabase``. Secrets leave this module
only inside an ``AccessKey``; in the database they are sealed (see ``secrets``).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from gateway import statements
from gateway.context import ACCOUNT_ROLE
from gateway.statements import Statement
from gateway.tenants.errors import RegistryError, TakenError
from gateway.tenants.secrets import MasterKey

__all__ = ["AccessKey", "AccessKeyInfo", "ControlDatabase", "NewAccessKey", "PostgresRegistry", "RegistryError"]

DEFAULT_TENANT: Final = "default"
MIN_SECRET_LENGTH: Final = 8
MAX_SECRET_LENGTH: Final = 128
MAX_TEXT_LENGTH: Final = 256
MAX_CLAIMS_BYTES: Final = 16 * 1024
MAX_BUCKETS: Final = 100
MAX_PREFIX_BYTES: Final = 1024
PAGE_LIMIT: Final = 1000

SECRET_COLUMN: Final = "control.access_keys.secret"  # noqa: S105 - the name of a place
_ACCESS_KEY_ID: Final = re.compile(r"[A-Za-z0-9_.=+@:-]{3,128}")
_SECRET: Final = re.compile(r"[\x21-\x7e]+")


class ControlDatabase(Protocol):
    """Whatever can run a named statement on the control database, each in its own transaction."""

    async def fetch(self, statement: Statement, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccessKey:
    """A key to store. ``subject`` makes it an account of its own; ``claims`` are what policies read as the JWT.

    ``buckets``, ``prefix`` and ``read_only`` narrow what it may do, whatever policies allow; None is everything.
    """

    access_key_id: str
    secret: str = field(repr=False)
    role: str
    subject: str | None = None
    display_name: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    description: str | None = None
    expires_at: datetime | None = None
    buckets: tuple[str, ...] | None = None
    prefix: str | None = None
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKeyInfo:
    """A stored key without its secret."""

    access_key_id: str
    role: str
    subject: str | None
    display_name: str | None
    claims: Mapping[str, Any]
    description: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    tenant_id: str = DEFAULT_TENANT
    buckets: tuple[str, ...] | None = None
    prefix: str | None = None
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey(AccessKeyInfo):
    """A key that may be used now, with its secret."""

    secret: str = field(repr=False)


class Registry(Protocol):
    """Where the access keys of a tenant are kept. Every method may raise StorageError (ServiceUnavailable)."""

    async def create_key(self, key: NewAccessKey) -> AccessKeyInfo:
        """Store a new key. Raises RegistryError for a bad value or an id that is or was in use, by any tenant."""
        ...

    async def put_key(self, key: NewAccessKey) -> AccessKeyInfo:
        """Store a key over whatever has its id: for the key the settings name. Raises RegistryError."""
        ...

    async def find_key(self, access_key_id: str) -> AccessKey | None:
        """The key, unless it is unknown, revoked, expired or another tenant's. Raises SecretError when its secret does
        not open."""
        ...

    async def list_keys(self, *, after: str = "", limit: int = PAGE_LIMIT) -> Sequence[AccessKeyInfo]:
        """A page of keys in order of their ids, from the first above ``after``."""
        ...

    async def rotate_key(self, access_key_id: str, secret: str) -> AccessKeyInfo | None:
        """Give a key another secret; None when there is no such key in use. Raises RegistryError for a bad secret."""
        ...

    async def revoke_key(self, access_key_id: str) -> AccessKeyInfo | None:
        """End a key for good; None when there is none. Its id is never given out again."""
        ...


class PostgresKeys:
    """Finds the key of any tenant: ids are unique among all of them. What a worker of many tenants asks."""

    def __init__(self, database: ControlDatabase, master_key: MasterKey) -> None:
        self._database: Final = database
        self._master_key: Final = master_key
        self._find: Final = statements.load("control")["find_access_key"]

    async def find_key(self, access_key_id: str) -> AccessKey | None:
        """The key, unless it is unknown, revoked or expired. Raises SecretError when its secret does not open, and
        StorageError (ServiceUnavailable)."""
        rows = await self._database.fetch(self._find, {"access_key_id": access_key_id})
        if not rows:
            return None
        key_id, sealed, *row = rows[0]
        info = _info((key_id, *row))
        secret = self._master_key.open(bytes(sealed), tenant=info.tenant_id, column=SECRET_COLUMN, row=key_id)
        return AccessKey(**{name: getattr(info, name) for name in info.__dataclass_fields__}, secret=secret)


class PostgresRegistry:
    """The registry of one tenant in ``control.access_keys``."""

    def __init__(self, database: ControlDatabase, master_key: MasterKey, tenant: str = DEFAULT_TENANT) -> None:
        self._database: Final = database
        self._master_key: Final = master_key
        self._tenant: Final = tenant
        self._keys: Final = PostgresKeys(database, master_key)
        self._statements: Final = statements.load("control")

    async def create_key(self, key: NewAccessKey) -> AccessKeyInfo:
        rows = await self._database.fetch(self._statements["create_access_key"], self._row(key))
        if not rows:
            raise TakenError(f"the access key id {key.access_key_id} is taken, or there is no tenant {self._tenant}")
        return _info(rows[0])

    async def put_key(self, key: NewAccessKey) -> AccessKeyInfo:
        rows = await self._database.fetch(self._statements["put_access_key"], self._row(key))
        if not rows:
            raise TakenError(f"the access key id {key.access_key_id} is taken")
        return _info(rows[0])

    async def find_key(self, access_key_id: str) -> AccessKey | None:
        found = await self._keys.find_key(access_key_id)
        return found if found is not None and found.tenant_id == self._tenant else None

    async def list_keys(self, *, after: str = "", limit: int = PAGE_LIMIT) -> Sequence[AccessKeyInfo]:
        parameters = {"after": after, "limit": min(limit, PAGE_LIMIT), "tenant": self._tenant}
        rows = await self._database.fetch(self._statements["list_access_keys"], parameters)
        return [_info(row) for row in rows]

    async def rotate_key(self, access_key_id: str, secret: str) -> AccessKeyInfo | None:
        check_secret(secret)
        if _ACCESS_KEY_ID.fullmatch(access_key_id) is None:
            return None
        parameters = {
            "access_key_id": access_key_id,
            "tenant": self._tenant,
            "secret": self._master_key.seal(secret, tenant=self._tenant, column=SECRET_COLUMN, row=access_key_id),
        }
        rows = await self._database.fetch(self._statements["rotate_access_key"], parameters)
        return _info(rows[0]) if rows else None

    async def revoke_key(self, access_key_id: str) -> AccessKeyInfo | None:
        parameters = {"access_key_id": access_key_id, "tenant": self._tenant}
        rows = await self._database.fetch(self._statements["revoke_access_key"], parameters)
        return _info(rows[0]) if rows else None

    def _row(self, key: NewAccessKey) -> dict[str, Any]:
        claims = check_key(key)
        return {
            "access_key_id": key.access_key_id,
            "secret": self._master_key.seal(
                key.secret, tenant=self._tenant, column=SECRET_COLUMN, row=key.access_key_id
            ),
            "role": key.role,
            "subject": key.subject,
            "display_name": key.display_name,
            "claims": claims,
            "description": key.description,
            "expires_at": key.expires_at,
            "tenant": self._tenant,
            "buckets": list(key.buckets) if key.buckets is not None else None,
            "prefix": key.prefix,
            "read_only": key.read_only,
        }


def check_role(key: NewAccessKey, roles: frozenset[str]) -> None:
    """Raise RegistryError unless the key's role is one of these, and an account's has a subject."""
    if key.role not in roles:
        raise RegistryError(f"the role must be one of {', '.join(sorted(roles))}")
    if key.role == ACCOUNT_ROLE and not key.subject:
        raise RegistryError("an account needs a subject")


def check_key(key: NewAccessKey) -> str:
    """Raise RegistryError unless the key can be stored and used; return its claims as JSON.

    There are no default credentials and no empty secrets, and claims cannot say another role or subject than the key.
    """
    if _ACCESS_KEY_ID.fullmatch(key.access_key_id) is None:
        raise RegistryError("an access key id has 3 to 128 of the characters A-Z a-z 0-9 _ . = + @ : -")
    check_secret(key.secret)
    if key.buckets is not None and not 1 <= len(key.buckets) <= MAX_BUCKETS:
        raise RegistryError(f"a key is narrowed to 1 to {MAX_BUCKETS} buckets, or to none")
    if key.prefix is not None and not (1 <= len(key.prefix.encode()) <= MAX_PREFIX_BYTES and "\0" not in key.prefix):
        raise RegistryError(f"a prefix has 1 to {MAX_PREFIX_BYTES} bytes without NUL")
    for name in ("subject", "display_name", "description"):
        text = getattr(key, name)
        if text is not None and (len(text) > MAX_TEXT_LENGTH or not text.isprintable()):
            raise RegistryError(f"{name} has at most {MAX_TEXT_LENGTH} printable characters")
    for name, value in (("role", key.role), ("sub", key.subject)):
        if name in key.claims and key.claims[name] != value:
            raise RegistryError(f"the claim {name!r} contradicts the key's own")
    try:
        claims = json.dumps(dict(key.claims), allow_nan=False, ensure_ascii=False)
        size_bytes = len(claims.encode())
    except (TypeError, ValueError, RecursionError):
        raise RegistryError("the claims are not a JSON object") from None
    if size_bytes > MAX_CLAIMS_BYTES or "\\u0000" in claims or not all(isinstance(name, str) for name in key.claims):
        raise RegistryError(f"the claims must be a JSON object of at most {MAX_CLAIMS_BYTES} bytes without NUL")
    return claims


def check_secret(secret: str) -> None:
    """Raise RegistryError unless this can be a secret access key."""
    if not MIN_SECRET_LENGTH <= len(secret) <= MAX_SECRET_LENGTH or _SECRET.fullmatch(secret) is None:
        raise RegistryError(
            f"a secret access key has {MIN_SECRET_LENGTH} to {MAX_SECRET_LENGTH} visible ASCII characters"
        )


def _info(row: tuple[Any, ...]) -> AccessKeyInfo:
    key_id, role, subject, display_name, claims, description, created_at, expires_at, revoked_at, *rest = row
    tenant_id, buckets, prefix, read_only = rest
    return AccessKeyInfo(
        access_key_id=key_id,
        role=role,
        subject=subject,
        display_name=display_name,
        claims=claims,
        description=description,
        created_at=created_at,
        expires_at=expires_at,
        revoked_at=revoked_at,
        tenant_id=tenant_id,
        buckets=None if buckets is None else tuple(buckets),
        prefix=prefix,
        read_only=read_only,
    )
