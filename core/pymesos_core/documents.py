"""Text that people write, read by the core schema of YAML 1.2: job files, and files of settings.

So `0100` is a hundred, and `yes`, `no` and `1:30` are text. What is read remembers how its plain
values were written, for the sentences that refuse them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from pymesos_core.numbers import DECIMAL, MAX_CHARACTERS, WHOLE, is_lost

_TAG = "tag:yaml.org,2002:"
_NOT = "not YAML or JSON: "  # JSON is YAML, too
_PLAIN = "plain"  # what stands there without quotes and without a tag
_OTHER_INT = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_INFINITE = re.compile(r"([-+]?)(\.inf|\.Inf|\.INF)|(\.nan|\.NaN|\.NAN)")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SLIPS = {  # by how the parser's words begin
    "expected <block end>": "is the line indented as those that it belongs to?",
    "mapping values are not allowed": "is the line indented as those that it belongs to? Text with"
    " a colon and a blank in it stands in quotes",
    "could not find expected ':'": "a key is followed by a colon and a blank",
    "found character '\\t'": "lines are indented by blanks, not by tabs",
    "found character '%'": "text that begins so stands in quotes",
    "found character '@'": "text that begins so stands in quotes",
    "found character '`'": "text that begins so stands in quotes",
}
_KINDS = {"null": type(None), "bool": bool, "int": int, "float": float}


class DocumentError(ValueError):
    """A text cannot be read: the message begins with the line, if one is known."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem if line is None else f"line {line}: {problem}")
        self.problem = problem
        self.line = line


@dataclass(frozen=True, slots=True)
class Plain:
    """A number, a boolean or null, with how it was written."""

    value: Any
    written: str


class Section(dict[str, Any]):
    """A mapping; `written` has its plain values as they stand there."""

    def __init__(self, items: Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__()
        self.written: dict[str, str] = {}
        self.lines: dict[str, int] = {}  # where its keys stand, if that is known
        for key, value in items:
            put(self, key, value)


class Items(list[Any]):
    """A list; `written` has its plain values as they stand there."""

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


def read_yaml(text: str) -> Any:
    """A Section, Items, text or Plain. Raises DocumentError."""
    try:
        node = yaml.compose(text, Loader=_Composer)  # type: ignore[arg-type]
    except yaml.reader.ReaderError as error:
        raise DocumentError(
            f"{_NOT}the character U+{ord(text[error.position]):04X} cannot stand there; in double"
            f" quotes it can be written as an escape",
            text.count("\n", 0, error.position) + 1,
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise DocumentError(
            f"{_NOT}{problem}{_slip(problem)}", mark.line + 1 if mark else None
        ) from None
    except DocumentError:
        raise
    except (ValueError, OverflowError):
        raise DocumentError(f"{_NOT}an escape is beyond Unicode") from None
    except RecursionError:
        raise DocumentError("it is nested too deeply") from None
    return Plain(None, "") if node is None else _value(node)


def _slip(problem: str) -> str:
    """What somebody may have done for whom the parser's words are not enough; or nothing."""
    for begins, slip in _SLIPS.items():
        if problem.startswith(begins):
            return f"; {slip}"
    return ""


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
            raise DocumentError("anchors and aliases (&, *) are not supported", mark.line + 1)
        return super().compose_node(parent, index)

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0]:
            return _PLAIN
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


def _value(node: yaml.Node) -> Any:
    line = node.start_mark.line + 1
    kind = node.tag.removeprefix(_TAG)
    if isinstance(node, yaml.MappingNode) and kind == "map":
        return _section(node)
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return Items(map(_value, node.value))
    if not isinstance(node, yaml.ScalarNode) or kind not in (_PLAIN, "str", *_KINDS):
        raise DocumentError(f"{_NOT}the tag {node.tag[:80]} is not supported", line)
    if kind == "str":
        return _joined(node.value)
    try:
        value = plain_value(node.value)
    except DocumentError as error:
        raise DocumentError(error.problem, line) from None
    if kind in _KINDS and not isinstance(value, _KINDS[kind]):
        raise DocumentError(f"{node.value[:80]!r} is not of the tag !!{kind}", line)
    return value if isinstance(value, str) else Plain(value, node.value)


def _section(node: yaml.MappingNode) -> Section:
    made = Section()
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = _value(key_node)
        if not isinstance(key, str):
            shown = key.written if isinstance(key, Plain) else "of several values"
            raise DocumentError(f"the key {shown[:80]} is not text; quote it", line)
        if key in made:
            raise DocumentError(f"the key {key[:80]!r} is given twice", line)
        put(made, key, _value(value_node))
        made.lines[key] = line
    return made


def plain_value(text: str) -> Any:
    """What stands there without quotes, by the core schema of YAML 1.2. Raises DocumentError."""
    if text in _WORDS:
        return _WORDS[text]
    if WHOLE.fullmatch(text):
        return whole_value(text)
    if _OTHER_INT.fullmatch(text):
        return int(_bounded(text), 0)
    if DECIMAL.fullmatch(text):
        return real_value(text)
    if match := _INFINITE.fullmatch(text):
        return float("nan" if match[3] else f"{match[1]}inf")
    return text


def whole_value(text: str) -> int:
    """A whole number as it is written in a document. Raises DocumentError."""
    return int(_bounded(text))


def real_value(text: str) -> float:
    """A number as it is written in a document. Raises DocumentError."""
    number = float(_bounded(text))
    if is_lost(text, number):
        raise DocumentError(f"{text} is nearer to 0 than any number that can be kept")
    return number


def _bounded(number: str) -> str:
    """Raises DocumentError for what would take long to read, and is no amount of anything."""
    if len(number) > MAX_CHARACTERS:
        raise DocumentError(
            f"a number of {len(number)} digits is too long; {MAX_CHARACTERS} are read"
        )
    return number


def _joined(text: str) -> str:
    """JSON writes what is beyond U+FFFF as two escapes, the halves of one character."""
    if text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
