"""How commands reach the database, and ``rowlock db``: its schema, bringing that up to date, and a way in with psql."""

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote, urlencode

from cyclopts import App, Parameter
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gateway.commands.config import load_settings
from gateway.config import Settings
from gateway.errors import StartupError
from gateway.metadata import programs
from gateway.metadata.directory import DataDirectory
from gateway.metadata.embedded import Databases, locate_running
from gateway.metadata.migrate import migrate, status
from gateway.startup import embedded_postgres
from gateway.tenants.control import PostgresControlDatabase

FAMILIES: Final = ("tenant", "control")

app = App(name="db", help="Open the database with psql, show its schema, or bring it up to date.")


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
    with control_url(settings) as url:
        async with PostgresControlDatabase(url, timeout_seconds=timeout) as control:
            yield control


@contextmanager
def control_url(settings: Settings) -> Iterator[str]:
    """Where tenants and keys are kept, for the gateway's login. Raises StartupError as :func:`connect_urls`."""
    if settings.control_database_url is not None:
        yield settings.control_database_url.get_secret_value()
        return
    with connect_urls(settings) as databases:
        yield databases.gateway_url


@contextmanager
def families(settings: Settings) -> Iterator[Mapping[str, str]]:
    """The schemas this server needs at its start, and the URL of their owner. Those of tenants are theirs."""
    if settings.control_database_url is not None:
        control = settings.control_database_url.get_secret_value()
        if settings.multi_tenant:
            yield {"control": control}
            return
        with connect_urls(settings) as databases:
            yield {"tenant": databases.owner_url, "control": control}
        return
    with connect_urls(settings) as databases:
        names = ("control",) if settings.multi_tenant else FAMILIES
        yield dict.fromkeys(names, databases.owner_url)


@app.command(name="status")
def show_status(*, data_dir: Path | None = None) -> int:
    """Show what was applied and what is missing. Leaves with status 1 when something is missing.

    Parameters
    ----------
    data_dir
        Directory of the embedded Postgres.
    """
    missing = 0
    with families(load_settings(data_dir=data_dir)) as urls:
        for family, url in urls.items():
            found = status(url, family)
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
    with families(load_settings(data_dir=data_dir)) as urls:
        for family, url in urls.items():
            for migration in migrate(url, family):
                print(f"applied {migration.label}")
    return 0


@app.command(name="psql")
def open_psql(
    *arguments: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)], data_dir: Path | None = None
) -> int:
    """Open the database with psql, as its owner; psql's own arguments may follow.

    With the embedded Postgres that is the superuser, on whom no policy is binding. Where no server runs, Postgres is
    started for as long as psql runs. Try `rowlock db psql -c "select * from storage.buckets"`, and
    `rowlock db psql < rules.sql`.

    Parameters
    ----------
    data_dir
        Directory of the embedded Postgres.
    """
    settings = load_settings(data_dir=data_dir)
    program = _find_psql(settings)
    with connect_urls(settings) as databases:
        place = conninfo_to_dict(databases.owner_url)
        # The password goes by the environment: arguments are for every user of the machine to see.
        password = place.pop("password", None)
        secret = {} if password is None else {"PGPASSWORD": str(password)}
        # Ctrl-C is for psql: it ends a query there, and must not end us and the server under it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return subprocess.run(  # noqa: S603 - psql, with the arguments of the person who typed them
                [program, f"--dbname={make_conninfo('', **place)}", *arguments],
                env={**os.environ, **secret},
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                check=False,
            ).returncode
        finally:
            signal.signal(signal.SIGINT, before)


@app.command(name="url")
def print_url(*, data_dir: Path | None = None) -> int:
    """Print the URL of the database, for tools other than psql. It holds the owner's password.

    Parameters
    ----------
    data_dir
        Directory of the embedded Postgres; it must be running.
    """
    settings = load_settings(data_dir=data_dir)
    if settings.database_url is not None:
        print(settings.database_url.get_secret_value())
        return 0
    running = locate_running(settings.data_dir)
    if running is None:
        raise StartupError(f"no embedded Postgres is running in {settings.data_dir}: start `rowlock serve`")
    place = {name: str(value) for name, value in conninfo_to_dict(running.owner_url).items()}
    login = f"{quote(place['user'], safe='')}:{quote(place['password'], safe='')}"
    query = urlencode({"host": place["host"], "port": place["port"]}, quote_via=quote, safe="/")
    print(f"postgresql://{login}@/{quote(place['dbname'], safe='')}?{query}")
    return 0


def _find_psql(settings: Settings) -> str:
    """The psql beside the embedded server's programs, else the machine's. Raises StartupError."""
    with suppress(StartupError):
        beside = programs.find(settings.postgres_bin, None).directory / "psql"
        if beside.is_file():
            return str(beside)
    found = shutil.which("psql")
    if found is None:
        raise StartupError("there is no psql on this machine: give another client what `rowlock db url` prints")
    return found
