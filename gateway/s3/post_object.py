"""PostObject: a browser's form becomes a PutObject (https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html).

The fields that mean something are read as the headers of a PutObject by its codec, and the file is its body, so
everything behind is the one write path. The order is security here as in the front: the fields are read (they are
small), then the form is authenticated and held against its policy, and only then is the file read.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode, urlsplit

from gateway.context import AuthMethod, BucketAddress, Call, ObjectAddress, Principal
from gateway.errors import StorageError
from gateway.operations.operation import Operation
from gateway.operations.shapes import Tagging
from gateway.s3 import model, xml
from gateway.s3.codec import Fields, OperationCodec, effective_headers
from gateway.wire.addressing import validate_key
from gateway.wire.body import BodyLimits, Payload, Receive, open_body
from gateway.wire.multipart import OVERHEAD_BYTES, FormReader
from gateway.wire.request import RawRequest
from gateway.wire.response import Response
from sigv4 import Payload as SignedPayload
from sigv4 import PayloadMode

_UNSIGNED: Final = SignedPayload(PayloadMode.UNSIGNED)
_NO_KEY: Final = (
    "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields."
)
_FILE_NAME: Final = "${filename}"
# Fields that stand for a header of the same name, besides the x-amz- family.
_HEADERS: Final = frozenset(
    {
        "cache-control", "content-disposition", "content-encoding", "content-language", "content-md5", "content-type",
        "expires", "if-match", "if-none-match",
    }
)  # fmt: skip
_SIGNATURE_FIELDS: Final = frozenset(
    {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-security-token", "x-amz-signature"}
)
_VERBATIM: Final = frozenset({"policy", "signature", "awsaccesskeyid", *_SIGNATURE_FIELDS})
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STATUSES: Final = {"200": 200, "201": 201}
_read_tagging: Final = xml.element_reader(
    next(m.shape for m in model.load()["PutObjectTagging"].input.members if m.name == "Tagging")
)


class FormIdentity(Protocol):
    """The verdict on a form (``auth.identify.FormIdentity``): who calls, its fields by lower-case name, and the sizes
    in bytes its policy allows the file."""

    @property
    def principal(self) -> Principal: ...

    @property
    def fields(self) -> Mapping[str, str]: ...

    @property
    def content_length_range(self) -> tuple[int, int] | None: ...


class IdentifyForm(Protocol):
    """Authenticates a form; every policy condition but the size of the file has been met when it returns."""

    def __call__(self, fields: Sequence[tuple[str, str]], *, bucket: str) -> Awaitable[FormIdentity]: ...


class PostObject:
    """Answers forms with the handler and the codec of PutObject."""

    def __init__(
        self,
        operation: Operation,
        codec: OperationCodec,
        identify: IdentifyForm,
        limits: BodyLimits,
        max_put_bytes: int,
    ) -> None:
        self._operation: Final = operation
        self._codec: Final = codec
        self._identify: Final = identify
        self._limits: Final = limits
        self._max_put_bytes: Final = max_put_bytes

    async def __call__(
        self,
        services: Any,
        request: RawRequest,
        receive: Receive,
        address: BucketAddress,
        principal: Principal,
        payload: Payload,
        call_of: Callable[[Principal, Operation, ObjectAddress, Fields], Call],
    ) -> Response:
        """Store the file. ``principal`` and ``payload`` are what the request's own head says: nobody, for a form is
        signed by its policy. ``call_of`` makes the call of a principal, an operation,
        the object and the fields that PutObject would be given.

        Raises StorageError and :class:`~gateway.wire.body.ClientDisconnected`.
        """
        if principal.method is not AuthMethod.ANONYMOUS or payload.is_streaming:
            raise StorageError("InvalidRequest", "A form is signed by its policy field, not by headers or the query.")
        body = open_body(
            request, receive, payload, self._limits, self._max_put_bytes + OVERHEAD_BYTES, length_required=True
        )
        form = FormReader(body, request.header(b"content-type") or "")
        head = await form.head()
        if not any(name.lower() == "key" for name, _ in head.fields):
            raise StorageError("InvalidArgument", _NO_KEY, ArgumentName="key", ArgumentValue="")
        identity = await self._identify(_expanded(head.fields, head.file_name), bucket=address.bucket)
        fields = identity.fields
        key = _key_of(fields, address.bucket)
        headers = _put_headers(fields)
        target = ObjectAddress(address.bucket, key)
        asked = self._input(request, headers, target)
        asked["body"] = open_body(
            _as_put(request, headers),
            _file_of(form, identity.content_length_range),
            _UNSIGNED,
            self._limits,
            self._max_put_bytes,
        )
        call = call_of(identity.principal, self._operation, target, asked)
        output = await self._operation.handler(services, call, self._codec.build(asked))
        stored = self._codec.render(output)
        return _answer(request, fields, address.bucket, key, output.etag, stored.headers)

    def _input(self, request: RawRequest, headers: Mapping[str, str], address: ObjectAddress) -> Fields:
        put = _as_put(request, headers)
        return self._codec.read_head(put, address, effective_headers(put))


def _expanded(fields: Sequence[tuple[str, str]], file_name: str) -> list[tuple[str, str]]:
    """``${filename}`` stands for the name of the file, without the path some browsers send with it."""
    name = file_name.replace("\\", "/").rpartition("/")[2]
    return [
        (field, value if field.lower() in _VERBATIM else value.replace(_FILE_NAME, name)) for field, value in fields
    ]


def _key_of(fields: Mapping[str, str], bucket: str) -> str:
    if fields.get("bucket", bucket) != bucket:
        raise StorageError("InvalidArgument", "The field 'bucket' names another bucket.", ArgumentName="bucket")
    validate_key(fields["key"])
    return fields["key"]


def _put_headers(fields: Mapping[str, str]) -> dict[str, str]:
    """The headers a PutObject of the same meaning has."""
    headers = {
        name: value
        for name, value in fields.items()
        if name in _HEADERS or (name.startswith("x-amz-") and name not in _SIGNATURE_FIELDS)
    }
    for name in headers:
        if _TOKEN.fullmatch(name) is None:
            raise StorageError("InvalidArgument", "A field is named as no header can be.", ArgumentName=name[:256])
    if "acl" in fields:
        headers["x-amz-acl"] = fields["acl"]
    if "tagging" in fields:
        document: Tagging = _read_tagging(xml.parse(fields["tagging"].encode(), "Tagging"))
        headers["x-amz-tagging"] = "&".join(f"{_quoted(tag.key)}={_quoted(tag.value)}" for tag in document.tag_set)
    return headers


def _as_put(request: RawRequest, headers: Mapping[str, str]) -> RawRequest:
    encoded = tuple((name.encode("ascii"), value.encode("utf-8")) for name, value in headers.items())
    return replace(request, method="PUT", raw_query=b"", headers=encoded, content_length=None, is_chunked=True)


def _file_of(form: FormReader, content_length_range: tuple[int, int] | None) -> Receive:
    """The file as the messages of a request of its own, refused as soon as the policy's sizes are not kept."""
    low, high = content_length_range or (0, None)
    size = 0

    async def receive() -> dict[str, Any]:
        nonlocal size
        piece = await form.next_piece()
        size += len(piece)
        if high is not None and size > high:
            raise StorageError("EntityTooLarge", ProposedSize=str(size), MaxSizeAllowed=str(high))
        if not piece and size < low:
            raise StorageError("EntityTooSmall", ProposedSize=str(size), MinSizeAllowed=str(low))
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    return receive


