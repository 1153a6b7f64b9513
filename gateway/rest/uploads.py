"""Routes that store an object: raw bodies and forms, with the caller's token or with a signed URL's."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, cast
from uuid import uuid4

from gateway.context import SERVICE_ROLE, AuthMethod, Call, Principal
from gateway.errors import StorageError
from gateway.metadata import objects as object_rows
from gateway.metadata import storage_api
from gateway.metadata.pending import PendingName
from gateway.metadata.records import Headers
from gateway.operations import objects, pending
from gateway.operations.objects import NO_WRITE_CONDITION
from gateway.operations.pending import Promise
from gateway.operations.shapes import PutObjectInput
from gateway.rest.api import Api, Asked, instant, json_response
from gateway.rest.errors import invalid
from gateway.rest.keys import require_key
from gateway.rest.metadata import MAX_METADATA_BYTES, header_metadata, metadata
from gateway.rest.schemas import UploadTokenQuery, UploadUrlRequest
from gateway.wire.body import BodyStream, open_body
from gateway.wire.conditions import ANY, WriteCondition
from gateway.wire.headers import safe_value, stored_content_encoding
from gateway.wire.multipart import FormReader, FormRules
from gateway.wire.request import RawRequest
from gateway.wire.response import Response
from sigv4 import Payload, PayloadMode

_DEFAULT_TYPE: Final = "application/octet-stream"
_NO_CACHE: Final = "no-cache"
_UNSIGNED: Final = Payload(PayloadMode.UNSIGNED)
# Ten fields, of which one may be metadata, and their headers.
_FORM: Final = FormRules(MAX_METADATA_BYTES + 64 * 1024, MAX_METADATA_BYTES + 64 * 1024, any_file=True)
_FORM_OVERHEAD_BYTES: Final = 2 * (MAX_METADATA_BYTES + 64 * 1024)
_PLACEHOLDER: Final = ".emptyFolderPlaceholder"
_NONE_YET: Final = WriteCondition(if_none_match=ANY)
# How long an upload waits whose signer does not say it.
_PENDING_SECONDS: Final = 3600


async def upload(api: Api, asked: Asked) -> Response:
    """Store an object under a new name, or with ``x-upsert: true`` under any."""
    upsert = asked.request.method == "PUT" or asked.headers.get("x-upsert") == "true"
    await _store(api, asked, asked.call, upsert=upsert)
    return json_response(await stored(api, asked))


async def sign_upload(api: Api, asked: Asked) -> Response:
    """A URL by which somebody else may upload this one object; the right to do so is looked at now."""
    body = cast(UploadUrlRequest, asked.body)
    lifetime_seconds = _lifetime_seconds(api, body)
    upsert = asked.headers.get("x-upsert") == "true"
    require_key(asked.key, strict=api.limits.strict_keys)
    try:
        await object_rows.probe_put_object(
            api.services.session,
            asked.call.scope,
            asked.bucket,
            asked.key,
            asked.call.principal.subject,
            Headers(content_type=_DEFAULT_TYPE),
            None,
            NO_WRITE_CONDITION if upsert else _NONE_YET,
        )
    except StorageError as error:
        # A type the bucket does not take is for the upload to find out, which will name it.
        if error.code.name != "InvalidMimeType":
            raise conflict(error) from None
    pending_id = uuid4() if body.confirm else None
    token = api.signer.sign_upload(
        asked.bucket,
        asked.key,
        owner=asked.call.principal.subject,
        upsert=upsert,
        lifetime_seconds=lifetime_seconds,
        pending_id=pending_id,
    )
    document = {"url": f"/object/upload/sign/{asked.bucket}/{asked.key}?token={token}", "token": token}
    if pending_id is not None:
        expires_at = api.signer.verify_upload(token, asked.bucket, asked.key).expires_at
        document |= {"id": str(pending_id), "expires_at": instant(expires_at) or ""}
    return json_response(document)


def _lifetime_seconds(api: Api, body: UploadUrlRequest) -> int:
    """Raises Refusal for more than is allowed."""
    if not body.confirm:
        return api.limits.upload_url_seconds
    longest = api.limits.pending_max_seconds
    if body.expires_in is None:
        return min(_PENDING_SECONDS, longest)
    if body.expires_in > longest:
        raise invalid(f"body/expiresIn must be <= {longest}")
    return body.expires_in


async def upload_signed(api: Api, asked: Asked) -> Response:
    """Store the object a signed URL names, as the service role on behalf of who had it signed."""
    query = cast(UploadTokenQuery, asked.query)
    grant = api.signer.verify_upload(query.token, asked.bucket, asked.key)
    principal = Principal(asked.call.tenant.id, SERVICE_ROLE, AuthMethod.SIGNED_URL, subject=grant.owner)
    call = replace(asked.call, principal=principal)
    if grant.pending_id is None:
        await _store(api, asked, call, upsert=grant.upsert)
        return json_response({"Key": f"{asked.bucket}/{asked.key}"})
    require_key(asked.key, strict=api.limits.strict_keys)
    body, described = await _content(api, asked)
    name = PendingName(grant.pending_id, asked.bucket, asked.key)
    promise = Promise(grant.owner, grant.upsert, grant.expires_at)
    with _type_named(described):
        new = await pending.receive(
            api.services, call, name, promise, body, described, limit=api.limits.pending_max_uploads
        )
    return json_response(
        {
            "Key": f"{asked.bucket}/{asked.key}",
            "id": str(name.id),
            "size": new.size_bytes,
            "etag": f'"{new.etag}"',
            "content_type": described.content_type,
            "expires_at": instant(grant.expires_at),
        }
    )


async def stored(api: Api, asked: Asked) -> dict[str, Any]:
    """What is answered of an object the caller has just written."""
    row_id = await storage_api.object_id(api.services.session, asked.call.scope, asked.bucket, asked.key)
    return {"Id": str(row_id or ""), "Key": f"{asked.bucket}/{asked.key}"}


async def _store(api: Api, asked: Asked, call: Call, *, upsert: bool) -> None:
    require_key(asked.key, strict=api.limits.strict_keys)
    body, described = await _content(api, asked)
    put = PutObjectInput(body=body, bucket=asked.bucket, key=asked.key, if_none_match=None if upsert else ANY)
    with _type_named(described):
        try:
            await objects.put_object(api.services, call, put, described)
        except StorageError as error:
            raise conflict(error) from None


@contextmanager
def _type_named(described: Headers) -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        if error.code.name != "InvalidMimeType":
            raise
        raise StorageError("InvalidMimeType", f"mime type {described.content_type} is not supported") from None


def conflict(error: StorageError) -> StorageError:
    """The refusal of a write where another object is, in Supabase's words."""
    return StorageError("KeyAlreadyExists") if error.code.name == "PreconditionFailed" else error


