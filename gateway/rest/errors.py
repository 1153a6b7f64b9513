"""Errors as Supabase's clients know them: a JSON body whose ``statusCode`` is the real status, as a string.

The HTTP status is 400 for nearly all of them, because those clients were written so. The exceptions are what a client
or a proxy acts upon: failures of the server, overload, ranges, preconditions, and doors closed by role.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from gateway.errors import REST_ALIASES, RestAlias, StorageError
from gateway.wire.response import Response

JSON_TYPE: Final = (b"content-type", b"application/json; charset=utf-8")
NO_STORE: Final = (b"cache-control", b"no-store")
_NO_ALIAS: Final = RestAlias()
_TRUE_STATUS: Final = frozenset({304, 412, 416, 429, 500, 501, 503, 507})
_DENIED_WRITE: Final = "new row violates row-level security policy"
_TOKEN_REFUSALS: Final = frozenset({"InvalidToken", "ExpiredToken", "AccessDenied"})
_MESSAGES: Final = {
    "bool_parsing": "must be boolean",
    "bool_type": "must be boolean",
    "dict_type": "must be object",
    "extra_forbidden": "must NOT have additional properties",
    "finite_number": "must be integer",
    "float_parsing": "must be number",
    "int_from_float": "must be integer",
    "int_parsing": "must be integer",
    "int_parsing_size": "must be integer",
    "int_type": "must be integer",
    "json_invalid": "is not valid JSON",
    "list_type": "must be array",
    "literal_error": "must be equal to one of the allowed values",
    "model_attributes_type": "must be object",
    "model_type": "must be object",
    "string_sub_type": "must be string",
    "string_type": "must be string",
    "string_unicode": "must be string",
    "tuple_type": "must be array",
}


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """One answer: the HTTP status, and what the body says."""

    http_status: int
    status_code: str
    error: str
    message: str
    code: str

    def response(self, retry_after_seconds: int | None = None) -> Response:
        """As bytes. Never kept by a cache: it may be true for this caller alone."""
        document = {"statusCode": self.status_code, "error": self.error, "message": self.message, "code": self.code}
        headers = [JSON_TYPE, NO_STORE]
        if retry_after_seconds is not None:
            headers.append((b"retry-after", b"%d" % retry_after_seconds))
        return Response(self.http_status, tuple(headers), json.dumps(document, ensure_ascii=False).encode())


class Refusal(Exception):
    """A request that never reached an operation: no such route, a document that does not fit its schema."""

    def __init__(self, body: ErrorBody) -> None:
        self.body: Final = body
        super().__init__(body.message)


def unknown_route(method: str, path: str) -> Refusal:
    """No route has this method and path."""
    return Refusal(ErrorBody(404, "404", "Not Found", f"Route {method}:{path} not found", "InvalidRequest"))


def invalid(message: str) -> Refusal:
    """A document, header or parameter that does not fit."""
    return Refusal(ErrorBody(400, "400", "Error", message, "InvalidRequest"))


def wrong_role() -> Refusal:
    """A route for the service role alone."""
    return Refusal(ErrorBody(403, "403", "Unauthorized", "Access denied", "AccessDenied"))


def invalid_document(error: ValidationError, place: str) -> Refusal:
    """What a schema refused, in the words of the JSON-schema validators those clients' servers use. ``place`` is
    ``body`` or ``querystring``. Values are never repeated: they may be secrets."""
    problem: Any = error.errors(include_url=False, include_input=False)[0]
    path = [str(step) for step in problem["loc"] if not _is_branch(step)]
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "missing":
        return invalid(f"{'/'.join([place, *path[:-1]])} must have required property '{path[-1]}'")
    match kind:
        case "greater_than_equal":
            said = f"must be >= {context['ge']}"
        case "less_than_equal":
            said = f"must be <= {context['le']}"
        case "string_too_short":
            said = f"must NOT have fewer than {context['min_length']} characters"
        case "string_too_long":
            said = f"must NOT have more than {context['max_length']} characters"
        case "too_short":
            said = f"must NOT have fewer than {context['min_length']} items"
        case "too_long":
            said = f"must NOT have more than {context['max_length']} items"
        case "bucket_name":
            return Refusal(ErrorBody(400, "400", "Invalid Input", "Bucket name invalid", "InvalidBucketName"))
        case _:
            said = _MESSAGES.get(kind, str(problem["msg"]))
    return invalid(f"{'/'.join([place, *path])} {said}")


def _is_branch(step: Any) -> bool:
    """A step of pydantic's own: the branch of a union, a validator function."""
    return isinstance(step, str) and ("[" in step or step in ("int", "str", "nullable"))


def refused_token(error: StorageError) -> Refusal:
    """A bearer token that did not convince."""
    if error.code.name not in _TOKEN_REFUSALS:
        raise error
    expired = error.code.name == "ExpiredToken"
    message = '"exp" claim timestamp check failed' if expired else "Invalid Compact JWS"
    if error.code.name == "AccessDenied":
        message = "the role of the token is not allowed"
    return Refusal(ErrorBody(400, "403", "Unauthorized", message, "AccessDenied"))


def denied_write(error: StorageError) -> StorageError:
    """A refusal as routes that store something word it: a denial is one of a row."""
    if error.code.name == "AccessDenied" and error.message == error.code.message:
        return StorageError("AccessDenied", _DENIED_WRITE)
    return error


def render(error: StorageError) -> Response:
    """A refusal of the core."""
    name, alias = error.code.name, REST_ALIASES.get(error.code.name, _NO_ALIAS)
    status = alias.status or error.code.status
    own = error.message != error.code.message
    message = error.message if own else alias.message or error.message
    if status == 304:
        fields = error.fields
        headers = [(b"etag", fields["etag"].encode())] if "etag" in fields else []
        if "last_modified" in fields:
            headers.append((b"last-modified", fields["last_modified"].encode()))
        return Response(304, tuple(headers))
    if status == 307:
        return Response(307, ((b"location", error.fields["location"].encode("ascii")), NO_STORE))
    code = alias.code or name
    http_status = status if status in _TRUE_STATUS else 400
    body = ErrorBody(http_status, str(status), alias.error or code, message, code)
    return body.response(error.code.retry_after_seconds)
