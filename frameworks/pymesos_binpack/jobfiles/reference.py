"""The keys of job files as tables, from the schema, with those of items (docs/job-files.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pymesos_binpack.jobfiles.checks import resolved
from pymesos_binpack.jobfiles.parsing import schema

Node = Mapping[str, Any]


def sections() -> str:
    """All of them, in Markdown."""
    places = _places()
    parts: list[str] = []
    for path, node, text in places.values():
        title = f"## `{path}`" if path else "## The job"
        rows = [_row(node, key, value, places) for key, value in _keys(node)]
        parts += [part for part in (title, text, _table(rows)) if part]
    return "\n\n".join(parts)


def _places() -> dict[int, tuple[str, Node, str]]:
    """Each mapping once: where it is met first, what it is, and what is said of it."""
    out: dict[int, tuple[str, Node, str]] = {}
    waiting: list[tuple[Node, str, str]] = [(schema(), "", "")]
    while waiting:
        node, path, text = waiting.pop(0)
        if id(node) in out:
            continue
        own = node.get("description", "") if path else ""
        out[id(node)] = path, node, " ".join(dict.fromkeys(part for part in (text, own) if part))
        for key, value in _keys(node):
            inner, mark = _mapping(value)
            if inner is not None:
                said = resolved(value, schema()).get("description", "")
                waiting.append((inner, f"{path}{'.' if path else ''}{key}{mark}", said))
    return out


def _keys(node: Node) -> Iterator[tuple[str, Node]]:
    yield from node.get("properties", {}).items()
    more = node.get("additionalProperties")
    if isinstance(more, dict):
        yield "(any other)" if node.get("properties") else "(name)", more


def _mapping(value: Node) -> tuple[Node | None, str]:
    """The mapping that a value is, or is a list of; the same object wherever it is meant."""
    while "$ref" in value:
        target: Any = schema()
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        value = target
    if "items" in value:
        return _mapping(value["items"])[0], "[]"
    return (value if "properties" in value or "additionalProperties" in value else None), ""


def _row(node: Node, key: str, value: Node, places: Mapping[int, Any]) -> tuple[str, ...]:
    merged = resolved(value, schema())
    default = json.dumps(merged["default"]) if "default" in merged else ""
    about = "required" if key in node.get("required", ()) else f"`{default}`" if default else ""
    inner, _ = _mapping(value)
    kind = _kind(merged)
    if inner is not None:
        kind = f"[{kind}](#{_anchor(places[id(inner)][0])})"
    return (f"`{key}`", kind, about, _limits(merged), merged.get("description", ""))


def _anchor(path: str) -> str:
    """The anchor of a section, as GitHub makes it."""
    return "".join(c for c in path.lower() if c.isalnum() or c in "-_")


def _kind(node: Node) -> str:
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    kinds = node.get("type", "")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    words = {"string": "text", "integer": "whole number", "boolean": "true or false",
             "array": "list", "object": "mapping"}  # fmt: skip
    text = " or ".join(words.get(kind, kind) for kind in kinds)
    if "items" in node and "string" in (resolved(node["items"], schema()).get("type", ""),):
        return f"{text} of text"
    return text


def _limits(node: Node) -> str:
    parts = []
    if "minimum" in node:
        parts.append(f"{node['minimum']:,} to {node['maximum']:,}")
    if "maxLength" in node:
        parts.append(f"at most {node['maxLength']:,} bytes")
    if "maxItems" in node:
        parts.append(f"at most {node['maxItems']:,}")
    if "maxProperties" in node:
        parts.append(f"at most {node['maxProperties']:,}")
    names = node.get("propertyNames", {})
    if "enum" in names:
        parts.append(f"of {', '.join(names['enum'])}")
    parts += [said for said in (node.get("expected"), names.get("expected")) if said]
    return "; ".join(parts)


def _table(rows: list[tuple[str, ...]]) -> str:
    lines = [("key", "type", "default", "limits", "what it is"), ("---",) * 5, *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
