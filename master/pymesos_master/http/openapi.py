"""The OpenAPI document, made of the table of routes."""

from __future__ import annotations

from collections.abc import Iterable

from pymesos_core import VERSION
from pymesos_core.json_dialect import Json
from pymesos_master.http.asking import Parameter
from pymesos_master.http.routes import Route
from pymesos_master.http.schemas import SCHEMAS, ref

PATH = "/v1/openapi.json"
ERROR = {
    "description": "The request was refused, or has failed: a sentence says why.",
    "content": {"application/json": {"schema": ref("Error")}},
}


def document(routes: Iterable[Route]) -> Json:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pymesos",
            "version": VERSION,
            "description": "What operators read of a cluster. Times are ISO 8601 in UTC, mem and"
            " disk are in MiB, what is not known is null.",
        },
        "security": [{"certificate": []}],
        "paths": {route.path: {"get": _operation(route)} for route in routes},
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "certificate": {
                    "type": "mutualTLS",
                    "description": "A certificate of an operator, in a cluster that has them.",
                }
            },
        },
    }


def _operation(route: Route) -> Json:
    operation: Json = {
        "operationId": route.path.strip("/").replace("/", "_"),
        "summary": route.what,
        "parameters": [_parameter(parameter) for parameter in route.parameters],
        "responses": {
            "200": {
                "description": "It is answered.",
                "content": {"application/json": {"schema": route.schema}},
            },
            "default": ERROR,
        },
    }
    return operation | {"security": []} if route.open else operation


def _parameter(parameter: Parameter) -> Json:
    schema = parameter.schema
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.what,
        "schema": {"type": "array", "items": schema} if parameter.many else schema,
    }
