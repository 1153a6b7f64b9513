"""One world for all tests of the package."""

from collections.abc import Iterator

import pytest

from conformance.isolation.world import World, world
from conformance.target import target_from_environment


@pytest.fixture(scope="session")
def two_tenants() -> Iterator[World]:
    """A server with tenants A and B."""
    if target_from_environment() is not None:
        pytest.skip("the suite must start the server itself")
    with world() as built:
        yield built
