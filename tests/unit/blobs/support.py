"""What the tests of blob stores share."""

import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from conformance.upstream import Upstream
from gateway.blobs.digest import Digester
from gateway.blobs.file import FileStore
from gateway.blobs.memory import MemoryStore
from gateway.blobs.protocol import BlobDescription, new_blob_id
from gateway.blobs.s3 import S3Store
from gateway.blobs.s3_options import S3Options

EPOCH = 0x2A

STORES = ("memory", "file", "file-named-temporaries", "file-sidecars")

Store = FileStore | MemoryStore | S3Store

DESCRIPTION = BlobDescription(
    tenant_id="t1",
    bucket="photos",
    key='Ω/"quoted"/../é\n.jpg',
    version="v1",
    etag="9e107d9d372bb6826bd81d3542a419d6",
    content_type="image/jpeg",
    metadata={"colour": "blau", "empty": ""},
)


def s3_options(upstream: Upstream, **options: Any) -> S3Options:
    """A backend in a running server, below a prefix of its own."""
    given = {
        **upstream.backend(prefix=secrets.token_hex(8), **options),
        "secret_access_key": upstream.secret_access_key,
    }
    del given["kind"]
    return S3Options(**given)


def make_store(kind: str, root: Path, **options: Any) -> Store:
    """A store of one of the kinds in STORES."""
    match kind:
        case "memory":
            return MemoryStore(name="m", max_bytes=64 * 1024 * 1024)
        case "file-named-temporaries":
            return FileStore(root, name="f", threads=2, unnamed_files=False, **options)
        case "file-sidecars":
            return FileStore(root, name="f", threads=2, attributes=False, **options)
    return FileStore(root, name="f", threads=2, **options)


@asynccontextmanager
async def opened(kind: str, root: Path, **options: Any) -> AsyncIterator[Store]:
    """A store that is closed afterwards."""
    store = make_store(kind, root, **options)
    try:
        yield store
    finally:
        await store.close()


async def put(
    store: Store,
    pieces: Iterable[bytes],
    *,
    blob_id: str | None = None,
    description: BlobDescription = DESCRIPTION,
) -> str:
    """Store a blob the way operations do, and return its id."""
    blob_id = new_blob_id(EPOCH) if blob_id is None else blob_id
    async with store.create(blob_id, Digester(("md5",))) as writer:
        for piece in pieces:
            await writer.write(piece)
        await writer.flush()
        await writer.finish(description)
    return blob_id


async def get(store: Store, blob_id: str, offset_bytes: int, length_bytes: int) -> bytes:
    """Read a range to its end."""
    reader = await store.open(blob_id, offset_bytes, length_bytes)
    try:
        return b"".join([piece async for piece in reader])
    finally:
        await reader.close()


async def listed(store: Store, epoch: int = EPOCH) -> dict[str, int]:
    """The ids and sizes of an epoch's blobs."""
    return {blob.blob_id: blob.size_bytes async for blob in store.list_epoch(epoch)}
