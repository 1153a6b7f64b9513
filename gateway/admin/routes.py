"""The routes of the admin API: one table, which requests are answered and the OpenAPI document is made from."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from gateway.admin import models
from gateway.administration import Administration
from gateway.errors import StorageError
from gateway.metadata.migrate import MigrationError
from gateway.tenants import audit
from gateway.tenants.directory import NewTenant
from gateway.tenants.errors import UnknownError
from gateway.tenants.generate import new_access_key_id, new_secret
from gateway.tenants.registry import AccessKeyInfo, NewAccessKey
from gateway.tenants.transfers import NewTransfer

DEFAULT_PAGE: Final = 100
_LONGEST_NUMBER: Final = 18


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: what its path and query say, and its body."""

    path: dict[str, str]
    after: str
    before: int
    limit: int
    tenant: str | None
    body: Any


Handler = Callable[[Administration, Asked], Awaitable[models.Model | None]]


@dataclass(frozen=True, slots=True)
class Route:
    """``path`` has its parameters in braces; ``status`` is that of success. ``paged`` routes take limit, and after, or
    before where the newest is first; those ``of_tenants`` take a tenant."""

    method: str
    path: str
    summary: str
    handler: Handler
    answer: type[models.Model] | None = None
    body: type[models.Model] | None = None
    status: int = 200
    paged: bool = False
    newest_first: bool = False
    of_tenants: bool = False

    @property
    def parameters(self) -> frozenset[str]:
        """What its query may hold."""
        if not self.paged:
            return frozenset()
        names = {"limit", "before" if self.newest_first else "after"}
        return frozenset(names | {"tenant"} if self.of_tenants else names)

    @property
    def name(self) -> str:
        """The handler's name: the operation's id."""
        return self.handler.__name__


async def list_tenants(administration: Administration, asked: Asked) -> models.Tenants:
    page = await administration.directory.page(after=asked.after, limit=asked.limit)
    return models.Tenants(
        tenants=[models.Tenant.of(info) for info in page], next=page[-1].id if len(page) == asked.limit else None
    )


async def create_tenant(administration: Administration, asked: Asked) -> models.Tenant:
    body: models.NewTenant = asked.body
    return models.Tenant.of(await administration.create_tenant(NewTenant(**body.given())))


async def get_tenant(administration: Administration, asked: Asked) -> models.Tenant:
    return models.Tenant.of(await administration.directory.read(asked.path["id"]))


async def update_tenant(administration: Administration, asked: Asked) -> models.Tenant:
    body: models.TenantChanges = asked.body
    return models.Tenant.of(await administration.update_tenant(asked.path["id"], body.given()))


async def delete_tenant(administration: Administration, asked: Asked) -> None:
    await administration.directory.delete(asked.path["id"])


async def suspend_tenant(administration: Administration, asked: Asked) -> models.Tenant:
    return models.Tenant.of(await administration.directory.set_status(asked.path["id"], "suspended"))


async def resume_tenant(administration: Administration, asked: Asked) -> models.Tenant:
    return models.Tenant.of(await administration.directory.set_status(asked.path["id"], "active"))


async def tenant_health(administration: Administration, asked: Asked) -> models.Health:
    found = await administration.health(asked.path["id"])
    return models.Health(
        id=found.tenant.id,
        status=found.tenant.status,
        database="ok" if found.reachable else "unreachable",
        migration=models.migration_status(found.state, current=found.current),
        used_bytes=found.usage.used_bytes if found.usage is not None else None,
    )


async def get_limits(administration: Administration, asked: Asked) -> models.Limits:
    return models.Limits(**(await administration.directory.read(asked.path["id"])).limits.document)


async def set_limits(administration: Administration, asked: Asked) -> models.Limits:
    body: models.Limits = asked.body
    info = await administration.update_tenant(asked.path["id"], {"limits": body.limits()})
    return models.Limits(**info.limits.document)


async def list_keys(administration: Administration, asked: Asked) -> models.Keys:
    await administration.require_tenant(asked.path["id"])
    page = await administration.registry(asked.path["id"]).list_keys(after=asked.after, limit=asked.limit)
    return models.Keys(
        keys=[_key(info) for info in page], next=page[-1].access_key_id if len(page) == asked.limit else None
    )


