"""Routes that read one object: its bytes, its head, its description; with a token, openly, or by a signed URL."""

import re
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, cast
from urllib.parse import quote

from gateway.context import SERVICE_ROLE, Call, elevated
from gateway.errors import StorageError
from gateway.metadata import storage_api
from gateway.metadata.records import ObjectRecord
from gateway.metadata.storage_api import ObjectRow
from gateway.operations import moving, objects
from gateway.operations.shapes import GetObjectInput, HeadObjectInput
from gateway.rest.api import Api, Asked, instant, json_response
from gateway.rest.schemas import DownloadQuery, TokenQuery, VersionQuery
from gateway.wire.conditions import parse_http_date
from gateway.wire.headers import http_date, safe_value
from gateway.wire.response import Response, ResponseBody

_NO_CACHE: Final = "no-cache"
# What a browser would run or render as a page of this origin is shown as its source.
_MARKUP: Final = re.compile(r"^\s*(?:text/html|application/xhtml\+xml)", re.IGNORECASE)
_INVISIBLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNESCAPED: Final = "!'()*~"


async def get_public(api: Api, asked: Asked) -> Response:
    """An object of a public bucket, for everybody."""
    return await _read(api, asked, await _public_call(api, asked))


async def get_authenticated(api: Api, asked: Asked) -> Response:
    """An object for who may see it; one of a public bucket for everybody."""
    return await _read(api, asked, await _reading_call(api, asked))


async def get_signed(api: Api, asked: Asked) -> Response:
    """The object a signed URL names."""
    query = cast(TokenQuery, asked.query)
    grant = api.signer.verify_download(query.token, asked.bucket, asked.key)
    # the token says which version it is good for, not who has it
    asked = replace(asked, query=query.model_copy(update={"version_id": grant.version_id}))
    return await _read(api, asked, elevated(asked.call, SERVICE_ROLE), expires=grant.expires_at)


async def info_public(api: Api, asked: Asked) -> Response:
    """What is known of an object of a public bucket."""
    return await _info(api, asked, await _public_call(api, asked))


async def info_authenticated(api: Api, asked: Asked) -> Response:
    """What is known of an object, for who may see it."""
    return await _info(api, asked, await _reading_call(api, asked))


async def _public_call(api: Api, asked: Asked) -> Call:
    """The call as the one role that reads public buckets. Raises NoSuchBucket for a private one too."""
    if not await storage_api.is_public_bucket(api.services.session, asked.call.scope, asked.bucket):
        raise StorageError("NoSuchBucket", BucketName=asked.bucket)
    return elevated(asked.call, SERVICE_ROLE)


async def _reading_call(api: Api, asked: Asked) -> Call:
    public = await storage_api.is_public_bucket(api.services.session, asked.call.scope, asked.bucket)
    if public is None or not (public or asked.is_identified):
        raise StorageError("NoSuchBucket", BucketName=asked.bucket)
    return elevated(asked.call, SERVICE_ROLE) if public else asked.call


async def _read(api: Api, asked: Asked, call: Call, *, expires: datetime | None = None) -> Response:
    headers = asked.headers
    conditions: dict[str, Any] = {
        "if_match": headers.get("if-match"),
        "if_none_match": headers.get("if-none-match"),
        "if_modified_since": parse_http_date(headers.get("if-modified-since")),
        "if_unmodified_since": parse_http_date(headers.get("if-unmodified-since")),
        "range": headers.get("range"),
        "version_id": cast(DownloadQuery, asked.query).version_id,
    }
    body: ResponseBody | bytes = b""
    if asked.is_head:
        head, record = await objects.describe_object(
            api.services, call, HeadObjectInput(bucket=asked.bucket, key=asked.key, **conditions)
        )
        length, content_range = head.content_length, head.content_range
    else:
        output, record = await objects.read_object(
            api.services, call, GetObjectInput(bucket=asked.bucket, key=asked.key, **conditions)
        )
        length, content_range = output.content_length, output.content_range
        body = output.body or b""
    fields = [
        (b"accept-ranges", b"bytes"),
        (b"content-length", b"%d" % (length or 0)),
        *_described(record),
        _lifetime(record, expires),
    ]
    if content_range is not None:
        fields.append((b"content-range", content_range.encode("ascii")))
    disposition = _disposition(cast(DownloadQuery, asked.query).download) or record.headers.content_disposition
    if disposition is not None:
        fields.append((b"content-disposition", _sendable(disposition)))
    return Response(200 if content_range is None else 206, tuple(fields), body)


def _described(record: ObjectRecord) -> list[tuple[bytes, bytes]]:
    headers = record.headers
    fields = [
        (b"content-type", b"text/plain" if _MARKUP.match(headers.content_type) else _sendable(headers.content_type)),
        (b"etag", f'"{record.etag}"'.encode()),
        (b"last-modified", http_date(record.updated_at).encode("ascii")),
        (b"x-robots-tag", _sendable(headers.x_robots_tag or "none")),
    ]
    if headers.content_encoding:
        fields.append((b"content-encoding", _sendable(headers.content_encoding)))
    if headers.content_language:
        fields.append((b"content-language", _sendable(headers.content_language)))
    return fields


def _lifetime(record: ObjectRecord, expires: datetime | None) -> tuple[bytes, bytes]:
    """How long a copy is good for: what the object says, or as long as the URL is."""
    if expires is not None:
        return b"expires", http_date(expires).encode("ascii")
    return b"cache-control", _sendable(record.headers.cache_control or _NO_CACHE)


def _disposition(download: str | None) -> str | None:
    """Supabase's form of ``attachment``; the name is escaped in both parameters, so nothing in it can break out."""
    if download is None:
        return None
    name = quote(_INVISIBLE.sub("", download), safe=_UNESCAPED)
    return f"attachment; filename={name}; filename*=UTF-8''{name}" if name else "attachment;"


def _sendable(value: str) -> bytes:
    """A stored value as a header; what plain SQL put there may hold anything."""
    try:
        return safe_value(value)
    except StorageError:
        return _INVISIBLE.sub(" ", value).encode("utf-8")


async def _info(api: Api, asked: Asked, call: Call) -> Response:
    version_id = cast(VersionQuery, asked.query).version_id
    row = await moving.find_row(api.services, call, asked.bucket, asked.key, version_id)
    if asked.is_head:
        return json_response({})
    return json_response(info_document(row))


def info_document(row: ObjectRow) -> dict[str, Any]:
    """The description of an object."""
    found = row.metadata or {}
    encoding = {"content_encoding": found["contentEncoding"]} if found.get("contentEncoding") else {}
    return encoding | {
        "id": str(row.id),
        "name": row.name,
        "version": row.version or "",
        "bucket_id": row.bucket_id,
        "size": row.size_bytes if row.size_bytes is not None else found.get("size"),
        "content_type": found.get("mimetype"),
        "cache_control": found.get("cacheControl") or _NO_CACHE,
        "etag": f'"{row.etag}"' if row.etag is not None else found.get("eTag"),
        "metadata": row.user_metadata or {},
        "last_modified": instant(row.updated_at),
        "created_at": instant(row.created_at),
    }
