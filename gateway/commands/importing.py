"""``rowlock import``: objects from another S3 store or a directory into a bucket."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from cyclopts import Parameter
from pydantic import ValidationError

from gateway.app import request_limits
from gateway.blobs.s3_options import S3Options
from gateway.commands.config import load_settings
from gateway.commands.place import Located, OfTenant, located
from gateway.commands.progress import every_second
from gateway.compose import open_encryption, writing_room
from gateway.config import MEBIBYTE, Settings
from gateway.context import SERVICE_ROLE, AuthMethod, Call, Principal, Tenant
from gateway.errors import StartupError, StorageError
from gateway.importing.bucket import BucketSource
from gateway.importing.directory import DirectorySource
from gateway.importing.importer import Importer, ImportPace, ImportReport, Plan
from gateway.importing.source import Source
from gateway.operations.buckets import create_bucket, head_bucket
from gateway.operations.services import Services
from gateway.operations.shapes import CreateBucketInput, HeadBucketInput
from gateway.telemetry.logging import configure_logging
from gateway.tenants.secrets import MasterKey

_PAUSED: Final = 3
_OPERATION: Final = "rowlock.import"

Text = Annotated[str | None, Parameter(allow_leading_hyphen=True)]


def import_objects(
    source: str,
    bucket: str,
    /,
    *,
    prefix: str = "",
    endpoint: str | None = None,
    region: str | None = None,
    provider: str | None = None,
    access_key_id_env: str | None = None,
    secret_access_key_env: str | None = None,
    anonymous: Annotated[bool, Parameter(negative="")] = False,
    include: list[str] | None = None,
    exclude: list[str] | None = None,
    create: Annotated[bool, Parameter(negative="")] = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    concurrency: int = 8,
    max_mib_per_second: float | None = None,
    tenant: OfTenant = None,
    data_dir: Path | None = None,
) -> int:
    """Import objects from another S3 store, or the files of a directory, into a bucket.

    Works beside a running server. Run it again at will: what is here with the same size and ETag (or modification
    time) is skipped, what was written here since is kept. Every object is compared with its ETag or checksum at the
    source. Ctrl-C ends it after the objects at work. Exit status 0: everything is here; 1: something could not be
    imported, and is named; 3: stopped.

    Parameters
    ----------
    source
        s3://BUCKET, s3://BUCKET/PREFIX (keys are relative to it), or a directory.
    bucket
        The bucket to import into.
    prefix
        What every key is to begin with here, such as `photos/`.
    endpoint
        URL of the other store; AWS if it is not given.
    region
        Region of the other store.
    provider
        What the other store is, for its peculiarities (see docs/backends.md): `aws`, `minio`, `rclone`…
    access_key_id_env
        Name of the environment variable with the other store's access key id. Default: AWS's own variables, profile
        (AWS_PROFILE) and role.
    secret_access_key_env
        Name of the environment variable with its secret.
    anonymous
        Sign nothing: the bucket is public.
    include
        Import only keys like this (`*.jpg`); may be repeated.
    exclude
        Leave out keys like this; may be repeated.
    create
        Make the bucket if there is none.
    overwrite
        Replace what was written here after it was at the source.
    dry_run
        Say what would be imported.
    concurrency
        Objects at once.
    max_mib_per_second
        Most MiB a second.
    data_dir
        Directory of the files and the embedded Postgres.
    """
    settings = load_settings(data_dir=data_dir)
    configure_logging(settings)
    plan = Plan(bucket, prefix, tuple(include or ()), tuple(exclude or ()), overwrite=overwrite, dry_run=dry_run)
    opened = _open_source(
        source,
        endpoint=endpoint,
        region=region,
        provider=provider or ("generic" if endpoint else "aws"),
        keys=(access_key_id_env, secret_access_key_env),
        anonymous=anonymous,
        threads=max(16, 2 * concurrency),
    )
    rate = None if max_mib_per_second is None else max_mib_per_second * MEBIBYTE
    pace = ImportPace(
        concurrency=max(1, concurrency), bytes_per_second=rate, report=every_second(_told), would_import=_show
    )
    with located(settings, tenant) as place:
        try:
            report = asyncio.run(_work(settings, place, opened, plan, pace, create=create))
        except StorageError as error:
            raise StartupError(error.message) from error
    for note in report.notes:
        print(note)
    print(_summary(report, dry_run=dry_run))
    if pace.stopping.is_set():
        print("stopped: run the same command again to go on")
        return _PAUSED
    return 0 if report.complete else 1


def _open_source(
    source: str,
    *,
    endpoint: str | None,
    region: str | None,
    provider: str,
    keys: tuple[str | None, str | None],
    anonymous: bool,
    threads: int,
) -> Source:
    """Raises StartupError for what is no source."""
    if not source.startswith("s3://"):
        root = Path(source)
        if not root.is_dir():
            raise StartupError(f"{source}: neither a directory nor s3://BUCKET")
        return DirectorySource(root)
    parts = urlsplit(source)
    if any(keys) and not all(keys):
        raise StartupError("--access-key-id-env and --secret-access-key-env go together")
    key_id, secret = (_variable(name) for name in keys)
    try:
        options = S3Options(
            bucket=parts.netloc,
            endpoint=endpoint,
            region=region,
            provider=provider,
            access_key_id=key_id,
            secret_access_key=secret,
            credentials="anonymous" if anonymous else "keys" if all(keys) else "aws",
            threads=min(threads, 256),
        )
    except ValidationError as error:
        raise StartupError("\n".join(problem["msg"] for problem in error.errors())) from None
    return BucketSource(options, source.removeprefix("s3://").partition("/")[2])


def _variable(name: str | None) -> str | None:
    if name is None:
        return None
    if not (value := os.environ.get(name)):
        raise StartupError(f"the environment variable {name} is not set")
    return value


async def _work(
    settings: Settings, located_: Located, source: Source, plan: Plan, pace: ImportPace, *, create: bool
) -> ImportReport:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, pace.stopping.set)
    master_key = await asyncio.to_thread(MasterKey.load, settings, settings.data_dir)
    call = Call(
        tenant=Tenant(located_.tenant_id, located_.region),
        principal=Principal(located_.tenant_id, SERVICE_ROLE, AuthMethod.SYSTEM),
        operation=_OPERATION,
        request_id=_OPERATION,
    )
    encryption = open_encryption(settings, master_key, located_.tenant_id)
    try:
        async with writing_room(settings, located_.place, "import") as (session, stores):
            limits = request_limits(settings, located_.limits)
            services = Services(session=session, blobs=stores, limits=limits, encryption=encryption)
            await _require_bucket(services, call, plan, create=create)
            return await Importer(services, call, source, plan, pace).run()
    finally:
        await encryption.close()
        await source.close()


async def _require_bucket(services: Services, call: Call, plan: Plan, *, create: bool) -> None:
    try:
        await head_bucket(services, call, HeadBucketInput(bucket=plan.bucket))
    except StorageError as error:
        if error.code.name != "NoSuchBucket":
            raise
        if not create:
            raise StorageError(
                "NoSuchBucket", f"There is no bucket {plan.bucket} here; --create makes it.", BucketName=plan.bucket
            ) from None
        if not plan.dry_run:
            await create_bucket(services, call, CreateBucketInput(bucket=plan.bucket))


def _summary(report: ImportReport, *, dry_run: bool) -> str:
    done = "would be imported" if dry_run else "imported"
    return (
        f"{report.objects} objects, {report.size_bytes} bytes {done}; {report.there_before} here before, "
        f"{report.newer_here} newer here, {report.unverified} not verified, {report.unusable} impossible, "
        f"{report.failed} failed"
    )


def _show(key: str, size_bytes: int) -> None:
    print(f"{size_bytes}\t{key if key.isprintable() else ascii(key)}")


def _told(progress: ImportReport) -> str:
    done = f"{progress.objects} objects, {progress.size_bytes} bytes"
    return f"{done}, {progress.there_before} here before, {progress.failed} failed"