async def create_key(administration: Administration, asked: Asked) -> models.KeyWithSecret:
    body: models.NewKey = asked.body
    secret = new_secret() if body.secret_access_key is None else body.secret_access_key.get_secret_value()
    key = NewAccessKey(
        access_key_id=new_access_key_id() if body.access_key_id is None else body.access_key_id,
        secret=secret,
        role=body.role,
        subject=body.subject,
        display_name=body.display_name,
        claims=body.claims,
        description=body.description,
        expires_at=body.expires_at,
        buckets=None if body.buckets is None else tuple(body.buckets),
        prefix=body.prefix,
        read_only=body.read_only,
    )
    info = await administration.create_key(asked.path["id"], key)
    return models.KeyWithSecret(**models.Key.facts(info), secret_access_key=secret)


async def rotate_key(administration: Administration, asked: Asked) -> models.KeyWithSecret:
    secret = new_secret()
    info = await administration.registry(asked.path["id"]).rotate_key(asked.path["access_key_id"], secret)
    if info is None:
        raise UnknownError("there is no such access key in use")
    return models.KeyWithSecret(**models.Key.facts(info), secret_access_key=secret)


async def revoke_key(administration: Administration, asked: Asked) -> models.Key:
    info = await administration.registry(asked.path["id"]).revoke_key(asked.path["access_key_id"])
    if info is None:
        raise UnknownError("there is no such access key")
    return _key(info)


async def list_jwks(administration: Administration, asked: Asked) -> models.Jwks:
    await administration.require_tenant(asked.path["id"])
    return models.Jwks(keys=[models.Jwk.of(key) for key in await administration.jwks.keys_of(asked.path["id"])])


async def add_jwk(administration: Administration, asked: Asked) -> models.Jwk:
    body: models.NewJwk = asked.body
    await administration.require_tenant(asked.path["id"])
    return models.Jwk.of(await administration.jwks.add(asked.path["id"], body.jwk))


async def roll_jwk(administration: Administration, asked: Asked) -> models.Jwk:
    return models.Jwk.of(await administration.jwks.roll(asked.path["id"], asked.path["kid"]))


async def remove_jwk(administration: Administration, asked: Asked) -> None:
    await administration.jwks.remove(asked.path["id"], asked.path["kid"])


async def list_migrations(administration: Administration, asked: Asked) -> models.Migrations:
    page = await administration.migration_page(after=asked.after, limit=asked.limit)
    shown = [
        models.Migration.of(tenant.id, state, current=administration.is_current(tenant, state))
        for tenant, state in page
    ]
    return models.Migrations(migrations=shown, next=page[-1][0].id if len(page) == asked.limit else None)


async def run_migration(administration: Administration, asked: Asked) -> models.Migration:
    try:
        await administration.migrate(asked.path["id"])
    except MigrationError as error:
        raise StorageError("ServiceUnavailable", str(error)) from error
    return await _migration(administration, asked.path["id"])


async def retry_migration(administration: Administration, asked: Asked) -> models.Migration:
    await administration.retry(asked.path["id"])
    return await _migration(administration, asked.path["id"])


async def list_transfers(administration: Administration, asked: Asked) -> models.Transfers:
    await administration.require_tenant(asked.path["id"])
    page = await administration.transfers.page(asked.path["id"], before=asked.before, limit=asked.limit)
    return models.Transfers(
        transfers=[models.Transfer.of(found) for found in page],
        next=page[-1].id if len(page) == asked.limit else None,
    )


async def start_transfer(administration: Administration, asked: Asked) -> models.Transfer:
    body: models.NewTransfer = asked.body
    new = NewTransfer(**body.model_dump())
    return models.Transfer.of(await administration.start_transfer(asked.path["id"], new))


async def get_transfer(administration: Administration, asked: Asked) -> models.Transfer:
    return models.Transfer.of(await administration.transfers.read(asked.path["id"], _number(asked)))


async def pause_transfer(administration: Administration, asked: Asked) -> models.Transfer:
    return models.Transfer.of(await administration.transfers.pause(asked.path["id"], _number(asked)))


async def resume_transfer(administration: Administration, asked: Asked) -> models.Transfer:
    return models.Transfer.of(await administration.transfers.resume(asked.path["id"], _number(asked)))


async def cancel_transfer(administration: Administration, asked: Asked) -> models.Transfer:
    return models.Transfer.of(await administration.transfers.cancel(asked.path["id"], _number(asked)))


async def list_audit(administration: Administration, asked: Asked) -> models.AuditPage:
    entries = await audit.page(administration.control, tenant_id=asked.tenant, before=asked.before, limit=asked.limit)
    return models.AuditPage(
        entries=[models.Audit.of(entry) for entry in entries],
        next=entries[-1].id if len(entries) == asked.limit else None,
    )


