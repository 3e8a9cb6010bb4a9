"""What somebody meant who typed what is not known: the nearest word that is, or all of them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

CLOSE = 0.6  # how alike, from 0 to 1, a word must be to be the one that was meant
LOOKED_AT = 100  # characters of what was typed; the rest is not compared
NAMED = 30  # words that a sentence names


def nearest(word: str, known: Iterable[str], closeness: float = CLOSE) -> str | None:
    """Return the known word that is most like one, if any is. Case, and - or _, do not count."""
    by_folded = {_folded(name): name for name in known}
    found = difflib.get_close_matches(_folded(word[:LOOKED_AT]), by_folded, 1, closeness)
    return by_folded[found[0]] if found else None


def hint(
    word: str,
    known: Iterable[str],
    others: str = "known are",
    shown: Callable[[str], str] = str,
    closeness: float = CLOSE,
) -> str:
    """Return `did you mean X?`; if nothing is near, which words are known, after `others`."""
    names = list(known)
    if (near := nearest(word, names, closeness)) is not None:
        return f"did you mean {shown(near)}?"
    more = ", …" if len(names) > NAMED else ""
    return f"{others} {', '.join(names[:NAMED])}{more}"


def _folded(word: str) -> str:
    return word.lower().replace("-", "_")
