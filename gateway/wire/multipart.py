"""``multipart/form-data`` read as it arrives: the fields before the file, then the file piece by piece.

RFC 7578, and https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html: the file is the last part that
counts, what stands before it is small. The parts are cut by python-multipart; nothing of the file is kept.
"""

import codecs
import re
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from gateway.errors import StorageError
from gateway.wire.body import BodyStream
from gateway.wire.checksums import new_hash

MAX_HEAD_BYTES: Final = 20 * 1024
MAX_TAIL_BYTES: Final = 20 * 1024
# What a body may be longer than its file.
OVERHEAD_BYTES: Final = 64 * 1024

_FILE: Final = "file"
_CHARSET_FIELD: Final = "_charset_"
_BOUNDARY: Final = re.compile(r';[ \t]*boundary=(?:"([^"\\]{1,70})"|([^\s";,]{1,70}))[ \t]*(?:;|$)', re.IGNORECASE)
_CHARSET: Final = re.compile(r';[ \t]*charset="?([A-Za-z0-9_.:-]{1,40})"?', re.IGNORECASE)
# Browsers escape quotes as %22 or as a backslash and a quote; a lone backslash is one of a path.
_PARAMETER: Final = re.compile(r';[ \t]*([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s";]*))')
_CHARSETS: Final = frozenset({"ascii", "cp1252", "iso8859-1", "utf-8"})


@dataclass(frozen=True, slots=True)
class FormRules:
    """Which part is the file, and how many bytes may stand before and behind it. S3's file is the part of that name;
    with ``any_file`` it is the first part with a file name, or with an empty name."""

    head_bytes: int = MAX_HEAD_BYTES
    tail_bytes: int = MAX_TAIL_BYTES
    any_file: bool = False


S3_RULES: Final = FormRules()


@dataclass(frozen=True, slots=True)
class FormHead:
    """What comes before the content of the file: the fields in their order, what the client calls the file, and the
    type it says the file has."""

    fields: tuple[tuple[str, str], ...]
    file_name: str
    file_type: str | None = None


def boundary_of(content_type: str) -> bytes:
    """The boundary of a form. Raises StorageError(MalformedPOSTRequest)."""
    found = _BOUNDARY.search(content_type)
    boundary = (found.group(1) or found.group(2)) if found is not None else ""
    if not boundary or not boundary.isascii() or boundary.endswith(" "):
        raise _malformed("The Content-Type names no boundary.")
    return boundary.encode("ascii")


class FormReader:
    """Reads one form, once: first :meth:`head`, then :meth:`next_piece` until it gives nothing.

    Both raise StorageError: MalformedPOSTRequest, MaxPostPreDataLengthExceeded, InvalidArgument (no file), and what
    the body raises. The whole body has been read and verified when the last piece of the file was given.
    """

    def __init__(self, body: BodyStream, content_type: str, rules: FormRules = S3_RULES) -> None:
        self._source = _verified(body)
        self._parts = _Parts(rules)
        self._parser = MultipartParser(
            boundary_of(content_type),
            {
                "on_part_begin": self._parts.begin,
                "on_header_field": self._parts.header_name,
                "on_header_value": self._parts.header_value,
                "on_header_end": self._parts.header_end,
                "on_headers_finished": self._parts.headers_finished,
                "on_part_data": self._parts.data,
                "on_part_end": self._parts.end,
                "on_end": self._parts.end_of_form,
            },
        )

    async def head(self) -> FormHead:
        """Read up to the content of the file."""
        parts = self._parts
        while parts.file_name is None and not parts.ended:
            await self._feed()
        if parts.file_name is None:
            raise StorageError(
                "InvalidArgument",
                "POST requires exactly one file upload per request.",
                ArgumentName=_FILE,
                ArgumentValue="0",
            )
        return FormHead(tuple(parts.fields), parts.file_name, parts.file_type)

    async def next_piece(self) -> bytes:
        """Some of the file; nothing at its end."""
        parts = self._parts
        while not parts.pieces:
            if parts.ended:
                await self._end()
                return b""
            await self._feed()
        return parts.pieces.popleft()

    async def _feed(self) -> None:
        data = await anext(self._source, b"")
        if not data:
            raise _malformed("The form ends before its closing boundary.")
        try:
            self._parser.write(data)
        except FormParserError:
            raise _malformed() from None

    async def _end(self) -> None:
        """What follows the form means nothing (RFC 2046 §5.1.1), but the body must end as it promised."""
        async for _ in self._source:
            pass


