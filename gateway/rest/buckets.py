"""Routes of buckets."""

import re
from typing import Any, Final, cast

from gateway.errors import StorageError
from gateway.metadata.storage_api import BucketChanges, BucketRow
from gateway.metadata.storage_api import NewBucket as NewBucketRow
from gateway.operations import storage_buckets
from gateway.operations.storage_buckets import BucketSearch
from gateway.rest.api import Api, Asked, instant, json_response
from gateway.rest.schemas import BucketQuery, BucketUpdate, NewBucket
from gateway.wire.response import Response

_EMPTIED: Final = "Empty bucket has been queued. Completion may take up to an hour."
# Versions of the Python client that know no ``type`` and refuse what they do not know.
_OLD_PYTHON: Final = re.compile(r"supabase-py/(?:storage3 v)?([0-9]+)\.([0-9]+)\.([0-9]+)")


async def create_bucket(api: Api, asked: Asked) -> Response:
    """Make a bucket."""
    body = cast(NewBucket, asked.body)
    if body.type != "STANDARD":
        raise StorageError("NotImplemented", "Analytics buckets are not implemented.")
    new = NewBucketRow(
        body.id or body.name,
        body.name,
        body.public,
        body.file_size_limit,
        body.allowed_mime_types,
        body.versioning_status,
    )
    await storage_buckets.create_bucket(api.services, asked.call, new)
    return json_response({"name": body.name})


async def list_buckets(api: Api, asked: Asked) -> Response:
    """The buckets the caller sees."""
    query = cast(BucketQuery, asked.query)
    search = BucketSearch(query.search or None, query.sort_column, query.sort_order, query.limit, query.offset)
    rows = await storage_buckets.list_buckets(api.services, asked.call, search)
    with_type = not _is_old_python(asked)
    return json_response([_document(row) | ({"type": row.type} if with_type else {}) for row in rows])


async def get_bucket(api: Api, asked: Asked) -> Response:
    """One bucket."""
    return json_response(_document(await storage_buckets.get_bucket(api.services, asked.call, asked.bucket)))


async def update_bucket(api: Api, asked: Asked) -> Response:
    """Change a bucket's settings."""
    body = cast(BucketUpdate, asked.body)
    changes = BucketChanges(
        frozenset(body.model_fields_set),
        body.public,
        body.file_size_limit,
        body.allowed_mime_types,
        body.versioning_status,
    )
    await storage_buckets.update_bucket(api.services, asked.call, asked.bucket, changes)
    return json_response({"message": "Successfully updated"})


async def empty_bucket(api: Api, asked: Asked) -> Response:
    """Delete what is in a bucket. It is done when the answer comes; the message is the one clients expect."""
    await storage_buckets.empty_bucket(api.services, asked.call, asked.bucket, api.limits.empty_bucket_max_objects)
    return json_response({"message": _EMPTIED})


async def delete_bucket(api: Api, asked: Asked) -> Response:
    """Delete an empty bucket."""
    await storage_buckets.delete_bucket(api.services, asked.call, asked.bucket)
    return json_response({"message": "Successfully deleted"})


def _document(row: BucketRow) -> dict[str, Any]:
    owner = row.owner or row.owner_id
    # a member that older clients do not know, and that says nothing of a bucket that never kept versions
    versions = {"versioning_status": row.versioning_status} if row.versioning_status != "DISABLED" else {}
    return versions | {
        "id": row.id,
        "name": row.name,
        # clients in typed languages have no place for null here
        "owner": str(owner) if owner else "",
        "public": row.public,
        "file_size_limit": row.file_size_limit,
        "allowed_mime_types": list(row.allowed_mime_types) if row.allowed_mime_types is not None else None,
        "created_at": instant(row.created_at),
        "updated_at": instant(row.updated_at),
    }


def _is_old_python(asked: Asked) -> bool:
    for name, first in (("x-client-info", (2, 18, 0)), ("user-agent", (0, 12, 1))):
        found = _OLD_PYTHON.search(asked.headers.get(name, ""))
        if found is not None and tuple(int(part) for part in found.groups()) < first:
            return True
    return False
