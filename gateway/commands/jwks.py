"""``rowlock jwks``: the keys that the tokens of a tenant's users are verified with."""

import json
from typing import Annotated

from cyclopts import App, Parameter
from pydantic import BaseModel

from gateway.admin import models
from gateway.administration import Administration
from gateway.commands.administer import AsJson, administer, read_secret, show, show_all
from gateway.errors import StartupError
from gateway.tenants.registry import DEFAULT_TENANT

app = App(name="jwks", help="Add, list, roll and remove the keys that users' tokens are verified with.")


@app.command(name="add")
def add(
    jwk: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    tenant: str = DEFAULT_TENANT,
    as_json: AsJson = False,
) -> None:
    """Add a JSON Web Key with its kid and alg; `-` reads a line of standard input. The first one is the signing key."""
    try:
        document = json.loads(read_secret(jwk, "the JWK") or "")
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise StartupError("the JWK is not a JSON object")

    async def work(administration: Administration) -> models.Jwk:
        await administration.require_tenant(tenant)
        return models.Jwk.of(await administration.jwks.add(tenant, document))

    show(administer(work), as_json=as_json)


@app.command(name="list")
def list_all(*, tenant: str = DEFAULT_TENANT, as_json: AsJson = False) -> None:
    """List the keys, without themselves."""

    async def work(administration: Administration) -> list[BaseModel]:
        await administration.require_tenant(tenant)
        return [models.Jwk.of(key) for key in await administration.jwks.keys_of(tenant)]

    show_all(administer(work), "kid", "algorithm", "signing", "created_at", as_json=as_json)


@app.command(name="roll")
def roll(kid: str, /, *, tenant: str = DEFAULT_TENANT, as_json: AsJson = False) -> None:
    """Make this the signing key; the one before verifies until it is removed."""
    show(models.Jwk.of(administer(lambda administration: administration.jwks.roll(tenant, kid))), as_json=as_json)


@app.command(name="remove")
def remove(kid: str, /, *, tenant: str = DEFAULT_TENANT) -> None:
    """Refuse tokens of this key from now on."""
    administer(lambda administration: administration.jwks.remove(tenant, kid))
    print(f"removed {kid}")
