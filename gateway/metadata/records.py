"""Rows as the operations see them: frozen, typed, no SQL."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from gateway.frozen import quick

# S3's name for the version of a key that was written while its bucket kept none.
NULL_VERSION: Final = "null"


class Visibility(StrEnum):
    """What a caller who found nothing may be told of a bucket."""

    NONE = "none"
    HIDDEN = "hidden"
    VISIBLE = "visible"


class DeleteOutcome(StrEnum):
    """What became of one key of a bulk delete."""

    DELETED = "deleted"
    ABSENT = "absent"
    DENIED = "denied"
    MISMATCH = "mismatch"


@dataclass(frozen=True, slots=True)
class Doomed:
    """What a delete is asked for: a key or one version of it, and what it must be (None: whatever it is)."""

    key: str
    version_id: str | None = None
    etag: str | None = None
    size_bytes: int | None = None
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Deletion:
    """What became of it. ``version_id`` is that of what was deleted or of the marker placed; None in a bucket that
    never kept versions. ``is_marker``: that is a delete marker."""

    outcome: DeleteOutcome
    version_id: str | None = None
    is_marker: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What a committed write is known by. ``version_id`` is None unless the bucket keeps versions;
    ``lifecycle_revision`` names the lifecycle rules of the bucket, if it has any."""

    modified: datetime
    version_id: str | None = None
    lifecycle_revision: int | None = None


@dataclass(frozen=True, slots=True)
class Replaced:
    """What came of giving an object new headers: its new Last-Modified, or nothing."""

    modified: datetime | None
    keeps_versions: bool = False
    lifecycle_revision: int | None = None


class VersioningStatus(StrEnum):
    """Does a bucket keep what is overwritten and deleted?"""

    DISABLED = "DISABLED"
    ENABLED = "ENABLED"
    SUSPENDED = "SUSPENDED"


@dataclass(frozen=True, slots=True)
class BucketRecord:
    """A row of storage.buckets."""

    id: str
    created_at: datetime
    owner_id: str | None
    public: bool = False
    versioning_status: VersioningStatus = VersioningStatus.DISABLED


@dataclass(frozen=True, slots=True)
class Checksum:
    """A stored checksum: S3's algorithm name (``CRC32``…), ``FULL_OBJECT`` or ``COMPOSITE``, and the base64 value."""

    algorithm: str
    type: str
    value: str


@quick
@dataclass(frozen=True, slots=True)
class Headers:
    """What describes an object besides its bytes; kept in ``metadata`` under Supabase's names where it has one. User
    metadata is text by S3, and any JSON by the JSON API."""

    content_type: str = "binary/octet-stream"
    cache_control: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    expires: str | None = None
    website_redirect_location: str | None = None
    storage_class: str | None = None
    x_robots_tag: str | None = None
    user_metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def user_metadata_json(self) -> str | None:
        """The column ``user_metadata``."""
        return json.dumps(dict(self.user_metadata), ensure_ascii=False) if self.user_metadata else None


# json.dumps makes an encoder for every call that is not all defaults.
_to_json: Final = json.JSONEncoder(ensure_ascii=False).encode

_HEADER_KEYS = (
    ("content_type", "mimetype"),
    ("cache_control", "cacheControl"),
    ("content_disposition", "contentDisposition"),
    ("content_encoding", "contentEncoding"),
    ("content_language", "contentLanguage"),
    ("expires", "expires"),
    ("website_redirect_location", "websiteRedirectLocation"),
    ("storage_class", "storageClass"),
    ("x_robots_tag", "xRobotsTag"),
)


def metadata_json(headers: Headers, size_bytes: int | None, etag: str | None, modified: datetime | None) -> str:
    """The column ``metadata`` in Supabase's shape, which policies and dashboards read (``size``, ``mimetype``…)."""
    document: dict[str, Any] = {}
    for attribute, key in _HEADER_KEYS:
        value = getattr(headers, attribute)
        if value is not None:
            document[key] = value
    if size_bytes is not None:
        document.update(size=size_bytes, contentLength=size_bytes, httpStatusCode=200)
    if etag is not None:
        document["eTag"] = f'"{etag}"'
    if modified is not None:
        document["lastModified"] = modified.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _to_json(document)


def json_document(value: Any) -> dict[str, Any] | None:
    """A jsonb column, as text or read already; None for NULL and for what is no object."""
    if isinstance(value, str | bytes):
        value = json.loads(value)
    return value if isinstance(value, dict) else None


def headers_of(metadata: Mapping[str, Any] | None, user_metadata: Mapping[str, Any] | None) -> Headers:
    """Read the two columns back; a row made by hand may lack anything, or hold what is no text."""
    found = metadata or {}
    values = {attribute: str(found[key]) for attribute, key in _HEADER_KEYS if key in found and found[key] is not None}
    return Headers(user_metadata=user_metadata or {}, **values)


