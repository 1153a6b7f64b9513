"""One object from a source into a bucket, in one PUT or in the parts it was uploaded in, proven by what the source
says of its bytes."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from enum import Enum
from typing import Any, Final
from urllib.parse import urlencode

from gateway.blobs.digest import multipart_etag
from gateway.context import Call
from gateway.errors import StorageError
from gateway.importing.source import Source, SourceFacts, SourceObject
from gateway.jobs.throttle import Throttle
from gateway.operations.completion import MAX_PARTS
from gateway.operations.multipart import (
    abort_multipart_upload,
    complete_multipart_upload,
    create_multipart_upload,
    upload_part,
)
from gateway.operations.objects import put_object
from gateway.operations.services import Services
from gateway.operations.shapes import (
    AbortMultipartUploadInput,
    CompletedMultipartUpload,
    CompletedPart,
    CompleteMultipartUploadInput,
    CreateMultipartUploadInput,
    PutObjectInput,
    UploadPartInput,
)
from gateway.wire.body import Receive, local_body
from gateway.wire.headers import USER_METADATA_PREFIX, safe_value, user_metadata

_MEBIBYTE: Final = 1024 * 1024
_WHOLE_BYTES: Final = 256 * _MEBIBYTE
"""Larger ones of which nothing says how they were uploaded are stored in parts."""
_PART_BYTES: Final = 64 * _MEBIBYTE
_PARTS_AT_ONCE: Final = 2
_HEADERS: Final = (
    "content_type", "cache_control", "content_disposition", "content_encoding", "content_language", "expires",
)  # fmt: skip


class Arrived(Enum):
    """How an object came in: compared with what the source says of its bytes, or there was nothing to compare."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"


