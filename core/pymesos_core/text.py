"""Words for people: what somebody typed, quoted; numbers of things."""

from __future__ import annotations

QUOTED = 60  # characters of what was typed that a sentence repeats


def cut(text: str, most: int = QUOTED) -> str:
    """A text of at most `most` characters; where it was longer it ends in `…`."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def quoted(text: str) -> str:
    """What somebody typed, in quotes, with what cannot be seen as escapes, and cut."""
    shown = repr(text[: QUOTED + 1])  # no more of it than can be shown: it may be long
    return shown if len(text) <= QUOTED else f"{cut(shown)}{shown[0]}"


def count_of(number: int, what: str, plural: str = "") -> str:
    """1 task, 2 tasks."""
    return f"{number} {what}" if number == 1 else f"{number} {plural or f'{what}s'}"
