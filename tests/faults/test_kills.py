"""SIGKILL at random moments (reliability §2.4.2): the short form of ``python -m tests.faults.kills``."""

import pytest

from tests.faults.kills import run

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def test_random_kills_lose_nothing() -> None:
    result = run(kills=10, seconds=75, seed=7, say=print)
    assert result.kills.total() >= 4
    assert result.outcomes["put ok"] > 20
