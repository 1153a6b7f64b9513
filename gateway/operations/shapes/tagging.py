"""Tags of buckets and objects: typed inputs and outputs."""

from dataclasses import dataclass

from gateway.operations.shapes.common import Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagging:
    """Container for TagSet elements."""

    tag_set: tuple[Tag, ...]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PutObjectTaggingInput:
    """What PutObjectTagging is asked."""

    bucket: str
    key: str
    tagging: Tagging
    version_id: str | None = None
    content_md5: str | None = None
    checksum_algorithm: str | None = None
    expected_bucket_owner: str | None = None
    request_payer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutObjectTaggingOutput:
    """What PutObjectTagging answers."""

    version_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteObjectTaggingInput:
    """What DeleteObjectTagging is asked."""

    bucket: str
    key: str
    version_id: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteObjectTaggingOutput:
    """What DeleteObjectTagging answers."""

    version_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketTaggingInput:
    """What PutBucketTagging is asked."""

    bucket: str
    tagging: Tagging
    content_md5: str | None = None
    checksum_algorithm: str | None = None
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBucketTaggingOutput:
    """What PutBucketTagging answers: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBucketTaggingInput:
    """What DeleteBucketTagging is asked."""

    bucket: str
    expected_bucket_owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteBucketTaggingOutput:
    """What DeleteBucketTagging answers: nothing."""
