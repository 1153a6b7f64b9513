"""``x-amz-expected-bucket-owner``: the request holds only if the bucket is whose the caller thinks it is."""

from collections.abc import Mapping
from typing import Any

from gateway.context import Call
from gateway.errors import StorageError
from gateway.metadata import access
from gateway.operations.owners import canonical_id
from gateway.operations.services import Services


async def require_expected_owners(services: Services, call: Call, fields: Mapping[str, Any]) -> None:
    """Check the owners a request expects, by canonical id or by account. Raises AccessDenied, NoSuchBucket
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html)."""
    source = fields.get("copy_source")
    expected = (
        (fields.get("expected_bucket_owner"), fields.get("bucket")),
        (fields.get("expected_source_bucket_owner"), source.bucket if source is not None else None),
    )
    for owner, bucket in expected:
        if owner is None or bucket is None:
            continue
        subject = (await access.facts(services.session, call.scope, bucket)).owner_id or ""
        if owner not in (subject or None, canonical_id(call.tenant.id, subject)):
            raise StorageError("AccessDenied")
