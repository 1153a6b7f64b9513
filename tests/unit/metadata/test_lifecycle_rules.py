"""What lifecycle rules cover and when they act."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metadata import lifecycle_rules
from gateway.metadata.lifecycle_rules import Calendar, CurrentVersion, NoncurrentVersion, Rule, expiry, key_ranges

NOON = datetime(2014, 1, 15, 10, 30, tzinfo=UTC)
DAY = timedelta(days=1)
ID = UUID(int=1)

instants = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
numbers_of_days = st.integers(1, 10_000)
calendars = st.sampled_from([86_400.0, 3600.0, 10.0, 0.5]).map(Calendar)
keys = st.text("ab/", max_size=6)


def read(**entry: Any) -> Rule:
    [rule] = lifecycle_rules.read({"Rules": [{"ID": "r", "Status": "Enabled", **entry}]})
    return rule


def test_example_of_the_AWS_user_guide() -> None:
    """Created 1/15/2014 10:30 AM UTC with three days: 1/19/2014 00:00 UTC."""
    assert Calendar().due(NOON, 3) == datetime(2014, 1, 19, tzinfo=UTC)


@pytest.mark.parametrize(
    ("created", "expires"),
    [
        (datetime(2024, 2, 28, 0, 0, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
        (datetime(2024, 2, 28, 23, 59, 59, 999999, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)),
        (datetime(2024, 12, 31, 12, 0, tzinfo=UTC), datetime(2025, 1, 2, tzinfo=UTC)),
    ],
)
def test_one_day_over_the_ends_of_months(created: datetime, expires: datetime) -> None:
    assert Calendar().due(created, 1) == expires


@given(instants, numbers_of_days, calendars)
def test_due_is_the_first_midnight_after_all_the_days(since: datetime, days: int, calendar: Calendar) -> None:
    due, day = calendar.due(since, days), timedelta(seconds=calendar.day_seconds)
    assert calendar.midnight(due) == due
    assert days * day < due - since <= (days + 1) * day


@given(instants, instants, numbers_of_days, calendars)
def test_cutoff_says_what_due_says(since: datetime, now: datetime, days: int, calendar: Calendar) -> None:
    assert (since < calendar.cutoff(now, days)) == (calendar.due(since, days) <= now)


@given(instants)
def test_midnight_of_an_ordinary_day_is_midnight_UTC(instant: datetime) -> None:
    assert Calendar().midnight(instant) == instant.replace(hour=0, minute=0, second=0, microsecond=0)


def test_days_beyond_the_calendar_never_come() -> None:
    assert Calendar().due(NOON, 2**31 - 1) == datetime.max.replace(tzinfo=UTC)
    assert Calendar().cutoff(NOON, 2**31 - 1) < NOON


@given(st.lists(keys), keys)
def test_ranges_hold_exactly_the_keys_of_the_prefixes(prefixes: list[str], key: str) -> None:
    ranges = key_ranges(prefixes)
    holding = [keys for keys in ranges if keys.lower <= key < keys.upper]
    assert len(holding) == any(key.startswith(prefix) for prefix in prefixes)
    assert [keys.lower for keys in ranges] == sorted(keys.lower for keys in ranges)


class TestFilters:
    @pytest.mark.parametrize(
        ("filters", "covered"),
        [
            ({"Prefix": ""}, True),
            ({"Filter": {}}, True),
            ({"Prefix": "logs/"}, True),
            ({"Filter": {"Prefix": "logs/a"}}, True),
            ({"Filter": {"Prefix": "ogs/"}}, False),
            ({"Filter": {"Tag": {"Key": "k", "Value": "v"}}}, True),
            ({"Filter": {"Tag": {"Key": "k", "Value": ""}}}, False),
            ({"Filter": {"Tag": {"Key": "l", "Value": "v"}}}, False),
            ({"Filter": {"ObjectSizeGreaterThan": 99}}, True),
            ({"Filter": {"ObjectSizeGreaterThan": 100}}, False),
            ({"Filter": {"ObjectSizeLessThan": 101}}, True),
            ({"Filter": {"ObjectSizeLessThan": 100}}, False),
            ({"Filter": {"And": {"Prefix": "logs/", "Tags": [{"Key": "k", "Value": "v"}]}}}, True),
            ({"Filter": {"And": {"Prefix": "x", "Tags": [{"Key": "k", "Value": "v"}]}}}, False),
            ({"Filter": {"And": {"Tags": [{"Key": "k", "Value": "v"}, {"Key": "l", "Value": "v"}]}}}, False),
            ({"Filter": {"Prefix": "logs/", "And": {"Prefix": "logs/a", "ObjectSizeLessThan": 500}}}, True),
            ({"Filter": {"Prefix": "logs/b", "And": {"Prefix": "logs/", "ObjectSizeLessThan": 500}}}, False),
        ],
    )
    def test_filter(self, filters: dict[str, Any], covered: bool) -> None:
        rule = read(**filters, Expiration={"Days": 1})
        assert rule.covers("logs/a", 100, {"k": "v", "other": "w"}) is covered

    def test_what_has_no_size_is_in_no_filter_by_size(self) -> None:
        for filters in ({"ObjectSizeGreaterThan": 0}, {"ObjectSizeLessThan": 1}):
            assert not read(Filter=filters, Expiration={"Days": 1}).covers("k", None, None)


class TestReading:
    @pytest.mark.parametrize(
        "document",
        [
            {},
            {"Rules": None},
            {"Rules": [{}]},
            {"Rules": ["r"]},
            {"Rules": [{"ID": "r", "Status": "Enabled", "Expiration": {"Days": 0}}]},
            {"Rules": [{"ID": "r", "Status": "Enabled", "Expiration": {"Days": "1"}}]},
            {"Rules": [{"ID": "r", "Status": "Enabled", "Expiration": {"Days": True}}]},
            {"Rules": [{"ID": "r", "Status": "Enabled", "Expiration": {"Date": "soon"}}]},
            {"Rules": [{"ID": "r", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": -1}}]},
            {"Rules": [{"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "a", "And": {"Prefix": "b"}}}]},
            {"Rules": [{"ID": "r", "Status": "Enabled", "Filter": {"Tag": {"Key": "k"}}}]},
        ],
    )
    def test_document_that_is_none(self, document: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"."):
            lifecycle_rules.read(document)

    def test_disabled_rules_are_left_out(self) -> None:
        entry = {"ID": "r", "Filter": {}, "Expiration": {"Days": 1}}
        rules = lifecycle_rules.read({"Rules": [{**entry, "Status": "Disabled"}, {**entry, "Status": "Enabled"}]})
        assert len(rules) == 1


class TestExpiry:
    def test_first_to_come_of_several(self) -> None:
        rules = [
            Rule("late", expiration_days=10),
            Rule("early", expiration_days=3),
            Rule("as early", expiration_days=3),
            Rule("elsewhere", prefix="x", expiration_days=1),
            Rule("noncurrent", noncurrent_days=1),
        ]
        found = expiry(rules, Calendar(), "k", 1, None, NOON)
        assert found is not None
        assert (found[0], found[1].id) == (datetime(2014, 1, 19, tzinfo=UTC), "early")

    def test_date_is_the_date(self) -> None:
        date = datetime(2013, 1, 1, tzinfo=UTC)
        assert expiry([Rule("r", expiration_date=date)], Calendar(), "k", 1, None, NOON) == (
            date,
            Rule("r", expiration_date=date),
        )

    @pytest.mark.parametrize(
        "rules", [[], [Rule("r", prefix="x", expiration_days=1)], [Rule("r", abort_upload_days=1)]]
    )
    def test_nothing_expires(self, rules: list[Rule]) -> None:
        assert expiry(rules, Calendar(), "k", 1, None, NOON) is None


class TestDecisions:
    def test_delete_marker_does_not_expire_into_another(self) -> None:
        marker = CurrentVersion(ID, "k", "v", NOON, None, None, is_delete_marker=True, is_alone=False)
        rules = [Rule("r", expiration_days=1, expired_delete_markers=True)]
        assert not lifecycle_rules.is_expired(rules, Calendar(), marker, NOON + 9 * DAY)
        assert not lifecycle_rules.is_expired_marker(rules, Calendar(), marker, NOON + 9 * DAY)

    @pytest.mark.parametrize("filters", [{"tags": (("k", "v"),)}, {"larger_than_bytes": 0}, {"prefix": "x"}])
    def test_marker_outside_the_filter(self, filters: dict[str, Any]) -> None:
        marker = CurrentVersion(ID, "k", "v", NOON, None, None, is_delete_marker=True, is_alone=True)
        assert not lifecycle_rules.is_expired_marker(
            [Rule("r", expiration_days=1, **filters)], Calendar(), marker, NOON + 9 * DAY
        )

    @pytest.mark.parametrize(("newer", "keep"), [(0, None), (4, None), (5, 5), (100, 5)])
    def test_newer_versions(self, newer: int, keep: int | None) -> None:
        rules = [Rule("r", noncurrent_days=1, newer_noncurrent_versions=5)]
        seen = NoncurrentVersion(ID, "k", NOON, 1, None, newer)
        assert lifecycle_rules.noncurrent_keep(rules, Calendar(), seen, NOON + 9 * DAY) == keep
        assert lifecycle_rules.noncurrent_keep(rules, Calendar(), seen, NOON) is None

    def test_upload_of_another_prefix(self) -> None:
        rules = [Rule("r", prefix="a", abort_upload_days=1)]
        late = NOON + 9 * DAY
        assert lifecycle_rules.is_abandoned_upload(rules, Calendar(), "a/k", NOON, late)
        assert not lifecycle_rules.is_abandoned_upload(rules, Calendar(), "b/k", NOON, late)
        assert not lifecycle_rules.is_abandoned_upload(rules, Calendar(), "a/k", late, late)
