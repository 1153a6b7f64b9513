"""The background worker: one process beside the workers that sweeps at intervals until SIGTERM."""

import asyncio
import signal
from contextlib import suppress

import structlog

from gateway.compose import engine_room, host_name
from gateway.config import Settings
from gateway.errors import StorageError
from gateway.jobs.sweeper import Sweeper, SweepPolicy

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
    async with engine_room(settings, gateway_url) as (session, stores):
        sweeper = Sweeper(session, stores, policy)
        while not stopping.is_set():
            try:
                await sweeper.sweep()
            except (StorageError, OSError) as error:
                _log.warning("sweep_failed", host=host_name(settings), error=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(settings.sweep_interval_seconds):
                    await stopping.wait()
