"""``rowlock buckets``: which backend the bytes of a bucket go to, and where reads of it are redirected."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from cyclopts import App

from gateway.blobs import backends
from gateway.commands.config import load_settings
from gateway.commands.database import connect_urls
from gateway.compose import Place, open_session
from gateway.config import Settings
from gateway.errors import StartupError, StorageError
from gateway.metadata import cdn, moving
from gateway.metadata.cdn import Redirect
from gateway.metadata.session import Session

app = App(name="buckets", help="Show and choose the backends and redirects of buckets.")


@app.command(name="list")
def show(*, data_dir: Path | None = None) -> int:
    """Show every bucket, the backend its new objects go to, and where its reads are redirected.

    Parameters
    ----------
    data_dir
        Directory of the files and the embedded Postgres.
    """
    settings = load_settings(data_dir=data_dir)
    with connect_urls(settings) as urls:
        for bucket, backend, redirect in asyncio.run(
            _list(settings, Place.of_single_tenant(settings, urls.gateway_url))
        ):
            told = "" if redirect is None else f"\tredirect: {redirect}"
            print(f"{bucket}\t{backend or f'{settings.default_backend} (default)'}{told}")
    return 0


@app.command(name="set-backend")
def set_backend(bucket: str, backend: str, *, data_dir: Path | None = None) -> int:
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
    with connect_urls(settings) as urls:
        try:
            asyncio.run(_set(settings, Place.of_single_tenant(settings, urls.gateway_url), bucket, chosen))
        except StorageError as error:
            raise StartupError(f"{bucket}: {error.message}") from error
    return 0


@app.command(name="set-redirect")
def set_redirect(bucket: str, to: Literal["backend", "cdn", "off"], *, data_dir: Path | None = None) -> int:
    """Redirect reads of larger objects of a bucket, by URL and by the JSON API, within five seconds.

    Parameters
    ----------
    bucket
        Its name.
    to
        `backend`: to a short-lived URL of the S3 store that has the bytes. `cdn`: to ROWLOCK_CDN_URL, if the bucket is
        public. `off`: nowhere.
    data_dir
        Directory of the files and the embedded Postgres.
    """
    settings = load_settings(data_dir=data_dir)
    if to == "cdn" and settings.cdn_url is None:
        raise StartupError("there is no CDN: set ROWLOCK_CDN_URL")
    with connect_urls(settings) as urls:
        try:
            place = Place.of_single_tenant(settings, urls.gateway_url)
            asyncio.run(_redirect(settings, place, bucket, None if to == "off" else Redirect(to)))
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


async def _list(settings: Settings, place: Place) -> list[tuple[str, str | None, Redirect | None]]:
    async with _session(settings, place) as session:
        redirects = await cdn.bucket_redirects(session)
        return [(bucket, backend, redirects.get(bucket)) for bucket, backend in await moving.bucket_backends(session)]


async def _set(settings: Settings, place: Place, bucket: str, backend: str | None) -> None:
    async with _session(settings, place) as session:
        await moving.set_bucket_backend(session, bucket, backend)


async def _redirect(settings: Settings, place: Place, bucket: str, to: Redirect | None) -> None:
    async with _session(settings, place) as session:
        await cdn.set_bucket_redirect(session, bucket, to)


@asynccontextmanager
async def _session(settings: Settings, place: Place) -> AsyncIterator[Session]:
    session = open_session(settings, place, pool_size=1)
    await session.open()
    try:
        yield session
    finally:
        await session.close()
