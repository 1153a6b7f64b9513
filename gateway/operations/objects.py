"""PutObject, GetObject, HeadObject, GetObjectAttributes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import structlog

from gateway.blobs.protocol import BlobReader
from gateway.context import ANONYMOUS_ROLE, Call
from gateway.errors import StorageError
from gateway.metadata import objects
from gateway.metadata.errors import DefaultEncryptionDiffers
from gateway.metadata.records import NO_ATTRIBUTES, Attributes, Checksum, Headers, NewObject, ObjectRecord
from gateway.operations import (
    access,
    acl,
    checksums,
    encryption,
    encryption_headers,
    expiration,
    object_lock,
    upload,
    versions,
)
from gateway.operations.content import open_content
from gateway.operations.delivery import LocalFile, Wording
from gateway.operations.encryption import Wanted
from gateway.operations.services import Services
from gateway.operations.shapes import Checksum as ChecksumElement
from gateway.operations.shapes import (
    GetObjectAttributesInput,
    GetObjectAttributesOutput,
    GetObjectAttributesParts,
    GetObjectInput,
    GetObjectOutput,
    HeadObjectInput,
    HeadObjectOutput,
    ObjectPart,
    PutObjectInput,
    PutObjectOutput,
)
from gateway.operations.tags import header_tags
from gateway.telemetry.failpoints import failpoint_async
from gateway.wire.conditions import NO_CONDITIONS, ReadConditions, WriteCondition, parse_http_date, write_condition
from gateway.wire.headers import stored_content_encoding
from gateway.wire.ranges import ByteRange, parse_range

_log = structlog.get_logger(__name__)

DEFAULT_CONTENT_TYPE: Final = "binary/octet-stream"
_STANDARD: Final = "STANDARD"
_READ_ATTEMPTS: Final = 3
_WRITE_ATTEMPTS: Final = 3
_NO_CONDITIONS: Final = (None, None, None, None)
_ANSWER_HEADERS: Final = (
    ("cache_control", "ResponseCacheControl"),
    ("content_disposition", "ResponseContentDisposition"),
    ("content_encoding", "ResponseContentEncoding"),
    ("content_language", "ResponseContentLanguage"),
    ("content_type", "ResponseContentType"),
    ("expires", "ResponseExpires"),
)
NO_WRITE_CONDITION: Final = WriteCondition()


async def put_object(
    services: Services, call: Call, asked: PutObjectInput, described: Headers | None = None
) -> PutObjectOutput:
    """Store an object (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html). ``described`` replaces
    what the input says of the object, for doors that know more than S3."""
    access.refuse_unimplemented_writing(asked)
    condition = write_condition(asked.if_match, asked.if_none_match) or NO_WRITE_CONDITION
    headers, attributes = described or headers_from(asked), attributes_from(asked)
    limit = services.limits.max_put_bytes
    if asked.body.length is not None and asked.body.length > limit:
        raise StorageError("EntityTooLarge", ProposedSize=str(asked.body.length), MaxSizeAllowed=str(limit))
    granted, owner_id = await acl.for_new_object(services, call, asked)
    if granted is not None:
        attributes = replace(attributes, acl=granted)
    defaults = services.encryption.defaults
    backend = None
    try:
        wanted = encryption_headers.requested(services.encryption, call, asked)
    except StorageError:
        # A bucket policy that denies such a write is named first, as S3 does.
        if call.principal.role in access.BOUND_ROLES:
            await objects.probe_put_object(
                services.session, call.scope, asked.bucket, asked.key, owner_id, headers, asked.body.length, condition
            )
        raise
    # A stranger's body is not read, nor a 100 Continue sent for it, before it is known to be let in.
    if call.principal.role == ANONYMOUS_ROLE or not upload.is_small(services, asked.body.length):
        place = await objects.probe_put_object(
            services.session, call.scope, asked.bucket, asked.key, owner_id, headers, asked.body.length, condition
        )
        defaults.note(asked.bucket, place.default_encryption)
        limit = limit if place.file_size_limit is None else min(limit, place.file_size_limit)
        backend = place.backend
    cipher = encryption.new_cipher(services.encryption, wanted or Wanted.by_default(defaults.get(asked.bucket)))
    version = upload.new_version()
    has_checksum = bool(asked.body.required_digests - {"md5", "sha256"}) or checksums.sent(asked) is not None
    received = await upload.receive(
        services,
        asked.body,
        upload.describe(call, asked.bucket, asked.key, version, headers, cipher),
        algorithms=() if has_checksum else (checksums.DEFAULT_ALGORITHM,),
        max_bytes=limit,
        cipher=cipher,
        backend=backend,
    )
    checksum: Checksum | None
    if asked.body.checksum is not None:
        algorithm, value = asked.body.checksum
        checksum = Checksum(checksums.s3_name(algorithm), checksums.FULL_OBJECT, value)
    else:
        digest = received.digests.get(checksums.DEFAULT_ALGORITHM)
        checksum = checksums.full_object(checksums.DEFAULT_ALGORITHM, digest) if digest is not None else None
    new = NewObject(
        bucket=asked.bucket,
        key=asked.key,
        version=version,
        owner_id=owner_id,
        headers=headers,
        size_bytes=received.size_bytes,
        etag=received.etag,
        epoch=received.epoch,
        backend=received.backend,
        blob_id=received.blob_id,
        content=received.content,
        checksum=checksum,
        attributes=encryption.with_encryption(attributes, cipher),
    )
    for attempt in range(_WRITE_ATTEMPTS):
        try:
            async with upload.discard_on_refusal(
                services, received.backend, *((received.blob_id,) if received.blob_id else ())
            ):
                await failpoint_async("put.before_commit")
                written = await objects.put_object(services.session, call.scope, new, condition)
            break
        except DefaultEncryptionDiffers as differs:
            defaults.note(asked.bucket, differs.default)
            if received.plaintext is None or attempt == _WRITE_ATTEMPTS - 1:
                raise
            cipher = encryption.new_cipher(services.encryption, Wanted.by_default(differs.default))
            received = received.encrypted(cipher)
            new = replace(
                new,
                etag=received.etag,
                content=received.content,
                attributes=encryption.with_encryption(attributes, cipher),
            )
    await failpoint_async("put.after_commit")
    return PutObjectOutput(
        etag=received.etag,
        version_id=written.version_id,
        expiration=await expiration.of_written(services, new, written),
        **checksums.fields(checksum),
        **encryption.answer_written(cipher),
    )


async def get_object(services: Services, call: Call, asked: GetObjectInput) -> GetObjectOutput:
    """Read an object or a range of it (https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html)."""
    output, _ = await read_object(services, call, asked)
    return output


async def read_object(
    services: Services, call: Call, asked: GetObjectInput, wording: Wording | None = None
) -> tuple[GetObjectOutput, ObjectRecord]:
    """The same with the row, for doors that say other things of an object than S3, as ``wording`` has it.

    Raises StorageError(TemporaryRedirect) where the call lets somebody else answer. The body is then, or may be, a
    ``LocalFile``.
    """
    encryption_headers.refuse_method_on_read(asked)
    customer = encryption_headers.customer_key(services.encryption, call, asked)
    for _ in range(_READ_ATTEMPTS):
        record = await _find(services, call, asked, with_content=True)
        cipher = encryption.unlock(services.encryption, record.attributes.encryption, customer)
        span, selected, status_fields = _selection(asked, record)
        length: int | None = span.length_bytes if span else record.size_bytes
        expires = await expiration.of_record(services, asked.bucket, asked.key, record)
        try:
            file = None if call.handover is None else await _hand_over(services, call, asked, record, wording)
            body: BlobReader
            if file is None:
                body = await open_content(services, record, span.first if span else 0, length or 0, cipher)
            else:
                body, selected, length = file, False, None
        except FileNotFoundError:
            # The row was read before an overwrite and its blob destroyed since; the row as it is now has another.
            continue
        if body.blob_size_bytes != record.size_bytes:
            await body.close()
            break
        fields = _facts(record, asked, whole=not selected)
        output = GetObjectOutput(
            body=body,
            expiration=expires,
            content_length=length,
            content_range=span.content_range(record.size_bytes) if selected and span else None,
            **fields,
            **status_fields,
            **encryption.answer(record.attributes.encryption, customer),
        )
        return output, record
    # Invariant B (reliability): a live row without its exact blob. Never a 404: the object was acknowledged.
    _log.error("blob_missing", bucket=asked.bucket, key=asked.key)
    raise StorageError("InternalError")


async def _hand_over(
    services: Services, call: Call, asked: GetObjectInput, record: ObjectRecord, wording: Wording | None
) -> LocalFile | None:
    """Let somebody else answer, if they would answer the same."""
    if services.delivery is None or call.handover is None:
        return None
    if asked.part_number is not None or asked.checksum_mode == "ENABLED":
        return None
    if wording is None:
        overrides = (
            asked.response_cache_control, asked.response_content_disposition, asked.response_content_encoding,
            asked.response_content_language, asked.response_content_type, asked.response_expires,
        )  # fmt: skip
        plain = asked.version_id is None and not any(overrides)
        wording = Wording(lambda found: _answer_headers(_facts(found, asked, whole=True)), "" if plain else None)
    return await services.delivery.hand_over(call.handover, asked.bucket, asked.key, record, wording)


def _answer_headers(facts: Mapping[str, Any]) -> dict[str, str]:
    """The facts that S3 lets a presigned URL say (API_GetObject, response-* parameters)."""
    expires = facts["expires"]
    readable = expires is None or parse_http_date(expires) is not None
    return {
        parameter: facts[field]
        for field, parameter in _ANSWER_HEADERS
        if facts[field] is not None and (readable or field != "expires")
    }


async def head_object(services: Services, call: Call, asked: HeadObjectInput) -> HeadObjectOutput:
    """What GetObject would say, without the bytes."""
    output, _ = await describe_object(services, call, asked)
    return output


async def describe_object(
    services: Services, call: Call, asked: HeadObjectInput
) -> tuple[HeadObjectOutput, ObjectRecord]:
    """The same with the row."""
    encryption_headers.refuse_method_on_read(asked)
    customer = encryption_headers.customer_key(services.encryption, call, asked)
    record = await _find(services, call, asked, with_content=False)
    encryption.unlock(services.encryption, record.attributes.encryption, customer)
    span, selected, status_fields = _selection(asked, record)
    output = HeadObjectOutput(
        expiration=await expiration.of_record(services, asked.bucket, asked.key, record),
        content_length=span.length_bytes if span else record.size_bytes,
        content_range=span.content_range(record.size_bytes) if selected and span else None,
        **_facts(record, asked, whole=not selected),
        **status_fields,
        **encryption.answer(record.attributes.encryption, customer),
    )
    return output, record


async def get_object_attributes(
    services: Services, call: Call, asked: GetObjectAttributesInput
) -> GetObjectAttributesOutput:
    """Facts of an object, those that were asked for."""
    customer = encryption_headers.customer_key(services.encryption, call, asked)
    record = await versions.find_stored_object(services, call, asked.bucket, asked.key, asked.version_id)
    encryption.unlock(services.encryption, record.attributes.encryption, customer)
    wanted = {name for item in asked.object_attributes for name in item.replace(" ", "").split(",")}
    checksum = record.checksum
    return GetObjectAttributesOutput(
        last_modified=record.updated_at,
        version_id=versions.shown_version_id(record, asked.version_id),
        etag=record.etag if "ETag" in wanted else None,
        checksum=ChecksumElement(**checksums.fields(checksum)) if checksum and "Checksum" in wanted else None,
        object_parts=_attribute_parts(asked, record) if record.part_sizes and "ObjectParts" in wanted else None,
        storage_class=(record.headers.storage_class or _STANDARD) if "StorageClass" in wanted else None,
        object_size=record.size_bytes if "ObjectSize" in wanted else None,
    )


def headers_from(asked: Any) -> Headers:
    """The stored headers of an input record that writes an object."""
    return Headers(
        content_type=asked.content_type or DEFAULT_CONTENT_TYPE,
        cache_control=asked.cache_control,
        content_disposition=asked.content_disposition,
        content_encoding=stored_content_encoding(asked.content_encoding),
        content_language=asked.content_language,
        expires=asked.expires,
        website_redirect_location=asked.website_redirect_location,
        storage_class=asked.storage_class if asked.storage_class != _STANDARD else None,
        user_metadata=asked.metadata,
    )


def attributes_from(asked: Any) -> Attributes:
    """What an input record that writes an object says besides its headers. Raises InvalidArgument, InvalidTag."""
    lock = object_lock.attributes_from(asked)
    return replace(lock, tags=header_tags(asked.tagging)) if asked.tagging is not None else lock


def require_source_conditions(conditions: ReadConditions, record: ObjectRecord) -> None:
    """Preconditions of a copy's source."""
    if conditions != NO_CONDITIONS:
        conditions.check_copy_source(record.etag, record.updated_at)


