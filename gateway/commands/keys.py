"""``rowlock keys``: create, list, rotate and revoke access keys."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from cyclopts import App, Parameter

from gateway import accounts
from gateway.auth.credentials import ROLES, allowed_roles
from gateway.commands.administer import command_line
from gateway.commands.config import load_settings
from gateway.commands.database import connect_control, connect_urls
from gateway.config import Settings
from gateway.context import ACCOUNT_ROLE, SERVICE_ROLE
from gateway.errors import StorageError
from gateway.operations.owners import canonical_id
from gateway.tenants.control import PostgresControlDatabase, acting
from gateway.tenants.directory import TenantDirectory
from gateway.tenants.generate import new_access_key_id, new_secret
from gateway.tenants.registry import (
    DEFAULT_TENANT,
    PAGE_LIMIT,
    AccessKeyInfo,
    ControlDatabase,
    NewAccessKey,
    PostgresRegistry,
    Registry,
    RegistryError,
    check_role,
)
from gateway.tenants.secrets import MasterKey, SecretError

Result = TypeVar("Result")
AsJson = Annotated[bool, Parameter(name="--json", negative="")]
ConnectControl = Callable[[Settings], AbstractAsyncContextManager[ControlDatabase]]


async def create(registry: Registry, key: NewAccessKey, roles: frozenset[str] = ROLES) -> AccessKeyInfo:
    """Store a key. Raises RegistryError, also for a role that no key may have."""
    check_role(key, roles)
    return await registry.create_key(key)


@asynccontextmanager
async def tenant_database(
    settings: Settings, control: ControlDatabase, master_key: MasterKey, tenant: str
) -> AsyncIterator[ControlDatabase]:
    """The database of a tenant, for the gateway's login: that of single-tenant mode keeps the keys too, as a rule."""
    if tenant == DEFAULT_TENANT and settings.control_database_url is None:
        yield control
        return
    with contextlib.ExitStack() as stack:
        if tenant == DEFAULT_TENANT:
            url = stack.enter_context(connect_urls(settings)).gateway_url
        else:
            url = (await TenantDirectory(control, master_key).read(tenant)).database_url
        async with PostgresControlDatabase(url, timeout_seconds=settings.database_pool_timeout_seconds) as database:
            yield database


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
    app = App(name="keys", help="Create, list, rotate and revoke access keys.")

    def run(tenant: str, work: Callable[[Registry], Awaitable[Result]], register: NewAccessKey | None = None) -> Result:
        async def connected() -> Result:
            settings = read_settings()
            async with connect(settings) as database:
                # Read once connected: an embedded database makes the data directory first.
                master_key = await asyncio.to_thread(MasterKey.load, settings, settings.data_dir)
                with acting(command_line()):
                    result = await work(PostgresRegistry(database, master_key, tenant))
                    if register is not None and register.subject:
                        async with tenant_database(settings, database, master_key, tenant) as target:
                            await accounts.register(target, tenant, register)
                    return result

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
        expires_at: datetime | None = None,
        bucket: list[str] | None = None,
        prefix: str | None = None,
        read_only: Annotated[bool, Parameter(negative="")] = False,
        tenant: str = DEFAULT_TENANT,
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
        expires_at
            When it ends, e.g. 2027-01-31T12:00:00 (UTC).
        bucket
            The only buckets it may touch; may be repeated.
        prefix
            What every key it may touch begins with.
        read_only
            It may only read.
        tenant
            Whose key it is.
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
            expires_at=None if expires_at is None else expires_at.replace(tzinfo=expires_at.tzinfo or UTC),
            buckets=tuple(bucket) if bucket else None,
            prefix=prefix,
            read_only=read_only,
        )
        roles = allowed_roles(read_settings())
        run(tenant, lambda registry: create(registry, key, roles), key)
        shown = {
            "access_key_id": key.access_key_id,
            "secret_access_key": key.secret,
            "role": key.role,
            "subject": key.subject,
            "display_name": key.display_name,
            "canonical_id": canonical_id(tenant, key.subject or ""),
            "claims": parsed,
        }
        _print(shown, as_json=as_json)

    @app.command(name="list")
    def list_command(*, tenant: str = DEFAULT_TENANT, as_json: AsJson = False) -> None:
        """List all access keys, without their secrets.

        Parameters
        ----------
        tenant
            Whose keys.
        as_json
            Print a JSON array.
        """
        keys = [_described(key) for key in run(tenant, every_key)]
        if as_json:
            print(json.dumps(keys))
            return
        for key in keys:
            state = (
                "revoked" if key["revoked_at"] else "expires " + key["expires_at"] if key["expires_at"] else "active"
            )
            parts = (key["access_key_id"], key["role"], key["subject"] or "-", key["display_name"] or "-", state)
            print("  ".join(parts))

    @app.command(name="rotate")
    def rotate_command(access_key_id: str, /, *, tenant: str = DEFAULT_TENANT, as_json: AsJson = False) -> None:
        """Give an access key another secret, which is shown once, now. The one before ends within seconds.

        Parameters
        ----------
        access_key_id
            The key.
        tenant
            Whose key it is.
        as_json
            Print JSON.
        """
        secret = new_secret()
        key = run(tenant, lambda registry: registry.rotate_key(access_key_id, secret))
        if key is None:
            print(f"rowlock keys: there is no access key {access_key_id!r} in use", file=sys.stderr)
            raise SystemExit(1)
        _print({"access_key_id": access_key_id, "secret_access_key": secret}, as_json=as_json)

    @app.command(name="revoke")
    def revoke_command(access_key_id: str, /, *, tenant: str = DEFAULT_TENANT, as_json: AsJson = False) -> None:
        """Revoke an access key for good: gateways refuse it within seconds, its id is never given out again.

        Parameters
        ----------
        access_key_id
            The key to end.
        tenant
            Whose key it is.
        as_json
            Print JSON.
        """
        key = run(tenant, lambda registry: registry.revoke_key(access_key_id))
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
        "buckets": None if key.buckets is None else list(key.buckets),
        "prefix": key.prefix,
        "read_only": key.read_only or None,
    }


def _print(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(values))
        return
    for name, value in values.items():
        if value not in (None, {}):
            print(f"{name}: {json.dumps(value) if isinstance(value, dict) else value}")


app = build(connect_control, _read_settings)
