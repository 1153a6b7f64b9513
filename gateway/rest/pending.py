"""Routes of uploads that wait to be confirmed: look, confirm, cancel. Each is for whoever may write the object."""

from typing import cast

from gateway.errors import StorageError
from gateway.metadata.pending import PendingName
from gateway.operations import pending
from gateway.rest.api import Api, Asked, instant, json_response
from gateway.rest.errors import invalid
from gateway.rest.schemas import PendingUpload
from gateway.rest.uploads import conflict, stored
from gateway.wire.response import Response


async def confirm(api: Api, asked: Asked) -> Response:
    """Make an upload that waits an object, as the caller."""
    try:
        await pending.confirm(api.services, asked.call, _name(api, asked, cast(PendingUpload, asked.body)))
    except StorageError as error:
        raise conflict(error) from None
    return json_response(await stored(api, asked))


async def info(api: Api, asked: Asked) -> Response:
    """What waits to be confirmed: its size, type and entity tag."""
    found = await pending.find(api.services, asked.call, _name(api, asked, cast(PendingUpload, asked.query)))
    return json_response(
        {
            "id": str(found.id),
            "name": asked.key,
            "version": found.version,
            "bucket_id": asked.bucket,
            "size": found.size_bytes,
            "content_type": found.headers.content_type,
            "cache_control": found.headers.cache_control,
            "etag": f'"{found.etag}"',
            "metadata": dict(found.headers.user_metadata),
            "created_at": instant(found.created_at),
            "expires_at": instant(found.expires_at),
        }
    )


async def cancel(api: Api, asked: Asked) -> Response:
    """Give an upload up that waits to be confirmed."""
    await pending.cancel(api.services, asked.call, _name(api, asked, cast(PendingUpload, asked.query)))
    return json_response({"message": "Successfully cancelled"})


def _name(api: Api, asked: Asked, named: PendingUpload) -> PendingName:
    """By id, or by the token. Raises Refusal for neither, both, or a token of another kind, and what is wrong with a
    token."""
    if (named.id is None) == (named.token is None):
        raise invalid("must have either id or token")
    pending_id = named.id
    if named.token is not None:
        pending_id = api.signer.verify_upload(named.token, asked.bucket, asked.key).pending_id
    if pending_id is None:
        raise invalid("the token is of an upload that needs no confirmation")
    return PendingName(pending_id, asked.bucket, asked.key)
