"""``rowlock tenants``: make, list, change, suspend and delete tenants, and say what they may use."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import App, Parameter
from pydantic import BaseModel, ValidationError

from gateway.admin import models, routes
from gateway.administration import Administration
from gateway.commands.administer import AsJson, administer, read_secret, show, show_all
from gateway.errors import StartupError
from gateway.tenants.directory import NewTenant
from gateway.tenants.limits import TenantLimits
from gateway.tenants.registry import PAGE_LIMIT

app = App(name="tenants", help="Make, list, change, suspend and delete tenants.")

Url = Annotated[str | None, Parameter(allow_leading_hyphen=True)]


@app.command(name="create")
def create(
    tenant: str,
    /,
    *,
    database_url: Annotated[str, Parameter(allow_leading_hyphen=True)],
    owner_url: Url = None,
    pool_url: Url = None,
    jwt_secret: Url = None,
    description: str | None = None,
    region: str | None = None,
    jwks_url: str | None = None,
    jwt_audience: str | None = None,
    jwt_issuer: str | None = None,
    features: str | None = None,
    backends: str | None = None,
    limits: str = "{}",
    host: list[str] | None = None,
    as_json: AsJson = False,
) -> None:
    """Make a tenant. Its database is migrated at its first request, or by `rowlock migrate run`.

    Parameters
    ----------
    tenant
        Its id: 1 to 63 of a-z 0-9 _ -; never given out again.
    database_url
        Postgres URL of the gateway's login; `-` reads a line of standard input, here and below.
    owner_url
        Postgres URL of the schema's owner, if it is another login.
    pool_url
        Postgres URL through a transaction pooler, for requests.
    jwt_secret
        Secret that the tokens of its users are signed with.
    description
        What it is.
    region
        Region that its requests must be signed for.
    jwks_url
        https URL of the keys that the issuer of its users' tokens publishes.
    jwt_audience
        Audiences, comma-separated: a token must name one of them.
    jwt_issuer
        Issuers, comma-separated: a token must be from one of them.
    features
        JSON object of doors it has or not: {"s3": true, "rest": true, "sts": false}.
    backends
        JSON object: `default`, the backend of its buckets, and `named`, backends of its own (docs/backends.md).
    limits
        JSON object of limits; see `rowlock tenants limits --help`.
    host
        A host name that leads to it; may be repeated.
    as_json
        Print JSON.
    """
    new = NewTenant(
        id=tenant,
        database_url=read_secret(database_url, "--database-url") or "",
        owner_url=read_secret(owner_url, "--owner-url"),
        pool_url=read_secret(pool_url, "--pool-url"),
        jwt_secret=read_secret(jwt_secret, "--jwt-secret"),
        description=description,
        region=region,
        jwks_url=jwks_url,
        jwt_audience=jwt_audience,
        jwt_issuer=jwt_issuer,
        features=_object(features or "{}", "--features"),
        backends=_object(backends or "{}", "--backends"),
        limits=_limits(limits),
        hosts=tuple(host or ()),
    )
    show(models.Tenant.of(administer(lambda administration: administration.create_tenant(new))), as_json=as_json)


@app.command(name="list")
def list_all(*, as_json: AsJson = False) -> None:
    """List all tenants."""

    async def work(administration: Administration) -> list[BaseModel]:
        found: list[BaseModel] = []
        after = ""
        while page := await administration.directory.page(after=after):
            found.extend(models.Tenant.of(info) for info in page)
            after = page[-1].id
            if len(page) < PAGE_LIMIT:
                break
        return found

    show_all(administer(work), "id", "status", "description", as_json=as_json)


@app.command(name="show")
def show_one(tenant: str, /, *, as_json: AsJson = False) -> None:
    """Show a tenant, without its secrets."""
    show(models.Tenant.of(administer(lambda administration: administration.directory.read(tenant))), as_json=as_json)


@app.command(name="update")
def update(
    tenant: str,
    /,
    *,
    database_url: Url = None,
    owner_url: Url = None,
    pool_url: Url = None,
    jwt_secret: Url = None,
    description: str | None = None,
    region: str | None = None,
    jwks_url: str | None = None,
    jwt_audience: str | None = None,
    jwt_issuer: str | None = None,
    features: str | None = None,
    backends: str | None = None,
    host: list[str] | None = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given of a tenant; an empty text takes it away, `-` reads a line of standard input."""
    given = {
        "database_url": read_secret(database_url, "--database-url"),
        "owner_url": read_secret(owner_url, "--owner-url"),
        "pool_url": read_secret(pool_url, "--pool-url"),
        "jwt_secret": read_secret(jwt_secret, "--jwt-secret"),
        "description": description,
        "region": region,
        "jwks_url": jwks_url,
        "jwt_audience": jwt_audience,
        "jwt_issuer": jwt_issuer,
        "features": None if features is None else _object(features or "{}", "--features"),
        "backends": None if backends is None else _object(backends or "{}", "--backends"),
        "hosts": None if host is None else tuple(name for name in host if name),
    }
    changes = {name: None if value == "" else value for name, value in given.items() if value is not None}
    show(_updated(tenant, changes), as_json=as_json)


