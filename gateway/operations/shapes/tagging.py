"""Tags of buckets and objects: typed inputs and outputs."""

from dataclasses import dataclass

from gateway.operations.shapes.common import Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketTaggingInput:
    """What GetBucketTagging is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBucketTaggingOutput:
    """What GetBucketTagging answers."""

    tag_set: tuple[Tag, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GetObjectTaggingInput:
    """What GetObjectTagging is asked."""

    bucket: str
    key: str
    version_id: str | None = None
    expected_bucket_owner: str | None = None
    request_payer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetObjectTaggingOutput:
    """What GetObjectTagging answers."""

    tag_set: tuple[Tag, ...]
    version_id: str | None = None
