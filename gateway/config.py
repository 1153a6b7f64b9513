"""Settings: one typed, frozen object, read once at the start and passed down. Nothing is read at import.

Every field is also an environment variable ``ROWLOCK_<FIELD>``; the exceptions (``DATABASE_URL``) say so. Units are
in the names. ``rowlock config`` prints this class as the manual.
"""

import ipaddress
import os
import re
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.aliases import ALIASES, understood
from gateway.texts import comma_separated

MEBIBYTE: Final = 1024 * 1024
GIBIBYTE: Final = 1024 * MEBIBYTE


_ROLE: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class StorageApiSource(PydanticBaseSettingsSource):
    """The environment in storage-api's words."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[str | None, str, bool]:
        found = understood(field_name, os.environ)
        return (None if found is None else found.value), field_name, False

    def __call__(self) -> dict[str, str]:
        found = {name: self.get_field_value(self.settings_cls.model_fields[name], name)[0] for name in ALIASES}
        return {name: value for name, value in found.items() if value is not None}


class Settings(BaseSettings):
    """What an operator can choose. The defaults are right for a laptop and safe for a server."""

    model_config = SettingsConfigDict(env_prefix="ROWLOCK_", frozen=True, extra="ignore", env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What was said to us, then the environment, then what it says to storage-api (``aliases.py``)."""
        return init_settings, env_settings, StorageApiSource(settings_cls)

    # where things are
    data_dir: Path = Field(
        Path("./rowlock-data"), description="Directory of the files, the embedded Postgres and the keys"
    )
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(9000, ge=0, le=65535, description="Port of the S3 API")
    region: str = Field("us-east-1", min_length=1, description="Region that requests must be signed for")
    workers: int | None = Field(None, ge=1, le=256, description="Worker processes (default: one a processor)")
    edge: Literal["rowlock", "hypercorn"] = Field("rowlock", description="Who speaks HTTP/1.1 on connections")
    domain: str | None = Field(None, description="Base domain of virtual-host style, e.g. s3.example.com")
    tls_cert: Path | None = Field(None, description="Certificate chain (PEM); with tls_key the server speaks https")
    tls_key: Path | None = Field(None, description="Private key (PEM)")

    # the JSON API
    rest: bool = Field(True, description="Serve the JSON API under /storage/v1 of the port")
    rest_port: int | None = Field(
        None, ge=0, le=65535, description="Another port with the JSON API at its root, and S3 under /s3"
    )
    s3_signed_prefix: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="What a proxy takes off paths before /s3 of that port, which clients sign with it: /storage/v1",
    )
    rest_cors_origins: str = Field(
        "*", description="Origins whose pages may use the JSON API, with commas between; * for all"
    )
    rest_strict_keys: bool = Field(False, description="Take only the object names storage-api takes, which are ASCII")
    upload_url_seconds: int = Field(
        60, ge=1, le=31_536_000, description="How long a signed URL for an upload is good for"
    )
    pending_upload_max_seconds: int = Field(
        86_400, ge=1, le=31_536_000, description="Longest an upload may wait to be confirmed"
    )
    pending_uploads_max: int = Field(
        10_000, ge=1, le=1_000_000, description="Most uploads that wait to be confirmed at a time"
    )
    empty_bucket_max_objects: int = Field(
        200_000, ge=1, le=2**31 - 2, description="Most objects of a bucket that is emptied in one request"
    )
    url_key_generation: int = Field(
        1, ge=1, le=1_000_000, description="Generation of the keys that sign URLs; a greater one makes new keys"
    )
    url_key_oldest_generation: int = Field(
        1, ge=1, le=1_000_000, description="Oldest generation whose signed URLs are still good"
    )
    # where the bytes are
    backends: str | None = Field(None, description="Backends by name, as JSON (docs/backends.md)")
    backends_file: Path | None = Field(None, description="File that holds the same")
    default_backend: str = Field("file", min_length=1, description="Backend of buckets that name none")

    # reads that somebody else answers, and the CDN
    redirect_min_bytes: int = Field(
        MEBIBYTE, ge=1, description="Smallest object whose reads are redirected, in buckets that say so"
    )
    redirect_seconds: int = Field(
        120, ge=1, le=604_800, description="How long the presigned URL of a redirect is good for"
    )
    cdn_url: str | None = Field(
        None, description="URL of the CDN before the JSON API's public routes, or a template with {bucket} and {key}"
    )
    cdn_purge_url: str | None = Field(None, description="URL under which /purge tells the CDN what to forget")
    cdn_purge_key: SecretStr | None = Field(None, description="Bearer key of that URL")
    s_maxage_seconds: int = Field(
        0,
        ge=0,
        le=31_536_000,
        description="How long a CDN may keep objects of public buckets; 0: as their max-age says",
    )
    surrogate_header: Literal["surrogate-key", "cache-tag"] | None = Field(
        None, description="Header that labels objects of public buckets for the CDN (default: none)"
    )
    accel: Literal["x-accel-redirect", "x-sendfile"] | None = Field(
        None, description="Header by which trusted proxies are told to send files themselves (default: none)"
    )
    accel_prefix: str = Field(
        "/rowlock-files/", pattern=r"^/[A-Za-z0-9._~/-]*/$", description="Internal location of X-Accel-Redirect"
    )
    accel_root: Path | None = Field(None, description="Directory that location stands for (default: data_dir)")
    accel_min_bytes: int = Field(262_144, ge=1, description="Smallest file that a proxy is told to send")

    # Postgres
    database_url: SecretStr | None = Field(
        None, validation_alias="DATABASE_URL", description="Postgres to use instead of the embedded one"
    )
    database_pool_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_POOL_URL",
        description="The same database through a transaction pooler (PgBouncer), for requests; DATABASE_URL leads "
        "straight to it, for migrations",
    )
    postgres_bin: Path | None = Field(None, description="Directory of the Postgres programs for the embedded server")
    postgres_user: str | None = Field(None, description="System user of the embedded Postgres when started by root")
    database_pool_size: int = Field(16, ge=1, le=1000, description="Most connections a worker opens")
    database_pool_timeout_seconds: float = Field(5.0, gt=0, description="Longest wait for a connection before 503")
    statement_timeout_seconds: float = Field(30.0, gt=0, description="Longest run of one statement")

    # first key and secrets
    access_key_id: str | None = Field(None, description="First access key, given instead of generated")
    secret_access_key: SecretStr | None = Field(None, description="Its secret")
    master_key: SecretStr | None = Field(None, description="32 bytes, base64: encrypts stored secrets")
    master_key_file: Path | None = Field(None, description="File that holds the master key (default: in data_dir)")
    previous_master_keys: SecretStr | None = Field(
        None, description="Master keys used before, base64, with commas between: they open what they sealed"
    )

    # encryption of objects
    kms_key_ids: str | None = Field(
        None, description="Names of keys that aws:kms may write with, with commas between (default: any name)"
    )
    kms_default_key_id: str = Field(
        "aws/s3", min_length=1, description="Name of the key of aws:kms where the client gives none"
    )
    customer_keys_over_http: bool = Field(
        False, description="Take customer-provided keys (SSE-C) over plain http too; S3 asks for https"
    )

    # users' tokens
    jwt_secret: SecretStr | None = Field(
        None, description="Secret users' tokens are signed with (HS256, HS384, HS512): 32 bytes or more"
    )
    jwt_jwks: SecretStr | None = Field(None, description="Keys users' tokens are signed with: a JWKS document")
    jwks_url: str | None = Field(None, description="URL of the JWKS that the issuer of users' tokens publishes")
    jwt_audience: str | None = Field(None, description="Audiences, comma-separated: a token must name one of them")
    jwt_issuer: str | None = Field(None, description="Issuers, comma-separated: a token must be from one of them")

    anon_key: SecretStr | None = Field(
        None, description="Secret of session tokens on the S3 door, as Supabase's (default: made)"
    )

    roles: str = Field(
        "", description="Further Postgres roles that keys and tokens may name, with commas between (docs/tokens.md)"
    )

    tenant_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_.=+@:-]{1,128}$",
        description="Access key id of session tokens where there is one tenant (default: default)",
    )

    # many tenants
    multi_tenant: bool = Field(False, description="Serve the tenants of the control database, each its own database")
    control_database_url: SecretStr | None = Field(
        None, description="Postgres that keeps tenants, keys and the audit (default: the database of the one tenant)"
    )
    admin_host: str = Field("127.0.0.1", description="Address of the admin API")
    admin_port: int | None = Field(None, ge=0, le=65535, description="Port of the admin API (default: there is none)")
    admin_api_key: SecretStr | None = Field(
        None, description="Key of the admin API, 16 characters or more, sent as apikey or as a bearer token"
    )
    tenant_host_pattern: str | None = Field(
        None,
        description="Regular expression over the whole Host, lower-case, without port; its group `tenant`, or its "
        "first, is the tenant",
    )
    tenant_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9-]{1,64}$",
        description="Header by which trusted proxies name the tenant of a request whose key and host do not",
    )
    trusted_proxies: str = Field(
        "",
        description="Networks (CIDR), with commas between, whose X-Forwarded-Host and tenant header are "
        "believed, and which send files (accel)",
    )
    tenants_open: int = Field(200, ge=1, le=10_000, description="Most tenants a worker keeps open at a time")
    tenant_idle_seconds: float = Field(60.0, gt=0, description="Time without a request after which a tenant is closed")
    tenant_pool_size: int = Field(4, ge=3, le=1000, description="Most connections a worker opens for one tenant")
    tenant_connections: int = Field(
        800, ge=3, le=100_000, description="Most connections a worker opens for all tenants together"
    )

    # what is accepted
    allow_sigv2_post: bool = Field(
        False, description="Accept browser forms signed the old way (SigV2, HMAC-SHA1); nothing else ever is"
    )

    # limits
    max_object_bytes: int = Field(5 * 1024 * GIBIBYTE, ge=1, description="Largest object")
    max_put_bytes: int = Field(5 * GIBIBYTE, ge=1, description="Largest single PUT or part")
    inline_max_bytes: int = Field(4096, ge=0, le=MEBIBYTE, description="Objects up to this size live in the row itself")
    header_timeout_seconds: float = Field(10.0, gt=0, description="Longest time to send a request head")
    keep_alive_seconds: float = Field(75.0, gt=0, description="Idle time before a connection is closed")
    body_idle_seconds: float = Field(20.0, gt=0, description="Longest silence inside a request body")
    body_min_bytes_per_second: int = Field(1024, ge=0, description="Slowest body, averaged over a minute")
    send_idle_seconds: float = Field(60.0, gt=0, description="Longest time a client may take no answer bytes")
    drain_seconds: float = Field(60.0, ge=0, description="Time running requests get after SIGTERM")
    connections: int = Field(10_000, ge=1, description="Most open connections a worker keeps")

    # background work
    garbage_grace_seconds: float = Field(
        86_400.0, ge=0, description="How long released bytes are kept; longer than your restore window"
    )
    sweep_interval_seconds: float = Field(30.0, gt=0, description="How often the background worker looks for work")
    epoch_heartbeat_seconds: float = Field(5.0, gt=0, description="How often a worker says that it is alive")
    epoch_dead_seconds: float = Field(60.0, gt=0, description="Silence after which a worker counts as dead")
    quarantine_seconds: float = Field(
        14 * 86_400.0, ge=0, description="How long ownerless bytes are kept before they are destroyed"
    )
    lifecycle_day_seconds: float = Field(
        86_400.0, gt=0, le=86_400, description="What lifecycle rules take for a day; less only to test them"
    )

    # what it says
    log_format: Literal["auto", "json", "pretty"] = Field("auto", description="JSON, or pretty on a terminal")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level written")
    metrics_host: str = Field("127.0.0.1", description="Address of the metrics, which ask for no key")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="Port of GET /metrics for Prometheus (default: nothing is counted)"
    )
    tracing: bool | None = Field(
        None,
        description="Send OpenTelemetry spans (default: where OTEL_EXPORTER_OTLP_ENDPOINT says where to)",
    )
    tracing_parents: Literal["trusted", "all"] = Field(
        "trusted", description="Whose traceparent is heeded: that of trusted proxies, or everybody's"
    )

    @property
    def further_roles(self) -> frozenset[str]:
        """The Postgres roles of ``roles``."""
        return frozenset(comma_separated(self.roles))

    @field_validator("tenant_host_pattern")
    @classmethod
    def _compilable(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"this is no regular expression: {error}") from None
        if not groups:
            raise ValueError("the pattern needs a group that is the tenant")
        return value

    @field_validator("roles")
    @classmethod
    def _callers(cls, value: str) -> str:
        for role in comma_separated(value):
            if not _ROLE.fullmatch(role) or role.startswith(("pg_", "rowlock_")) or role in ("postgres", "public"):
                raise ValueError(f"no caller can act as the role {role!r}")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for network in comma_separated(value):
            ipaddress.ip_network(network)
        return value

    @field_validator("domain")
    @classmethod
    def _lower_domain(cls, value: str | None) -> str | None:
        return value.strip(".").lower() if value else None
