"""An S3 server for the S3 store to stand on: a second Rowlock, or the one that ``ROWLOCK_UPSTREAM`` names."""

import os
from collections.abc import Iterator

import pytest

from conformance.upstream import Upstream, shared_upstream


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    """The server, shared by the workers of a run, with a bucket."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    with shared_upstream(shared, os.environ.get("ROWLOCK_UPSTREAM", "rowlock")) as running:
        yield running
