"""Lifecycle rules as data: reading them from their document, what they cover, and when they act. No I/O, no clock.

The document is what AWS's tools call a LifecycleConfiguration in JSON (``{"Rules": [{"ID": …, "Filter": …}]}``), so
that an operator may read and write it with SQL. The same functions decide what ``x-amz-expiration`` promises and what
the background worker removes.

Rounding is AWS's: the days of a rule are added to the instant and the sum is rounded up to the next midnight UTC
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from gateway.metadata.keyspace import KeyRange, within

DAY_SECONDS: Final = 86_400.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Calendar:
    """How long a day is, in seconds. Anything but 86,400 is for tests; midnights are its multiples since 1970."""

    day_seconds: float = DAY_SECONDS

    def midnight(self, instant: datetime) -> datetime:
        """The last midnight that is not after ``instant``."""
        days = (instant - _EPOCH) // timedelta(seconds=self.day_seconds)
        return _EPOCH + days * timedelta(seconds=self.day_seconds)

    def due(self, since: datetime, days: int) -> datetime:
        """When something that began at ``since`` and may last ``days`` is over: at the midnight after that."""
        try:
            return self.midnight(since) + (days + 1) * timedelta(seconds=self.day_seconds)
        except OverflowError:
            return _NEVER

    def cutoff(self, now: datetime, days: int) -> datetime:
        """What began before this instant is over: ``since < cutoff(now, days)`` says ``due(since, days) <= now``."""
        try:
            return self.midnight(now) - days * timedelta(seconds=self.day_seconds)
        except OverflowError:
            return _EPOCH


@dataclass(frozen=True, slots=True)
class Rule:
    """One enabled rule: what it covers and what it does. Sizes in bytes; tags must all be there."""

    id: str
    prefix: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    larger_than_bytes: int | None = None
    smaller_than_bytes: int | None = None
    expiration_days: int | None = None
    expiration_date: datetime | None = None
    expired_delete_markers: bool = False
    noncurrent_days: int | None = None
    newer_noncurrent_versions: int = 0
    abort_upload_days: int | None = None

    @property
    def is_by_key(self) -> bool:
        """True if only the key decides, so that the rule may be about what has neither tags nor a size."""
        return not self.tags and self.larger_than_bytes is None and self.smaller_than_bytes is None

    @property
    def expires_current(self) -> bool:
        """True if it expires objects by age or date."""
        return self.expiration_days is not None or self.expiration_date is not None

    def covers(self, key: str, size_bytes: int | None, tags: Mapping[str, str] | None) -> bool:
        """Is this object within the rule's filter? What has no size is in no filter by size."""
        if not key.startswith(self.prefix):
            return False
        if self.larger_than_bytes is not None and (size_bytes is None or size_bytes <= self.larger_than_bytes):
            return False
        if self.smaller_than_bytes is not None and (size_bytes is None or size_bytes >= self.smaller_than_bytes):
            return False
        return all((tags or {}).get(name) == value for name, value in self.tags)

    def expires_at(self, modified: datetime, calendar: Calendar) -> datetime:
        """When a current version of this age expires; the rule must expire current versions."""
        if self.expiration_date is not None:
            return self.expiration_date
        return calendar.due(modified, self.expiration_days or 0)


@dataclass(frozen=True, slots=True)
class CurrentVersion:
    """The current version of a key as a scan saw it; ``is_alone`` is said of delete markers."""

    id: UUID
    key: str
    version: str | None
    modified: datetime
    size_bytes: int | None
    tags: Mapping[str, str] | None
    is_delete_marker: bool = False
    is_alone: bool = False


@dataclass(frozen=True, slots=True)
class NoncurrentVersion:
    """A noncurrent version as a scan saw it. ``newer`` counts the noncurrent versions of the key that became so later;
    it stops at 100, the most a rule may keep."""

    id: UUID
    key: str
    archived: datetime
    size_bytes: int | None
    tags: Mapping[str, str] | None
    newer: int = 0


def expiry(
    rules: Iterable[Rule],
    calendar: Calendar,
    key: str,
    size_bytes: int | None,
    tags: Mapping[str, str] | None,
    modified: datetime,
) -> tuple[datetime, Rule] | None:
    """When this object expires and by which rule: the first to come of all that cover it."""
    found = [
        (rule.expires_at(modified, calendar), index, rule)
        for index, rule in enumerate(rules)
        if rule.expires_current and rule.covers(key, size_bytes, tags)
    ]
    if not found:
        return None
    instant, _, rule = min(found, key=lambda entry: entry[:2])
    return instant, rule


