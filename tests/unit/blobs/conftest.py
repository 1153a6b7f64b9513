"""An S3 server for the S3 store to stand on: a second Rowlock, or the peer that ``ROWLOCK_UPSTREAM`` names."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from conformance.bench.peers import PEERS, started
from conformance.server import shared_server

from .support import Upstream

BUCKET = "blobs"


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """The server, shared by the workers of a run, with an empty bucket."""
    provider = os.environ.get("ROWLOCK_UPSTREAM", "rowlock")
    base = tmp_path_factory.getbasetemp()
    with ExitStack() as stack:
        if provider == "rowlock":
            shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
            target = stack.enter_context(shared_server(shared, "upstream")).target
            made = Upstream(target.endpoint_url, provider, target.access_key_id, target.secret_access_key, BUCKET)
        else:
            peer = stack.enter_context(started(provider, PEERS[provider], Path(base)))
            url = f"http://{peer.host}:{peer.port}"
            made = Upstream(url, provider, peer.access_key_id, peer.secret_access_key, BUCKET)
        client = boto3.client(
            "s3",
            endpoint_url=made.endpoint,
            region_name="us-east-1",
            aws_access_key_id=made.access_key_id,
            aws_secret_access_key=made.secret_access_key,
            config=Config(s3={"addressing_style": "path"}),
        )
        try:
            client.create_bucket(Bucket=BUCKET)
        except (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            pass
        finally:
            client.close()
        yield made
