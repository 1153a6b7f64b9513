"""Object lock: the bucket's configuration, retention and legal hold of versions
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html). What a lock forbids is enforced in the
database (sql/tenant/0012_object_lock.sql)."""

from datetime import UTC, datetime
from typing import Any, Final

from gateway.context import Call
from gateway.errors import StorageError
from gateway.metadata import buckets, configurations, objects
from gateway.metadata.configurations import Kind
from gateway.metadata.records import NO_ATTRIBUTES, Attributes, ObjectRecord
from gateway.operations import access, versions
from gateway.operations.services import Services
from gateway.operations.shapes import (
    DefaultRetention,
    GetObjectLegalHoldInput,
    GetObjectLegalHoldOutput,
    GetObjectLockConfigurationInput,
    GetObjectLockConfigurationOutput,
    GetObjectRetentionInput,
    GetObjectRetentionOutput,
    ObjectLockConfiguration,
    ObjectLockLegalHold,
    ObjectLockRetention,
    ObjectLockRule,
    PutObjectLegalHoldInput,
    PutObjectLegalHoldOutput,
    PutObjectLockConfigurationInput,
    PutObjectLockConfigurationOutput,
    PutObjectRetentionInput,
    PutObjectRetentionOutput,
)

_MAX_DAYS: Final = 36_500
_MAX_YEARS: Final = 100
_HOLD: Final = {True: "ON", False: "OFF"}


def attributes_from(asked: Any) -> Attributes:
    """The lock that a request which writes an object asks for in its headers. Raises InvalidArgument."""
    mode, until, hold = (
        asked.object_lock_mode,
        asked.object_lock_retain_until_date,
        asked.object_lock_legal_hold_status,
    )
    if mode is None and until is None and hold is None:
        return NO_ATTRIBUTES
    if (mode is None) != (until is None):
        raise StorageError(
            "InvalidArgument",
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
            ArgumentName="x-amz-object-lock-mode" if mode is None else "x-amz-object-lock-retain-until-date",
        )
    if until is not None:
        _require_future(until)
    return Attributes(lock_mode=mode, lock_until=until, legal_hold=None if hold is None else hold == _HOLD[True])


def fields(attributes: Attributes) -> dict[str, Any]:
    """The members of GetObject's and HeadObject's answers that tell of a lock."""
    return {
        "object_lock_mode": attributes.lock_mode,
        "object_lock_retain_until_date": attributes.lock_until,
        "object_lock_legal_hold_status": None if attributes.legal_hold is None else _HOLD[attributes.legal_hold],
    }


async def get_object_lock_configuration(
    services: Services, call: Call, asked: GetObjectLockConfigurationInput
) -> GetObjectLockConfigurationOutput:
    """Raises ObjectLockConfigurationNotFoundError for a bucket without object lock."""
    await access.require_bucket(services, call, asked.bucket)
    document, _ = await configurations.find(services.session, call.scope, asked.bucket, Kind.OBJECT_LOCK)
    if document is None:
        raise StorageError("ObjectLockConfigurationNotFoundError", BucketName=asked.bucket)
    rule = None
    if "mode" in document:
        retention = DefaultRetention(mode=document["mode"], days=document.get("days"), years=document.get("years"))
        rule = ObjectLockRule(default_retention=retention)
    return GetObjectLockConfigurationOutput(
        object_lock_configuration=ObjectLockConfiguration(object_lock_enabled="Enabled", rule=rule)
    )


async def put_object_lock_configuration(
    services: Services, call: Call, asked: PutObjectLockConfigurationInput
) -> PutObjectLockConfigurationOutput:
    """Set the default retention of new versions, or none; a bucket that keeps versions gets object lock by it.

    Raises InvalidBucketState for one that does not, InvalidRetentionPeriod, MalformedXML.
    """
    wanted = asked.object_lock_configuration
    if wanted is None or wanted.object_lock_enabled != "Enabled":
        raise StorageError("MalformedXML")
    document = _default_retention(wanted.rule)
    await buckets.put_lock_configuration(services.session, call.scope, asked.bucket, document)
    return PutObjectLockConfigurationOutput()


