"""How the commands for tenants reach the control database, and how they print."""

import asyncio
import getpass
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter
from pydantic import BaseModel

from gateway.administration import Administration
from gateway.commands.config import load_settings
from gateway.commands.database import control_url
from gateway.errors import StartupError, StorageError
from gateway.tenants.control import Actor, acting
from gateway.tenants.errors import RegistryError
from gateway.tenants.secrets import SecretError

Result = TypeVar("Result")
AsJson = Annotated[bool, Parameter(name="--json", negative="")]


def administer(work: Callable[[Administration], Awaitable[Result]]) -> Result:
    """Do ``work`` on the control database; what it changes is audited under the name of who typed the command.

    Raises StartupError, one line, for everything that is refused.
    """

    async def connected(url: str) -> Result:
        async with Administration.open(settings, url) as administration:
            with acting(command_line()):
                return await work(administration)

    settings = load_settings()
    try:
        with control_url(settings) as url:
            return asyncio.run(connected(url))
    except (RegistryError, SecretError, StorageError) as error:
        raise StartupError(str(error)) from error


def show(values: BaseModel | dict[str, Any], *, as_json: bool) -> None:
    """Print one thing: a line a member, or JSON."""
    document = values if isinstance(values, dict) else values.model_dump(mode="json")
    if as_json:
        print(json.dumps(document))
        return
    for name, value in document.items():
        if value not in (None, {}, [], False):
            print(f"{name}: {json.dumps(value) if isinstance(value, dict | list) else value}")


def show_all(values: list[BaseModel], *columns: str, as_json: bool) -> None:
    """Print many things: a line each with these members, or a JSON array of everything."""
    documents = [value.model_dump(mode="json") for value in values]
    if as_json:
        print(json.dumps(documents))
        return
    for document in documents:
        print("  ".join(str(document[column] if document[column] is not None else "-") for column in columns))


def read_secret(given: str | None, name: str) -> str | None:
    """A value that holds a secret: as typed, or ``-`` for a line of standard input, so that no process list shows it.
    Raises StartupError."""
    if given != "-":
        return given
    line = sys.stdin.readline().rstrip("\n")
    if not line:
        raise StartupError(f"{name} is to be read from standard input, which is empty")
    return line


def command_line() -> Actor:
    """Who typed the command, for the audit."""
    try:
        return Actor(f"command line, {getpass.getuser()}")
    except (KeyError, OSError):
        return Actor("command line")
