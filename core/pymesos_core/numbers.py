"""Numbers as people and programs write them: one grammar, for flags, job files, quotas and traces.

Decimal digits of ASCII, with a sign, a point and an exponent where they make sense. What Python
would take besides (`1_0`, digits of other scripts, `inf`) is no number here.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation

from pymesos_core.text import quoted

MAX_CHARACTERS = 100  # of one number: more is no amount of anything, and takes long to read
WHOLE = re.compile(r"[-+]?[0-9]+")
DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class NumberSyntaxError(ValueError):
    """A text that is no number: the message says what it is and what was expected."""


def parse_decimal(text: str) -> Decimal:
    """Read a number exactly. Raises NumberSyntaxError."""
    try:
        return Decimal(_checked(text, DECIMAL, "a number"))
    except InvalidOperation:  # its exponent has twenty digits
        raise NumberSyntaxError(f"{quoted(text)} is out of range") from None


def parse_whole(text: str) -> int:
    """Read a whole number. Raises NumberSyntaxError."""
    return int(_checked(text, WHOLE, "a whole number"))


def parse_real(text: str) -> float:
    """Read a number as a float. Raises NumberSyntaxError, also for one that no float can hold."""
    number = float(_checked(text, DECIMAL, "a number"))
    if not math.isfinite(number) or is_lost(text, number):
        raise NumberSyntaxError(f"{quoted(text)} is out of range")
    return number


def is_lost(text: str, number: float) -> bool:
    """Whether what was written is not 0, and no float is that near to 0."""
    return number == 0 and any(c in "123456789" for c in re.split("[eE]", text)[0])


def _checked(text: str, grammar: re.Pattern[str], expected: str) -> str:
    text = text.strip(" \t")
    if len(text) > MAX_CHARACTERS:
        raise NumberSyntaxError(
            f"{quoted(text)} has {len(text)} characters; {expected} of at most {MAX_CHARACTERS} is"
            f" expected"
        )
    if not grammar.fullmatch(text):
        raise NumberSyntaxError(f"{quoted(text)} is not {expected}")
    return text
