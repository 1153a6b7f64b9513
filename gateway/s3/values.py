"""Scalar values between the wire and the dataclasses: numbers, booleans, instants, enumerations.

Readers raise StorageError with AWS's words for a bad value of a header or query parameter; XML has its own rule
(MalformedXML) and calls the ``strict_*`` functions, which raise ValueError.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final

from gateway.errors import StorageError
from gateway.s3.model import Kind, Location, Member, Shape
from gateway.wire.addressing import parse_copy_source
from gateway.wire.conditions import parse_http_date
from gateway.wire.headers import http_date, safe_value

Reader = Callable[[str], Any]

# Must not stand in a header (RFC 9110 §5.5); tab may.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_QUERY_INTEGER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_XML_INTEGER: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_EPOCH: Final = re.compile(r"[0-9]{1,11}(\.[0-9]{1,6})?", re.ASCII)
_ISO8601: Final = re.compile(
    r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII | re.IGNORECASE
)

# Bounds and words of API_ListObjectsV2, API_ListParts, API_UploadPart as S3 answers them.
_RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "max-annotation-results": (1, 1000),
    "max-buckets": (1, 10_000),
    "max-keys": (0, 2**31 - 1),
    "max-parts": (0, 2**31 - 1),
    "max-uploads": (0, 2**31 - 1),
    "part-number-marker": (0, 2**31 - 1),
    "partNumber": (1, 10_000),
    "x-amz-max-parts": (0, 2**31 - 1),
    "x-amz-part-number-marker": (0, 2**31 - 1),
}
_PART_NUMBER_MESSAGE: Final = "Part number must be an integer between 1 and 10000, inclusive"

# What S3 says about an unknown word, by the name of the header or parameter; anything else is a plain InvalidArgument.
_ENUM_ERRORS: Final[Mapping[str, tuple[str, str | None]]] = {
    "encoding-type": ("InvalidArgument", "Invalid Encoding Method specified in Request"),
    "x-amz-checksum-algorithm": ("InvalidRequest", "Checksum algorithm provided is unsupported."),
    "x-amz-checksum-type": ("InvalidRequest", "Value for x-amz-checksum-type header is invalid."),
    "x-amz-metadata-directive": ("InvalidArgument", "Unknown metadata directive."),
    "x-amz-object-annotation-directive": ("InvalidArgument", "Unknown annotation directive."),
    "x-amz-object-attributes": ("InvalidArgument", "Invalid attribute name specified."),
    "x-amz-object-lock-legal-hold": ("InvalidArgument", "Legal Hold must be either of 'ON' or 'OFF'"),
    "x-amz-object-lock-mode": ("InvalidArgument", "Unknown wormMode directive."),
    "x-amz-sdk-checksum-algorithm": ("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid."),
    "x-amz-server-side-encryption": ("InvalidArgument", "The encryption method specified is not supported"),
    "x-amz-storage-class": ("InvalidStorageClass", None),
    "x-amz-tagging-directive": ("InvalidArgument", "Unknown tagging directive."),
}
# Names of algorithms and modes that SDKs send in either case.
_ANY_CASE: Final = frozenset({"x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-sdk-checksum-algorithm"})


def invalid_argument(name: str, value: str, message: str | None = None) -> StorageError:
    """S3's InvalidArgument with the argument it is about."""
    return StorageError("InvalidArgument", message, ArgumentName=name, ArgumentValue=value[:1024])


# --- readers of headers and query parameters -----------------------------------------------------------------


def reader(member: Member) -> Reader:
    """How the text of one header or query parameter becomes the value of its field.

    A reader returns None for a value that counts as absent (an unreadable conditional date, an empty number). It
    raises StorageError: InvalidArgument, InvalidRequest, InvalidStorageClass, and what the copy source may raise.
    """
    shape, name = member.shape, member.wire_name
    if shape.name == "CopySource":
        return lambda text: parse_copy_source(text.encode("utf-8"))
    match shape.kind:
        case Kind.INTEGER:
            return _integer_reader(name, shape)
        case Kind.BOOLEAN:
            return _boolean_reader(name)
        case Kind.TIMESTAMP:
            return _timestamp_reader(name, shape)
        case Kind.LIST:
            return _list_reader(name, shape)
    if shape.enum:
        return _enum_reader(name, shape.enum)
    if name == "versionId":
        return _version_reader
    if member.location is Location.HEADER or name.startswith("response-"):
        return _header_text_reader(name)
    return str


def _header_text_reader(name: str) -> Reader:
    def read(text: str) -> str:
        safe_value(text, name)
        return text

    return read


def _integer_reader(name: str, shape: Shape) -> Reader:
    low, high = _RANGES.get(name, (0, shape.maximum or 2**63 - 1))

    def read(text: str) -> int | None:
        text = text.strip()
        if not text and name != "partNumber":
            return None
        number = int(text) if _QUERY_INTEGER.fullmatch(text) else None
        if name == "partNumber" and (number is None or not low <= number <= high):
            raise invalid_argument(name, text, _PART_NUMBER_MESSAGE)
        if number is None or number > 2**63 - 1:
            raise invalid_argument(name, text, f"Provided {name} not an integer or within integer range")
        if number > high and high == shape.maximum:
            raise invalid_argument(name, text, f"Provided {name} not an integer or within integer range")
        if not low <= number <= high:
            raise invalid_argument(name, text, f"Argument {name} must be an integer between {low} and {high}")
        return number

    return read


