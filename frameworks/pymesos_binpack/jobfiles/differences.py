"""In which keys two documents of a job differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

OF_ENVIRONMENT = frozenset({"env", "variables"})
OF_PACKAGES = ("package", "options")  # from which environments are made
MAX_SHOWN = 200  # characters of a value


class Difference(NamedTuple):
    """A key whose values differ; they are JSON, cut short, and empty where there is none."""

    path: str
    before: str
    after: str


def differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """Return the keys that differ; items that have names are told apart by these."""
    before, after = _by_name(before), _by_name(after)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            inner = f"{path}.{key}" if path else str(key)
            if key not in before or key not in after:
                yield Difference(inner, _shown(before, key), _shown(after, key))
            else:
                yield from differences(before[key], after[key], inner)
    elif before != after:
        yield Difference(path, _cut(before), _cut(after))


def is_of_environment(difference: Difference) -> bool:
    """Whether the values are of environments and the like, which not everybody may read."""
    parts = difference.path.split(".")
    return not OF_ENVIRONMENT.isdisjoint(parts) or parts[:2] == list(OF_PACKAGES)


def without_environments(document: Any, within: str = "") -> Any:
    """Return a document with the values of environments, variables and options left out."""
    if isinstance(document, Mapping):
        return {
            key: dict.fromkeys(value, "")
            if isinstance(value, Mapping)
            and (key in OF_ENVIRONMENT or (within, key) == OF_PACKAGES)
            else without_environments(value, key)
            for key, value in document.items()
        }
    if isinstance(document, list):
        return [without_environments(item) for item in document]
    return document


def _by_name(value: Any) -> Any:
    if not isinstance(value, list) or not value:
        return value
    names = [item.get("name") for item in value if isinstance(item, Mapping)]
    named = len(names) == len(value) == len(set(map(str, names))) and None not in names
    return dict(zip(names, value, strict=True)) if named else value


def _shown(values: Mapping[str, Any], key: str) -> str:
    return _cut(values[key]) if key in values else ""


def _cut(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
