"""Brings the databases of tenants to what this program wants: its schema, and the limits that the database counts.

One tenant at a time in each process and database; a failure is remembered in the control database, is nobody else's,
and is tried again after a pause that grows. A run that was cut goes on where it stopped (``metadata/migrate.py``).
"""

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Final

import structlog

from gateway.errors import StorageError
from gateway.metadata import quota
from gateway.metadata.migrate import MigrationError, migrate, migrations
from gateway.tenants.directory import StoredTenant
from gateway.tenants.migrations import MigrationStates

_log = structlog.get_logger(__name__)

FAMILY: Final = "tenant"
_THREADS: Final = 2


@lru_cache(maxsize=1)
def _schema() -> tuple[str, str]:
    """The newest migration's label, and a digest of all of them."""
    files = migrations(FAMILY)
    digest = hashlib.sha256("".join(file.checksum for file in files).encode()).hexdigest()
    return files[-1].label, digest


def schema_version() -> str:
    """The newest migration of this program."""
    return _schema()[0]


def fingerprint(tenant: StoredTenant) -> str:
    """What the database of this tenant should have, as one word that changes with any of it."""
    limits = f"{_schema()[1]}|{tenant.limits.storage_bytes}|{tenant.limits.multipart_uploads}"
    return hashlib.sha256(limits.encode()).hexdigest()


class Preparer:
    """Prepares databases in a few threads. ``close`` waits for those under way. Belongs to one event loop."""

    def __init__(self, states: MigrationStates) -> None:
        self._states: Final = states
        self._threads: Final = ThreadPoolExecutor(_THREADS, thread_name_prefix="migrate")
        self._running: Final[dict[str, asyncio.Task[None]]] = {}

    async def ensure(self, tenant: StoredTenant, *, wait_seconds: float) -> None:
        """Return when the tenant's database is ready.

        Raises StorageError: ServiceUnavailable while it is not, because it failed and its next attempt is not due, or
        because it takes longer than ``wait_seconds``; the work goes on then.
        """
        found = await self._states.find(tenant.id)
        if found is not None:
            state, due = found
            if state.is_current(fingerprint(tenant)):
                return
            if not due and state.fingerprint == fingerprint(tenant) and state.status == "failed":
                raise StorageError("ServiceUnavailable")
        try:
            async with asyncio.timeout(wait_seconds):
                await asyncio.shield(self._start(tenant))
        except (TimeoutError, MigrationError) as error:
            raise StorageError("ServiceUnavailable") from error

    async def prepare(self, tenant: StoredTenant) -> None:
        """Bring it up to date now, whatever is known of it. Raises MigrationError and StorageError."""
        await asyncio.shield(self._start(tenant))

    async def close(self) -> None:
        """Wait for what is under way."""
        if self._running:
            await asyncio.wait(self._running.values())
        await asyncio.to_thread(self._threads.shutdown)

    def _start(self, tenant: StoredTenant) -> asyncio.Task[None]:
        task = self._running.get(tenant.id)
        if task is None:
            task = asyncio.create_task(self._prepare(tenant), name=f"prepare-{tenant.id}")
            self._running[tenant.id] = task
            task.add_done_callback(lambda done: self._end(tenant.id, done))
        return task

    def _end(self, tenant_id: str, task: asyncio.Task[None]) -> None:
        del self._running[tenant_id]
        if not task.cancelled():
            task.exception()

    async def _prepare(self, tenant: StoredTenant) -> None:
        wanted = fingerprint(tenant)
        attempt = await self._states.begin(tenant.id, wanted)
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, _bring_up_to_date, tenant)
        except MigrationError as error:
            _log.error("tenant_migration_failed", tenant=tenant.id, attempt=attempt, error=str(error))
            await self._states.fail(tenant.id, wanted, str(error), attempt)
            raise
        await self._states.finish(tenant.id, wanted, schema_version())
        _log.info("tenant_migrated", tenant=tenant.id, version=schema_version())


def _bring_up_to_date(tenant: StoredTenant) -> None:
    migrate(tenant.schema_url, FAMILY)
    quota.apply(tenant.schema_url, tenant.limits.storage_bytes, tenant.limits.multipart_uploads)
