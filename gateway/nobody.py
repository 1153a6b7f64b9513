"""The front for requests whose tenant is unknown, suspended or contradicted: a tenant without keys and without buckets.

It is the ordinary front, so a request is read and refused as any tenant would refuse it, and its answers do not tell
whether there is such a tenant. Nothing behind it reaches a database.
"""

from contextlib import AbstractAsyncContextManager
from typing import Any, Final, cast

from gateway.auth.bearer import TokenKeys, TokenVerifier
from gateway.auth.credentials import Credential, allowed_roles
from gateway.auth.identify import Identify
from gateway.auth.token_settings import UserTokens, token_rules
from gateway.blobs.locator import BlobStores, Epoch
from gateway.blobs.memory import MemoryStore
from gateway.config import Settings
from gateway.context import Scope, Tenant
from gateway.doors import Doors, open_doors, temporary_keys, url_signer
from gateway.errors import StorageError
from gateway.jobs.health import Readiness
from gateway.metadata.session import Row, Session, Transaction
from gateway.operations.services import Limits, Services
from gateway.statements import Statement
from gateway.tenants.secrets import MasterKey

_OF_THE_SERVICE: Final = frozenset(("storage.s3.bucket.list", "storage.s3.bucket.create"))
_CORS: Final = "storage.s3.cors"


def nobody(settings: Settings, master_key: MasterKey, readiness: Readiness) -> Doors:
    """The doors of no tenant; ``readiness`` is the fleet's, which is asked without naming one."""
    tenant = Tenant("", settings.region)
    tokens = UserTokens(TokenVerifier(TokenKeys(), token_rules(settings)))
    temporary = temporary_keys(master_key)
    identify = Identify(
        tenant,
        NoCredentials(),
        roles=allowed_roles(settings),
        tokens=tokens.verifier,
        temporary_keys=temporary,
        allow_sigv2_post=settings.allow_sigv2_post,
    )
    nothing = MemoryStore(name="nothing", max_bytes=0)
    services = Services(
        session=cast(Session, EmptyDatabase()),
        blobs=BlobStores({nothing.name: nothing}, nothing, Epoch(0)),
        limits=Limits(settings.max_object_bytes, settings.max_put_bytes, settings.inline_max_bytes),
        readiness=readiness,
    )
    signer = url_signer(settings, master_key, tenant.id, tokens)
    return open_doors(settings, tenant, services, identify, tokens, temporary, signer)


class NoCredentials:
    """A registry that has no key."""

    async def find(self, access_key_id: str) -> Credential | None:
        return None


class EmptyDatabase:
    """A ``Session`` for the one caller that gets this far, nobody: what a database without buckets says."""

    async def fetch(self, scope: Scope, statement: Statement, **values: Any) -> list[Row]:
        """Raises NoSuchBucket, or AccessDenied where no bucket is named."""
        if scope.operation == _CORS:
            return [(None, "none")]
        raise _refusal(scope, values)

    async def write(self, scope: Scope, statement: Statement, **values: Any) -> list[Row]:
        """Raises as ``fetch``."""
        raise _refusal(scope, values)

    def transaction(self, scope: Scope) -> AbstractAsyncContextManager[Transaction]:
        """Raises as ``fetch``."""
        raise _refusal(scope, {})


def _refusal(scope: Scope, values: dict[str, Any]) -> StorageError:
    if scope.operation in _OF_THE_SERVICE:
        return StorageError("AccessDenied")
    bucket = values.get("bucket")
    return StorageError("NoSuchBucket", BucketName=bucket) if isinstance(bucket, str) else StorageError("NoSuchBucket")
