"""The unsigned checks of ``checks.py`` against a server."""

import pytest

from conformance.wire.checks import CHECKS, Check
from conformance.wire.client import Target


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_wire(edge: Target, check: Check) -> None:
    check(edge)
