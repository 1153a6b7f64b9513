"""The S3 front: one screen that shows a request's way from bytes to answer (DESIGN §2).

The order is security: the request is understood, then authenticated, and only then is its body read or a handler run.
"""

import base64
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final, Protocol

import structlog

from gateway.config import Settings
from gateway.context import Address, AuthMethod, BucketAddress, Call, ObjectAddress, Principal, Tenant
from gateway.errors import StorageError
from gateway.operations.delivery import Delivery, LocalFile
from gateway.operations.expected_owner import require_expected_owners
from gateway.operations.operation import Operation
from gateway.s3 import cors
from gateway.s3 import model as s3_model
from gateway.s3.access_request import access_request_json
from gateway.s3.codec import Fields, OperationCodec, compile_codecs, effective_headers
from gateway.s3.errors import render_error
from gateway.s3.model import Body, OperationModel
from gateway.s3.post_object import IdentifyForm, PostObject
from gateway.s3.router import Router
from gateway.telemetry.events import RequestLog
from gateway.wire.addressing import resolve
from gateway.wire.body import BodyLimits, BodyStream, ClientDisconnected, Payload, open_body
from gateway.wire.headers import PROTECTIVE_HEADERS, visible_headers
from gateway.wire.request import RawRequest
from gateway.wire.response import Response, ResponseBroken, send_response

_log = structlog.get_logger(__name__)

_READ: Final = "GetObject"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Identity(Protocol):
    """The verdict of authentication: who calls, and how the body is protected (``auth.identify.Identity``)."""

    @property
    def principal(self) -> Principal: ...

    @property
    def payload(self) -> Payload: ...


Authenticate = Callable[[RawRequest], Awaitable[Identity]]


@dataclass(frozen=True, slots=True)
class FrontLimits:
    """What the front bounds: the largest streamed body, and how slow a client may send and take."""

    max_put_bytes: int
    body: BodyLimits
    send_idle_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> "FrontLimits":
        return cls(
            settings.max_put_bytes,
            BodyLimits(settings.body_idle_seconds, settings.body_min_bytes_per_second),
            settings.send_idle_seconds,
        )


