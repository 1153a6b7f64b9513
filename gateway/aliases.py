"""Settings of Supabase's storage-api that are understood where Rowlock's own are not given, and those that are not.

Some of the names are anybody's; they count only where another says that this environment was made for storage-api.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "data_dir": ("STORAGE_FILE_BACKEND_PATH", "FILE_STORAGE_BACKEND_PATH"),
    "host": ("SERVER_HOST",),
    "rest_port": ("SERVER_PORT",),
    "region": ("SERVER_REGION", "REGION"),
    "s3_signed_prefix": ("S3_PROTOCOL_PREFIX",),
    "access_key_id": ("S3_PROTOCOL_ACCESS_KEY_ID",),
    "secret_access_key": ("S3_PROTOCOL_ACCESS_KEY_SECRET",),
    "jwt_secret": ("AUTH_JWT_SECRET", "PGRST_JWT_SECRET"),
    "jwt_jwks": ("JWT_JWKS",),
    "anon_key": ("ANON_KEY",),
    "tenant_id": ("TENANT_ID",),
    "max_object_bytes": ("UPLOAD_FILE_SIZE_LIMIT", "FILE_SIZE_LIMIT"),
    "cdn_purge_url": ("CDN_PURGE_ENDPOINT_URL",),
    "cdn_purge_key": ("CDN_PURGE_ENDPOINT_KEY",),
    "s_maxage_seconds": ("RESPONSE_S_MAXAGE",),
    "max_put_bytes": ("UPLOAD_FILE_SIZE_LIMIT_STANDARD", "FILE_SIZE_LIMIT_STANDARD_UPLOAD"),
    "upload_url_seconds": ("UPLOAD_SIGNED_URL_EXPIRATION_TIME",),
    "empty_bucket_max_objects": ("STORAGE_EMPTY_BUCKET_MAX",),
    "backends": ("STORAGE_S3_BUCKET", "GLOBAL_S3_BUCKET"),
    "default_backend": ("STORAGE_S3_BUCKET", "GLOBAL_S3_BUCKET"),
    "database_pool_size": ("DATABASE_MAX_CONNECTIONS",),
    "database_pool_timeout_seconds": ("DATABASE_CONNECTION_TIMEOUT",),
    "statement_timeout_seconds": ("DATABASE_STATEMENT_TIMEOUT",),
    "multi_tenant": ("MULTI_TENANT", "IS_MULTITENANT"),
    "control_database_url": ("DATABASE_MULTITENANT_URL", "MULTITENANT_DATABASE_URL"),
    "tenant_host_pattern": ("REQUEST_X_FORWARDED_HOST_REGEXP", "X_FORWARDED_HOST_REGEXP"),
    "admin_port": ("SERVER_ADMIN_PORT", "ADMIN_PORT"),
    "admin_api_key": ("SERVER_ADMIN_API_KEYS", "ADMIN_API_KEYS"),
    "log_level": ("LOG_LEVEL",),
}

S3_BACKEND: Final = "s3"
"""What the backend is called that STORAGE_BACKEND=s3 asks for."""

IGNORED: Final[Mapping[str, tuple[str, ...]]] = {
    "AUTH_ENCRYPTION_KEY": (),
    "AUTH_JWT_ALGORITHM": ("HS256",),
    "DATABASE_ENABLE_QUERY_CANCELLATION": ("false",),
    "DATABASE_ENGINE": ("postgres",),
    "DATABASE_FREE_POOL_AFTER_INACTIVITY": (),
    "DATABASE_MULTITENANT_POOL_URL": (),
    "DATABASE_SEARCH_PATH": (),
    "DATABASE_SSL_ROOT_CERT": (),
    "DB_ANON_ROLE": ("anon",),
    "DB_AUTHENTICATED_ROLE": ("authenticated",),
    "DB_MIGRATIONS_FREEZE_AT": (),
    "DB_SERVICE_ROLE": ("service_role",),
    "ENABLE_IMAGE_TRANSFORMATION": ("false",),
    "ICEBERG_ENABLED": ("false",),
    "IMAGE_TRANSFORMATION_ENABLED": ("false",),
    "IMGPROXY_URL": (),
    "PG_QUEUE_ENABLE": ("false",),
    "PROJECT_REF": (),
    "RATE_LIMITER_ENABLED": ("false",),
    "REQUEST_ALLOW_X_FORWARDED_PATH": ("false",),
    "REQUEST_ETAG_HEADERS": ("if-none-match",),
    "REQUEST_TRACE_HEADER": (),
    "S3_ALLOW_FORWARDED_HEADER": ("false",),
    "S3_PROTOCOL_ENABLED": ("true",),
    "S3_PROTOCOL_ENFORCE_REGION": ("true",),
    "S3_PROTOCOL_NON_CANONICAL_HOST_HEADER": (),
    "STORAGE_FILE_ETAG_ALGORITHM": ("md5",),
    "STORAGE_PUBLIC_URL": (),
    "STORAGE_S3_PRIVATE_ASSET_ENDPOINT": (),
    "TRACING_ENABLED": ("false",),
    "TUS_URL_EXPIRY_MS": (),
    "TUS_URL_PATH": (),
    "VECTOR_ENABLED": ("false",),
    "WEBHOOK_API_KEY": (),
    "WEBHOOK_URL": (),
}
"""What storage-api would do something about and Rowlock does not, unless it has one of the values that ask for nothing
else than what is done anyway."""

_COMMON: Final = frozenset({
    "ADMIN_API_KEYS", "ADMIN_PORT", "DATABASE_MAX_CONNECTIONS", "DATABASE_CONNECTION_TIMEOUT",
    "DATABASE_STATEMENT_TIMEOUT", "FILE_SIZE_LIMIT", "IS_MULTITENANT", "LOG_LEVEL", "MULTI_TENANT", "REGION",
    "TENANT_ID", "SERVER_HOST", "SERVER_PORT", "SERVER_ADMIN_PORT", "SERVER_ADMIN_API_KEYS", "X_FORWARDED_HOST_REGEXP",
})  # fmt: skip
_TELLING: Final = ("AUTH_JWT_SECRET", "PGRST_JWT_SECRET", "STORAGE_BACKEND")
_LEVELS: Final = {"trace": "debug", "warn": "warning", "fatal": "error", "silent": "error"}


@dataclass(frozen=True, slots=True)
class Understood:
    """A setting's value as storage-api's variable gives it."""

    variable: str
    value: str


def understood(field: str, environment: Mapping[str, str]) -> Understood | None:
    """What storage-api's variables say about one of our settings."""
    is_made_for_it = _is_made_for_storage_api(environment)
    for name in ALIASES.get(field, ()):
        given = environment.get(name)
        if given and (is_made_for_it or name not in _COMMON):
            value = _CONVERTED.get(field, _as_it_is)(given, environment)
            if value is not None:
                return Understood(name, value)
    return None


