"""CopyObject, and opening the source of any copy."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from gateway.blobs.protocol import BlobDescription, CopyingStore
from gateway.context import Call
from gateway.encryption.keys import StoredEncryption
from gateway.errors import StorageError
from gateway.metadata import objects
from gateway.metadata.errors import DefaultEncryptionDiffers
from gateway.metadata.records import NO_ATTRIBUTES, Attributes, Checksum, Headers, NewObject, ObjectRecord, Written
from gateway.operations import (
    access,
    acl,
    annotations,
    checksums,
    encryption,
    encryption_headers,
    expiration,
    object_lock,
    upload,
    versions,
)
from gateway.operations.content import open_content
from gateway.operations.encryption import Cipher, Wanted
from gateway.operations.objects import NO_WRITE_CONDITION, headers_from, require_source_conditions
from gateway.operations.services import Services
from gateway.operations.shapes import CopyObjectInput, CopyObjectOutput, CopyObjectResult, UploadPartCopyInput
from gateway.operations.tags import header_tags
from gateway.telemetry.failpoints import failpoint_async
from gateway.wire.addressing import CopySource
from gateway.wire.conditions import ReadConditions, WriteCondition, write_condition

_MAX_COPY_BYTES: Final = 5 * 1024 * 1024 * 1024
_ATTEMPTS: Final = 3
_CONCURRENT_PARTS: Final = 8
_WITHOUT_ANNOTATIONS: Final = "EXCLUDE"


async def find_source(services: Services, call: Call, asked: CopyObjectInput | UploadPartCopyInput) -> ObjectRecord:
    """The source of a copy, read as the caller, its preconditions checked."""
    source = asked.copy_source
    call = call.reading(source.bucket, source.key, source.version_id)
    record = await _find_source_version(services, call, source)
    require_source_conditions(
        ReadConditions(
            asked.copy_source_if_match,
            asked.copy_source_if_none_match,
            asked.copy_source_if_modified_since,
            asked.copy_source_if_unmodified_since,
        ),
        record,
    )
    return record


async def _find_source_version(services: Services, call: Call, source: CopySource) -> ObjectRecord:
    try:
        return await versions.find_stored_object(
            services, call, source.bucket, source.key, source.version_id, with_content=True
        )
    except StorageError as error:
        if error.code.name == "MethodNotAllowed":
            raise StorageError(
                "InvalidRequest",
                "The source of a copy request may not specifically refer to a delete marker by version id.",
            ) from error
        raise


async def copy_object(services: Services, call: Call, asked: CopyObjectInput) -> CopyObjectOutput:
    """Copy an object within the tenant (https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html).

    Bytes do not pass through the gateway where the store can copy; onto itself only the row is touched.
    """
    access.refuse_unimplemented_writing(asked)
    condition = write_condition(asked.if_match, asked.if_none_match) or NO_WRITE_CONDITION
    granted, owner_id = await acl.for_new_object(services, call, asked)
    wanted = encryption_headers.requested(services.encryption, call, asked)
    source_customer = encryption_headers.customer_key(services.encryption, call, asked, source=True)
    new_tags = (header_tags(asked.tagging) or {}) if asked.tagging_directive == "REPLACE" else None
    kept = replace(object_lock.attributes_from(asked), acl=granted)
    for _ in range(_ATTEMPTS):
        source = await find_source(services, call, asked)
        source_cipher = encryption.unlock(services.encryption, source.attributes.encryption, source_customer)
        if source.size_bytes > _MAX_COPY_BYTES:
            raise StorageError(
                "InvalidRequest",
                "The specified copy source is larger than the maximum allowable size for a copy source: "
                f"{_MAX_COPY_BYTES}",
            )
        headers = _headers(asked, source)
        # A version named as the source may be an old one that is to be current again.
        onto_itself = asked.copy_source == CopySource(asked.bucket, asked.key, None)
        if onto_itself:
            _require_change(asked, source, headers)
            if _touches_row_only(asked, source, kept, owner_id, wanted, source_customer):
                try:
                    replaced = await objects.replace_metadata(
                        services.session, call.scope, asked.bucket, asked.key, source, headers, new_tags, condition
                    )
                except DefaultEncryptionDiffers:
                    pass  # a plain object in a bucket that encrypts by now: its bytes are written again
                else:
                    modified, revision = replaced.modified, replaced.lifecycle_revision
                    if modified is not None:
                        return await _touched(services, asked, source, modified, revision, new_tags, source_cipher)
                    if not replaced.keeps_versions:
                        continue
        size = source.size_bytes
        place = await objects.probe_put_object(
            services.session, call.scope, asked.bucket, asked.key, owner_id, headers, size, condition
        )
        try:
            target = wanted or Wanted.by_default(place.default_encryption)
            if target is None and onto_itself:
                target = Wanted.as_stored(source_cipher)
            new, cipher = await _copied(
                services, call, asked, source, source_cipher, headers, new_tags, kept, target, place.backend
            )
            new = replace(new, owner_id=owner_id)
        except FileNotFoundError:
            # The source was overwritten and its blob destroyed between reading the row and the bytes.
            continue
        blobs = new.part_blobs or ((new.blob_id,) if new.blob_id else ())
        try:
            async with upload.discard_on_refusal(services, new.backend, *blobs):
                await failpoint_async("copy.before_commit")
                # Onto itself, a copy of bytes that were replaced meanwhile would undo the other write.
                final = (
                    WriteCondition(if_match=source.etag)
                    if onto_itself and condition == NO_WRITE_CONDITION
                    else condition
                )
                if source.attributes.is_annotated and asked.annotation_directive != _WITHOUT_ANNOTATIONS:
                    written = await annotations.put_copy(services, call, source, asked.copy_source, new, final, cipher)
                else:
                    written = await objects.put_object(services.session, call.scope, new, final)
        except (DefaultEncryptionDiffers, annotations.SourceReplaced):
            continue
        except StorageError as error:
            if (
                onto_itself
                and condition == NO_WRITE_CONDITION
                and error.code.name in ("PreconditionFailed", "NoSuchKey")
            ):
                continue
            raise
        await failpoint_async("copy.after_commit")
        expires = await expiration.of_written(services, new, written)
        return _answer(source, new.etag, written, new.checksum, cipher, expires)
    raise StorageError("ConditionalRequestConflict")


async def _touched(
    services: Services,
    asked: CopyObjectInput,
    source: ObjectRecord,
    modified: datetime,
    lifecycle_revision: int | None,
    new_tags: Mapping[str, str] | None,
    cipher: Cipher | None,
) -> CopyObjectOutput:
    changed = replace(
        source,
        updated_at=modified,
        attributes=source.attributes if new_tags is None else replace(source.attributes, tags=new_tags),
        lifecycle_revision=lifecycle_revision,
    )
    expires = await expiration.of_record(services, asked.bucket, asked.key, changed)
    return _answer(source, source.etag, Written(modified), source.checksum, cipher, expires)


async def _copied(
    services: Services,
    call: Call,
    asked: CopyObjectInput,
    source: ObjectRecord,
    source_cipher: Cipher | None,
    headers: Headers,
    new_tags: Mapping[str, str] | None,
    lock: Attributes,
    wanted: Wanted | None,
    backend: str | None,
) -> tuple[NewObject, Cipher | None]:
    """The copy, its bytes durable, and what it is encrypted with. The bytes are shared where its encryption allows."""
    version = upload.new_version()
    new = NewObject(
        bucket=asked.bucket,
        key=asked.key,
        version=version,
        owner_id=call.principal.subject,
        headers=headers,
        size_bytes=source.size_bytes,
        etag=source.etag,
        content=source.content,
        checksum=source.checksum,
        attributes=replace(lock, tags=source.attributes.tags if new_tags is None else new_tags),
    )
    algorithm = asked.checksum_algorithm
    another_checksum = algorithm is not None and (source.checksum is None or source.checksum.algorithm != algorithm)
    blob_ids = source.part_blobs or ((source.blob_id,) if source.blob_id else ())
    plain = source_cipher is None and wanted is None
    shared = None
    if blob_ids and source_cipher is not None and wanted is not None:
        shared = encryption.shared_cipher(services.encryption, source_cipher, wanted, blob_ids)
    if not another_checksum and blob_ids and (plain or shared is not None):
        store = services.blobs.named(source.backend)
        if store is services.blobs.for_writing(backend) and isinstance(store, CopyingStore):
            epoch = services.blobs.epoch.number
            targets = tuple(services.blobs.new_blob_id() for _ in blob_ids)
            description = upload.describe(call, asked.bucket, asked.key, version, headers)(source.etag)
            await _copy_blobs(
                services, store.name, store, blob_ids, targets, description, shared.stored if shared else None
            )
            attributes = encryption.with_encryption(new.attributes, shared)
            placed = replace(new, epoch=epoch, backend=store.name, attributes=attributes)
            if source.part_blobs:
                return replace(
                    placed, part_blobs=targets, part_sizes=source.part_sizes, part_checksums=source.part_checksums
                ), shared
            return replace(placed, blob_id=targets[0]), shared
    if source.content is not None and not another_checksum and plain:
        return new, None
    cipher = encryption.new_cipher(services.encryption, wanted)
    reader = await open_content(services, source, 0, source.size_bytes, source_cipher)
    digest = checksums.digest_name(algorithm) if algorithm else _full_object_digest(source.checksum)
    received = await upload.receive_copy(
        services,
        reader,
        upload.describe(call, asked.bucket, asked.key, version, headers, cipher),
        (digest,),
        cipher,
        allow_inline=True,
        backend=backend,
    )
    return replace(
        new,
        content=received.content,
        etag=received.etag,
        epoch=received.epoch,
        backend=received.backend,
        blob_id=received.blob_id,
        checksum=checksums.full_object(digest, received.digests[digest]),
        attributes=encryption.with_encryption(new.attributes, cipher),
    ), cipher


def _full_object_digest(checksum: Checksum | None) -> str:
    """The checksum a copy is given whose bytes were written again: its source's, if that is one of all bytes."""
    if checksum is None or checksum.type != checksums.FULL_OBJECT:
        return checksums.DEFAULT_ALGORITHM
    return checksums.digest_name(checksum.algorithm)


async def _copy_blobs(
    services: Services,
    backend: str,
    store: CopyingStore,
    sources: Sequence[str],
    targets: Sequence[str],
    description: BlobDescription,
    stored: StoredEncryption | None,
) -> None:
    limit = asyncio.Semaphore(_CONCURRENT_PARTS)

    async def copy_one(source_id: str, target_id: str, origin: str) -> None:
        async with limit:
            encrypted = encryption.describe(replace(stored, origins=(origin,))) if stored else ""
            await store.copy(source_id, target_id, replace(description, encryption=encrypted))

    try:
        async with asyncio.TaskGroup() as group:
            origins = stored.origins if stored else sources
            for source_id, target_id, origin in zip(sources, targets, origins, strict=True):
                group.create_task(copy_one(source_id, target_id, origin))
    except BaseException as failure:
        services.blobs.doubt(backend, targets)
        # An except* clause would raise a group again, which nobody awaits.
        raise (failure.exceptions[0] if isinstance(failure, BaseExceptionGroup) else failure) from None


def _headers(asked: CopyObjectInput, source: ObjectRecord) -> Headers:
    directive = asked.metadata_directive or "COPY"
    if directive == "REPLACE":
        return headers_from(asked)
    kept = source.headers
    return replace(
        kept,
        # These two are never taken over: they belong to the request.
        storage_class=asked.storage_class if asked.storage_class != "STANDARD" else None,
        website_redirect_location=asked.website_redirect_location,
    )


def _touches_row_only(
    asked: CopyObjectInput,
    source: ObjectRecord,
    kept: Attributes,
    owner_id: str | None,
    wanted: Wanted | None,
    customer: object | None,
) -> bool:
    """May a copy onto itself leave the bytes, and the version, as they are? It keeps nothing of its source's ACL and
    owner."""
    return (
        asked.checksum_algorithm is None
        and kept == NO_ATTRIBUTES
        and source.attributes.acl is None
        and source.owner_id == owner_id
        and not source.is_versioned
        and not (source.attributes.is_annotated and asked.annotation_directive == _WITHOUT_ANNOTATIONS)
        and wanted is None
        and customer is None
    )


def _require_change(asked: CopyObjectInput, source: ObjectRecord, headers: Headers) -> None:
    """S3 refuses a copy of an object onto itself that changes nothing."""
    if asked.metadata_directive == "REPLACE" or asked.checksum_algorithm is not None:
        return
    if asked.server_side_encryption is not None or asked.sse_customer_algorithm is not None:
        return
    if asked.storage_class is not None or headers.website_redirect_location != source.headers.website_redirect_location:
        return
    raise StorageError(
        "InvalidRequest",
        "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
        "metadata, storage class, website redirect location or encryption attributes.",
    )


def _answer(
    source: ObjectRecord,
    etag: str,
    written: Written,
    checksum: Checksum | None,
    cipher: Cipher | None,
    expires: str | None,
) -> CopyObjectOutput:
    return CopyObjectOutput(
        version_id=written.version_id,
        copy_source_version_id=source.version if source.is_versioned else None,
        expiration=expires,
        copy_object_result=CopyObjectResult(etag=etag, last_modified=written.modified, **checksums.fields(checksum)),
        **encryption.answer_written(cipher),
    )
