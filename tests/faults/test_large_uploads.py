"""The short form of ``python -m conformance.bench.uploads`` (reliability: F23)."""

import pytest

from conformance.bench.uploads import LIMIT_MEBIBYTES, run

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def test_memory_stays_bounded_while_many_upload_at_once() -> None:
    result = run(20, 16)
    assert result.highest_mebibytes <= LIMIT_MEBIBYTES, result
