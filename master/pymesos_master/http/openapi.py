"""The OpenAPI document, made of the table of routes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

from pymesos_core import VERSION
from pymesos_core.json_dialect import Json
from pymesos_core.security.access_tokens import SESSION_COOKIE
from pymesos_master.http import job_schemas, schemas
from pymesos_master.http.asking import Parameter
from pymesos_master.http.routes.table import Route
from pymesos_master.http.schemas import ref
from pymesos_proto.v1 import operator_pb2 as pb

SCHEMAS = {**schemas.SCHEMAS, **job_schemas.SCHEMAS}
PATH = "/v1/openapi.json"
SAID = {200: "It is answered.", 101: "The WebSocket is open; the schema is of what is sent first."}
ERROR = {
    "description": "The request was refused, or has failed: a sentence says why.",
    "content": {"application/json": {"schema": ref("Error")}},
}


def route(routes: Iterable[Route]) -> Route:
    """The route to the document of others."""
    made = document(routes)
    return Route(
        PATH,
        "The document.",
        "GetHealth",
        {"type": "object"},
        lambda asked: pb.GetHealthRequest(),
        lambda answer: made,
        here=True,
    )


def document(routes: Iterable[Route]) -> Json:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pymesos",
            "version": VERSION,
            "description": "What operators see and do. Times are ISO 8601 in UTC, mem and disk are"
            " in MiB, what is not known is null.",
        },
        "security": [{"certificate": []}, {"access_token": []}, {"session": []}],
        "paths": {
            path: {route.method.lower(): _operation(route) for route in of}
            for path, of in groupby(sorted(routes, key=lambda r: r.path), lambda r: r.path)
        },
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "access_token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token, by HTTPS, in a cluster that has certificates.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": SESSION_COOKIE,
                    "description": "Of a browser that has signed in; POST needs Pymesos-Csrf, too.",
                },
                "certificate": {
                    "type": "mutualTLS",
                    "description": "A certificate of an operator, in a cluster that has them.",
                },
            },
        },
    }


def _operation(route: Route) -> Json:
    operation: Json = {
        "operationId": re.sub(r"\W+", "_", route.path.strip("/")),
        "summary": route.what,
        "parameters": [
            *(_parameter(parameter, "path") for parameter in route.in_path),
            *(_parameter(parameter, "query") for parameter in route.parameters),
        ],
        "responses": {
            str(route.status): {
                "description": SAID[route.status],
                "content": {route.content_type: {"schema": route.schema}},
            },
            "default": ERROR,
        },
    }
    if route.method == "POST":
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body_schema(route)}},
        }
    return operation | {"security": []} if route.open else operation


def body_schema(route: Route) -> Json:
    """The schema of the object that a route takes."""
    schema: Json = {
        "type": "object",
        "properties": {field.name: _field(field) for field in route.body},
        "additionalProperties": False,
    }
    if required := [field.name for field in route.body if field.required]:
        schema["required"] = required
    return schema


def _field(field: Parameter) -> Json:
    schema = field.schema
    if field.many:
        schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": field.many}
    return schema | {"description": field.what}


def _parameter(parameter: Parameter, place: str) -> Json:
    schema = parameter.schema
    if parameter.many:
        schema = {"type": "array", "items": schema, "maxItems": parameter.many}
    return {
        "name": parameter.name,
        "in": place,
        "required": parameter.required,
        "description": parameter.what,
        "schema": schema,
    }
