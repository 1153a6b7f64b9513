"""Blobs as objects of another S3 store: AWS, Ceph RGW, MinIO, Garage, R2, another Rowlock.

This is the asynchronous half; requests block and run in bounded threads (:mod:`gateway.blobs.s3_client`). A thread is
held for the length of one request or one piece, never for that of a client's upload or download.
"""

import asyncio
import contextlib
import contextvars
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from gateway.blobs.descriptions import decode, encode
from gateway.blobs.digest import Digester
from gateway.blobs.os_errors import translated
from gateway.blobs.part_buffer import Budget
from gateway.blobs.protocol import EPOCH_HEX_DIGITS, BlobDescription, BlobReader, BlobStat, check_blob_id, epoch_of
from gateway.blobs.readers import SMALL_BYTES, BytesReader
from gateway.blobs.s3_client import S3Client
from gateway.blobs.s3_keys import Keys, from_metadata, to_metadata
from gateway.blobs.s3_options import S3Options
from gateway.blobs.s3_reader import Range, S3Reader
from gateway.blobs.s3_server_copy import server_copy
from gateway.blobs.s3_writer import S3Writer, Workshop
from gateway.errors import StorageError

P = ParamSpec("P")
T = TypeVar("T")

_DELETE_PAGE: Final = 1000
_KEYS_PER_BLOB: Final = 2