async def _find(
    services: Services, call: Call, asked: GetObjectInput | HeadObjectInput, *, with_content: bool
) -> ObjectRecord:
    record = await versions.find_stored_object(
        services, call, asked.bucket, asked.key, asked.version_id, with_content=with_content
    )
    given = asked.if_match, asked.if_none_match, asked.if_modified_since, asked.if_unmodified_since
    if given != _NO_CONDITIONS:
        conditions = ReadConditions(*given)
        try:
            conditions.check(record.etag, record.updated_at)
        except StorageError as error:
            if error.code.name == "NotModified":
                raise not_modified(record) from None
            raise
    return record


def not_modified(record: ObjectRecord) -> StorageError:
    """304 with what a cache needs to keep its copy (RFC 9110 §15.4.5)."""
    return StorageError(
        "NotModified",
        etag=f'"{record.etag}"',
        last_modified=record.updated_at.strftime("%a, %d %b %Y %H:%M:%S GMT"),
    )


def _selection(
    asked: GetObjectInput | HeadObjectInput, record: ObjectRecord
) -> tuple[ByteRange | None, bool, dict[str, Any]]:
    """The bytes wanted (None: all), whether that is a part of the object (206), and what else to say."""
    if asked.part_number is None:
        span = parse_range(asked.range, record.size_bytes)
        return span, span is not None, {}
    if asked.range is not None:
        raise StorageError("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    number = asked.part_number
    count = len(record.part_sizes) or 1
    if number > count:
        raise StorageError("InvalidPartNumber", PartNumberRequested=str(number), ActualPartCount=str(count))
    if not record.part_sizes:
        whole = ByteRange(0, record.size_bytes - 1) if record.size_bytes else None
        return whole, whole is not None, {}
    first = sum(record.part_sizes[: number - 1])
    return ByteRange(first, first + record.part_sizes[number - 1] - 1), True, {"parts_count": count}


def _facts(record: ObjectRecord, asked: GetObjectInput | HeadObjectInput, *, whole: bool) -> dict[str, Any]:
    headers = record.headers
    facts: dict[str, Any] = {
        "accept_ranges": "bytes",
        "last_modified": record.updated_at,
        "etag": record.etag,
        "cache_control": asked.response_cache_control or headers.cache_control,
        "content_disposition": asked.response_content_disposition or headers.content_disposition,
        "content_encoding": asked.response_content_encoding or headers.content_encoding,
        "content_language": asked.response_content_language or headers.content_language,
        "content_type": asked.response_content_type or headers.content_type,
        "expires": asked.response_expires or headers.expires,
        "website_redirect_location": headers.website_redirect_location,
        "metadata": headers.user_metadata,
        "storage_class": headers.storage_class,
        "version_id": versions.shown_version_id(record, asked.version_id),
        "tag_count": len(record.attributes.tags) if record.attributes.tags else None,
    }
    if record.attributes is not NO_ATTRIBUTES:
        facts.update(object_lock.fields(record.attributes))
    # A checksum of all bytes must not go with some of them: clients compare it with what they got.
    if asked.checksum_mode == "ENABLED" and record.checksum is not None:
        if whole:
            facts.update(checksums.fields(record.checksum))
        elif asked.part_number is not None and record.part_checksums:
            value = record.part_checksums[asked.part_number - 1]
            facts.update(checksums.fields(replace(record.checksum, value=value)))
    return facts


def _attribute_parts(asked: GetObjectAttributesInput, record: ObjectRecord) -> GetObjectAttributesParts:
    limit = min(1000 if asked.max_parts is None else asked.max_parts, 1000)
    marker = asked.part_number_marker or 0
    count = len(record.part_sizes)
    last = min(marker + limit, count)
    algorithm = record.checksum.algorithm if record.checksum else None
    values = record.part_checksums or (None,) * count
    parts = tuple(
        ObjectPart(
            part_number=number,
            size=record.part_sizes[number - 1],
            **checksums.value_field(algorithm, values[number - 1]),
        )
        for number in range(marker + 1, last + 1)
    )
    return GetObjectAttributesParts(
        total_parts_count=count,
        part_number_marker=marker,
        next_part_number_marker=last,
        max_parts=limit,
        is_truncated=last < count,
        parts=parts,
    )
