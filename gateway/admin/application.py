"""The ASGI application of the admin API: one key, compared in constant time, before more of a request is looked at
than whether it only asks for the process's health.

Whatever it changes is audited by the control database, in the same transaction, under the actor named here.
"""

import asyncio
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import structlog
from pydantic import ValidationError

from gateway.admin import openapi
from gateway.admin.models import Error, Model
from gateway.admin.routes import DEFAULT_PAGE, ROUTES, Asked, Route
from gateway.administration import Administration, describe_refusal
from gateway.compose import FleetBackends, Place, control_database_url, open_session
from gateway.config import Settings
from gateway.errors import StorageError
from gateway.jobs.health import DATABASE, Check, Readiness, database_check
from gateway.telemetry.events import RequestLog
from gateway.tenants.control import Actor, acting
from gateway.tenants.errors import RegistryError, TakenError
from gateway.tenants.registry import PAGE_LIMIT
from gateway.tenants.secrets import SecretError
from gateway.wire.drain import Receive, Send
from gateway.wire.headers import PROTECTIVE_HEADERS

_log = structlog.get_logger(__name__)

MAX_BODY_BYTES: Final = 256 * 1024
ACTOR: Final = "admin API"
STATUS: Final = "/status"
OPEN_PATHS: Final = frozenset({STATUS, "/health/ready"})
"""What is answered without the key: it tells names and nothing else."""

_MALFORMED: Final = "The body is not a JSON document of the expected form."
_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")
_NEWEST: Final = 2**63 - 1


