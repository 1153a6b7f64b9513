"""The OpenAPI document of the admin API, out of its routes and models (https://spec.openapis.org/oas/v3.1.0)."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from gateway import __version__
from gateway.admin.models import Error
from gateway.admin.routes import DEFAULT_PAGE, ROUTES, Route
from gateway.tenants.registry import PAGE_LIMIT

_REFERENCE: Final = "#/components/schemas/{model}"
_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")


@cache
def document() -> dict[str, Any]:
    """The document, as JSON types."""
    inputs = {route.body for route in ROUTES if route.body is not None}
    answers = {route.answer for route in ROUTES if route.answer is not None} | {Error}
    pairs = [(model, "validation") for model in sorted(inputs, key=lambda model: model.__name__)]
    pairs += [(model, "serialization") for model in sorted(answers - inputs, key=lambda model: model.__name__)]
    _, schemas = models_json_schema(pairs, ref_template=_REFERENCE)  # type: ignore[arg-type]
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Rowlock admin API", "version": __version__},
        "security": [{"apikey": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "apikey": {"type": "apiKey", "in": "header", "name": "apikey"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


_QUERY: Final[Mapping[str, dict[str, Any]]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT, "default": DEFAULT_PAGE},
    "before": {"type": "integer"},
    "after": {"type": "string"},
    "tenant": {"type": "string"},
}


def _operation(route: Route) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]
    parameters += [{"name": name, "in": "query", "schema": _QUERY[name]} for name in sorted(route.parameters)]
    success: dict[str, Any] = {"description": route.summary}
    if route.answer is not None:
        success["content"] = _content(route.answer.__name__)
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": parameters,
        "responses": {
            str(route.status): success,
            "default": {"description": "A refusal", "content": _content(Error.__name__)},
        },
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(route.body.__name__)}
    return operation


def _content(model: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REFERENCE.format(model=model)}}}
