"""The STS front: ``POST /`` with a form, or ``GET /?Action=…``, beside S3 on the same port.

Neither is a request S3 knows, so no request has two readings. The order is that of the S3 front, except that the body
is read first: its hash is what the client signed. It is small, and bounded in size and time.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import structlog

from gateway.auth.identify import Identify
from gateway.context import Principal, ServiceAddress
from gateway.errors import StorageError
from gateway.sts.actions import Actions, Elements
from gateway.sts.errors import StsError, invalid, of_storage_error
from gateway.telemetry.events import RequestLog
from gateway.wire.addressing import resolve
from gateway.wire.body import BodyLimits, ClientDisconnected, open_body
from gateway.wire.drain import Application
from gateway.wire.headers import PROTECTIVE_HEADERS
from gateway.wire.request import RawRequest
from gateway.wire.response import Response, send_response
from sigv4 import Payload, PayloadMode

_log = structlog.get_logger(__name__)

VERSION: Final = "2011-06-15"
MAX_BODY_BYTES: Final = 64 * 1024
MAX_PARAMETERS: Final = 64
STS_ACTIONS: Final = ("AssumeRole", "AssumeRoleWithWebIdentity", "GetCallerIdentity", "GetSessionToken")

_NAMESPACE: Final = f"https://sts.amazonaws.com/doc/{VERSION}/"
_FORM: Final = b"application/x-www-form-urlencoded"
# What XML 1.0 has no way to write.
_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNSIGNED: Final = Payload(PayloadMode.UNSIGNED)

Action = Callable[[Mapping[str, str], Principal], Awaitable[Elements]]


class StsFront:
    """An ASGI application that speaks STS and leaves every other request to ``otherwise``."""

    def __init__(
        self,
        identify: Identify,
        actions: Actions,
        otherwise: Application,
        *,
        domain: str | None,
        body_limits: BodyLimits,
        send_idle_seconds: float,
    ) -> None:
        self._identify: Final = identify
        self._otherwise: Final = otherwise
        self._domain: Final = domain
        self._body_limits: Final = body_limits
        self._send_idle_seconds: Final = send_idle_seconds
        handlers = (
            actions.assume_role,
            actions.assume_role_with_web_identity,
            actions.get_caller_identity,
            actions.get_session_token,
        )
        self._actions: Final[Mapping[str, Action]] = dict(zip(STS_ACTIONS, handlers, strict=True))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["raw_path"] != b"/" or not _looks_like_sts(scope) or not self._is_service(scope):
            await self._otherwise(scope, receive, send)
            return
        log: RequestLog = scope["rowlock.log"]
        request_id: str = scope["rowlock.request_id"]
        try:
            response = await self._answer(scope, receive, request_id, log)
        except ClientDisconnected:
            log.error_code = "ClientDisconnected"
            return
        except Exception as error:
            response = _refusal(error, request_id, log)
        log.bytes_out = await send_response(response, send, idle_seconds=self._send_idle_seconds)

    def _is_service(self, scope: Any) -> bool:
        """Whether the host is the service's own and no bucket's; a head that cannot be read is S3's to refuse."""
        try:
            return isinstance(resolve(RawRequest.from_scope(scope, ""), self._domain), ServiceAddress)
        except StorageError:
            return False

    async def _answer(self, scope: Any, receive: Any, request_id: str, log: RequestLog) -> Response:
        log.door, log.operation = "sts", "sts"
        request = RawRequest.from_scope(scope, request_id)
        stream = open_body(request, receive, _UNSIGNED, self._body_limits, MAX_BODY_BYTES)
        body = await stream.read_all(MAX_BODY_BYTES)
        log.bytes_in = len(body)
        parameters = _parameters(body if request.method == "POST" else request.raw_query)
        name, version = parameters.pop("Action", ""), parameters.pop("Version", "")
        action = self._actions.get(name) if version == VERSION else None
        if action is None:
            raise StsError("InvalidAction", f"Could not find operation {name[:64]} for version {version[:32]}")
        log.operation = name
        digest = hashlib.sha256(body).hexdigest().encode("ascii")
        caller = await self._identify.service(request, "sts", digest)
        log.access_key_id = caller.access_key_id
        result = await action(parameters, caller)
        content = f"<{name}Result>{_rendered(result)}</{name}Result>"
        return _document(
            200, f"{name}Response", f"{content}<ResponseMetadata>{_id(request_id)}</ResponseMetadata>", request_id
        )


def _looks_like_sts(scope: Any) -> bool:
    if scope["method"] == "POST":
        return any(name == b"content-type" and value.lower().startswith(_FORM) for name, value in scope["headers"])
    return scope["method"] == "GET" and b"Action=" in scope["query_string"]


def _parameters(encoded: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            encoded.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(encoded),
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError:
        raise StsError("MalformedInput", "The parameters are not a form.") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise invalid("A parameter is given twice.")
    if any("\0" in value for value in found.values()):
        raise invalid("A parameter holds a NUL.")
    return found


def _refusal(error: Exception, request_id: str, log: RequestLog) -> Response:
    if isinstance(error, StorageError):
        error = of_storage_error(error)
    if not isinstance(error, StsError):
        _log.error("request_failed", request_id=request_id, operation=log.operation, exc_info=error)
        error = StsError("InternalFailure", "The request failed for an unknown reason.", 500)
    log.error_code = error.code
    kind = "Receiver" if error.status >= 500 else "Sender"
    elements = _rendered({"Type": kind, "Code": error.code, "Message": error.message})
    return _document(error.status, "ErrorResponse", f"<Error>{elements}</Error>{_id(request_id)}", request_id)


def _document(status: int, root: str, content: str, request_id: str) -> Response:
    text = f'<{root} xmlns="{_NAMESPACE}">{content}</{root}>'
    headers = (
        (b"x-amzn-requestid", request_id.encode("ascii")),
        (b"content-type", b"text/xml"),
        (b"cache-control", b"no-store"),
        *PROTECTIVE_HEADERS,
    )
    return Response(status, headers, text.encode("utf-8", "replace"))


def _id(request_id: str) -> str:
    return f"<RequestId>{request_id}</RequestId>"


def _text(value: str) -> str:
    return escape(_ILLEGAL.sub("\ufffd", value))


def _rendered(elements: Elements) -> str:
    return "".join(
        f"<{name}>{_text(value) if isinstance(value, str) else _rendered(value)}</{name}>"
        for name, value in elements.items()
    )
