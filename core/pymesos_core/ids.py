"""Ids from the network are hostile until they are checked here."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

MAX_ID_LENGTH = 255


def id_problem(text: str) -> str | None:
    """Why `text` cannot be an id, or None.

    Mesos' rule (`src/common/validation.cpp`): not empty, at most 255 characters, no '/', neither
    '.' nor '..', no control characters. Spaces and letters beyond ASCII are fine.
    """
    if not text:
        return "an id must not be empty"
    if len(text) > MAX_ID_LENGTH:
        return f"an id has at most {MAX_ID_LENGTH} characters, this one {len(text)}"
    if text in (".", ".."):
        return f"{text!r} is not an id"
    if "/" in text or "\\" in text:
        return f"{text!r} has a slash"
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
        return f"{text!r} has a control character"
    return None


def role_problem(role: str) -> str | None:
    """Why `role` cannot be a role, or None (Mesos' docs/roles.md, "Invalid Role Names")."""
    if role == "*":
        return None
    if len(role) > MAX_ID_LENGTH:
        return f"a role has at most {MAX_ID_LENGTH} characters"
    if any(c.isspace() or unicodedata.category(c) == "Cc" for c in role):
        return f"role {role!r} has white space or a control character"
    for part in role.split("/"):
        if part in ("", ".", "..", "*"):
            return f"role {role!r} has the invalid part {part!r}"
        if part.startswith("-"):
            return f"role {role!r} has a part that starts with '-'"
    return None


def numbered(prefix: str) -> Iterator[str]:
    """prefix0, prefix1, …: ids for a core that must not draw random numbers."""
    number = 0
    while True:
        yield f"{prefix}{number}"
        number += 1
