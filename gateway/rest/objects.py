"""Routes of objects beside their bytes: listings, copies, moves, deletions, signed URLs."""

from dataclasses import replace
from typing import Any, Final, cast

from gateway.errors import StorageError
from gateway.metadata import buckets as bucket_rows
from gateway.metadata import storage_api
from gateway.metadata.records import Visibility
from gateway.metadata.storage_api import Entry, ObjectRow
from gateway.operations import copying, folders, moving
from gateway.operations.folders import EntryListing, FolderListing
from gateway.operations.moving import Move
from gateway.operations.shapes import CopyObjectInput
from gateway.rest.api import Api, Asked, instant, json_response
from gateway.rest.keys import require_key
from gateway.rest.metadata import header_metadata
from gateway.rest.schemas import (
    EntrySearch,
    FolderSearch,
    ObjectCopy,
    ObjectMove,
    Removal,
    Transform,
    UrlRequest,
    UrlsRequest,
    VersionQuery,
)
from gateway.wire.addressing import CopySource
from gateway.wire.conditions import ANY
from gateway.wire.response import Response

_UNREACHABLE: Final = "Either the object does not exist or you do not have access to it"
_DEFAULT_TYPE: Final = "application/octet-stream"


async def list_folder(api: Api, asked: Asked) -> Response:
    """A page of one folder."""
    body = cast(FolderSearch, asked.body)
    listing = FolderListing(
        asked.bucket, body.prefix, body.search, body.sort_by.column, body.sort_by.order, body.limit or 100, body.offset
    )
    entries = await folders.list_folder(api.services, asked.call, listing)
    if not entries:
        await _require_bucket(api, asked)
    return json_response([_entry(entry) for entry in entries])


async def list_entries(api: Api, asked: Asked) -> Response:
    """A page of keys, or of keys and folders."""
    body = cast(EntrySearch, asked.body)
    listing = EntryListing(
        asked.bucket, body.prefix, body.with_delimiter, body.sort_by.column, body.sort_by.order, body.limit, body.cursor
    )
    page = await folders.list_entries(api.services, asked.call, listing)
    if not page.entries:
        await _require_bucket(api, asked)
    shown: list[dict[str, Any]] = []
    prefixes: list[dict[str, Any]] = []
    for entry in page.entries:
        key = {"key": entry.name.rstrip("/").rpartition("/")[2]} if body.with_delimiter else {}
        if entry.is_folder:
            prefixes.append(key | {"name": entry.name})
        else:
            shown.append(key | _entry(entry))
    document: dict[str, Any] = {"hasNext": page.cursor is not None, "folders": prefixes, "objects": shown}
    if page.cursor is not None:
        document |= {"nextCursor": page.cursor, "nextCursorKey": page.entries[-1].name}
    return json_response(document)


async def remove_objects(api: Api, asked: Asked) -> Response:
    """Delete many objects; those that are gone."""
    body = cast(Removal, asked.body)
    keys = list(dict.fromkeys(each for each in body.prefixes if isinstance(each, str)))
    versions = [(each.path, each.version_id) for each in body.prefixes if not isinstance(each, str)]
    rows = await moving.remove_objects(api.services, asked.call, asked.bucket, keys, list(dict.fromkeys(versions)))
    return json_response([_row(row) for row in rows])


async def remove_object(api: Api, asked: Asked) -> Response:
    """Delete one object, or one version of it."""
    version_id = cast(VersionQuery, asked.query).version_id
    await moving.remove_object(api.services, asked.call, asked.bucket, asked.key, version_id)
    return json_response({"message": "Successfully deleted"})


async def move_object(api: Api, asked: Asked) -> Response:
    """Give an object another name."""
    body = cast(ObjectMove, asked.body)
    if body.source_version_id is not None:
        raise StorageError("NotImplemented", "Moving one version of an object is not implemented: copy it.")
    require_key(body.destination_key, strict=api.limits.strict_keys)
    to_bucket = body.destination_bucket or body.bucket_id
    row_id = await moving.move_object(
        api.services, asked.call, Move(body.bucket_id, body.source_key, to_bucket, body.destination_key)
    )
    return json_response(
        {"message": "Successfully moved", "Id": str(row_id or ""), "Key": f"{to_bucket}/{body.destination_key}"}
    )


