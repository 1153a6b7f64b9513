"""Put, get and delete a bucket's lifecycle configuration
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html).

What is stored is the JSON that AWS's tools write, exactly as asked, with ids where there were none. Rules that move
objects to another storage class are refused: classes are labels here, so nothing would move.
"""

import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from gateway.context import Call
from gateway.errors import StorageError
from gateway.metadata import configurations, lifecycle_rules
from gateway.metadata.configurations import Kind
from gateway.operations import access
from gateway.operations.services import Services
from gateway.operations.shapes import (
    AbortIncompleteMultipartUpload,
    DeleteBucketLifecycleInput,
    DeleteBucketLifecycleOutput,
    GetBucketLifecycleConfigurationInput,
    GetBucketLifecycleConfigurationOutput,
    LifecycleExpiration,
    LifecycleRule,
    LifecycleRuleAndOperator,
    LifecycleRuleFilter,
    NoncurrentVersionExpiration,
    PutBucketLifecycleConfigurationInput,
    PutBucketLifecycleConfigurationOutput,
    Tag,
)
from gateway.operations.tags import object_tags

_MAX_ID_LENGTH: Final = 255
_MAX_NEWER_VERSIONS: Final = 100
_MINIMUM_SIZE: Final = "all_storage_classes_128K"


async def put_bucket_lifecycle(
    services: Services, call: Call, asked: PutBucketLifecycleConfigurationInput
) -> PutBucketLifecycleConfigurationOutput:
    """Replace the bucket's rules; they count from now on, in every process."""
    if asked.lifecycle_configuration is None:
        raise StorageError("MalformedXML")
    rules = asked.lifecycle_configuration.rules
    if not rules:
        raise StorageError("MalformedXML")
    for rule in rules:
        _check(rule)
    _require_unique_ids(rules)
    minimum = asked.transition_default_minimum_object_size or _MINIMUM_SIZE
    document = {"Rules": [_document(rule) for rule in rules], "TransitionDefaultMinimumObjectSize": minimum}
    try:
        lifecycle_rules.read(document)
    except ValueError:
        raise StorageError("MalformedXML") from None
    await configurations.put(services.session, call.scope, asked.bucket, Kind.LIFECYCLE, document)
    return PutBucketLifecycleConfigurationOutput(transition_default_minimum_object_size=minimum)


async def get_bucket_lifecycle(
    services: Services, call: Call, asked: GetBucketLifecycleConfigurationInput
) -> GetBucketLifecycleConfigurationOutput:
    """The rules as they were put."""
    document = await access.require_configuration(
        services, call, asked.bucket, Kind.LIFECYCLE, "NoSuchLifecycleConfiguration"
    )
    return GetBucketLifecycleConfigurationOutput(
        rules=tuple(_rule(entry) for entry in document["Rules"]),
        transition_default_minimum_object_size=document.get("TransitionDefaultMinimumObjectSize", _MINIMUM_SIZE),
    )


async def delete_bucket_lifecycle(
    services: Services, call: Call, asked: DeleteBucketLifecycleInput
) -> DeleteBucketLifecycleOutput:
    """Remove the rules; there need not be any."""
    if not await configurations.delete(services.session, call.scope, asked.bucket, Kind.LIFECYCLE):
        await access.require_bucket(services, call, asked.bucket)
    return DeleteBucketLifecycleOutput()


# --- what AWS refuses ----------------------------------------------------------------------------------------


def _check(rule: LifecycleRule) -> None:
    """Raises InvalidArgument for a value out of bounds, InvalidRequest for what does not go together, MalformedXML for
    what the schema does not know, NotImplemented for transitions."""
    if rule.id is not None and len(rule.id) > _MAX_ID_LENGTH:
        raise _argument(f"ID length should not exceed allowed limit of {_MAX_ID_LENGTH}")
    if (rule.prefix is None) == (rule.filter is None):
        raise StorageError("MalformedXML")
    has_tags, has_sizes = _check_filter(rule.filter)
    actions = (
        rule.expiration,
        rule.noncurrent_version_expiration,
        rule.abort_incomplete_multipart_upload,
        rule.transitions or None,
        rule.noncurrent_version_transitions or None,
    )
    if all(action is None for action in actions):
        raise StorageError("InvalidRequest", "At least one action needs to be specified in a rule")
    _check_expiration(rule.expiration)
    _check_noncurrent(rule.noncurrent_version_expiration, has_filter=rule.filter is not None)
    if (abort := rule.abort_incomplete_multipart_upload) is not None:
        _require_positive(abort.days_after_initiation, "DaysAfterInitiation", "AbortIncompleteMultipartUpload")
    by_key_only = {
        "AbortIncompleteMultipartUpload": rule.abort_incomplete_multipart_upload is not None,
        "ExpiredObjectDeleteMarker": bool(rule.expiration and rule.expiration.expired_object_delete_marker),
    }
    for action, is_asked in by_key_only.items():
        if is_asked and (has_tags or has_sizes):
            beside = "Tags" if has_tags else "Object Size"
            raise StorageError("InvalidRequest", f"{action} cannot be specified with {beside}.")
    _refuse_transitions(rule)


