"""Builds from the settings what the application, the background worker and the commands share."""

import asyncio
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from gateway.blobs import backends
from gateway.blobs.locator import BlobStores, Epoch
from gateway.blobs.protocol import BlobStore
from gateway.config import Settings
from gateway.encryption.vault import Vault
from gateway.errors import StartupError
from gateway.jobs.epoch import EpochKeeper
from gateway.metadata.session import Session
from gateway.operations.encryption import Encryption
from gateway.tenants.directory import StoredTenant
from gateway.tenants.registry import DEFAULT_TENANT
from gateway.tenants.secrets import MasterKey

_ENCRYPTION_THREADS: Final = 4
# Of each tenant among many: threads are made when they are needed, and there may be hundreds of tenants.
_TENANT_THREADS: Final = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where the rows and the bytes of a tenant are, and what one process may open there. ``tenant_id`` is None for the
    one tenant of single-tenant mode, whose blobs lie directly in the data directory."""

    database_url: str = field(repr=False)
    pool_size: int
    tenant_id: str | None = None
    kept_connections: int = 1
    most_blob_threads: int | None = None
    encryption_threads: int = _ENCRYPTION_THREADS

    @classmethod
    def of_single_tenant(cls, settings: Settings, gateway_url: str) -> "Place":
        """The database the gateway was started with, by way of its pooler where it has one, and all its connections."""
        pool_url = settings.database_pool_url
        return cls(gateway_url if pool_url is None else pool_url.get_secret_value(), settings.database_pool_size)

    @classmethod
    def of_tenant(cls, settings: Settings, tenant: StoredTenant) -> "Place":
        """The tenant's own; a tenant nobody asks for keeps no connection."""
        limit = tenant.limits.connections
        return cls(
            tenant.request_url,
            settings.tenant_pool_size if limit is None else min(settings.tenant_pool_size, max(limit, 1)),
            tenant.id,
            kept_connections=0,
            most_blob_threads=_TENANT_THREADS,
            encryption_threads=_TENANT_THREADS,
        )


def host_name(settings: Settings) -> str:
    """What epochs of this installation are registered under: the machine and the data directory."""
    return f"{socket.gethostname()}:{settings.data_dir.resolve()}"


def control_database_url(settings: Settings, gateway_url: str) -> str:
    """Where tenants and keys are kept: a database of its own where there is one, else the one tenant's."""
    chosen = settings.control_database_url
    return chosen.get_secret_value() if chosen is not None else gateway_url


def open_session(settings: Settings, place: Place, *, pool_size: int | None = None) -> Session:
    """The tenant's database, not connected yet."""
    return Session(
        place.database_url,
        pool_size=pool_size or place.pool_size,
        pool_timeout_seconds=settings.database_pool_timeout_seconds,
        statement_timeout_seconds=settings.statement_timeout_seconds,
        kept_connections=place.kept_connections,
    )


def open_stores(settings: Settings, place: Place, epoch: Epoch) -> BlobStores:
    """The tenant's stores of bytes. Raises OSError if a directory cannot be used, StartupError for a wrong setting."""
    stores: dict[str, BlobStore] = {}
    replicas: dict[str, BlobStore] = {}
    for name, options in backends.described(settings).items():
        home = replicas if backends.is_replica(options) else stores
        home[name] = backends.open_backend(
            settings, name, options, place.tenant_id or DEFAULT_TENANT, most_threads=place.most_blob_threads
        )
    default = stores.get(settings.default_backend)
    if default is None:
        raise StartupError(f"ROWLOCK_DEFAULT_BACKEND: {settings.default_backend} is a replica")
    return BlobStores(stores, default, epoch, replicas)


def open_encryption(
    settings: Settings, master_key: MasterKey, tenant_id: str, *, threads: int = _ENCRYPTION_THREADS
) -> Encryption:
    """What objects of this tenant are encrypted with."""
    names = settings.kms_key_ids
    return Encryption(
        vault=Vault(master_key, tenant_id),
        executor=ThreadPoolExecutor(threads, thread_name_prefix="encryption"),
        kms_key_ids=None if names is None else frozenset(name.strip() for name in names.split(",")),
        kms_default_key_id=settings.kms_default_key_id,
        customer_keys_over_http=settings.customer_keys_over_http,
    )


@asynccontextmanager
async def writing_room(settings: Settings, place: Place, name: str) -> AsyncIterator[tuple[Session, BlobStores]]:
    """Database and stores for a command that writes blobs: with an epoch of its own, as every writer has."""
    session = open_session(settings, place, pool_size=8)
    await session.open()
    keeper = EpochKeeper(session, f"{host_name(settings)}:{name}", settings.epoch_heartbeat_seconds)
    stores = await asyncio.to_thread(open_stores, settings, place, await keeper.start())
    try:
        yield session, stores
    finally:
        await stores.close()
        await keeper.stop()
        await session.close()


@asynccontextmanager
async def engine_room(settings: Settings, place: Place) -> AsyncIterator[tuple[Session, BlobStores]]:
    """Database and stores for work that writes no new blobs: the sweeper, fsck."""
    session = open_session(settings, place, pool_size=2)
    await session.open()
    stores: BlobStores | None = None
    try:
        stores = await asyncio.to_thread(open_stores, settings, place, Epoch(0))
        yield session, stores
    finally:
        if stores is not None:
            await stores.close()
        await session.close()
