"""The background worker: one process beside the workers that sweeps and expires at intervals until SIGTERM."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from gateway.compose import engine_room, host_name
from gateway.config import Settings
from gateway.errors import StorageError
from gateway.jobs import lifecycle
from gateway.jobs.lifecycle import LifecycleEngine
from gateway.jobs.sweeper import Sweeper, SweepPolicy
from gateway.metadata.lifecycle_rules import Calendar

_log = structlog.get_logger(__name__)


def run_background(settings: Settings, gateway_url: str) -> None:
    """Sweep until SIGTERM. Runs in a process of its own, in its main thread."""
    asyncio.run(_run(settings, gateway_url))


async def _run(settings: Settings, gateway_url: str) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    policy = SweepPolicy(
        garbage_grace_seconds=settings.garbage_grace_seconds,
        epoch_dead_seconds=settings.epoch_dead_seconds,
        quarantine_seconds=settings.quarantine_seconds,
    )
    sweep_seconds, day_seconds = settings.sweep_interval_seconds, settings.lifecycle_day_seconds
    expire_seconds = lifecycle.interval_seconds(day_seconds, sweep_seconds)
    async with engine_room(settings, gateway_url) as (session, stores):
        sweeper = Sweeper(session, stores, policy)
        engine = LifecycleEngine(session, Calendar(day_seconds))
        host = host_name(settings)
        async with asyncio.TaskGroup() as group:
            group.create_task(_repeat("sweep_failed", host, sweeper.sweep, sweep_seconds, stopping))
            group.create_task(_repeat("lifecycle_failed", host, lambda: engine.run(stopping), expire_seconds, stopping))


async def _repeat(
    failure: str, host: str, work: Callable[[], Awaitable[object]], interval_seconds: float, stopping: asyncio.Event
) -> None:
    """Work, rest, and work again until told to stop. A round that fails is reported; the next one goes on."""
    while not stopping.is_set():
        try:
            await work()
        except (StorageError, OSError) as error:
            _log.warning(failure, host=host, error=str(error))
        with suppress(TimeoutError):
            async with asyncio.timeout(interval_seconds):
                await stopping.wait()
