"""What successful requests of the JSON API are answered with, for OpenAPI. Written down here and held against a running
server by the conformance suite, as answers are made of rows and not of models."""

from collections.abc import Mapping
from typing import Any, Final

Document = Mapping[str, Any]

_TEXT: Final = {"type": "string"}
_OPTIONAL_TEXT: Final = {"type": ["string", "null"]}
_BOOLEAN: Final = {"type": "boolean"}
_OPTIONAL_INTEGER: Final = {"type": ["integer", "null"]}

_OPTIONAL_MOMENT: Final = {"type": ["string", "null"], "format": "date-time"}
_ANY: Final = {"type": "object"}
_OPTIONAL_ANY: Final = {"type": ["object", "null"]}


def _object(required: Document, optional: Document | None = None) -> Document:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _array(items: Document) -> Document:
    return {"type": "array", "items": items}


_MESSAGE: Final = _object({"message": _TEXT})
_BUCKET: Final = _object(
    {
        "id": _TEXT,
        "name": _TEXT,
        "owner": _TEXT,
        "public": _BOOLEAN,
        "file_size_limit": _OPTIONAL_INTEGER,
        "allowed_mime_types": {"type": ["array", "null"], "items": _TEXT},
        "created_at": _OPTIONAL_MOMENT,
        "updated_at": _OPTIONAL_MOMENT,
    },
    {"type": _TEXT, "versioning_status": {"enum": ["ENABLED", "SUSPENDED"]}},
)
_WRITTEN: Final = _object({"Id": _TEXT, "Key": _TEXT})
_ROW: Final = _object(
    {
        "id": _TEXT,
        "bucket_id": _TEXT,
        "name": _TEXT,
        "owner": _OPTIONAL_TEXT,
        "owner_id": _OPTIONAL_TEXT,
        "version": _OPTIONAL_TEXT,
        "created_at": _OPTIONAL_MOMENT,
        "updated_at": _OPTIONAL_MOMENT,
        "last_accessed_at": _OPTIONAL_MOMENT,
        "metadata": _ANY,
        "user_metadata": _OPTIONAL_ANY,
    }
)
_ENTRY_MEMBERS: Final = {
    "name": _TEXT,
    "id": _OPTIONAL_TEXT,
    "created_at": _OPTIONAL_MOMENT,
    "updated_at": _OPTIONAL_MOMENT,
    "last_accessed_at": _OPTIONAL_MOMENT,
    "metadata": _OPTIONAL_ANY,
}
_INFO: Final = _object(
    {
        "id": _TEXT,
        "name": _TEXT,
        "version": _TEXT,
        "bucket_id": _TEXT,
        "size": _OPTIONAL_INTEGER,
        "content_type": _OPTIONAL_TEXT,
        "cache_control": _TEXT,
        "etag": _OPTIONAL_TEXT,
        "metadata": _ANY,
        "last_modified": _OPTIONAL_MOMENT,
        "created_at": _OPTIONAL_MOMENT,
    },
    {"content_encoding": _TEXT},
)
_LIFECYCLE: Final = _object({"rules": _array(_ANY)})

ANSWERS: Final[Mapping[str, Document]] = {
    "createBucket": _object({"name": _TEXT}),
    "listBuckets": _array(_BUCKET),
    "getBucket": _BUCKET,
    "updateBucket": _MESSAGE,
    "emptyBucket": _MESSAGE,
    "deleteBucket": _MESSAGE,
    "getBucketLifecycle": _LIFECYCLE,
    "updateBucketLifecycle": _LIFECYCLE,
    "deleteBucketLifecycle": _MESSAGE,
    "createSignedUploadUrl": _object({"url": _TEXT, "token": _TEXT}),
    "uploadToSignedUrl": _object({"Key": _TEXT}),
    "uploadObject": _WRITTEN,
    "updateObject": _WRITTEN,
    "copyObject": _object({"Id": _TEXT, "Key": _TEXT, "name": _TEXT, "bucket_id": _TEXT}),
    "moveObject": _object({"message": _TEXT, "Id": _TEXT, "Key": _TEXT}),
    "listObjects": _array(_object(_ENTRY_MEMBERS)),
    "listObjectsV2": _object(
        {
            "hasNext": _BOOLEAN,
            "folders": _array(_object({"name": _TEXT}, {"key": _TEXT})),
            "objects": _array(_object(_ENTRY_MEMBERS | {"id": _TEXT, "metadata": _ANY}, {"key": _TEXT})),
        },
        {"nextCursor": _TEXT, "nextCursorKey": _TEXT},
    ),
    "createSignedUrls": _array(_object({"error": _OPTIONAL_TEXT, "path": _TEXT, "signedURL": _OPTIONAL_TEXT})),
    "createSignedUrl": _object({"signedURL": _TEXT}),
    "getPublicObjectInfo": _INFO,
    "getAuthenticatedObjectInfo": _INFO,
    "getObjectInfo": _INFO,
    "deleteObject": _MESSAGE,
    "deleteObjects": _array(_ROW),
    "purgeCache": _MESSAGE,
    "purgeBucketCache": _MESSAGE,
    "purgeObjectCache": _MESSAGE,
    "health": _object({"healthy": _BOOLEAN}),
}
"""By the names of routes; the others answer with bytes, or with nothing."""

BYTES: Final = frozenset({"getSignedObject", "getPublicObject", "getAuthenticatedObject", "getObject"})
"""Routes that answer with an object, or a part of it."""
