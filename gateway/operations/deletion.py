"""DeleteObject and DeleteObjects: objects, versions of them, and delete markers."""

from typing import Final

from gateway.context import ACCOUNT_ROLE, Call
from gateway.errors import StorageError
from gateway.metadata import objects
from gateway.metadata.records import DeleteOutcome, Deletion, Doomed
from gateway.operations import access
from gateway.operations.services import Services
from gateway.operations.shapes import (
    DeletedObject,
    DeleteObjectInput,
    DeleteObjectOutput,
    DeleteObjectsInput,
    DeleteObjectsOutput,
    ObjectIdentifier,
    S3Error,
)
from gateway.telemetry.failpoints import failpoint_async
from gateway.wire.conditions import write_condition

_MAX_DELETED: Final = 1000
_MAX_KEY_BYTES: Final = 1024
_ERRORS: Final = {
    DeleteOutcome.DENIED: "AccessDenied",
    DeleteOutcome.MISMATCH: "PreconditionFailed",
}


async def delete_object(services: Services, call: Call, asked: DeleteObjectInput) -> DeleteObjectOutput:
    """Delete an object, or one version of it for good; deleting what is not there is no error, whatever the conditions
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html)."""
    access.refuse_unimplemented(asked, mfa="x-amz-mfa")
    condition = write_condition(asked.if_match, None)
    doomed = Doomed(
        asked.key,
        asked.version_id,
        condition.if_match if condition else None,
        asked.if_match_size,
        asked.if_match_last_modified_time,
    )
    await failpoint_async("del.before_commit")
    done = await objects.delete_object(
        services.session, call.scope, asked.bucket, doomed, bypass_governance=bool(asked.bypass_governance_retention)
    )
    await failpoint_async("del.after_commit")
    code = _ERRORS.get(done.outcome)
    if done.outcome is DeleteOutcome.ABSENT and await access.forbidden(services, call, asked.bucket, [asked.key]):
        code = "AccessDenied"
    if code is not None:
        fields = {"Condition": "If-Match"} if done.outcome is DeleteOutcome.MISMATCH else {}
        raise StorageError(code, **fields)
    return DeleteObjectOutput(version_id=done.version_id, delete_marker=done.is_marker or None)


async def delete_objects(services: Services, call: Call, asked: DeleteObjectsInput) -> DeleteObjectsOutput:
    """Delete up to 1,000 objects or versions in one transaction, each allowed or refused by itself
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html)."""
    access.refuse_unimplemented(asked, mfa="x-amz-mfa")
    if not 1 <= len(asked.delete.objects) <= _MAX_DELETED:
        raise StorageError("MalformedXML")
    errors: list[S3Error] = []
    wanted: dict[tuple[str, str | None], Doomed] = {}
    for entry in asked.delete.objects:
        if "\0" in entry.key or len(entry.key.encode()) > _MAX_KEY_BYTES:
            errors.append(_error(entry.key, entry.version_id, "KeyTooLongError"))
        else:
            wanted[entry.key, entry.version_id or None] = _doomed(entry)
    doomed = list(wanted.values())
    await failpoint_async("del.before_commit")
    outcomes = await objects.delete_objects(
        services.session, call.scope, asked.bucket, doomed, bypass_governance=bool(asked.bypass_governance_retention)
    )
    absent = [target.key for target, done in zip(doomed, outcomes, strict=True) if done.outcome is DeleteOutcome.ABSENT]
    forbidden = await access.forbidden(services, call, asked.bucket, absent)
    if call.principal.role != ACCOUNT_ROLE and all(done.outcome is not DeleteOutcome.DELETED for done in outcomes):
        await access.require_listing(services, call, asked.bucket)
    deleted: list[DeletedObject] = []
    for target, done in zip(doomed, outcomes, strict=True):
        code = _ERRORS.get(done.outcome)
        if done.outcome is DeleteOutcome.ABSENT and target.key in forbidden:
            code = "AccessDenied"
        if code is None:
            deleted.append(_deleted(target, done))
        else:
            errors.append(_error(target.key, target.version_id, code))
    return DeleteObjectsOutput(deleted=() if asked.delete.quiet else tuple(deleted), errors=tuple(errors))


def _doomed(entry: ObjectIdentifier) -> Doomed:
    return Doomed(
        entry.key,
        entry.version_id or None,
        entry.etag.strip('"') if entry.etag else None,
        entry.size,
        entry.last_modified_time,
    )


def _deleted(entry: Doomed, done: Deletion) -> DeletedObject:
    """A marker that was placed is named beside the key, one that was deleted beside its own version."""
    if not done.is_marker:
        return DeletedObject(key=entry.key, version_id=entry.version_id)
    return DeletedObject(
        key=entry.key,
        version_id=entry.version_id,
        delete_marker=True,
        delete_marker_version_id=done.version_id,
    )


def _error(key: str, version_id: str | None, code: str) -> S3Error:
    return S3Error(key=key, version_id=version_id, code=code, message=StorageError(code).message)
