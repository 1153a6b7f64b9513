"""CopyObject, and opening the source of any copy."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from gateway.blobs.protocol import BlobDescription, CopyingStore
from gateway.context import Call
from gateway.errors import StorageError
from gateway.metadata import objects
from gateway.metadata.records import NO_ATTRIBUTES, Attributes, Checksum, Headers, NewObject, ObjectRecord
from gateway.operations import access, acl, checksums, upload
from gateway.operations.content import open_content
from gateway.operations.objects import NO_WRITE_CONDITION, headers_from, require_source_conditions
from gateway.operations.services import Services
from gateway.operations.shapes import CopyObjectInput, CopyObjectOutput, CopyObjectResult, UploadPartCopyInput
from gateway.telemetry.failpoints import failpoint_async
from gateway.wire.conditions import ReadConditions, WriteCondition, write_condition

_MAX_COPY_BYTES: Final = 5 * 1024 * 1024 * 1024
_ATTEMPTS: Final = 3
_CONCURRENT_PARTS: Final = 8


async def find_source(services: Services, call: Call, asked: CopyObjectInput | UploadPartCopyInput) -> ObjectRecord:
    """The source of a copy, read as the caller, its preconditions checked."""
    source = asked.copy_source
    access.require_null_version(source.version_id, source.key)
    call = call.reading(source.bucket, source.key, source.version_id)
    record = await objects.find_object(services.session, call.scope, source.bucket, source.key)
    if record is None or not record.is_stored:
        raise await access.missing_key(services, call, source.bucket, source.key)
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


async def copy_object(services: Services, call: Call, asked: CopyObjectInput) -> CopyObjectOutput:
    """Copy an object within the tenant (https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html).

    Bytes do not pass through the gateway where the store can copy; onto itself only the row is touched.
    """
    access.refuse_unimplemented_writing(asked)
    condition = write_condition(asked.if_match, asked.if_none_match) or NO_WRITE_CONDITION
    granted, owner_id = await acl.for_new_object(services, call, asked)
    for _ in range(_ATTEMPTS):
        source = await find_source(services, call, asked)
        if source.size_bytes > _MAX_COPY_BYTES:
            raise StorageError(
                "InvalidRequest",
                "The specified copy source is larger than the maximum allowable size for a copy source: "
                f"{_MAX_COPY_BYTES}",
            )
        headers = _headers(asked, source)
        onto_itself = (asked.copy_source.bucket, asked.copy_source.key) == (asked.bucket, asked.key)
        if onto_itself:
            _require_change(asked, source, headers)
            # A copy keeps nothing of its source's ACL and owner.
            same_access = granted is None and source.attributes.acl is None and source.owner_id == owner_id
            if asked.checksum_algorithm is None and same_access:
                modified = await objects.replace_metadata(
                    services.session, call.scope, asked.bucket, asked.key, source, headers, condition
                )
                if modified is None:
                    continue
                return _answer(source.etag, modified, source.checksum)
        size = source.size_bytes
        await objects.probe_put_object(
            services.session, call.scope, asked.bucket, asked.key, owner_id, headers, size, condition
        )
        try:
            new = await _copied(services, call, asked, source, headers)
            attributes = Attributes(acl=granted) if granted is not None else NO_ATTRIBUTES
            new = replace(new, owner_id=owner_id, attributes=attributes)
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
                modified = await objects.put_object(services.session, call.scope, new, final)
        except StorageError as error:
            if (
                onto_itself
                and condition == NO_WRITE_CONDITION
                and error.code.name in ("PreconditionFailed", "NoSuchKey")
            ):
                continue
            raise
        await failpoint_async("copy.after_commit")
        return _answer(new.etag, modified, new.checksum)
    raise StorageError("ConditionalRequestConflict")


async def _copied(
    services: Services, call: Call, asked: CopyObjectInput, source: ObjectRecord, headers: Headers
) -> NewObject:
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
    )
    describe = upload.describe(call, asked.bucket, asked.key, version, headers)
    algorithm = asked.checksum_algorithm
    another_checksum = algorithm is not None and (source.checksum is None or source.checksum.algorithm != algorithm)
    if not another_checksum and source.content is None:
        store = services.blobs.named(source.backend)
        if store is services.blobs.default and isinstance(store, CopyingStore):
            epoch = services.blobs.epoch.number
            sources = source.part_blobs or ((source.blob_id,) if source.blob_id else ())
            targets = tuple(services.blobs.new_blob_id() for _ in sources)
            await _copy_blobs(services, store, sources, targets, describe(source.etag))
            placed = replace(new, epoch=epoch, backend=store.name)
            if source.part_blobs:
                return replace(
                    placed, part_blobs=targets, part_sizes=source.part_sizes, part_checksums=source.part_checksums
                )
            return replace(placed, blob_id=targets[0])
    if source.content is not None and not another_checksum:
        return new
    reader = await open_content(services, source, 0, source.size_bytes)
    wanted = checksums.digest_name(algorithm) if algorithm else checksums.DEFAULT_ALGORITHM
    received = await upload.receive_copy(services, reader, describe, (wanted,))
    return replace(
        new,
        content=None,
        etag=received.etag,
        epoch=received.epoch,
        backend=received.backend,
        blob_id=received.blob_id,
        checksum=checksums.full_object(wanted, received.digests[wanted]),
    )


async def _copy_blobs(
    services: Services,
    store: CopyingStore,
    sources: Sequence[str],
    targets: Sequence[str],
    description: BlobDescription,
) -> None:
    limit = asyncio.Semaphore(_CONCURRENT_PARTS)

    async def copy_one(source_id: str, target_id: str) -> None:
        async with limit:
            await store.copy(source_id, target_id, description)

    try:
        async with asyncio.TaskGroup() as group:
            for source_id, target_id in zip(sources, targets, strict=True):
                group.create_task(copy_one(source_id, target_id))
    except BaseException as failure:
        services.blobs.doubt(services.blobs.default.name, targets)
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


def _require_change(asked: CopyObjectInput, source: ObjectRecord, headers: Headers) -> None:
    """S3 refuses a copy of an object onto itself that changes nothing."""
    if asked.metadata_directive == "REPLACE" or asked.checksum_algorithm is not None:
        return
    if asked.storage_class is not None or headers.website_redirect_location != source.headers.website_redirect_location:
        return
    raise StorageError(
        "InvalidRequest",
        "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
        "metadata, storage class, website redirect location or encryption attributes.",
    )


def _answer(etag: str, modified: datetime, checksum: Checksum | None) -> CopyObjectOutput:
    return CopyObjectOutput(
        copy_object_result=CopyObjectResult(etag=etag, last_modified=modified, **checksums.fields(checksum))
    )
