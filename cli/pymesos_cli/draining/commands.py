"""Commands that take agents out of use for a while, and back."""

from __future__ import annotations

import click

from pymesos_cli import completing
from pymesos_cli.group import Room
from pymesos_cli.options import Settings, json_option, pass_settings, with_cluster
from pymesos_core.flags import Lifetime, Moment

room = Room()

agents_argument = click.argument(
    "agents", metavar="AGENT...", nargs=-1, required=True, shell_complete=completing.agents
)


@room.command()
@agents_argument
@pass_settings
def cordon(settings: Settings, agents: tuple[str, ...]) -> None:
    """Have agents offered to nobody. What runs there runs on; a drain of theirs is cancelled."""
    from pymesos_cli.draining import drains

    with_cluster(settings, lambda cluster: drains.cordon(cluster, agents))


@room.command()
@agents_argument
@click.option(
    "--deadline",
    "within_s",
    type=Lifetime(),
    default="1h",
    show_default=True,
    metavar="TIME",
    help="What is left then is killed, as in 90s, 30m or 1h; 0s is at once.",
)
@click.option("--wait", is_flag=True, help="Wait until they are drained, and say what is left.")
@click.option("--then-gone", is_flag=True, help="Mark each as gone for good when it is drained.")
@pass_settings
def drain(
    settings: Settings, agents: tuple[str, ...], within_s: float, wait: bool, then_gone: bool
) -> None:
    """Have agents offered to nobody, and emptied: their frameworks move what runs there.

    `cordon` and `activate` cancel it. It goes on when this command has ended.
    """
    from pymesos_cli.draining import drains

    with_cluster(
        settings,
        lambda cluster: drains.drain(cluster, agents, within_s, wait=wait, then_gone=then_gone),
    )


@room.command()
@agents_argument
@pass_settings
def activate(settings: Settings, agents: tuple[str, ...]) -> None:
    """Have agents offered again that were cordoned or drained, or are being drained."""
    from pymesos_cli.draining import drains

    with_cluster(settings, lambda cluster: drains.activate(cluster, agents))


@room.group()
def maintenance() -> None:
    """Plan when agents may be away. Nothing is killed for that: `drain` is for when it begins."""


@maintenance.command("schedule")
@agents_argument
@click.option(
    "--start",
    "start_s",
    type=Moment(),
    required=True,
    metavar="TIME",
    help="As in 2026-12-01T22:00, 2026-12-01T22:00Z or +30m.",
)
@click.option(
    "--duration",
    "duration_s",
    type=Lifetime(),
    default=0.0,
    metavar="TIME",
    help="As in 30m or 2h.  [default: it is not known]",
)
@pass_settings
def schedule_maintenance(
    settings: Settings, agents: tuple[str, ...], start_s: float, duration_s: float
) -> None:
    """Plan when agents may be away, in the place of what was planned for them.

    Their offers say so, and frameworks with tasks there are asked whether they can do without.
    """
    from pymesos_cli.draining import maintenance as windows

    with_cluster(settings, lambda cluster: windows.schedule(cluster, agents, start_s, duration_s))


@maintenance.command("list")
@json_option
@pass_settings
def list_maintenance(settings: Settings, as_json: bool) -> None:
    """List the agents that may be away, when, and what frameworks answer."""
    from pymesos_cli.draining import maintenance as windows

    with_cluster(settings, lambda cluster: windows.list_windows(cluster, as_json=as_json))


@maintenance.command("cancel")
@agents_argument
@pass_settings
def cancel_maintenance(settings: Settings, agents: tuple[str, ...]) -> None:
    """Cancel the maintenance planned for agents: it is over, or will not be."""
    from pymesos_cli.draining import maintenance as windows

    with_cluster(settings, lambda cluster: windows.cancel(cluster, agents))
