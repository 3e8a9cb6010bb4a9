"""The text of a job file, read: JSON as JSON, YAML as pymesos_core.documents has it."""

from __future__ import annotations

import json
from typing import Any

from pymesos_binpack.specs import JobError
from pymesos_core.documents import (
    DocumentError,
    Items,
    Plain,
    Section,
    read_yaml,
    real_value,
    whole_value,
)


def read_text(text: str | bytes) -> str:
    """Bytes as text. Raises JobError."""
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise JobError(
            f"line {line}: the job file is not text in UTF-8: it has the byte"
            f" 0x{text[error.start]:02x} there"
        ) from None


def read_document(text: str, *, only_json: bool = False) -> Any:
    """Parse JSON, or YAML (which JSON is, too, but for some of its escapes). Raises JobError."""
    try:
        if only_json or text.lstrip().startswith(("{", "[")):
            try:
                return _read_json(text)
            except json.JSONDecodeError as error:
                if only_json:
                    where = f"line {error.lineno}, column {error.colno}"
                    raise JobError(f"{where}: not JSON: {error.msg}") from None
        read = read_yaml(text)
    except DocumentError as error:
        raise JobError(str(error)) from None
    except RecursionError:
        raise JobError("the job file is nested too deeply") from None
    return read.value if isinstance(read, Plain) else read


def _read_json(text: str) -> Any:
    """Raises JobError, DocumentError, json.JSONDecodeError."""

    def whole(number: str) -> Plain:
        return Plain(whole_value(number), number)

    def real(number: str) -> Plain:
        return Plain(real_value(number), number)

    made = json.loads(
        text,
        object_pairs_hook=_json_section,
        parse_int=whole,
        parse_float=real,
        parse_constant=lambda name: Plain(float(name), name),
    )
    made = _with_lists(made)
    return made.value if isinstance(made, Plain) else made


def _json_section(pairs: list[tuple[str, Any]]) -> Section:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise JobError(f"the key {key[:80]!r} is given twice")
        seen.add(key)
    return Section((key, _with_lists(value)) for key, value in pairs)


def _with_lists(value: Any) -> Any:
    return Items(map(_with_lists, value)) if type(value) is list else value
