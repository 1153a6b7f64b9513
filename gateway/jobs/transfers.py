"""Works on the transfers operators asked for (``tenants/transfers.py``), a few at a time.

A process that is stopped or killed loses nothing: the next one claims the row when its lease is over, and what was
moved is what the rows of the objects say.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final

import structlog

from gateway.blobs.locator import BlobStores
from gateway.errors import StartupError, StorageError
from gateway.jobs.mover import Mover, Pace, Progress
from gateway.metadata import moving
from gateway.metadata.session import Session
from gateway.tenants.errors import UnknownError
from gateway.tenants.secrets import SecretError
from gateway.tenants.transfers import LEASE_SECONDS, Reached, Transfer, Transfers

_log = structlog.get_logger(__name__)

AT_ONCE: Final = 2
POLL_SECONDS: Final = 2.0
_REPORT_SECONDS: Final = 1.0
_SILENT_REPORTS: Final = int(LEASE_SECONDS / _REPORT_SECONDS) // 2

Room = Callable[[Transfer], AbstractAsyncContextManager[tuple[Session, BlobStores]]]
"""Opens the database and the stores of a transfer's tenant, with an epoch."""


class TransferWorker:
    """One process's share. ``worker`` names it among all that share the control database."""

    def __init__(self, transfers: Transfers, room: Room, worker: str, *, many_tenants: bool) -> None:
        self._transfers = transfers
        self._room = room
        self._worker = worker
        self._many_tenants = many_tenants

    async def run(self, stopping: asyncio.Event, *, poll_seconds: float = POLL_SECONDS) -> None:
        """Claim and work until told to stop; then what is at work is left to the next worker."""
        running: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            while not stopping.is_set():
                try:
                    while len(running) < AT_ONCE and (claimed := await self._claim()) is not None:
                        task = group.create_task(self._work(claimed, stopping))
                        running.add(task)
                        task.add_done_callback(running.discard)
                except StorageError as error:
                    _log.warning("transfers_not_claimed", error=str(error))
                with suppress(TimeoutError):
                    async with asyncio.timeout(poll_seconds):
                        await stopping.wait()

    async def _claim(self) -> Transfer | None:
        return await self._transfers.claim(self._worker, many_tenants=self._many_tenants)

    async def _work(self, transfer: Transfer, stopping: asyncio.Event) -> None:
        _log.info("transfer_begun", id=transfer.id, kind=transfer.kind, bucket=transfer.bucket)
        try:
            is_over, error = await self._transfer(transfer, stopping)
        except (StorageError, StartupError, SecretError, UnknownError, OSError) as failure:
            is_over, error = True, getattr(failure, "message", None) or str(failure) or type(failure).__name__
        except Exception as failure:
            # Whatever it is, it is this transfer's.
            _log.exception("transfer_broke", id=transfer.id)
            is_over, error = True, type(failure).__name__
        with suppress(StorageError):
            if is_over:
                await self._transfers.end(transfer.id, self._worker, error)
            else:
                await self._transfers.release(transfer.id, self._worker)
        _log.info("transfer_ended" if is_over else "transfer_left", id=transfer.id, error=error)

    async def _transfer(self, transfer: Transfer, stopping: asyncio.Event) -> tuple[bool, str | None]:
        """Whether it is over, and why it failed."""
        pace = Pace(concurrency=transfer.concurrency, bytes_per_second=transfer.bytes_per_second)
        async with self._room(transfer) as (session, stores):
            mover = Mover(session, stores, pace, tenant_id=transfer.tenant_id)
            task = asyncio.create_task(_run(mover, session, stores, transfer))
            reporter = asyncio.create_task(self._report(transfer, mover, session, stopping))
            try:
                await asyncio.wait((task, reporter), return_when=asyncio.FIRST_COMPLETED)
                # The reporter ends first when somebody wants it to stop: the objects at work are finished.
                was_stopped = not task.done()
                if was_stopped:
                    pace.stopping.set()
                progress = await task
            finally:
                for each in (task, reporter):
                    each.cancel()
                await asyncio.gather(task, reporter, return_exceptions=True)
            left = await _left(session, transfer)
            await self._transfers.report(transfer.id, self._worker, _reached(transfer, progress, left))
        if was_stopped:
            return False, None
        if progress.failed:
            return True, f"{progress.failed} objects failed, the first: {progress.failures[0]}"
        return True, None

    async def _report(self, transfer: Transfer, mover: Mover, session: Session, stopping: asyncio.Event) -> None:
        """Until the operator, the process or the loss of the lease wants an end."""
        counted = await _left(session, transfer)
        unheard = 0
        while unheard < _SILENT_REPORTS:
            done = mover.progress.versions
            left = None if counted is None else max(counted - done, 0)
            try:
                wanted = await self._transfers.report(
                    transfer.id, self._worker, _reached(transfer, mover.progress, left)
                )
            except StorageError:
                unheard += 1
            else:
                unheard = 0
                if wanted != "running":
                    return
            with suppress(TimeoutError):
                async with asyncio.timeout(_REPORT_SECONDS):
                    await stopping.wait()
                    return


async def _run(mover: Mover, session: Session, stores: BlobStores, transfer: Transfer) -> Progress:
    if transfer.kind == "replicate":
        replica = stores.replicas.get(transfer.backend)
        if replica is None:
            raise StorageError("InvalidArgument", f"There is no replica {transfer.backend}.")
        return await mover.replicate(transfer.bucket, replica)
    if transfer.backend not in stores.stores:
        raise StorageError("InvalidArgument", f"There is no backend {transfer.backend}.")
    await moving.set_bucket_backend(session, transfer.bucket, transfer.backend)
    return await mover.move(transfer.bucket, transfer.backend)


async def _left(session: Session, transfer: Transfer) -> int | None:
    """What was elsewhere when the count was made; of a replication nobody knows without asking the replica."""
    if transfer.kind == "replicate":
        return None
    return (await moving.measure(session, transfer.bucket, transfer.backend)).versions


def _reached(transfer: Transfer, progress: Progress, left: int | None) -> Reached:
    return Reached(
        transfer.objects + progress.versions, transfer.size_bytes + progress.size_bytes, progress.failed, left
    )
