"""One worker's ASGI application with many tenants: finds out whose a request is and hands it to that tenant's front.

An access key says whose it is; else the host, else a header of our own proxies. Whatever these name besides must be the
same tenant. A tenant that is unknown, suspended or contradicted is answered like one that has nothing, by the same
front, with a registry of keys that is empty.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final
from weakref import WeakSet

import structlog

from gateway.app import TenantApplication, lifespan, observed
from gateway.auth.bearer import TokenKeys, TokenVerifier
from gateway.auth.credentials import CredentialStore, TenantCredentials
from gateway.auth.jwk import UnusableKey
from gateway.auth.temporary import is_temporary
from gateway.auth.token_settings import UserTokens, anon_token, rules_of
from gateway.compose import FleetBackends, Place
from gateway.config import Settings
from gateway.context import Tenant
from gateway.dispatch import Mounts
from gateway.doors import temporary_keys
from gateway.errors import StartupError, StorageError
from gateway.fleet import Fleet
from gateway.jobs.health import Readiness
from gateway.jobs.preparation import Preparer
from gateway.nobody import nobody
from gateway.sampler import Sampler
from gateway.tenants.cache import Cache, Freshness
from gateway.tenants.choices import TenantFeatures
from gateway.tenants.control import PostgresControlDatabase
from gateway.tenants.directory import StoredTenant, TenantDirectory
from gateway.tenants.jwks import JwkStore, StoredJwk
from gateway.tenants.listener import KEYS_CHANNEL, ControlListener
from gateway.tenants.migrations import MigrationStates
from gateway.tenants.registry import PostgresKeys
from gateway.tenants.resolution import HeadReader, HostPattern, Named
from gateway.tenants.secrets import MasterKey
from gateway.wire.drain import Receive, Send

_log = structlog.get_logger(__name__)

_PREPARE_SECONDS: Final = 10.0
_CONTROL_CONNECTIONS: Final = 4


class ManyTenants:
    """Opens tenants when they are asked for. What it opens at lifespan start-up it closes at shutdown."""

    def __init__(self, settings: Settings, control_url: str) -> None:
        self._settings: Final = settings
        self._master_key: Final = MasterKey.load(settings, settings.data_dir)
        self._control: Final = PostgresControlDatabase(
            control_url,
            timeout_seconds=settings.database_pool_timeout_seconds,
            max_connections=_CONTROL_CONNECTIONS,
        )
        directory = TenantDirectory(self._control, self._master_key)
        self._jwks: Final = JwkStore(self._control, self._master_key)
        self._temporary_keys: Final = temporary_keys(self._master_key)
        self._freshness: Final = Freshness()
        self._tenants: Final = Cache(directory.find, self._freshness)
        self._hosts: Final = Cache(directory.tenant_of_host, self._freshness)
        self._credentials: Final = CredentialStore(PostgresKeys(self._control, self._master_key))
        self._listener: Final = ControlListener(control_url, self._on_change, self._on_connection)
        self._preparer: Final = Preparer(MigrationStates(self._control))
        self._fleet: Final = Fleet(
            self._tenants.get,
            self._open,
            most_open=max(1, min(settings.tenants_open, settings.tenant_connections // settings.tenant_pool_size)),
            idle_seconds=settings.tenant_idle_seconds,
        )
        self._heads: Final = HeadReader(settings)
        self._pattern: Final = HostPattern(settings.tenant_host_pattern)
        self._backends: Final = FleetBackends.open(settings)
        self._readiness: Final = Readiness({"control": self._control.ping, **self._backends.checks})
        self._nobody: Final = nobody(settings, self._master_key, self._readiness)
        self._mounts: Final = Mounts(rest_port=settings.rest_port, domain=settings.domain) if settings.rest else None
        self._logged: Final = observed(settings, self._answer)
        self._open_tenants: Final[WeakSet[TenantApplication]] = WeakSet()
        self._sampler: Final = Sampler.of_process(lambda: tuple(self._open_tenants))

    @property
    def fleet(self) -> Fleet:
        """The open tenants."""
        return self._fleet

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(self, receive, send)
        else:
            await self._logged(scope, receive, send)

    async def start(self) -> None:
        """Open the control database; it need not be there yet, nor any tenant's."""
        await self._control.__aenter__()
        self._listener.start()
        self._fleet.start()
        self._sampler.start()

    async def close(self) -> None:
        """Close everything, in order."""
        await self._sampler.stop()
        await self._fleet.close()
        await self._preparer.close()
        await self._listener.stop()
        await self._backends.close()
        await self._control.__aexit__(None, None, None)

    async def _answer(self, scope: Any, receive: Receive, send: Send) -> None:
        if self._mounts is not None and self._mounts.asks_for_health(scope):
            # Whose host it is would be a question to the control database, which may be what is down.
            await self._nobody(scope, receive, send)
            return
        async with AsyncExitStack() as leases:
            try:
                tenant_id = await self._tenant_of(self._heads.read(scope))
                found = None if tenant_id is None else await leases.enter_async_context(self._fleet.lease(tenant_id))
            except StorageError as error:
                await self._nobody.refuse(error, scope, send)
                return
            await (self._nobody if found is None else found)(scope, receive, send)

    async def _tenant_of(self, named: Named) -> str | None:
        """The tenant that everything in the head agrees on. Raises StorageError (ServiceUnavailable)."""
        claims = [
            await self._tenant_of_key(named.access_key_id, named.security_token),
            await self._tenant_of_host(named.host),
        ]
        if named.tenant_header is not None:
            claims.append(named.tenant_header)
        tenants = {claim for claim in claims if claim is not None}
        return tenants.pop() if len(tenants) == 1 else None

    async def _tenant_of_key(self, access_key_id: str | None, security_token: str | None) -> str | None:
        """An access key is of one tenant; temporary credentials say whose they are; and the key id of a session token
        (Supabase's scheme) is the tenant's own id."""
        if access_key_id is None:
            return None
        if security_token is not None and is_temporary(access_key_id):
            try:
                return self._temporary_keys.open(access_key_id, security_token)[0].tenant_id
            except StorageError:
                return None
        credential = await self._credentials.find(access_key_id)
        if credential is not None:
            return credential.tenant_id
        if security_token is not None and await self._tenants.get(access_key_id) is not None:
            return access_key_id
        return None

    async def _tenant_of_host(self, host: str | None) -> str | None:
        if host is None:
            return None
        return self._pattern.tenant(host) or await self._hosts.get(host)

    async def _open(self, tenant: StoredTenant) -> TenantApplication:
        await self._preparer.ensure(tenant, wait_seconds=_PREPARE_SECONDS)
        keys = await self._jwks.keys_of(tenant.id)
        try:
            application = await asyncio.to_thread(self._build, tenant, keys)
        except StartupError as error:
            _log.error("tenant_backends_unusable", tenant=tenant.id, error=str(error))
            raise StorageError("ServiceUnavailable") from error
        try:
            await application.start()
        except BaseException:
            await application.close()
            raise
        self._open_tenants.add(application)
        return application

    def _build(self, tenant: StoredTenant, keys: Sequence[StoredJwk]) -> TenantApplication:
        settings = self._settings
        shared = () if tenant.jwt_secret is None else (tenant.jwt_secret,)
        documents = ({"keys": [dict(key.jwk) for key in keys]},) if keys else ()
        try:
            rules = rules_of(settings, tenant.jwt_audience, tenant.jwt_issuer)
            verifier = TokenVerifier(TokenKeys(shared, documents, tenant.jwks_url), rules)
        except UnusableKey as error:
            _log.error("tenant_keys_unusable", tenant=tenant.id, error=str(error))
            raise StorageError("ServiceUnavailable") from error
        return TenantApplication(
            settings,
            Tenant(tenant.id, tenant.region or settings.region),
            Place.of_tenant(settings, tenant),
            TenantCredentials(self._credentials, tenant.id),
            self._master_key,
            UserTokens(verifier, None if not shared else anon_token(shared[0]), shared),
            limits=tenant.limits,
            features=TenantFeatures.of(tenant.features),
            readiness=self._readiness,
        )

    def _on_change(self, channel: str, name: str) -> None:
        if channel == KEYS_CHANNEL:
            self._credentials.invalidate(name)
        else:
            self._tenants.drop(name)
            self._hosts.clear()

    def _on_connection(self, told: bool) -> None:
        self._freshness.told = told
        self._credentials.told(told)
        self._tenants.clear()
        self._hosts.clear()
