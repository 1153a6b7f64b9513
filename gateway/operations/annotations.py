"""PutObjectAnnotation, GetObjectAnnotation, ListObjectAnnotations, DeleteObjectAnnotation, and annotations of copies
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/annotations-overview.html).

An annotation is a named UTF-8 text of 1 byte to 1 MiB that belongs to one version of an object. It is encrypted as its
object is, under a key of its own, so that a copy of the object need not encrypt it again.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from gateway.blobs.digest import Digester
from gateway.blobs.readers import BytesReader
from gateway.context import Call
from gateway.encryption.keys import ROW_IDENTITY, SSE_C
from gateway.encryption.stream import seal
from gateway.errors import StorageError
from gateway.metadata import annotations, keyspace, objects
from gateway.metadata.annotations import Annotation
from gateway.metadata.errors import OutcomeUnknown, ReferencedRow
from gateway.metadata.records import Checksum, NewObject, ObjectRecord, Written
from gateway.metadata.session import Transaction
from gateway.operations import checksums, encryption, versions
from gateway.operations.content import open_sealed
from gateway.operations.encryption import Cipher, Wanted
from gateway.operations.services import Services
from gateway.operations.shapes import (
    AnnotationEntry,
    DeleteObjectAnnotationInput,
    DeleteObjectAnnotationOutput,
    GetObjectAnnotationInput,
    GetObjectAnnotationOutput,
    ListObjectAnnotationsInput,
    ListObjectAnnotationsOutput,
    PutObjectAnnotationInput,
    PutObjectAnnotationOutput,
)
from gateway.operations.tokens import decode_token, encode_token
from gateway.wire.addressing import CopySource
from gateway.wire.body import BodyStream
from gateway.wire.conditions import WriteCondition, write_condition

MAX_PAYLOAD_BYTES: Final = 1024 * 1024
_MAX_NAME_BYTES: Final = 512
_MAX_RESULTS: Final = 1000
_ATTEMPTS: Final = 3
_ETAG_DIGEST: Final = "md5"
_RESERVED: Final = ("aws", "s3")
# What an answer's XML cannot hold, and other control characters.
_UNSPEAKABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")

Named = PutObjectAnnotationInput | GetObjectAnnotationInput | ListObjectAnnotationsInput | DeleteObjectAnnotationInput


class SourceReplaced(StorageError):
    """The source of a copy was replaced before its annotations were read: the copy is to be tried again."""

    def __init__(self) -> None:
        super().__init__("ConditionalRequestConflict")


async def put_object_annotation(
    services: Services, call: Call, asked: PutObjectAnnotationInput
) -> PutObjectAnnotationOutput:
    """Attach a text to a version, or replace the one of this name
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectAnnotation.html)."""
    _require_name(asked.annotation_name)
    if_match = _object_condition(asked.object_if_match)
    body = asked.annotation_payload
    if body.length is not None:
        _require_size(body.length)
    # A stranger's body is not read, and one that nobody wants neither.
    record = await _find(services, call, asked)
    payload, digests = await _receive(body)
    checksum = _checksum(body, digests)
    for _ in range(_ATTEMPTS):
        if record.attributes.encryption is not None:
            _require_own_key(record.attributes.encryption["algorithm"])
        new = _sealed(services, record, payload, digests[_ETAG_DIGEST], checksum)
        written = await annotations.put(services.session, call.scope, record, asked.annotation_name, new, if_match)
        if written is not None:
            return PutObjectAnnotationOutput(
                key=asked.key,
                annotation_name=asked.annotation_name,
                object_version_id=versions.shown_version_id(record, asked.version_id),
                etag=new.etag,
                server_side_encryption=_method(new.encryption),
                **checksums.fields(checksum),
            )
        record = await _find(services, call, asked)
    raise StorageError("ConditionalRequestConflict")


async def get_object_annotation(
    services: Services, call: Call, asked: GetObjectAnnotationInput
) -> GetObjectAnnotationOutput:
    """One text (https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAnnotation.html)."""
    _require_name(asked.annotation_name)
    for _ in range(_ATTEMPTS):
        record = await _find(services, call, asked)
        found, is_current = await annotations.find(services.session, call.scope, record, asked.annotation_name)
        if not is_current:
            continue
        if found is None:
            raise StorageError("NoSuchAnnotation", Key=asked.key, AnnotationName=asked.annotation_name)
        payload = _opened(services, found.payload, found.size_bytes, found.encryption, f"annotation of {record.id}")
        return GetObjectAnnotationOutput(
            annotation_payload=BytesReader(payload, found.size_bytes),
            object_version_id=versions.shown_version_id(record, asked.version_id),
            last_modified=found.updated_at,
            content_length=found.size_bytes,
            etag=found.etag,
            server_side_encryption=_method(found.encryption),
            **(checksums.fields(found.checksum) if asked.checksum_mode == "ENABLED" else {}),
        )
    raise StorageError("ConditionalRequestConflict")


async def list_object_annotations(
    services: Services, call: Call, asked: ListObjectAnnotationsInput
) -> ListObjectAnnotationsOutput:
    """What a version is annotated with, by name in byte order
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectAnnotations.html)."""
    prefix = asked.annotation_prefix or ""
    if len(prefix.encode()) > _MAX_NAME_BYTES or _UNSPEAKABLE.search(prefix) is not None:
        raise StorageError("InvalidPrefix")
    after = decode_token(asked.continuation_token) if asked.continuation_token else ""
    names = keyspace.within(prefix, lower=keyspace.after(after) if after else "")
    limit = asked.max_annotation_results or _MAX_RESULTS
    for _ in range(_ATTEMPTS):
        record = await _find(services, call, asked)
        # One more than asked tells whether there is more.
        found = await annotations.list_names(services.session, call.scope, record, names, limit + 1)
        if found is None:
            continue
        page = found[:limit]
        return ListObjectAnnotationsOutput(
            annotations=tuple(
                AnnotationEntry(
                    annotation_name=entry.name,
                    last_modified=entry.updated_at,
                    size=entry.size_bytes,
                    etag=entry.etag,
                    checksum_algorithm=(entry.checksum_algorithm,) if entry.checksum_algorithm else (),
                )
                for entry in page
            ),
            bucket=asked.bucket,
            key=asked.key,
            object_version_id=versions.shown_version_id(record, asked.version_id),
            annotation_prefix=asked.annotation_prefix,
            max_annotation_results=limit,
            annotation_count=len(page),
            continuation_token=asked.continuation_token,
            next_continuation_token=encode_token(page[-1].name) if len(found) > limit else None,
        )
    raise StorageError("ConditionalRequestConflict")


async def delete_object_annotation(
    services: Services, call: Call, asked: DeleteObjectAnnotationInput
) -> DeleteObjectAnnotationOutput:
    """Take a text away for good; there need not be one
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjectAnnotation.html)."""
    _require_name(asked.annotation_name)
    if_match = _object_condition(asked.object_if_match)
    for _ in range(_ATTEMPTS):
        record = await _find(services, call, asked)
        deleted = await annotations.delete(
            services.session,
            call.scope,
            asked.bucket,
            record,
            asked.annotation_name,
            if_match,
            bypass_governance=bool(asked.bypass_governance_retention),
        )
        if deleted is not None:
            return DeleteObjectAnnotationOutput(object_version_id=versions.shown_version_id(record, asked.version_id))
    raise StorageError("ConditionalRequestConflict")


async def put_copy(
    services: Services,
    call: Call,
    source: ObjectRecord,
    address: CopySource,
    new: NewObject,
    condition: WriteCondition,
    cipher: Cipher | None,
) -> Written:
    """Commit a copy and, in the same transaction, its source's annotations. ``address`` is the source's, ``cipher``
    that of the copy.

    Raises what :func:`~gateway.metadata.objects.put_object` raises, and AccessDenied; InvalidRequest for a copy under a
    customer's key; :class:`SourceReplaced`.
    """
    if cipher is not None:
        _require_own_key(cipher.stored.method)
    reading = call.asking("s3:GetObjectAnnotation", address.bucket, address.key)
    writing = call.asking("s3:PutObjectAnnotation", new.bucket, new.key)
    try:
        async with services.session.transaction(call.scope) as transaction:
            taken = await annotations.take(transaction, source, reading.s3_request_json)
            if taken is None:
                raise SourceReplaced
            wanted = _wanted(cipher.stored.document if cipher else None)
            if wanted != _wanted(source.attributes.encryption):
                await _encrypt_again(services, transaction, taken, wanted)
            written = await objects.put_object_in(transaction, new, condition)
            await annotations.give(transaction, taken, new.bucket, new.key, new.version, writing.s3_request_json)
    except ReferencedRow as error:
        raise StorageError("NoSuchBucket", BucketName=new.bucket) from error
    except OutcomeUnknown:
        return await objects.find_written(services.session, call.scope, new)
    return written


async def _encrypt_again(services: Services, transaction: Transaction, taken: UUID, wanted: Wanted | None) -> None:
    """One at a time: together they may be a gigabyte."""
    name = ""
    while (found := await annotations.next_taken(transaction, taken, name)) is not None:
        name = found.name
        payload = _opened(services, found.payload, found.size_bytes, found.encryption, "annotation of a copy's source")
        cipher = encryption.new_cipher(services.encryption, wanted)
        await annotations.replace_taken(
            transaction, taken, name, _seal(cipher, payload), cipher.stored.document if cipher else None
        )


async def _find(services: Services, call: Call, asked: Named) -> ObjectRecord:
    return await versions.find_stored_object(services, call, asked.bucket, asked.key, asked.version_id)


async def _receive(body: BodyStream) -> tuple[bytes, Mapping[str, bytes]]:
    """The verified text and its digests. Raises EntityTooLarge, InvalidRequest, UnsupportedMediaType, and what reading
    and verifying raise."""
    digester = Digester({_ETAG_DIGEST, checksums.DEFAULT_ALGORITHM, *body.required_digests})
    received = bytearray()
    async for piece in body:
        digester.update(piece)
        received += piece
        if len(received) > MAX_PAYLOAD_BYTES:
            _require_size(len(received))
    digests = digester.digests()
    body.verify(digests, len(received))
    _require_size(len(received))
    payload = bytes(received)
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        raise StorageError("UnsupportedMediaType") from None
    return payload, digests


def _checksum(body: BodyStream, digests: Mapping[str, bytes]) -> Checksum:
    if body.checksum is None:
        return checksums.full_object(checksums.DEFAULT_ALGORITHM, digests[checksums.DEFAULT_ALGORITHM])
    algorithm, value = body.checksum
    return Checksum(checksums.s3_name(algorithm), checksums.FULL_OBJECT, value)


def _sealed(services: Services, record: ObjectRecord, payload: bytes, md5: bytes, checksum: Checksum) -> Annotation:
    """The text as it is kept beside this version, encrypted as that is."""
    cipher = encryption.new_cipher(services.encryption, _wanted(record.attributes.encryption))
    has_md5_etag = cipher is None or cipher.has_md5_etag
    return Annotation(
        payload=_seal(cipher, payload),
        size_bytes=len(payload),
        etag=md5.hex() if has_md5_etag else secrets.token_hex(16),
        checksum=checksum,
        encryption=cipher.stored.document if cipher else None,
    )


def _seal(cipher: Cipher | None, payload: bytes) -> bytes:
    return payload if cipher is None else seal(cipher.key.stream_key(ROW_IDENTITY), payload)


def _opened(services: Services, payload: bytes, size_bytes: int, stored: Mapping[str, Any] | None, what: str) -> bytes:
    cipher = encryption.unlock(services.encryption, stored, None)
    return payload if cipher is None else open_sealed(payload, size_bytes, cipher, what)


def _wanted(stored: Mapping[str, Any] | None) -> Wanted | None:
    """What encrypts an annotation as this object is encrypted."""
    if stored is None:
        return None
    return Wanted(stored["algorithm"], stored.get("kms_key_id"), stored.get("kms_context"))


def _method(stored: Mapping[str, Any] | None) -> str | None:
    return stored["algorithm"] if stored is not None else None


def _require_own_key(method: str) -> None:
    if method == SSE_C:
        raise StorageError("InvalidRequest", "Objects encrypted with customer provided keys cannot have annotations.")


def _require_name(name: str) -> None:
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise StorageError("AnnotationNameTooLong")
    if not name or name.lower().startswith(_RESERVED) or _UNSPEAKABLE.search(name) is not None:
        raise StorageError("InvalidAnnotationName")


def _require_size(size_bytes: int) -> None:
    if size_bytes > MAX_PAYLOAD_BYTES:
        raise StorageError("EntityTooLarge", ProposedSize=str(size_bytes), MaxSizeAllowed=str(MAX_PAYLOAD_BYTES))
    if size_bytes == 0:
        raise StorageError("InvalidRequest", "The annotation payload must be between 1 byte and 1 MiB in size.")


def _object_condition(text: str | None) -> str | None:
    condition = write_condition(text, None)
    return condition.if_match if condition is not None else None
