"""Types of what the web page sends and is answered, for TypeScript, from the OpenAPI schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pymesos_core.json_dialect import Json
from pymesos_master.http.openapi import SCHEMAS, body_schema
from pymesos_master.http.routes import ROUTES
from pymesos_master.http.routes.table import JSON

HEAD = "// What the master answers. `make docs` writes it of the OpenAPI schemas: change those."
ANSWER = """\
/** What is answered to a GET of an address, whatever its query is. */
export type Answer<Address extends string> =
  Address extends `${infer Path}?${string}` ? AnswerAt<Path> : AnswerAt<Address>;
"""
DONE = "/** What is answered to a POST to a path. */\nexport "
BODY = "/** The body of a POST to a path. */\nexport "


def page_types() -> str:
    """Return a file with an exported type for each schema, and with that of each answer."""
    types = (
        f"/** {schema['description']} */\nexport type {name} = {of(schema)};"
        for name, schema in SCHEMAS.items()
    )
    read = (route for route in ROUTES if route.method == "GET" and route.content_type == JSON)
    deeds = [route for route in ROUTES if route.method == "POST"]
    by_path = (
        ANSWER + "\n" + by_paths("AnswerAt", {r.path: r.schema for r in read}, "unknown"),
        DONE + by_paths("Done", {r.path: r.schema for r in deeds}, "never"),
        BODY + by_paths("Body", {r.path: body_schema(r) for r in deeds}, "never"),
    )
    return "\n\n".join([HEAD, *types, *by_path]) + "\n"


def by_paths(name: str, schemas: Mapping[str, Json], otherwise: str) -> str:
    """Return a type of schemas by their paths; longer ones first, as `${string}` has slashes."""
    lines = (
        f"  Path extends `{re.sub('{.*?}', '${string}', path)}` ? {of(schemas[path])} :"
        for path in sorted(schemas, key=lambda path: (-path.count("/"), path))
    )
    return "\n".join([f"type {name}<Path extends string> =", *lines, f"  {otherwise};"])


def of(schema: dict[str, Any]) -> str:
    """Return the type of a JSON Schema."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "oneOf" in schema:
        return " | ".join(map(of, schema["oneOf"]))
    if "enum" in schema:
        return " | ".join(json.dumps(choice) for choice in schema["enum"])
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    return " | ".join(_of_kind(kind, schema) for kind in kinds)


def _of_kind(kind: str, schema: dict[str, Any]) -> str:
    if kind == "array":
        return f"({of(schema['items'])})[]"
    if kind == "object":
        return f"{{ {'; '.join(_fields(schema))} }}"
    return {"integer": "number"}.get(kind, kind)


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        yield f"{json.dumps(name)}{'' if name in required else '?'}: {of(field)}"
    more = schema.get("additionalProperties")
    if isinstance(more, dict) and more and "properties" not in schema:
        yield f"[name: string]: {of(more)}"
    elif more is not False:
        # TypeScript would have fields that are named be of the type of the others.
        yield "[name: string]: any"