async def _content(api: Api, asked: Asked) -> tuple[BodyStream, Headers]:
    """The object's bytes, not read yet, and what describes it."""
    # A folder without objects is shown by an object that has no bytes and is never more than that.
    limit = 0 if asked.key.endswith(_PLACEHOLDER) else api.limits.max_upload_bytes
    content_type = asked.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() == "multipart/form-data":
        return await _form(api, asked, content_type, limit)
    body = open_body(asked.request, asked.receive, _UNSIGNED, api.limits.body, limit)
    encoding = asked.headers.get("content-encoding")
    return body, Headers(
        content_type=_safe(content_type, "content-type") or _DEFAULT_TYPE,
        cache_control=_safe(asked.headers.get("cache-control"), "cache-control") or _NO_CACHE,
        content_disposition=_safe(asked.headers.get("content-disposition"), "content-disposition"),
        content_encoding=stored_content_encoding(_safe(encoding, "content-encoding")),
        content_language=_safe(asked.headers.get("content-language"), "content-language"),
        x_robots_tag=_safe(asked.headers.get("x-robots-tag"), "x-robots-tag"),
        user_metadata=header_metadata(asked.headers.get("x-metadata")),
    )


async def _form(api: Api, asked: Asked, content_type: str, limit: int) -> tuple[BodyStream, Headers]:
    """A form's file and the fields before it. Fields behind the file are taken and mean nothing, as in storage-api."""
    whole = open_body(
        asked.request, asked.receive, _UNSIGNED, api.limits.body, api.limits.max_upload_bytes + _FORM_OVERHEAD_BYTES
    )
    form = FormReader(whole, content_type, _FORM)
    head = await form.head()
    fields: dict[str, str] = {}
    for name, value in head.fields:
        fields.setdefault(name, value)
    seconds = fields.get("cacheControl", "").strip()
    described = fields.get("metadata") or fields.get("userMetadata")

    async def receive() -> dict[str, Any]:
        piece = await form.next_piece()
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    body = open_body(_as_chunked(asked.request), receive, _UNSIGNED, api.limits.body, limit)
    return body, Headers(
        content_type=_safe(fields.get("contentType") or head.file_type, "contentType") or _DEFAULT_TYPE,
        cache_control=_safe(f"max-age={seconds}" if seconds.isdigit() else seconds, "cacheControl") or _NO_CACHE,
        content_encoding=stored_content_encoding(_safe(fields.get("contentEncoding"), "contentEncoding")),
        x_robots_tag=_safe(asked.headers.get("x-robots-tag"), "x-robots-tag"),
        user_metadata=metadata(described.encode()) if described else header_metadata(asked.headers.get("x-metadata")),
    )


def _as_chunked(request: RawRequest) -> RawRequest:
    """The file of a form as a request of its own: what the head promised was of the whole form."""
    return replace(request, headers=(), content_length=None, is_chunked=True)


def _safe(value: str | None, name: str) -> str | None:
    if not value:
        return None
    safe_value(value, name)
    return value
