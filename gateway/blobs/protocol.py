"""What a store of bytes must do, and what it may do besides.

A blob is immutable, named by a random id that never contains the object's key (DESIGN §6) and starts with the
epoch of the process that wrote it, so that leftovers of a dead process are found by listing one prefix. The core
protocol is small; further abilities are separate Protocols a store may add, found with ``isinstance``.
"""

import itertools
import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from gateway.blobs.digest import Digester

EPOCH_HEX_DIGITS: Final = 8

_BLOB_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


# Blobs made one after another share the two digits after the epoch, which a file store takes for its directory: who
# finishes at the same time then shares one fsync of that directory. They also fill all directories evenly.
_RUN_BLOBS: Final = 256
_sequence: Final = itertools.count()


def new_blob_id(epoch: int) -> str:
    """A fresh id: eight hex digits of the epoch, two of a slow counter, 88 random bits. Ids cannot be guessed."""
    shard = next(_sequence) // _RUN_BLOBS % 256
    return f"{epoch:0{EPOCH_HEX_DIGITS}x}{shard:02x}{secrets.token_hex(11)}"


def check_blob_id(blob_id: str) -> str:
    """The id itself, if it is one; every store calls this before the id becomes a path or a key. Raises ValueError."""
    if _BLOB_ID.fullmatch(blob_id) is None:
        raise ValueError("malformed blob id")
    return blob_id


def epoch_of(blob_id: str) -> int:
    """The epoch a blob was written in. Raises ValueError for a malformed id."""
    return int(check_blob_id(blob_id)[:EPOCH_HEX_DIGITS], 16)


@dataclass(frozen=True, slots=True)
class BlobDescription:
    """What is kept beside the bytes, enough to rebuild the row; Postgres stays the truth. ``encryption`` is empty for
    plaintext, else the JSON of the row's column."""

    tenant_id: str
    bucket: str
    key: str
    version: str
    etag: str
    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    encryption: str = ""


@dataclass(frozen=True, slots=True)
class BlobStat:
    """One stored blob as the store sees it. ``modified_seconds`` is a Unix time."""

    blob_id: str
    size_bytes: int
    modified_seconds: float


class BlobWriter(Protocol):
    """One blob in the making. It does not exist until ``finish`` returned; leaving the context before discards it."""

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append. Hashing and writing happen in a bounded thread, overlapped with the caller's next read; the data
        must not change until the next call returns. Raises StorageError (InsufficientStorage, InternalError)."""
        ...

    async def flush(self) -> None:
        """Wait until everything written has been hashed, so that the digests are those of all bytes so far."""
        ...

    async def finish(self, description: BlobDescription) -> None:
        """Make the blob durable under its id: when this returns it survives a power cut. An error leaves no blob."""
        ...


class BlobReader(Protocol):
    """An opened range of one blob; it stays readable although the blob is deleted meanwhile.

    Iterate it once, and close it in any case. Iteration yields exactly ``size_bytes`` bytes or raises StorageError.
    A reader may also have ``content`` or ``segments()``; see ``wire.response.ResponseBody``.
    """

    size_bytes: int
    """The length of the range."""
    blob_size_bytes: int
    """The size of the whole blob as stored, to be compared with the row's."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def close(self) -> None: ...


class BlobStore(Protocol):
    """A named store. Every method may raise StorageError; a missing blob is FileNotFoundError, because only the
    caller can tell whether that is a race or a breach of an invariant. A malformed id is ValueError: ids come from
    our own rows."""

    name: str

    def create(self, blob_id: str, digester: Digester) -> AbstractAsyncContextManager[BlobWriter]: ...

    async def open(self, blob_id: str, offset_bytes: int, length_bytes: int) -> BlobReader:
        """Open a range. Raises FileNotFoundError, and StorageError (InternalError) for a blob shorter than that."""
        ...

    async def stat(self, blob_id: str) -> BlobStat | None: ...

    async def delete_many(self, blob_ids: Sequence[str]) -> None:
        """Remove the bytes, durably; a blob that is already gone is no error."""
        ...

    async def quarantine(self, blob_id: str) -> None:
        """Take a blob nobody owns out of service without destroying it yet. Raises FileNotFoundError."""
        ...

    async def purge_quarantine(self, older_than_seconds: float) -> int:
        """Destroy what has been in quarantine for longer; returns how many blobs."""
        ...

    async def epochs(self) -> Sequence[int]:
        """The epochs this store holds blobs of."""
        ...

    def list_epoch(self, epoch: int) -> AsyncIterator[BlobStat]:
        """Every blob of one epoch, in no particular order."""
        ...

    async def check(self) -> None:
        """Prove that the store can be used now; raises StorageError if not."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class CopyingStore(Protocol):
    """A store that can copy a blob without the bytes passing through the gateway (hard link, reflink, server side)."""

    async def copy(self, source_blob_id: str, target_blob_id: str, description: BlobDescription) -> None:
        """Durable when it returns. Raises FileNotFoundError when the source is gone."""
        ...


@runtime_checkable
class FileBackedStore(Protocol):
    """A store whose blobs are local files, so that the edge may use sendfile."""

    async def open_file(self, blob_id: str) -> int:
        """A read-only file descriptor the caller closes. Raises FileNotFoundError."""
        ...


@runtime_checkable
class DescribingStore(Protocol):
    """A store that can read back what was kept beside the bytes, for ``fsck`` and for rebuilding rows."""

    async def describe(self, blob_id: str) -> BlobDescription | None:
        """The description, or None where none is kept or it cannot be read. Raises FileNotFoundError."""
        ...


@runtime_checkable
class EpochRemovingStore(Protocol):
    """A store in which an epoch without blobs still costs something: directories."""

    async def remove_epoch(self, epoch: int) -> bool:
        """Remove what is left of a *dead* epoch if it holds no blob; False while it holds some."""
        ...


@runtime_checkable
class ProbedStore(Protocol):
    """A store that can be asked every second whether it is there."""

    async def probe(self) -> None:
        """Cheap. Raises StorageError or OSError if the store cannot be used."""
        ...


@runtime_checkable
class LocatedStore(Protocol):
    """A store whose blobs are files another process on this machine may read."""

    def path(self, blob_id: str) -> Path:
        """Where a blob is; absolute. Raises ValueError for a malformed id."""
        ...


@runtime_checkable
class PresigningStore(Protocol):
    """A store a client can read from itself, given a URL that is valid for a while."""

    async def presign(self, blob_id: str, seconds: int, answer_headers: Mapping[str, str]) -> str:
        """A URL for GET; ``answer_headers`` are S3's ``Response…`` parameters (``ResponseContentType``…)."""
        ...


@runtime_checkable
class BreakingStore(Protocol):
    """A store that is left alone for a while when it keeps failing (``blobs/breaker.py``)."""

    @property
    def circuit_open(self) -> bool: ...
