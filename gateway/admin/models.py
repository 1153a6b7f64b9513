"""What the admin API takes and gives, as pydantic models; its OpenAPI document is made out of them."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.tenants.audit import AuditEntry
from gateway.tenants.directory import TenantInfo
from gateway.tenants.jwks import JwkInfo
from gateway.tenants.limits import TenantLimits
from gateway.tenants.migrations import MigrationState
from gateway.tenants.registry import AccessKeyInfo
from gateway.tenants.transfers import Transfer as StoredTransfer


class Model(BaseModel):
    """Unknown members are refused: a misspelt limit must not be no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(Model):
    """What a tenant may use; null is no limit of its own."""

    requests_per_second: float | None = Field(None, ge=0, description="Requests a second, in each worker")
    request_burst: int | None = Field(None, ge=1, description="Requests at once before the rate counts")
    concurrent_requests: int | None = Field(None, ge=0, description="Requests at a time, in each worker")
    connections: int | None = Field(None, ge=0, description="Connections to its database, of each worker; 3 at least")
    max_object_bytes: int | None = Field(None, ge=0, description="Largest object")
    storage_bytes: int | None = Field(None, ge=0, description="Bytes of all objects and versions")
    multipart_uploads: int | None = Field(None, ge=0, description="Open multipart uploads")

    def limits(self) -> TenantLimits:
        """As the core knows them."""
        return TenantLimits.of(self.model_dump())


class TenantChanges(Model):
    """What may be changed of a tenant; what is not there stays as it is, null takes it away."""

    database_url: SecretStr | None = Field(None, description="Postgres URL of the gateway's login")
    owner_url: SecretStr | None = Field(None, description="Postgres URL of the schema's owner, if it is another login")
    pool_url: SecretStr | None = Field(None, description="Postgres URL through a transaction pooler, for requests")
    jwt_secret: SecretStr | None = Field(None, description="Secret that the tokens of users are signed with")
    description: str | None = None
    region: str | None = Field(None, description="Region that requests must be signed for (default: the server's)")
    jwks_url: str | None = Field(None, description="https URL of the JWKS that the issuer of users' tokens publishes")
    jwt_audience: str | None = Field(None, description="Audiences, comma-separated: a token must name one of them")
    jwt_issuer: str | None = Field(None, description="Issuers, comma-separated: a token must be from one of them")
    limits: Limits | None = None
    features: dict[str, Any] | None = Field(None, description="Doors it has or not: s3, rest, sts")
    backends: dict[str, Any] | None = Field(
        None,
        description="default: the backend of its buckets; named: its own, as in ROWLOCK_BACKENDS",
    )
    hosts: list[str] | None = Field(None, description="Further host names that lead to this tenant")

    def given(self) -> dict[str, Any]:
        """The members that were sent, as the directory takes them."""
        values: dict[str, Any] = {}
        for name in self.model_fields_set:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            elif isinstance(value, Limits):
                value = value.limits()
            values[name] = _EMPTY[name]() if value is None and name in _EMPTY else value
        return values


_EMPTY: dict[str, Any] = {"limits": TenantLimits, "features": dict, "backends": dict, "hosts": list}


class NewTenant(TenantChanges):
    """A tenant to make."""

    id: str = Field(description="1 to 63 of a-z 0-9 _ -; never given out again")
    database_url: SecretStr = Field(description="Postgres URL of the gateway's login")


class Tenant(Model):
    """A tenant, without its secrets."""

    id: str
    status: Literal["active", "suspended"]
    description: str | None
    region: str | None
    jwks_url: str | None
    jwt_audience: str | None
    jwt_issuer: str | None
    limits: Limits
    features: dict[str, Any]
    backends: dict[str, Any]
    hosts: list[str]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, info: TenantInfo) -> "Tenant":
        return cls(
            id=info.id,
            status=info.status,
            description=info.description,
            region=info.region,
            jwks_url=info.jwks_url,
            jwt_audience=info.jwt_audience,
            jwt_issuer=info.jwt_issuer,
            limits=Limits(**info.limits.document),
            features=dict(info.features),
            backends=dict(info.backends),
            hosts=list(info.hosts),
            created_at=info.created_at,
            updated_at=info.updated_at,
        )


class Tenants(Model):
    """A page of tenants; ``next`` is the ``after`` of the next one."""

    tenants: list[Tenant]
    next: str | None


class Health(Model):
    """Whether a tenant's database answers, and where its schema stands."""

    id: str
    status: Literal["active", "suspended"]
    database: Literal["ok", "unreachable"]
    migration: Literal["current", "pending", "running", "failed"]
    used_bytes: int | None = Field(description="Stored bytes, where there is a limit of them")


