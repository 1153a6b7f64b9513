"""Memory and time that do not grow with the data: the short forms of ``python -m tests.faults.big``."""

import pytest

from tests.faults.big import GIB, MIB, large_object, listings

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def test_large_object_takes_little_memory() -> None:
    figures = large_object(GIB)
    print(figures)
    assert max(figures.peak_bytes.values()) < 256 * MIB


def test_page_of_a_million_keys_takes_no_more_than_twice_that_of_ten_thousand() -> None:
    found = listings(10_000, 1_000_000, rounds=15)
    for line in found:
        print(line)
    assert max(line.ratio for line in found) <= 2
