"""The question before a command destroys something."""

from __future__ import annotations

import asyncio
import signal

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
        ("", 2, "[y/N]: \n"),
        ("", 2, "--yes goes on without the question"),
    ],
)
def test_what_is_answered(typed: str, status: int, said: str) -> None:
    done = CliRunner().invoke(destroy, input=typed)
    assert done.exit_code == status and said in done.output
    assert ("destroyed" in done.output) is (status == 0)


def test_ctrl_c_ends_the_question_and_not_only_what_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a loop of asyncio, too, whose handler would wait for the answer first."""

    def interrupted(*_: object, **__: object) -> bool:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise click.Abort from None
        return True

    async def asks() -> None:
        confirm("Go on?")

    monkeypatch.setattr(click, "confirm", interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(asks())
    assert signal.getsignal(signal.SIGINT) is before
