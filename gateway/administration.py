"""What operators do with tenants, whether over the admin API or on the command line."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from gateway import accounts
from gateway.auth.credentials import allowed_roles
from gateway.blobs import backends
from gateway.config import Settings
from gateway.errors import StartupError, StorageError
from gateway.jobs.preparation import Preparer, fingerprint
from gateway.metadata import quota
from gateway.metadata.migrate import MigrationError
from gateway.tenants import audit
from gateway.tenants.choices import NO_BACKENDS, TenantBackends
from gateway.tenants.control import PostgresControlDatabase
from gateway.tenants.directory import NewTenant, StoredTenant, TenantDirectory, TenantInfo
from gateway.tenants.errors import RegistryError, UnknownError
from gateway.tenants.jwks import JwkStore
from gateway.tenants.migrations import MigrationState, MigrationStates
from gateway.tenants.registry import (
    DEFAULT_TENANT,
    AccessKeyInfo,
    NewAccessKey,
    PostgresRegistry,
    check_key,
    check_role,
)
from gateway.tenants.secrets import MasterKey
from gateway.tenants.transfers import NewTransfer, Transfer, Transfers

_HEALTH_SECONDS: Final = 5.0
_PREPARE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class TenantHealth:
    """``reachable``: its database answers. ``current``: it has what this program wants it to have."""

    tenant: StoredTenant
    reachable: bool
    current: bool
    state: MigrationState | None
    usage: quota.Usage | None


class Administration:
    """The control database and everything that is done with it. Belongs to one event loop.

    Every method may raise StorageError (ServiceUnavailable), RegistryError for what cannot be stored, and UnknownError
    for what there is not.
    """

    def __init__(self, settings: Settings, control: PostgresControlDatabase, master_key: MasterKey) -> None:
        self._settings: Final = settings
        self.control: Final = control
        self.master_key: Final = master_key
        self.directory: Final = TenantDirectory(control, master_key)
        self.jwks: Final = JwkStore(control, master_key)
        self.states: Final = MigrationStates(control)
        self.transfers: Final = Transfers(control)
        self._preparer: Final = Preparer(self.states)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, control_url: str) -> AsyncIterator["Administration"]:
        """Over a control database of this URL. Raises SecretError."""
        timeout = settings.database_pool_timeout_seconds
        async with PostgresControlDatabase(control_url, timeout_seconds=timeout) as control:
            master_key = await asyncio.to_thread(MasterKey.load, settings, settings.data_dir)
            administration = cls(settings, control, master_key)
            try:
                yield administration
            finally:
                await administration.close()

    async def close(self) -> None:
        """Wait for migrations under way."""
        await self._preparer.close()

    def registry(self, tenant_id: str) -> PostgresRegistry:
        """The access keys of a tenant."""
        return PostgresRegistry(self.control, self.master_key, tenant_id)

    async def require_tenant(self, tenant_id: str) -> None:
        """Raise UnknownError unless there is this tenant; the implicit one always is."""
        if tenant_id != DEFAULT_TENANT:
            await self.directory.read(tenant_id)

    async def create_tenant(self, tenant: NewTenant) -> TenantInfo:
        """Store a new tenant; see :meth:`TenantDirectory.create`."""
        await self._check_backends(tenant.backends)
        return await self.directory.create(tenant)

    async def update_tenant(self, tenant_id: str, changes: Mapping[str, Any]) -> TenantInfo:
        """Change a tenant; see :meth:`TenantDirectory.update`."""
        await self._check_backends(changes.get("backends") or {})
        return await self.directory.update(tenant_id, changes)

    async def _check_backends(self, document: Mapping[str, Any]) -> None:
        try:
            await asyncio.to_thread(backends.require_sound, self._settings, TenantBackends.of(document))
        except StartupError as error:
            raise RegistryError(str(error)) from None

    async def start_transfer(self, tenant_id: str, new: NewTransfer) -> Transfer:
        """Have a bucket of a tenant moved or replicated by the background worker."""
        if self._settings.multi_tenant == (tenant_id == DEFAULT_TENANT):
            raise UnknownError(f"there is no tenant {tenant_id} in this mode")
        own = NO_BACKENDS
        if tenant_id != DEFAULT_TENANT:
            own = TenantBackends.of((await self.directory.read(tenant_id)).backends)
        options = backends.described(self._settings, own).get(new.backend)
        if options is None:
            raise RegistryError(f"there is no backend {new.backend}")
        if backends.is_replica(options) != (new.kind == "replicate"):
            raise RegistryError(f"backend {new.backend} is {'a' if new.kind == 'move' else 'no'} replica")
        return await self.transfers.create(tenant_id, new)

    async def create_key(self, tenant_id: str, key: NewAccessKey) -> AccessKeyInfo:
        """Store a key of a tenant. One with a subject needs the tenant's database, where its account is registered."""
        check_role(key, allowed_roles(self._settings))
        check_key(key)
        if tenant_id != DEFAULT_TENANT:
            tenant = await self.directory.read(tenant_id)
            if key.subject:
                await self._preparer.ensure(tenant, wait_seconds=_PREPARE_SECONDS)
                timeout = self._settings.database_pool_timeout_seconds
                async with PostgresControlDatabase(tenant.database_url, timeout_seconds=timeout) as database:
                    await accounts.register(database, tenant_id, key)
        elif key.subject and self._settings.control_database_url is None:
            await accounts.register(self.control, tenant_id, key)
        return await self.registry(tenant_id).create_key(key)

    async def health(self, tenant_id: str) -> TenantHealth:
        """Ask a tenant's database."""
        tenant = await self.directory.read(tenant_id)
        found = await self.states.find(tenant_id)
        state = found[0] if found is not None else None
        usage: quota.Usage | None = None
        try:
            async with asyncio.timeout(_HEALTH_SECONDS):
                await asyncio.to_thread(_ping, tenant.database_url)
                if tenant.limits.storage_bytes is not None:
                    usage = await asyncio.to_thread(quota.usage, tenant.schema_url)
            reachable = True
        except (psycopg.Error, TimeoutError, OSError, MigrationError):
            reachable = False
        return TenantHealth(tenant, reachable, self.is_current(tenant, state), state, usage)

    @staticmethod
    def is_current(tenant: StoredTenant, state: MigrationState | None) -> bool:
        """Whether the tenant's database is known to have what this program wants it to have."""
        return state is not None and state.is_current(fingerprint(tenant))

    async def migration_page(self, *, after: str, limit: int) -> Sequence[tuple[StoredTenant, MigrationState]]:
        """A page of tenants with where their databases stand."""
        page = await self.states.page(after=after, limit=limit)
        found = []
        for tenant_id, state in page:
            try:
                found.append((await self.directory.read(tenant_id), state))
            except UnknownError:
                continue
        return found

    async def migrate(self, tenant_id: str) -> None:
        """Bring a tenant's database up to date now. Raises MigrationError."""
        tenant = await self.directory.read(tenant_id)
        await audit.record(self.control, tenant_id, "migrate", tenant_id)
        await self._preparer.prepare(tenant)

    async def retry(self, tenant_id: str) -> None:
        """Let a failed migration be tried again at once. Raises UnknownError when it has not failed."""
        await self.directory.read(tenant_id)
        await self.states.retry(tenant_id)
        await audit.record(self.control, tenant_id, "retry migration", tenant_id)


def describe_refusal(error: RegistryError) -> StorageError:
    """What the admin API answers. Its text holds no secret."""
    if isinstance(error, UnknownError):
        return StorageError("NoSuchEntity", str(error))
    return StorageError("InvalidArgument", str(error))


def _ping(url: str) -> None:
    with psycopg.connect(url, connect_timeout=int(_HEALTH_SECONDS), application_name="rowlock-health") as connection:
        connection.execute("SELECT 1")
