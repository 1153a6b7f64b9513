"""The application: composes database, stores, authentication and fronts, and logs one line a request."""

import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Final

import structlog

from gateway.auth.credentials import CredentialStore
from gateway.auth.identify import Identify
from gateway.auth.signed_url import SigningKeys, UrlSigner
from gateway.auth.temporary import TemporaryKeys
from gateway.auth.token_settings import anon_key, open_verifier, token_keys
from gateway.compose import host_name, open_encryption, open_session, open_stores
from gateway.config import Settings
from gateway.context import Tenant
from gateway.dispatch import Dispatch
from gateway.jobs.epoch import EpochKeeper
from gateway.operations.services import Limits, Services
from gateway.operations.table import OPERATIONS
from gateway.rest.api import Api
from gateway.rest.api import Limits as RestLimits
from gateway.rest.front import RestFront
from gateway.s3.front import FrontLimits, S3Front
from gateway.sts.actions import Actions
from gateway.sts.front import StsFront
from gateway.telemetry.events import RequestLog
from gateway.telemetry.logging import log_facts
from gateway.tenants.control import PostgresControlDatabase
from gateway.tenants.registry import DEFAULT_TENANT, PostgresRegistry
from gateway.tenants.secrets import MasterKey
from gateway.wire.addressing import RESERVED_BUCKET
from gateway.wire.body import BodyLimits
from gateway.wire.drain import Application

_log = structlog.get_logger(__name__)
_requests = logging.getLogger(__name__)

_ID_STEP: Final = 0x9E3779B97F4A7C15
_ID_MASK: Final = 2**64 - 1

SINGLE_TENANT: Final = DEFAULT_TENANT

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Rowlock:
    """One worker's ASGI application, server-neutral. What it opens at lifespan start-up it closes at shutdown."""

    def __init__(self, settings: Settings, gateway_url: str) -> None:
        self._settings = settings
        self._gateway_url = gateway_url
        self._session = open_session(settings, gateway_url)
        self._epochs = EpochKeeper(self._session, host_name(settings), settings.epoch_heartbeat_seconds)
        self._blobs = open_stores(settings, self._epochs.epoch)
        self._control = PostgresControlDatabase(gateway_url, timeout_seconds=settings.database_pool_timeout_seconds)
        tenant = Tenant(SINGLE_TENANT, settings.region)
        master_key = MasterKey.load(settings, settings.data_dir)
        registry = PostgresRegistry(self._control, master_key, SINGLE_TENANT)
        self._encryption = open_encryption(settings, master_key, tenant.id)
        services = Services(
            session=self._session,
            blobs=self._blobs,
            limits=Limits(
                settings.max_object_bytes,
                min(settings.max_put_bytes, settings.max_object_bytes),
                settings.inline_max_bytes,
            ),
            encryption=self._encryption,
        )
        tokens = open_verifier(settings)
        temporary_keys = TemporaryKeys([key.key for key in (master_key, *master_key.earlier)])
        identify = Identify(
            tenant,
            CredentialStore(registry),
            tokens=tokens,
            anon_key=anon_key(settings),
            temporary_keys=temporary_keys,
            allow_sigv2_post=settings.allow_sigv2_post,
        )
        limits = FrontLimits.of(settings)
        front = S3Front(
            OPERATIONS,
            services,
            identify,
            identify.form,
            tenant=tenant,
            domain=settings.domain,
            limits=limits,
            reserved=frozenset({RESERVED_BUCKET}) if settings.rest else frozenset(),
        )
        sts = StsFront(
            identify,
            Actions(tenant, tokens, temporary_keys),
            front,
            domain=settings.domain,
            body_limits=limits.body,
            send_idle_seconds=limits.send_idle_seconds,
        )
        if not settings.rest:
            self._logged = logged(sts)
            return
        rest = RestFront(
            Api(services, _url_signer(settings, master_key, tenant), _rest_limits(settings)),
            identify.bearer,
            tenant=tenant,
            send_idle_seconds=settings.send_idle_seconds,
            origins=frozenset(origin.strip() for origin in settings.rest_cors_origins.split(",")),
        )
        self._logged = logged(Dispatch(sts, rest, rest_port=settings.rest_port, domain=settings.domain))

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self._logged(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._session.open()
            await self._control.__aenter__()
            await self._epochs.start()
        except Exception as error:
            _log.error("start_failed", error=str(error))
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._epochs.stop()
        for store in self._blobs.stores.values():
            await store.close()
        await self._encryption.close()
        await self._control.__aexit__(None, None, None)
        await self._session.close()
        await send({"type": "lifespan.shutdown.complete"})


def _url_signer(settings: Settings, master_key: MasterKey, tenant: Tenant) -> UrlSigner:
    keys = SigningKeys.derive(
        master_key.key, tenant.id, oldest=settings.url_key_oldest_generation, newest=settings.url_key_generation
    )
    return UrlSigner(keys, token_keys(settings).secrets)


def _rest_limits(settings: Settings) -> RestLimits:
    return RestLimits(
        max_upload_bytes=min(settings.max_put_bytes, settings.max_object_bytes),
        body=BodyLimits(settings.body_idle_seconds, settings.body_min_bytes_per_second),
        upload_url_seconds=settings.upload_url_seconds,
        empty_bucket_max_objects=settings.empty_bucket_max_objects,
        strict_keys=settings.rest_strict_keys,
    )


def request_ids() -> Iterator[str]:
    """Sixteen hex digits each, different in every process: a random start, and steps that visit all 2^64 numbers."""
    number = int.from_bytes(os.urandom(8))
    while True:
        number = (number + _ID_STEP) & _ID_MASK
        yield f"{number:016X}"


def logged(front: Application) -> Application:
    """One line a request, whatever became of it, with an id that its answer carries too."""
    ids = request_ids()

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        log = scope["rowlock.log"] = RequestLog()
        request_id = scope["rowlock.request_id"] = next(ids)
        began = time.perf_counter()
        status = 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await front(scope, receive, observed)
        finally:
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
                "milliseconds": round((time.perf_counter() - began) * 1000, 2),
            }
            log_facts(_requests, "request", facts)

    return application
