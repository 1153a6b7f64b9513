"""The application: composes database, stores, authentication and fronts, and logs one line a request."""

import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Final, Protocol

import structlog

from gateway.auth.credentials import Credentials, CredentialStore, allowed_roles
from gateway.auth.identify import Identify
from gateway.auth.token_settings import UserTokens
from gateway.blobs.locator import BlobStores
from gateway.compose import Place, control_database_url, host_name, open_encryption, open_session, open_stores
from gateway.config import Settings
from gateway.context import Tenant
from gateway.doors import Doors, open_doors, temporary_keys, url_signer
from gateway.errors import StorageError
from gateway.jobs.cdn import NudgedRelay, PurgeEndpoint, PurgeRelay
from gateway.jobs.epoch import EpochKeeper
from gateway.jobs.health import Readiness, readiness_of
from gateway.metadata.session import Session
from gateway.operations.delivery import Delivery
from gateway.operations.services import Limits, Services
from gateway.sampler import Sampler
from gateway.telemetry import metrics, tracing
from gateway.telemetry.events import RequestLog
from gateway.telemetry.logging import log_facts
from gateway.tenants.choices import ALL_FEATURES, TenantFeatures
from gateway.tenants.control import PostgresControlDatabase
from gateway.tenants.limits import NO_LIMITS, Admission, TenantLimits
from gateway.tenants.registry import DEFAULT_TENANT, PostgresRegistry
from gateway.tenants.secrets import MasterKey
from gateway.wire.drain import Application
from gateway.wire.proxies import TrustedProxies

_log = structlog.get_logger(__name__)
_requests = logging.getLogger(__name__)

_ID_STEP: Final = 0x9E3779B97F4A7C15
_ID_MASK: Final = 2**64 - 1

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})

SINGLE_TENANT: Final = DEFAULT_TENANT

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class TenantApplication:
    """One tenant, open in this process: its database, its stores of bytes and its front. An ASGI application for
    requests. Making one opens its directories and blocks for it; raises OSError."""

    def __init__(
        self,
        settings: Settings,
        tenant: Tenant,
        place: Place,
        credentials: Credentials,
        master_key: MasterKey,
        tokens: UserTokens,
        *,
        limits: TenantLimits = NO_LIMITS,
        features: TenantFeatures = ALL_FEATURES,
        readiness: Readiness | None = None,
    ) -> None:
        self._session = open_session(settings, place)
        self._epochs = EpochKeeper(self._session, host_name(settings), settings.epoch_heartbeat_seconds)
        self._blobs = open_stores(settings, place, self._epochs.epoch)
        self._encryption = open_encryption(settings, master_key, tenant.id, threads=place.encryption_threads)
        services = Services(
            session=self._session,
            blobs=self._blobs,
            limits=request_limits(settings, limits),
            encryption=self._encryption,
            delivery=Delivery.of(settings, tenant.id, self._session, self._blobs.stores),
            readiness=readiness or readiness_of(self._session, self._blobs),
        )
        temporary = temporary_keys(master_key)
        identify = Identify(
            tenant,
            credentials,
            roles=allowed_roles(settings),
            tokens=tokens.verifier,
            anon_key=tokens.anon_key,
            temporary_keys=temporary,
            allow_sigv2_post=settings.allow_sigv2_post,
            session_key_id=settings.tenant_id if place.tenant_id is None else None,
        )
        self._front = open_doors(
            settings,
            tenant,
            services,
            identify,
            tokens,
            temporary,
            url_signer(settings, master_key, tenant.id, tokens),
            features,
        )
        endpoint = None if place.tenant_id is None else PurgeEndpoint.of(settings, tenant.id)
        self._relay = None if endpoint is None else NudgedRelay(PurgeRelay(self._session, endpoint))
        self._admission = Admission(limits) if limits.admits_less else None
        self.running = 0

    @property
    def front(self) -> Doors:
        """What answers requests."""
        return self._front

    @property
    def session(self) -> Session:
        """The database, for whoever looks how it is used."""
        return self._session

    @property
    def blobs(self) -> BlobStores:
        """The stores of bytes, for whoever looks into them."""
        return self._blobs

    async def start(self) -> None:
        """Connect and begin an epoch. Raises StorageError when the database cannot be reached."""
        await self._session.open()
        await self._epochs.start()
        if self._relay is not None:
            self._relay.start()

    async def close(self) -> None:
        """End in order; no request may be running any more."""
        if self._relay is not None:
            await self._relay.stop()
        await self._epochs.stop()
        await self._blobs.close()
        await self._encryption.close()
        await self._session.close()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        self.running += 1
        try:
            if self._admission is not None:
                try:
                    self._admission.admit(self.running)
                except StorageError as error:
                    metrics.refused("tenant_limits")
                    await self._front.refuse(error, scope, send)
                    return
            await self._front(scope, receive, send)
        finally:
            self.running -= 1
            if self._relay is not None and scope["method"] not in _READING:
                self._relay.nudge()


