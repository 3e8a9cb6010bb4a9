"""The question before a command destroys something."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

import click


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Have Ctrl-C end a question at once: asyncio would wait for the answer first.

    Raises KeyboardInterrupt then, where click raises Abort for Ctrl-D, too.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except click.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def confirm(question: str) -> None:
    """Ask on stderr whether to go on, and return if that is so.

    Raises click.Abort where it is not so, and click.UsageError where nobody can answer.
    """
    try:
        with asking():
            agreed = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():  # Ctrl-C or Ctrl-D
            raise
        click.echo(err=True)  # what is said next begins a line
        raise click.UsageError(
            "nobody can answer, as standard input has ended: --yes goes on without the question"
        ) from None
    if not agreed:
        raise click.Abort
