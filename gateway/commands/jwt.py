"""``rowlock jwt``: a user's token for trying things out, signed with the server's own secret."""

import json
import time
from typing import Annotated, Any, Final

from cyclopts import Parameter

from gateway.auth.credentials import allowed_roles
from gateway.auth.jwt import MAX_TOKEN_BYTES, mint
from gateway.auth.token_settings import anon_key, token_keys
from gateway.commands.config import load_settings
from gateway.config import Settings
from gateway.errors import StartupError

_RESERVED: Final = frozenset({"role", "sub", "iat", "exp"})
_MAX_SECONDS: Final = 10 * 365 * 24 * 60 * 60


def jwt(
    *,
    role: str = "authenticated",
    subject: str | None = None,
    expires_in: int = 3600,
    claims: str = "{}",
    anon: Annotated[bool, Parameter(name="--anon-key", negative="")] = False,
) -> None:
    """Print a token.

    Parameters
    ----------
    role
        Postgres role its bearer acts as: anon, authenticated or service_role.
    subject
        Whom it speaks for: auth.uid() in policies, where it must be a UUID.
    expires_in
        Seconds until it expires.
    claims
        JSON object of further claims: auth.jwt() in policies.
    anon
        Print the anon key instead: the secret key beside a token on the S3 door.
    """
    settings = load_settings()
    print(_anon_key(settings) if anon else _token(settings, role, subject, expires_in, claims))


def _anon_key(settings: Settings) -> str:
    found = anon_key(settings)
    if found is None:
        raise StartupError(_no_secret(settings))
    return found


def _token(settings: Settings, role: str, subject: str | None, expires_in: int, claims: str) -> str:
    roles = allowed_roles(settings)
    if role not in roles:
        raise StartupError(f"the role must be one of {', '.join(sorted(roles))}")
    if not 1 <= expires_in <= _MAX_SECONDS:
        raise StartupError(f"--expires-in must be 1 to {_MAX_SECONDS} seconds")
    now = int(time.time())
    payload: dict[str, Any] = {**_object(claims), "role": role, "iat": now, "exp": now + expires_in}
    if subject is not None:
        payload["sub"] = subject
    for name, allowed in (("aud", settings.jwt_audience), ("iss", settings.jwt_issuer)):
        if allowed is not None:
            payload.setdefault(name, allowed.split(",")[0].strip())
    secrets = token_keys(settings).secrets
    if not secrets:
        raise StartupError(_no_secret(settings))
    token = mint(secrets[0], payload)
    if len(token) > MAX_TOKEN_BYTES:
        raise StartupError(f"the token would have more than {MAX_TOKEN_BYTES} bytes")
    return token


def _object(claims: str) -> dict[str, Any]:
    try:
        found = json.loads(claims)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise StartupError("--claims must be a JSON object")
    if taken := _RESERVED & found.keys():
        raise StartupError(f"--claims cannot set {min(taken)!r}: it has a flag of its own")
    return found


def _no_secret(settings: Settings) -> str:
    if settings.database_url is None and settings.jwt_jwks is None and settings.jwks_url is None:
        return f"{settings.data_dir} holds no JWT secret yet: start the server once, or set ROWLOCK_JWT_SECRET"
    return "there is no secret to sign with: set ROWLOCK_JWT_SECRET"
