"""Preconditions: the If-* fields of reads, of copy sources and of conditional writes. Pure functions.

Precedence is RFC 9110 §13.2.2. Entity tags are compared without their quotes, because S3 clients send both forms.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from gateway.errors import StorageError
from gateway.wire.request import RawRequest

ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class ReadConditions:
    """The four preconditions as sent; a date that is no HTTP-date is None (RFC 9110 §13.1.3: ignored)."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: datetime | None = None
    if_unmodified_since: datetime | None = None

    def check(self, etag: str, last_modified: datetime) -> None:
        """For GET and HEAD. Raises StorageError: PreconditionFailed (412) or NotModified (304)."""
        failed = self._failed(etag, last_modified)
        if failed in ("If-None-Match", "If-Modified-Since"):
            raise StorageError("NotModified")
        if failed is not None:
            raise StorageError("PreconditionFailed", Condition=failed)

    def check_copy_source(self, etag: str, last_modified: datetime) -> None:
        """For the source of a copy, where every failure is StorageError(PreconditionFailed)."""
        failed = self._failed(etag, last_modified)
        if failed is not None:
            raise StorageError("PreconditionFailed", Condition=f"x-amz-copy-source-{failed}")

    def _failed(self, etag: str, last_modified: datetime) -> str | None:
        # HTTP dates have no fractions, so a client can only repeat whole seconds.
        modified = last_modified.replace(microsecond=0)
        if self.if_match is not None:
            if not _matches(self.if_match, etag, weak=False):
                return "If-Match"
        elif self.if_unmodified_since is not None and modified > self.if_unmodified_since:
            return "If-Unmodified-Since"
        if self.if_none_match is not None:
            if _matches(self.if_none_match, etag, weak=True):
                return "If-None-Match"
        elif self.if_modified_since is not None and modified <= self.if_modified_since:
            return "If-Modified-Since"
        return None


NO_CONDITIONS: Final = ReadConditions()


@dataclass(frozen=True, slots=True)
class WriteCondition:
    """What must hold at the moment of the commit: entity tags without quotes, or ``*``."""

    if_match: str | None = None
    if_none_match: str | None = None

    def check(self, current_etag: str | None) -> None:
        """``current_etag`` is None when the key has no object. Raises StorageError: PreconditionFailed, or NoSuchKey
        when If-Match names an object that is not there
        (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html)."""
        if current_etag is not None and self.if_none_match in (ANY, current_etag.strip('"')):
            raise StorageError("PreconditionFailed", Condition="If-None-Match")
        if self.if_match is not None:
            if current_etag is None:
                raise StorageError("NoSuchKey")
            if self.if_match not in (ANY, current_etag.strip('"')):
                raise StorageError("PreconditionFailed", Condition="If-Match")


def parse_read_conditions(request: RawRequest) -> ReadConditions:
    """The preconditions of a read."""
    return _parse(request.header, "")


def parse_copy_source_conditions(request: RawRequest) -> ReadConditions:
    """The ``x-amz-copy-source-if-*`` preconditions of a copy."""
    return _parse(request.header, "x-amz-copy-source-")


def read_conditions(
    if_match: str | None, if_none_match: str | None, if_modified_since: str | None, if_unmodified_since: str | None
) -> ReadConditions:
    """The same out of header values already taken apart by a codec."""
    if if_match is None and if_none_match is None and if_modified_since is None and if_unmodified_since is None:
        return NO_CONDITIONS
    return ReadConditions(
        if_match, if_none_match, parse_http_date(if_modified_since), parse_http_date(if_unmodified_since)
    )


def parse_write_condition(request: RawRequest) -> WriteCondition | None:
    """If-Match or If-None-Match of a write, None when there is neither.

    AWS's form is one entity tag in If-Match and ``*`` in If-None-Match; here, as in Ceph, either field takes either.
    Raises StorageError(NotImplemented), as AWS answers it, for several tags, weak ones, and both fields together.
    """
    return write_condition(request.header(b"if-match"), request.header(b"if-none-match"))


def write_condition(if_match: str | None, if_none_match: str | None) -> WriteCondition | None:
    """:func:`parse_write_condition` out of header values already taken apart by a codec."""
    if if_match is None and if_none_match is None:
        return None
    if if_match is not None and if_none_match is not None:
        raise _unsupported("If-None-Match")
    return WriteCondition(_one_tag("If-Match", if_match), _one_tag("If-None-Match", if_none_match))


def parse_http_date(value: str | None) -> datetime | None:
    """An HTTP-date (RFC 9110 §5.6.7) in UTC, None when absent or malformed."""
    if value is None:
        return None
    try:
        parsed = parsedate_to_datetime(value)
        return parsed.astimezone(UTC) if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _parse(header: Callable[[bytes], str | None], prefix: str) -> ReadConditions:
    names = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
    return read_conditions(*(header((prefix + name).encode("ascii")) for name in names))


def _matches(field: str, etag: str, *, weak: bool) -> bool:
    if field.strip() == ANY:
        return True
    wanted = etag.strip('"')
    for item in field.split(","):
        tag = item.strip()
        if tag.startswith("W/"):
            if not weak:
                continue
            tag = tag[2:]
        if tag.strip('"') == wanted:
            return True
    return False


def _one_tag(header: str, value: str | None) -> str | None:
    tag = value.strip() if value is not None else None
    if tag is not None and (tag.startswith("W/") or "," in tag or not tag.strip('"')):
        raise _unsupported(header)
    return tag.strip('"') if tag is not None else None


def _unsupported(header: str) -> StorageError:
    return StorageError("NotImplemented", Header=header)
