"""The question before a command destroys something."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from pymesos_core.confirming import confirm


@click.command()
def destroy() -> None:
    confirm("Go on?")
    click.echo("destroyed")


@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [
        ("y\n", 0, "destroyed"),
        ("n\n", 1, "Aborted!"),
        ("", 2, "--yes goes on without the question"),
    ],
)
def test_what_is_answered(typed: str, status: int, said: str) -> None:
    done = CliRunner().invoke(destroy, input=typed)
    assert done.exit_code == status and said in done.output
    assert ("destroyed" in done.output) is (status == 0)