def _answer(
    request: RawRequest,
    fields: Mapping[str, str],
    bucket: str,
    key: str,
    etag: str,
    stored: tuple[tuple[bytes, bytes], ...],
) -> Response:
    redirect = _redirect(fields.get("success_action_redirect", fields.get("redirect")), bucket, key, etag)
    if redirect is not None:
        return Response(303, (*stored, (b"location", redirect)))
    location = _location(request, key)
    headers = (*stored, (b"location", location.encode("ascii")))
    status = _STATUSES.get(fields.get("success_action_status", ""), 204)
    if status != 201:
        return Response(status, headers)
    elements = (("Location", location), ("Bucket", bucket), ("Key", key), ("ETag", f'"{etag}"'))
    content = "".join(f"<{name}>{xml.escape(value)}</{name}>" for name, value in elements)
    document = f"{xml.DECLARATION}<PostResponse>{content}</PostResponse>".encode()
    return Response(status, (*headers, (b"content-type", b"application/xml")), document)


def _redirect(target: str | None, bucket: str, key: str, etag: str) -> bytes | None:
    """Where the page wants its user to go; None where it says nothing that could be a place (S3 ignores it then)."""
    if not target:
        return None
    try:
        parts = urlsplit(target)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc or not target.isprintable():
        return None
    query = urlencode({"bucket": bucket, "key": key, "etag": f'"{etag}"'}, quote_via=quote, safe="")
    joined = parts._replace(query=f"{parts.query}&{query}" if parts.query else query).geturl()
    return quote(joined, safe="!#$%&'()*+,/:;=?@[]~").encode("ascii")


def _location(request: RawRequest, key: str) -> str:
    host = request.header(b"host") or request.host
    path = request.raw_path.decode("ascii").rstrip("/")
    return f"{'https' if request.secure else 'http'}://{host}{path}/{quote(key, safe='/~')}"


def _quoted(text: str) -> str:
    return quote(text, safe="")
