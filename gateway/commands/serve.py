"""``rowlock serve``: run the server."""

import asyncio
import os
import socket
from dataclasses import asdict
from functools import partial
from typing import Final

from gateway import background, server
from gateway.admin.application import Admin
from gateway.app import SINGLE_TENANT, Rowlock, logged
from gateway.blobs.backends import require_sound
from gateway.commands.config import Flags, load_settings
from gateway.compose import control_database_url
from gateway.config import Settings
from gateway.context import SERVICE_ROLE
from gateway.errors import StartupError, StorageError
from gateway.many_tenants import ManyTenants
from gateway.metadata.embedded import Databases
from gateway.startup import AccessKey, Program
from gateway.startup import serve as run
from gateway.telemetry import failpoints
from gateway.telemetry.logging import configure_logging
from gateway.tenants.control import PostgresControlDatabase
from gateway.tenants.registry import NewAccessKey, PostgresRegistry, RegistryError
from gateway.tenants.secrets import MasterKey, SecretError


def serve(*, flags: Flags | None = None) -> int:
    """Run the server."""
    settings = load_settings(**asdict(flags or Flags()))
    configure_logging(settings)
    require_sound(settings)
    return run(settings, Program(run_worker, run_background, ensure_first_key))


def run_worker(
    settings: Settings, listener: socket.socket, databases: Databases, index: int, rest: socket.socket | None = None
) -> None:
    """The life of one worker process; ``rest`` is the JSON API's own port, bound."""
    failpoints.arm(os.environ.get(failpoints.ENVIRONMENT_VARIABLE, ""))
    if rest is not None:
        settings = settings.model_copy(update={"rest_port": rest.getsockname()[1]})
    application = ManyTenants if settings.multi_tenant else Rowlock
    status = server.run_worker(
        settings,
        listener,
        lambda chosen: application(chosen, databases.gateway_url),
        further=() if rest is None else (rest,),
    )
    if status:
        raise SystemExit(status)


def run_background(settings: Settings, databases: Databases, admin: socket.socket | None = None) -> None:
    """The life of the background worker; ``admin`` is where it serves the admin API."""
    failpoints.arm(os.environ.get(failpoints.ENVIRONMENT_VARIABLE, ""))
    serve_admin = None if admin is None else partial(_AdminServer, settings, databases.gateway_url, admin)
    background.run_background(settings, databases.gateway_url, serve_admin)


class _AdminServer:
    def __init__(self, settings: Settings, gateway_url: str, listener: socket.socket) -> None:
        self._worker: Final = server.Worker(settings, logged(Admin(settings, gateway_url)))
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
