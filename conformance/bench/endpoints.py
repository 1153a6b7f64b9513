"""Where a load goes: an S3 endpoint over plain HTTP, its keys, and the process to charge for the CPU time."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from conformance.bench.signing import Signer

BUCKET: Final = "bench"
DEFAULT_REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server of a comparison. ``pid`` is the root of its process tree, where it is on this machine and known."""

    name: str
    host: str
    port: int
    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str = DEFAULT_REGION
    pid: int | None = None
    database_url: str | None = field(default=None, repr=False)

    @classmethod
    def of_url(
        cls, name: str, url: str, access_key_id: str, secret_access_key: str, region: str, pid: int | None
    ) -> "Endpoint":
        """An endpoint by URL. Raises ValueError: TLS is not measured here, it would mostly measure OpenSSL."""
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"{url}: an http:// URL is needed")
        return cls(name, parts.hostname, parts.port or 80, access_key_id, secret_access_key, region, pid)

    def with_database(self, url: str | None) -> "Endpoint":
        """The same endpoint, whose buckets can be filled by SQL."""
        return replace(self, database_url=url)

    def signer(self) -> Signer:
        """A signer for requests that are sent within the next minutes."""
        host = self.host if self.port == 80 else f"{self.host}:{self.port}"
        return Signer(
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
            region=self.region,
            host=host,
            moment=datetime.now(UTC),
        )