def _check_filter(filters: LifecycleRuleFilter | None) -> tuple[bool, bool]:
    """Whether it names tags, and sizes. Several conditions side by side, which AWS wants inside And, mean all of them:
    such a rule covers less than any of them alone."""
    if filters is None:
        return False, False
    both = filters.and_ or LifecycleRuleAndOperator()
    if filters.and_ is not None and _count(both) < 2:
        raise StorageError("MalformedXML")
    if len({tag.key for tag in both.tags}) < len(both.tags):
        raise StorageError("InvalidRequest", "Duplicate Tag Keys are not allowed.")
    tags = object_tags(both.tags) | object_tags((filters.tag,) if filters.tag else ())
    has_sizes = False
    for part in (filters, both):
        larger, smaller = part.object_size_greater_than, part.object_size_less_than
        has_sizes |= larger is not None or smaller is not None
        if smaller == 0:
            raise _argument("'ObjectSizeLessThan' must be a positive integer")
        if larger is not None and smaller is not None and larger >= smaller:
            raise StorageError("InvalidRequest", "'ObjectSizeLessThan' must be greater than 'ObjectSizeGreaterThan'")
    return bool(tags), has_sizes


def _count(both: LifecycleRuleAndOperator) -> int:
    single = (both.prefix, both.object_size_greater_than, both.object_size_less_than)
    return sum(value is not None for value in single) + len(both.tags)


def _check_expiration(expiration: LifecycleExpiration | None) -> None:
    if expiration is None:
        return
    given = (expiration.date, expiration.days, expiration.expired_object_delete_marker)
    if sum(value is not None for value in given) != 1:
        raise StorageError("MalformedXML")
    if expiration.days is not None:
        _require_positive(expiration.days, "Days", "Expiration")
    _require_midnight(expiration.date)


def _check_noncurrent(noncurrent: NoncurrentVersionExpiration | None, *, has_filter: bool) -> None:
    if noncurrent is None:
        return
    _require_positive(noncurrent.noncurrent_days, "NoncurrentDays", "NoncurrentVersionExpiration")
    newer = noncurrent.newer_noncurrent_versions
    if newer is None:
        return
    if not 1 <= newer <= _MAX_NEWER_VERSIONS:
        raise _argument(f"'NewerNoncurrentVersions' must be an integer between 1 and {_MAX_NEWER_VERSIONS}")
    if not has_filter:
        raise StorageError("InvalidRequest", "NewerNoncurrentVersions can only be specified in a rule with a Filter")


def _refuse_transitions(rule: LifecycleRule) -> None:
    for transition in rule.transitions:
        if (transition.days is None) == (transition.date is None) or transition.storage_class is None:
            raise StorageError("MalformedXML")
        _require_midnight(transition.date)
    if rule.transitions or rule.noncurrent_version_transitions:
        raise StorageError(
            "NotImplemented",
            "Lifecycle rules that move objects to another storage class are not implemented: there is one.",
        )


def _require_positive(days: int | None, name: str, action: str) -> None:
    if days is None:
        raise StorageError("MalformedXML")
    if days < 1:
        raise _argument(f"'{name}' for {action} action must be a positive integer")


def _require_midnight(date: datetime | None) -> None:
    if date is not None and date != date.replace(hour=0, minute=0, second=0, microsecond=0):
        raise _argument("'Date' must be at midnight GMT")