def alias_of(field: str, environment: Mapping[str, str]) -> str | None:
    """The variable of storage-api that gives this setting a value here."""
    found = understood(field, environment)
    return None if found is None else found.variable


def ignored(environment: Mapping[str, str]) -> list[str]:
    """Variables of storage-api that ask for what Rowlock does not have, in an environment made for storage-api."""
    if not _is_made_for_storage_api(environment):
        return []
    asking = {
        name
        for name, harmless in IGNORED.items()
        if (value := environment.get(name, "").strip()) and value.lower() not in map(str.lower, harmless)
    }
    further_keys = {name for name in ALIASES["admin_api_key"] if "," in environment.get(name, "")}
    return sorted(asking | further_keys)


def _is_made_for_storage_api(environment: Mapping[str, str]) -> bool:
    return any(environment.get(name) for name in _TELLING)


def _as_it_is(value: str, environment: Mapping[str, str]) -> str | None:
    return value


def _seconds(value: str, environment: Mapping[str, str]) -> str | None:
    """From milliseconds. What is no number is for the settings to refuse."""
    return str(int(value) / 1000) if value.isdecimal() else value


def _limit(value: str, environment: Mapping[str, str]) -> str | None:
    """storage-api's way to say that a limit is off is 0."""
    return None if value == "0" else value


def _first(value: str, environment: Mapping[str, str]) -> str | None:
    """The first of a list: the admin API has one key."""
    return value.partition(",")[0].strip()


def _with_tenants(value: str, environment: Mapping[str, str]) -> str | None:
    """storage-api has an admin API only where it has many tenants."""
    tenants = understood("multi_tenant", environment)
    return value if tenants is not None and tenants.value == "true" else None


def _prefix(value: str, environment: Mapping[str, str]) -> str | None:
    return value.rstrip("/") or None


def _level(value: str, environment: Mapping[str, str]) -> str | None:
    return _LEVELS.get(value.lower(), value.lower())


def _s3_backend(value: str, environment: Mapping[str, str]) -> str | None:
    """The bucket as one of our backends, with the credentials AWS's tools find, as there."""
    if environment.get("STORAGE_BACKEND") != "s3":
        return None
    options: dict[str, object] = {"kind": "s3", "bucket": value, "credentials": "aws"}
    endpoint = environment.get("STORAGE_S3_ENDPOINT") or environment.get("GLOBAL_S3_ENDPOINT")
    options |= {"endpoint": endpoint} if endpoint else {"provider": "aws"}
    region = environment.get("STORAGE_S3_REGION") or environment.get("REGION")
    if region:
        options["region"] = region
    path_style = environment.get("STORAGE_S3_FORCE_PATH_STYLE") or environment.get("GLOBAL_S3_FORCE_PATH_STYLE")
    if endpoint and path_style != "true":
        options["overrides"] = {"addressing_style": "virtual"}
    part_bytes = environment.get("STORAGE_S3_UPLOAD_PART_SIZE", "")
    if part_bytes.isdecimal():
        options["part_bytes"] = int(part_bytes)
    return json.dumps({S3_BACKEND: options})


def _s3_backend_name(value: str, environment: Mapping[str, str]) -> str | None:
    ours = any(environment.get(name) for name in ("ROWLOCK_BACKENDS", "ROWLOCK_BACKENDS_FILE"))
    return S3_BACKEND if environment.get("STORAGE_BACKEND") == "s3" and not ours else None


_CONVERTED: Final[Mapping[str, Callable[[str, Mapping[str, str]], str | None]]] = {
    "admin_api_key": _first,
    "admin_port": _with_tenants,
    "backends": _s3_backend,
    "database_pool_timeout_seconds": _seconds,
    "default_backend": _s3_backend_name,
    "log_level": _level,
    "max_put_bytes": _limit,
    "s3_signed_prefix": _prefix,
    "statement_timeout_seconds": _seconds,
}
