"""How commands reach the database, and ``rowlock db``: what schema it has, and bringing it up to date."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from cyclopts import App

from gateway.commands.config import load_settings
from gateway.config import Settings
from gateway.errors import StartupError
from gateway.metadata.directory import DataDirectory
from gateway.metadata.embedded import Databases, locate_running
from gateway.metadata.migrate import migrate, status
from gateway.startup import embedded_postgres
from gateway.tenants.control import PostgresControlDatabase

FAMILIES: Final = ("tenant", "control")

app = App(name="db", help="Show the schema of the database, or bring it up to date.")


@contextmanager
def connect_urls(settings: Settings) -> Iterator[Databases]:
    """How to connect: ``DATABASE_URL``, or the embedded server that runs, or that server started for this while.

    Raises StartupError when there is no database in the data directory, or its server belongs to another user.
    """
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        yield Databases(url, url)
        return
    running = locate_running(settings.data_dir)
    if running is not None:
        yield running
        return
    if not (settings.data_dir / "postgres").is_dir():
        raise StartupError(f"there is no database in {settings.data_dir}: set --data-dir, or run `rowlock serve` first")
    with DataDirectory.hold(settings.data_dir) as directory, embedded_postgres(settings, directory) as server:
        yield server.databases


@asynccontextmanager
async def connect_control(settings: Settings) -> AsyncIterator[PostgresControlDatabase]:
    """The registry (``PostgresControlDatabase``), open for the body of the ``with``; uses the gateway's own login."""
    timeout = settings.database_pool_timeout_seconds
    with connect_urls(settings) as databases:
        async with PostgresControlDatabase(databases.gateway_url, timeout_seconds=timeout) as control:
            yield control


@app.command(name="status")
def show_status(*, data_dir: Path | None = None) -> int:
    """Show what was applied and what is missing. Leaves with status 1 when something is missing.

    Parameters
    ----------
    data_dir
        Directory of the embedded Postgres.
    """
    missing = 0
    with connect_urls(load_settings(data_dir=data_dir)) as databases:
        for family in FAMILIES:
            found = status(databases.owner_url, family)
            missing += len(found.pending)
            newest = f"{found.applied[-1].id:04}_{found.applied[-1].name}" if found.applied else "none"
            print(f"{family}: {len(found.applied)} applied (newest {newest}), {len(found.pending)} missing")
            for migration in found.pending:
                print(f"  missing {migration.label}")
    return 1 if missing else 0


@app.command(name="migrate")
def apply(*, data_dir: Path | None = None) -> int:
    """Apply what is missing. ``rowlock serve`` does this itself when its role may.

    Give DATABASE_URL of the schema's owner here when the gateway's own role may not change the schema.

    Parameters
    ----------
    data_dir
        Directory of the embedded Postgres.
    """
    with connect_urls(load_settings(data_dir=data_dir)) as databases:
        for family in FAMILIES:
            for migration in migrate(databases.owner_url, family):
                print(f"applied {migration.label}")
    return 0