async def copy_object(api: Api, asked: Asked) -> Response:
    """Copy an object, as a rule with its metadata."""
    body = cast(ObjectCopy, asked.body)
    require_key(body.destination_key, strict=api.limits.strict_keys)
    bucket, key = body.destination_bucket or body.bucket_id, body.destination_key
    copy = CopyObjectInput(
        bucket=bucket,
        key=key,
        copy_source=CopySource(body.bucket_id, body.source_key, body.source_version_id),
        if_none_match=None if asked.headers.get("x-upsert") == "true" else ANY,
    )
    if not body.copy_metadata:
        source = await moving.find_row(
            api.services, asked.call, body.bucket_id, body.source_key, body.source_version_id
        )
        found, said = source.metadata or {}, body.metadata
        copy = replace(
            copy,
            metadata_directive="REPLACE",
            content_type=(said and said.mimetype) or found.get("mimetype") or _DEFAULT_TYPE,
            cache_control=(said and said.cache_control) or found.get("cacheControl"),
            content_encoding=(said and said.content_encoding) or found.get("contentEncoding"),
            metadata=header_metadata(asked.headers.get("x-metadata")),
        )
    elif (body.bucket_id, body.source_key, body.source_version_id) == (bucket, key, None):
        # onto itself and nothing changes: S3 refuses that, here it is done already
        row = await moving.find_row(api.services, asked.call, bucket, key)
        return json_response(_copied(row, bucket, key))
    try:
        await copying.copy_object(api.services, asked.call, copy)
    except StorageError as error:
        if error.code.name == "PreconditionFailed":
            raise StorageError("KeyAlreadyExists") from None
        raise
    return json_response(_copied(await moving.written_row(api.services, asked.call, bucket, key), bucket, key))


async def sign_object(api: Api, asked: Asked) -> Response:
    """A URL that opens one object the caller sees."""
    body = cast(UrlRequest, asked.body)
    await moving.find_row(api.services, asked.call, asked.bucket, asked.key, body.version_id)
    signed = _signed(api, asked.bucket, asked.key, body.expires_in, body.transform, body.version_id)
    return json_response({"signedURL": signed})


async def sign_objects(api: Api, asked: Asked) -> Response:
    """The same for many objects, in their order."""
    body = cast(UrlsRequest, asked.body)
    rows = await storage_api.find_rows(
        api.services.session, asked.call.scope, asked.bucket, list(dict.fromkeys(body.paths))
    )
    visible = {row.name for row in rows}
    return json_response(
        [
            {"error": None, "path": path, "signedURL": _signed(api, asked.bucket, path, body.expires_in, None)}
            if path in visible
            else {"error": _UNREACHABLE, "path": path, "signedURL": None}
            for path in body.paths
        ]
    )


def _signed(
    api: Api, bucket: str, key: str, lifetime_seconds: int, transform: Transform | None, version_id: str | None = None
) -> str:
    """Relative to the API's root and not percent-encoded: clients encode it when they put it together."""
    asked = transform.model_dump(exclude_none=True) if transform is not None else {}
    transformations = ",".join(f"{_OPTIONS[name]}:{_VALUES.get(value, value)}" for name, value in asked.items())
    token = api.signer.sign_download(
        bucket,
        key,
        lifetime_seconds=lifetime_seconds,
        transformations=transformations or None,
        version_id=version_id,
    )
    return f"/{'render/image' if transformations else 'object'}/sign/{bucket}/{key}?token={token}"


_OPTIONS: Final = {
    "width": "width",
    "height": "height",
    "resize": "resizing_type",
    "format": "format",
    "quality": "quality",
}
# what imgproxy calls them
_VALUES: Final[dict[Any, str]] = {"cover": "fill", "contain": "fit", "fill": "force"}


async def _require_bucket(api: Api, asked: Asked) -> None:
    """After an empty page. Raises NoSuchBucket; a bucket the caller does not see looks empty."""
    seen = await bucket_rows.visibility(api.services.session, asked.call.scope, asked.bucket)
    if seen is Visibility.NONE:
        raise StorageError("NoSuchBucket", BucketName=asked.bucket)


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "id": str(entry.id) if entry.id is not None else None,
        "updated_at": instant(entry.updated_at),
        "created_at": instant(entry.created_at),
        "last_accessed_at": instant(entry.last_accessed_at),
        "metadata": entry.metadata if entry.is_folder else entry.metadata or {},
    }


def _row(row: ObjectRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "bucket_id": row.bucket_id,
        "name": row.name,
        "owner": str(row.owner) if row.owner else None,
        "owner_id": row.owner_id,
        "version": row.version,
        "created_at": instant(row.created_at),
        "updated_at": instant(row.updated_at),
        "last_accessed_at": instant(row.last_accessed_at),
        "metadata": row.metadata or {},
        "user_metadata": row.user_metadata,
    }


def _copied(row: ObjectRow | None, bucket: str, key: str) -> dict[str, Any]:
    names = {"Id": str(row.id) if row else "", "Key": f"{bucket}/{key}"}
    return names | (_row(row) if row else {"name": key, "bucket_id": bucket})
