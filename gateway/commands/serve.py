"""``rowlock serve``: run the server."""

import asyncio
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Final

from gateway import background, server
from gateway.admin import routes as admin_routes
from gateway.admin.application import Admin
from gateway.app import SINGLE_TENANT, Rowlock, logged
from gateway.blobs.backends import calls, require_sound
from gateway.commands.config import Flags, load_settings
from gateway.compose import control_database_url
from gateway.config import Settings
from gateway.context import SERVICE_ROLE
from gateway.errors import CATALOGUE, StartupError, StorageError
from gateway.many_tenants import ManyTenants
from gateway.metadata.embedded import Databases
from gateway.rest import routes as rest_routes
from gateway.s3 import model as s3_model
from gateway.startup import AccessKey, Program, worker_count
from gateway.startup import serve as run
from gateway.sts.front import STS_ACTIONS
from gateway.telemetry import failpoints, tracing
from gateway.telemetry.figures import Sets
from gateway.telemetry.logging import configure_logging
from gateway.telemetry.metrics import Board, count_into
from gateway.tenants.control import PostgresControlDatabase
from gateway.tenants.registry import NewAccessKey, PostgresRegistry, RegistryError
from gateway.tenants.secrets import MasterKey, SecretError
from gateway.wire.drain import Application


def serve(*, flags: Flags | None = None) -> int:
    """Run the server."""
    settings = load_settings(**asdict(flags or Flags()))
    configure_logging(settings)
    require_sound(settings)
    board = None if settings.metrics_port is None else make_board(settings)
    program = Program(partial(run_worker, board=board), partial(run_background, board=board), ensure_first_key)
    return run(settings, program)


def make_board(settings: Settings) -> Board:
    """Where all processes count. Raises StartupError."""
    operations = [
        *(("s3", name) for name in s3_model.load()),
        *(("rest", route.name) for route in rest_routes.ROUTES),
        *(("rest", name) for name in ("openapi", "preflight")),
        *(("sts", name) for name in STS_ACTIONS),
        *(("admin", route.name) for route in admin_routes.ROUTES),
    ]
    processes = [*(f"worker {number}" for number in range(worker_count(settings))), "background worker"]
    return Board(Sets(operations, tuple(CATALOGUE), calls(settings)), processes)


def run_worker(
    settings: Settings,
    listener: socket.socket,
    databases: Databases,
    index: int,
    rest: socket.socket | None = None,
    board: Board | None = None,
) -> None:
    """The life of one worker process; ``rest`` is the JSON API's own port, bound, and ``board`` where it counts."""
    failpoints.arm(os.environ.get(failpoints.ENVIRONMENT_VARIABLE, ""))
    _count(board, index)
    if tracing.is_wanted(settings):
        tracing.start()
    if rest is not None:
        settings = settings.model_copy(update={"rest_port": rest.getsockname()[1]})
    application = ManyTenants if settings.multi_tenant else Rowlock
    status = server.run_worker(
        settings,
        listener,
        lambda chosen: application(chosen, databases.gateway_url),
        further=() if rest is None else (rest,),
    )
    tracing.stop()
    if status:
        raise SystemExit(status)


def run_background(
    settings: Settings,
    databases: Databases,
    admin: socket.socket | None = None,
    metrics: socket.socket | None = None,
    board: Board | None = None,
) -> None:
    """The life of the background worker; ``admin`` and ``metrics`` are where it serves these."""
    failpoints.arm(os.environ.get(failpoints.ENVIRONMENT_VARIABLE, ""))
    if board is not None:
        _count(board, len(board.processes) - 1)

    def servers() -> Iterator[background.Server]:
        if admin is not None:
            yield _Served(settings, logged(Admin(settings, databases.gateway_url)), admin)
        if metrics is not None and board is not None:
            # prometheus_client is loaded by who serves it
            from gateway.telemetry.scrape import MetricsApplication

            yield _Served(
                settings.model_copy(update={"tls_cert": None, "tls_key": None}), MetricsApplication(board), metrics
            )

    background.run_background(settings, databases.gateway_url, servers)


def _count(board: Board | None, place: int) -> None:
    if board is None:
        return
    recorder = board.enter(place, os.getpid())
    recorder.add("rowlock_process_starts")
    count_into(recorder)


class _Served:
    """An application on a port of its own, beside the background work."""

    def __init__(self, settings: Settings, application: Application, listener: socket.socket) -> None:
        self._worker: Final = server.Worker(settings, application)
        self._listener: Final = listener

    async def serve(self) -> None:
        await self._worker.serve(self._listener)

    def stop(self) -> None:
        self._worker.stop()


def ensure_first_key(settings: Settings, databases: Databases, key: AccessKey) -> bool:
    """Store the first key: always when the settings name it, else only where there is no key at all.

    Returns whether it was stored. Raises StartupError.
    """
    return asyncio.run(_ensure_first_key(settings, databases, key))


async def _ensure_first_key(settings: Settings, databases: Databases, key: AccessKey) -> bool:
    new = NewAccessKey(access_key_id=key.access_key_id, secret=key.secret_access_key, role=SERVICE_ROLE)
    timeout = settings.database_pool_timeout_seconds
    try:
        master_key = MasterKey.load(settings, settings.data_dir)
        url = control_database_url(settings, databases.gateway_url)
        async with PostgresControlDatabase(url, timeout_seconds=timeout) as control:
            registry = PostgresRegistry(control, master_key, SINGLE_TENANT)
            if settings.access_key_id is not None:
                await registry.put_key(new)
                return True
            if await registry.list_keys(limit=1):
                return False
            await registry.create_key(new)
            return True
    except (RegistryError, SecretError, StorageError) as error:
        raise StartupError(f"cannot store the first access key: {error}") from error
