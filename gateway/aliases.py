"""Settings of Supabase's storage-api that are understood where Rowlock's own are not given.

Two of the names are anybody's; they count only where another says that this environment was made for storage-api.
"""

from collections.abc import Mapping
from typing import Final

ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "data_dir": ("STORAGE_FILE_BACKEND_PATH", "FILE_STORAGE_BACKEND_PATH"),
    "region": ("SERVER_REGION", "REGION"),
    "access_key_id": ("S3_PROTOCOL_ACCESS_KEY_ID",),
    "secret_access_key": ("S3_PROTOCOL_ACCESS_KEY_SECRET",),
    "jwt_secret": ("AUTH_JWT_SECRET", "PGRST_JWT_SECRET"),
    "jwt_jwks": ("JWT_JWKS",),
    "anon_key": ("ANON_KEY",),
    "max_object_bytes": ("UPLOAD_FILE_SIZE_LIMIT", "FILE_SIZE_LIMIT"),
    "max_put_bytes": ("UPLOAD_FILE_SIZE_LIMIT_STANDARD",),
    "upload_url_seconds": ("UPLOAD_SIGNED_URL_EXPIRATION_TIME",),
    "cdn_purge_url": ("CDN_PURGE_ENDPOINT_URL",),
    "cdn_purge_key": ("CDN_PURGE_ENDPOINT_KEY",),
    "s_maxage_seconds": ("RESPONSE_S_MAXAGE",),
    "empty_bucket_max_objects": ("STORAGE_EMPTY_BUCKET_MAX",),
}

_COMMON: Final = frozenset({"REGION", "FILE_SIZE_LIMIT"})
_TELLING: Final = ("AUTH_JWT_SECRET", "PGRST_JWT_SECRET", "STORAGE_BACKEND")
# storage-api's way to say that a limit is off
_OFF: Final = {"UPLOAD_FILE_SIZE_LIMIT_STANDARD": "0"}


def alias_of(field: str, environment: Mapping[str, str]) -> str | None:
    """The variable of storage-api that gives this setting a value here."""
    is_made_for_it = any(environment.get(name) for name in _TELLING)
    for name in ALIASES.get(field, ()):
        value = environment.get(name)
        if value and value != _OFF.get(name) and (is_made_for_it or name not in _COMMON):
            return name
    return None
