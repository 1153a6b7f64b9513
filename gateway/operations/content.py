"""An object's bytes, wherever they are: in the row, in one blob, or in the parts of a manifest."""

from gateway.blobs.manifest import ManifestPart, open_manifest
from gateway.blobs.protocol import BlobReader
from gateway.blobs.readers import BytesReader
from gateway.metadata.records import ObjectRecord
from gateway.operations.services import Services


async def open_content(services: Services, record: ObjectRecord, offset_bytes: int, length_bytes: int) -> BlobReader:
    """Open a range of an object's bytes. Raises FileNotFoundError if a blob is gone: the row is to be read again."""
    if record.content is not None:
        return BytesReader(record.content[offset_bytes : offset_bytes + length_bytes], record.size_bytes)
    if length_bytes == 0:
        return BytesReader(b"", record.size_bytes)
    store = services.blobs.named(record.backend)
    if record.blob_id is not None:
        return await store.open(record.blob_id, offset_bytes, length_bytes)
    parts = [
        ManifestPart(store, blob_id, size) for blob_id, size in zip(record.part_blobs, record.part_sizes, strict=True)
    ]
    return await open_manifest(parts, offset_bytes, length_bytes)
