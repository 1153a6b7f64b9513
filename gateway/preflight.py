"""What settings must not say, alone or together, looked at before anything is started: each refusal is one line."""

import ssl
from collections.abc import Mapping
from typing import Final

import structlog

from gateway.aliases import ignored
from gateway.config import Settings
from gateway.errors import StartupError
from gateway.texts import is_plain_url

_log = structlog.get_logger(__name__)

ADMIN_KEY_CHARACTERS: Final = 16


def check_tenants(settings: Settings) -> None:
    """Refuse settings that contradict each other. Raises StartupError."""
    if settings.database_pool_url is not None and settings.database_url is None and not settings.multi_tenant:
        raise StartupError("DATABASE_POOL_URL is set but DATABASE_URL is not: migrations need a way past the pooler")
    if settings.admin_port is not None and settings.admin_api_key is None:
        raise StartupError("ROWLOCK_ADMIN_PORT is set but ROWLOCK_ADMIN_API_KEY is not: the admin API needs a key")
    # Not a rule of the settings model: what that refuses it repeats.
    if settings.admin_api_key is not None and len(settings.admin_api_key.get_secret_value()) < ADMIN_KEY_CHARACTERS:
        raise StartupError(f"ROWLOCK_ADMIN_API_KEY must have {ADMIN_KEY_CHARACTERS} characters or more")
    if settings.multi_tenant and settings.access_key_id is not None:
        raise StartupError(
            "ROWLOCK_ACCESS_KEY_ID has no tenant: unset it, and make keys with `rowlock keys create --tenant`"
        )


def check_cdn(settings: Settings) -> None:
    """Refuse URLs that are none, and proxies that are told nothing. Raises StartupError, which repeats no URL: somebody
    may have written a password into it."""
    for name, url in (("ROWLOCK_CDN_URL", settings.cdn_url), ("ROWLOCK_CDN_PURGE_URL", settings.cdn_purge_url)):
        if url is not None and not is_plain_url(url):
            raise StartupError(f"{name}: a URL begins with https:// or http:// and a host, and holds no password")
    if settings.accel is not None and not settings.trusted_proxies.strip():
        raise StartupError(
            "ROWLOCK_ACCEL is set but ROWLOCK_TRUSTED_PROXIES is not: nobody would be told to send files"
        )


def check_tls(settings: Settings) -> None:
    """Refuse half a pair, and files that cannot be read or do not belong together."""
    if settings.tls_cert is None and settings.tls_key is None:
        return
    if settings.tls_cert is None or settings.tls_key is None:
        given, missing = ("CERT", "KEY") if settings.tls_key is None else ("KEY", "CERT")
        raise StartupError(f"ROWLOCK_TLS_{given} is set but ROWLOCK_TLS_{missing} is not: https needs both")
    for path in (settings.tls_cert, settings.tls_key):
        try:
            path.read_bytes()
        except OSError as error:
            raise StartupError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    try:
        # An encrypted key must fail here, not ask on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key, lambda: "")
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or "not a PEM certificate and its key"
        raise StartupError(
            f"cannot use {settings.tls_cert} with {settings.tls_key}: {str(reason).lower().replace('_', ' ')}"
        ) from error


def check_url_keys(settings: Settings) -> None:
    """Refuse generations that leave no key. Raises StartupError."""
    if settings.url_key_oldest_generation > settings.url_key_generation:
        raise StartupError("ROWLOCK_URL_KEY_OLDEST_GENERATION must not be greater than ROWLOCK_URL_KEY_GENERATION")


def warn_of_ignored(environment: Mapping[str, str]) -> None:
    """Name what an environment made for storage-api asks for and this server does not do: never in silence."""
    if names := ignored(environment):
        _log.warning("settings_ignored", names=names, documentation="docs/migrate-from-supabase.md")
