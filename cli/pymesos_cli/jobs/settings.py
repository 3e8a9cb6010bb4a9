"""`run --set KEY=VALUE` changes a job file. A value is text unless the schema says otherwise."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping
from typing import Any

from pymesos_binpack.jobfiles.checks import below, resolved
from pymesos_binpack.jobfiles.parsing import schema
from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_core.documents import DocumentError, Section, put, read_yaml
from pymesos_core.nearest import hint
from pymesos_core.text import cut, quoted


def apply_settings(document: Any, settings: tuple[str, ...]) -> Any:
    """`tasks.web.instances=3`: a path of keys, list items by their name or index.

    Raises CliError.
    """
    if not settings:
        return document
    try:
        document = copy.deepcopy(document)
    except RecursionError:
        raise CliError("the job file is nested too deeply", EXIT_USAGE) from None
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise CliError(
                f"--set {quoted(setting)} is not KEY=VALUE, as in tasks.web.instances=3", EXIT_USAGE
            )
        _apply(document, path.split("."), text, setting)
    return document


def origins(document: Any, settings: tuple[str, ...]) -> dict[str, str]:
    """The setting that gave each value of a changed document, by the value's path."""
    out: dict[str, str] = {}
    for setting in settings:
        where, target = "", document
        with contextlib.suppress(CliError, LookupError, TypeError):
            for part in setting.partition("=")[0].split("."):
                key = _index(target, part, setting) if isinstance(target, list) else part
                where = f"{where}[{key}]" if isinstance(key, int) else f"{where}.{key}".lstrip(".")
                target = target[key]
            out[where] = f"--set {cut(setting)}"
    return out


def _apply(document: Any, path: list[str], text: str, setting: str) -> None:
    *parents, last = path
    target = document
    node: Mapping[str, Any] = schema()
    for part in parents:
        if not isinstance(target, list) and not below(node, part, schema()):
            raise _unknown(part, node, setting)
        target, node = _descend(target, part, setting), below(node, part, schema())
    key: str | int = last
    if isinstance(target, list):
        key = _index(target, last, setting)
    elif not isinstance(target, dict):
        raise CliError(f"--set {cut(setting)}: nothing can be set there", EXIT_USAGE)
    meant = below(node, last, schema())
    if not meant:
        raise _unknown(last, node, setting)
    put(target, key, _value(text, meant, setting))


def _unknown(key: str, node: Mapping[str, Any], setting: str) -> CliError:
    """The error for a key that is not there, with the nearest one, or with all that are."""
    known = sorted(resolved(node, schema()).get("properties", ()))
    meant = f"; {hint(key, known)}" if known else ""
    return CliError(f"--set {cut(setting)}: there is no key {quoted(key)}{meant}", EXIT_USAGE)


def _value(text: str, node: Mapping[str, Any], setting: str) -> Any:
    """As the schema has it: text as it is typed, anything else as in a job file."""
    kinds = node.get("type", "string")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "string" in kinds and not ("null" in kinds and text == "null"):
        return text
    if not text.strip():
        raise CliError(
            f"--set {cut(setting)}: a value is expected after =; null says that there is none",
            EXIT_USAGE,
        )
    try:
        return read_yaml(text)
    except DocumentError as error:
        raise CliError(f"--set {cut(setting)}: {error.problem}", EXIT_USAGE) from error


def _descend(target: Any, part: str, setting: str) -> Any:
    if isinstance(target, list):
        return target[_index(target, part, setting)]
    if isinstance(target, dict):
        if target.get(part) is None:
            put(target, part, Section())
        return target[part]
    raise CliError(f"--set {cut(setting)}: there is nothing below {quoted(part)}", EXIT_USAGE)


def _index(items: list[Any], part: str, setting: str) -> int:
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get("name") == part:
            return index
    if part.isascii() and part.isdigit() and len(part) < 6 and int(part) < len(items):
        return int(part)
    names = [str(i.get("name")) for i in items if isinstance(i, dict)]
    there = f"there are {', '.join(map(cut, names[:10]))}" if names else "the list is empty"
    raise CliError(f"--set {cut(setting)}: no item {quoted(part)}; {there}", EXIT_USAGE)