async def _migration(administration: Administration, tenant_id: str) -> models.Migration:
    found = await administration.health(tenant_id)
    if found.state is None:
        raise UnknownError(f"the database of tenant {tenant_id} was never migrated")
    return models.Migration.of(tenant_id, found.state, current=found.current)


def _number(asked: Asked) -> int:
    """The number of a transfer in the path. Raises UnknownError for what can be none."""
    text = asked.path["number"]
    if not text.isdecimal() or not text.isascii() or len(text) > _LONGEST_NUMBER:
        raise UnknownError("there is no such transfer")
    return int(text)


def _key(info: AccessKeyInfo) -> models.Key:
    return models.Key(**models.Key.facts(info))


ROUTES: Final = (
    Route("GET", "/tenants", "List tenants", list_tenants, models.Tenants, paged=True),
    Route("POST", "/tenants", "Make a tenant", create_tenant, models.Tenant, models.NewTenant, 201),
    Route("GET", "/tenants/{id}", "A tenant", get_tenant, models.Tenant),
    Route("PATCH", "/tenants/{id}", "Change a tenant", update_tenant, models.Tenant, models.TenantChanges),
    Route("DELETE", "/tenants/{id}", "End a tenant for good", delete_tenant, status=204),
    Route("POST", "/tenants/{id}/suspend", "Refuse a tenant's requests", suspend_tenant, models.Tenant),
    Route("POST", "/tenants/{id}/resume", "Let a tenant in again", resume_tenant, models.Tenant),
    Route("GET", "/tenants/{id}/health", "Ask a tenant's database", tenant_health, models.Health),
    Route("GET", "/tenants/{id}/limits", "A tenant's limits", get_limits, models.Limits),
    Route("PUT", "/tenants/{id}/limits", "Set a tenant's limits", set_limits, models.Limits, models.Limits),
    Route("GET", "/tenants/{id}/keys", "List access keys", list_keys, models.Keys, paged=True),
    Route("POST", "/tenants/{id}/keys", "Make an access key", create_key, models.KeyWithSecret, models.NewKey, 201),
    Route("POST", "/tenants/{id}/keys/{access_key_id}/rotate", "Another secret", rotate_key, models.KeyWithSecret),
    Route("DELETE", "/tenants/{id}/keys/{access_key_id}", "Revoke an access key", revoke_key, models.Key),
    Route("GET", "/tenants/{id}/jwks", "List keys of tokens", list_jwks, models.Jwks),
    Route("POST", "/tenants/{id}/jwks", "Add a key of tokens", add_jwk, models.Jwk, models.NewJwk, 201),
    Route("POST", "/tenants/{id}/jwks/{kid}/roll", "Sign with this key from now on", roll_jwk, models.Jwk),
    Route("DELETE", "/tenants/{id}/jwks/{kid}", "Refuse the tokens of a key", remove_jwk, status=204),
    Route("GET", "/migrations", "Where the databases stand", list_migrations, models.Migrations, paged=True),
    Route("POST", "/tenants/{id}/migrations/run", "Migrate a database now", run_migration, models.Migration),
    Route("POST", "/tenants/{id}/migrations/retry", "Retry a failure now", retry_migration, models.Migration),
    Route(
        "GET",
        "/tenants/{id}/transfers",
        "Moves and replications",
        list_transfers,
        models.Transfers,
        paged=True,
        newest_first=True,
    ),
    Route(
        "POST",
        "/tenants/{id}/transfers",
        "Move or replicate a bucket",
        start_transfer,
        models.Transfer,
        models.NewTransfer,
        201,
    ),
    Route("GET", "/tenants/{id}/transfers/{number}", "How far a transfer is", get_transfer, models.Transfer),
    Route("POST", "/tenants/{id}/transfers/{number}/pause", "Let a transfer rest", pause_transfer, models.Transfer),
    Route("POST", "/tenants/{id}/transfers/{number}/resume", "Go on", resume_transfer, models.Transfer),
    Route("POST", "/tenants/{id}/transfers/{number}/cancel", "End a transfer", cancel_transfer, models.Transfer),
    Route(
        "GET",
        "/audit",
        "Who changed what, the newest first",
        list_audit,
        models.AuditPage,
        paged=True,
        newest_first=True,
        of_tenants=True,
    ),
)
