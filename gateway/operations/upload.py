"""The one write path: receive bytes through their verifier, make them durable, leave the commit to the caller.

The protocol is DESIGN §6. Nothing is written before the caller was let in; a blob exists only after every check of
the body passed; it is destroyed when the commit is known to have failed, and left to the sweeper when it is not known.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from gateway.blobs.digest import Digester, digest
from gateway.blobs.encrypted import create_encrypted
from gateway.blobs.protocol import BlobDescription, BlobReader, BlobStore, BlobWriter
from gateway.context import Call
from gateway.encryption.keys import ROW_IDENTITY
from gateway.encryption.stream import seal
from gateway.errors import StorageError
from gateway.metadata.errors import OutcomeUnknown
from gateway.metadata.records import Headers, metadata_text
from gateway.operations.encryption import Cipher
from gateway.operations.services import Services
from gateway.wire.body import BodyStream

ETAG_DIGEST: Final = "md5"


@dataclass(frozen=True, slots=True)
class ReceivedBytes:
    """Bytes that passed every check: either ``content``, to be stored in the row, or a durable blob. Sizes and digests
    are those of the ``plaintext``, which is kept where it is small; ``content`` may be encrypted."""

    size_bytes: int
    digests: Mapping[str, bytes]
    etag: str
    content: bytes | None = None
    plaintext: bytes | None = None
    backend: str | None = None
    blob_id: str | None = None
    epoch: int | None = None

    def encrypted(self, cipher: Cipher | None) -> "ReceivedBytes":
        """The same small bytes for a row that is encrypted in this way, or (None) not at all."""
        if self.plaintext is None:
            raise ValueError("only bytes of a row can be encrypted again")
        return in_row(self.plaintext, self.digests, cipher)


Describe = Callable[[str], BlobDescription]


def new_version() -> str:
    """A fresh version id: 128 random bits."""
    return secrets.token_hex(16)


def describe(
    call: Call, bucket: str, key: str, version: str, headers: Headers, cipher: Cipher | None = None
) -> Describe:
    """What is kept beside a blob, once its ETag is known."""
    return lambda etag: BlobDescription(
        tenant_id=call.tenant.id,
        bucket=bucket,
        key=key,
        version=version,
        etag=etag,
        content_type=headers.content_type,
        metadata={name: metadata_text(value) for name, value in headers.user_metadata.items()},
        encryption=cipher.description if cipher else "",
    )


def is_small(services: Services, length: int | None) -> bool:
    """True if a body of this declared length will be stored in the row itself."""
    return length is not None and length <= services.limits.inline_max_bytes


def in_row(plaintext: bytes, digests: Mapping[str, bytes], cipher: Cipher | None) -> ReceivedBytes:
    """Small bytes, ready to be stored in the row."""
    if _is_md5_etag(cipher):
        etag = (digests.get(ETAG_DIGEST) or digest(ETAG_DIGEST, plaintext)).hex()
    else:
        etag = _random_etag()
    content = plaintext if cipher is None else seal(cipher.key.stream_key(ROW_IDENTITY), plaintext)
    return ReceivedBytes(len(plaintext), digests, etag, content, plaintext)


async def receive(
    services: Services,
    body: BodyStream,
    description: Describe,
    *,
    algorithms: Collection[str] = (),
    allow_inline: bool = True,
    max_bytes: int,
    cipher: Cipher | None = None,
    backend: str | None = None,
) -> ReceivedBytes:
    """Take in a request's body, into the store of that name (None: the tenant's default).

    Raises StorageError for every check that fails, ClientDisconnected when the client went away; then nothing is left
    of it.
    """
    digester = Digester({*_etag_digests(cipher), *body.required_digests, *algorithms})
    pieces = aiter(body)
    head, ended = await _first_bytes(pieces, services.limits.inline_max_bytes if allow_inline else -1)
    if ended:
        digester.update(head)
        digests = digester.digests()
        body.verify(digests, len(head))
        return in_row(head, digests, cipher)
    store = services.blobs.for_writing(backend)
    epoch = services.blobs.epoch.number
    blob_id = services.blobs.new_blob_id()
    async with _create(store, blob_id, digester, cipher) as writer:
        size = len(head)
        if head:
            await writer.write(head)
        async for piece in pieces:
            size += len(piece)
            if size > max_bytes:
                raise StorageError("EntityTooLarge", ProposedSize=str(size), MaxSizeAllowed=str(max_bytes))
            await writer.write(piece)
        await writer.flush()
        digests = digester.digests()
        body.verify(digests, size)
        etag = digests[ETAG_DIGEST].hex() if _is_md5_etag(cipher) else _random_etag()
        await writer.finish(description(etag))
    return ReceivedBytes(size, digests, etag, backend=store.name, blob_id=blob_id, epoch=epoch)


async def receive_copy(
    services: Services,
    reader: BlobReader,
    description: Describe,
    algorithms: Collection[str],
    cipher: Cipher | None = None,
    *,
    allow_inline: bool = False,
    backend: str | None = None,
) -> ReceivedBytes:
    """Copy bytes that are already stored into a new blob, hashing on the way. Closes the reader."""
    digester = Digester({*_etag_digests(cipher), *algorithms})
    if allow_inline and is_small(services, reader.size_bytes):
        try:
            content = b"".join([piece async for piece in reader])
        finally:
            await reader.close()
        digester.update(content)
        return in_row(content, digester.digests(), cipher)
    store = services.blobs.for_writing(backend)
    epoch = services.blobs.epoch.number
    blob_id = services.blobs.new_blob_id()
    try:
        async with _create(store, blob_id, digester, cipher) as writer:
            async for piece in reader:
                await writer.write(piece)
            await writer.flush()
            digests = digester.digests()
            etag = digests[ETAG_DIGEST].hex() if _is_md5_etag(cipher) else _random_etag()
            await writer.finish(description(etag))
    finally:
        await reader.close()
    return ReceivedBytes(digester.size_bytes, digests, etag, backend=store.name, blob_id=blob_id, epoch=epoch)


def _create(
    store: BlobStore, blob_id: str, digester: Digester, cipher: Cipher | None
) -> AbstractAsyncContextManager[BlobWriter]:
    if cipher is None:
        return store.create(blob_id, digester)
    return create_encrypted(store, cipher.executor, blob_id, digester, cipher.key.stream_key(blob_id))


def _is_md5_etag(cipher: Cipher | None) -> bool:
    return cipher is None or cipher.has_md5_etag


def _etag_digests(cipher: Cipher | None) -> tuple[str, ...]:
    return (ETAG_DIGEST,) if _is_md5_etag(cipher) else ()


def _random_etag() -> str:
    return secrets.token_hex(16)


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
