"""Requests into typed inputs and outputs into answers, one compiled codec per operation.

Everything is derived from S3's model: which member travels in which header, parameter or element, and how. Parsing
happens here once; handlers see frozen dataclasses only.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from gateway.context import Address, BucketAddress, ObjectAddress
from gateway.errors import StorageError
from gateway.metadata.records import metadata_text
from gateway.operations import shapes
from gateway.s3 import controls, xml
from gateway.s3.model import (
    EMPTY_IS_MALFORMED,
    NOT_ENCODED_AT_ROOT,
    S3_NAMESPACE,
    UNQUOTED_ETAG,
    URL_ENCODED,
    Body,
    Kind,
    Location,
    Member,
    OperationModel,
    Shape,
    Target,
)
from gateway.s3.values import Reader, formatter, header_bytes, invalid_argument, reader
from gateway.wire.headers import MAX_USER_METADATA_BYTES, USER_METADATA_PREFIX, user_metadata
from gateway.wire.request import RawRequest
from gateway.wire.response import Response

Fields = dict[str, Any]

# Query parameters of a presigned URL that are its signature; its other x-amz-* parameters stand for headers.
_SIGNATURE_PARAMETERS: Final = frozenset(
    {
        "x-amz-algorithm",
        "x-amz-content-sha256",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-security-token",
        "x-amz-signature",
        "x-amz-signedheaders",
    }
)
# Headers that change what S3 does; whether they may be repeated is the request's own rule. Others are merely joined.
_SIGNIFICANT: Final = ("content-", "expires", "if-", "range", "x-amz-")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_XML_TYPE: Final = (b"content-type", b"application/xml")
_JSON_TYPE: Final = (b"content-type", b"application/json")


def effective_headers(request: RawRequest) -> dict[str, str]:
    """The headers by lower-case name, with those a presigned URL carries in its query (``X-Amz-Copy-Source=…``).

    Raises StorageError(InvalidRequest) for repeated single-value headers and for a header that says something else
    than the signed query.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.headers:
        name = raw_name.decode("latin-1")
        if name not in headers:
            headers[name] = raw_value.decode("ascii") if raw_value.isascii() else _decoded(raw_value)
        elif name.startswith(_SIGNIFICANT):
            headers[name] = request.header(raw_name) or ""
        else:
            headers[name] += f",{_decoded(raw_value)}"
    if b"X-Amz-Signature=" in request.raw_query:
        for parameter, value in request.query:
            name = parameter.lower()
            if not name.startswith("x-amz-") or name in _SIGNATURE_PARAMETERS:
                continue
            if headers.setdefault(name, value) != value:
                raise StorageError("InvalidRequest", f"{name} was given twice with different values.")
    return headers


