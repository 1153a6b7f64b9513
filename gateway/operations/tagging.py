"""Tags of objects and buckets: PutObjectTagging and its kin."""

from collections.abc import Mapping
from typing import Final

from gateway.context import Call
from gateway.errors import StorageError
from gateway.metadata import configurations, objects
from gateway.metadata.configurations import Kind
from gateway.metadata.records import ObjectRecord
from gateway.operations import access, versions
from gateway.operations.services import Services
from gateway.operations.shapes import (
    DeleteBucketTaggingInput,
    DeleteBucketTaggingOutput,
    DeleteObjectTaggingInput,
    DeleteObjectTaggingOutput,
    GetBucketTaggingInput,
    GetBucketTaggingOutput,
    GetObjectTaggingInput,
    GetObjectTaggingOutput,
    PutBucketTaggingInput,
    PutBucketTaggingOutput,
    PutObjectTaggingInput,
    PutObjectTaggingOutput,
    Tag,
)
from gateway.operations.tags import bucket_tags, object_tags, tag_set

_ATTEMPTS: Final = 3

Named = GetObjectTaggingInput | PutObjectTaggingInput | DeleteObjectTaggingInput


async def get_object_tagging(services: Services, call: Call, asked: GetObjectTaggingInput) -> GetObjectTaggingOutput:
    """The tags of an object; unlike a bucket's, its empty set is an answer."""
    record = await _find(services, call, asked)
    return GetObjectTaggingOutput(tag_set=tag_set(record.attributes.tags), version_id=_version_id(record))


async def put_object_tagging(services: Services, call: Call, asked: PutObjectTaggingInput) -> PutObjectTaggingOutput:
    """Replace the tags of an object (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html)."""
    return PutObjectTaggingOutput(version_id=await _replace(services, call, asked, object_tags(asked.tagging.tag_set)))


async def delete_object_tagging(
    services: Services, call: Call, asked: DeleteObjectTaggingInput
) -> DeleteObjectTaggingOutput:
    """Take all tags away."""
    return DeleteObjectTaggingOutput(version_id=await _replace(services, call, asked, {}))


async def get_bucket_tagging(services: Services, call: Call, asked: GetBucketTaggingInput) -> GetBucketTaggingOutput:
    """The tags of a bucket."""
    document = await access.require_configuration(services, call, asked.bucket, Kind.TAGGING, "NoSuchTagSet")
    return GetBucketTaggingOutput(tag_set=tuple(Tag(key=tag["Key"], value=tag["Value"]) for tag in document["TagSet"]))


async def put_bucket_tagging(services: Services, call: Call, asked: PutBucketTaggingInput) -> PutBucketTaggingOutput:
    """Replace the tags of a bucket."""
    tags = bucket_tags(asked.tagging.tag_set)
    document = {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}
    await configurations.put(services.session, call.scope, asked.bucket, Kind.TAGGING, document)
    return PutBucketTaggingOutput()


async def delete_bucket_tagging(
    services: Services, call: Call, asked: DeleteBucketTaggingInput
) -> DeleteBucketTaggingOutput:
    """Take all tags of a bucket away; there need not be any."""
    if not await configurations.delete(services.session, call.scope, asked.bucket, Kind.TAGGING):
        await access.require_bucket(services, call, asked.bucket)
    return DeleteBucketTaggingOutput()


async def _replace(services: Services, call: Call, asked: Named, tags: Mapping[str, str]) -> str | None:
    for _ in range(_ATTEMPTS):
        record = await _find(services, call, asked)
        if await objects.replace_tags(services.session, call.scope, record, tags):
            return _version_id(record)
    raise StorageError("ConditionalRequestConflict")


async def _find(services: Services, call: Call, asked: Named) -> ObjectRecord:
    return await versions.find_object(services, call, asked.bucket, asked.key, asked.version_id)


def _version_id(record: ObjectRecord) -> str | None:
    return record.version if record.is_versioned else None