class Transfer:
    """Stores objects of one source in one bucket."""

    def __init__(self, services: Services, call: Call, source: Source, bucket: str, throttle: Throttle) -> None:
        self._services = services
        self._call = call
        self._source = source
        self._bucket = bucket
        self._throttle = throttle

    async def store(self, key: str, found: SourceObject, facts: SourceFacts, replaced_etag: str | None) -> Arrived:
        """Store an object in the place of the one of this ETag, or of none.

        Raises StorageError for everything a PutObject may be refused for, BadDigest for bytes that are not what the
        source says they are, PreconditionFailed when somebody else wrote the key meanwhile; FileNotFoundError.
        """
        described = _described(found, facts)
        condition: dict[str, Any] = {"if_none_match": "*"} if replaced_etag is None else {"if_match": replaced_etag}
        sizes = self._part_sizes(facts)
        if sizes:
            return await self._store_parts(key, found, facts, sizes, described, condition)
        async with _opened(self._source, found, facts, 0, facts.size_bytes) as pieces:
            body = local_body(self._receiver(pieces), facts.size_bytes, md5=facts.md5, checksum=facts.checksum)
            await put_object(
                self._services,
                self._call,
                PutObjectInput(bucket=self._bucket, key=key, body=body, **described, **condition),
            )
        is_proven = facts.etag is None or facts.md5 is not None or facts.checksum is not None
        return Arrived.VERIFIED if is_proven else Arrived.UNVERIFIED

    def _part_sizes(self, facts: SourceFacts) -> Sequence[int]:
        if facts.part_sizes:
            return facts.part_sizes
        most = _WHOLE_BYTES if facts.md5 is None and facts.checksum is None else self._services.limits.max_put_bytes
        if facts.size_bytes <= most:
            return ()
        part_bytes = max(_PART_BYTES, -(-facts.size_bytes // MAX_PARTS))
        whole, rest = divmod(facts.size_bytes, part_bytes)
        return [*[part_bytes] * whole, *([rest] if rest else [])]

    async def _store_parts(
        self,
        key: str,
        found: SourceObject,
        facts: SourceFacts,
        sizes: Sequence[int],
        described: Mapping[str, Any],
        condition: Mapping[str, Any],
    ) -> Arrived:
        begun = await create_multipart_upload(
            self._services, self._call, CreateMultipartUploadInput(bucket=self._bucket, key=key, **described)
        )
        upload_id = begun.upload_id or ""
        try:
            parts = await self._upload_parts(key, upload_id, found, facts, sizes)
            await complete_multipart_upload(
                self._services,
                self._call,
                CompleteMultipartUploadInput(
                    bucket=self._bucket,
                    key=key,
                    upload_id=upload_id,
                    multipart_upload=CompletedMultipartUpload(parts=tuple(part for part, _ in parts)),
                    **condition,
                ),
            )
        except BaseException:
            with suppress(StorageError):
                abandoned = AbortMultipartUploadInput(bucket=self._bucket, key=key, upload_id=upload_id)
                await asyncio.shield(abort_multipart_upload(self._services, self._call, abandoned))
            raise
        is_proven = facts.etag is None or multipart_etag([md5 for _, md5 in parts]) == facts.etag
        return Arrived.VERIFIED if is_proven else Arrived.UNVERIFIED

    async def _upload_parts(
        self, key: str, upload_id: str, found: SourceObject, facts: SourceFacts, sizes: Sequence[int]
    ) -> list[tuple[CompletedPart, bytes]]:
        limit = asyncio.Semaphore(_PARTS_AT_ONCE)

        async def upload_one(number: int, offset_bytes: int, size_bytes: int) -> tuple[CompletedPart, bytes]:
            md5 = hashlib.md5(usedforsecurity=False)
            async with limit, _opened(self._source, found, facts, offset_bytes, size_bytes) as pieces:
                body = local_body(self._receiver(pieces, md5), size_bytes)
                stored = await upload_part(
                    self._services,
                    self._call,
                    UploadPartInput(bucket=self._bucket, key=key, upload_id=upload_id, part_number=number, body=body),
                )
            return CompletedPart(part_number=number, etag=stored.etag or ""), md5.digest()

        offset_bytes = 0
        tasks = []
        try:
            async with asyncio.TaskGroup() as group:
                for number, size_bytes in enumerate(sizes, 1):
                    tasks.append(group.create_task(upload_one(number, offset_bytes, size_bytes)))
                    offset_bytes += size_bytes
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    def _receiver(self, pieces: AsyncIterator[bytes], running: Any = None) -> Receive:
        async def receive() -> MutableMapping[str, Any]:
            piece = await anext(pieces, b"")
            if running is not None:
                running.update(piece)
            await self._throttle.pass_bytes(len(piece))
            return {"type": "http.request", "body": piece, "more_body": bool(piece)}

        return receive


def modified_text(modified: datetime) -> str:
    """A modification time as rclone keeps it in ``x-amz-meta-mtime``: seconds since 1970, with a fraction if any."""
    return f"{modified.timestamp():.6f}".rstrip("0").rstrip(".")


def _described(found: SourceObject, facts: SourceFacts) -> dict[str, Any]:
    """What a write is told of the object besides its bytes. Raises StorageError for what no header can hold."""
    described: dict[str, Any] = {name: value for name in _HEADERS if (value := getattr(facts, name)) is not None}
    for name, value in described.items():
        safe_value(value, name)
    metadata = user_metadata((USER_METADATA_PREFIX + name, value) for name, value in facts.user_metadata.items())
    with suppress(StorageError):  # the time is left out where there is no room for it
        metadata = user_metadata(
            (USER_METADATA_PREFIX + name, value)
            for name, value in {"mtime": modified_text(found.modified), **metadata}.items()
        )
    if facts.tags:
        described["tagging"] = urlencode(facts.tags)
    return {**described, "metadata": metadata}


@asynccontextmanager
async def _opened(
    source: Source, found: SourceObject, facts: SourceFacts, offset_bytes: int, length_bytes: int
) -> AsyncIterator[AsyncIterator[bytes]]:
    if not length_bytes:
        yield aiter(_Nothing())
        return
    async with source.open(found, facts, offset_bytes, length_bytes) as pieces:
        yield pieces


class _Nothing:
    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration
