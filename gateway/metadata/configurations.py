"""storage.bucket_configurations: what S3 calls the configurations of a bucket, one document a kind."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from gateway import statements
from gateway.context import Scope
from gateway.errors import StorageError
from gateway.metadata.errors import ReferencedRow
from gateway.metadata.records import Visibility
from gateway.metadata.session import Session

_SQL: Final = statements.load("configurations")


class Kind(StrEnum):
    """The kinds of configuration that are kept."""

    ACCELERATE = "accelerate"
    CORS = "cors"
    ENCRYPTION = "encryption"
    LIFECYCLE = "lifecycle"
    LOGGING = "logging"
    NOTIFICATION = "notification"
    OBJECT_LOCK = "object_lock"
    OWNERSHIP = "ownership"
    POLICY = "policy"
    PUBLIC_ACCESS_BLOCK = "public_access_block"
    REQUEST_PAYMENT = "request_payment"
    TAGGING = "tagging"


async def find(session: Session, scope: Scope, bucket: str, kind: Kind) -> tuple[Mapping[str, Any] | None, Visibility]:
    """The document as the caller sees it, and what to say of the bucket if there is none."""
    [row] = await session.fetch(scope, _SQL["find_configuration"], bucket=bucket, kind=kind.value)
    document: Mapping[str, Any] | None = json.loads(row[0]) if isinstance(row[0], str | bytes) else row[0]
    return document, Visibility(row[1])


async def put(session: Session, scope: Scope, bucket: str, kind: Kind, document: Mapping[str, Any]) -> None:
    """Set as the caller. Raises NoSuchBucket, AccessDenied. A repetition changes nothing."""
    try:
        await session.write(
            scope,
            _SQL["put_configuration"],
            bucket=bucket,
            kind=kind.value,
            document=json.dumps(document, ensure_ascii=False),
        )
    except ReferencedRow as error:
        raise StorageError("NoSuchBucket", BucketName=bucket) from error


async def delete(session: Session, scope: Scope, bucket: str, kind: Kind) -> bool:
    """Remove as the caller; False if there was none. Raises AccessDenied."""
    [row] = await session.write(scope, _SQL["delete_configuration"], bucket=bucket, kind=kind.value)
    return bool(row[0])
