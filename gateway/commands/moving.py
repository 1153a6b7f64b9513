"""``rowlock move-bucket`` and ``rowlock replicate``: bytes from one backend to another, while they are in use."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from gateway.blobs.locator import BlobStores
from gateway.commands.buckets import require_backend
from gateway.commands.config import load_settings
from gateway.commands.place import Located, OfTenant, located
from gateway.commands.progress import every_second
from gateway.compose import writing_room
from gateway.config import MEBIBYTE, Settings
from gateway.errors import StartupError, StorageError
from gateway.jobs.mover import Mover, Pace, Progress
from gateway.metadata import moving
from gateway.metadata.session import Session
from gateway.telemetry.logging import configure_logging

_PAUSED: Final = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """The backend that bytes are to be brought to."""

    backend: str
    is_replica: bool


Work = Callable[[Session, BlobStores, Pace, str], Awaitable[Progress]]
Rate = Annotated[float | None, Parameter(help="Most MiB a second, reading and writing counted together")]
Concurrency = Annotated[int, Parameter(help="Objects at once")]
DataDirectory = Annotated[Path | None, Parameter(help="Directory of the files and the embedded Postgres")]


def move_bucket(
    bucket: str,
    backend: str,
    *,
    concurrency: Concurrency = 4,
    max_mib_per_second: Rate = None,
    tenant: OfTenant = None,
    data_dir: DataDirectory = None,
) -> int:
    """Move a bucket to another backend while it is in use: new objects at once, then those it has.

    Each object is copied, read back and compared, and handed over in one transaction; its old bytes become garbage.
    Ctrl-C pauses after the objects at work (status 3). Run it again to go on: what was moved is not moved twice.

    Parameters
    ----------
    bucket
        Its name.
    backend
        A name of ROWLOCK_BACKENDS.
    """
    settings = load_settings(data_dir=data_dir)

    async def work(session: Session, stores: BlobStores, pace: Pace, tenant_id: str) -> Progress:
        await moving.set_bucket_backend(session, bucket, backend)
        left = await moving.measure(session, bucket, backend)
        print(f"{left.versions} objects, {left.size_bytes} bytes to move", file=sys.stderr)
        progress = await Mover(session, stores, pace, tenant_id=tenant_id).move(bucket, backend)
        left = await moving.measure(session, bucket, backend)
        print(f"left: {left.versions} objects, {left.open_uploads} open uploads that began elsewhere")
        return progress

    return _run(settings, tenant, Wanted(backend, is_replica=False), _pace(concurrency, max_mib_per_second), work)


def replicate(
    bucket: str,
    replica: str,
    *,
    concurrency: Concurrency = 4,
    max_mib_per_second: Rate = None,
    tenant: OfTenant = None,
    data_dir: DataDirectory = None,
) -> int:
    """Copy the bytes of a bucket to a replica: a backend nothing is served from, kept for a bad day.

    What is there already is left alone, so that each further run copies what is new. Back up the database too.

    Parameters
    ----------
    bucket
        Its name.
    replica
        A name of ROWLOCK_BACKENDS, with "replica": true.
    """
    settings = load_settings(data_dir=data_dir)

    async def work(session: Session, stores: BlobStores, pace: Pace, tenant_id: str) -> Progress:
        return await Mover(session, stores, pace, tenant_id=tenant_id).replicate(bucket, stores.replicas[replica])

    return _run(settings, tenant, Wanted(replica, is_replica=True), _pace(concurrency, max_mib_per_second), work)


def _pace(concurrency: int, max_mib_per_second: float | None) -> Pace:
    rate = None if max_mib_per_second is None else max_mib_per_second * MEBIBYTE
    return Pace(concurrency=concurrency, bytes_per_second=rate, report=every_second(_told))


def _run(settings: Settings, tenant: str | None, wanted: Wanted, pace: Pace, work: Work) -> int:
    configure_logging(settings)
    name = "replicator" if wanted.is_replica else "mover"
    with located(settings, tenant) as place:
        require_backend(settings, wanted.backend, replica=wanted.is_replica, own=place.place.backends)
        try:
            progress = asyncio.run(_work(settings, place, name, pace, work))
        except StorageError as error:
            raise StartupError(error.message) from error
    for failure in progress.failures:
        print(f"failed: {failure}")
    print(
        f"{progress.versions} objects, {progress.size_bytes} bytes done; {progress.already_there} there before, "
        f"{progress.changed} changed meanwhile, {progress.failed} failed"
    )
    if pace.stopping.is_set():
        print("paused: run the same command again to go on")
        return _PAUSED
    return 1 if progress.failed else 0


async def _work(settings: Settings, found: Located, name: str, pace: Pace, work: Work) -> Progress:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, pace.stopping.set)
    async with writing_room(settings, found.place, name) as (session, stores):
        return await work(session, stores, pace, found.tenant_id)


def _told(progress: Progress) -> str:
    done = f"{progress.versions} objects, {progress.size_bytes} bytes"
    return f"{done}, {progress.changed} changed, {progress.failed} failed"
