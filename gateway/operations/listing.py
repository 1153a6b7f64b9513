"""ListObjects, ListObjectsV2: one walk over keys in byte order, two renderings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.context import Call
from gateway.metadata import keyspace, listings
from gateway.metadata.records import ListedObject
from gateway.operations import access, owners
from gateway.operations.services import Services
from gateway.operations.shapes import (
    CommonPrefix,
    ListObjectsInput,
    ListObjectsOutput,
    ListObjectsV2Input,
    ListObjectsV2Output,
    S3Object,
)
from gateway.operations.tokens import decode_token, encode_token

MAX_KEYS: Final = 1000
_STANDARD: Final = "STANDARD"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a walk: at most ``max_keys`` entries, and whether there are more."""

    entries: Sequence[ListedObject]
    is_truncated: bool

    @property
    def last(self) -> str:
        """Name of the last entry, "" on an empty page."""
        return self.entries[-1].name if self.entries else ""

    @property
    def common_prefixes(self) -> tuple[CommonPrefix, ...]:
        """The entries that stand for many keys."""
        return tuple(CommonPrefix(prefix=entry.name) for entry in self.entries if entry.is_prefix)


async def walk(
    services: Services, call: Call, bucket: str, prefix: str, delimiter: str | None, start_after: str, max_keys: int
) -> Page:
    """The entries after ``start_after`` (a key or a common prefix)."""
    lower = keyspace.resume_after(start_after, prefix, delimiter) if start_after else ""
    keys = keyspace.within(prefix, lower=lower)
    limit = min(max_keys, MAX_KEYS)
    # One more than asked tells whether there is more.
    wanted = limit + 1 if limit > 0 else 0
    found = await listings.list_objects(services.session, call.scope, bucket, keys, prefix, delimiter, wanted)
    if not found:
        await access.require_listing(services, call, bucket)
    return Page(found[:limit], len(found) > limit)


async def list_objects(services: Services, call: Call, asked: ListObjectsInput) -> ListObjectsOutput:
    """Version 1 (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html)."""
    max_keys = _max_keys(asked.max_keys)
    prefix = asked.prefix or ""
    page = await walk(services, call, asked.bucket, prefix, asked.delimiter or None, asked.marker or "", max_keys)
    return ListObjectsOutput(
        is_truncated=page.is_truncated,
        marker=asked.marker or "",
        next_marker=page.last if page.is_truncated and asked.delimiter else None,
        contents=_contents(call, page.entries, with_owner=True),
        name=asked.bucket,
        prefix=prefix,
        delimiter=asked.delimiter or None,
        max_keys=max_keys,
        common_prefixes=page.common_prefixes,
        encoding_type=asked.encoding_type,
    )


async def list_objects_v2(services: Services, call: Call, asked: ListObjectsV2Input) -> ListObjectsV2Output:
    """Version 2 (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html)."""
    max_keys = _max_keys(asked.max_keys)
    prefix = asked.prefix or ""
    after = decode_token(asked.continuation_token) if asked.continuation_token else asked.start_after or ""
    page = await walk(services, call, asked.bucket, prefix, asked.delimiter or None, after, max_keys)
    return ListObjectsV2Output(
        is_truncated=page.is_truncated,
        contents=_contents(call, page.entries, with_owner=bool(asked.fetch_owner)),
        name=asked.bucket,
        prefix=prefix,
        delimiter=asked.delimiter or None,
        max_keys=max_keys,
        common_prefixes=page.common_prefixes,
        encoding_type=asked.encoding_type,
        key_count=len(page.entries),
        continuation_token=asked.continuation_token,
        next_continuation_token=encode_token(page.last) if page.is_truncated else None,
        start_after=asked.start_after,
    )


def _max_keys(asked: int | None) -> int:
    return MAX_KEYS if asked is None else min(asked, MAX_KEYS)


def _contents(call: Call, entries: Sequence[ListedObject], *, with_owner: bool) -> tuple[S3Object, ...]:
    # By position, in the order of S3Object's members: half the time of naming them.
    return tuple(
        [
            S3Object(
                name,
                updated_at,
                etag,
                (algorithm,) if algorithm else (),
                kind,
                size_bytes,
                storage_class or _STANDARD,
                owners.owner(call, owner_id) if with_owner else None,
            )
            for name, is_prefix, updated_at, size_bytes, etag, owner_id, algorithm, kind, storage_class in entries
            if not is_prefix
        ]
    )
