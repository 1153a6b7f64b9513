"""An object's bytes, wherever they are: in the row, in one blob, or in the parts of a manifest."""

from collections.abc import Sequence

from gateway.blobs.encrypted import BlobSource, EncryptedBlob, tampered
from gateway.blobs.manifest import ManifestPart, open_manifest
from gateway.blobs.protocol import BlobReader
from gateway.blobs.readers import BytesReader
from gateway.encryption.keys import ROW_IDENTITY
from gateway.encryption.stream import Span, Tampered, open_span, sealed_bytes
from gateway.metadata.records import ObjectRecord
from gateway.operations.encryption import Cipher
from gateway.operations.services import Services


async def open_content(
    services: Services, record: ObjectRecord, offset_bytes: int, length_bytes: int, cipher: Cipher | None = None
) -> BlobReader:
    """Open a range of an object's bytes; ``cipher`` is that of an encrypted one. Raises FileNotFoundError if a blob is
    gone: the row is to be read again. Raises StorageError(InternalError) for bytes that were tampered with."""
    if record.attributes.encryption is not None and cipher is None:
        raise ValueError("an encrypted object is read with its cipher")
    if record.content is not None:
        content = (
            record.content
            if cipher is None
            else open_sealed(record.content, record.size_bytes, cipher, f"row {record.id}")
        )
        return BytesReader(content[offset_bytes : offset_bytes + length_bytes], record.size_bytes)
    if length_bytes == 0:
        return BytesReader(b"", record.size_bytes)
    store = services.blobs.named(record.backend)
    if record.blob_id is not None:
        [source] = sources(store, (record.blob_id,), (record.size_bytes,), cipher)
        return await source.open(record.blob_id, offset_bytes, length_bytes)
    opened = sources(store, record.part_blobs, record.part_sizes, cipher)
    parts = [
        ManifestPart(source, blob_id, size)
        for source, blob_id, size in zip(opened, record.part_blobs, record.part_sizes, strict=True)
    ]
    return await open_manifest(parts, offset_bytes, length_bytes)


def sources(
    store: BlobSource, blob_ids: Sequence[str], sizes: Sequence[int], cipher: Cipher | None
) -> Sequence[BlobSource]:
    """What to read each blob of an object from: the store itself, or it with decryption in between."""
    if cipher is None:
        return (store,) * len(blob_ids)
    origins = cipher.stored.origins or blob_ids
    return [
        EncryptedBlob(store, cipher.executor, cipher.key.stream_key(origin), size)
        for origin, size in zip(origins, sizes, strict=True)
    ]


def open_sealed(content: bytes, size_bytes: int, cipher: Cipher, what: str) -> bytes:
    """The plaintext of bytes kept in a row. Raises StorageError(InternalError), and logs ``what``, for bytes that were
    tampered with."""
    try:
        if len(content) != sealed_bytes(size_bytes):
            raise Tampered
        span = Span.of(size_bytes, 0, size_bytes)
        return open_span(cipher.key.stream_key(ROW_IDENTITY), size_bytes, span, content, size_bytes)
    except Tampered:
        raise tampered(what) from None
