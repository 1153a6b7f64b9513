"""The doors of one tenant: S3 with STS before it, and the JSON API beside it where the settings have it."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from gateway.auth.credentials import allowed_roles
from gateway.auth.identify import Identify
from gateway.auth.signed_url import SigningKeys, UrlSigner
from gateway.auth.temporary import TemporaryKeys
from gateway.auth.token_settings import UserTokens
from gateway.config import Settings
from gateway.context import Tenant
from gateway.dispatch import Dispatch, SignedPrefix
from gateway.errors import StorageError
from gateway.jobs.cdn import PurgeEndpoint
from gateway.operations.services import Services
from gateway.operations.table import OPERATIONS
from gateway.rest.api import Api, Caching
from gateway.rest.api import Limits as RestLimits
from gateway.rest.front import RestFront
from gateway.s3.front import FrontLimits, S3Front
from gateway.sts.actions import Actions
from gateway.sts.front import StsFront
from gateway.tenants.choices import ALL_FEATURES, TenantFeatures
from gateway.tenants.secrets import MasterKey
from gateway.texts import comma_separated
from gateway.wire.addressing import RESERVED_BUCKET
from gateway.wire.body import BodyLimits
from gateway.wire.drain import Application, Receive, Send

Refuse = Callable[[StorageError, MutableMapping[str, Any], Send], Awaitable[None]]


class Doors:
    """An ASGI application for the requests of one tenant, and for refusals made before any of it was understood."""

    def __init__(self, s3: Application, rest: RestFront | None, refuse_s3: Refuse, dispatch: Dispatch | None) -> None:
        self._application: Final[Application] = dispatch or s3
        self._rest: Final = rest
        self._refuse_s3: Final = refuse_s3
        self._dispatch: Final = dispatch

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        await self._application(scope, receive, send)

    async def refuse(self, error: StorageError, scope: MutableMapping[str, Any], send: Send) -> None:
        """Answer with an error as the door the request came to writes it."""
        if self._rest is not None and self._dispatch is not None and self._dispatch.read(scope)[0]:
            await self._rest.refuse(error, scope, send)
        else:
            await self._refuse_s3(error, scope, send)


class ClosedDoor:
    """What a tenant without S3 answers there."""

    def __init__(self, refuse: Refuse) -> None:
        self._refuse: Final = refuse

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        await self._refuse(StorageError("AccessDenied"), scope, send)


def open_doors(
    settings: Settings,
    tenant: Tenant,
    services: Services,
    identify: Identify,
    tokens: UserTokens,
    temporary: TemporaryKeys,
    signer: UrlSigner,
    features: TenantFeatures = ALL_FEATURES,
) -> Doors:
    """Every front the tenant has, on the same operations."""
    has_rest = settings.rest and features.rest
    limits = FrontLimits.of(settings)
    s3 = S3Front(
        OPERATIONS,
        services,
        identify,
        identify.form,
        tenant=tenant,
        domain=settings.domain,
        limits=limits,
        reserved=frozenset({RESERVED_BUCKET}) if settings.rest else frozenset(),
        delivery=services.delivery,
    )
    front: Application = s3 if features.s3 else ClosedDoor(s3.refuse)
    if features.s3 and features.sts:
        front = StsFront(
            identify,
            Actions(tenant, tokens.verifier, temporary, roles=allowed_roles(settings)),
            s3,
            domain=settings.domain,
            body_limits=limits.body,
            send_idle_seconds=limits.send_idle_seconds,
        )
    if not has_rest:
        return Doors(front, None, s3.refuse, None)
    rest = RestFront(
        Api(services, signer, _rest_limits(settings, services), _caching(settings, tenant)),
        identify.bearer,
        tenant=tenant,
        send_idle_seconds=settings.send_idle_seconds,
        origins=frozenset(comma_separated(settings.rest_cors_origins)),
    )
    signed = SignedPrefix(front, settings.s3_signed_prefix)
    dispatch = Dispatch(signed, rest, rest_port=settings.rest_port, domain=settings.domain)
    return Doors(front, rest, s3.refuse, dispatch)


def temporary_keys(master_key: MasterKey) -> TemporaryKeys:
    """What issues and opens temporary credentials."""
    return TemporaryKeys([key.key for key in (master_key, *master_key.earlier)])


def url_signer(settings: Settings, master_key: MasterKey, tenant_id: str, tokens: UserTokens) -> UrlSigner:
    """What signs URLs of a tenant; a URL signed with one of its JWT secrets is good too, as Supabase's are."""
    keys = SigningKeys.derive(
        master_key.key, tenant_id, oldest=settings.url_key_oldest_generation, newest=settings.url_key_generation
    )
    return UrlSigner(keys, tokens.secrets)


def _caching(settings: Settings, tenant: Tenant) -> Caching:
    return Caching(
        s_maxage_seconds=settings.s_maxage_seconds,
        surrogate_header=None if settings.surrogate_header is None else settings.surrogate_header.encode(),
        purge=PurgeEndpoint.of(settings, tenant.id),
    )


def _rest_limits(settings: Settings, services: Services) -> RestLimits:
    return RestLimits(
        max_upload_bytes=services.limits.max_put_bytes,
        body=BodyLimits(settings.body_idle_seconds, settings.body_min_bytes_per_second),
        upload_url_seconds=settings.upload_url_seconds,
        pending_max_seconds=settings.pending_upload_max_seconds,
        pending_max_uploads=settings.pending_uploads_max,
        empty_bucket_max_objects=settings.empty_bucket_max_objects,
        strict_keys=settings.rest_strict_keys,
    )
