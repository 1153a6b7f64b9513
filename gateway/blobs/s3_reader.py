"""Reading a range of a blob in an S3 store, one piece ahead, resumed where a connection broke.

What arrives is measured, and a blob read to its end is compared with its ETag before the last piece is handed on: a
short or wrong answer of the store becomes a broken connection, never a clean answer (reliability: F18).
"""

import hashlib
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor
from typing import Any, Final

import structlog
from botocore.exceptions import BotoCoreError

from gateway.blobs.digest import multipart_etag
from gateway.blobs.readers import PIECE_BYTES
from gateway.blobs.s3_client import S3Client, UpstreamFailure
from gateway.blobs.s3_keys import PART_BYTES
from gateway.blobs.serial import Serial
from gateway.errors import StorageError

_log = structlog.get_logger(__name__)


class EtagCheck:
    """Computes what the ETag of the bytes should be: their MD5, or that of the MD5s of parts of ``part_bytes``."""

    def __init__(self, etag: str, size_bytes: int, part_bytes: int) -> None:
        digest, _, parts = etag.partition("-")
        self._etag: Final = etag
        self._part_bytes = part_bytes if parts else size_bytes
        self._md5s: list[bytes] = []
        self._running = hashlib.md5(usedforsecurity=False)
        self._left_bytes = self._part_bytes
        count = -(-size_bytes // part_bytes) if part_bytes else 0  # 0: nobody said where the parts end
        self.is_possible: Final = len(digest) == 32 and (not parts or (count > 0 and parts == str(count)))

    def update(self, data: bytes) -> None:
        """Append."""
        with memoryview(data) as view:
            start = 0
            while start < len(view):
                if not self._left_bytes:
                    self._cut()
                with view[start : start + self._left_bytes] as piece:
                    self._running.update(piece)
                    start += len(piece)
                    self._left_bytes -= len(piece)

    def matches(self) -> bool:
        """Whether everything together has the ETag."""
        if "-" not in self._etag:
            return self._running.hexdigest() == self._etag
        self._cut()
        return multipart_etag(self._md5s) == self._etag

    def _cut(self) -> None:
        self._md5s.append(self._running.digest())
        self._running = hashlib.md5(usedforsecurity=False)
        self._left_bytes = self._part_bytes


class Range:
    """One GET of a range, blocking, resumed after transport errors. Raises StorageError and FileNotFoundError."""

    def __init__(self, client: S3Client, key: str, offset_bytes: int, length_bytes: int) -> None:
        self._client = client
        self._key = key
        self._position_bytes = offset_bytes
        self._end_bytes = offset_bytes + length_bytes
        self._stream: Any = None
        self._etag: str | None = None
        self._check: EtagCheck | None = None
        self.blob_size_bytes = 0

    @property
    def etag(self) -> str | None:
        """The ETag of the object it reads, without quotes; known once it is open."""
        return None if self._etag is None else self._etag.strip('"')

    def open(self) -> None:
        """Send the request and judge the head of its answer."""
        answer = self._request(self._client.call)
        self._etag = str(answer["ETag"])
        self.blob_size_bytes = _total_bytes(answer)
        if self._position_bytes == 0 and self._end_bytes == self.blob_size_bytes and self._client.profile.etag_is_md5:
            part_bytes = int(answer.get("Metadata", {}).get(PART_BYTES, 0))
            check = EtagCheck(self._etag.strip('"'), self.blob_size_bytes, part_bytes)
            self._check = check if check.is_possible else None

    def read(self, count_bytes: int) -> bytes:
        """Exactly the next bytes. Raises StorageError: SlowDown if the store is away, InternalError for wrong bytes."""
        pieces: list[bytes] = []
        missing = count_bytes
        attempt = 1
        while missing:
            try:
                piece = self._next(missing)
            except UpstreamFailure as failure:
                self.close()
                attempt += 1
                if attempt > self._client.options.attempts:
                    raise StorageError("SlowDown") from failure
                continue
            pieces.append(piece)
            missing -= len(piece)
            self._position_bytes += len(piece)
        data = b"".join(pieces)
        if self._check is not None:
            self._check.update(data)
        if self._position_bytes == self._end_bytes:
            self.close()
            if self._check is not None and not self._check.matches():
                _log.error("upstream_gave_other_bytes", key=self._key, etag=self._etag)
                raise StorageError("InternalError")
        return data

    def close(self) -> None:
        """Let go of the connection; safe to repeat."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _next(self, count_bytes: int) -> bytes:
        if self._stream is None:
            self._request(self._client.try_once)
        try:
            data: bytes = self._stream.read(count_bytes)
        except (BotoCoreError, OSError, ValueError) as error:
            raise self._client.failed(type(error).__name__) from error
        if not data:
            raise self._client.failed("short body")
        return data

    def _request(self, call: Any) -> Mapping[str, Any]:
        parameters: dict[str, Any] = {"Range": f"bytes={self._position_bytes}-{self._end_bytes - 1}"}
        if self._etag is not None:
            parameters["IfMatch"] = self._etag
        answer: Mapping[str, Any] = call("GetObject", Key=self._key, **parameters)
        self._stream = answer["Body"]
        if answer.get("ContentLength") != self._end_bytes - self._position_bytes:
            self.close()
            raise StorageError("InternalError")
        return answer


class S3Reader:
    """A BlobReader over a range, one piece ahead in threads."""

    def __init__(self, executor: Executor, source: Range, length_bytes: int) -> None:
        self.size_bytes = length_bytes
        self.blob_size_bytes = source.blob_size_bytes
        self._serial = Serial(executor)
        self._source = source
        self._left_bytes = length_bytes
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._read_ahead()
        for _ in range(0, self.size_bytes, PIECE_BYTES):
            try:
                piece: bytes = await self._serial.result()
            except OSError as error:
                raise StorageError("InternalError") from error
            self._read_ahead()
            yield piece

    async def close(self) -> None:
        """Let go of the connection, after a read that is still running."""
        if not self._is_closed:
            self._is_closed = True
            await self._serial.close(self._source.close)

    def _read_ahead(self) -> None:
        count_bytes = min(self._left_bytes, PIECE_BYTES)
        self._left_bytes -= count_bytes
        if count_bytes:
            self._serial.start(self._source.read, count_bytes)


def _total_bytes(answer: Mapping[str, Any]) -> int:
    total = str(answer.get("ContentRange", "")).rpartition("/")[2]
    return int(total) if total.isdecimal() else int(answer["ContentLength"])
