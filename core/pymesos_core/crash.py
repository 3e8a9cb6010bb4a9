"""What is kept of a fault: a line in the log, and a file in the role's own directory."""

from __future__ import annotations

import logging
import os
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

from pymesos_core import VERSION
from pymesos_core.clock import Now, utc
from pymesos_core.runner import Fault
from pymesos_core.text import cut

KEPT = 10  # the latest files
MAX_TEXT = 256 * 1024  # characters of each thing that a file shows

log = logging.getLogger(__name__)


def report(
    role: str,
    folder: Path | None,
    fault: Fault,
    stories: Iterable[tuple[str, object]],
    now: Now,
) -> Path | None:
    """Say it in the log and keep it in `folder`; the file, or None when there is none.

    `stories` are the objects that the event names, by what they are called.
    """
    path = None
    if folder is not None:
        path = _write(folder, crash_text(role, fault, stories, now), now)
    where = f"; all of it is in {path}" if path is not None else ""
    # Not the event nor the stories: they hold what peers sent, secrets among it.
    trace = _printable("".join(traceback.format_exception(fault.error)))
    log.critical("a fault in %s itself, which stops%s\n%s\n%s", role, where, fault, trace)
    return path


def crash_text(
    role: str, fault: Fault, stories: Iterable[tuple[str, object]], now: Now, most: int = MAX_TEXT
) -> str:
    """The event, what was being done, the stories of the objects it names, and the traceback."""
    parts = [
        f"{role} {VERSION} stopped at {utc(now.wall_s)} (process {os.getpid()})",
        f"event: {shown(fault.event, most)}",
    ]
    if fault.effect is not None:
        parts.append(f"while carrying out: {shown(fault.effect, most)}")
    parts += _told(stories, most)
    parts.append("".join(traceback.format_exception(fault.error)))
    return _printable("\n\n".join(parts))


def _printable(text: str) -> str:
    """A text that a terminal may show, with what a peer sent in it."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def _told(stories: Iterable[tuple[str, object]], most: int) -> list[str]:
    """The core was left half-way, so this may fail, too."""
    out: list[str] = []
    try:
        out.extend(f"story of the {name}: {shown(thing, most)}" for name, thing in stories)
    except Exception as error:
        out.append(f"no more can be told: {error!r}")
    return out


def _write(folder: Path, text: str, now: Now) -> Path | None:
    """For its owner only, since tasks have secrets. A disk that is full stops nobody here."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"crash-{utc(now.wall_s).replace(':', '')}-{os.getpid()}.txt"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        for old in sorted(folder.glob("crash-*.txt"))[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.error("the crash file cannot be written: %s", error)
        return None
    return path


def shown(thing: object, most: int = MAX_TEXT) -> str:
    """What an object is, as by `repr`, in about `most` characters: no more of it is looked at.

    A framework may have ten thousand tasks, and all of the role waits while they are shown.
    """
    try:
        return "".join(_pieces(thing, _Room(most), ()))
    except Exception as error:
        return f"a {type(thing).__name__} that cannot be shown: {error!r}"


@dataclass
class _Room:
    """How many characters there is room for."""

    left: int


def _pieces(thing: object, room: _Room, above: tuple[int, ...]) -> Iterator[str]:
    """The parts of an object's text; those it has no room for, or is in itself, are left out."""
    if room.left <= 0 or id(thing) in above:
        yield "…"
        return
    inner = (*above, id(thing))
    if is_dataclass(thing) and not isinstance(thing, type):
        named = ((f"{f.name}=", getattr(thing, f.name, None)) for f in fields(thing))
        yield from _group(type(thing).__name__ + "(", named, ")", room, inner)
    elif isinstance(thing, tuple) and (names := getattr(thing, "_fields", ())):  # a NamedTuple
        named = ((f"{name}=", part) for name, part in zip(names, thing, strict=True))
        yield from _group(type(thing).__name__ + "(", named, ")", room, inner)
    elif isinstance(thing, Mapping):
        yield from _group("{", ((f"{k!r}: ", v) for k, v in thing.items()), "}", room, inner)
    elif isinstance(thing, list | tuple | set | frozenset | deque):
        yield from _group("[", (("", item) for item in thing), "]", room, inner)
    else:
        if isinstance(thing, str | bytes) and len(thing) > room.left:
            text = f"{thing[: room.left]!r}… ({len(thing)} in all)"
        else:
            text = cut(repr(thing), room.left)
        room.left -= len(text)
        yield text


def _group(
    begin: str, parts: Iterable[tuple[str, object]], end: str, room: _Room, above: tuple[int, ...]
) -> Iterator[str]:
    room.left -= len(begin) + len(end)
    yield begin
    for number, (name, part) in enumerate(parts):
        if room.left <= 0:
            yield ", …"
            break
        lead = f", {name}" if number else name
        room.left -= len(lead)
        yield lead
        yield from _pieces(part, room, above)
    yield end
