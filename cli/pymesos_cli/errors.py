"""The errors of `pymesos-cli` that are said to a person, and its exit statuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import grpc.aio

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_MASTER = 3


class CliError(click.ClickException):
    """An error for a person, with its exit status."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]


class NotFoundError(CliError):
    """There is nothing of a name in the cluster that was asked, which is said, too."""

    def __init__(self, message: str) -> None:
        super().__init__(message, EXIT_USAGE)


class UnreachableError(CliError):
    """A framework that serves jobs does not answer."""


class ListAgainError(CliError):
    """A listing was cut short, since the leader changed: it has to begin anew."""


@contextmanager
def errors_of_a_plan(*, planned: bool) -> Iterator[None]:
    """What goes wrong has other statuses than 1, by which a plan says that it changes something."""
    try:
        yield
    except CliError as error:
        if planned and error.exit_code == EXIT_FAILED:
            away = isinstance(error, UnreachableError)
            error.exit_code = EXIT_NO_MASTER if away else EXIT_USAGE  # type: ignore[misc]
        raise


def status_of(error: grpc.aio.AioRpcError) -> int:
    """Return the exit status for what a service refuses."""
    asked_wrongly = ("INVALID_ARGUMENT", "NOT_FOUND")
    return EXIT_USAGE if error.code().name in asked_wrongly else EXIT_FAILED
