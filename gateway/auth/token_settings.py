"""What the settings say about users' tokens: whose keys, which audience, which issuer.

An embedded server that was given no keys makes itself a secret once, so that tokens can be tried out on a laptop.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.auth.bearer import TokenKeys, TokenVerifier
from gateway.auth.credentials import allowed_roles
from gateway.auth.jwk import UnusableKey, of_jwks, of_secret
from gateway.auth.jwt import TokenRules, mint
from gateway.config import Settings
from gateway.context import ANONYMOUS_ROLE
from gateway.errors import StartupError
from gateway.texts import comma_separated, is_plain_url

SECRET_FILE: Final = "jwt-secret"  # noqa: S105 - the name of a file
_SECRET_BYTES: Final = 48
# 2100-01-01
_ANON_KEY_EXPIRY: Final = 4_102_444_800


@dataclass(frozen=True, slots=True)
class UserTokens:
    """How a tenant's users prove who they are: what verifies their tokens, the secret of session tokens on the S3 door
    (see :func:`anon_key`), and the JWT secrets that are text."""

    verifier: TokenVerifier
    anon_key: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of_settings(cls, settings: Settings) -> "UserTokens":
        """Those of single-tenant mode. Raises StartupError."""
        keys = token_keys(settings)
        return cls(TokenVerifier(keys, token_rules(settings)), anon_key(settings), keys.secrets)


def token_keys(settings: Settings) -> TokenKeys:
    """The keys of users' tokens; none at all means that no token is accepted. Reads the disk.

    Raises StartupError, one line, for a secret, a document or a URL that cannot be used.
    """
    given = settings.jwt_secret
    shared = () if given is None else (given.get_secret_value(),)
    documents = () if settings.jwt_jwks is None else (_document(settings.jwt_jwks.get_secret_value()),)
    keys = TokenKeys(shared, documents, _url(settings.jwks_url))
    if wants_own_secret(settings):
        keys = TokenKeys(_own_secret(settings.data_dir))
    for secret in keys.secrets:
        try:
            of_secret(secret)
        except UnusableKey as error:
            raise StartupError(f"ROWLOCK_JWT_SECRET cannot be used: {error}") from None
    return keys


def token_rules(settings: Settings) -> TokenRules:
    """What claims must say."""
    return rules_of(settings, settings.jwt_audience, settings.jwt_issuer)


def rules_of(settings: Settings, audience: str | None, issuer: str | None) -> TokenRules:
    """What claims must say where audiences and issuers are these lists, with commas between."""
    return TokenRules(
        allowed_roles(settings), frozenset(comma_separated(audience or "")), frozenset(comma_separated(issuer or ""))
    )


def anon_key(settings: Settings) -> str | None:
    """The secret that session tokens are signed with (Supabase's scheme), which is no secret: as set, else a token of
    the role ``anon``, the same every time, signed with the first JWT secret. None without either. Raises StartupError.
    """
    if settings.anon_key is not None:
        return settings.anon_key.get_secret_value()
    secrets_known = token_keys(settings).secrets
    if not secrets_known:
        return None
    return anon_token(secrets_known[0])


def anon_token(secret: str) -> str:
    """A token of the role ``anon``, the same every time for a secret."""
    return mint(secret, {"iss": "rowlock", "role": ANONYMOUS_ROLE, "exp": _ANON_KEY_EXPIRY})


def wants_own_secret(settings: Settings) -> bool:
    """Whether the server is to make itself a secret: it is embedded, and was given nothing to verify tokens with."""
    given = (settings.jwt_secret, settings.jwt_jwks, settings.jwks_url, settings.database_url)
    return all(setting is None for setting in given)


def new_secret() -> str:
    """384 random bits as text."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def _own_secret(data_dir: Path) -> tuple[str, ...]:
    """The secret ``startup`` made; none before the first start."""
    try:
        return ((data_dir / SECRET_FILE).read_text("ascii").strip(),)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise StartupError(f"{data_dir / SECRET_FILE} cannot be read: repair or remove it") from error


def _document(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
        if not any(of_jwks(document, shared=True)):
            raise StartupError("ROWLOCK_JWT_JWKS holds no usable key")
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, UnusableKey) else "not JSON"
        raise StartupError(f"ROWLOCK_JWT_JWKS cannot be used: {reason}") from None
    found: Mapping[str, Any] = document
    return found


def _url(text: str | None) -> str | None:
    if text is None:
        return None
    if not is_plain_url(text):
        raise StartupError("ROWLOCK_JWKS_URL must be an http or https URL without user and password")
    return text
