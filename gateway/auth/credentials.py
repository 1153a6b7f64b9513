"""Access keys in memory: bounded, fresh to within seconds, one question to the database for any number of askers."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from gateway.auth.restrictions import KeyRestriction
from gateway.config import Settings
from gateway.context import ACCOUNT_ROLE, ANONYMOUS_ROLE, SERVICE_ROLE, AuthMethod, Principal, Restriction
from gateway.errors import StorageError

# What keys and tokens may name without a word in the settings.
ROLES: Final = frozenset((ANONYMOUS_ROLE, "authenticated", ACCOUNT_ROLE, SERVICE_ROLE))

TTL_SECONDS: Final = 5.0
TOLD_TTL_SECONDS: Final = 60.0
NEGATIVE_TTL_SECONDS: Final = 2.0
MAX_ENTRIES: Final = 4096


def allowed_roles(settings: Settings) -> frozenset[str]:
    """The Postgres roles that keys and tokens may name."""
    return ROLES | settings.further_roles


class StoredKey(Protocol):
    """A usable access key as its registry keeps it."""

    @property
    def access_key_id(self) -> str: ...
    @property
    def secret(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def subject(self) -> str | None: ...
    @property
    def display_name(self) -> str | None: ...
    @property
    def claims(self) -> Mapping[str, Any]: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def tenant_id(self) -> str: ...
    @property
    def buckets(self) -> tuple[str, ...] | None: ...
    @property
    def prefix(self) -> str | None: ...
    @property
    def read_only(self) -> bool: ...


class KeySource(Protocol):
    """Where keys come from (``tenants.registry.Registry``): None for unknown, revoked and expired ones."""

    async def find_key(self, access_key_id: str) -> StoredKey | None: ...


@dataclass(frozen=True, slots=True)
class Credential:
    """An access key and what its holder may be."""

    access_key_id: str
    secret: str = field(repr=False)
    role: str
    subject: str | None = None
    display_name: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    expires_at: datetime | None = None
    restrictions: tuple[Restriction, ...] = ()
    tenant_id: str = "default"
    principals: dict[AuthMethod, Principal] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Its holder by the ways it was proved, made when first needed."""

    @classmethod
    def of(cls, key: StoredKey) -> "Credential":
        restriction = KeyRestriction(
            None if key.buckets is None else frozenset(key.buckets), key.prefix or "", key.read_only
        )
        return cls(
            key.access_key_id,
            key.secret,
            key.role,
            key.subject,
            key.display_name,
            key.claims,
            key.expires_at,
            () if restriction == KeyRestriction() else (restriction,),
            key.tenant_id,
        )


class Credentials(Protocol):
    """Where ``Identify`` finds the keys of its tenant."""

    async def find(self, access_key_id: str) -> Credential | None: ...


class _Cache:
    """Entries by access key id, least recently used dropped first, none older than ``ttl_seconds``."""

    def __init__(self, ttl_seconds: float, max_entries: int) -> None:
        self.ttl_seconds = ttl_seconds
        self._max_entries: Final = max_entries
        self._entries: OrderedDict[str, tuple[float, Credential | None]] = OrderedDict()

    def get(self, access_key_id: str, now: float) -> tuple[float, Credential | None] | None:
        entry = self._entries.get(access_key_id)
        if entry is None:
            return None
        if entry[0] <= now:
            del self._entries[access_key_id]
            return None
        self._entries.move_to_end(access_key_id)
        return entry

    def put(self, access_key_id: str, credential: Credential | None, now: float) -> None:
        self._entries[access_key_id] = (now + self.ttl_seconds, credential)
        self._entries.move_to_end(access_key_id)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def drop(self, access_key_id: str) -> None:
        self._entries.pop(access_key_id, None)

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


class CredentialStore:
    """Finds credentials. Wrong ids have a cache of their own, so that a flood of them drops no good one.

    A revoked key is refused as soon as ``invalidate`` is called, and after ``TTL_SECONDS`` when that call was lost.
    Belongs to one event loop.
    """

    def __init__(
        self,
        source: KeySource,
        *,
        ttl_seconds: float = TTL_SECONDS,
        negative_ttl_seconds: float = NEGATIVE_TTL_SECONDS,
        max_entries: int = MAX_ENTRIES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source: Final = source
        self._ttl_seconds: Final = ttl_seconds
        self._monotonic: Final = monotonic
        self._known: Final = _Cache(ttl_seconds, max_entries)
        self._unknown: Final = _Cache(negative_ttl_seconds, max_entries)
        self._loading: Final[dict[str, asyncio.Task[Credential | None]]] = {}

    async def find(self, access_key_id: str) -> Credential | None:
        """The credential; None when there is no such usable key.

        Raises StorageError: ServiceUnavailable when the registry cannot be asked and no valid entry is at hand.
        """
        now = self._monotonic()
        entry = self._known.get(access_key_id, now) or self._unknown.get(access_key_id, now)
        if entry is not None:
            return entry[1]
        task = self._loading.get(access_key_id)
        if task is None:
            task = asyncio.create_task(self._load(access_key_id), name="credential")
            self._loading[access_key_id] = task
            task.add_done_callback(_retrieve)
        # Shielded: an asker that goes away must not take the answer from the others.
        return await asyncio.shield(task)

    def invalidate(self, access_key_id: str) -> None:
        """Forget a key, and the answer of a question still under way: it may be older than this call."""
        self._known.drop(access_key_id)
        self._unknown.drop(access_key_id)
        self._loading.pop(access_key_id, None)

    def told(self, told: bool) -> None:
        """Whether somebody calls ``invalidate`` at each change from now on: then entries may live longer. What is known
        by now is forgotten."""
        self._known.ttl_seconds = TOLD_TTL_SECONDS if told else self._ttl_seconds
        self.invalidate_all()

    def invalidate_all(self) -> None:
        """Forget everything: after the notification channel was interrupted."""
        self._known.clear()
        self._unknown.clear()
        self._loading.clear()

    async def _load(self, access_key_id: str) -> Credential | None:
        try:
            # The age counts from the question, not from the answer.
            asked = self._monotonic()
            key = await self._source.find_key(access_key_id)
            credential = None if key is None else Credential.of(key)
            if self._loading.get(access_key_id) is asyncio.current_task():
                (self._unknown if credential is None else self._known).put(access_key_id, credential, asked)
            return credential
        except StorageError as error:
            if error.code.status >= 500:
                raise StorageError("ServiceUnavailable") from error
            raise
        except OSError as error:
            raise StorageError("ServiceUnavailable") from error
        finally:
            if self._loading.get(access_key_id) is asyncio.current_task():
                del self._loading[access_key_id]


class TenantCredentials:
    """The keys of one tenant out of a store of all tenants' keys: another tenant's are unknown here."""

    def __init__(self, store: Credentials, tenant_id: str) -> None:
        self._store: Final = store
        self._tenant_id: Final = tenant_id

    async def find(self, access_key_id: str) -> Credential | None:
        """The credential; None when this tenant has no such usable key. Raises StorageError: ServiceUnavailable."""
        credential = await self._store.find(access_key_id)
        return credential if credential is not None and credential.tenant_id == self._tenant_id else None


def _retrieve(task: asyncio.Task[Credential | None]) -> None:
    """Look at the outcome, so that an error nobody waited for any more is not reported at garbage collection."""
    if not task.cancelled():
        task.exception()
