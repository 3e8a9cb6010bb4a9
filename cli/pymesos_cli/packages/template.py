"""The job of a package with the values of its options in it.

A template is a job file as data, and the values are put into that data: `@{port}` alone is the
value as it is, with its type; within other text it is text. So no value can become a key, a list
or another task, whatever it holds. A value is never part of a command, which a shell would read,
nor of the template of a config file: these have it from the environment.

A mapping with the key `@when` is there only if that option is neither false, zero, empty nor left
out; one with `@value` stands for that value. `@@{` stands for `@{`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pymesos_cli.packages.parts import PackageError
from pymesos_core.text import quoted

WHEN, VALUE = "@when", "@value"
# Keys whose texts are programs, and what reads them: no value is part of one.
PROGRAMS = {"command": "a shell", "template": "Jinja"}
_OPTION = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PLACE = re.compile(r"@@\{|@\{([a-z][a-z0-9_]{0,62})\}")
_OPENED = re.compile(r"(?<!@)@\{")
_ABSENT = object()

Values = Mapping[str, str | int | float | bool]


def rendered(template: Any, values: Values) -> Any:
    """Return the template with values in it. Raises PackageError for an option without one."""
    done = _filled(template, values, ())
    return {} if done is _ABSENT else done


def escaped(text: str) -> str:
    """Return a text that comes out of a template as it is."""
    return text.replace("@{", "@@{")


def options_of(template: Any) -> set[str]:
    """Return the options that a template asks for. Raises PackageError for what is none."""
    return set(_asked(template, ()))


def _asked(node: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == WHEN:
                yield _condition(value, path)
            elif "@{" in key:
                raise PackageError(f"{_at(path)}: the key {quoted(key)} is no place for an option")
            else:
                yield from _asked(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _asked(value, (*path, str(index)))
    elif isinstance(node, str):
        names = [match[1] for match in _PLACE.finditer(node) if match[1]]
        if len(names) != len(_OPENED.findall(node)):
            raise PackageError(f"{_at(path)}: @{{ begins the name of an option; write @@{{ for it")
        for key, reader in PROGRAMS.items() if names else ():
            if key in path:
                raise PackageError(
                    f"{_at(path)}: @{{{names[0]}}} stands in a {key}, which {reader} would read:"
                    f" put it into the environment, and let the {key} read that"
                )
        yield from names


def _condition(name: Any, path: tuple[str, ...]) -> str:
    if not isinstance(name, str) or _OPTION.fullmatch(name) is None:
        raise PackageError(f"{_at(path)}.{WHEN}: the name of an option is expected")
    return name


def _filled(node: Any, values: Values, path: tuple[str, ...]) -> Any:
    if isinstance(node, Mapping):
        if WHEN in node and not values.get(node[WHEN]):
            return _ABSENT
        if VALUE in node:
            return _filled(node[VALUE], values, path)
        inner = {k: _filled(v, values, (*path, k)) for k, v in node.items() if k != WHEN}
        return {key: value for key, value in inner.items() if value is not _ABSENT}
    if isinstance(node, list):
        items = (_filled(value, values, (*path, str(i))) for i, value in enumerate(node))
        return [value for value in items if value is not _ABSENT]
    return _with_values(node, values, path) if isinstance(node, str) else node


def _with_values(text: str, values: Values, path: tuple[str, ...]) -> Any:
    def value(name: str) -> Any:
        if name not in values:
            raise PackageError(f"the option {name} has no default: give it, --set {name}=…")
        return values[name]

    whole = _PLACE.fullmatch(text)
    if whole is not None and whole[1] and path[-2:-1] != ("env",):
        return value(whole[1])
    return _PLACE.sub(lambda match: as_text(value(match[1])) if match[1] else "@{", text)


def as_text(value: Any) -> str:
    """Return a value as text that a program is given."""
    return value if isinstance(value, str) else json.dumps(value)


def _at(path: tuple[str, ...]) -> str:
    return ".".join(("job", *path))
