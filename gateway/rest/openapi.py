"""The JSON API's description, generated from the routes and schemas that serve it (OpenAPI 3.1)."""

import json
from functools import lru_cache
from typing import Any, Final

from gateway import __version__
from gateway.rest.api import json_response
from gateway.rest.routes import ROUTES, Access, Body, Route
from gateway.wire.response import Response

_ERROR: Final = {
    "type": "object",
    "required": ["statusCode", "error", "message", "code"],
    "properties": {
        "statusCode": {"type": "string", "description": "The real status; that of the answer is 400 for most errors"},
        "error": {"type": "string"},
        "message": {"type": "string"},
        "code": {"type": "string"},
    },
}


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
        "responses": {
            "200": {"description": "Done"},
            "default": {
                "description": "Refused",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
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


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
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
