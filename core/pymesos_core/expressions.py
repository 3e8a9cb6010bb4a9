"""Regular expressions from outside.

Whoever sends one chooses what it costs, so they are RE2's, which take time linear in the text, and
their size is bounded. Python's `re` is for what is written in this code (tests/unit/test_house.py).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import re2

from pymesos_core.text import quoted

MAX_PATTERN_BYTES = 1024
MAX_INSTRUCTIONS = 1000
MEM_BYTES = 256 * 1024  # of the automaton; beyond it RE2 goes on slower, and linear still


class ExpressionError(ValueError):
    """Not an expression, or too large a one: the message says which."""


class Expression(Protocol):
    """What is asked of one here."""

    def fullmatch(self, text: str) -> object | None:
        """The match of the whole text, or None."""
        ...

    def search(self, text: str) -> object | None:
        """The first match, or None."""
        ...


@lru_cache(maxsize=1024)
def compile_expression(
    text: str, instructions_max: int = MAX_INSTRUCTIONS, mem_bytes: int = MEM_BYTES
) -> Expression:
    """An expression in RE2's syntax. Raises ExpressionError."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ExpressionError(f"{quoted(text)} is not text that UTF-8 can hold") from None
    if size > MAX_PATTERN_BYTES:
        raise ExpressionError(f"its pattern has more than {MAX_PATTERN_BYTES} bytes")
    options = re2.Options()
    options.max_mem = mem_bytes
    options.log_errors = False
    try:
        compiled: Any = re2.compile(text, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        raise ExpressionError(
            f"{quoted(text)} is not a regular expression of RE2: {_text(said)}"
        ) from None
    if compiled.programsize > instructions_max:
        raise ExpressionError(
            f"{quoted(text)} is too complex: {compiled.programsize} instructions,"
            f" at most {instructions_max} are due"
        )
    expression: Expression = compiled
    return expression


def _text(said: str | bytes) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said
