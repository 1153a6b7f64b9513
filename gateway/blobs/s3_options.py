"""What an operator says about an S3 store underneath, and what is known about the stores of this world."""

from collections.abc import Mapping
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MEBIBYTE: Final = 1024 * 1024
GIBIBYTE: Final = 1024 * MEBIBYTE


class Profile(BaseModel):
    """How a store differs from AWS. The defaults are what AWS does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    addressing_style: Literal["path", "virtual"] = "path"
    region: str = "us-east-1"
    conditional_writes: bool = True
    """``If-None-Match: *`` on PUT and on completing an upload; without it a HEAD precedes each write."""
    bulk_delete: bool = True
    """``DeleteObjects``; without it blobs are deleted one by one."""
    etag_is_md5: bool = True
    """The ETag is the MD5 of the bytes (of the parts' MD5s), so that what is read can be compared with it."""
    keeps_metadata: bool = True
    """``x-amz-meta-*`` survives; without it every description goes into an object of its own."""


PROFILES: Final[Mapping[str, Profile]] = {
    "aws": Profile(addressing_style="virtual"),
    "b2": Profile(conditional_writes=False),
    "ceph": Profile(conditional_writes=False),
    "garage": Profile(region="garage"),
    "gcs": Profile(region="auto", conditional_writes=False, bulk_delete=False, etag_is_md5=False),
    "generic": Profile(conditional_writes=False),
    "hetzner": Profile(conditional_writes=False),
    "minio": Profile(),
    "moto": Profile(),
    "r2": Profile(region="auto"),
    "rclone": Profile(conditional_writes=False, etag_is_md5=False, keeps_metadata=False),
    "rowlock": Profile(),
    "seaweedfs": Profile(conditional_writes=False),
    "wasabi": Profile(conditional_writes=False),
}


class S3Options(BaseModel):
    """One S3 backend. ``overrides`` replace single facts of the provider's profile."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: str = Field(min_length=1)
    prefix: str = ""
    endpoint: str | None = None
    public_endpoint: str | None = None
    """Where clients reach the store that a read is redirected to; None: at ``endpoint`` too."""
    provider: str = "generic"
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = Field(None, repr=False)
    session_token: str | None = Field(None, repr=False)
    credentials: Literal["keys", "aws", "anonymous"] = "keys"
    """In place of keys: ``aws``: whatever AWS's SDK finds (role of the machine, profile); ``anonymous``: none, for
    public buckets to import from."""
    ca_bundle: str | None = None
    overrides: Mapping[str, bool | str] = Field(default_factory=dict)

    part_bytes: int = Field(8 * MEBIBYTE, ge=5 * MEBIBYTE, le=5 * GIBIBYTE)
    copy_max_bytes: int = Field(5 * GIBIBYTE, ge=1, le=5 * GIBIBYTE)
    buffer_bytes: int = Field(32 * MEBIBYTE, ge=0)
    """Parts on their way are held in memory up to this size altogether, further ones in temporary files."""
    threads: int = Field(16, ge=1, le=256)
    attempts: int = Field(3, ge=1, le=10)
    connect_timeout_seconds: float = Field(5.0, gt=0)
    read_timeout_seconds: float = Field(30.0, gt=0)
    breaker_failures: int = Field(8, ge=1)
    breaker_open_seconds: float = Field(5.0, gt=0)

    @field_validator("provider")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in PROFILES:
            raise ValueError(f"unknown provider, use one of {', '.join(PROFILES)}")
        return value

    @field_validator("endpoint", "public_endpoint")
    @classmethod
    def _has_scheme(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("https://", "http://")):
            raise ValueError("an endpoint begins with https:// or http://")
        return value

    @field_validator("prefix")
    @classmethod
    def _ends_with_slash(cls, value: str) -> str:
        trimmed = value.strip("/")
        return f"{trimmed}/" if trimmed else ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.endpoint is None and self.provider != "aws":
            raise ValueError("endpoint is missing")
        if self.credentials == "keys" and not (self.access_key_id and self.secret_access_key):
            raise ValueError('access_key_id and secret_access_key are missing (or say "credentials": "aws")')
        self.profile  # noqa: B018 - raises for overrides that do not exist
        return self

    @property
    def profile(self) -> Profile:
        """The provider's facts with the overrides. Raises ValueError for an override that does not exist."""
        return Profile(**{**PROFILES[self.provider].model_dump(), **self.overrides})
