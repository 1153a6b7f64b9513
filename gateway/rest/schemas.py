"""What requests of the JSON API may say: bodies and queries, frozen, checked once; OpenAPI is generated from them.

Names and limits are Supabase's. Unknown members are ignored, and numbers and booleans may come as text, as there.
"""

import re
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

MAX_POSTGRES_INTEGER: Final = 2**31 - 1
MAX_POSTGRES_BIGINT: Final = 2**63 - 1
MAX_NAMES: Final = 1000
_BUCKET_NAME: Final = re.compile(r"[A-Za-z0-9_!.*'() &$=@;:+,?-]+")
_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) *(gb|mb|kb|b)?", re.IGNORECASE)
_UNITS: Final = {"gb": 10**9, "mb": 10**6, "kb": 10**3, "b": 1}


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise PydanticCustomError("nul", "must not hold a NUL character")
    return value


def _bucket_name(value: str) -> str:
    """Supabase's rule. What S3 does not allow as a name is then reached by this API alone."""
    if len(value) > 100 or not _BUCKET_NAME.fullmatch(value) or value != value.strip() or value in (".", ".."):
        raise PydanticCustomError("bucket_name", "Bucket name invalid")
    return value


def _size_bytes(value: Any) -> Any:
    """Bytes, or a text with a decimal unit such as ``20MB``."""
    if isinstance(value, str):
        found = _SIZE.fullmatch(value.strip())
        if found is None:
            raise PydanticCustomError("size", "must be a number of bytes or a text such as 20MB")
        return int(float(found.group(1)) * _UNITS[(found.group(2) or "b").lower()])
    return value


Text = Annotated[str, AfterValidator(_no_nul)]
Name = Annotated[Text, Field(min_length=1)]
BucketName = Annotated[str, AfterValidator(_bucket_name), Field(min_length=1, max_length=100, examples=["avatars"])]
SizeBytes = Annotated[int, BeforeValidator(_size_bytes), Field(ge=0, le=MAX_POSTGRES_BIGINT)]
MimeTypes = Annotated[tuple[Text, ...], Field(max_length=MAX_NAMES)]
Count = Annotated[int, Field(ge=0, le=MAX_POSTGRES_INTEGER)]
Seconds = Annotated[int, Field(ge=1, le=10 * 365 * 86_400 * 10, description="How long the URL is good for, in seconds")]
Order = Literal["asc", "desc"]
VersionId = Annotated[Text, Field(min_length=1, max_length=1024)]
# What those who keep versions may ask of a listing; only what is the default is done.
OnlyCurrent = Literal["exclude"]


