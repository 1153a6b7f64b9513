"""The front of the JSON API, in the order of every front: route, token, body, operation, answer (DESIGN §2).

A request that names no route or brings no good token costs neither a database connection nor a read of its body.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

import structlog
from pydantic import ValidationError

from gateway.context import ANONYMOUS_ROLE, AuthMethod, Call, Principal, Tenant
from gateway.errors import StorageError
from gateway.rest import cors, openapi
from gateway.rest.api import Api, Asked, Receive
from gateway.rest.errors import Refusal, denied_write, invalid, invalid_document, refused_token, render
from gateway.rest.routes import Access, Body, Match, Route, Router
from gateway.rest.schemas import Schema
from gateway.telemetry.events import RequestLog
from gateway.wire.addressing import RESERVED_BUCKET
from gateway.wire.body import ClientDisconnected, open_body
from gateway.wire.headers import PROTECTIVE_HEADERS, visible_headers
from gateway.wire.request import RawRequest
from gateway.wire.response import Response, ResponseBroken, send_response
from sigv4 import Payload, PayloadMode

_log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Bearer = Callable[[str | None], Awaitable[Principal]]

MAX_DOCUMENT_BYTES: Final = 1024 * 1024
_UNSIGNED: Final = Payload(PayloadMode.UNSIGNED)
_MISSING_TOKEN: Final = "headers must have required property 'authorization'"  # noqa: S105 - a message
_OPENAPI: Final = b"/openapi.json"


class RestFront:
    """An ASGI application that speaks Supabase's storage API. It raises only :class:`ResponseBroken`.

    What it is mounted at is ASGI's ``root_path``; it finds a :class:`RequestLog` in ``scope["rowlock.log"]`` and an id
    in ``scope["rowlock.request_id"]``, or makes them.
    """

    def __init__(
        self, api: Api, bearer: Bearer, *, tenant: Tenant, send_idle_seconds: float, origins: frozenset[str]
    ) -> None:
        self._api: Final = api
        self._bearer: Final = bearer
        self._tenant: Final = tenant
        self._send_idle_seconds: Final = send_idle_seconds
        self._origins: Final = origins
        self._router: Final = Router()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "rowlock.log" not in scope:
            scope["rowlock.log"], scope["rowlock.request_id"] = RequestLog(), secrets.token_hex(8).upper()
        log: RequestLog = scope["rowlock.log"]
        log.door = "rest"
        request_id: str = scope["rowlock.request_id"]
        try:
            response = await self._answer(scope, receive, request_id, log)
        except ClientDisconnected:
            log.error_code = "ClientDisconnected"
            return
        except Exception as error:
            response = self._refusal(error, request_id, log)
        try:
            log.bytes_out = await self._send(response, scope, send, request_id)
        except ResponseBroken:
            log.error_code = "ResponseBroken"
            raise
        except Exception as error:
            # The body's reader failed before the head was sent, so there is still an honest answer.
            response = self._refusal(error, request_id, log)
            log.bytes_out = await self._send(response, scope, send, request_id)

    async def refuse(self, error: StorageError, scope: Scope, send: Send) -> None:
        """Answer a request with an error that was found before anything of it was understood."""
        log: RequestLog = scope["rowlock.log"]
        request_id: str = scope["rowlock.request_id"]
        log.bytes_out = await self._send(self._refusal(error, request_id, log), scope, send, request_id)

    async def _answer(self, scope: Scope, receive: Receive, request_id: str, log: RequestLog) -> Response:
        request = RawRequest.from_scope(scope, request_id)
        path = request.raw_path[len(request.mount) :] or b"/"
        headers = _headers(request)
        if request.method == "OPTIONS":
            log.operation = "preflight"
            return cors.preflight(headers, self._origins)
        if path == _OPENAPI and request.method == "GET":
            log.operation = "openapi"
            return openapi.response(request.mount.decode("ascii"))
        match = self._router.match(request.method, path)
        route = match.route
        log.operation, log.bucket, log.key = route.name, match.bucket or None, match.key or None
        if match.bucket == RESERVED_BUCKET:
            raise StorageError("InvalidBucketName", BucketName=RESERVED_BUCKET)
        query = _query(route, request)
        principal, is_identified = await self._identify(route, headers)
        call = self._call(request, headers, principal, route)
        body = await self._document(route, request, receive, log)
        asked = Asked(call, request, receive, headers, match.bucket, match.key, query, body, is_identified)
        if route.body is Body.OBJECT:
            log.bytes_in = request.content_length or 0
        _require_names(match)
        try:
            return await route.handler(self._api, asked)
        except StorageError as error:
            raise denied_write(error) if route.writes else error from None

    async def _identify(self, route: Route, headers: Mapping[str, str]) -> tuple[Principal, bool]:
        """Who calls, and whether a token says so. An open door takes a bad token for none; others refuse it."""
        if route.access in (Access.NOBODY, Access.SIGNED_URL):
            return self._nobody(), False
        authorization = headers.get("authorization")
        if not authorization:
            if route.access is Access.OPTIONAL:
                return self._nobody(), False
            raise invalid(_MISSING_TOKEN)
        scheme, _, token = authorization.partition(" ")
        try:
            if scheme.lower() != "bearer" or not token.strip():
                raise StorageError("InvalidToken")
            return await self._bearer(token.strip()), True
        except StorageError as error:
            refusal = refused_token(error)
            if route.access is Access.OPTIONAL:
                return self._nobody(), False
            raise refusal from None

    def _nobody(self) -> Principal:
        return Principal(self._tenant.id, ANONYMOUS_ROLE, AuthMethod.ANONYMOUS)

    def _call(self, request: RawRequest, headers: Mapping[str, str], principal: Principal, route: Route) -> Call:
        return Call(
            tenant=self._tenant,
            principal=principal,
            operation=route.operation,
            request_id=request.request_id,
            method=request.method,
            path=request.raw_path.decode("ascii"),
            headers_json=visible_headers(headers),
            client_address=request.client_address,
            secure=request.secure,
        )

    async def _document(self, route: Route, request: RawRequest, receive: Receive, log: RequestLog) -> Schema | None:
        """The JSON body, read to its end and held against its schema."""
        if route.body is not Body.JSON or route.document is None:
            return None
        body = open_body(request, receive, _UNSIGNED, self._api.limits.body, MAX_DOCUMENT_BYTES)
        content = await body.read_all(MAX_DOCUMENT_BYTES)
        log.bytes_in = len(content)
        try:
            return route.document.model_validate_json(content or b"{}")
        except ValidationError as error:
            raise invalid_document(error, "body") from None

    def _refusal(self, error: Exception, request_id: str, log: RequestLog) -> Response:
        if isinstance(error, Refusal):
            log.error_code = error.body.code
            return error.body.response()
        if not isinstance(error, StorageError) or error.code.name == "InternalError":
            _log.error("request_failed", request_id=request_id, operation=log.operation, exc_info=error)
        if not isinstance(error, StorageError):
            error = StorageError("InternalError")
        log.error_code = error.code.name
        return render(error)

    async def _send(self, response: Response, scope: Scope, send: Send, request_id: str) -> int:
        shared = cors.answer_headers(scope["headers"], self._origins)
        headers = (
            (b"x-request-id", request_id.encode("ascii")), *PROTECTIVE_HEADERS, *shared, *response.headers
        )  # fmt: skip
        return await send_response(
            Response(response.status, headers, response.body),
            send,
            idle_seconds=self._send_idle_seconds,
            head=scope["method"] == "HEAD",
            extensions=scope.get("extensions") or (),
        )


def _headers(request: RawRequest) -> dict[str, str]:
    """The headers by lower-case name. Raises StorageError(InvalidRequest) for repeats of what must be unique."""
    return {name.decode("latin-1"): request.header(name) or "" for name, _ in request.headers}


def _query(route: Route, request: RawRequest) -> Schema | None:
    if route.query is None:
        return None
    values: dict[str, str] = {}
    for name, value in request.query:
        values.setdefault(name, value)
    try:
        return route.query.model_validate(values)
    except ValidationError as error:
        raise invalid_document(error, "querystring") from None


def _require_names(match: Match) -> None:
    """A name that no statement could ask for is no name of anything."""
    if len(match.bucket.encode()) > 400:
        raise StorageError("NoSuchBucket")
    if len(match.key.encode()) > 4096:
        raise StorageError("KeyTooLongError")
