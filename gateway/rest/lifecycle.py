"""The rules of a bucket as the JSON API has them: old versions end after some days. S3's other rules are shown too."""

from typing import Annotated, Any, Final, Literal, cast

from pydantic import ConfigDict, Field

from gateway.errors import StorageError
from gateway.metadata.configurations import Kind
from gateway.operations import access, lifecycle
from gateway.operations.shapes import (
    BucketLifecycleConfiguration,
    DeleteBucketLifecycleInput,
    LifecycleRule,
    LifecycleRuleFilter,
    NoncurrentVersionExpiration,
    PutBucketLifecycleConfigurationInput,
)
from gateway.rest.api import Api, Asked, json_response
from gateway.rest.schemas import MAX_POSTGRES_INTEGER, Schema, Text
from gateway.wire.response import Response

_NAMES: Final = {"ID": "id"}


class Expiration(Schema):
    """When versions that are no longer current end: after some days, all but the newest of them if wanted."""

    noncurrent_days: Annotated[int, Field(alias="noncurrentDays", ge=1, le=MAX_POSTGRES_INTEGER)]
    newer_noncurrent_versions: Annotated[
        Annotated[int, Field(ge=1, le=100)] | None, Field(alias="newerNoncurrentVersions")
    ] = None


class Everything(Schema):
    """Which objects a rule is for: all of them."""

    model_config = ConfigDict(extra="forbid")


class Rule(Schema):
    """One rule."""

    # a rule that asks for more than this API knows must not be taken for one that asks for less
    model_config = ConfigDict(extra="forbid")

    id: Annotated[Text, Field(min_length=1, max_length=255)] | None = None
    status: Literal["Enabled", "Disabled"]
    filter: Everything
    noncurrent_version_expiration: Annotated[Expiration, Field(alias="noncurrentVersionExpiration")]


class Lifecycle(Schema):
    """All rules of a bucket."""

    rules: Annotated[tuple[Rule, ...], Field(min_length=1, max_length=1000)]


async def get_bucket_lifecycle(api: Api, asked: Asked) -> Response:
    """The rules of a bucket."""
    return json_response(await _shown(api, asked))


async def update_bucket_lifecycle(api: Api, asked: Asked) -> Response:
    """Replace the rules of a bucket."""
    rules = tuple(
        LifecycleRule(
            id=rule.id,
            status=rule.status,
            filter=LifecycleRuleFilter(),
            noncurrent_version_expiration=NoncurrentVersionExpiration(
                noncurrent_days=rule.noncurrent_version_expiration.noncurrent_days,
                newer_noncurrent_versions=rule.noncurrent_version_expiration.newer_noncurrent_versions,
            ),
        )
        for rule in cast(Lifecycle, asked.body).rules
    )
    await _require_visible(api, asked)
    await lifecycle.put_bucket_lifecycle(
        api.services,
        asked.call,
        PutBucketLifecycleConfigurationInput(
            bucket=asked.bucket, lifecycle_configuration=BucketLifecycleConfiguration(rules=rules)
        ),
    )
    return json_response(await _shown(api, asked))


async def delete_bucket_lifecycle(api: Api, asked: Asked) -> Response:
    """Remove the rules of a bucket."""
    await _require_visible(api, asked)
    await lifecycle.delete_bucket_lifecycle(api.services, asked.call, DeleteBucketLifecycleInput(bucket=asked.bucket))
    return json_response({"message": "Successfully deleted"})


async def _require_visible(api: Api, asked: Asked) -> None:
    """Raises NoSuchBucket, also for a bucket the caller does not see."""
    try:
        await access.require_bucket(api.services, asked.call, asked.bucket)
    except StorageError:
        raise StorageError("NoSuchBucket", BucketName=asked.bucket) from None


async def _shown(api: Api, asked: Asked) -> Any:
    await _require_visible(api, asked)
    document = await access.require_configuration(
        api.services, asked.call, asked.bucket, Kind.LIFECYCLE, "NoSuchLifecycleConfiguration"
    )
    return {"rules": _camel(document["Rules"])}


def _camel(value: Any) -> Any:
    """The stored rules, which have S3's names, with this API's."""
    if isinstance(value, dict):
        return {_NAMES.get(name, name[:1].lower() + name[1:]): _camel(each) for name, each in value.items()}
    return [_camel(each) for each in value] if isinstance(value, list) else value
