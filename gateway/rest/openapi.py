"""The JSON API's description, generated from the routes and schemas that serve it (OpenAPI 3.1)."""

import json
from functools import lru_cache
from typing import Any, Final

from gateway import __version__
from gateway.rest.answers import ANSWERS, BYTES
from gateway.rest.api import json_response
from gateway.rest.routes import ROUTES, Access, Body, Route
from gateway.wire.response import Response

_ERROR: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["statusCode", "error", "message", "code"],
    "properties": {
        "statusCode": {
            "type": "string",
            "pattern": "^[45][0-9]{2}$",
            "description": "The real status; that of the answer is 400 for most errors",
        },
        "error": {"type": "string"},
        "message": {"type": "string"},
        "code": {"type": "string"},
    },
}


_REFUSED: Final = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_REFUSALS: Final = {
    "400": "Refused; ``statusCode`` says why",
    "429": "Too many requests for the database",
    "500": "A failure of the server",
    "501": "Not implemented",
    "503": "A resource is not there for the moment",
    "507": "No room is left",
}
_REFUSALS_OF_BYTES: Final = {"412": "A precondition does not hold", "416": "The range is not of this object"}
_FOR_THE_SERVICE: Final = {"403": "For the service role alone"}


@lru_cache(maxsize=8)
def _encoded(mount: str) -> bytes:
    return json.dumps(document(mount), separators=(",", ":")).encode()


def response(mount: str) -> Response:
    """The description of the API as it is mounted here."""
    return Response(200, json_response({}).headers, _encoded(mount))


def document(mount: str) -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    definitions: dict[str, Any] = {"Error": _ERROR}
    for route in ROUTES:
        for method in route.methods:
            paths.setdefault(route.path, {})[method.lower()] = _operation(route, method, definitions)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Rowlock storage API", "version": __version__},
        "servers": [{"url": mount or "/"}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "schemas": definitions,
        },
    }


def _operation(route: Route, method: str, definitions: dict[str, Any]) -> dict[str, Any]:
    summary = (route.handler.__doc__ or route.name).strip().partition("\n")[0]
    described: dict[str, Any] = {
        "operationId": route.name if method != "HEAD" else f"{route.name}Head",
        "summary": summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route, definitions)],
        "responses": _responses(route, method),
    }
    if route.access is Access.TOKEN:
        described["security"] = [{"bearer": []}]
    elif route.access is Access.OPTIONAL:
        described["security"] = [{"bearer": []}, {}]
    if route.document is not None:
        name = _define(route.document.model_json_schema(ref_template="#/components/schemas/{model}"), definitions)
        schema = {"$ref": f"#/components/schemas/{name}"}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    elif route.body is Body.OBJECT:
        file = {"type": "string", "format": "binary"}
        form = {"type": "object", "properties": {"cacheControl": {}, "metadata": {}, "file": file}}
        described["requestBody"] = {
            "required": True,
            "content": {"*/*": {"schema": file}, "multipart/form-data": {"schema": form}},
        }
    return described


def _responses(route: Route, method: str) -> dict[str, Any]:
    """The statuses that are sent; most refusals have their real one inside."""
    refusals = dict(_REFUSALS)
    found: dict[str, Any] = {"200": {"description": "Done"}}
    if route.name in ANSWERS:
        found["200"]["content"] = {"application/json": {"schema": ANSWERS[route.name]}}
    elif route.name in BYTES:
        content = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
        found["200"]["content"] = content
        found["206"] = {"description": "A part of the object", "content": content}
        found["304"] = {"description": "What the caller has is still the object"}
        refusals |= _REFUSALS_OF_BYTES
    if route.operation == "storage.object.purge_cache":
        refusals |= _FOR_THE_SERVICE
    for status, description in refusals.items():
        found[status] = {"description": description} | ({"content": _REFUSED} if method != "HEAD" else {})
    return found


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in ("bucket", "key")
        if f"{{{name}}}" in route.path
    ]


def _query_parameters(route: Route, definitions: dict[str, Any]) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    schema = route.query.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions.update(schema.pop("$defs", {}))
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": each}
        for name, each in schema.get("properties", {}).items()
    ]


def _define(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    definitions.update(schema.pop("$defs", {}))
    title: str = schema["title"]
    definitions[title] = schema
    return title
