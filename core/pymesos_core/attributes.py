"""Agent attributes: `rack:a;ssd:true`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pymesos_core.ids import hidden_character
from pymesos_core.text import quoted

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,63}")
MAX_VALUE_LENGTH = 255


class AttributeSyntaxError(ValueError):
    """An attribute that cannot be read."""


def parse_attributes(text: str) -> dict[str, str]:
    """Read `name:value;name:value`. Raises AttributeSyntaxError naming the part that is wrong."""
    out: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        name, colon, value = (p.strip() for p in part.partition(":"))
        if not colon or not value or not _NAME.fullmatch(name):
            raise AttributeSyntaxError(f"{quoted(part)} is not name:value, as in rack:a;ssd:true")
        if name in out:
            raise AttributeSyntaxError(f"{name} is given twice")
        if (hidden := hidden_character(value)) is not None:
            raise AttributeSyntaxError(f"{name} has a character that nobody sees: {hidden}")
        if len(value) > MAX_VALUE_LENGTH:
            raise AttributeSyntaxError(f"{name} has more than {MAX_VALUE_LENGTH} characters")
        out[name] = value
    return out


def format_attributes(attributes: Mapping[str, str]) -> str:
    """The form that `parse_attributes` reads."""
    return ";".join(f"{n}:{v}" for n, v in attributes.items())
