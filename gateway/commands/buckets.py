"""``rowlock buckets``: which backend the bytes of a bucket go to."""

import asyncio
from pathlib import Path

from cyclopts import App

from gateway.blobs import backends
from gateway.commands.config import load_settings
from gateway.commands.place import OfTenant, located
from gateway.compose import Place, open_session
from gateway.config import Settings
from gateway.errors import StartupError, StorageError
from gateway.metadata import moving

app = App(name="buckets", help="Show and choose the backends of buckets.")


@app.command(name="list")
def show(*, tenant: OfTenant = None, data_dir: Path | None = None) -> int:
    """Show every bucket and the backend its new objects go to.

    Parameters
    ----------
    data_dir
        Directory of the files and the embedded Postgres.
    """
    settings = load_settings(data_dir=data_dir)
    with located(settings, tenant) as found:
        for bucket, backend in asyncio.run(_list(settings, found.place)):
            print(f"{bucket}\t{backend or f'{settings.default_backend} (default)'}")
    return 0


@app.command(name="set-backend")
def set_backend(bucket: str, backend: str, *, tenant: OfTenant = None, data_dir: Path | None = None) -> int:
    """Let new objects of a bucket go to another backend, at once; those it has stay where they are and are served.

    `rowlock move-bucket` moves them too.

    Parameters
    ----------
    bucket
        Its name.
    backend
        A name of ROWLOCK_BACKENDS, or `default`: whatever ROWLOCK_DEFAULT_BACKEND says.
    data_dir
        Directory of the files and the embedded Postgres.
    """
    settings = load_settings(data_dir=data_dir)
    chosen = None if backend == "default" else backend
    if chosen is not None:
        require_backend(settings, chosen, replica=False)
    with located(settings, tenant) as found:
        try:
            asyncio.run(_set(settings, found.place, bucket, chosen))
        except StorageError as error:
            raise StartupError(f"{bucket}: {error.message}") from error
    return 0


def require_backend(settings: Settings, name: str, *, replica: bool) -> None:
    """Raises StartupError unless there is a backend of this name and purpose."""
    options = backends.described(settings).get(name)
    if options is None:
        raise StartupError(f"there is no backend {name!r}")
    if backends.is_replica(options) != replica:
        wanted = '"replica": true' if replica else 'no "replica"'
        raise StartupError(f"backend {name}: this needs a backend with {wanted}")


async def _list(settings: Settings, place: Place) -> list[tuple[str, str | None]]:
    session = open_session(settings, place, pool_size=1)
    await session.open()
    try:
        return await moving.bucket_backends(session)
    finally:
        await session.close()


async def _set(settings: Settings, place: Place, bucket: str, backend: str | None) -> None:
    session = open_session(settings, place, pool_size=1)
    await session.open()
    try:
        await moving.set_bucket_backend(session, bucket, backend)
    finally:
        await session.close()
