"""Preconditions: RFC 9110's precedence, and the forms S3 knows for writes."""

from datetime import UTC, datetime

import pytest

from gateway.errors import StorageError
from gateway.wire.conditions import (
    NO_CONDITIONS,
    WriteCondition,
    parse_copy_source_conditions,
    parse_http_date,
    parse_read_conditions,
    parse_write_condition,
)
from tests.unit.wire.requests import request

MODIFIED = datetime(2026, 11, 20, 12, 0, 0, 500_000, tzinfo=UTC)
SAME, EARLIER, LATER = (
    "Fri, 20 Nov 2026 12:00:00 GMT",
    "Fri, 20 Nov 2026 11:59:59 GMT",
    "Fri, 20 Nov 2026 12:00:01 GMT",
)


def outcome(*headers: tuple[bytes, bytes]) -> str:
    conditions = parse_read_conditions(request("GET", b"/b/k", *headers))
    try:
        conditions.check('"abc"', MODIFIED)
    except StorageError as error:
        return error.code.name
    return "ok"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (b"if-match", b'"abc"', "ok"),
        (b"if-match", b"abc", "ok"),
        (b"if-match", b"*", "ok"),
        (b"if-match", b'"x", "abc"', "ok"),
        (b"if-match", b'W/"abc"', "PreconditionFailed"),
        (b"if-match", b'"x"', "PreconditionFailed"),
        (b"if-match", b"", "PreconditionFailed"),
        (b"if-none-match", b'"abc"', "NotModified"),
        (b"if-none-match", b'W/"abc"', "NotModified"),
        (b"if-none-match", b"*", "NotModified"),
        (b"if-none-match", b'"x","abc"', "NotModified"),
        (b"if-none-match", b'"x"', "ok"),
        (b"if-modified-since", SAME.encode(), "NotModified"),
        (b"if-modified-since", LATER.encode(), "NotModified"),
        (b"if-modified-since", EARLIER.encode(), "ok"),
        (b"if-modified-since", b"yesterday", "ok"),
        (b"if-unmodified-since", SAME.encode(), "ok"),
        (b"if-unmodified-since", EARLIER.encode(), "PreconditionFailed"),
        (b"if-unmodified-since", b"99999999999", "ok"),
    ],
)
def test_single_condition(name: bytes, value: bytes, expected: str) -> None:
    assert outcome((name, value)) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        # a true If-Match makes If-Unmodified-Since irrelevant, a false If-None-Match If-Modified-Since
        ([(b"if-match", b'"abc"'), (b"if-unmodified-since", EARLIER.encode())], "ok"),
        ([(b"if-none-match", b'"abc"'), (b"if-modified-since", EARLIER.encode())], "NotModified"),
        ([(b"if-none-match", b'"x"'), (b"if-modified-since", LATER.encode())], "ok"),
        # 412 is found before 304
        ([(b"if-match", b'"x"'), (b"if-none-match", b'"abc"')], "PreconditionFailed"),
        ([(b"if-match", b'"abc"'), (b"if-none-match", b'"abc"')], "NotModified"),
    ],
)
def test_precedence(headers: list[tuple[bytes, bytes]], expected: str) -> None:
    assert outcome(*headers) == expected


def test_none_is_shared() -> None:
    assert parse_read_conditions(request()) is NO_CONDITIONS


def test_copy_source_conditions_always_fail_with_412() -> None:
    made = parse_copy_source_conditions(request("PUT", b"/b/k", (b"x-amz-copy-source-if-none-match", b'"abc"')))
    with pytest.raises(StorageError, match="PreconditionFailed") as refusal:
        made.check_copy_source("abc", MODIFIED)
    assert refusal.value.fields["Condition"] == "x-amz-copy-source-If-None-Match"
    made.check_copy_source("other", MODIFIED)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([(b"if-none-match", b"*")], WriteCondition(None, "*")),
        ([(b"if-match", b'"abc"')], WriteCondition("abc", None)),
        ([(b"if-match", b"abc")], WriteCondition("abc", None)),
        ([(b"if-match", b"*")], WriteCondition("*", None)),
        ([(b"if-none-match", b'"abc"')], WriteCondition(None, "abc")),
    ],
)
def test_write_condition(headers: list[tuple[bytes, bytes]], expected: WriteCondition | None) -> None:
    assert parse_write_condition(request("PUT", b"/b/k", *headers)) == expected


@pytest.mark.parametrize(
    "headers",
    [
        [(b"if-none-match", b"*"), (b"if-match", b'"abc"')],
        [(b"if-match", b'"a", "b"')],
        [(b"if-none-match", b'"a", "b"')],
        [(b"if-none-match", b'W/"a"')],
        [(b"if-match", b'W/"a"')],
        [(b"if-match", b'""')],
    ],
)
def test_write_conditions_S3_lacks_are_NotImplemented(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(StorageError, match="NotImplemented"):
        parse_write_condition(request("PUT", b"/b/k", *headers))


@pytest.mark.parametrize(
    ("condition", "current", "expected"),
    [
        (WriteCondition(None, "*"), None, None),
        (WriteCondition(None, "*"), "abc", "PreconditionFailed"),
        (WriteCondition(None, "abc"), None, None),
        (WriteCondition(None, "abc"), "other", None),
        (WriteCondition(None, "abc"), "abc", "PreconditionFailed"),
        (WriteCondition("*", None), "abc", None),
        (WriteCondition("*", None), None, "NoSuchKey"),
        (WriteCondition("abc"), "abc", None),
        (WriteCondition("abc"), '"abc"', None),
        (WriteCondition("abc"), "abd", "PreconditionFailed"),
        (WriteCondition("abc"), None, "NoSuchKey"),
    ],
)
def test_write_condition_check(condition: WriteCondition, current: str | None, expected: str | None) -> None:
    if expected is None:
        condition.check(current)
        return
    with pytest.raises(StorageError, match=expected):
        condition.check(current)


def test_http_dates() -> None:
    assert parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT") == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert parse_http_date("Sun Nov  6 08:49:37 1994") == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert parse_http_date("garbage") is None