def metadata_text(value: Any) -> str:
    """A value of user metadata where only text will do: S3 knows nothing else, the JSON API stores any JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What S3 keeps of a version besides its headers: tags, ACL, object lock, encryption.

    ``is_annotated``: it has, or had, annotations (``metadata/annotations.py``); who writes does not say it.
    ``bucket_default`` and ``encryption_settled`` are not kept. They say where ``encryption`` (or that there is none)
    comes from, so that the commit can compare it with the bucket's default: ``bucket_default`` is the default it
    follows, and ``encryption_settled`` that it was chosen before, when an upload began. With neither, the request asked
    for it.
    """

    tags: Mapping[str, str] | None = None
    acl: Mapping[str, Any] | None = None
    lock_mode: str | None = None
    lock_until: datetime | None = None
    legal_hold: bool | None = None
    encryption: Mapping[str, Any] | None = None
    bucket_default: Mapping[str, Any] | None = None
    encryption_settled: bool | None = None
    is_annotated: bool = False

    @property
    def json(self) -> str | None:
        """The parameter ``attributes`` of statements that write; None for the ordinary object, which has none."""
        if self is NO_ATTRIBUTES:
            return None
        document: dict[str, Any] = {
            "tags": dict(self.tags) if self.tags else None,
            "acl": dict(self.acl) if self.acl is not None else None,
            "lock_mode": self.lock_mode,
            "lock_until": self.lock_until.isoformat() if self.lock_until else None,
            "legal_hold": self.legal_hold,
            "encryption": dict(self.encryption) if self.encryption is not None else None,
            "bucket_default": dict(self.bucket_default) if self.bucket_default is not None else None,
            "encryption_settled": self.encryption_settled,
        }
        found = {name: value for name, value in document.items() if value is not None}
        return json.dumps(found, ensure_ascii=False) if found else None

    @classmethod
    def of(cls, document: Mapping[str, Any] | None) -> "Attributes":
        """Read ``json`` back."""
        if not document:
            return NO_ATTRIBUTES
        until = document.get("lock_until")
        return cls(**{**document, "lock_until": datetime.fromisoformat(until) if until else None})


NO_ATTRIBUTES: Final = Attributes()


@quick
@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """A row of storage.objects. Exactly one of ``content``, ``blob_id`` and ``part_blobs`` is set if it is stored.

    ``is_stored`` is False for a row made by plain SQL: it describes an object whose bytes nobody ever sent.
    ``lifecycle_revision`` names the lifecycle rules of its bucket; None where there are none.
    """

    id: UUID
    is_stored: bool
    version: str
    is_versioned: bool
    headers: Headers
    updated_at: datetime
    owner_id: str | None
    size_bytes: int
    etag: str
    backend: str | None
    blob_id: str | None
    content: bytes | None
    part_sizes: tuple[int, ...]
    part_blobs: tuple[str, ...]
    part_checksums: tuple[str, ...]
    checksum: Checksum | None
    attributes: Attributes = NO_ATTRIBUTES
    lifecycle_revision: int | None = None
    is_delete_marker: bool = False

    @property
    def version_id(self) -> str:
        """The id S3 knows this version by."""
        return self.version if self.is_versioned else NULL_VERSION


@dataclass(frozen=True, slots=True)
class DeleteMarker:
    """What is current in the place of an object that was deleted."""

    version_id: str
    modified: datetime


class ListedObject(NamedTuple):
    """One entry of a listing: a key, or a common prefix when ``is_prefix``. In the order of the columns of the query,
    so that a row becomes one without a look at its parts: a page has a thousand."""

    name: str
    is_prefix: bool
    updated_at: datetime | None
    size_bytes: int
    etag: str
    owner_id: str | None
    checksum_algorithm: str | None
    checksum_type: str | None
    storage_class: str | None


class ListedVersion(NamedTuple):
    """One entry of a listing of versions, in the order of the columns of its query."""

    name: str
    is_prefix: bool
    version: str | None
    is_versioned: bool
    updated_at: datetime | None
    size_bytes: int
    etag: str
    owner_id: str | None
    checksum_algorithm: str | None
    checksum_type: str | None
    storage_class: str | None
    is_delete_marker: bool
    is_latest: bool

    @property
    def version_id(self) -> str:
        """The id S3 knows this version by."""
        return self.version or "" if self.is_versioned else NULL_VERSION


@quick
@dataclass(frozen=True, slots=True)
class NewObject:
    """An object about to be committed: what describes it and where its durable bytes already are."""

    bucket: str
    key: str
    version: str
    owner_id: str | None
    headers: Headers
    size_bytes: int
    etag: str
    epoch: int | None = None
    backend: str | None = None
    blob_id: str | None = None
    content: bytes | None = None
    part_sizes: tuple[int, ...] = ()
    part_blobs: tuple[str, ...] = ()
    part_checksums: tuple[str, ...] = ()
    checksum: Checksum | None = None
    attributes: Attributes = NO_ATTRIBUTES


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """An open (or, with ``answer``, a completed) multipart upload."""

    version: str
    owner_id: str | None
    headers: Headers
    backend: str
    checksum_algorithm: str | None
    checksum_type: str | None
    answer: Mapping[str, Any] | None = None
    attributes: Attributes = NO_ATTRIBUTES


@dataclass(frozen=True, slots=True)
class ListedUpload:
    """One entry of ListMultipartUploads."""

    key: str
    upload_id: str
    created_at: datetime
    owner_id: str | None
    checksum_algorithm: str | None
    checksum_type: str | None
    storage_class: str | None


@dataclass(frozen=True, slots=True)
class PartRecord:
    """A stored part of an open upload."""

    number: int
    size_bytes: int
    etag: str
    created_at: datetime
    blob_id: str
    checksum_algorithm: str | None
    checksum_value: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """What a bucket says of new bytes: how to encrypt them, how many an object may have, and the backend they go to
    (None: the default ones, and no limit)."""

    default_encryption: Mapping[str, Any] | None
    file_size_limit: int | None
    backend: str | None


@dataclass(frozen=True, slots=True)
class UploadForPart:
    """What a part must know of its upload."""

    backend: str
    version: str
    checksum_algorithm: str | None
    checksum_type: str | None
    encryption: Mapping[str, Any] | None = None
    owner_id: str | None = None
    initiator_id: str | None = None
    storage_class: str | None = None
