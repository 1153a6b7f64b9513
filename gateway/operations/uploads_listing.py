"""ListMultipartUploads: open uploads by key and start, with prefixes rolled up."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from gateway.context import Call
from gateway.metadata import keyspace, multipart
from gateway.metadata.records import ListedUpload
from gateway.operations import access, owners
from gateway.operations.services import Services
from gateway.operations.shapes import (
    CommonPrefix,
    ListMultipartUploadsInput,
    ListMultipartUploadsOutput,
    MultipartUpload,
)

_PAGE: Final = 1000
_STANDARD: Final = "STANDARD"


@dataclass(slots=True)
class _Walk:
    """What a walk has collected, and the last entry it took."""

    uploads: list[ListedUpload] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    last_key: str = ""
    last_id: str = ""
    is_truncated: bool = False

    @property
    def count(self) -> int:
        return len(self.uploads) + len(self.prefixes)


async def list_multipart_uploads(
    services: Services, call: Call, asked: ListMultipartUploadsInput
) -> ListMultipartUploadsOutput:
    """A page of open uploads (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html)."""
    limit = min(_PAGE if asked.max_uploads is None else asked.max_uploads, _PAGE)
    walked = await _walk(services, call, asked, limit)
    if not walked.count:
        await access.require_listing(services, call, asked.bucket)
    known = await owners.names(services, call, (found.owner_id for found in walked.uploads))
    return ListMultipartUploadsOutput(
        bucket=asked.bucket,
        key_marker=asked.key_marker or "",
        upload_id_marker=asked.upload_id_marker or "",
        next_key_marker=walked.last_key if walked.is_truncated else "",
        next_upload_id_marker=walked.last_id if walked.is_truncated else "",
        prefix=asked.prefix or "",
        delimiter=asked.delimiter or None,
        max_uploads=limit,
        is_truncated=walked.is_truncated,
        uploads=tuple(_rendered(call, found, known) for found in walked.uploads),
        common_prefixes=tuple(CommonPrefix(prefix=prefix) for prefix in walked.prefixes),
        encoding_type=asked.encoding_type,
    )


async def _walk(services: Services, call: Call, asked: ListMultipartUploadsInput, limit: int) -> _Walk:
    prefix = asked.prefix or ""
    delimiter = asked.delimiter or None
    walked = _Walk()
    after_key = asked.key_marker or ""
    after: tuple[datetime, str] | None = None
    lower = ""
    if after_key:
        started = (
            await multipart.find_upload_start(services.session, call.scope, asked.bucket, asked.upload_id_marker)
            if asked.upload_id_marker
            else None
        )
        if started is not None and asked.upload_id_marker is not None:
            after, lower = (started, asked.upload_id_marker), after_key
        else:
            lower = keyspace.resume_after(after_key, prefix, delimiter)
            after_key = ""
    if limit == 0:
        return walked
    while True:
        keys = keyspace.within(prefix, lower=lower)
        found = await multipart.list_uploads(
            services.session, call.scope, asked.bucket, keys, after_key, after, limit + 1
        )
        for entry in found:
            if walked.count == limit:
                walked.is_truncated = True
                return walked
            rolled = keyspace.common_prefix(entry.key, prefix, delimiter) if delimiter else None
            if rolled is not None:
                walked.prefixes.append(rolled)
                walked.last_key, walked.last_id = rolled, ""
                # Every other upload below this prefix is already told: go on behind it.
                lower, after_key, after = keyspace.successor(rolled), "", None
                break
            walked.uploads.append(entry)
            walked.last_key, walked.last_id = entry.key, entry.upload_id
            lower, after_key, after = entry.key, entry.key, (entry.created_at, entry.upload_id)
        else:
            if len(found) <= limit:
                return walked


def _rendered(call: Call, found: ListedUpload, known: owners.Names) -> MultipartUpload:
    return MultipartUpload(
        upload_id=found.upload_id,
        key=found.key,
        initiated=found.created_at,
        storage_class=found.storage_class or _STANDARD,
        owner=owners.owner(call, found.owner_id, known),
        initiator=owners.initiator(call, found.owner_id, known),
        checksum_algorithm=found.checksum_algorithm,
        checksum_type=found.checksum_type,
    )
