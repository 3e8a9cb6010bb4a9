"""The question before a command destroys something."""

from __future__ import annotations

import sys

import click


def confirm(question: str) -> None:
    """Ask on stderr whether to go on, and return if that is so.

    Raises click.Abort where it is not so, and click.UsageError where nobody can answer.
    """
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():  # Ctrl-C or Ctrl-D
            raise
        raise click.UsageError(
            "nobody can answer, as standard input has ended: --yes goes on without the question"
        ) from None
    if not agreed:
        raise click.Abort
