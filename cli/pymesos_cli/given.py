"""Files that are named on a command line; `-` is standard input."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_core.confirming import asking
from pymesos_core.text import os_problem


@contextlib.contextmanager
def given(file: str | Path) -> Iterator[BinaryIO]:
    """A file, opened to be read. Ctrl-C ends a wait for what is in it, as of a pipe, at once.

    Raises CliError where it cannot be read.
    """
    try:
        with asking(), sys.stdin.buffer if str(file) == "-" else Path(file).open("rb") as stream:
            yield stream
    except OSError as error:
        of_stdin = "standard input cannot be read: " if str(file) == "-" else ""
        raise CliError(of_stdin + os_problem(error), EXIT_USAGE) from error
