"""The one place where restrictions of a principal are enforced: between a front and a handler, before any statement.

``table.py`` puts every handler behind :func:`restricted`. What a request wants is said in S3's actions
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html); every bucket and key it names
is asked about, also the source of a copy, the prefix of a listing and each object of DeleteObjects.
"""

from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, Final

from gateway.context import Attempt, Call, Principal
from gateway.errors import StorageError
from gateway.operations.operation import Handler
from gateway.operations.shapes import DeleteObjectsInput, DeleteObjectsOutput, ObjectIdentifier, S3Error

# Operations whose action is not their own name.
_ACTIONS: Final[Mapping[str, str]] = {
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteBucketCors": "PutBucketCORS",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetBucketCors": "GetBucketCORS",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "GetBucketReplication": "GetReplicationConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
    "PutBucketCors": "PutBucketCORS",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "PutBucketReplication": "PutReplicationConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
}
# With a version id another action is asked for.
_VERSIONED: Final = ("DeleteObject", "GetObject", "PutObject")
_UNVERSIONED: Final = frozenset(
    {
        "DeleteObjectAnnotation",
        "GetObjectAnnotation",
        "GetObjectLegalHold",
        "GetObjectRetention",
        "PutObjectAnnotation",
        "PutObjectLegalHold",
        "PutObjectRetention",
    }
)
# Members that ask for a right of their own.
_EXTRAS: Final[Mapping[str, str]] = {
    "acl": "Acl",
    "grant_full_control": "Acl",
    "grant_read": "Acl",
    "grant_read_acp": "Acl",
    "grant_write": "Acl",
    "grant_write_acp": "Acl",
    "object_lock_legal_hold_status": "LegalHold",
    "object_lock_mode": "Retention",
    "tagging": "Tagging",
}


def restricted(name: str, handler: Handler) -> Handler:
    """``handler`` of the operation ``name`` behind the restrictions of its caller. It raises AccessDenied when one does
    not permit what is asked; DeleteObjects says so for each object. Callers without restrictions pass at once."""
    if name == "DeleteObjects":
        return _restricted_deletion(handler)

    @wraps(handler)
    def behind(services: Any, call: Call, asked: Any) -> Awaitable[Any]:
        if call.principal.restrictions:
            for attempt in attempts(name, asked):
                _require(call.principal, attempt)
        return handler(services, call, asked)

    return behind


def _restricted_deletion(handler: Handler) -> Handler:
    @wraps(handler)
    async def behind(services: Any, call: Call, asked: DeleteObjectsInput) -> DeleteObjectsOutput:
        if not call.principal.restrictions:
            output: DeleteObjectsOutput = await handler(services, call, asked)
            return output
        if asked.bypass_governance_retention:
            for entry in asked.delete.objects:
                _require(call.principal, Attempt("s3:BypassGovernanceRetention", asked.bucket, entry.key))
        permitted: list[ObjectIdentifier] = []
        refused: list[ObjectIdentifier] = []
        for entry in asked.delete.objects:
            action = "s3:DeleteObject" if entry.version_id is None else "s3:DeleteObjectVersion"
            attempt = Attempt(action, asked.bucket, entry.key)
            (permitted if is_permitted(call.principal, attempt) else refused).append(entry)
        if refused and not permitted:
            output = DeleteObjectsOutput()
        else:
            deletion = replace(asked.delete, objects=tuple(permitted)) if refused else asked.delete
            output = await handler(services, call, replace(asked, delete=deletion))
        denied = tuple(
            S3Error(key=entry.key, version_id=entry.version_id, code="AccessDenied", message="Access Denied")
            for entry in refused
        )
        return replace(output, errors=(*output.errors, *denied))

    return behind


def is_permitted(principal: Principal, attempt: Attempt) -> bool:
    """Whether every restriction of the principal permits it."""
    return all(restriction.permits(attempt) for restriction in principal.restrictions)


def _require(principal: Principal, attempt: Attempt) -> None:
    if not is_permitted(principal, attempt):
        raise StorageError("AccessDenied")


def attempts(name: str, asked: Any) -> Iterator[Attempt]:
    """Everything a request for one operation wants; ``asked`` is its input record."""
    bucket, key = getattr(asked, "bucket", None), getattr(asked, "key", None)
    version = getattr(asked, "version_id", None)
    action = action_of(name, versioned=version is not None)
    yield Attempt(action, bucket, key, *(_listing(asked) if bucket is not None and key is None else ()))
    if name == "GetObjectAttributes":
        yield Attempt("s3:GetObject" if version is None else "s3:GetObjectVersion", bucket, key)
    if action in ("s3:CreateBucket", "s3:PutObject"):
        target = "s3:PutBucket" if key is None else "s3:PutObject"
        for extra in sorted({extra for member, extra in _EXTRAS.items() if getattr(asked, member, None) is not None}):
            yield Attempt(f"{target}{extra}", bucket, key)
    if getattr(asked, "bypass_governance_retention", None):
        yield Attempt("s3:BypassGovernanceRetention", bucket, key)
    source = getattr(asked, "copy_source", None)
    if source is not None:
        reading = "s3:GetObject" if source.version_id is None else "s3:GetObjectVersion"
        yield Attempt(reading, source.bucket, source.key)


def action_of(name: str, *, versioned: bool) -> str:
    """S3's action for an operation."""
    action = _ACTIONS.get(name, name)
    if versioned and action.startswith(_VERSIONED) and action not in _UNVERSIONED:
        # DeleteObjectTagging with a version is DeleteObjectVersionTagging.
        head = next(each for each in _VERSIONED if action.startswith(each))
        action = f"{head}Version{action.removeprefix(head)}"
    return f"s3:{action}"


def _listing(asked: Any) -> tuple[str | None, str | None]:
    """Prefix and delimiter of a listing; without a prefix it asks for all keys, which is the empty one."""
    return (asked.prefix or "", asked.delimiter) if hasattr(asked, "prefix") else (None, None)
