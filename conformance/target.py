"""What the suites are pointed at: an S3 endpoint and keys, from the environment or from a server started here."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

DEFAULT_REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True)
class Target:
    """An S3 endpoint, the keys of an account that may do everything there, and how to trust its certificate."""

    endpoint_url: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str = DEFAULT_REGION
    ca_bundle: str | None = None

    @property
    def secure(self) -> bool:
        """Whether the endpoint speaks https."""
        return urlsplit(self.endpoint_url).scheme == "https"

    @property
    def host(self) -> str:
        """Host and port as a client puts them into ``Host``."""
        return urlsplit(self.endpoint_url).netloc

    def client(self, **config: Any) -> Any:
        """A boto3 S3 client: path style, no retries (an error must be seen, not hidden), SDK defaults otherwise."""
        options: dict[str, Any] = {
            "s3": {"addressing_style": "path"},
            "retries": {"total_max_attempts": 1},
            "connect_timeout": 10,
            "read_timeout": 60,
            "max_pool_connections": 64,
            "signature_version": "s3v4",
        }
        return self.session().client(
            "s3",
            endpoint_url=self.endpoint_url,
            verify=self.ca_bundle if self.ca_bundle else True,
            config=Config(**(options | config)),
        )

    def session(self) -> boto3.session.Session:
        """A boto3 session with these keys."""
        return boto3.session.Session(
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            region_name=self.region,
        )

    def environment(self) -> dict[str, str]:
        """The variables every AWS client reads, over a copy of ours without anybody's profiles."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ROWLOCK_"))}
        kept |= {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "NO_PROXY": "*",
        }
        if self.ca_bundle:
            kept["AWS_CA_BUNDLE"] = self.ca_bundle
        return kept


def target_from_environment(environ: Mapping[str, str] = os.environ) -> Target | None:
    """The endpoint named by ``ROWLOCK_ENDPOINT``, or None when the suite shall start Rowlock itself.

    Raises:
        KeyError: an endpoint is named but not its keys.
    """
    endpoint_url = environ.get("ROWLOCK_ENDPOINT")
    if not endpoint_url:
        return None
    return Target(
        endpoint_url=endpoint_url.rstrip("/"),
        access_key_id=environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
        region=environ.get("AWS_REGION", DEFAULT_REGION),
        ca_bundle=environ.get("ROWLOCK_CA_BUNDLE"),
    )
