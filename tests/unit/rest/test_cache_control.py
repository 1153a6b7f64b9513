"""Who may keep a copy: what everybody may read may be shared, the rest is the client's own."""

import pytest

from gateway.rest.downloads import cache_control


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("max-age=60", "max-age=60, s-maxage=300"),
        ("public, max-age=60", "public, max-age=60, s-maxage=300"),
        ("max-age=60, S-MaxAge=5", "max-age=60, S-MaxAge=5"),
        ("no-cache", "no-cache"),
        ("no-store", "no-store"),
        ("private, max-age=60", "private, max-age=60"),
    ],
)
def test_public_objects_may_be_kept_by_a_cdn(stored: str, expected: str) -> None:
    assert cache_control(stored, 300, is_public=True) == expected
    assert cache_control(stored, 0, is_public=True) == stored


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("max-age=60", "private, max-age=60"),
        ("Public, max-age=60, s-maxage=600", "private, max-age=60"),
        ("no-cache", "private, no-cache"),
        ("no-store", "no-store"),
        ("private", "private"),
    ],
)
def test_other_objects_are_never_shared(stored: str, expected: str) -> None:
    assert cache_control(stored, 300, is_public=False) == expected
