"""``rowlock fsck``: prove that every row has its bytes and every blob its owner."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway.commands.buckets import require_backend
from gateway.commands.config import load_settings
from gateway.commands.place import Located, OfTenant, located
from gateway.compose import engine_room
from gateway.config import Settings
from gateway.encryption.vault import Vault
from gateway.jobs.fsck import Fsck, FsckReport
from gateway.telemetry.logging import configure_logging
from gateway.tenants.secrets import MasterKey


def fsck(
    *,
    data_dir: Annotated[Path | None, Parameter(help="Directory of the files and the embedded Postgres")] = None,
    checksums: Annotated[bool, Parameter(help="Read every byte and compare it with what was stored")] = False,
    quarantine: Annotated[bool, Parameter(help="Put blobs nobody owns into quarantine")] = False,
    backend: Annotated[str | None, Parameter(help="Look only at what is in this backend")] = None,
    tenant: OfTenant = None,
    as_json: Annotated[bool, Parameter(name="--json", help="Print the report as JSON")] = False,
) -> int:
    """Compare the database and the stores of bytes in both directions.

    Works beside a running server or alone. Exit status 0: clean; 1: something is missing, wrong or ownerless.
    """
    settings = load_settings(data_dir=data_dir)
    configure_logging(settings)
    with located(settings, tenant) as place:
        if backend is not None:
            require_backend(settings, backend, replica=False, own=place.place.backends)
        report = asyncio.run(_check(settings, place, backend, checksums=checksums, quarantine=quarantine))
    if as_json:
        print(json.dumps({**asdict(report), "clean": report.clean}))
    else:
        for finding in report.findings:
            print(finding)
        print(
            f"{report.objects} objects in stores, {report.inline_objects} in rows, {report.parts} parts, "
            f"{report.pending} pending uploads, {report.blobs} blobs ({report.in_flight} in flight): "
            f"{report.missing} missing, {report.wrong} wrong, {report.ownerless} ownerless"
        )
    return 0 if report.clean else 1


async def _check(
    settings: Settings, located_: Located, backend: str | None, *, checksums: bool, quarantine: bool
) -> FsckReport:
    vault = Vault(MasterKey.load(settings, settings.data_dir), located_.tenant_id) if checksums else None
    async with engine_room(settings, located_.place) as (session, stores):
        check = Fsck(session, stores, read_bytes=checksums, quarantine=quarantine, vault=vault, backend=backend)
        return await check.run()
