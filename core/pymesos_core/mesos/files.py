"""What is asked of files by Mesos' endpoints, as `/files/read`, and how it is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pymesos_core.mesos.refusing import RefusalError, bad_request

KINDS = ("browse", "read", "download", "debug")
_NUMBER = re.compile(r"-?[0-9]{1,18}")
HOW_LARGE = -1  # an offset, by which a client asks for the size alone
TO_THE_END = -1  # a length
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}


@dataclass(frozen=True)
class Part:
    """A part of a file."""

    offset: int
    length: int | None  # None: as much as an answer holds


def path_of(query: Mapping[str, str]) -> str:
    """Return the path that is asked for. Raises RefusalError."""
    if not (path := query.get("path")):
        raise bad_request("Expecting 'path=value' in query.\n")
    return path


def part_of(query: Mapping[str, str]) -> Part:
    """Return the part of a file that is asked for. Raises RefusalError."""
    offset, length = _number(query, "offset", HOW_LARGE), _number(query, "length", TO_THE_END)
    if offset == HOW_LARGE:
        return Part(HOW_LARGE, 0)
    return Part(offset, None if length == TO_THE_END else length)


def _number(query: Mapping[str, str], name: str, usual: int) -> int:
    text = query.get(name)
    if text is None:
        return usual
    if _NUMBER.fullmatch(text) is None:
        problem = f"Failed to convert '{text[:80]}' to number"
        raise bad_request(f"Failed to parse {name}: {problem}.\n")
    if (number := int(text)) < -1:
        raise bad_request(f"Negative {name} provided: {number}.\n")
    return number


def not_found(kind: str = "") -> RefusalError:
    """Return the refusal of a path that leads nowhere; Mesos says so in words for `download`."""
    return RefusalError(404, "404 Not Found." if kind == "download" else "", PLAIN)