class Schema(BaseModel):
    """A request's document, or its query."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, coerce_numbers_to_str=True)


class NewBucket(Schema):
    """A bucket to be made."""

    name: BucketName
    id: BucketName | None = None
    public: bool = False
    type: Literal["STANDARD", "ANALYTICS"] = "STANDARD"
    file_size_limit: SizeBytes | None = None
    allowed_mime_types: MimeTypes | None = None
    versioning_status: Literal["DISABLED", "ENABLED"] = "DISABLED"


class BucketUpdate(Schema):
    """What is to change of a bucket; what is absent stays."""

    public: bool | None = None
    file_size_limit: SizeBytes | None = None
    allowed_mime_types: MimeTypes | None = None
    versioning_status: Literal["ENABLED", "SUSPENDED"] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> "BucketUpdate":
        if not self.model_fields_set:
            raise PydanticCustomError(
                "nothing", "must have at least one of public, file_size_limit, allowed_mime_types, versioning_status"
            )
        return self


class BucketQuery(Schema):
    """Which buckets to list."""

    limit: Annotated[int, Field(ge=1, le=MAX_POSTGRES_INTEGER)] | None = None
    offset: Count = 0
    search: Text | None = None
    sort_column: Annotated[Literal["id", "name", "created_at", "updated_at"], Field(alias="sortColumn")] = "name"
    sort_order: Annotated[Order, Field(alias="sortOrder")] = "asc"


class SortBy(Schema):
    """The order of a folder."""

    column: Literal["name", "updated_at", "created_at", "last_accessed_at"] = "name"
    order: Order = "asc"


class FolderSearch(Schema):
    """A page of one folder."""

    prefix: Text
    limit: Count = 100
    offset: Count = 0
    search: Text = ""
    sort_by: Annotated[SortBy, Field(alias="sortBy")] = SortBy()
    noncurrent_versions: Annotated[OnlyCurrent, Field(alias="noncurrentVersions")] = "exclude"
    delete_markers: Annotated[OnlyCurrent, Field(alias="deleteMarkers")] = "exclude"
    exact_match: Annotated[Literal[False], Field(alias="exactMatch")] = False


class SortByV2(Schema):
    """The order of a listing by cursor."""

    column: Literal["name", "updated_at", "created_at"] = "name"
    order: Order = "asc"


class EntrySearch(Schema):
    """A page of keys that start with a prefix."""

    prefix: Text = ""
    limit: Annotated[int, Field(ge=-MAX_POSTGRES_INTEGER, le=MAX_POSTGRES_INTEGER)] = 1000
    cursor: Text | None = None
    with_delimiter: bool = False
    sort_by: Annotated[SortByV2, Field(alias="sortBy")] = SortByV2()
    noncurrent_versions: Annotated[OnlyCurrent, Field(alias="noncurrentVersions")] = "exclude"
    delete_markers: Annotated[OnlyCurrent, Field(alias="deleteMarkers")] = "exclude"
    exact_match: Annotated[Literal[False], Field(alias="exactMatch")] = False


class VersionToRemove(Schema):
    """One version of an object."""

    path: Text
    version_id: Annotated[VersionId, Field(alias="versionId")]


class Removal(Schema):
    """Objects to delete, by their exact names, and single versions."""

    prefixes: Annotated[tuple[Text | VersionToRemove, ...], Field(min_length=1, max_length=MAX_NAMES)]


class ObjectMove(Schema):
    """An object and its new name."""

    bucket_id: Annotated[Name, Field(alias="bucketId")]
    source_key: Annotated[Name, Field(alias="sourceKey")]
    destination_key: Annotated[Name, Field(alias="destinationKey")]
    destination_bucket: Annotated[Name | None, Field(alias="destinationBucket")] = None
    source_version_id: Annotated[Name | None, Field(alias="sourceVersionId")] = None


class CopyMetadata(Schema):
    """What a copy says of itself when it does not take over its source's metadata."""

    cache_control: Annotated[Text | None, Field(alias="cacheControl")] = None
    content_encoding: Annotated[Text | None, Field(alias="contentEncoding")] = None
    mimetype: Text | None = None


class ObjectCopy(ObjectMove):
    """An object and the name of its copy."""

    metadata: CopyMetadata | None = None
    copy_metadata: Annotated[bool, Field(alias="copyMetadata")] = True


class Transform(Schema):
    """How an image is to be rendered."""

    width: Annotated[int, Field(ge=0)] | None = None
    height: Annotated[int, Field(ge=0)] | None = None
    resize: Literal["cover", "contain", "fill"] | None = None
    format: Literal["origin", "avif", "webp"] | None = None
    quality: Annotated[int, Field(ge=20, le=100)] | None = None


class UrlRequest(Schema):
    """A URL that opens one object without a token of its own."""

    expires_in: Annotated[Seconds, Field(alias="expiresIn")]
    transform: Transform | None = None
    version_id: Annotated[VersionId | None, Field(alias="versionId")] = None


class UrlsRequest(Schema):
    """The same for many objects."""

    expires_in: Annotated[Seconds, Field(alias="expiresIn")]
    paths: Annotated[tuple[Text, ...], Field(min_length=1, max_length=MAX_NAMES)]


class VersionQuery(Schema):
    """Which version is meant; without it the current one."""

    version_id: Annotated[VersionId | None, Field(alias="versionId")] = None


class DownloadQuery(VersionQuery):
    """``download`` makes a browser save the object; its value is the name to save it under."""

    download: Text | None = None


class TokenQuery(DownloadQuery):
    """A signed URL's query."""

    token: Text


class UploadTokenQuery(Schema):
    """The query of a signed URL for an upload."""

    token: Text


class UploadUrlRequest(Schema):
    """A URL to upload by. With ``confirm`` the bytes wait to be confirmed, for ``expiresIn`` seconds; without, it is
    Supabase's, and good for as long as the server says."""

    confirm: bool = False
    expires_in: Annotated[Seconds | None, Field(alias="expiresIn")] = None


class PendingUpload(Schema):
    """An upload that waits to be confirmed: either its id, or the token it came with."""

    id: UUID | None = None
    token: Text | None = None


class PurgeQuery(Schema):
    """Whether rendered images are to go as well."""

    transformations: bool = False
