"""The keys of job files as tables, from the schema, with those of items (docs/jobs.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from pymesos_binpack.jobfiles.checks import resolved
from pymesos_binpack.jobfiles.parsing import schema

Node = Mapping[str, Any]
MOST_SHOWN = 80  # characters of an example that has its own section
ANY = ("(any other)", "(name)")  # how keys are shown that may have any name


def sections(job: Node) -> str:
    """Return all of them, in Markdown, with examples from a job."""
    places, examples = _places(), examples_of(job)
    parts: list[str] = []
    for path, node, text in places.values():
        title = f"## `{path}`" if path else "## The job"
        rows = [_row(node, key, value, places, examples) for key, value in _keys(node)]
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


def examples_of(job: Node) -> dict[tuple[int, str], Any]:
    """Return the first value that a job has for each key of each mapping, by the mapping's id."""
    out: dict[tuple[int, str], Any] = {}
    waiting: list[tuple[Node, Any]] = [(schema(), job)]
    while waiting:
        node, value = waiting.pop(0)
        for key, inner in _keys(node):
            for name in value.keys() - node.get("properties", {}) if key in ANY else {key}:
                if name in value:
                    out.setdefault((id(node), key), value[name])
                    waiting += [(m, v) for m, v in _mappings(inner, value[name])]
    return out


def _mappings(node: Node, value: Any) -> Iterator[tuple[Node, Any]]:
    """The mappings that a value is, or has as the items of its list."""
    inner, _ = _mapping(node)
    if inner is not None:
        yield from ((inner, each) for each in (value if isinstance(value, list) else [value]))


def without_example(job: Node) -> list[str]:
    """Return the keys of the schema that a job has not."""
    examples = examples_of(job)
    return [
        f"{path}{'.' if path else ''}{key}"
        for path, node, _ in _places().values()
        for key, _ in _keys(node)
        if (id(node), key) not in examples
    ]


def _keys(node: Node) -> Iterator[tuple[str, Node]]:
    yield from node.get("properties", {}).items()
    more = node.get("additionalProperties")
    if isinstance(more, dict):
        yield ANY[0] if node.get("properties") else ANY[1], more


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


def _row(
    node: Node,
    key: str,
    value: Node,
    places: Mapping[int, Any],
    examples: Mapping[tuple[int, str], Any],
) -> tuple[str, ...]:
    merged = resolved(value, schema())
    default = json.dumps(merged["default"]) if "default" in merged else ""
    about = "required" if key in node.get("required", ()) else f"`{default}`" if default else ""
    inner, _ = _mapping(value)
    kind = _kind(merged)
    if inner is not None:
        kind = f"[{kind}](#{_anchor(places[id(inner)][0])})"
    example = examples.get((id(node), key))
    shown = f"`{_as_yaml(example)}`" if example is not None else ""
    if inner is not None and len(shown) > MOST_SHOWN:
        shown = ""  # its own section has examples of its keys
    return (f"`{key}`", kind, about, shown, _limits(merged), merged.get("description", ""))


def _as_yaml(value: Any) -> str:
    """A value as it is written in a job file, on one line."""
    plain = json.loads(json.dumps(value))  # what was read knows its lines
    text = yaml.safe_dump(plain, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...").strip()


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
    lines = [("key", "type", "default", "example", "limits", "what it is"), ("---",) * 6, *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
