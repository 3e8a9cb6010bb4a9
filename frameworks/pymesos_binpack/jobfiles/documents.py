"""The text of a job file, read: JSON as JSON, YAML by the core schema of YAML 1.2.

So `0100` is a hundred, and `yes`, `no` and `1:30` are text. What is read remembers how its plain
values were written, for the sentences that refuse them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from pymesos_binpack.specs import JobError
from pymesos_core.numbers import DECIMAL, MAX_CHARACTERS, WHOLE

_TAG = "tag:yaml.org,2002:"
_PLAIN = "plain"  # what stands there without quotes and without a tag
_OTHER_INT = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_INFINITE = re.compile(r"([-+]?)(\.inf|\.Inf|\.INF)|(\.nan|\.NaN|\.NAN)")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_KINDS = {"null": type(None), "bool": bool, "int": int, "float": float}


@dataclass(frozen=True, slots=True)
class Plain:
    """A number, a boolean or null, with how it was written."""

    value: Any
    written: str


class Section(dict[str, Any]):
    """A mapping of a job file; `written` has its plain values as they stand there."""

    def __init__(self, items: Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__()
        self.written: dict[str, str] = {}
        for key, value in items:
            put(self, key, value)


class Items(list[Any]):
    """A list of a job file; `written` has its plain values as they stand there."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        self.written: dict[int, str] = {}
        for index, value in enumerate(values):
            self.append(None)
            put(self, index, value)


def put(target: Any, key: Any, value: Any) -> None:
    """Set one item of a mapping or a list, and keep in mind how it was written."""
    written = getattr(target, "written", {})
    written.pop(key, None)
    if isinstance(value, Plain):
        target[key], written[key] = value.value, value.written
    else:
        target[key] = value


def written_at(document: Any, path: Iterable[Any]) -> str | None:
    """How the plain value at a path was written, if that is known."""
    *parents, last = path
    for part in parents:
        document = document[part]
    found = getattr(document, "written", {}).get(last)
    return found if found is None else str(found)


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
    except RecursionError:
        raise JobError("the job file is nested too deeply") from None
    return read.value if isinstance(read, Plain) else read


def _read_json(text: str) -> Any:
    """Raises JobError, json.JSONDecodeError."""

    def whole(number: str) -> Plain:
        return Plain(int(_bounded(number)), number)

    def real(number: str) -> Plain:
        return Plain(float(_bounded(number)), number)

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


def read_yaml(text: str) -> Any:
    """A Section, Items, text or Plain. Raises JobError with the line."""
    try:
        node = yaml.compose(text, Loader=_Composer)  # type: ignore[arg-type]
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise JobError(
            f"line {line}: not YAML or JSON: the character U+{ord(text[error.position]):04X}"
            f" cannot stand there; in double quotes it can be written as an escape"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise JobError(f"{where}not YAML or JSON: {problem}") from None
    except OverflowError:
        raise JobError("not YAML or JSON: an escape is beyond Unicode") from None
    except ValueError as error:  # as of an escape beyond Unicode
        raise JobError(f"not YAML or JSON: {error}") from None
    return Plain(None, "") if node is None else _value(node)


class _Composer(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser,
                yaml.composer.Composer, yaml.resolver.BaseResolver):  # fmt: skip
    """YAML without aliases, which can grow without bound, and without a meaning of its own."""

    def __init__(self, stream: str) -> None:
        yaml.reader.Reader.__init__(self, stream)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)
        yaml.composer.Composer.__init__(self)
        yaml.resolver.BaseResolver.__init__(self)

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise JobError(f"line {mark.line + 1}: anchors and aliases (&, *) are not supported")
        return super().compose_node(parent, index)

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0]:
            return _PLAIN
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


def _value(node: yaml.Node) -> Any:
    line = node.start_mark.line + 1
    kind = node.tag.removeprefix(_TAG)
    if isinstance(node, yaml.MappingNode) and kind == "map":
        return Section(_yaml_pairs(node))
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return Items(map(_value, node.value))
    if not isinstance(node, yaml.ScalarNode) or kind not in (_PLAIN, "str", *_KINDS):
        raise JobError(f"line {line}: not YAML or JSON: the tag {node.tag[:80]} is not supported")
    if kind == "str":
        return _joined(node.value)
    try:
        value = plain_value(node.value)
    except JobError as error:
        raise JobError(f"line {line}: {error}") from None
    if kind in _KINDS and not isinstance(value, _KINDS[kind]):
        raise JobError(f"line {line}: {node.value[:80]!r} is not of the tag !!{kind}")
    return value if isinstance(value, str) else Plain(value, node.value)


def _yaml_pairs(node: yaml.MappingNode) -> Iterable[tuple[str, Any]]:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = _value(key_node)
        if not isinstance(key, str):
            shown = key.written if isinstance(key, Plain) else "of several values"
            raise JobError(f"line {line}: the key {shown[:80]} is not text; quote it")
        if key in seen:
            raise JobError(f"line {line}: the key {key[:80]!r} is given twice")
        seen.add(key)
        yield key, _value(value_node)


def plain_value(text: str) -> Any:
    """What stands there without quotes, by the core schema of YAML 1.2. Raises JobError."""
    if text in _WORDS:
        return _WORDS[text]
    if WHOLE.fullmatch(text):
        return int(_bounded(text))
    if _OTHER_INT.fullmatch(text):
        return int(_bounded(text), 0)
    if DECIMAL.fullmatch(text):
        return float(_bounded(text))
    if match := _INFINITE.fullmatch(text):
        return float("nan" if match[3] else f"{match[1]}inf")
    return text


def _bounded(number: str) -> str:
    """Raises JobError for what would take long to read, and is no amount of anything."""
    if len(number) > MAX_CHARACTERS:
        raise JobError(f"a number of {len(number)} digits is too long; {MAX_CHARACTERS} are read")
    return number


def _joined(text: str) -> str:
    """JSON writes what is beyond U+FFFF as two escapes, the halves of one character."""
    if text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