class Admin:
    """Answers operators. What it opens at lifespan start-up it closes at shutdown.

    Raises ValueError when the settings hold no key: there is no admin API without one.
    """

    def __init__(self, settings: Settings, gateway_url: str) -> None:
        if settings.admin_api_key is None:
            raise ValueError("the admin API needs a key")
        self._settings: Final = settings
        self._control_url: Final = control_database_url(settings, gateway_url)
        # Digests, so that the comparison takes as long whatever the lengths are.
        self._key: Final = sha256(settings.admin_api_key.get_secret_value().encode()).digest()
        self._routes: Final = [(re.compile(_PARAMETER.sub(r"(?P<\1>[^/]+)", route.path)), route) for route in ROUTES]
        self._stack: Final = AsyncExitStack()
        self._administration: Administration | None = None
        self._gateway_url: Final = gateway_url
        self._readiness: Readiness | None = None

    async def start(self) -> None:
        """Open the control database. Raises SecretError."""
        self._administration = await self._stack.enter_async_context(
            Administration.open(self._settings, self._control_url)
        )
        backends = await asyncio.to_thread(FleetBackends.open, self._settings)
        self._stack.push_async_callback(backends.close)
        checks: dict[str, Check] = {"control": self._administration.control.ping}
        if not self._settings.multi_tenant:
            place = Place.of_single_tenant(self._settings, self._gateway_url)
            session = open_session(self._settings, place, pool_size=1)
            await session.open()
            self._stack.push_async_callback(session.close)
            checks = {DATABASE: database_check(session)}
        self._readiness = Readiness(checks | dict(backends.checks))

    async def close(self) -> None:
        """Close it."""
        await self._stack.aclose()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        log: RequestLog = scope.setdefault("rowlock.log", RequestLog())
        log.door = "admin"
        request_id: str = scope.setdefault("rowlock.request_id", secrets.token_hex(8).upper())
        retry_after: int | None = None
        try:
            status, document = await self._answer(scope, receive, request_id, log)
        except Exception as error:
            refusal = _refusal(error)
            if refusal.code.name == "InternalError":
                _log.error("admin_request_failed", request_id=request_id, exc_info=error)
            log.error_code = refusal.code.name
            status, retry_after = refusal.code.status, refusal.code.retry_after_seconds
            document = Error(code=refusal.code.name, message=refusal.message, request_id=request_id).model_dump()
        await _send(send, status, document, request_id, retry_after)

    async def _answer(self, scope: Any, receive: Receive, request_id: str, log: RequestLog) -> tuple[int, Any]:
        path = _path(scope["raw_path"])
        log.operation = "admin"
        if scope["method"] == "GET" and path in OPEN_PATHS:
            return await self._health(path)
        self._authenticate(scope["headers"])
        if path == "/openapi.json" and scope["method"] == "GET":
            return 200, openapi.document()
        route, parameters = self._find(scope["method"], path)
        log.operation = route.name
        asked = _asked(route, parameters, scope["query_string"], await _body(route, scope, receive))
        assert self._administration is not None  # noqa: S101 - requests come after the lifespan's start
        client = scope.get("client")
        with acting(Actor(ACTOR, client[0] if client else "", request_id)):
            answer = await route.handler(self._administration, asked)
        return route.status, None if answer is None else answer.model_dump(mode="json")

    async def _health(self, path: str) -> tuple[int, Any]:
        """Whoever watches over this process has no key: is it alive, is it ready?"""
        if path == STATUS:
            return 200, None
        assert self._readiness is not None  # noqa: S101 - requests come after the lifespan's start
        report = await self._readiness.report()
        return 200 if report.is_ready else 503, report.document

    def _authenticate(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Raises AccessDenied for a missing, wrong or repeated key."""
        given = []
        for name, value in headers:
            if name == b"apikey":
                given.append(value)
            elif name == b"authorization":
                scheme, _, token = value.partition(b" ")
                given.append(token.strip() if scheme.lower() == b"bearer" else b"")
        if len(given) != 1 or not hmac.compare_digest(sha256(given[0]).digest(), self._key):
            raise StorageError("AccessDenied")

    def _find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        known = False
        for pattern, route in self._routes:
            match = pattern.fullmatch(path)
            if match is not None:
                known = True
                if route.method == method:
                    return route, match.groupdict()
        raise StorageError("MethodNotAllowed") if known else StorageError("NoSuchEntity", "There is no such route.")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})


def _path(raw_path: bytes) -> str:
    try:
        return unquote(raw_path.decode("ascii"), errors="strict")
    except UnicodeError:
        raise StorageError("InvalidURI") from None


async def _body(route: Route, scope: Any, receive: Receive) -> Model | None:
    """The document, valid. Raises InvalidArgument; names what is wrong, never its value, which may be a secret."""
    if route.body is None:
        return None
    content = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise StorageError("IncompleteBody")
        content += message.get("body", b"")
        if len(content) > MAX_BODY_BYTES:
            raise StorageError("MaxMessageLengthExceeded")
        more = message.get("more_body", False)
    try:
        return route.body.model_validate_json(bytes(content))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise StorageError("InvalidArgument", f"{where}: {problem['msg']}" if where else _MALFORMED) from None
    except RecursionError:
        raise StorageError("InvalidArgument", _MALFORMED) from None


def _asked(route: Route, path: dict[str, str], raw_query: bytes, body: Model | None) -> Asked:
    try:
        query = parse_qs(raw_query.decode("ascii"), keep_blank_values=True, max_num_fields=16, errors="strict")
    except ValueError:
        raise StorageError("InvalidURI") from None
    for name, values in query.items():
        if name not in route.parameters or len(values) != 1 or "\0" in values[0]:
            raise StorageError("InvalidArgument", f"This route takes no such parameter: {name[:64]}")
    return Asked(
        path=path,
        after=query.get("after", [""])[0],
        before=_number(query, "before", _NEWEST, _NEWEST),
        limit=_number(query, "limit", DEFAULT_PAGE, PAGE_LIMIT),
        tenant=query["tenant"][0] if "tenant" in query else None,
        body=body,
    )


def _number(query: Mapping[str, list[str]], name: str, default: int, most: int) -> int:
    if name not in query:
        return default
    text = query[name][0]
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and 1 <= int(text) <= most):
        raise StorageError("InvalidArgument", f"{name} is a number from 1 to {most}")
    return int(text)


def _refusal(error: Exception) -> StorageError:
    if isinstance(error, StorageError):
        return error
    if isinstance(error, TakenError):
        return StorageError("EntityAlreadyExists", str(error))
    if isinstance(error, RegistryError):
        return describe_refusal(error)
    if isinstance(error, SecretError):
        return StorageError("ServiceUnavailable", str(error))
    return StorageError("InternalError")


async def _send(send: Send, status: int, document: Any, request_id: str, retry_after: int | None) -> None:
    content = b"" if document is None else json.dumps(document, ensure_ascii=False).encode()
    headers = [
        (b"content-length", b"%d" % len(content)),
        (b"x-request-id", request_id.encode("ascii")),
        (b"cache-control", b"no-store"),
        *PROTECTIVE_HEADERS,
    ]
    if document is not None:
        headers.append((b"content-type", b"application/json"))
    if retry_after is not None:
        headers.append((b"retry-after", b"%d" % retry_after))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
