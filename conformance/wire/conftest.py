"""Where the server under test is: ``ROWLOCK_ENDPOINT``; without it the black-box tests are skipped."""

import os

import pytest

from conformance.wire.client import Target


@pytest.fixture(scope="session")
def target() -> Target:
    url = os.environ.get("ROWLOCK_ENDPOINT")
    if not url:
        pytest.skip("ROWLOCK_ENDPOINT is not set")
    return Target.from_url(
        url,
        header_timeout_seconds=float(os.environ.get("ROWLOCK_HEADER_TIMEOUT_SECONDS", "10")),
        body_idle_seconds=float(os.environ.get("ROWLOCK_BODY_IDLE_SECONDS", "20")),
    )