class NewKey(Model):
    """An access key to make. ``buckets``, ``prefix`` and ``read_only`` narrow what it may do."""

    access_key_id: str | None = Field(None, description="3 to 128 characters (default: generated)")
    secret_access_key: SecretStr | None = Field(None, description="At least 8 characters (default: generated)")
    role: str = Field("service_role", description="Postgres role that its requests run as")
    subject: str | None = Field(None, description="Owner of what the key creates")
    display_name: str | None = None
    claims: dict[str, Any] = Field(default_factory=dict, description="What policies read as the caller's JWT")
    description: str | None = None
    expires_at: datetime | None = None
    buckets: list[str] | None = None
    prefix: str | None = None
    read_only: bool = False


class Key(Model):
    """An access key, without its secret."""

    access_key_id: str
    role: str
    subject: str | None
    display_name: str | None
    claims: dict[str, Any]
    description: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    buckets: list[str] | None
    prefix: str | None
    read_only: bool

    @staticmethod
    def facts(info: AccessKeyInfo) -> dict[str, Any]:
        """The members of this model."""
        facts = {name: getattr(info, name) for name in Key.model_fields}
        return facts | {
            "claims": dict(info.claims),
            "buckets": None if info.buckets is None else list(info.buckets),
        }


class KeyWithSecret(Key):
    """An access key with its secret, which is shown this once."""

    secret_access_key: str


class Keys(Model):
    """A page of access keys; ``next`` is the ``after`` of the next one."""

    keys: list[Key]
    next: str | None


class NewJwk(Model):
    """A public (or symmetric) JSON Web Key, RFC 7517, with its ``kid`` and ``alg``."""

    jwk: dict[str, Any]


class Jwk(Model):
    """A stored key, without itself."""

    kid: str
    algorithm: str
    signing: bool
    created_at: datetime

    @classmethod
    def of(cls, info: JwkInfo) -> "Jwk":
        return cls(kid=info.kid, algorithm=info.algorithm, signing=info.signing, created_at=info.created_at)


class Jwks(Model):
    """The keys of a tenant."""

    keys: list[Jwk]


class Migration(Model):
    """Where the database of a tenant stands."""

    tenant_id: str
    status: Literal["current", "pending", "running", "failed"]
    version: str | None
    attempts: int
    error: str | None
    finished_at: datetime | None
    retry_at: datetime | None

    @classmethod
    def of(cls, tenant_id: str, state: MigrationState, *, current: bool) -> "Migration":
        return cls(
            tenant_id=tenant_id,
            status=migration_status(state, current=current),
            version=state.version,
            attempts=state.attempts,
            error=state.error,
            finished_at=state.finished_at,
            retry_at=state.retry_at,
        )


class Migrations(Model):
    """A page of tenants with where they stand."""

    migrations: list[Migration]
    next: str | None


class NewTransfer(Model):
    """A move or a replication of a bucket to ask for."""

    kind: Literal["move", "replicate"]
    bucket: str = Field(min_length=1, max_length=255)
    backend: str = Field(
        min_length=1, max_length=255, description="A name of ROWLOCK_BACKENDS; for replicate, a replica"
    )
    concurrency: int = Field(4, ge=1, le=64, description="Objects at once")
    bytes_per_second: int | None = Field(None, ge=1, lt=2**63, description="Most, reading and writing together")


class Transfer(Model):
    """A move or a replication and how far it is; ``objects_left`` is null until it was counted."""

    id: int
    kind: Literal["move", "replicate"]
    bucket: str
    backend: str
    status: Literal["running", "paused", "done", "failed", "cancelled"]
    concurrency: int
    bytes_per_second: int | None
    objects: int
    size_bytes: int
    failed_objects: int
    objects_left: int | None
    error: str | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, found: StoredTransfer) -> "Transfer":
        return cls(**{name: getattr(found, name) for name in cls.model_fields})


class Transfers(Model):
    """Transfers of a tenant, the newest first; ``next`` is the ``before`` of the next page."""

    transfers: list[Transfer]
    next: int | None


class Audit(Model):
    """One change of the control database."""

    id: int
    at: datetime
    actor: str
    client_address: str | None
    request_id: str | None
    tenant_id: str | None
    action: str
    target: str
    changed: list[str]

    @classmethod
    def of(cls, entry: AuditEntry) -> "Audit":
        return cls(**{name: getattr(entry, name) for name in cls.model_fields})


class AuditPage(Model):
    """Changes, the newest first; ``next`` is the ``before`` of the next page."""

    entries: list[Audit]
    next: int | None


class Error(Model):
    """What every refusal looks like."""

    code: str
    message: str
    request_id: str


def migration_status(
    state: MigrationState | None, *, current: bool
) -> Literal["current", "pending", "running", "failed"]:
    """``pending`` is a database that nobody has looked at since this program or its limits are what they are."""
    if current:
        return "current"
    if state is None or state.status is None or state.status == "current":
        return "pending"
    return "running" if state.status == "running" else "failed"