def _decoded(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


@dataclass(frozen=True, slots=True)
class _Reading:
    """One header or query member, ready to be read."""

    field: str
    argument: str
    read: Reader
    required: bool


class OperationCodec:
    """Reads the inputs and writes the outputs of one operation."""

    def __init__(self, model: OperationModel) -> None:
        self.model: Final = model
        self._input = shapes.INPUTS[model.name]
        members = model.input.members
        self._headers = _readings(members, Location.HEADER, str.lower)
        self._query = _readings(members, Location.QUERY, str)
        self._required = [each for each in (*self._query.values(), *self._headers.values()) if each.required]
        self._metadata = next((m.field for m in members if m.location is Location.METADATA), None)
        self._uri = [(m.field, m.name) for m in members if m.location is Location.URI]
        self._payload = next((m for m in members if m.name == model.input.payload), None)
        self.stream_field: Final = self._payload.field if self._payload is not None else "body"
        self._read_document = (
            xml.element_reader(self._payload.shape) if self._payload is not None and model.body is Body.XML else None
        )
        written = [member for member in model.output.members if member.location is Location.HEADER]
        self._written = _attributes([member.field for member in written])
        self._write_headers = [(member.wire_name.lower().encode("ascii"), formatter(member)) for member in written]
        self._has_range = any(member.field == "content_range" for member in written)
        self._write_metadata = next((m.field for m in model.output.members if m.location is Location.METADATA), None)
        self._streamed = _payload_field(model.output, Kind.BLOB)
        self._text = _payload_field(model.output, Kind.STRING)
        self._write_document, self._write_url_encoded = _document_writers(model)

    # --- requests ----------------------------------------------------------------------------------------

    def read_head(self, request: RawRequest, address: Address, headers: Mapping[str, str]) -> Fields:
        """The fields that the head of a request gives; ``headers`` are its :func:`effective_headers`.

        Raises StorageError: InvalidArgument, InvalidRequest, MetadataTooLarge and what single values may raise.
        """
        fields: Fields = {}
        for field, name in self._uri:
            fields[field] = _bucket(address) if name == "Bucket" else _key(address)
        # What was sent is less than what could have been.
        if request.raw_query:
            _read(self._query, self._query_values(request), fields)
        _read(self._headers, headers, fields)
        for reading in self._required:
            if reading.field not in fields:
                raise _missing(reading)
        if self._metadata is not None:
            found = [(name, value) for name, value in headers.items() if name.startswith(USER_METADATA_PREFIX)]
            fields[self._metadata] = user_metadata(found) if found else {}
        return fields

    def _query_values(self, request: RawRequest) -> dict[str, str]:
        known = self.model.query_names
        values: dict[str, str] = {}
        for name, value in request.query:
            if name in values and name in known:
                raise invalid_argument(name, value, f"{name} was given more than once")
            values[name] = value
        if "versionId" in values and "versionId" not in known and self.model.target is Target.OBJECT:
            message = "This operation does not accept a version-id."
            raise invalid_argument("versionId", values["versionId"], message)
        return values

    def read_document(self, document: bytes) -> Fields:
        """The field that the body gives, an XML document or text.

        Raises StorageError: MissingRequestBodyError, MalformedXML.
        """
        payload = self._payload
        if payload is None:
            return {}
        if not document.strip():
            if self.model.name in EMPTY_IS_MALFORMED:
                raise StorageError("MalformedXML")
            if payload.required:
                raise StorageError("MissingRequestBodyError")
            return {}
        if self._read_document is None:
            try:
                return {payload.field: document.decode("utf-8")}
            except UnicodeDecodeError:
                raise StorageError("InvalidRequest", "The body is not UTF-8 text.") from None
        document, has_controls = controls.protect(document)
        value = self._read_document(xml.parse(document, payload.wire_name))
        return {payload.field: controls.restore(value) if has_controls else value}

    def build(self, fields: Fields) -> Any:
        """The frozen input record."""
        return self._input(**fields)

    # --- answers -----------------------------------------------------------------------------------------

    def render(self, output: Any) -> Response:
        """The answer: the model's status (206 when there is a content range), headers, and bytes or an open reader."""
        headers = [
            (name, format_value(value))
            for (name, format_value), value in zip(self._write_headers, self._written(output), strict=True)
            if value is not None and value != ()
        ]
        if self._write_metadata is not None and (metadata := getattr(output, self._write_metadata)):
            headers += _metadata_headers(metadata)
        if self._streamed is not None:
            body = getattr(output, self._streamed)
            return Response(self._status(output), tuple(headers), body if body is not None else b"")
        content = self._render_document(output)
        if content:
            headers.append(_JSON_TYPE if self._text is not None else _XML_TYPE)
        return Response(self._status(output), tuple(headers), content)

    def _status(self, output: Any) -> int:
        # HeadObject and GetObject answer a part or a range with 206; no other output has a content range.
        return 206 if self._has_range and output.content_range is not None else self.model.status

    def _render_document(self, output: Any) -> bytes:
        if self._text is not None:
            return (getattr(output, self._text) or "").encode("utf-8")
        if self._write_document is None:
            return b""
        if self._write_url_encoded is not None and output.encoding_type == "url":
            return self._write_url_encoded(output)
        return self._write_document(output)


def _metadata_headers(metadata: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """User metadata as headers. Names no header can have and values too long for one, which only other ways in can
    store, are counted in ``x-amz-missing-meta`` (API_GetObject, MissingMeta)."""
    sendable = [
        (name, text)
        for name, value in metadata.items()
        if _TOKEN.fullmatch(name) and len(text := metadata_text(value)) <= MAX_USER_METADATA_BYTES
    ]
    headers = [
        (f"{USER_METADATA_PREFIX}{name.lower()}".encode("ascii"), header_bytes(value)) for name, value in sendable
    ]
    if missing := len(metadata) - len(sendable):
        headers.append((b"x-amz-missing-meta", b"%d" % missing))
    return headers


def _readings(members: tuple[Member, ...], location: Location, spell: Callable[[str], str]) -> dict[str, _Reading]:
    return {
        spell(member.wire_name): _Reading(member.field, member.wire_name, reader(member), member.required)
        for member in members
        if member.location is location
    }


def _read(readings: Mapping[str, _Reading], texts: Mapping[str, str], fields: Fields) -> None:
    for name, text in texts.items():
        reading = readings.get(name)
        if reading is not None and (value := reading.read(text)) is not None:
            fields[reading.field] = value


def _missing(reading: _Reading) -> StorageError:
    return StorageError(
        "InvalidRequest",
        f"Missing required parameter for this request: {reading.argument}",
        ArgumentName=reading.argument,
    )


def _attributes(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """The attributes of these names, in their order."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda record: tuple(getattr(record, name) for name in names)


def _bucket(address: Address) -> str:
    if isinstance(address, BucketAddress | ObjectAddress):
        return address.bucket
    raise StorageError("InvalidBucketName")


def _key(address: Address) -> str:
    if isinstance(address, ObjectAddress):
        return address.key
    raise StorageError("InvalidRequest", "The request names no key.")


def _payload_field(shape: Shape, kind: Kind) -> str | None:
    return next((m.field for m in shape.members if m.name == shape.payload and m.shape.kind is kind), None)


Writer = Callable[[Any], bytes]


def _document_writers(model: OperationModel) -> tuple[Writer | None, Writer | None]:
    """The writer of an output's document, and the one for ``encoding-type=url``."""
    output = model.output
    if model.name == "GetBucketLocation":
        return _location_document, None
    payload = next((m for m in output.members if m.name == output.payload), None)
    if payload is not None:
        if payload.shape.kind is not Kind.STRUCTURE:
            return None, None
        return _payload_writer(payload), None
    members = [m for m in output.members if m.location is Location.BODY]
    if not members or model.root is None:
        return None, None
    write = xml.document_writer(model.root, members, quote_etag=model.name not in UNQUOTED_ETAG)
    encoded = URL_ENCODED.get(model.name)
    if encoded is None:
        return write, None
    plain = NOT_ENCODED_AT_ROOT.get(model.name, frozenset())
    return write, xml.document_writer(model.root, members, url_encoded=encoded, plain=plain)


def _payload_writer(payload: Member) -> Writer:
    write = xml.document_writer(payload.wire_name, payload.shape.members)

    def write_payload(output: Any) -> bytes:
        value = getattr(output, payload.field)
        return write(value) if value is not None else b""

    return write_payload


def _location_document(output: Any) -> bytes:
    """The one answer whose root element holds the value itself; us-east-1 is empty (API_GetBucketLocation)."""
    text = xml.escape(output.location_constraint or "")
    return f'{xml.DECLARATION}<LocationConstraint xmlns="{S3_NAMESPACE}">{text}</LocationConstraint>'.encode()


def compile_codecs(models: Mapping[str, OperationModel]) -> Mapping[str, OperationCodec]:
    """The codecs of all operations that have shapes."""
    return {name: OperationCodec(models[name]) for name in shapes.INPUTS}