class TracedThreads(ThreadPoolExecutor):
    """Jobs run in the context of who submitted them, so that a span of a request is the parent of its calls."""

    def submit(self, job: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See Executor."""
        return super().submit(partial(contextvars.copy_context().run, job, *args, **kwargs))


class S3Store:
    """A BlobStore, CopyingStore, DescribingStore, EpochRemovingStore, PresigningStore, ProbedStore and BreakingStore.

    Parts that do not fit into memory go to ``spool_directory`` (default: the system's). The constructor blocks.
    """

    def __init__(self, options: S3Options, *, name: str, spool_directory: Path | None = None) -> None:
        self.name = name
        self._client = S3Client(options, name=name)
        self._keys = Keys(options.prefix)
        self._readers = TracedThreads(options.threads, thread_name_prefix=f"blobs-{name}-read")
        self._hashers = TracedThreads(options.threads, thread_name_prefix=f"blobs-{name}-hash")
        self._senders = TracedThreads(options.threads, thread_name_prefix=f"blobs-{name}-send")
        budget = Budget(options.buffer_bytes)
        self._workshop = Workshop(self._client, self._keys, self._hashers, self._senders, budget, spool_directory)

    @property
    def circuit_open(self) -> bool:
        """See BreakingStore."""
        return self._client.circuit_open

    def create(self, blob_id: str, digester: Digester) -> S3Writer:
        """See BlobStore."""
        return S3Writer(self._workshop, blob_id, digester)

    async def copy(self, source_blob_id: str, target_blob_id: str, description: BlobDescription) -> None:
        """See CopyingStore: inside the store, in ranges where the blob is too big for one request."""
        await self._run(self._senders, self._copy, source_blob_id, target_blob_id, description)

    async def open(self, blob_id: str, offset_bytes: int, length_bytes: int) -> BlobReader:
        """See BlobStore."""
        if offset_bytes < 0 or length_bytes < 0:
            raise ValueError("a range has no negative numbers")
        return await self._run(self._readers, self._open, self._keys.blob(blob_id), offset_bytes, length_bytes)

    async def stat(self, blob_id: str) -> BlobStat | None:
        """See BlobStore."""
        key = self._keys.blob(blob_id)
        try:
            found = await self._run(self._readers, self._client.call, "HeadObject", Key=key)
        except FileNotFoundError:
            return None
        return BlobStat(blob_id, int(found["ContentLength"]), found["LastModified"].timestamp())

    async def describe(self, blob_id: str) -> BlobDescription | None:
        """See DescribingStore."""
        return await self._run(self._readers, self._describe, check_blob_id(blob_id))

    async def delete_many(self, blob_ids: Sequence[str]) -> None:
        """See BlobStore."""
        keys = [key for blob_id in blob_ids for key in (self._keys.blob(blob_id), self._keys.description(blob_id))]
        await self._run(self._senders, self._delete, keys)

    async def quarantine(self, blob_id: str) -> None:
        """See BlobStore: a copy under another key, then the blob is deleted."""
        await self._run(self._senders, self._set_aside, check_blob_id(blob_id))

    async def purge_quarantine(self, older_than_seconds: float) -> int:
        """See BlobStore."""
        return await self._run(self._senders, self._purge_quarantine, older_than_seconds)

    async def epochs(self) -> Sequence[int]:
        """See BlobStore."""
        found: list[int] = []
        async for page in self._pages("ListObjectsV2", Prefix=self._keys.blobs, Delimiter="/"):
            names = [entry["Prefix"][len(self._keys.blobs) : -1] for entry in page.get("CommonPrefixes", ())]
            for name in names:
                with contextlib.suppress(ValueError):
                    found.append(epoch_of(name + "0" * (32 - EPOCH_HEX_DIGITS)))
        return sorted(found)

    async def list_epoch(self, epoch: int) -> AsyncIterator[BlobStat]:
        """See BlobStore; one page is in memory."""
        prefix = self._keys.epoch(epoch)
        async for page in self._pages("ListObjectsV2", Prefix=prefix):
            for entry in page.get("Contents", ()):
                blob_id = entry["Key"][len(prefix) :]
                with contextlib.suppress(ValueError):
                    if epoch_of(blob_id) == epoch:
                        yield BlobStat(blob_id, int(entry["Size"]), entry["LastModified"].timestamp())

    async def remove_epoch(self, epoch: int) -> bool:
        """See EpochRemovingStore: abort the uploads nobody will complete, delete descriptions without a blob."""
        return await self._run(self._senders, self._remove_epoch, epoch)

    async def presign(self, blob_id: str, seconds: int, answer_headers: Mapping[str, str]) -> str:
        """See PresigningStore."""
        return await self._run(
            self._readers, self._client.presign, "GetObject", seconds, Key=self._keys.blob(blob_id), **answer_headers
        )

    async def probe(self) -> None:
        """See ProbedStore: ``HeadBucket``, in a thread that no upload or download waits for."""
        await asyncio.to_thread(self._client.probe)

    async def check(self) -> None:
        """See BlobStore: writes and deletes a small object."""
        await self._run(self._senders, self._check)

    async def close(self) -> None:
        """Wait for running jobs and let go of threads and connections."""
        for executor in (self._readers, self._hashers, self._senders):
            await asyncio.to_thread(executor.shutdown)
        self._client.close()

    async def _run(self, executor: TracedThreads, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with translated(FileNotFoundError):
            return await asyncio.wrap_future(executor.submit(job, *args, **kwargs))

    async def _pages(self, operation: str, **parameters: Any) -> AsyncIterator[dict[str, Any]]:
        while True:
            page = await self._run(self._readers, self._client.call, operation, **parameters)
            yield page
            if not page.get("IsTruncated"):
                return
            parameters["ContinuationToken"] = page["NextContinuationToken"]

    # What follows runs in threads.

    def _open(self, key: str, offset_bytes: int, length_bytes: int) -> BlobReader:
        if not length_bytes:
            size_bytes = int(self._client.call("HeadObject", Key=key)["ContentLength"])
            if offset_bytes > size_bytes:
                raise StorageError("InternalError")
            return BytesReader(b"", size_bytes)
        source = Range(self._client, key, offset_bytes, length_bytes)
        source.open()
        if length_bytes > SMALL_BYTES:
            return S3Reader(self._readers, source, length_bytes)
        try:
            return BytesReader(source.read(length_bytes), source.blob_size_bytes)
        finally:
            source.close()

    def _describe(self, blob_id: str) -> BlobDescription | None:
        head = self._client.call("HeadObject", Key=self._keys.blob(blob_id))
        description = from_metadata(head.get("Metadata", {}))
        if description is not None:
            return description
        try:
            answer = self._client.call("GetObject", Key=self._keys.description(blob_id))
        except FileNotFoundError:
            return None
        with contextlib.closing(answer["Body"]) as body:
            return decode(body.read())

    def _copy(self, source_blob_id: str, target_blob_id: str, description: BlobDescription) -> None:
        source, target = self._keys.blob(source_blob_id), self._keys.blob(target_blob_id)
        head = self._client.call("HeadObject", Key=source)
        with contextlib.suppress(FileNotFoundError):
            self._client.call("HeadObject", Key=target)
            raise StorageError("InternalError")
        metadata = to_metadata(description) if self._client.profile.keeps_metadata else None
        if metadata is None:
            self._client.call("PutObject", Key=self._keys.description(target_blob_id), Body=encode(description))
        server_copy(self._client, source, target, head, metadata or {})

    def _delete(self, keys: Sequence[str]) -> None:
        if not self._client.profile.bulk_delete:
            for key in keys:
                with contextlib.suppress(FileNotFoundError):
                    self._client.call("DeleteObject", Key=key)
            return
        for start in range(0, len(keys), _DELETE_PAGE):
            doomed = [{"Key": key} for key in keys[start : start + _DELETE_PAGE]]
            answer = self._client.call("DeleteObjects", Delete={"Objects": doomed, "Quiet": True})
            codes = {error.get("Code") for error in answer.get("Errors", ())} - {"NoSuchKey"}
            if codes:
                raise StorageError("SlowDown" if codes <= {"SlowDown", "InternalError"} else "InternalError")

    def _set_aside(self, blob_id: str) -> None:
        target = f"{self._keys.quarantine}{int(time.time())}-{blob_id}"
        key, description = self._keys.blob(blob_id), self._keys.description(blob_id)
        head = self._client.call("HeadObject", Key=key)
        server_copy(self._client, key, target, head, head.get("Metadata", {}))
        with contextlib.suppress(FileNotFoundError):
            beside = self._client.call("HeadObject", Key=description)
            server_copy(self._client, description, f"{target}.json", beside, {})
        self._delete([key, description])

    def _purge_quarantine(self, older_than_seconds: float) -> int:
        limit_seconds = time.time() - older_than_seconds
        old = []
        for key in self._all_keys(self._keys.quarantine):
            since = key[len(self._keys.quarantine) :].partition("-")[0]
            if since.isdecimal() and int(since) <= limit_seconds:
                old.append(key)
        self._delete(old)
        return sum(not key.endswith(".json") for key in old)

    def _remove_epoch(self, epoch: int) -> bool:
        marker: dict[str, Any] = {}
        while True:
            try:
                page = self._client.call("ListMultipartUploads", Prefix=self._keys.epoch(epoch), **marker)
            except FileNotFoundError:  # how some stores say that there are none
                break
            for upload in page.get("Uploads", ()):
                with contextlib.suppress(FileNotFoundError):
                    self._client.call("AbortMultipartUpload", Key=upload["Key"], UploadId=upload["UploadId"])
            if not page.get("IsTruncated"):
                break
            marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
        if next(self._all_keys(self._keys.epoch(epoch)), None) is not None:
            return False
        self._delete(list(self._all_keys(self._keys.epoch_descriptions(epoch))))
        return True

    def _all_keys(self, prefix: str) -> Iterator[str]:
        token: dict[str, Any] = {}
        while True:
            page = self._client.call("ListObjectsV2", Prefix=prefix, **token)
            yield from (entry["Key"] for entry in page.get("Contents", ()))
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _check(self) -> None:
        key = self._keys.check + secrets.token_hex(8)
        self._client.call("PutObject", Key=key, Body=b"rowlock")
        self._delete([key])
