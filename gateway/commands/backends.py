"""``rowlock backends``: what is configured, and whether it can do what is asked of it."""

import asyncio
from pathlib import Path

from cyclopts import App

from gateway.blobs import backends
from gateway.blobs.examination import Finding, examine
from gateway.blobs.locator import Epoch
from gateway.commands.buckets import require_backend
from gateway.commands.config import load_settings
from gateway.compose import Place, open_stores
from gateway.config import Settings
from gateway.telemetry.logging import configure_logging

app = App(name="backends", help="List the backends, and try what they can do.")


@app.command(name="list")
def show(*, data_dir: Path | None = None) -> int:
    """List the backends that are configured.

    Parameters
    ----------
    data_dir
        Directory of the files.
    """
    settings = load_settings(data_dir=data_dir)
    for name, options in sorted(backends.described(settings).items()):
        note = "replica" if backends.is_replica(options) else ""
        print("\t".join((name, str(options.get("kind", "file")), note)).rstrip())
    return 0


@app.command(name="check")
def check(*names: str, data_dir: Path | None = None) -> int:
    """Write, read, and delete a few bytes in each backend and say in words what works. Status 1 if something does not.

    What it writes has the id of an epoch no server has, and is deleted again. Works beside a running server.

    Parameters
    ----------
    names
        Which; all of them if none is named.
    data_dir
        Directory of the files.
    """
    settings = load_settings(data_dir=data_dir)
    configure_logging(settings)
    described = backends.described(settings)
    for name in names:
        require_backend(settings, name, replica=name in described and backends.is_replica(described[name]))
    found = asyncio.run(_examine(settings, names or tuple(sorted(described))))
    for name, finding in found:
        print(f"{finding.level:>4}  {name}: {finding.text}")
    return 1 if any(finding.level == "FAIL" for _, finding in found) else 0


async def _examine(settings: Settings, names: tuple[str, ...]) -> list[tuple[str, Finding]]:
    # no statement is sent: the URL of the database plays no part
    stores = await asyncio.to_thread(open_stores, settings, Place("", 1), Epoch(0))
    try:
        chosen = {**stores.stores, **stores.replicas}
        return [(name, finding) for name in names for finding in await examine(chosen[name])]
    finally:
        await stores.close()