class _Parts:
    """What the parser found so far. Its calls are synchronous, so everything they leave behind is bounded here."""

    def __init__(self, rules: FormRules) -> None:
        self._rules = rules
        self.fields: list[tuple[str, str]] = []
        self.file_name: str | None = None
        self.file_type: str | None = None
        self.pieces: deque[bytes] = deque()
        self.ended = False
        self._headers: dict[bytes, bytes] = {}
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._name = ""
        self._value = bytearray()
        self._in_file = False
        self._charset = "utf-8"
        self._head_bytes = 0
        self._tail_bytes = 0

    def begin(self) -> None:
        self._headers = {}
        self._value = bytearray()
        self._in_file = False
        self._count(2)

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_value += data[start:end]

    def header_end(self) -> None:
        name = bytes(self._header_name).lower()
        if name in self._headers:
            raise _malformed("A part has a header twice.")
        self._headers[name] = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def headers_finished(self) -> None:
        if self.file_name is not None:
            return
        parameters = _disposition(self._headers.get(b"content-disposition", b""))
        self._name = parameters.get("name", "")
        if not self._name and not self._rules.any_file:
            raise _malformed("A part has no name.")
        if self._name.lower() == _FILE or (self._rules.any_file and ("filename" in parameters or not self._name)):
            self.file_name = parameters.get("filename", "")
            file_type = self._headers.get(b"content-type")
            self.file_type = _decoded(file_type, "utf-8").strip() if file_type else None
            self._in_file = True

    def data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self.pieces.append(data[start:end])
        else:
            self._count(end - start)
            if self.file_name is None:
                self._value += data[start:end]

    def end(self) -> None:
        if self.file_name is None:
            value = _decoded(bytes(self._value), self._field_charset())
            if self._name == _CHARSET_FIELD:
                self._charset = _codec(value)
            self.fields.append((self._name, value))

    def end_of_form(self) -> None:
        self.ended = True

    def _count(self, size_bytes: int) -> None:
        if self.file_name is not None:
            self._tail_bytes += size_bytes
            if self._tail_bytes > self._rules.tail_bytes:
                raise _malformed("Too much follows the file.")
            return
        self._head_bytes += size_bytes
        if self._head_bytes > self._rules.head_bytes:
            raise StorageError("MaxPostPreDataLengthExceeded")

    def _field_charset(self) -> str:
        found = _CHARSET.search(self._headers.get(b"content-type", b"").decode("latin-1"))
        return _codec(found.group(1)) if found is not None else self._charset


async def _verified(body: BodyStream) -> AsyncIterator[bytes]:
    """The body, held against what its own head promised about it (Content-MD5 of the whole form)."""
    hashes = {name: new_hash(name) for name in body.required_digests}
    size = 0
    async for piece in body:
        size += len(piece)
        for running in hashes.values():
            running.update(piece)
        yield piece
    body.verify({name: running.digest() for name, running in hashes.items()}, size)


def _disposition(value: bytes) -> dict[str, str]:
    """The parameters of ``Content-Disposition: form-data``."""
    text = _decoded(value, "utf-8")
    if text.partition(";")[0].strip().lower() != "form-data":
        raise _malformed("A part has no Content-Disposition of form-data.")
    parameters: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(text):
        parameters.setdefault(name.lower(), quoted.replace('\\"', '"') or plain)
    return parameters


def _codec(charset: str) -> str:
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):
        name = ""
    if name not in _CHARSETS:
        raise StorageError(
            "InvalidArgument", "The charset of a form field is not supported.", ArgumentName=_CHARSET_FIELD
        )
    return name


def _decoded(value: bytes, charset: str) -> str:
    try:
        text = value.decode(charset)
    except UnicodeDecodeError:
        raise _malformed("A form field is not text of its charset.") from None
    if "\0" in text:
        raise _malformed("A form field holds a NUL.")
    return text


def _malformed(message: str | None = None) -> StorageError:
    return StorageError("MalformedPOSTRequest", message)
