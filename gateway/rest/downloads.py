"""Routes that read one object: its bytes, its head, its description; with a token, openly, or by a signed URL."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, cast
from urllib.parse import quote

from gateway.context import SERVICE_ROLE, Call, elevated
from gateway.errors import StorageError
from gateway.jobs.cdn import surrogate_keys
from gateway.metadata import storage_api
from gateway.metadata.records import ObjectRecord
from gateway.metadata.storage_api import ObjectRow
from gateway.operations import moving, objects
from gateway.operations.delivery import LocalFile, Wording
from gateway.operations.shapes import GetObjectInput, HeadObjectInput
from gateway.rest.api import Api, Asked, instant, json_response
from gateway.rest.schemas import DownloadQuery, TokenQuery, VersionQuery
from gateway.wire.conditions import parse_http_date
from gateway.wire.headers import http_date, safe_value
from gateway.wire.response import Response, ResponseBody

_NO_CACHE: Final = "no-cache"
_SURROGATE_KEY: Final = b"surrogate-key"
_ANSWER_HEADERS: Final = (
    (b"cache-control", "ResponseCacheControl"),
    (b"content-disposition", "ResponseContentDisposition"),
    (b"content-encoding", "ResponseContentEncoding"),
    (b"content-language", "ResponseContentLanguage"),
    (b"content-type", "ResponseContentType"),
    (b"expires", "ResponseExpires"),
)
# What a browser would run or render as a page of this origin is shown as its source.
_MARKUP: Final = re.compile(r"^\s*(?:text/html|application/xhtml\+xml)", re.IGNORECASE)
_INVISIBLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNESCAPED: Final = "!'()*~"


async def get_public(api: Api, asked: Asked) -> Response:
    """An object of a public bucket, for everybody."""
    return await _read(api, asked, await _public_call(api, asked), is_public=True)


async def get_authenticated(api: Api, asked: Asked) -> Response:
    """An object for who may see it; one of a public bucket for everybody."""
    call, is_public = await _reading_call(api, asked)
    return await _read(api, asked, call, is_public=is_public)


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
    call, _ = await _reading_call(api, asked)
    return await _info(api, asked, call)


async def _public_call(api: Api, asked: Asked) -> Call:
    """The call as the one role that reads public buckets. Raises NoSuchBucket for a private one too."""
    if not await storage_api.is_public_bucket(api.services.session, asked.call.scope, asked.bucket):
        raise StorageError("NoSuchBucket", BucketName=asked.bucket)
    return elevated(asked.call, SERVICE_ROLE)


async def _reading_call(api: Api, asked: Asked) -> tuple[Call, bool]:
    """The call, and whether everybody may read what it reads."""
    public = await storage_api.is_public_bucket(api.services.session, asked.call.scope, asked.bucket)
    if public is None or not (public or asked.is_identified):
        raise StorageError("NoSuchBucket", BucketName=asked.bucket)
    return (elevated(asked.call, SERVICE_ROLE), True) if public else (asked.call, False)


async def _read(
    api: Api, asked: Asked, call: Call, *, expires: datetime | None = None, is_public: bool = False
) -> Response:
    headers = asked.headers
    download = cast(DownloadQuery, asked.query).download

    def described(record: ObjectRecord) -> list[tuple[bytes, bytes]]:
        disposition = _disposition(download) or record.headers.content_disposition
        shown = [] if disposition is None else [(b"content-disposition", _sendable(disposition))]
        return [*_described(record), *_lifetime(api, record, expires, is_public=is_public), *shown]

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
        wording = None
        if api.services.delivery is not None:
            call = replace(call, handover=api.services.delivery.offer(headers, call.client_address))
            wording = _wording(described, download, expires)
        output, record = await objects.read_object(
            api.services, call, GetObjectInput(bucket=asked.bucket, key=asked.key, **conditions), wording
        )
        length, content_range = output.content_length, output.content_range
        body = output.body or b""
    fields = [
        (b"accept-ranges", b"bytes"),
        (b"content-length", b"%d" % (length or 0)),
        *described(record),
    ]
    if is_public and api.caching.surrogate_header is not None:
        fields.append(_surrogate(api.caching.surrogate_header, call, asked))
    if isinstance(body, LocalFile):
        fields.append(body.field)
    if content_range is not None:
        fields.append((b"content-range", content_range.encode("ascii")))
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


def _lifetime(
    api: Api, record: ObjectRecord, expires: datetime | None, *, is_public: bool
) -> list[tuple[bytes, bytes]]:
    """How long a copy is good for: what the object says, or as long as the URL is. What a token was shown for needs no
    word more: no shared cache keeps it unless the object says that it may (RFC 9111 §3.5)."""
    if expires is not None:
        return [(b"expires", http_date(expires).encode("ascii"))]
    stored = record.headers.cache_control or _NO_CACHE
    return [(b"cache-control", _sendable(for_a_cdn(stored, api.caching.s_maxage_seconds) if is_public else stored))]


def for_a_cdn(stored: str, s_maxage_seconds: int) -> str:
    """The stored directives, and how long a shared cache may keep what everybody may read, where they do not say."""
    names = {part.partition("=")[0].strip().lower() for part in stored.split(",")}
    if not s_maxage_seconds or not names.isdisjoint(("no-store", "private", "no-cache", "s-maxage")):
        return stored
    return f"{stored}, s-maxage={s_maxage_seconds}"


def _surrogate(header: bytes, call: Call, asked: Asked) -> tuple[bytes, bytes]:
    """Labels by which a CDN forgets this object with its bucket, its tenant, or alone."""
    keys = surrogate_keys(call.tenant.id, asked.bucket, asked.key)
    return header, (" " if header == _SURROGATE_KEY else ",").join(keys).encode("ascii")


def _wording(
    described: Callable[[ObjectRecord], list[tuple[bytes, bytes]]], download: str | None, expires: datetime | None
) -> Wording:
    """How somebody else would have to answer in our place."""

    def describe(record: ObjectRecord) -> dict[str, str]:
        found = dict(described(record))
        return {parameter: found[name].decode("utf-8") for name, parameter in _ANSWER_HEADERS if name in found}

    query = "" if download is None else f"download={quote(download, safe='')}"
    left = None if expires is None else int((expires - datetime.now(UTC)).total_seconds())
    return Wording(describe, None if expires is not None else query, left, drops_metadata=True)


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
