"""The server under test as a bare connection: what ``ROWLOCK_ENDPOINT`` names, or a Rowlock started for the run."""

import os

import pytest

from conformance.target import Target as Service
from conformance.wire.client import Target
from conformance.wire.signing import Account, Signer


@pytest.fixture(scope="session")
def edge(target: Service) -> Target:
    """Host and port, and the limits it was started with."""
    return Target.from_url(
        target.endpoint_url,
        header_timeout_seconds=float(os.environ.get("ROWLOCK_HEADER_TIMEOUT_SECONDS", "10")),
        body_idle_seconds=float(os.environ.get("ROWLOCK_BODY_IDLE_SECONDS", "20")),
    )


@pytest.fixture(scope="session")
def account(target: Service, edge: Target) -> Account:
    """The same with keys."""
    return Account(edge, Signer(target.access_key_id, target.secret_access_key, target.region))
