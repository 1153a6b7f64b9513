"""Builds from the settings what the application, the background worker and the commands share."""

import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
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
from gateway.tenants.registry import DEFAULT_TENANT
from gateway.tenants.secrets import MasterKey

_ENCRYPTION_THREADS: Final = 4


def host_name(settings: Settings) -> str:
    """What epochs of this installation are registered under: the machine and the data directory."""
    return f"{socket.gethostname()}:{settings.data_dir.resolve()}"


def open_session(settings: Settings, gateway_url: str, *, pool_size: int | None = None) -> Session:
    """The tenant's database, not connected yet."""
    return Session(
        gateway_url,
        pool_size=pool_size or settings.database_pool_size,
        pool_timeout_seconds=settings.database_pool_timeout_seconds,
        statement_timeout_seconds=settings.statement_timeout_seconds,
    )


def open_stores(settings: Settings, epoch: Epoch, tenant_id: str = DEFAULT_TENANT) -> BlobStores:
    """The tenant's stores of bytes. Raises OSError if a directory cannot be used, StartupError for a wrong setting."""
    stores: dict[str, BlobStore] = {}
    replicas: dict[str, BlobStore] = {}
    for name, options in backends.described(settings).items():
        home = replicas if backends.is_replica(options) else stores
        home[name] = backends.open_backend(settings, name, options, tenant_id)
    default = stores.get(settings.default_backend)
    if default is None:
        raise StartupError(f"ROWLOCK_DEFAULT_BACKEND: {settings.default_backend} is a replica")
    return BlobStores(stores, default, epoch, replicas)


def open_encryption(settings: Settings, master_key: MasterKey, tenant_id: str) -> Encryption:
    """What objects of this tenant are encrypted with."""
    names = settings.kms_key_ids
    return Encryption(
        vault=Vault(master_key, tenant_id),
        executor=ThreadPoolExecutor(_ENCRYPTION_THREADS, thread_name_prefix="encryption"),
        kms_key_ids=None if names is None else frozenset(name.strip() for name in names.split(",")),
        kms_default_key_id=settings.kms_default_key_id,
        customer_keys_over_http=settings.customer_keys_over_http,
    )


@asynccontextmanager
async def writing_room(settings: Settings, gateway_url: str, name: str) -> AsyncIterator[tuple[Session, BlobStores]]:
    """Database and stores for a command that writes blobs: with an epoch of its own, as every writer has."""
    session = open_session(settings, gateway_url, pool_size=8)
    await session.open()
    keeper = EpochKeeper(session, f"{host_name(settings)}:{name}", settings.epoch_heartbeat_seconds)
    stores = open_stores(settings, await keeper.start())
    try:
        yield session, stores
    finally:
        await stores.close()
        await keeper.stop()
        await session.close()


@asynccontextmanager
async def engine_room(settings: Settings, gateway_url: str) -> AsyncIterator[tuple[Session, BlobStores]]:
    """Database and stores for work that writes no new blobs: the sweeper, fsck."""
    session = open_session(settings, gateway_url, pool_size=2)
    await session.open()
    stores = open_stores(settings, Epoch(0))
    try:
        yield session, stores
    finally:
        await stores.close()
        await session.close()
