"""What is kept of a fault: a line in the log, and a file in the role's own directory."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Iterable
from pathlib import Path

from pymesos_core import VERSION
from pymesos_core.clock import Now, utc
from pymesos_core.runner import Fault

KEPT = 10  # the latest files
MAX_TEXT = 256 * 1024  # characters of each thing that a file shows

log = logging.getLogger(__name__)


def report(
    role: str, folder: Path | None, fault: Fault, stories: Iterable[str], now: Now
) -> Path | None:
    """Say it in the log and keep it in `folder`; the file, or None when there is none."""
    told = _told(stories)
    path = None
    if folder is not None:
        path = _write(folder, crash_text(role, fault, told, now, MAX_TEXT), now)
    where = f"; all of it is in {path}" if path is not None else ""
    # Not the event nor the stories: they hold what peers sent, secrets among it.
    trace = _printable("".join(traceback.format_exception(fault.error)))
    log.critical("a fault in %s itself, which stops%s\n%s\n%s", role, where, fault, trace)
    return path


def crash_text(role: str, fault: Fault, stories: Iterable[str], now: Now, most: int) -> str:
    """The event, what was being done, the stories of the objects it names, and the traceback."""
    parts = [
        f"{role} {VERSION} stopped at {utc(now.wall_s)} (process {os.getpid()})",
        f"event: {_shown(fault.event, most)}",
    ]
    if fault.effect is not None:
        parts.append(f"while carrying out: {_shown(fault.effect, most)}")
    parts += [f"story: {_clipped(story, most)}" for story in stories]
    parts.append("".join(traceback.format_exception(fault.error)))
    return _printable("\n\n".join(parts))


def _printable(text: str) -> str:
    """A text that a terminal may show, with what a peer sent in it."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def _told(stories: Iterable[str]) -> list[str]:
    """The core was left half-way, so this may fail, too."""
    out: list[str] = []
    try:
        out.extend(stories)
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


def _shown(thing: object, most: int) -> str:
    try:
        return _clipped(repr(thing), most)
    except Exception as error:
        return f"a {type(thing).__name__} that cannot be shown: {error!r}"


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters in all)"
