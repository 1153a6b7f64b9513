"""Byte ranges of reads (RFC 9110 §14) and of copied parts, as S3 treats them: one range or none."""

import re
from dataclasses import dataclass
from typing import Final

from gateway.errors import StorageError

_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)
_COPY_RANGE: Final = re.compile(r"bytes=([0-9]+)-([0-9]+)")
# Longer digit strings are beyond every object; int() would refuse those over 4,300 digits.
_MAX_DIGITS: Final = 19
_ECHOED_CHARACTERS: Final = 100


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Offsets of the first and the last byte, both included."""

    first: int
    last: int

    @property
    def length_bytes(self) -> int:
        return self.last - self.first + 1

    def content_range(self, size_bytes: int) -> str:
        """The value of ``Content-Range`` for an object of ``size_bytes``."""
        return f"bytes {self.first}-{self.last}/{size_bytes}"


def parse_range(value: str | None, size_bytes: int) -> ByteRange | None:
    """The range of a read, or None for the whole object: when there is no field, when it is malformed, or when it
    asks for several ranges, which S3 does not serve.

    Raises StorageError(InvalidRange) when no byte of it lies in the object (RFC 9110 §14.1.2).
    """
    if value is None or "," in value or (match := _RANGE.fullmatch(value)) is None:
        return None
    first_text, last_text = match.groups()
    if not first_text:
        if not last_text:
            return None
        suffix = _number(last_text)
        if suffix == 0 or size_bytes == 0:
            raise _unsatisfiable(value, size_bytes)
        return ByteRange(max(0, size_bytes - suffix), size_bytes - 1)
    first = _number(first_text)
    last = _number(last_text) if last_text else max(first, size_bytes - 1)
    if last < first:
        return None
    if first >= size_bytes:
        raise _unsatisfiable(value, size_bytes)
    return ByteRange(first, min(last, size_bytes - 1))


def parse_copy_source_range(value: str, size_bytes: int) -> ByteRange:
    """``x-amz-copy-source-range`` of a source of ``size_bytes``. Only ``bytes=first-last`` within the source is
    allowed (https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html).

    Raises StorageError: InvalidArgument when malformed, InvalidRange when it leaves the source.
    """
    match = _COPY_RANGE.fullmatch(value)
    first, last = (_number(match.group(1)), _number(match.group(2))) if match is not None else (1, 0)
    if last < first:
        raise StorageError(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=value[:_ECHOED_CHARACTERS],
        )
    if last >= size_bytes:
        raise _unsatisfiable(value, size_bytes)
    return ByteRange(first, last)


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return 10**_MAX_DIGITS if len(significant) > _MAX_DIGITS else int(significant or "0")


def _unsatisfiable(value: str, size_bytes: int) -> StorageError:
    return StorageError("InvalidRange", ActualObjectSize=str(size_bytes), RangeRequested=value[:_ECHOED_CHARACTERS])
