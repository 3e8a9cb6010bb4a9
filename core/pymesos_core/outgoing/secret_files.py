"""Secrets by which receivers know us: in files of their own, read when they are used."""

from __future__ import annotations

from pathlib import Path

from pymesos_core.outgoing.lanes import UnsentError
from pymesos_core.private import read_private
from pymesos_core.text import os_problem

MAX_SECRET_BYTES = 4096


def secret_problem(path: Path) -> str | None:
    """Why the file cannot be used; None: it can."""
    try:
        text = read_private(path, MAX_SECRET_BYTES + 1)
    except OSError as error:
        return os_problem(error)
    if len(text) > MAX_SECRET_BYTES:
        return f"{path} has more than {MAX_SECRET_BYTES} bytes"
    lines = text.strip().split(b"\n")
    if (
        len(lines) != 1
        or not lines[0].isascii()
        or not lines[0].strip().decode("ascii").isprintable()
    ):
        return f"{path} is to hold one line of ASCII"
    return None if lines[0].strip() else f"{path} is empty"


def read_secret(path: Path | None) -> str:
    """The line in the file. Raises UnsentError."""
    assert path is not None
    if problem := secret_problem(path):
        raise UnsentError(problem)
    try:
        return read_private(path, MAX_SECRET_BYTES).strip().decode("ascii")
    except (OSError, UnicodeDecodeError):
        raise UnsentError(f"{path} was changed while it was read") from None
