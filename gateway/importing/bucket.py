"""A bucket of another S3 store as a source.

An object that was uploaded in parts has an ETag of their MD5s: it is read and stored in the same parts, so that its
ETag here is the same and proves the bytes. Where the store does not say where parts end, the usual sizes are tried.
"""

import asyncio
import hashlib
from base64 import b64decode
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

from gateway.blobs.reasons import reason_of
from gateway.blobs.s3_client import S3Client
from gateway.blobs.s3_options import MEBIBYTE, S3Options
from gateway.blobs.s3_reader import Range, S3Reader
from gateway.errors import StorageError
from gateway.importing.source import SourceFacts, SourceObject, Unusable
from gateway.wire.checksums import CHECKSUM_ALGORITHMS

T = TypeVar("T")

_PAGE: Final = 500
_MD5_HEX: Final = 2 * hashlib.md5(usedforsecurity=False).digest_size
# Of the AWS CLI and SDKs, MinIO's clients, rclone, s5cmd, Supabase's own and resumable uploads.
_USUAL_PART_MIB: Final = (8, 5, 16, 64, 50, 6, 10, 15, 20, 25, 32, 100, 128, 256, 512, 1024)
_OTHER_ETAG: Final = ("aws:kms", "aws:kms:dsse")


class BucketSource:
    """A bucket, or what has a prefix there. Keys are relative to the prefix."""

    def __init__(self, options: S3Options, prefix: str) -> None:
        self._client: Final = S3Client(options, name="source")
        self._prefix: Final = prefix
        self._executor: Final = ThreadPoolExecutor(options.threads, thread_name_prefix="import")

    async def pages(self) -> AsyncGenerator[Sequence[SourceObject | Unusable], None]:
        """See Source."""
        token: dict[str, str] = {}
        while True:
            answer = await self._call("ListObjectsV2", Prefix=self._prefix, MaxKeys=_PAGE, **token)
            yield [self._object_of(entry) for entry in answer.get("Contents", ())]
            if not answer.get("IsTruncated"):
                return
            token = {"ContinuationToken": answer["NextContinuationToken"]}

    async def facts(self, found: SourceObject) -> SourceFacts:
        """See Source."""
        head = await self._call("HeadObject", Key=found.name, ChecksumMode="ENABLED")
        etag = str(head.get("ETag", "")).strip('"')
        size_bytes = int(head["ContentLength"])
        tags: dict[str, str] = {}
        if head.get("TagCount"):
            answer = await self._call("GetObjectTagging", Key=found.name)
            tags = {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}
        is_md5 = self._client.profile.etag_is_md5 and head.get("ServerSideEncryption") not in _OTHER_ETAG
        return SourceFacts(
            size_bytes=size_bytes,
            etag=etag,
            content_type=head.get("ContentType"),
            cache_control=head.get("CacheControl"),
            content_disposition=head.get("ContentDisposition"),
            content_encoding=head.get("ContentEncoding"),
            content_language=head.get("ContentLanguage"),
            expires=head.get("ExpiresString"),
            user_metadata=head.get("Metadata", {}),
            tags=tags,
            md5=_md5_of(etag) if is_md5 else None,
            checksum=_checksum_of(head),
            part_sizes=await self._part_sizes(found, etag, size_bytes) if is_md5 else (),
        )

    @asynccontextmanager
    async def open(
        self, found: SourceObject, facts: SourceFacts, offset_bytes: int, length_bytes: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """See Source."""
        span = Range(self._client, found.name, offset_bytes, length_bytes)
        try:
            await self._run(span.open)
            if span.etag != facts.etag or span.blob_size_bytes != facts.size_bytes:
                raise StorageError("OperationAborted", "The object was replaced while it was read.")
            yield self._pieces(S3Reader(self._executor, span, length_bytes))
        finally:
            await asyncio.shield(self._run(span.close))

    async def close(self) -> None:
        """See Source."""
        await asyncio.to_thread(self._executor.shutdown)
        self._client.close()

    async def _pieces(self, reader: S3Reader) -> AsyncIterator[bytes]:
        try:
            async for piece in reader:
                yield piece
        except StorageError as error:
            if error.code.name == "InternalError":
                raise StorageError("BadDigest", "The source gave other bytes than its ETag says.") from error
            raise StorageError(error.code.name, reason_of(error)) from error

    def _object_of(self, entry: Mapping[str, Any]) -> SourceObject | Unusable:
        name = str(entry["Key"])
        key = name.removeprefix(self._prefix)
        if not key:
            return Unusable(name, "it is the prefix itself")
        return SourceObject(key, name, int(entry["Size"]), entry["LastModified"], str(entry.get("ETag", "")).strip('"'))

    async def _part_sizes(self, found: SourceObject, etag: str, size_bytes: int) -> Sequence[int]:
        """Where the parts of the object ended; empty if it has none, or nothing fits."""
        text = etag.partition("-")[2]
        if not text.isdecimal() or not 0 < (count := int(text)) <= 10_000 or not size_bytes:
            return ()
        try:
            first = await self._call("HeadObject", Key=found.name, PartNumber=1)
            if first.get("PartsCount") == count:
                sizes = _even_parts(size_bytes, int(first["ContentLength"]), count)
                if sizes and sizes[-1:] == await self._sizes_of(found, [count]):
                    return sizes
                return await self._sizes_of(found, range(1, count + 1))
        except StorageError:
            pass  # not every store knows partNumber
        for mebibytes in _USUAL_PART_MIB:
            if sizes := _even_parts(size_bytes, mebibytes * MEBIBYTE, count):
                return sizes
        return ()

    async def _sizes_of(self, found: SourceObject, part_numbers: Iterable[int]) -> Sequence[int]:
        return [
            int((await self._call("HeadObject", Key=found.name, PartNumber=number))["ContentLength"])
            for number in part_numbers
        ]

    async def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        return await self._run(partial(self._client.call, operation, **parameters))

    async def _run(self, job: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, job)
        except StorageError as error:
            raise StorageError(error.code.name, reason_of(error)) from error


def _md5_of(etag: str) -> bytes | None:
    try:
        return bytes.fromhex(etag) if len(etag) == _MD5_HEX else None
    except ValueError:
        return None


def _checksum_of(head: Mapping[str, Any]) -> tuple[str, bytes] | None:
    if head.get("ChecksumType", "FULL_OBJECT") != "FULL_OBJECT":
        return None
    for name, length in CHECKSUM_ALGORITHMS.items():
        text = head.get(f"Checksum{name.upper()}")
        if text is not None and "-" not in text:
            digest = b64decode(text)
            return (name, digest) if len(digest) == length else None
    return None


def _even_parts(size_bytes: int, part_bytes: int, count: int) -> Sequence[int]:
    """So many parts of one size, the last one smaller or equal; empty if that does not make the size."""
    last_bytes = size_bytes - part_bytes * (count - 1)
    return [*[part_bytes] * (count - 1), last_bytes] if 0 < last_bytes <= part_bytes else ()
