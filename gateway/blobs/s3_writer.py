"""One blob on its way into an S3 store.

Bytes are cut into seekable parts, so that each request can be repeated. A blob of one part is one PutObject; a larger
one is an upload of the store's own, which becomes visible when it is completed. What a store says it holds is compared
with what was sent; a repeated request knows by a random number of its writer that the one before it had arrived.
"""

import asyncio
import contextlib
import secrets
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, ParamSpec

import structlog

from gateway.blobs.descriptions import encode
from gateway.blobs.digest import Digester, digest, multipart_etag
from gateway.blobs.os_errors import translated
from gateway.blobs.part_buffer import Budget, PartBuffer
from gateway.blobs.protocol import BlobDescription
from gateway.blobs.s3_client import S3Client
from gateway.blobs.s3_keys import PART_BYTES, WRITE, Keys, to_metadata
from gateway.blobs.serial import Serial
from gateway.errors import StorageError

_log = structlog.get_logger(__name__)

P = ParamSpec("P")

PIECE_BYTES: Final = 256 * 1024
"""Smaller pieces are gathered up to this size before they go to a thread."""

_PARTS_AT_ONCE: Final = 2
_MAX_PARTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Workshop:
    """What the writers of a store share. ``hashers`` fill buffers, ``senders`` wait for the store."""

    client: S3Client
    keys: Keys
    hashers: Executor
    senders: Executor
    budget: Budget
    spool_directory: Path | None


@dataclass(frozen=True, slots=True)
class _HeldPart:
    md5: bytes
    etag: str


