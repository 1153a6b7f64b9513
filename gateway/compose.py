"""Builds from the settings what the application, the background worker and the commands share."""

import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from gateway.blobs.file import FileStore
from gateway.blobs.locator import BlobStores, Epoch
from gateway.config import Settings
from gateway.encryption.vault import Vault
from gateway.metadata.session import Session
from gateway.operations.encryption import Encryption
from gateway.tenants.secrets import MasterKey

FILE_BACKEND: Final = "file"
_BLOB_THREADS: Final = 16
_ENCRYPTION_THREADS: Final = 4


def blob_directory(settings: Settings) -> Path:
    """Where the file backend keeps its blobs."""
    return settings.data_dir / "blobs"


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


def open_stores(settings: Settings, epoch: Epoch) -> BlobStores:
    """The tenant's stores of bytes. Raises OSError if the directory cannot be used."""
    file = FileStore(blob_directory(settings), name=FILE_BACKEND, threads=_BLOB_THREADS)
    return BlobStores({file.name: file}, file, epoch)


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
async def engine_room(settings: Settings, gateway_url: str) -> AsyncIterator[tuple[Session, BlobStores]]:
    """Database and stores for work that writes no new blobs: the sweeper, fsck."""
    session = open_session(settings, gateway_url, pool_size=2)
    await session.open()
    stores = open_stores(settings, Epoch(0))
    try:
        yield session, stores
    finally:
        for store in stores.stores.values():
            await store.close()
        await session.close()