def is_expired(rules: Iterable[Rule], calendar: Calendar, version: CurrentVersion, now: datetime) -> bool:
    """Has the time of this current version come? Delete markers do not expire, they are cleaned up."""
    found = expiry(rules, calendar, version.key, version.size_bytes, version.tags, version.modified)
    return not version.is_delete_marker and found is not None and found[0] <= now


def is_expired_marker(rules: Iterable[Rule], calendar: Calendar, version: CurrentVersion, now: datetime) -> bool:
    """Is this a delete marker with nothing left behind it, which a rule wants gone? Rules by age remove one as old as
    that, rules that name ExpiredObjectDeleteMarker remove it at once (API_LifecycleExpiration)."""
    return (version.is_delete_marker and version.is_alone) and any(
        rule.expired_delete_markers or (rule.expires_current and rule.expires_at(version.modified, calendar) <= now)
        for rule in rules
        if rule.is_by_key and version.key.startswith(rule.prefix)
    )


def noncurrent_keep(rules: Iterable[Rule], calendar: Calendar, version: NoncurrentVersion, now: datetime) -> int | None:
    """How many newer noncurrent versions must exist for this one to be removed now; None: no rule removes it."""
    kept = [
        rule.newer_noncurrent_versions
        for rule in rules
        if rule.noncurrent_days is not None
        and rule.covers(version.key, version.size_bytes, version.tags)
        and calendar.due(version.archived, rule.noncurrent_days) <= now
        and version.newer >= rule.newer_noncurrent_versions
    ]
    return min(kept) if kept else None


def is_abandoned_upload(rules: Iterable[Rule], calendar: Calendar, key: str, started: datetime, now: datetime) -> bool:
    """Has this unfinished upload been open for too long?"""
    return any(
        rule.abort_upload_days is not None
        and rule.is_by_key
        and key.startswith(rule.prefix)
        and calendar.due(started, rule.abort_upload_days) <= now
        for rule in rules
    )


def key_ranges(prefixes: Iterable[str]) -> tuple[KeyRange, ...]:
    """The keys these prefixes cover, as disjoint ranges in byte order."""
    merged: list[KeyRange] = []
    for prefix in sorted(set(prefixes)):
        keys = within(prefix)
        # Two prefixes either nest or have no key in common, and the shorter one sorts first.
        if not merged or keys.lower >= merged[-1].upper:
            merged.append(keys)
    return tuple(merged)


def read(document: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The enabled rules of a document. Raises ValueError for what is no such document."""
    try:
        return tuple(_rule(entry) for entry in document["Rules"] if entry["Status"] == "Enabled")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no lifecycle configuration: {error!r}") from error


def _rule(entry: Mapping[str, Any]) -> Rule:
    filters = entry.get("Filter") or {}
    both = filters.get("And") or {}
    expiration = entry.get("Expiration") or {}
    noncurrent = entry.get("NoncurrentVersionExpiration") or {}
    abort = entry.get("AbortIncompleteMultipartUpload") or {}
    date = expiration.get("Date")
    tags = [*([filters["Tag"]] if filters.get("Tag") else []), *(both.get("Tags") or ())]
    return Rule(
        id=str(entry["ID"]),
        prefix=_joint_prefix([entry.get("Prefix"), filters.get("Prefix"), both.get("Prefix")]),
        tags=tuple((str(tag["Key"]), str(tag["Value"])) for tag in tags),
        larger_than_bytes=_extreme(max, filters, both, "ObjectSizeGreaterThan"),
        smaller_than_bytes=_extreme(min, filters, both, "ObjectSizeLessThan"),
        expiration_days=_days(expiration.get("Days")),
        expiration_date=_instant(date) if date else None,
        expired_delete_markers=expiration.get("ExpiredObjectDeleteMarker") is True,
        noncurrent_days=_days(noncurrent.get("NoncurrentDays")),
        newer_noncurrent_versions=int(noncurrent.get("NewerNoncurrentVersions") or 0),
        abort_upload_days=_days(abort.get("DaysAfterInitiation")),
    )


def _joint_prefix(prefixes: Sequence[str | None]) -> str:
    """The prefix of the keys that start with all of these. Raises ValueError if no key can."""
    given = sorted((prefix for prefix in prefixes if prefix), key=len)
    longest = given[-1] if given else ""
    if not all(longest.startswith(prefix) for prefix in given):
        raise ValueError("prefixes that exclude each other")
    return longest


def _extreme(choose: Any, filters: Mapping[str, Any], both: Mapping[str, Any], name: str) -> int | None:
    found = [int(part[name]) for part in (filters, both) if part.get(name) is not None]
    return int(choose(found)) if found else None


def _days(value: Any) -> int | None:
    """A number of days. Raises ValueError for none that a rule may have: a slip here would delete everything."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"not a number of days: {value!r}")
    return value


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
