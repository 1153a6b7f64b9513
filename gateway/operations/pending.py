"""Confirmed uploads: receive bytes that are no object yet, look at them, make them one, or give them up.

The write path is that of PutObject (``upload.py``); what differs is the row that owns the bytes until somebody who
may write the object confirms them.
"""

from dataclasses import dataclass
from datetime import datetime

from gateway.context import Call
from gateway.errors import StorageError
from gateway.metadata import pending
from gateway.metadata.pending import Outcome, PendingName, PendingRow
from gateway.metadata.records import NO_ATTRIBUTES, Headers, NewObject
from gateway.operations import checksums, encryption, upload
from gateway.operations.encryption import Wanted
from gateway.operations.services import Services
from gateway.telemetry.failpoints import failpoint_async
from gateway.wire.body import BodyStream


@dataclass(frozen=True, slots=True)
class Promise:
    """What the signed URL said: on whose behalf, whether another object may be replaced, and until when it waits."""

    owner_id: str | None
    upsert: bool
    expires_at: datetime


async def receive(
    services: Services,
    call: Call,
    name: PendingName,
    promise: Promise,
    body: BodyStream,
    headers: Headers,
    *,
    limit: int,
) -> NewObject:
    """Take in the bytes of an upload to be confirmed; at most ``limit`` of them wait at any time.

    Raises KeyAlreadyExists (the token was used), ExpiredToken, SlowDown (too many wait), NoSuchBucket,
    EntityTooLarge, InvalidMimeType, QuotaExceeded, and what is wrong with the body.
    """
    max_bytes = services.limits.max_put_bytes
    if body.length is not None and body.length > max_bytes:
        raise StorageError("EntityTooLarge", ProposedSize=str(body.length), MaxSizeAllowed=str(max_bytes))
    outcome, place = await pending.probe(services.session, call.scope, name, headers.content_type, body.length, limit)
    _require(outcome)
    if place.file_size_limit is not None:
        max_bytes = min(max_bytes, place.file_size_limit)
    cipher = encryption.new_cipher(services.encryption, Wanted.by_default(place.default_encryption))
    version = upload.new_version()
    received = await upload.receive(
        services,
        body,
        upload.describe(call, name.bucket, name.key, version, headers, cipher),
        algorithms=(checksums.DEFAULT_ALGORITHM,),
        max_bytes=max_bytes,
        cipher=cipher,
        backend=place.backend,
    )
    new = NewObject(
        bucket=name.bucket,
        key=name.key,
        version=version,
        owner_id=promise.owner_id,
        headers=headers,
        size_bytes=received.size_bytes,
        etag=received.etag,
        epoch=received.epoch,
        backend=received.backend,
        blob_id=received.blob_id,
        content=received.content,
        checksum=checksums.full_object(checksums.DEFAULT_ALGORITHM, received.digests[checksums.DEFAULT_ALGORITHM]),
        attributes=encryption.with_encryption(NO_ATTRIBUTES, cipher),
    )
    async with upload.discard_on_refusal(
        services, received.backend, *((received.blob_id,) if received.blob_id else ())
    ):
        await failpoint_async("pending.before_commit")
        _require(
            await pending.record(
                services.session, call.scope, name.id, new, upsert=promise.upsert, expires_at=promise.expires_at
            )
        )
    await failpoint_async("pending.after_commit")
    return new


async def find(services: Services, call: Call, name: PendingName) -> PendingRow:
    """The upload as it waits, for whoever may write the object. Raises NoSuchUpload, NoSuchBucket, AccessDenied."""
    found = await pending.find(services.session, call.scope, name)
    if found is None:
        raise _absent()
    return found


async def confirm(services: Services, call: Call, name: PendingName) -> None:
    """Make the upload an object: one transaction, as the caller, by the statement that ends PutObject. The bytes stay
    where they are. Its owner is whoever had the URL signed.

    Raises NoSuchUpload, KeyAlreadyExists (it was confirmed before), PreconditionFailed (the object exists and may not
    be replaced), AccessDenied, and what the bucket does not take.
    """
    outcome = await pending.confirm(services.session, call.scope, name, call.principal.subject)
    if outcome is Outcome.USED:
        raise StorageError("KeyAlreadyExists", "The upload has been confirmed already")
    _require(outcome)
    await failpoint_async("confirm.after_commit")


async def cancel(services: Services, call: Call, name: PendingName) -> None:
    """Give the upload up; its bytes are destroyed after the grace period. Raises NoSuchUpload, NoSuchBucket,
    AccessDenied."""
    _require(await pending.cancel(services.session, call.scope, name))


def _require(outcome: Outcome) -> None:
    match outcome:
        case Outcome.USED:
            raise StorageError("KeyAlreadyExists", "The token has been used already")
        case Outcome.FULL:
            raise StorageError("SlowDown", "Too many uploads wait for their confirmation: confirm or cancel some.")
        case Outcome.EXPIRED:
            raise StorageError("ExpiredToken")
        case Outcome.ABSENT:
            raise _absent()
        case _:
            pass


def _absent() -> StorageError:
    return StorageError("NoSuchUpload", "No upload waits here: nothing was uploaded, or its time is over.")
