"""Words for people: what somebody typed, quoted; numbers of things."""

from __future__ import annotations

import json
import re

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./*-]*")  # also within [ ] and { }
_NO_TEXTS = ("true", "false", "null", "True", "False", "Null", "TRUE", "FALSE", "NULL")
QUOTED = 60  # characters of what was typed that a sentence repeats


def cut(text: str, most: int = QUOTED) -> str:
    """A text of at most `most` characters; where it was longer it ends in `…`."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def quoted(text: str) -> str:
    """What somebody typed, in quotes, with what cannot be seen as escapes, and cut."""
    some = text[: QUOTED + 1]  # no more of it than can be shown: it may be long
    raw = _bytes_of(some) if any("\udc80" <= c <= "\udcff" for c in some) else None
    shown = repr(some) if raw is None else repr(raw)[1:]
    return shown if len(text) <= QUOTED else f"{cut(shown)}{shown[0]}"


def _bytes_of(text: str) -> bytes | None:
    """What was typed, where not all is text: Python keeps such bytes as halves of characters."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return None


def one_line(text: str, most: int) -> str:
    """What can be seen of a text, in one line, as for a log."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut(text, most))


def in_yaml(text: str) -> str:
    """A text as YAML reads it back: in quotes where it needs them, as `*` does."""
    return text if _PLAIN.fullmatch(text) and text not in _NO_TEXTS else json.dumps(text)


def count_of(number: int, what: str, plural: str = "") -> str:
    """1 task, 2 tasks."""
    return f"{number} {what}" if number == 1 else f"{number} {plural or f'{what}s'}"


_UNITS = (("day", 86400.0, 3600.0), ("hour", 3600.0, 60.0), ("minute", 60.0, 1.0))


def duration(seconds: float) -> str:
    """How long: 0.5 s, 75 s, 12 minutes, 1 hour 30 minutes, 1000 days.

    In the largest unit, with what is left in the next one, if it is any.
    """
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if not 120 <= seconds < 1e12:
        return f"{seconds:.3g} s"
    for unit, length_s, smaller_s in _UNITS:
        whole, rest = divmod(round(seconds / smaller_s), round(length_s / smaller_s))
        if whole:
            smaller = {3600.0: "hour", 60.0: "minute"}.get(smaller_s)
            left = count_of(rest, smaller) if smaller else f"{rest} s"
            return f"{count_of(whole, unit)} {left}" if rest else count_of(whole, unit)
    raise AssertionError("from 120 s on there is a minute")


def os_problem(error: OSError) -> str:
    """What the operating system refused, without its number: `/x: Permission denied`."""
    said = error.strerror or str(error)
    named = error.filename is not None and not isinstance(error.filename, int)  # a descriptor
    return f"{error.filename}: {said}" if named else said