def _require_unique_ids(rules: Iterable[LifecycleRule]) -> None:
    ids = [rule.id for rule in rules if rule.id]
    if len(set(ids)) < len(ids):
        raise _argument("Rule ID must be unique. Found same ID for more than one rule.")


def _argument(message: str) -> StorageError:
    return StorageError("InvalidArgument", message)


# --- between shapes and the document -------------------------------------------------------------------------


def _document(rule: LifecycleRule) -> dict[str, Any]:
    expiration, noncurrent = rule.expiration, rule.noncurrent_version_expiration
    abort = rule.abort_incomplete_multipart_upload
    return _present(
        ID=rule.id or secrets.token_hex(16),
        Status=rule.status,
        Prefix=rule.prefix,
        Filter=_filter_document(rule.filter) if rule.filter is not None else None,
        Expiration=_present(
            Date=expiration.date.astimezone(UTC).isoformat().replace("+00:00", "Z") if expiration.date else None,
            Days=expiration.days,
            ExpiredObjectDeleteMarker=expiration.expired_object_delete_marker,
        )
        if expiration is not None
        else None,
        NoncurrentVersionExpiration=_present(
            NoncurrentDays=noncurrent.noncurrent_days, NewerNoncurrentVersions=noncurrent.newer_noncurrent_versions
        )
        if noncurrent is not None
        else None,
        AbortIncompleteMultipartUpload=_present(DaysAfterInitiation=abort.days_after_initiation)
        if abort is not None
        else None,
    )


def _filter_document(filters: LifecycleRuleFilter) -> dict[str, Any]:
    both = filters.and_
    return _present(
        Prefix=filters.prefix,
        Tag=_tag_document(filters.tag) if filters.tag is not None else None,
        ObjectSizeGreaterThan=filters.object_size_greater_than,
        ObjectSizeLessThan=filters.object_size_less_than,
        And=_present(
            Prefix=both.prefix,
            Tags=[_tag_document(tag) for tag in both.tags] or None,
            ObjectSizeGreaterThan=both.object_size_greater_than,
            ObjectSizeLessThan=both.object_size_less_than,
        )
        if both is not None
        else None,
    )


def _tag_document(tag: Tag) -> dict[str, str]:
    return {"Key": tag.key, "Value": tag.value}


def _present(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _rule(entry: Mapping[str, Any]) -> LifecycleRule:
    expiration = entry.get("Expiration")
    noncurrent = entry.get("NoncurrentVersionExpiration")
    abort = entry.get("AbortIncompleteMultipartUpload")
    date = expiration.get("Date") if expiration else None
    return LifecycleRule(
        id=entry.get("ID"),
        status=entry["Status"],
        prefix=entry.get("Prefix"),
        filter=_filter(entry["Filter"]) if "Filter" in entry else None,
        expiration=LifecycleExpiration(
            date=datetime.fromisoformat(date) if date else None,
            days=expiration.get("Days"),
            expired_object_delete_marker=expiration.get("ExpiredObjectDeleteMarker"),
        )
        if expiration is not None
        else None,
        noncurrent_version_expiration=NoncurrentVersionExpiration(
            noncurrent_days=noncurrent.get("NoncurrentDays"),
            newer_noncurrent_versions=noncurrent.get("NewerNoncurrentVersions"),
        )
        if noncurrent is not None
        else None,
        abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(
            days_after_initiation=abort.get("DaysAfterInitiation")
        )
        if abort is not None
        else None,
    )


def _filter(entry: Mapping[str, Any]) -> LifecycleRuleFilter:
    both = entry.get("And")
    return LifecycleRuleFilter(
        prefix=entry.get("Prefix"),
        tag=_tag(entry["Tag"]) if "Tag" in entry else None,
        object_size_greater_than=entry.get("ObjectSizeGreaterThan"),
        object_size_less_than=entry.get("ObjectSizeLessThan"),
        and_=LifecycleRuleAndOperator(
            prefix=both.get("Prefix"),
            tags=tuple(_tag(tag) for tag in both.get("Tags", ())),
            object_size_greater_than=both.get("ObjectSizeGreaterThan"),
            object_size_less_than=both.get("ObjectSizeLessThan"),
        )
        if both is not None
        else None,
    )


def _tag(entry: Mapping[str, str]) -> Tag:
    return Tag(key=entry["Key"], value=entry["Value"])