class S3Writer:
    """A BlobWriter and its context. In memory: one piece being gathered, one being hashed; the rest is in parts."""

    def __init__(self, workshop: Workshop, blob_id: str, digester: Digester) -> None:
        self._shop = workshop
        self._client = workshop.client
        self._blob_id = blob_id
        self._key = workshop.keys.blob(blob_id)
        self._digester = digester
        self._serial = Serial(workshop.hashers)
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._part: PartBuffer | None = None  # being filled
        self._full: deque[PartBuffer] = deque()
        self._sent: deque[tuple[Future[None], PartBuffer | None]] = deque()
        self._begun: Future[str] | None = None
        self._held: dict[int, _HeldPart] = {}
        self._parts = 0
        self._write = secrets.token_hex(16)
        self._error: Exception | None = None
        self._is_published = False  # a request that makes the blob visible was sent
        self._is_finished = False
        self._cleaning: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "S3Writer":
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._is_finished:
            self._cleaning = asyncio.create_task(self._clean_up())
            await asyncio.shield(self._cleaning)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """See BlobWriter."""
        # Pieces are kept as they came: a growing buffer for each of many uploads tears holes into the heap.
        self._gathered.append(bytes(data))
        self._gathered_bytes += len(data)
        if self._gathered_bytes >= PIECE_BYTES:
            await self._settle()
            self._absorb_gathered()

    async def flush(self) -> None:
        """See BlobWriter."""
        await self._settle()
        if self._gathered:
            self._absorb_gathered()
            await self._settle()

    async def finish(self, description: BlobDescription) -> None:
        """See BlobWriter."""
        await self.flush()
        part, self._part = self._part, None
        if self._begun is None:
            await self._ended(self._submit(part, self._put, part, description))
        else:
            if part is not None:
                await self._send(part)
            while self._sent:
                await self._oldest()
            await self._ended(self._submit(None, self._complete, description))
        self._is_finished = True
        self._release()

    def _absorb_gathered(self) -> None:
        taken, self._gathered, self._gathered_bytes = self._gathered, [], 0
        self._serial.start(self._absorb, taken)

    async def _settle(self) -> None:
        """Wait for the running job and send what it filled. An error is final: every later call raises it again."""
        if self._error is not None:
            raise self._error
        try:
            with translated():
                await self._serial.result()
            while self._full:
                if self._begun is None:
                    self._begun = self._shop.senders.submit(self._begin)
                    await asyncio.wrap_future(self._begun)
                await self._send(self._full.popleft())
        except Exception as error:
            self._error = error
            raise

    async def _send(self, part: PartBuffer) -> None:
        self._parts += 1
        self._submit(part, self._upload_part, self._parts, part)
        while len(self._sent) > _PARTS_AT_ONCE:
            await self._oldest()
        if self._parts == _MAX_PARTS:
            raise StorageError("EntityTooLarge")

    def _submit(
        self, part: PartBuffer | None, job: Callable[P, None], *args: P.args, **kwargs: P.kwargs
    ) -> "Future[None]":
        future = self._shop.senders.submit(job, *args, **kwargs)
        self._sent.append((future, part))
        return future

    async def _oldest(self) -> None:
        job, part = self._sent[0]
        await self._ended(job)
        self._sent.popleft()
        if part is not None:
            part.close()

    async def _ended(self, job: "Future[None]") -> None:
        try:
            with translated():
                await asyncio.wrap_future(job)
        except Exception as error:
            self._error = error
            raise

    async def _clean_up(self) -> None:
        """Leave nothing behind; what cannot be removed now, the sweeper finds when the epoch is dead."""
        for job, _ in self._sent:
            job.cancel()
        # Requests that are under way end first: their buffers are in use, and an abort would miss the part they add.
        jobs = [job for job in (self._begun, *(job for job, _ in self._sent)) if job is not None]
        await asyncio.to_thread(lambda: wait(jobs))
        await self._serial.close(self._release)
        if self._begun is not None or self._is_published:
            await asyncio.wrap_future(self._shop.senders.submit(self._discard))

    # What follows runs in threads.

    def _absorb(self, pieces: list[bytes]) -> None:
        """Hash, and fill parts: all of them but the last have the same size, which some stores insist on."""
        for piece in pieces:
            self._digester.update(piece)
            self._fill(piece)

    def _fill(self, data: bytes) -> None:
        with memoryview(data) as rest:
            start = 0
            while start < len(rest):
                if self._part is not None and not self._part.room_bytes:
                    self._full.append(self._part)
                    self._part = None
                if self._part is None:
                    size_bytes = self._client.options.part_bytes
                    self._part = PartBuffer(self._shop.budget, size_bytes, self._shop.spool_directory)
                with rest[start : start + self._part.room_bytes] as piece:
                    self._part.write(piece)
                    start += len(piece)

    def _begin(self) -> str:
        if not self._client.profile.conditional_writes:
            self._require_absent()
        metadata = {WRITE: self._write, PART_BYTES: str(self._client.options.part_bytes)}
        return str(self._client.call("CreateMultipartUpload", Key=self._key, Metadata=metadata)["UploadId"])

    def _upload_part(self, number: int, part: PartBuffer) -> None:
        if self._begun is None:
            raise RuntimeError("no upload was begun")
        md5 = part.md5()
        answer = self._client.call(
            "UploadPart",
            Key=self._key,
            UploadId=self._begun.result(),
            PartNumber=number,
            Body=part.file,
            ContentLength=part.size_bytes,
            ContentMD5=b64encode(md5).decode(),
        )
        self._compare(answer, md5.hex())
        self._held[number] = _HeldPart(md5, str(answer["ETag"]))

    def _put(self, part: PartBuffer | None, description: BlobDescription) -> None:
        digests = self._digester.digests()
        body: Any = b""
        md5 = digests.get("md5") or digest("md5", b"")
        if part is not None:
            body, md5 = part.file, digests.get("md5") or part.md5()
        described = to_metadata(description) if self._client.profile.keeps_metadata else None
        if not self._client.profile.conditional_writes:
            self._require_absent()
        if described is None:
            self._put_description(description)
        answer = self._publish(
            "PutObject",
            Body=body,
            ContentLength=0 if part is None else part.size_bytes,
            ContentMD5=b64encode(md5).decode(),
            Metadata={WRITE: self._write, **(described or {})},
        )
        if answer is not None:
            self._compare(answer, md5.hex())

    def _complete(self, description: BlobDescription) -> None:
        if self._begun is None:
            raise RuntimeError("no upload was begun")
        self._put_description(description)
        numbers = sorted(self._held)
        answer = self._publish(
            "CompleteMultipartUpload",
            UploadId=self._begun.result(),
            MultipartUpload={"Parts": [{"PartNumber": number, "ETag": self._held[number].etag} for number in numbers]},
        )
        if answer is not None:
            self._compare(answer, multipart_etag([self._held[number].md5 for number in numbers]))

    def _publish(self, operation: str, **parameters: Any) -> dict[str, Any] | None:
        """The request that makes the blob visible; None if an earlier try of ours turns out to have done it.

        Raises StorageError (InternalError) where another writer's blob is there: nothing is ever overwritten.
        """
        if self._client.profile.conditional_writes:
            parameters["IfNoneMatch"] = "*"
        self._is_published = True
        try:
            return self._client.call(operation, Key=self._key, **parameters)
        except (FileExistsError, FileNotFoundError) as refusal:
            # Something is there, or the upload is not open any more: the work of a try whose answer was lost?
            with contextlib.suppress(FileNotFoundError):
                found = self._client.call("HeadObject", Key=self._key)
                if found.get("Metadata", {}).get(WRITE) == self._write:
                    return None
                self._is_published = False
            raise StorageError("InternalError") from refusal

    def _put_description(self, description: BlobDescription) -> None:
        key = self._shop.keys.description(self._blob_id)
        self._client.call("PutObject", Key=key, Body=encode(description), ContentType="application/json")

    def _require_absent(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._client.call("HeadObject", Key=self._key)
            raise StorageError("InternalError")

    def _compare(self, answer: dict[str, Any], etag: str) -> None:
        """Raises StorageError (InternalError) if the store says that it holds other bytes (reliability: F18)."""
        said = str(answer.get("ETag", "")).strip('"')
        if self._client.profile.etag_is_md5 and said != etag:
            _log.error("upstream_holds_other_bytes", blob_id=self._blob_id, said=said, sent=etag)
            raise StorageError("InternalError")

    def _release(self) -> None:
        for part in (self._part, *self._full, *(part for _, part in self._sent)):
            if part is not None:
                part.close()
        self._part = None
        self._full.clear()
        self._sent.clear()

    def _discard(self) -> None:
        if self._begun is not None and not self._begun.cancelled() and self._begun.exception() is None:
            with contextlib.suppress(StorageError, OSError):
                self._client.call("AbortMultipartUpload", Key=self._key, UploadId=self._begun.result(), attempts=1)
        if self._is_published:
            for key in (self._key, self._shop.keys.description(self._blob_id)):
                with contextlib.suppress(StorageError, OSError):
                    self._client.call("DeleteObject", Key=key, attempts=1)
