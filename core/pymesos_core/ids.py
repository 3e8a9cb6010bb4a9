"""Ids and names from the network are hostile until they are checked here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from pymesos_core import limits
from pymesos_core.limits import Limit
from pymesos_core.text import quoted

# Control characters, marks of direction, joiners, halves of surrogates, ends of
# lines and paragraphs: nobody sees them, and some make others appear elsewhere.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_SECRET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}")
METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]{0,199}", re.ASCII)
_NAME_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_\-]{0,61}[A-Za-z0-9])?")
_HOST_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_USUAL = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_.\-]{0,254}")  # of an id, which is soon checked


def size_of(text: str) -> int:
    """The bytes of a text in UTF-8, also of one that cannot be encoded."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def hidden_character(text: str) -> str | None:
    """The first character that nobody sees, as `U+202E`, or None."""
    if text.isascii() and text.isprintable():
        return None
    found = next((c for c in text if unicodedata.category(c) in _HIDDEN), None)
    return None if found is None else f"U+{ord(found):04X}"


def name_problem(text: str, limit: Limit = limits.NAME) -> str | None:
    """Why `text` cannot be a name that people read, or None: blank, too long, invisible parts."""
    if not text:
        return f"{limit.what[0].lower()}{limit.what[1:]} must not be empty"
    if problem := limit.problem(size_of(text)):
        return problem
    if text[0].isspace() or text[-1].isspace():
        return f"{quoted(text)} begins or ends with white space"
    if (hidden := hidden_character(text)) is not None:
        return f"{quoted(text)} has a control character, or one that nobody sees: {hidden}"
    return None


def id_problem(text: str, limit: Limit = limits.ID) -> str | None:
    """Why `text` cannot be an id, or None.

    Mesos' rule (`src/common/validation.cpp`): not empty, at most 255 bytes, no '/', neither '.' nor
    '..', no control characters. Spaces within and letters beyond ASCII are fine. Ours: nothing that
    cannot be seen, as white space at either end or marks that change the direction of text.
    """
    if _USUAL.fullmatch(text):
        return None
    if problem := name_problem(text, limit):
        return problem
    if text in (".", ".."):
        return f"{quoted(text)} is not an id"
    if "/" in text or "\\" in text:
        return f"{quoted(text)} has a slash"
    return None


def hostname_problem(text: str) -> str | None:
    """Why `text` cannot be the name of a host, or None."""
    return id_problem(text, limits.HOSTNAME)


def secret_name_problem(name: str) -> str | None:
    """Why this cannot be the name of a secret, or of its file, or None."""
    if _SECRET_NAME.fullmatch(name):
        return None
    return (
        f"{quoted(name)} is no name of a secret or its file: at most 63 letters a-z and A-Z,"
        f" digits, -, _ and . are expected, with a letter or a digit first"
    )


def variable_name_problem(name: str) -> str | None:
    """Why this cannot be the name of a variable, or None."""
    if _VARIABLE_NAME.fullmatch(name):
        return None
    return (
        f"{quoted(name)} is no name of a variable: at most 63 letters a-z and A-Z, digits and _ are"
        f" expected, with a letter or _ first"
    )


def metric_problem(text: str) -> str | None:
    """Why `text` cannot be the name of a metric, or None; it may be empty."""
    if not text or METRIC.fullmatch(text):
        return None
    return (
        f"{quoted(text)} is no name of a metric: at most 200 letters a-z and A-Z, digits, _ and :"
        f" are expected, with none of the digits first"
    )


def name_part_problem(text: str) -> str | None:
    """Why `text` cannot be a part of a name by which clients find what serves, or None."""
    if _NAME_PART.fullmatch(text):
        return None
    return (
        f"{quoted(text)} is no part of a name: at most 63 letters a-z and A-Z, digits, - and _ are"
        f" expected, with a letter or a digit at both ends"
    )


def http_host_problem(text: str) -> str | None:
    """Why `text` cannot be the host that requests are for, or None."""
    labels = text.split(".")
    if len(text) <= limits.HOSTNAME.most and all(_HOST_LABEL.fullmatch(label) for label in labels):
        return None
    return (
        f"{quoted(text)} is no name of a host: small letters, digits and - are expected between"
        f" dots, as in shop.example.org"
    )


def is_variable(name: str) -> bool:
    """Whether it can be the name of a variable of the environment."""
    return _VARIABLE.fullmatch(name) is not None


def role_problem(role: str) -> str | None:
    """Why `role` cannot be a role, or None (Mesos' docs/roles.md, "Invalid Role Names")."""
    if role == "*":
        return None
    if not role:
        return "a role is expected, as in eng or eng/web; this one is empty"
    if problem := limits.ROLE.problem(size_of(role)):
        return problem
    if any(c.isspace() for c in role) or hidden_character(role) is not None:
        return f"role {quoted(role)} has white space or a control character"
    for part in role.split("/"):
        if part in ("", ".", "..", "*"):
            return (
                f"role {quoted(role)} has the invalid part {quoted(part)}: names are expected"
                f" between slashes, as in eng/web"
            )
        if part.startswith("-"):
            return f"role {quoted(role)} has a part that starts with '-'"
    return None


def numbered(prefix: str) -> Iterator[str]:
    """prefix0, prefix1, …: ids for a core that must not draw random numbers."""
    number = 0
    while True:
        yield f"{prefix}{number}"
        number += 1