@app.command(name="limits")
def limits_of(tenant: str, limits: str | None = None, /, *, as_json: AsJson = False) -> None:
    """Show a tenant's limits, or set them: a JSON object that replaces those before.

    Its members: requests_per_second, request_burst, concurrent_requests and connections, of each worker;
    max_object_bytes, storage_bytes, multipart_uploads. What is not there is not limited.
    """
    if limits is not None:
        show(_updated(tenant, {"limits": _limits(limits)}).limits, as_json=as_json)
        return
    found = administer(lambda administration: administration.directory.read(tenant))
    show(models.Limits(**found.limits.document), as_json=as_json)


@app.command(name="suspend")
def suspend(tenant: str, /, *, as_json: AsJson = False) -> None:
    """Refuse a tenant's requests, within seconds, until it is resumed."""
    found = administer(lambda administration: administration.directory.set_status(tenant, "suspended"))
    show(models.Tenant.of(found), as_json=as_json)


@app.command(name="resume")
def resume(tenant: str, /, *, as_json: AsJson = False) -> None:
    """Let a suspended tenant in again."""
    found = administer(lambda administration: administration.directory.set_status(tenant, "active"))
    show(models.Tenant.of(found), as_json=as_json)


@app.command(name="delete")
def delete(tenant: str, /, *, confirm: str) -> None:
    """End a tenant for good: its keys are revoked and its secrets forgotten. Its database and its bytes stay.

    Parameters
    ----------
    tenant
        The tenant.
    confirm
        Its id once more.
    """
    if confirm != tenant:
        raise StartupError("--confirm is not the id of the tenant: nothing was done")
    administer(lambda administration: administration.directory.delete(tenant))
    print(f"deleted {tenant}")


@app.command(name="health")
def health(tenant: str, /, *, as_json: AsJson = False) -> int:
    """Ask a tenant's database, and where its schema stands. Leaves with status 1 when something is wrong."""
    asked = routes.Asked({"id": tenant}, "", 0, 1, None, None)
    found = administer(lambda administration: routes.tenant_health(administration, asked))
    show(found, as_json=as_json)
    return 0 if found.database == "ok" and found.migration != "failed" else 1


def _updated(tenant: str, changes: Mapping[str, Any]) -> models.Tenant:
    return models.Tenant.of(administer(lambda administration: administration.update_tenant(tenant, changes)))


def _limits(text: str) -> TenantLimits:
    try:
        return models.Limits(**json.loads(text)).limits()
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise StartupError(f"limits: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise StartupError("limits are a JSON object") from error


def _object(text: str, option: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise StartupError(f"{option} is a JSON object")
    return found
