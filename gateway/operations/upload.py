"""The one write path: receive bytes through their verifier, make them durable, leave the commit to the caller.

The protocol is DESIGN §6. Nothing is written before the caller was let in; a blob exists only after every check of
the body passed; it is destroyed when the commit is known to have failed, and left to the sweeper when it is not known.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from gateway.blobs.digest import Digester
from gateway.blobs.protocol import BlobDescription, BlobReader
from gateway.context import Call
from gateway.errors import StorageError
from gateway.metadata.errors import OutcomeUnknown
from gateway.metadata.records import Headers
from gateway.operations.services import Services
from gateway.wire.body import BodyStream

ETAG_DIGEST: Final = "md5"


@dataclass(frozen=True, slots=True)
class ReceivedBytes:
    """Bytes that passed every check: either ``content``, to be stored in the row, or a durable blob."""

    size_bytes: int
    digests: Mapping[str, bytes]
    content: bytes | None = None
    backend: str | None = None
    blob_id: str | None = None
    epoch: int | None = None

    @property
    def etag(self) -> str:
        """The ETag of a single upload: the MD5 of its bytes."""
        return self.digests[ETAG_DIGEST].hex()


Describe = Callable[[str], BlobDescription]


def new_version() -> str:
    """A fresh version id: 128 random bits."""
    return secrets.token_hex(16)


def describe(call: Call, bucket: str, key: str, version: str, headers: Headers) -> Describe:
    """What is kept beside a blob, once its ETag is known."""
    return lambda etag: BlobDescription(
        tenant_id=call.tenant.id,
        bucket=bucket,
        key=key,
        version=version,
        etag=etag,
        content_type=headers.content_type,
        metadata=headers.user_metadata,
    )


def is_small(services: Services, length: int | None) -> bool:
    """True if a body of this declared length will be stored in the row itself."""
    return length is not None and length <= services.limits.inline_max_bytes


async def receive(
    services: Services,
    body: BodyStream,
    description: Describe,
    *,
    algorithms: Collection[str] = (),
    allow_inline: bool = True,
    max_bytes: int,
) -> ReceivedBytes:
    """Take in a request's body. Raises StorageError for every check that fails, ClientDisconnected when the client
    went away; then nothing is left of it."""
    digester = Digester({ETAG_DIGEST, *body.required_digests, *algorithms})
    pieces = aiter(body)
    head, ended = await _first_bytes(pieces, services.limits.inline_max_bytes if allow_inline else -1)
    if ended:
        digester.update(head)
        digests = digester.digests()
        body.verify(digests, len(head))
        return ReceivedBytes(size_bytes=len(head), digests=digests, content=head)
    store = services.blobs.default
    epoch = services.blobs.epoch.number
    blob_id = services.blobs.new_blob_id()
    async with store.create(blob_id, digester) as writer:
        size = len(head)
        if head:
            await writer.write(head)
        async for piece in pieces:
            size += len(piece)
            if size > max_bytes:
                raise StorageError("EntityTooLarge", MaxSizeAllowed=str(max_bytes))
            await writer.write(piece)
        await writer.flush()
        digests = digester.digests()
        body.verify(digests, size)
        await writer.finish(description(digests[ETAG_DIGEST].hex()))
    return ReceivedBytes(size_bytes=size, digests=digests, backend=store.name, blob_id=blob_id, epoch=epoch)


async def receive_copy(
    services: Services, reader: BlobReader, description: Describe, algorithms: Collection[str]
) -> ReceivedBytes:
    """Copy bytes that are already stored into a new blob, hashing on the way. Closes the reader."""
    digester = Digester({ETAG_DIGEST, *algorithms})
    store = services.blobs.default
    epoch = services.blobs.epoch.number
    blob_id = services.blobs.new_blob_id()
    try:
        async with store.create(blob_id, digester) as writer:
            async for piece in reader:
                await writer.write(piece)
            await writer.flush()
            digests = digester.digests()
            await writer.finish(description(digests[ETAG_DIGEST].hex()))
    finally:
        await reader.close()
    return ReceivedBytes(
        size_bytes=digester.size_bytes, digests=digests, backend=store.name, blob_id=blob_id, epoch=epoch
    )


class discard_on_refusal:
    """Around a commit: destroy these blobs if it was refused. After an unknown outcome, or when this task is
    cancelled or fails in the middle, they are left alone: the keeper of the epoch will find out."""

    def __init__(self, services: Services, backend: str | None, *blob_ids: str) -> None:
        self._services = services
        self._backend = backend
        self._blob_ids = blob_ids

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is None or self._backend is None or not self._blob_ids:
            return
        refused = isinstance(exc, StorageError) and not isinstance(exc, OutcomeUnknown)
        if not refused or not await _deleted(self._services, self._backend, self._blob_ids):
            self._services.blobs.doubt(self._backend, self._blob_ids)


async def _deleted(services: Services, backend: str, blob_ids: Sequence[str]) -> bool:
    try:
        await services.blobs.named(backend).delete_many(blob_ids)
    except StorageError:
        return False
    except BaseException:
        services.blobs.doubt(backend, blob_ids)
        raise
    return True


async def _first_bytes(pieces: AsyncIterator[bytes], limit: int) -> tuple[bytes, bool]:
    """Read until more than ``limit`` bytes are here (and say False) or the body has ended (True)."""
    if limit < 0:
        return b"", False
    collected: list[bytes] = []
    size = 0
    async for piece in pieces:
        collected.append(piece)
        size += len(piece)
        if size > limit:
            return b"".join(collected), False
    return b"".join(collected), True
