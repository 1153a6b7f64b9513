"""What CompleteMultipartUpload asks for, held against the parts there are, and the object that comes of it
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

from gateway.blobs.digest import multipart_etag
from gateway.errors import StorageError
from gateway.metadata.records import Checksum, NewObject, PartRecord, UploadRecord
from gateway.operations import checksums
from gateway.operations.services import Services
from gateway.operations.shapes import CompletedPart, CompleteMultipartUploadInput, CompleteMultipartUploadOutput

MIN_PART_BYTES: Final = 5 * 1024 * 1024
MAX_PARTS: Final = 10_000


def in_order(wanted: Sequence[CompletedPart]) -> Sequence[CompletedPart]:
    """The parts a completion lists, each once: one listed again, because it was sent again, replaces what was said of
    it before. Raises MalformedXML, InvalidArgument, InvalidPartOrder."""
    if not 1 <= len(wanted) <= MAX_PARTS:
        raise StorageError("MalformedXML")
    numbers = [part.part_number for part in wanted]
    for number in numbers:
        if not 1 <= number <= MAX_PARTS:
            raise StorageError(
                "InvalidArgument",
                "PartNumber must be >= 1" if number < 1 else f"PartNumber must be <= {MAX_PARTS}",
                ArgumentName="PartNumber",
                ArgumentValue=str(number),
            )
    if any(later < earlier for earlier, later in pairwise(numbers)):
        raise StorageError("InvalidPartOrder")
    return tuple({part.part_number: part for part in wanted}.values())


def chosen_parts(wanted: Sequence[CompletedPart], stored: Mapping[int, PartRecord]) -> list[PartRecord]:
    """The stored parts a completion names. Raises InvalidPart, EntityTooSmall."""
    chosen = []
    for asked in wanted:
        part = stored.get(asked.part_number)
        etag = asked.etag.strip('"')
        if part is None or part.etag != etag or not _same_checksum(asked, part):
            raise StorageError("InvalidPart", PartNumber=str(asked.part_number), ETag=etag)
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size_bytes < MIN_PART_BYTES:
            raise StorageError(
                "EntityTooSmall",
                ProposedSize=str(part.size_bytes),
                MinSizeAllowed=str(MIN_PART_BYTES),
                PartNumber=str(part.number),
                ETag=part.etag,
            )
    return chosen


def _same_checksum(asked: CompletedPart, part: PartRecord) -> bool:
    sent = checksums.sent(asked)
    if sent is None or part.checksum_algorithm is None:
        return True
    return (checksums.s3_name(sent[0]), sent[1]) == (part.checksum_algorithm, part.checksum_value)


def manifest(
    services: Services,
    asked: CompleteMultipartUploadInput,
    begun: UploadRecord,
    parts: Sequence[PartRecord],
) -> NewObject:
    """The object those parts make. Raises EntityTooLarge, InvalidRequest, BadDigest."""
    size = sum(part.size_bytes for part in parts)
    if size > services.limits.max_object_bytes:
        raise StorageError(
            "EntityTooLarge", ProposedSize=str(size), MaxSizeAllowed=str(services.limits.max_object_bytes)
        )
    if asked.mpu_object_size is not None and asked.mpu_object_size != size:
        raise StorageError(
            "InvalidRequest",
            f"The provided 'x-amz-mp-object-size' header value {asked.mpu_object_size} does not match what was "
            f"computed: {size}",
        )
    checksum = _object_checksum(asked, begun, parts)
    values = tuple(part.checksum_value or "" for part in parts)
    return NewObject(
        bucket=asked.bucket,
        key=asked.key,
        version=begun.version,
        owner_id=begun.owner_id,
        headers=begun.headers,
        size_bytes=size,
        etag=multipart_etag([bytes.fromhex(part.etag) for part in parts]),
        backend=begun.backend,
        part_sizes=tuple(part.size_bytes for part in parts),
        part_blobs=tuple(part.blob_id for part in parts),
        part_checksums=values if checksum else (),
        checksum=checksum,
        attributes=replace(begun.attributes, bucket_default=None, encryption_settled=True),
    )


def _object_checksum(
    asked: CompleteMultipartUploadInput, begun: UploadRecord, parts: Sequence[PartRecord]
) -> Checksum | None:
    if begun.checksum_algorithm is None or begun.checksum_type is None:
        return None
    if asked.checksum_type is not None and asked.checksum_type != begun.checksum_type:
        raise StorageError(
            "InvalidRequest",
            f"The upload was created using the {begun.checksum_type} checksum mode. "
            "The complete request must use the same checksum mode.",
        )
    values = [(part.checksum_value or "", part.size_bytes) for part in parts]
    checksum = checksums.of_parts(begun.checksum_algorithm, begun.checksum_type, values)
    sent = checksums.sent(asked)
    if sent is not None and (
        checksums.s3_name(sent[0]) != checksum.algorithm
        or sent[1].partition("-")[0] != checksum.value.partition("-")[0]
    ):
        raise StorageError("BadDigest", f"The {sent[0]} you specified did not match the calculated checksum.")
    return checksum


def completed(
    asked: CompleteMultipartUploadInput, answer: Mapping[str, Any], how: Mapping[str, Any]
) -> CompleteMultipartUploadOutput:
    """What a completion is answered, now and when it is asked again."""
    return CompleteMultipartUploadOutput(
        location=f"/{asked.bucket}/{asked.key}",
        bucket=asked.bucket,
        key=asked.key,
        etag=answer["etag"],
        version_id=answer.get("version_id"),
        **answer.get("checksum", {}),
        **how,
    )
