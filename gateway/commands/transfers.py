"""``rowlock transfers``: moves and replications that the background worker of a running server does."""

from typing import Annotated, Literal

from cyclopts import App, Parameter
from pydantic import BaseModel

from gateway.admin import models
from gateway.administration import Administration
from gateway.commands.administer import AsJson, administer, show, show_all
from gateway.config import MEBIBYTE
from gateway.tenants.registry import DEFAULT_TENANT
from gateway.tenants.transfers import NewTransfer

app = App(name="transfers", help="Have buckets moved or replicated by the running server; pause and watch that.")

Whose = Annotated[str, Parameter(name="--tenant", help="Whose, where there are many tenants")]


@app.command(name="start")
def start(
    kind: Literal["move", "replicate"],
    bucket: str,
    backend: str,
    /,
    *,
    concurrency: int = 4,
    max_mib_per_second: float | None = None,
    tenant: Whose = DEFAULT_TENANT,
    as_json: AsJson = False,
) -> None:
    """Move a bucket to another backend, or copy its bytes to a replica, while it is in use.

    Parameters
    ----------
    kind
        `move`: new objects at once, then those it has. `replicate`: a copy for a bad day.
    bucket
        Its name.
    backend
        A name of ROWLOCK_BACKENDS.
    concurrency
        Objects at once.
    max_mib_per_second
        Most MiB a second, reading and writing counted together.
    as_json
        Print JSON.
    """
    rate = None if max_mib_per_second is None else max(1, int(max_mib_per_second * MEBIBYTE))
    new = NewTransfer(kind, bucket, backend, min(max(concurrency, 1), 64), rate)

    async def work(administration: Administration) -> models.Transfer:
        return models.Transfer.of(await administration.start_transfer(tenant, new))

    show(administer(work), as_json=as_json)


@app.command(name="list")
def show_list(*, tenant: Whose = DEFAULT_TENANT, as_json: AsJson = False) -> None:
    """List a tenant's transfers, the newest first."""

    async def work(administration: Administration) -> list[BaseModel]:
        return [models.Transfer.of(found) for found in await administration.transfers.page(tenant)]

    columns = ("id", "kind", "bucket", "backend", "status", "objects", "objects_left", "error")
    show_all(administer(work), *columns, as_json=as_json)


@app.command(name="show")
def show_one(number: int, /, *, tenant: Whose = DEFAULT_TENANT, as_json: AsJson = False) -> None:
    """Show how far a transfer is."""

    async def work(administration: Administration) -> models.Transfer:
        return models.Transfer.of(await administration.transfers.read(tenant, number))

    show(administer(work), as_json=as_json)


@app.command(name="pause")
def pause(number: int, /, *, tenant: Whose = DEFAULT_TENANT, as_json: AsJson = False) -> None:
    """Let a transfer rest after the objects at work."""

    async def work(administration: Administration) -> models.Transfer:
        return models.Transfer.of(await administration.transfers.pause(tenant, number))

    show(administer(work), as_json=as_json)


@app.command(name="resume")
def resume(number: int, /, *, tenant: Whose = DEFAULT_TENANT, as_json: AsJson = False) -> None:
    """Let a transfer that was paused or failed go on."""

    async def work(administration: Administration) -> models.Transfer:
        return models.Transfer.of(await administration.transfers.resume(tenant, number))

    show(administer(work), as_json=as_json)


@app.command(name="cancel")
def cancel(number: int, /, *, tenant: Whose = DEFAULT_TENANT, as_json: AsJson = False) -> None:
    """End a transfer. What was moved stays where it is now, and new objects go on to go there."""

    async def work(administration: Administration) -> models.Transfer:
        return models.Transfer.of(await administration.transfers.cancel(tenant, number))

    show(administer(work), as_json=as_json)
