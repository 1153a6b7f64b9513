"""The multipart family: create, upload and copy parts, complete, abort, list.

A part is an immutable blob; a completed object is a manifest of them, so completing is one metadata transaction
whatever the size (DESIGN §6).
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.context import Call
from gateway.errors import StorageError
from gateway.metadata import multipart, objects
from gateway.metadata.errors import DefaultEncryptionDiffers, OutcomeUnknown
from gateway.metadata.records import Headers, UploadForPart
from gateway.operations import access, acl, checksums, encryption, encryption_headers, expiration, owners, upload
from gateway.operations.completion import MAX_PARTS, chosen_parts, completed, in_order, manifest
from gateway.operations.content import open_content
from gateway.operations.copying import find_source
from gateway.operations.encryption import Cipher, Wanted
from gateway.operations.objects import NO_WRITE_CONDITION, attributes_from, headers_from
from gateway.operations.services import Services
from gateway.operations.shapes import (
    AbortMultipartUploadInput,
    AbortMultipartUploadOutput,
    CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput,
    CopyPartResult,
    CreateMultipartUploadInput,
    CreateMultipartUploadOutput,
    ListPartsInput,
    ListPartsOutput,
    Part,
    UploadPartCopyInput,
    UploadPartCopyOutput,
    UploadPartInput,
    UploadPartOutput,
)
from gateway.telemetry.failpoints import failpoint_async
from gateway.wire.conditions import write_condition
from gateway.wire.ranges import parse_copy_source_range

_PAGE: Final = 1000
_READ_ATTEMPTS: Final = 3
_WRITE_ATTEMPTS: Final = 3
_STANDARD: Final = "STANDARD"


async def create_multipart_upload(
    services: Services, call: Call, asked: CreateMultipartUploadInput
) -> CreateMultipartUploadOutput:
    """Begin an upload; the caller must be allowed to put the key."""
    access.refuse_unimplemented_writing(asked)
    kind = checksums.upload_type(asked.checksum_algorithm, asked.checksum_type)
    granted, owner_id = await acl.for_new_object(services, call, asked)
    attributes = replace(attributes_from(asked), acl=granted)
    wanted = encryption_headers.requested(services.encryption, call, asked)
    defaults = services.encryption.defaults
    upload_id = upload.new_version()
    for attempt in range(_WRITE_ATTEMPTS):
        cipher = encryption.new_cipher(services.encryption, wanted or Wanted.by_default(defaults.get(asked.bucket)))
        try:
            await multipart.create_multipart_upload(
                services.session,
                call.scope,
                upload_id=upload_id,
                bucket=asked.bucket,
                key=asked.key,
                version=upload.new_version(),
                owner_id=owner_id,
                headers=headers_from(asked),
                backend=services.blobs.default.name,
                checksum_algorithm=asked.checksum_algorithm,
                checksum_type=kind,
                attributes=encryption.with_encryption(attributes, cipher),
            )
            break
        except DefaultEncryptionDiffers as differs:
            defaults.note(asked.bucket, differs.default)
            if attempt == _WRITE_ATTEMPTS - 1:
                raise
    return CreateMultipartUploadOutput(
        bucket=asked.bucket,
        key=asked.key,
        upload_id=upload_id,
        checksum_algorithm=asked.checksum_algorithm,
        checksum_type=kind,
        **encryption.answer_written(cipher),
    )


async def upload_part(services: Services, call: Call, asked: UploadPartInput) -> UploadPartOutput:
    """Store one part."""
    _require_part_number(asked.part_number)
    access.refuse_unimplemented_writing(asked)
    limit = services.limits.max_put_bytes
    if asked.body.length is not None and asked.body.length > limit:
        raise StorageError("EntityTooLarge", ProposedSize=str(asked.body.length), MaxSizeAllowed=str(limit))
    customer = encryption_headers.customer_key(services.encryption, call, asked)
    begun = await multipart.probe_part(
        services.session, call.scope, asked.upload_id, asked.bucket, asked.key, asked.body.length
    )
    cipher = encryption.unlock_upload(services.encryption, begun.encryption, customer)
    algorithms = _part_algorithms(begun, asked.body.required_digests)
    received = await upload.receive(
        services,
        asked.body,
        _describe_part(call, asked.bucket, asked.key, begun, asked.part_number, cipher),
        algorithms=algorithms,
        allow_inline=False,
        max_bytes=limit,
        cipher=cipher,
        backend=begun.backend,
    )
    algorithm, value = _part_checksum(begun, received.digests, asked.body.checksum)
    await _record(services, call, asked, begun, received, algorithm, value)
    return UploadPartOutput(
        etag=received.etag,
        **checksums.value_field(algorithm, value),
        **encryption.answer(begun.encryption, customer),
    )


async def upload_part_copy(services: Services, call: Call, asked: UploadPartCopyInput) -> UploadPartCopyOutput:
    """Make a part out of (a range of) an object."""
    _require_part_number(asked.part_number)
    access.refuse_unimplemented_writing(asked)
    customer = encryption_headers.customer_key(services.encryption, call, asked)
    source_customer = encryption_headers.customer_key(services.encryption, call, asked, source=True)
    begun = await multipart.probe_part(services.session, call.scope, asked.upload_id, asked.bucket, asked.key, None)
    cipher = encryption.unlock_upload(services.encryption, begun.encryption, customer)
    for _ in range(_READ_ATTEMPTS):
        source = await find_source(services, call, asked)
        source_cipher = encryption.unlock(services.encryption, source.attributes.encryption, source_customer)
        span = parse_copy_source_range(asked.copy_source_range, source.size_bytes) if asked.copy_source_range else None
        length = span.length_bytes if span else source.size_bytes
        if length > services.limits.max_put_bytes:
            raise StorageError("InvalidRequest", "The specified copy range is larger than the maximum allowable size")
        try:
            reader = await open_content(services, source, span.first if span else 0, length, source_cipher)
        except FileNotFoundError:
            continue
        received = await upload.receive_copy(
            services,
            reader,
            _describe_part(call, asked.bucket, asked.key, begun, asked.part_number, cipher),
            _part_algorithms(begun, frozenset()),
            cipher,
            backend=begun.backend,
        )
        algorithm, value = _part_checksum(begun, received.digests, None)
        modified = await _record(services, call, asked, begun, received, algorithm, value)
        return UploadPartCopyOutput(
            copy_source_version_id=source.version if source.is_versioned else None,
            copy_part_result=CopyPartResult(
                etag=received.etag, last_modified=modified, **checksums.value_field(algorithm, value)
            ),
            **encryption.answer(begun.encryption, customer),
        )
    raise StorageError("ConditionalRequestConflict")


async def complete_multipart_upload(
    services: Services, call: Call, asked: CompleteMultipartUploadInput
) -> CompleteMultipartUploadOutput:
    """Make the object out of its parts; asked again, it says the same again
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html)."""
    wanted = in_order(asked.multipart_upload.parts if asked.multipart_upload else ())
    condition = write_condition(asked.if_match, asked.if_none_match) or NO_WRITE_CONDITION
    customer = encryption_headers.customer_key(services.encryption, call, asked)
    how: dict[str, Any] = {}
    try:
        async with services.session.transaction(call.scope) as transaction:
            begun = await multipart.lock_upload(transaction, asked.upload_id, asked.bucket, asked.key)
            encrypted = begun.attributes.encryption
            encryption.unlock_upload(services.encryption, encrypted, customer)
            how = encryption.answer(encrypted, customer)
            if begun.answer is not None:
                return completed(asked, begun.answer, how)
            parts = chosen_parts(
                wanted, {part.number: part for part in await multipart.all_parts(transaction, asked.upload_id)}
            )
            new = manifest(services, asked, begun, parts)
            await failpoint_async("complete.in_transaction")
            written = await objects.put_object_in(transaction, new, condition)
            answer = {
                "etag": new.etag,
                "checksum": checksums.fields(new.checksum),
                "version_id": written.version_id,
            }
            await multipart.finish_upload(transaction, asked.upload_id, new.part_blobs, answer)
            await failpoint_async("complete.before_commit")
    except OutcomeUnknown:
        earlier = await multipart.completed_answer(
            services.session, call.scope, asked.upload_id, asked.bucket, asked.key
        )
        if earlier is None:
            raise
        return completed(asked, earlier, how)
    await failpoint_async("complete.after_commit")
    return replace(completed(asked, answer, how), expiration=await expiration.of_written(services, new, written))


async def abort_multipart_upload(
    services: Services, call: Call, asked: AbortMultipartUploadInput
) -> AbortMultipartUploadOutput:
    """Give up an upload; its parts are destroyed after the grace period."""
    await failpoint_async("abort.before_commit")
    await multipart.abort_upload(services.session, call.scope, asked.upload_id, asked.bucket, asked.key)
    return AbortMultipartUploadOutput()


async def list_parts(services: Services, call: Call, asked: ListPartsInput) -> ListPartsOutput:
    """The parts of an open upload, by number."""
    limit = min(_PAGE if asked.max_parts is None else asked.max_parts, _PAGE)
    marker = asked.part_number_marker or 0
    begun, found = await multipart.list_parts(
        services.session, call.scope, asked.upload_id, asked.bucket, asked.key, marker, limit + 1
    )
    page = found[:limit]
    known = await owners.names(services, call, (begun.owner_id, begun.initiator_id))
    return ListPartsOutput(
        bucket=asked.bucket,
        key=asked.key,
        upload_id=asked.upload_id,
        part_number_marker=marker,
        next_part_number_marker=page[-1].number if page else marker,
        max_parts=limit,
        is_truncated=len(found) > limit,
        parts=tuple(
            Part(
                part_number=part.number,
                last_modified=part.created_at,
                etag=part.etag,
                size=part.size_bytes,
                **checksums.value_field(part.checksum_algorithm, part.checksum_value),
            )
            for part in page
        ),
        initiator=owners.initiator(call, begun.initiator_id, known),
        owner=owners.owner(call, begun.owner_id, known),
        storage_class=begun.storage_class or _STANDARD,
        checksum_algorithm=begun.checksum_algorithm,
        checksum_type=begun.checksum_type,
    )


async def _record(
    services: Services,
    call: Call,
    asked: UploadPartInput | UploadPartCopyInput,
    begun: UploadForPart,
    received: upload.ReceivedBytes,
    algorithm: str | None,
    value: str | None,
) -> Any:
    if received.blob_id is None or received.backend is None or received.epoch is None:
        raise StorageError("InternalError")
    async with upload.discard_on_refusal(services, received.backend, received.blob_id):
        await failpoint_async("part.before_commit")
        return await multipart.record_part(
            services.session,
            call.scope,
            upload_id=asked.upload_id,
            bucket=asked.bucket,
            key=asked.key,
            part_number=asked.part_number,
            epoch=received.epoch,
            backend=received.backend,
            blob_id=received.blob_id,
            size_bytes=received.size_bytes,
            etag=received.etag,
            checksum_algorithm=algorithm,
            checksum_value=value,
            owner_id=call.principal.subject,
        )


def _require_part_number(number: int) -> None:
    if not 1 <= number <= MAX_PARTS:
        raise StorageError(
            "InvalidArgument",
            f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=str(number),
        )


def _describe_part(
    call: Call, bucket: str, key: str, begun: UploadForPart, number: int, cipher: Cipher | None
) -> upload.Describe:
    return upload.describe(call, bucket, key, f"{begun.version}.{number}", Headers(), cipher)


def _part_algorithms(begun: UploadForPart, sent: frozenset[str]) -> tuple[str, ...]:
    """What to compute for a part beyond what its request asks. Raises InvalidRequest if that asks for another."""
    if begun.checksum_algorithm is None:
        return ()
    expected = checksums.digest_name(begun.checksum_algorithm)
    others = sent - {"md5", "sha256", expected}
    if others:
        actual = min(others)
        raise StorageError(
            "InvalidRequest",
            f"Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {actual}",
        )
    return (expected,)


def _part_checksum(
    begun: UploadForPart, digests: Mapping[str, bytes], sent: tuple[str, str] | None
) -> tuple[str | None, str | None]:
    if begun.checksum_algorithm is not None:
        digest = digests[checksums.digest_name(begun.checksum_algorithm)]
        return begun.checksum_algorithm, b64encode(digest).decode()
    if sent is not None:
        return checksums.s3_name(sent[0]), sent[1]
    return None, None
