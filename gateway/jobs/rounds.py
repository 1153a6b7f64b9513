"""Background work for every tenant: a few at a time, each with its share of time, none able to stop the others."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import structlog

from gateway.errors import StartupError, StorageError
from gateway.tenants.directory import StoredTenant, TenantDirectory
from gateway.tenants.errors import UnknownError
from gateway.tenants.secrets import SecretError

_log = structlog.get_logger(__name__)

CONCURRENCY: Final = 4
TENANT_SECONDS: Final = 120.0

Work = Callable[[StoredTenant], Awaitable[object]]


async def every_tenant(directory: TenantDirectory) -> AsyncIterator[str]:
    """The ids of the tenants that are active, page by page. Raises StorageError."""
    after = ""
    while page := await directory.page(after=after):
        for tenant in page:
            if tenant.status == "active":
                yield tenant.id
        after = page[-1].id


async def work_round(
    directory: TenantDirectory,
    work: Work,
    *,
    stopping: asyncio.Event | None = None,
    concurrency: int = CONCURRENCY,
    tenant_seconds: float = TENANT_SECONDS,
) -> int:
    """Do ``work`` once for every active tenant; returns for how many it failed.

    Who takes longer than ``tenant_seconds`` is interrupted and goes on in the next round. Raises StorageError when the
    control database cannot be asked.
    """
    queue: asyncio.Queue[str] = asyncio.Queue(maxsize=concurrency)
    failures = 0

    async def worker() -> None:
        nonlocal failures
        while True:
            tenant_id = await queue.get()
            try:
                failures += not await _work_for(directory, tenant_id, work, tenant_seconds)
            finally:
                queue.task_done()

    workers = [asyncio.create_task(worker(), name=f"tenant-round-{number}") for number in range(concurrency)]
    try:
        async for tenant_id in every_tenant(directory):
            if stopping is not None and stopping.is_set():
                break
            await queue.put(tenant_id)
        await queue.join()
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return failures


async def _work_for(directory: TenantDirectory, tenant_id: str, work: Work, tenant_seconds: float) -> bool:
    try:
        async with asyncio.timeout(tenant_seconds):
            await work(await directory.read(tenant_id))
    except UnknownError:
        return True
    except (StorageError, StartupError, SecretError, OSError) as error:
        _log.warning("tenant_round_failed", tenant=tenant_id, error=str(error) or type(error).__name__)
        return False
    except Exception:
        # Whatever it is, it is this tenant's.
        _log.exception("tenant_round_failed", tenant=tenant_id)
        return False
    return True
