"""How long a CDN may keep what everybody may read."""

import pytest

from gateway.rest.downloads import for_a_cdn


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
    assert for_a_cdn(stored, 300) == expected
    assert for_a_cdn(stored, 0) == stored
