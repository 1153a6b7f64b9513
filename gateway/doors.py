"""The doors of one tenant: S3 with STS before it, and the JSON API beside it where the settings have it."""

from collections.abc import MutableMapping
from typing import Any

from gateway.auth.identify import Identify
from gateway.auth.signed_url import SigningKeys, UrlSigner
from gateway.auth.temporary import TemporaryKeys
from gateway.auth.token_settings import UserTokens
from gateway.config import Settings
from gateway.context import Tenant
from gateway.dispatch import Dispatch, SignedPrefix
from gateway.errors import StorageError
from gateway.operations.services import Services
from gateway.operations.table import OPERATIONS
from gateway.rest.api import Api
from gateway.rest.api import Limits as RestLimits
from gateway.rest.front import RestFront
from gateway.s3.front import FrontLimits, S3Front
from gateway.sts.actions import Actions
from gateway.sts.front import StsFront
from gateway.tenants.secrets import MasterKey
from gateway.wire.addressing import RESERVED_BUCKET
from gateway.wire.body import BodyLimits
from gateway.wire.drain import Application, Receive, Send


class Doors:
    """An ASGI application for the requests of one tenant, and for refusals made before any of it was understood."""

    def __init__(self, application: Application, s3: S3Front) -> None:
        self._application = application
        self._s3 = s3

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        await self._application(scope, receive, send)

    async def refuse(self, error: StorageError, scope: MutableMapping[str, Any], send: Send) -> None:
        """Answer with an error as S3 writes it."""
        await self._s3.refuse(error, scope, send)


def open_doors(
    settings: Settings,
    tenant: Tenant,
    services: Services,
    identify: Identify,
    tokens: UserTokens,
    temporary: TemporaryKeys,
    signer: UrlSigner,
) -> Doors:
    """Every front there is, on the same operations."""
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
    )
    sts = StsFront(
        identify,
        Actions(tenant, tokens.verifier, temporary),
        s3,
        domain=settings.domain,
        body_limits=limits.body,
        send_idle_seconds=limits.send_idle_seconds,
    )
    if not settings.rest:
        return Doors(sts, s3)
    rest = RestFront(
        Api(services, signer, _rest_limits(settings, services)),
        identify.bearer,
        tenant=tenant,
        send_idle_seconds=settings.send_idle_seconds,
        origins=frozenset(origin.strip() for origin in settings.rest_cors_origins.split(",")),
    )
    signed = SignedPrefix(sts, settings.s3_signed_prefix)
    return Doors(Dispatch(signed, rest, rest_port=settings.rest_port, domain=settings.domain), s3)


def temporary_keys(master_key: MasterKey) -> TemporaryKeys:
    """What issues and opens temporary credentials."""
    return TemporaryKeys([key.key for key in (master_key, *master_key.earlier)])


def url_signer(settings: Settings, master_key: MasterKey, tenant_id: str, tokens: UserTokens) -> UrlSigner:
    """What signs URLs of a tenant; a URL signed with one of its JWT secrets is good too, as Supabase's are."""
    keys = SigningKeys.derive(
        master_key.key, tenant_id, oldest=settings.url_key_oldest_generation, newest=settings.url_key_generation
    )
    return UrlSigner(keys, tokens.secrets)


def _rest_limits(settings: Settings, services: Services) -> RestLimits:
    return RestLimits(
        max_upload_bytes=services.limits.max_put_bytes,
        body=BodyLimits(settings.body_idle_seconds, settings.body_min_bytes_per_second),
        upload_url_seconds=settings.upload_url_seconds,
        empty_bucket_max_objects=settings.empty_bucket_max_objects,
        strict_keys=settings.rest_strict_keys,
    )