def _boolean_reader(name: str) -> Reader:
    def read(text: str) -> bool:
        try:
            return strict_boolean(text)
        except ValueError:
            raise invalid_argument(name, text, f"{name} must be true or false") from None

    return read


def _timestamp_reader(name: str, shape: Shape) -> Reader:
    # RFC 9110 §13.1.3: a conditional date that is no date is ignored. S3's own x-amz-if-match-* dates are not such.
    conditional = name.lower().endswith(("-modified-since", "-unmodified-since"))

    def read(text: str) -> datetime | None:
        instant = None if shape.timestamp_format == "iso8601" else parse_http_date(text)
        if instant is None:
            try:
                instant = strict_instant(text)
            except ValueError:
                if conditional:
                    return None
                if shape.timestamp_format == "iso8601":
                    message = "The retain until date must be provided in ISO 8601 format"
                else:
                    message = f"{name} is not a date"
                raise invalid_argument(name, text, message) from None
        return instant

    return read


def _enum_reader(name: str, words: frozenset[str]) -> Reader:
    code, message = _ENUM_ERRORS.get(name, ("InvalidArgument", None))
    any_case = name in _ANY_CASE

    def read(text: str) -> str | None:
        word = text.strip().upper() if any_case else text.strip()
        if word in words:
            return word
        if not word and name == "encoding-type":
            return None
        raise StorageError(code, message, ArgumentName=name, ArgumentValue=text[:1024])

    return read


def _list_reader(name: str, shape: Shape) -> Reader:
    item = shape.item
    read_item = _enum_reader(name, item.enum) if item is not None and item.enum else str

    def read(text: str) -> tuple[Any, ...]:
        return tuple(read_item(part.strip()) for part in text.split(",") if part.strip())

    return read


def _version_reader(text: str) -> str:
    if not text:
        raise invalid_argument("versionId", text, "Version id cannot be the empty string")
    return text


# --- strict values -------------------------------------------------------------------------------------------


def strict_integer(text: str, maximum: int, *, signed: bool = False) -> int:
    """A canonical decimal: no leading zero, and no sign but the minus of a signed one. Raises ValueError."""
    text = text.strip()
    digits = text.removeprefix("-") if signed else text
    if _XML_INTEGER.fullmatch(digits) is None or (number := int(text)) > maximum:
        raise ValueError("not an integer in range")
    return number


def strict_boolean(text: str) -> bool:
    """``true`` or ``false`` in any case. Raises ValueError."""
    word = text.strip().lower()
    if word not in ("true", "false"):
        raise ValueError("not a boolean")
    return word == "true"


def strict_instant(text: str) -> datetime:
    """An aware instant: ISO 8601 (UTC unless it says otherwise), HTTP date or Unix seconds. Raises ValueError."""
    text = text.strip()
    if _ISO8601.fullmatch(text):
        instant = datetime.fromisoformat(text)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else _in_utc(instant)
    if _EPOCH.fullmatch(text):
        return _in_utc(datetime.fromtimestamp(float(text), UTC))
    if (parsed := parse_http_date(text)) is not None:
        return parsed
    raise ValueError("not a date")


def _in_utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("date out of range") from None


# A listing formats a thousand instants; looking the pieces up takes a quarter of the time of isoformat().
_TWO_DIGITS: Final = tuple(f"{number:02d}" for number in range(60))
_MILLISECONDS: Final = tuple(f"{number:03d}" for number in range(1000))


@lru_cache(maxsize=1024)
def _day(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()


def iso8601(instant: datetime) -> str:
    """``2026-11-21T09:25:13.000Z``, S3's form in XML."""
    if instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    return (
        f"{_day(instant.toordinal())}T{_TWO_DIGITS[instant.hour]}:{_TWO_DIGITS[instant.minute]}"
        f":{_TWO_DIGITS[instant.second]}.{_MILLISECONDS[instant.microsecond // 1000]}Z"
    )


def _http_date(instant: datetime) -> bytes:
    return http_date(instant.astimezone(UTC)).encode("ascii")


def _iso8601_bytes(instant: datetime) -> bytes:
    return iso8601(instant).encode("ascii")


def header_bytes(text: str) -> bytes:
    """A header value in UTF-8; a control character that reached the database some other way becomes a space."""
    if not text.isprintable() and _CONTROL.search(text) is not None:
        text = _CONTROL.sub(" ", text)
    return text.encode("utf-8")


def formatter(member: Member) -> Callable[[Any], bytes]:
    """How a field becomes the value of its header."""
    shape = member.shape
    if shape.name == "ETag":
        return lambda etag: header_bytes(f'"{etag}"')
    match shape.kind:
        case Kind.BOOLEAN:
            return lambda flag: b"true" if flag else b"false"
        case Kind.INTEGER:
            return lambda number: b"%d" % number
        case Kind.TIMESTAMP:
            return _iso8601_bytes if shape.timestamp_format == "iso8601" else _http_date
        case Kind.LIST:
            return lambda texts: header_bytes(",".join(texts))
    return lambda value: header_bytes(str(value))
