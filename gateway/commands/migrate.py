"""``rowlock migrate``: where the databases of the tenants stand; bring one or all of them up to date."""

import asyncio
import json
from typing import Annotated

from cyclopts import App, Parameter
from pydantic import BaseModel

from gateway.admin import models
from gateway.administration import Administration
from gateway.commands.administer import AsJson, administer, show_all
from gateway.errors import StartupError, StorageError
from gateway.jobs.rounds import every_tenant
from gateway.tenants.registry import PAGE_LIMIT

app = App(name="migrate", help="Show where the databases of tenants stand; bring them up to date.")


@app.command(name="status")
def status(*, as_json: AsJson = False) -> int:
    """Show where the databases stand. Leaves with status 1 when one of them is not up to date."""

    async def work(administration: Administration) -> list[BaseModel]:
        found: list[BaseModel] = []
        after = ""
        while page := await administration.migration_page(after=after, limit=PAGE_LIMIT):
            for tenant, state in page:
                current = administration.is_current(tenant, state)
                found.append(models.Migration.of(tenant.id, state, current=current))
            after = page[-1][0].id
        return found

    states = administer(work)
    show_all(states, "tenant_id", "status", "version", "error", as_json=as_json)
    return 0 if all(isinstance(state, models.Migration) and state.status == "current" for state in states) else 1


@app.command(name="run")
def run(
    *tenant: str,
    every: Annotated[bool, Parameter(name="--all", negative="")] = False,
    concurrency: int = 4,
    as_json: AsJson = False,
) -> int:
    """Bring databases up to date now. One that fails does not stop the others; leaves with status 1 then.

    Parameters
    ----------
    tenant
        Whose databases.
    every
        Those of all active tenants. A run that was cut goes on where it stopped.
    concurrency
        How many at a time.
    as_json
        Print a JSON object: what was said of each tenant.
    """
    if bool(tenant) == every:
        raise StartupError("name tenants, or say --all")

    async def work(administration: Administration) -> dict[str, str]:
        names = [name async for name in every_tenant(administration.directory)] if every else list(tenant)
        places = asyncio.Semaphore(max(1, concurrency))

        async def one(name: str) -> tuple[str, str]:
            async with places:
                try:
                    await administration.migrate(name)
                except (StartupError, StorageError) as error:
                    return name, str(error)
                return name, "current"

        return dict(await asyncio.gather(*map(one, names)))

    outcome = administer(work)
    if as_json:
        print(json.dumps(outcome))
    else:
        for name, said in outcome.items():
            print(f"{name}: {said}")
    return 0 if all(said == "current" for said in outcome.values()) else 1


@app.command(name="retry")
def retry(*tenant: str) -> None:
    """Let failed migrations be tried again at once, by whichever gateway comes first."""

    async def work(administration: Administration) -> None:
        for name in tenant:
            await administration.retry(name)

    administer(work)
