"""The background worker: one process beside the workers that sweeps and expires at intervals until SIGTERM.

With many tenants it does so for each of them, and brings their databases up to date. It serves the admin API too, so
that no worker's requests and no worker's end have to do with it.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Final, Protocol

import structlog

from gateway.blobs.locator import BlobStores
from gateway.compose import Place, control_database_url, engine_room, host_name, writing_room
from gateway.config import Settings
from gateway.errors import StorageError
from gateway.jobs import lifecycle
from gateway.jobs.cdn import PurgeEndpoint, PurgeRelay
from gateway.jobs.lifecycle import LifecycleEngine
from gateway.jobs.preparation import Preparer, fingerprint
from gateway.jobs.rounds import work_round
from gateway.jobs.sweeper import Sweeper, SweepPolicy
from gateway.jobs.transfers import TransferWorker
from gateway.metadata import cdn
from gateway.metadata.lifecycle_rules import Calendar
from gateway.metadata.session import Session
from gateway.telemetry import metrics
from gateway.tenants.control import Actor, PostgresControlDatabase, acting
from gateway.tenants.directory import StoredTenant, TenantDirectory
from gateway.tenants.migrations import MigrationStates
from gateway.tenants.registry import DEFAULT_TENANT
from gateway.tenants.secrets import MasterKey
from gateway.tenants.transfers import Transfer, Transfers

_log = structlog.get_logger(__name__)

CDN_SECONDS: Final = 1.0


class Server(Protocol):
    """What serves the admin API, or the metrics, in this process."""

    async def serve(self) -> None: ...
    def stop(self) -> None: ...


def run_background(settings: Settings, gateway_url: str, beside: Callable[[], Iterable[Server]] = tuple) -> None:
    """Work until SIGTERM. Runs in a process of its own, in its main thread. ``beside`` makes what serves beside it."""
    asyncio.run(_run(settings, gateway_url, beside))


async def _run(settings: Settings, gateway_url: str, beside: Callable[[], Iterable[Server]]) -> None:
    stopping = asyncio.Event()
    servers = tuple(beside())

    def stop() -> None:
        stopping.set()
        for server in servers:
            server.stop()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    async with asyncio.TaskGroup() as group:
        for server in servers:
            group.create_task(server.serve())
        group.create_task(_transfers(settings, gateway_url, stopping))
        if settings.multi_tenant:
            group.create_task(_many_tenants(settings, gateway_url, stopping))
        else:
            group.create_task(_one_tenant(settings, gateway_url, stopping))


async def _one_tenant(settings: Settings, gateway_url: str, stopping: asyncio.Event) -> None:
    sweep_seconds, day_seconds = settings.sweep_interval_seconds, settings.lifecycle_day_seconds
    expire_seconds = lifecycle.interval_seconds(day_seconds, sweep_seconds)
    async with engine_room(settings, Place.of_single_tenant(settings, gateway_url)) as (session, stores):
        sweeper = Sweeper(session, stores, sweep_policy(settings))
        engine = LifecycleEngine(session, Calendar(day_seconds))
        host = host_name(settings)

        async def sweep() -> None:
            _show_garbage(await _waiting_garbage(sweeper))
            await _sweep(sweeper)

        async with asyncio.TaskGroup() as group:
            group.create_task(_repeat("sweep", host, sweep, sweep_seconds, stopping))
            group.create_task(_repeat("lifecycle", host, lambda: _expire(engine, stopping), expire_seconds, stopping))
            endpoint = PurgeEndpoint.of(settings, DEFAULT_TENANT)
            relay = partial(cdn.leave, session) if endpoint is None else PurgeRelay(session, endpoint).run
            relay_seconds = sweep_seconds if endpoint is None else CDN_SECONDS
            group.create_task(_repeat("cdn", host, relay, relay_seconds, stopping))


async def _many_tenants(settings: Settings, control_url: str, stopping: asyncio.Event) -> None:
    sweep_seconds, day_seconds = settings.sweep_interval_seconds, settings.lifecycle_day_seconds
    seconds = lifecycle.interval_seconds(day_seconds, sweep_seconds)
    timeout = settings.database_pool_timeout_seconds
    async with AsyncExitStack() as stack:
        control = await stack.enter_async_context(PostgresControlDatabase(control_url, timeout_seconds=timeout))
        states = MigrationStates(control)
        directory = TenantDirectory(control, await asyncio.to_thread(MasterKey.load, settings, settings.data_dir))
        preparer = Preparer(states)
        stack.push_async_callback(preparer.close)

        async def work(tenant: StoredTenant) -> None:
            with acting(Actor("background")):
                found = await states.find(tenant.id)
                if found is None or not found[0].is_current(fingerprint(tenant)):
                    if found is not None and not found[1]:
                        return
                    await preparer.prepare(tenant)
            async with engine_room(settings, Place.of_tenant(settings, tenant)) as (session, stores):
                sweeper = Sweeper(session, stores, sweep_policy(settings))
                garbage.append(await _waiting_garbage(sweeper))
                await _sweep(sweeper)
                await _expire(LifecycleEngine(session, Calendar(day_seconds)), stopping)
                endpoint = PurgeEndpoint.of(settings, tenant.id)
                await (cdn.leave(session) if endpoint is None else PurgeRelay(session, endpoint).run())

        garbage: list[int] = []

        async def work_for_all() -> None:
            garbage.clear()
            await work_round(directory, work, stopping=stopping)
            _show_garbage(sum(garbage))

        await _repeat("round", host_name(settings), work_for_all, seconds, stopping)


async def _waiting_garbage(sweeper: Sweeper) -> int:
    """Before the sweep, which may fail; 0 where nobody counts."""
    return 0 if metrics.recorder() is None else await sweeper.waiting_garbage()


async def _sweep(sweeper: Sweeper) -> None:
    result = await sweeper.sweep()
    recorder = metrics.recorder()
    if recorder is not None:
        recorder.add("rowlock_swept_blobs", result.destroyed_blobs, ("destroyed",))
        recorder.add("rowlock_swept_blobs", result.quarantined_blobs, ("quarantined",))
        recorder.add("rowlock_swept_blobs", result.purged_blobs, ("purged",))


async def _expire(engine: LifecycleEngine, stopping: asyncio.Event) -> None:
    done = await engine.run(stopping)
    recorder = metrics.recorder()
    if recorder is not None:
        recorder.add("rowlock_lifecycle_removals", done.expired + done.noncurrent + done.markers + done.uploads)


def _show_garbage(blobs: int) -> None:
    recorder = metrics.recorder()
    if recorder is not None:
        recorder.set("rowlock_garbage_blobs", blobs)


async def _transfers(settings: Settings, gateway_url: str, stopping: asyncio.Event) -> None:
    """Move and replicate what operators asked for over the admin API."""
    timeout = settings.database_pool_timeout_seconds
    url = control_database_url(settings, gateway_url)
    async with PostgresControlDatabase(url, timeout_seconds=timeout) as control:
        master_key = await asyncio.to_thread(MasterKey.load, settings, settings.data_dir)
        directory = TenantDirectory(control, master_key)

        @asynccontextmanager
        async def room(transfer: Transfer) -> AsyncIterator[tuple[Session, BlobStores]]:
            place = Place.of_single_tenant(settings, gateway_url)
            if settings.multi_tenant:
                place = Place.of_tenant(settings, await directory.read(transfer.tenant_id))
            async with writing_room(settings, place, f"transfer-{transfer.id}") as opened:
                yield opened

        worker = TransferWorker(
            Transfers(control),
            room,
            f"{host_name(settings)}:{os.getpid()}",
            many_tenants=settings.multi_tenant,
        )
        await worker.run(stopping)


def sweep_policy(settings: Settings) -> SweepPolicy:
    """How long things are kept."""
    return SweepPolicy(
        garbage_grace_seconds=settings.garbage_grace_seconds,
        epoch_dead_seconds=settings.epoch_dead_seconds,
        quarantine_seconds=settings.quarantine_seconds,
    )


async def _repeat(
    job: str, host: str, work: Callable[[], Awaitable[object]], interval_seconds: float, stopping: asyncio.Event
) -> None:
    """Work, rest, and work again until told to stop. A round that fails is reported; the next one goes on."""
    while not stopping.is_set():
        began, failed = time.monotonic(), False
        try:
            await work()
        except (StorageError, OSError) as error:
            failed = True
            _log.warning(f"{job}_failed", host=host, error=str(error))
        recorder = metrics.recorder()
        if recorder is not None:
            recorder.round_ended(job, time.monotonic() - began, failed=failed)
        with suppress(TimeoutError):
            async with asyncio.timeout(interval_seconds):
                await stopping.wait()
