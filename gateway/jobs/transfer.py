"""Copying one blob from a store to another, with proof that the other one has the same bytes."""

import json
from dataclasses import dataclass, replace
from typing import Final

from gateway.blobs.digest import Digester
from gateway.blobs.protocol import BlobDescription, BlobStore, DescribingStore
from gateway.errors import StorageError
from gateway.jobs.throttle import Throttle

_DIGEST: Final = "md5"


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied, as it was read from the source."""

    size_bytes: int
    md5: bytes


async def copy_blob(
    source: BlobStore,
    target: BlobStore,
    source_id: str,
    target_id: str,
    fallback: BlobDescription,
    throttle: Throttle,
) -> Copied:
    """Copy, then read the copy back and compare. What describes the blob goes with it; ``fallback`` if it has nothing.

    Raises FileNotFoundError when the source is gone, StorageError otherwise. A copy that is wrong is deleted.
    """
    found = await source.stat(source_id)
    if found is None:
        raise FileNotFoundError(source_id)
    description = await source.describe(source_id) if isinstance(source, DescribingStore) else None
    digester = Digester((_DIGEST,))
    reader = await source.open(source_id, 0, found.size_bytes)
    try:
        async with target.create(target_id, digester) as writer:
            async for piece in reader:
                await throttle.pass_bytes(len(piece))
                await writer.write(piece)
            await writer.flush()
            await writer.finish(_moved(description or fallback, source_id))
    finally:
        await reader.close()
    md5 = digester.digests()[_DIGEST]
    if await digest_of(target, target_id, found.size_bytes, throttle) != md5:
        await target.delete_many([target_id])
        raise StorageError("InternalError", f"The copy of a blob in {target.name} differs from it in {source.name}.")
    return Copied(found.size_bytes, md5)


def _moved(description: BlobDescription, source_id: str) -> BlobDescription:
    """The keys of an encrypted blob were derived from the id it was first written under: the copy must know that."""
    if not description.encryption:
        return description
    document = {"origins": [source_id], **json.loads(description.encryption)}
    return replace(description, encryption=json.dumps(document))


async def digest_of(store: BlobStore, blob_id: str, size_bytes: int, throttle: Throttle) -> bytes:
    """The MD5 of what a store gives back. Raises FileNotFoundError, StorageError."""
    digester = Digester((_DIGEST,))
    reader = await store.open(blob_id, 0, size_bytes)
    try:
        async for piece in reader:
            await throttle.pass_bytes(len(piece))
            digester.update(piece)
    finally:
        await reader.close()
    return digester.digests()[_DIGEST]
