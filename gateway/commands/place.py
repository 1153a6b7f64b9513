"""Which tenant's rows and bytes a command works on."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from gateway.commands.database import connect_urls, control_url
from gateway.compose import Place
from gateway.config import Settings
from gateway.errors import StartupError, StorageError
from gateway.tenants.control import PostgresControlDatabase
from gateway.tenants.directory import StoredTenant, TenantDirectory
from gateway.tenants.errors import RegistryError
from gateway.tenants.limits import NO_LIMITS, TenantLimits
from gateway.tenants.registry import DEFAULT_TENANT
from gateway.tenants.secrets import MasterKey, SecretError

OfTenant = Annotated[str | None, Parameter(name="--tenant", help="Whose, where there are many tenants")]


@dataclass(frozen=True, slots=True)
class Located:
    """A tenant's place, its id, the region its requests are signed for, and its limits."""

    place: Place
    tenant_id: str
    region: str
    limits: TenantLimits = NO_LIMITS


@contextmanager
def located(settings: Settings, tenant: str | None) -> Iterator[Located]:
    """The place of this tenant; of the only one if None.

    Raises StartupError when there are many tenants and none is named, or there is no such tenant or database.
    """
    if tenant is None or tenant == DEFAULT_TENANT:
        if settings.multi_tenant:
            raise StartupError("there are many tenants here: say whose with --tenant")
        with connect_urls(settings) as urls:
            yield Located(Place.of_single_tenant(settings, urls.gateway_url), DEFAULT_TENANT, settings.region)
        return
    if not settings.multi_tenant:
        raise StartupError("--tenant is for ROWLOCK_MULTI_TENANT=true; there is only one tenant here")
    with control_url(settings) as url:
        try:
            found = asyncio.run(_read(settings, url, tenant))
        except (StorageError, RegistryError, SecretError) as error:
            raise StartupError(str(error)) from error
        yield Located(Place.of_tenant(settings, found), found.id, found.region or settings.region, found.limits)


async def _read(settings: Settings, url: str, tenant: str) -> StoredTenant:
    timeout = settings.database_pool_timeout_seconds
    async with PostgresControlDatabase(url, timeout_seconds=timeout) as control:
        master_key = await asyncio.to_thread(MasterKey.load, settings, settings.data_dir)
        return await TenantDirectory(control, master_key).read(tenant)
