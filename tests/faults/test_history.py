"""The checker itself: it accepts what is in order and, above all, refuses what is not."""

from math import inf

import pytest

from tests.faults.history import Event, Kind, is_linearizable

W, D, R, E = Kind.WRITE, Kind.DELETE, Kind.READ, Kind.EXISTS


def events(*rows: tuple[Kind, str | bool | None, float, float]) -> list[Event]:
    return [Event("k", *row) for row in rows]


@pytest.mark.parametrize(
    "rows",
    [
        [(W, "a", 0, 1), (R, "a", 2, 3), (D, None, 4, 5), (R, None, 6, 7)],
        [(W, "a", 0, 5), (R, None, 1, 2), (R, "a", 3, 4)],
        [(W, "a", 0, 1), (W, "b", 2, inf), (R, "a", 3, 4), (R, "b", 5, 6), (E, True, 7, 8)],
        [(W, "a", 0, inf), (R, None, 1, 2)],
        [(W, "a", 0, 1), (D, None, 0.5, inf), (R, "a", 2, 3), (R, None, 4, 5)],
    ],
)
def test_explained(rows: list[tuple[Kind, str | bool | None, float, float]]) -> None:
    assert is_linearizable(events(*rows))


@pytest.mark.parametrize(
    "rows",
    [
        [(W, "a", 0, 1), (R, None, 2, 3)],  # acknowledged and lost
        [(W, "a", 0, 1), (W, "b", 2, 3), (R, "a", 4, 5)],  # stale
        [(W, "a", 0, inf), (R, "a", 1, 2), (W, "b", 3, 4), (R, "a", 5, 6)],  # took effect twice
        [(D, None, 0, inf), (W, "a", 1, 2), (R, None, 3, 4), (W, "b", 5, 6), (R, None, 7, 8)],  # deleted twice
        [(W, "a", 0, 1), (R, "b", 2, 3)],  # never written
        [(W, "a", 0, 1), (D, None, 2, 3), (E, True, 4, 5)],  # listed although deleted
    ],
)
def test_refused(rows: list[tuple[Kind, str | bool | None, float, float]]) -> None:
    assert not is_linearizable(events(*rows))
