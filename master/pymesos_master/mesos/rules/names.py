"""Ids and roles, as `src/common/validation.cpp` and `roles.cpp` of Mesos check them."""

from __future__ import annotations

import re

NAME_MAX = 255  # bytes of an id, which may be a folder's name
_INVALID = re.compile(r"[\x00-\x1f\x7f/\\]")
_BLANK = re.compile(r"[\t\n\v\f\r \x7f]")


def id_problem(text: str) -> str | None:
    """Why it is no id, or None."""
    if not text:
        return "ID must not be empty"
    if len(text.encode("utf-8", "surrogatepass")) > NAME_MAX:
        return f"ID must not be greater than {NAME_MAX} characters"
    if text in (".", ".."):
        return f"'{text}' is disallowed"
    if _INVALID.search(text):
        return f"'{text}' contains invalid characters"
    return None


def role_problem(role: str) -> str | None:
    """Why it is no role, or None."""
    if role == "*":
        return None
    if role.startswith("/"):
        return f"Role '{role}' cannot start with a slash"
    if role.endswith("/"):
        return f"Role '{role}' cannot end with a slash"
    if "//" in role:
        return f"Role '{role}' cannot contain two adjacent slashes"
    if not role:
        return "Role names cannot be the empty string"
    for part in role.split("/"):
        if part in (".", "..", "*"):
            return f"Role '{role}' cannot include '{part}' as a component"
        if part.startswith("-"):
            return f"Role component '{part}' is invalid because it starts with a dash"
        if _BLANK.search(part):
            return f"Role component '{part}' is invalid because it contains backspace or whitespace"
    return None