def _default_retention(rule: ObjectLockRule | None) -> dict[str, Any]:
    if rule is None:
        return {}
    retention = rule.default_retention
    if retention is None or retention.mode is None or (retention.days is None) == (retention.years is None):
        raise StorageError("MalformedXML")
    if retention.default_event_hold is not None:
        raise StorageError("NotImplemented", "Event holds are not implemented.")
    days, years = retention.days, retention.years
    if not 1 <= (days if days is not None else years or 0) <= (_MAX_DAYS if days is not None else _MAX_YEARS):
        raise StorageError("InvalidRetentionPeriod")
    period = {"days": days} if days is not None else {"years": years}
    return {"mode": retention.mode, **period}


async def get_object_retention(
    services: Services, call: Call, asked: GetObjectRetentionInput
) -> GetObjectRetentionOutput:
    """Raises InvalidRequest for a bucket without object lock, NoSuchObjectLockConfiguration for a version without."""
    found = (await _lockable(services, call, asked)).attributes
    if found.lock_mode is None:
        raise StorageError("NoSuchObjectLockConfiguration")
    return GetObjectRetentionOutput(
        retention=ObjectLockRetention(mode=found.lock_mode, retain_until_date=found.lock_until)
    )


async def get_object_legal_hold(
    services: Services, call: Call, asked: GetObjectLegalHoldInput
) -> GetObjectLegalHoldOutput:
    """Raises InvalidRequest for a bucket without object lock, NoSuchObjectLockConfiguration for a version without."""
    held = (await _lockable(services, call, asked)).attributes.legal_hold
    if held is None:
        raise StorageError("NoSuchObjectLockConfiguration")
    return GetObjectLegalHoldOutput(legal_hold=ObjectLockLegalHold(status=_HOLD[held]))


async def put_object_retention(
    services: Services, call: Call, asked: PutObjectRetentionInput
) -> PutObjectRetentionOutput:
    """Lock a version until a date. Raises AccessDenied for a shorter or another lock than it has, unless it is one of
    governance and the caller may and does ask to bypass that."""
    wanted = asked.retention
    if wanted is None or wanted.event_hold is not None or wanted.event_hold_duration is not None:
        raise StorageError("MalformedXML" if wanted is None else "NotImplemented")
    if (wanted.mode is None) != (wanted.retain_until_date is None):
        raise StorageError("MalformedXML")
    if wanted.retain_until_date is not None:
        _require_future(wanted.retain_until_date)
    outcome = await objects.put_retention(
        services.session,
        call.scope,
        asked.bucket,
        asked.key,
        asked.version_id,
        mode=wanted.mode,
        until=wanted.retain_until_date,
        bypass_governance=bool(asked.bypass_governance_retention),
    )
    await _require_locked(services, call, asked, outcome)
    return PutObjectRetentionOutput()


async def put_object_legal_hold(
    services: Services, call: Call, asked: PutObjectLegalHoldInput
) -> PutObjectLegalHoldOutput:
    """Hold a version until further notice, or end that."""
    wanted = asked.legal_hold
    if wanted is None or wanted.status is None:
        raise StorageError("MalformedXML")
    outcome = await objects.put_legal_hold(
        services.session, call.scope, asked.bucket, asked.key, asked.version_id, held=wanted.status == _HOLD[True]
    )
    await _require_locked(services, call, asked, outcome)
    return PutObjectLegalHoldOutput()


async def _lockable(
    services: Services, call: Call, asked: GetObjectRetentionInput | GetObjectLegalHoldInput
) -> ObjectRecord:
    record = await versions.find_object(services, call, asked.bucket, asked.key, asked.version_id)
    if not await objects.has_object_lock(services.session, call.scope, asked.bucket):
        raise StorageError("InvalidRequest", "Bucket is missing Object Lock Configuration")
    return record


async def _require_locked(
    services: Services, call: Call, asked: PutObjectRetentionInput | PutObjectLegalHoldInput, outcome: str
) -> None:
    if outcome in ("absent", "marker"):
        await versions.find_object(services, call, asked.bucket, asked.key, asked.version_id)
    if outcome != "set":
        raise StorageError("AccessDenied")


def _require_future(until: datetime) -> None:
    if until <= datetime.now(UTC):
        raise StorageError(
            "InvalidArgument",
            "The retain until date must be in the future!",
            ArgumentName="x-amz-object-lock-retain-until-date",
        )