class S3Front:
    """An ASGI application that speaks S3. ``services`` is handed to every handler as it is.

    It finds a :class:`RequestLog` in ``scope["rowlock.log"]`` and an id in ``scope["rowlock.request_id"]``, or makes
    them. It raises only :class:`ResponseBroken`: an answer that broke off must break the connection. ``reserved``
    bucket names are refused: another front has paths that begin so. ``delivery`` says which reads others may answer.
    """

    def __init__(
        self,
        operations: Iterable[Operation],
        services: Any,
        identify: Authenticate,
        identify_form: IdentifyForm | None = None,
        *,
        tenant: Tenant,
        domain: str | None,
        limits: FrontLimits,
        reserved: frozenset[str] = frozenset(),
        delivery: Delivery | None = None,
    ) -> None:
        self._router, self._codecs = _compiled()
        self._operations = {operation.name: operation for operation in operations}
        self._services = services
        self._identify = identify
        self._tenant = tenant
        self._domain = domain
        self._limits = limits
        self._reserved = reserved
        self._delivery = delivery
        self._post_object = self._forms(identify_form)
        self._host_id = host_id()
        self._constant_fields = ((b"x-amz-id-2", self._host_id.encode("ascii")), *PROTECTIVE_HEADERS)

    def _forms(self, identify: IdentifyForm | None) -> PostObject | None:
        put = self._operations.get("PutObject")
        if identify is None or put is None:
            return None
        return PostObject(put, self._codecs["PutObject"], identify, self._limits.body, self._limits.max_put_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "rowlock.log" not in scope:
            scope["rowlock.log"], scope["rowlock.request_id"] = RequestLog(), secrets.token_hex(8).upper()
        log: RequestLog = scope["rowlock.log"]
        request_id: str = scope["rowlock.request_id"]
        try:
            response = await self._answer(scope, receive, request_id, log)
        except ClientDisconnected:
            log.error_code = "ClientDisconnected"
            return
        except Exception as error:
            response = self._refusal(error, scope, request_id, log)
        try:
            if cors.names_origin(scope["headers"]):
                response = await self._shared(response, scope, log)
            log.bytes_out = await self._send(response, scope, send, request_id)
        except ResponseBroken:
            log.error_code = "ResponseBroken"
            raise
        except Exception as error:
            # The body's reader failed before the head was sent, so there is still an honest answer.
            response = self._refusal(error, scope, request_id, log)
            log.bytes_out = await self._send(await self._shared(response, scope, log), scope, send, request_id)

    async def refuse(self, error: StorageError, scope: Scope, send: Send) -> None:
        """Answer a request with an error that was found before anything of it was understood."""
        log: RequestLog = scope["rowlock.log"]
        request_id: str = scope["rowlock.request_id"]
        response = self._refusal(error, scope, request_id, log)
        log.bytes_out = await self._send(response, scope, send, request_id)

    async def _answer(self, scope: Scope, receive: Receive, request_id: str, log: RequestLog) -> Response:
        request = RawRequest.from_scope(scope, request_id)
        address = resolve(request, self._domain)
        if isinstance(address, BucketAddress | ObjectAddress):
            log.bucket = address.bucket
            if address.bucket in self._reserved:
                raise StorageError("InvalidBucketName", BucketName=address.bucket)
        if isinstance(address, ObjectAddress):
            log.key = address.key
        headers = effective_headers(request)
        model = self._router.match(request.method, address, request.query, headers)
        log.operation = model.name
        if request.method == "OPTIONS":
            return await cors.preflight(self._services, address, headers)

        identity = await self._identify(request)
        log.access_key_id = identity.principal.access_key_id

        if model.name == "PostObject" and self._post_object is not None and isinstance(address, BucketAddress):
            return await self._post(self._post_object, request, receive, address, headers, identity, log)
        operation = self._operations.get(model.name)
        if operation is None:
            raise StorageError("NotImplemented", Operation=model.name)
        codec = self._codecs[model.name]
        fields = codec.read_head(request, address, headers)
        _refuse_anonymous_overrides(identity.principal, fields)
        fields |= await self._read_body(request, receive, identity.payload, codec, log)

        call = self._call(request, headers, identity.principal, operation, address, fields)
        if "expected_bucket_owner" in fields or "expected_source_bucket_owner" in fields:
            await require_expected_owners(self._services, call, fields)
        if self._delivery is not None and model.name == _READ:
            # An SDK that signs headers does not follow, or takes along headers that the target refuses.
            follows = identity.principal.method is not AuthMethod.SIGV4_HEADER
            handover = self._delivery.offer(headers, request.client_address, follows=follows)
            call = replace(call, handover=handover)
        output = await operation.handler(self._services, call, codec.build(fields))
        response = codec.render(output)
        if call.handover is not None and isinstance(response.body, LocalFile):
            return replace(response, headers=(*response.headers, response.body.field))
        return response

    async def _post(
        self,
        post_object: PostObject,
        request: RawRequest,
        receive: Receive,
        address: BucketAddress,
        headers: Mapping[str, str],
        identity: Identity,
        log: RequestLog,
    ) -> Response:
        def call_of(principal: Principal, operation: Operation, target: ObjectAddress, fields: Fields) -> Call:
            log.access_key_id, log.key = principal.access_key_id, target.key
            return self._call(request, headers, principal, operation, target, fields)

        log.bytes_in = request.content_length or 0
        return await post_object(
            self._services, request, receive, address, identity.principal, identity.payload, call_of
        )

    def _call(
        self,
        request: RawRequest,
        headers: Mapping[str, str],
        principal: Principal,
        operation: Operation,
        address: Address,
        fields: Fields,
    ) -> Call:
        return Call(
            self._tenant,
            principal,
            operation.policy_name,
            request.request_id,
            request.method,
            request.raw_path.decode("ascii"),
            visible_headers(headers),
            request.client_address,
            request.secure,
            access_request_json(
                principal,
                self._tenant,
                address,
                fields,
                headers,
                request.client_address,
                secure=request.secure,
            ),
        )

    async def _read_body(
        self, request: RawRequest, receive: Receive, payload: Payload, codec: OperationCodec, log: RequestLog
    ) -> Fields:
        """The field that the body gives: an open stream, or a document read to its end and verified."""
        model = codec.model
        if model.body is Body.STREAM:
            stream = self._open(request, receive, payload, length_required=True)
            log.bytes_in = stream.length or 0
            return {codec.stream_field: stream}
        if payload.is_streaming:
            raise StorageError(
                "InvalidArgument",
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a valid sha256 value for this operation.",
                ArgumentName="x-amz-content-sha256",
            )
        if model.body is Body.NONE:
            return {}
        _require_checksum(request, model)
        body = self._open(request if model.body_checksum else _without_checksums(request), receive, payload)
        document = await body.read_all(model.max_document_bytes)
        log.bytes_in = len(document)
        return codec.read_document(document)

    def _open(
        self, request: RawRequest, receive: Receive, payload: Payload, *, length_required: bool = False
    ) -> BodyStream:
        limits = self._limits
        return open_body(request, receive, payload, limits.body, limits.max_put_bytes, length_required=length_required)

    def _refusal(self, error: Exception, scope: Scope, request_id: str, log: RequestLog) -> Response:
        if not isinstance(error, StorageError) or error.code.name == "InternalError":
            _log.error("request_failed", request_id=request_id, operation=log.operation, exc_info=error)
        if not isinstance(error, StorageError):
            error = StorageError("InternalError")
        error = _naming_its_resource(error, log)
        log.error_code = error.code.name
        resource = scope["raw_path"].decode("latin-1")
        return render_error(error, resource=resource, request_id=request_id, host_id=self._host_id)

    async def _shared(self, response: Response, scope: Scope, log: RequestLog) -> Response:
        """The answer, with what a page of another site must be told to read it; a preflight says that itself."""
        bucket, method, headers = log.bucket, scope["method"], scope["headers"]
        if bucket is None or not cors.names_origin(headers) or method == "OPTIONS":
            return response
        try:
            allowed = await cors.answer_headers(self._services, bucket, method, headers)
        except StorageError:
            return response
        except BaseException:
            if not isinstance(response.body, bytes):
                await response.body.close()
            raise
        return replace(response, headers=(*response.headers, *allowed)) if allowed else response

    async def _send(self, response: Response, scope: Scope, send: Send, request_id: str) -> int:
        request_field = (b"x-amz-request-id", request_id.encode("ascii"))
        return await send_response(
            response,
            send,
            idle_seconds=self._limits.send_idle_seconds,
            head=scope["method"] == "HEAD",
            extensions=scope.get("extensions") or (),
            common=(request_field, *self._constant_fields),
        )


@cache
def host_id() -> str:
    """What answers call this worker: the same at the doors of every tenant, else it told which of them there are."""
    return base64.b64encode(secrets.token_bytes(24)).decode("ascii")


@cache
def _compiled() -> tuple[Router, Mapping[str, OperationCodec]]:
    """What is made out of the model, once a process: the fronts of all tenants share it."""
    models = s3_model.load()
    return Router(models), compile_codecs(models)


def _naming_its_resource(error: StorageError, log: RequestLog) -> StorageError:
    """S3 names the bucket or the key that is missing; the database, which found it out, does not."""
    field, value = {"NoSuchBucket": ("BucketName", log.bucket), "NoSuchKey": ("Key", log.key)}.get(
        error.code.name, ("", None)
    )
    if value is None or field in error.fields:
        return error
    return StorageError(error.code.name, error.message, **error.fields, **{field: value})


def _refuse_anonymous_overrides(principal: Principal, fields: Fields) -> None:
    """API_GetObject: response-* parameters need a signed request, or any link could relabel a public object."""
    if principal.method is AuthMethod.ANONYMOUS and any(name.startswith("response_") for name in fields):
        raise StorageError(
            "InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests."
        )


def _require_checksum(request: RawRequest, model: OperationModel) -> None:
    if model.checksum_required and not any(
        name == b"content-md5" or name.startswith(b"x-amz-checksum-") for name, _ in request.headers
    ):
        raise StorageError(
            "InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
        )


def _without_checksums(request: RawRequest) -> RawRequest:
    headers = tuple(pair for pair in request.headers if not pair[0].startswith(b"x-amz-checksum-"))
    return replace(request, headers=headers)
