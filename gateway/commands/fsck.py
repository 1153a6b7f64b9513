"""``rowlock fsck``: prove that every row has its bytes and every blob its owner."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway.app import SINGLE_TENANT
from gateway.commands.config import load_settings
from gateway.commands.database import connect_urls
from gateway.compose import Place, engine_room
from gateway.config import Settings
from gateway.encryption.vault import Vault
from gateway.jobs.fsck import Fsck, FsckReport
from gateway.tenants.secrets import MasterKey


def fsck(
    *,
    data_dir: Annotated[Path | None, Parameter(help="Directory of the files and the embedded Postgres")] = None,
    checksums: Annotated[bool, Parameter(help="Read every byte and compare it with what was stored")] = False,
    quarantine: Annotated[bool, Parameter(help="Put blobs nobody owns into quarantine")] = False,
    as_json: Annotated[bool, Parameter(name="--json", help="Print the report as JSON")] = False,
) -> int:
    """Compare the database and the stores of bytes in both directions.

    Works beside a running server or alone. Exit status 0: clean; 1: something is missing, wrong or ownerless.
    """
    settings = load_settings(data_dir=data_dir)
    with connect_urls(settings) as urls:
        report = asyncio.run(_check(settings, urls.gateway_url, checksums=checksums, quarantine=quarantine))
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


async def _check(settings: Settings, gateway_url: str, *, checksums: bool, quarantine: bool) -> FsckReport:
    vault = Vault(MasterKey.load(settings, settings.data_dir), SINGLE_TENANT) if checksums else None
    async with engine_room(settings, Place.of_single_tenant(settings, gateway_url)) as (session, stores):
        return await Fsck(session, stores, read_bytes=checksums, quarantine=quarantine, vault=vault).run()
