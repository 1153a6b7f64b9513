"""``rowlock keys``: create, list and revoke access keys."""

import asyncio
import base64
import json
import secrets
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Final, TypeVar

from cyclopts import App, Parameter

from gateway import statements
from gateway.auth.credentials import ROLES
from gateway.commands.config import load_settings
from gateway.commands.database import connect_control
from gateway.config import Settings
from gateway.context import ACCOUNT_ROLE, SERVICE_ROLE
from gateway.errors import StorageError
from gateway.operations.owners import canonical_id
from gateway.tenants.registry import (
    DEFAULT_TENANT,
    PAGE_LIMIT,
    AccessKeyInfo,
    ControlDatabase,
    NewAccessKey,
    PostgresRegistry,
    Registry,
    RegistryError,
)
from gateway.tenants.secrets import MasterKey, SecretError

Result = TypeVar("Result")
AsJson = Annotated[bool, Parameter(name="--json", negative="")]
ConnectControl = Callable[[Settings], AbstractAsyncContextManager[ControlDatabase]]

_ID_PREFIX: Final = "RK"
_ID_LENGTH: Final = 20
_SECRET_BYTES: Final = 30


def new_access_key_id() -> str:
    """20 characters: ``RK`` and 90 random bits in base32."""
    return _ID_PREFIX + base64.b32encode(secrets.token_bytes(15)).decode()[: _ID_LENGTH - len(_ID_PREFIX)]


def new_secret() -> str:
    """40 characters: 240 random bits."""
    return base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


async def create(registry: Registry, key: NewAccessKey) -> AccessKeyInfo:
    """Store a key. Raises RegistryError, also for a role that no key may have."""
    if key.role not in ROLES:
        raise RegistryError(f"the role must be one of {', '.join(sorted(ROLES))}")
    if key.role == ACCOUNT_ROLE and not key.subject:
        raise RegistryError("an account needs a subject")
    return await registry.create_key(key)


async def create_and_register(registry: Registry, database: ControlDatabase, key: NewAccessKey) -> AccessKeyInfo:
    """Store a key, and its subject where grants and principals look for accounts. Raises as :func:`create`."""
    made = await create(registry, key)
    if key.subject:
        email = key.claims.get("email")
        account = {
            "subject": key.subject,
            "canonical_id": canonical_id(DEFAULT_TENANT, key.subject),
            "display_name": key.display_name,
            "email": email if isinstance(email, str) else None,
        }
        await database.fetch(statements.load("access")["register_account"], account)
    return made


async def every_key(registry: Registry) -> list[AccessKeyInfo]:
    """All keys, fetched page by page."""
    found: list[AccessKeyInfo] = []
    while page := await registry.list_keys(after=found[-1].access_key_id if found else ""):
        found.extend(page)
        if len(page) < PAGE_LIMIT:
            break
    return found


def build(connect: ConnectControl, read_settings: Callable[[], Settings]) -> App:
    """The command group, over whatever connects to the control database. ``connect`` may raise StorageError."""
    app = App(name="keys", help="Create, list and revoke access keys.")

    def run(work: Callable[[Registry, ControlDatabase], Awaitable[Result]]) -> Result:
        async def connected() -> Result:
            settings = read_settings()
            async with connect(settings) as database:
                # Read once connected: an embedded database makes the data directory first.
                master_key = await asyncio.to_thread(MasterKey.load, settings, settings.data_dir)
                return await work(PostgresRegistry(database, master_key), database)

        try:
            return asyncio.run(connected())
        except (RegistryError, SecretError, StorageError) as error:
            print(f"rowlock keys: {error}", file=sys.stderr)
            raise SystemExit(1) from None

    @app.command(name="create")
    def create_command(
        *,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        role: str | None = None,
        account: Annotated[bool, Parameter(negative="")] = False,
        subject: str | None = None,
        display_name: str | None = None,
        claims: str = "{}",
        description: str | None = None,
        as_json: AsJson = False,
    ) -> None:
        """Create an access key. Its secret is shown once, now.

        Parameters
        ----------
        access_key_id
            3 to 128 characters (default: generated).
        secret_access_key
            At least 8 characters (default: generated, 40 characters).
        role
            Postgres role its requests run as: service_role (default), s3_account, authenticated or anon.
        account
            Make an S3 account (role s3_account): it owns the buckets it creates, and sees only those and what ACLs and
            bucket policies grant it. Needs a subject; several keys may share one.
        subject
            Owner of what the key creates.
        display_name
            Shown as the owner's name.
        claims
            JSON object that policies read as the caller's JWT. The claim "email" is the address grants may name.
        description
            What the key is for.
        as_json
            Print JSON.
        """
        try:
            parsed = json.loads(claims)
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict):
            print("rowlock keys: --claims must be a JSON object", file=sys.stderr)
            raise SystemExit(1)
        if account and role not in (None, ACCOUNT_ROLE):
            print("rowlock keys: --account contradicts --role", file=sys.stderr)
            raise SystemExit(1)
        key = NewAccessKey(
            access_key_id=new_access_key_id() if access_key_id is None else access_key_id,
            secret=new_secret() if secret_access_key is None else secret_access_key,
            role=role or (ACCOUNT_ROLE if account else SERVICE_ROLE),
            subject=subject,
            display_name=display_name,
            claims=parsed,
            description=description,
        )
        run(lambda registry, database: create_and_register(registry, database, key))
        shown = {
            "access_key_id": key.access_key_id,
            "secret_access_key": key.secret,
            "role": key.role,
            "subject": key.subject,
            "display_name": key.display_name,
            "canonical_id": canonical_id(DEFAULT_TENANT, key.subject or ""),
            "claims": parsed,
        }
        _print(shown, as_json=as_json)

    @app.command(name="list")
    def list_command(*, as_json: AsJson = False) -> None:
        """List all access keys, without their secrets.

        Parameters
        ----------
        as_json
            Print a JSON array.
        """
        keys = [_described(key) for key in run(lambda registry, _: every_key(registry))]
        if as_json:
            print(json.dumps(keys))
            return
        for key in keys:
            state = (
                "revoked" if key["revoked_at"] else "expires " + key["expires_at"] if key["expires_at"] else "active"
            )
            parts = (key["access_key_id"], key["role"], key["subject"] or "-", key["display_name"] or "-", state)
            print("  ".join(parts))

    @app.command(name="revoke")
    def revoke_command(access_key_id: str, /, *, as_json: AsJson = False) -> None:
        """Revoke an access key for good: gateways refuse it within seconds, its id is never given out again.

        Parameters
        ----------
        access_key_id
            The key to end.
        as_json
            Print JSON.
        """
        key = run(lambda registry, _: registry.revoke_key(access_key_id))
        if key is None:
            print(f"rowlock keys: there is no access key {access_key_id!r}", file=sys.stderr)
            raise SystemExit(1)
        _print(_described(key), as_json=as_json)

    return app


def _read_settings() -> Settings:
    return load_settings()


def _described(key: AccessKeyInfo) -> dict[str, Any]:
    return {
        "access_key_id": key.access_key_id,
        "role": key.role,
        "subject": key.subject,
        "display_name": key.display_name,
        "claims": dict(key.claims),
        "description": key.description,
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }


def _print(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(values))
        return
    for name, value in values.items():
        if value not in (None, {}):
            print(f"{name}: {json.dumps(value) if isinstance(value, dict) else value}")


app = build(connect_control, _read_settings)
