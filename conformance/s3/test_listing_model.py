"""Listings against a reference written in a dozen lines of Python, page by page, over generated questions."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.s3.test_listing import contents, prefixes, put_all

KEYS = sorted(
    {
        "a", "a/", "a/a", "a/b", "a/b/", "a/b/c", "a/b/d/e", "a//b", "a-b", "a0", "ab", "ab/", "ab/c", "b", "b/b/b/b",
        "/", "//", "/a", "/a/b", "c/é/x", "c/é/y", "c/ü", "c/日本/1", "c/日本/2", "c/😀/1", "c/\uffee/1",
        "d", "d/1", "d/2", "d/3", "d/4", "d/5", "d/6", "e%2Ff", "e+f", "e f/g", "f_g", "f%g", "fxg", "z\\z", "~",
    },
    key=str.encode,
)  # fmt: skip
PREFIXES = [*sorted({"", *(key[:length] for key in KEYS for length in (1, 2, 3))}), "nobody"]
DELIMITERS = ["", "/", "b", "//", "é", "a/", "zz"]


def reference(prefix: str, delimiter: str, after: str) -> list[str]:
    """Keys and common prefixes (marked by a leading NUL) a listing must answer, in order, if pages were endless."""
    answer: list[str] = []
    for key in KEYS:
        if key.encode() <= after.encode() or not key.startswith(prefix):
            continue
        rest = key[len(prefix) :]
        if delimiter and delimiter in rest:
            common = "\0" + prefix + rest[: rest.index(delimiter) + len(delimiter)]
            if common not in answer:
                answer.append(common)
        else:
            answer.append(key)
    return answer


def entries(page: Any) -> list[str]:
    """A page in the form of :func:`reference`."""
    found = contents(page) + ["\0" + prefix for prefix in prefixes(page)]
    return sorted(found, key=lambda entry: entry.lstrip("\0").encode())


def starts_inside_a_common_prefix(prefix: str, delimiter: str, after: str) -> bool:
    """AWS does not say whether the rest of a common prefix that ``after`` lies in is listed: not asked."""
    rest = after[len(prefix) :] if after.startswith(prefix) else ""
    return bool(delimiter) and delimiter in rest


@pytest.fixture(scope="module")
def modelled(s3: Any, module_bucket: str) -> str:
    """A bucket that holds exactly KEYS."""
    put_all(s3, module_bucket, KEYS)
    return module_bucket


questions = given(
    prefix=st.sampled_from(PREFIXES),
    delimiter=st.sampled_from(DELIMITERS),
    after=st.sampled_from(["", *KEYS, "c", "zzz", "d/35"]),
    page_size=st.sampled_from([1, 2, 3, 5, 1000]),
)
deterministic = settings(
    max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@deterministic
@questions
def test_ListObjectsV2_equals_reference(
    s3: Any, modelled: str, prefix: str, delimiter: str, after: str, page_size: int
) -> None:
    if starts_inside_a_common_prefix(prefix, delimiter, after):
        after = ""
    expected = reference(prefix, delimiter, after)
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = s3.list_objects_v2(
            Bucket=modelled, Prefix=prefix, Delimiter=delimiter, StartAfter=after, MaxKeys=page_size, **token
        )
        answered = entries(page)
        assert answered == expected[len(found) : len(found) + page_size]
        assert page["KeyCount"] == len(answered)
        found += answered
        assert page["IsTruncated"] == (len(found) < len(expected))
        if not page["IsTruncated"]:
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    assert found == expected


@deterministic
@questions
def test_ListObjects_equals_reference(
    s3: Any, modelled: str, prefix: str, delimiter: str, after: str, page_size: int
) -> None:
    if starts_inside_a_common_prefix(prefix, delimiter, after):
        after = ""
    expected = reference(prefix, delimiter, after)
    found: list[str] = []
    marker = after
    while True:
        page = s3.list_objects(Bucket=modelled, Prefix=prefix, Delimiter=delimiter, Marker=marker, MaxKeys=page_size)
        answered = entries(page)
        assert answered == expected[len(found) : len(found) + page_size]
        found += answered
        assert page["IsTruncated"] == (len(found) < len(expected))
        if not page["IsTruncated"]:
            break
        marker = page["NextMarker"] if delimiter else contents(page)[-1]
        assert marker == answered[-1].lstrip("\0")
    assert found == expected


@deterministic
@questions
def test_ListObjectVersions_equals_reference(
    s3: Any, modelled: str, prefix: str, delimiter: str, after: str, page_size: int
) -> None:
    del after
    expected = reference(prefix, delimiter, "")
    found: list[str] = []
    markers: dict[str, str] = {}
    while True:
        page = s3.list_object_versions(
            Bucket=modelled, Prefix=prefix, Delimiter=delimiter, MaxKeys=page_size, **markers
        )
        keys = [entry["Key"] for entry in page.get("Versions", [])]
        answered = sorted(
            keys + ["\0" + common for common in prefixes(page)], key=lambda entry: entry.lstrip("\0").encode()
        )
        assert answered == expected[len(found) : len(found) + page_size]
        found += answered
        assert page["IsTruncated"] == (len(found) < len(expected))
        if not page["IsTruncated"]:
            break
        markers = {"KeyMarker": page["NextKeyMarker"]}
        if page.get("NextVersionIdMarker"):
            markers["VersionIdMarker"] = page["NextVersionIdMarker"]
    assert found == expected
