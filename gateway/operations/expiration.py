"""``x-amz-expiration``: when a rule of its bucket will remove an object; told whenever it is written or read."""

from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from gateway.errors import StorageError
from gateway.metadata.lifecycle_rules import Calendar, expiry
from gateway.metadata.records import Attributes, NewObject, ObjectRecord, Written
from gateway.operations.services import Services
from gateway.wire.headers import http_date

# Clients read it as a date, so it speaks of calendar days also where a test has the engine take less for a day.
_CALENDAR: Final = Calendar()


async def of_record(services: Services, bucket: str, key: str, record: ObjectRecord) -> str | None:
    """The header of an object that was read; None if no rule expires it."""
    if record.lifecycle_revision is None:
        return None
    return await _header(
        services, bucket, key, record.size_bytes, record.attributes, record.updated_at, record.lifecycle_revision
    )


async def of_written(services: Services, new: NewObject, written: Written) -> str | None:
    """The header of an object that was just put."""
    if written.lifecycle_revision is None:
        return None
    return await _header(
        services, new.bucket, new.key, new.size_bytes, new.attributes, written.modified, written.lifecycle_revision
    )


async def _header(
    services: Services,
    bucket: str,
    key: str,
    size_bytes: int,
    attributes: Attributes,
    modified: datetime,
    revision: int,
) -> str | None:
    try:
        rules = await services.rules.rules(services.session, bucket, revision)
    except StorageError:
        # The object is written, or found: the answer to that must not be lost for a header.
        return None
    found = expiry(rules, _CALENDAR, key, size_bytes, attributes.tags, modified)
    if found is None:
        return None
    instant, rule = found
    # API_PutObject: the value of the rule-id is URL-encoded.
    return f'expiry-date="{http_date(instant.astimezone(UTC))}", rule-id="{quote(rule.id, safe="")}"'