def request_limits(settings: Settings, limits: TenantLimits) -> Limits:
    """What one request may ask for: the server's limits, and a tenant's own where they are lower."""
    most = settings.max_object_bytes
    if limits.max_object_bytes is not None:
        most = min(most, limits.max_object_bytes)
    return Limits(most, min(most, settings.max_put_bytes), min(most, settings.inline_max_bytes))


class Rowlock:
    """One worker's ASGI application with one tenant, server-neutral. What it opens at lifespan start-up it closes at
    shutdown."""

    def __init__(self, settings: Settings, gateway_url: str) -> None:
        tenant = Tenant(SINGLE_TENANT, settings.region)
        master_key = MasterKey.load(settings, settings.data_dir)
        control_url = control_database_url(settings, gateway_url)
        self._control = PostgresControlDatabase(control_url, timeout_seconds=settings.database_pool_timeout_seconds)
        registry = PostgresRegistry(self._control, master_key, SINGLE_TENANT)
        place = Place.of_single_tenant(settings, gateway_url)
        tokens = UserTokens.of_settings(settings)
        self._tenant = TenantApplication(settings, tenant, place, CredentialStore(registry), master_key, tokens)
        self._logged = observed(settings, self._tenant.front)
        self._sampler = Sampler.of_process(lambda: (self._tenant,))

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(self, receive, send)
        else:
            await self._logged(scope, receive, send)

    @property
    def blobs(self) -> BlobStores:
        """The stores of bytes, for tests that look into them."""
        return self._tenant.blobs

    async def start(self) -> None:
        """Open everything. Raises StorageError."""
        await self._control.__aenter__()
        await self._tenant.start()
        self._sampler.start()

    async def close(self) -> None:
        """Close everything, in order."""
        await self._sampler.stop()
        await self._tenant.close()
        await self._control.__aexit__(None, None, None)


class Opened(Protocol):
    """What a lifespan opens and closes."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...


async def lifespan(opened: Opened, receive: Receive, send: Send) -> None:
    """The ASGI lifespan of a worker."""
    await receive()
    try:
        await opened.start()
    except Exception as error:
        _log.error("start_failed", error=str(error))
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await opened.close()
    await send({"type": "lifespan.shutdown.complete"})


def request_ids() -> Iterator[str]:
    """Sixteen hex digits each, different in every process: a random start, and steps that visit all 2^64 numbers."""
    number = int.from_bytes(os.urandom(8))
    while True:
        number = (number + _ID_STEP) & _ID_MASK
        yield f"{number:016X}"


def observed(settings: Settings, front: Application) -> Application:
    """A line, figures and a span a request, as far as they are wanted."""
    application = logged(front)
    if not tracing.is_on():
        return application
    everybody = settings.tracing_parents == "all"
    return tracing.traced(application, (lambda _: True) if everybody else TrustedProxies(settings.trusted_proxies))


def logged(front: Application) -> Application:
    """One line a request, whatever became of it, with an id that its answer carries too; and its figures, where this
    process counts."""
    ids = request_ids()
    recorder = metrics.recorder()

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        log = scope["rowlock.log"] = RequestLog()
        request_id = scope["rowlock.request_id"] = next(ids)
        began = time.perf_counter()
        status = 0
        if recorder is not None:
            recorder.request_began()

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await front(scope, receive, observed)
        finally:
            seconds = time.perf_counter() - began
            if recorder is not None:
                recorder.request_ended(log, status, seconds)
            client = scope.get("client")
            facts = {
                "request_id": request_id,
                "method": scope["method"],
                "operation": log.operation,
                "bucket": log.bucket,
                "key": log.key,
                # 499, as proxies write it: the client went away before there was an answer
                "status": status or 499,
                "code": log.error_code,
                "access_key_id": log.access_key_id,
                "client": client[0] if client else None,
                "bytes_in": log.bytes_in,
                "bytes_out": log.bytes_out,
                "milliseconds": round(seconds * 1000, 2),
            }
            log_facts(_requests, "request", facts)

    return application
