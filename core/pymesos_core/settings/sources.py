"""Sources of settings: a TOML or YAML file, and the environment.

A file is a flat table of settings by their names. It is read whole, at most 64 KiB of it.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pymesos_core.documents import DocumentError, Plain, Section, read_yaml

MAX_BYTES = 64 * 1024
SUFFIXES = (".toml", ".yaml", ".yml")
_AT_LINE = re.compile(r"^(?P<what>.*) \(at line (?P<line>[0-9]+), column [0-9]+\)$", re.S)

_AS_OF_BARE_TEXT = ("Invalid value", "Expected newline or end of document")


class FileError(ValueError):
    """A file of settings cannot be read: the message names the file, and the line if it can."""


@dataclass(frozen=True)
class Entry:
    """One key of a file."""

    key: str
    value: object
    where: str  # "/etc/pymesos/agent.toml:3"


def read_file(path: Path) -> list[Entry]:
    """All keys of a file, in its order. Raises FileError."""
    if path == Path():
        raise FileError("it is empty; a TOML or YAML file is expected")
    if path.suffix not in SUFFIXES:
        raise FileError(
            f"{_name(path)} is named neither .toml nor .yaml; the name says how it is written"
        )
    text = _read_text(path)
    try:
        return _read_toml(path, text) if path.suffix == ".toml" else _read_yaml(path, text)
    except RecursionError:
        raise FileError(f"{_name(path)} is nested too deeply; a flat table is expected") from None


def _name(path: Path) -> str:
    return _shown(str(path))


def _shown(text: str) -> str:
    return text if text.isprintable() else ascii(text)


def _read_text(path: Path) -> str:
    name = _name(path)
    try:
        # A FIFO would be waited for without O_NONBLOCK.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise FileError(f"cannot read {name}: {error.strerror}") from error
    except ValueError as error:
        raise FileError(f"cannot read {name}: its name has a NUL byte") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            what = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
            raise FileError(f"{name} is {what}; a TOML or YAML file is expected")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileError(f"cannot read {name}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if len(data) > MAX_BYTES:
        raise FileError(f"{name} has more than {MAX_BYTES // 1024} KiB, the most that is read")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise FileError(
            f"{name}:{line}: the byte 0x{data[error.start]:02x} is not UTF-8; UTF-8 text is"
            f" expected"
        ) from None


def _read_toml(path: Path, text: str) -> list[Entry]:
    name = _name(path)
    try:
        found = tomllib.loads(text)
    except ValueError as error:
        at = _AT_LINE.match(str(error))
        if at is None and "(at end of document)" not in str(error):
            # Not tomllib's own, but Python's of a number or a date.
            raise FileError(f"{name}: not TOML: a number or a date in it is out of range") from None
        where = f"{name}:{at['line']}" if at else name
        what = at["what"] if at else str(error)
        slip = "; text stands in quotes" if what.startswith(_AS_OF_BARE_TEXT) else ""
        raise FileError(f"{where}: not TOML: {what}{slip}") from None
    return [Entry(key, value, _toml_line(name, text, key)) for key, value in found.items()]


def _toml_line(name: str, text: str, key: str) -> str:
    """Where a key stands; without a line if that is not certain, as within a text of many lines."""
    heads = [
        number
        for number, line in enumerate(text.splitlines(), 1)
        if re.match(r"\s*\[*\s*[\"']?([^\"'=\s\].]*)", line)[1] == key  # type: ignore[index]
    ]
    return f"{name}:{heads[0]}" if len(heads) == 1 else name


def _read_yaml(path: Path, text: str) -> list[Entry]:
    name = _name(path)
    try:
        found = read_yaml(text)
    except DocumentError as error:
        raise FileError(f"{_place(name, error.line)}: {error.problem}") from None
    if isinstance(found, Plain) and found.value is None:
        return []
    if not isinstance(found, Section):
        raise FileError(f"{name}: `name: value` is expected")
    return [Entry(key, value, _place(name, found.lines[key])) for key, value in found.items()]


def _place(name: str, line: int | None) -> str:
    return name if line is None else f"{name}:{line}"
