"""Commands on what the master knows: listings, explanations, and operators' decisions."""

from __future__ import annotations

import click

from pymesos_cli import completing
from pymesos_cli.group import Room
from pymesos_cli.options import Settings, json_option, pass_settings, with_cluster
from pymesos_core.flags import WholeRange

room = Room()

TASKS_SHOWN = 1000
STATES = ("STAGING", "STARTING", "RUNNING", "KILLING", "FINISHED", "FAILED", "KILLED", "ERROR",
          "LOST", "DROPPED", "UNREACHABLE", "GONE", "GONE_BY_OPERATOR")  # fmt: skip


@room.command()
@click.argument("task", default=None, required=False, shell_complete=completing.tasks)
@click.option("--all", "completed", is_flag=True, help="Also those that have ended.")
@click.option(
    "--framework",
    default=None,
    metavar="ID",
    help="Only of this framework.",
    shell_complete=completing.frameworks,
)
@click.option(
    "--state",
    "states",
    multiple=True,
    metavar="STATE",
    type=click.Choice(STATES, case_sensitive=False),
    help="Only in this state, as running or failed; may be given more than once.",
)
@click.option(
    "--limit",
    type=WholeRange(0),
    default=None,
    help="At most so many, 0: all.  [default: 1000; with --json all]",
)
@json_option
@pass_settings
def tasks(
    settings: Settings,
    task: str | None,
    completed: bool,
    framework: str | None,
    states: tuple[str, ...],
    limit: int | None,
    as_json: bool,
) -> None:
    """List tasks: all, or those of a job (JOB, JOB.task, JOB.task.instance)."""
    from pymesos_cli.operators import listing

    with_cluster(
        settings,
        lambda cluster: listing.list_tasks(
            cluster,
            called=task,
            completed=completed,
            framework=framework,
            states=states,
            limit=(0 if as_json else TASKS_SHOWN) if limit is None else limit,
            as_json=as_json,
        ),
    )


@room.command()
@json_option
@pass_settings
def agents(settings: Settings, as_json: bool) -> None:
    """List agents: what they have, what is used, what holds a task to its limits."""
    from pymesos_cli.operators import listing

    with_cluster(settings, lambda cluster: listing.list_agents(cluster, as_json=as_json))


@room.command()
@click.option("--all", "completed", is_flag=True, help="Also those that were removed.")
@json_option
@pass_settings
def frameworks(settings: Settings, completed: bool, as_json: bool) -> None:
    """List frameworks."""
    from pymesos_cli.operators import listing

    with_cluster(
        settings,
        lambda cluster: listing.list_frameworks(cluster, completed=completed, as_json=as_json),
    )


@room.command()
@json_option
@pass_settings
def offers(settings: Settings, as_json: bool) -> None:
    """List offers that wait for an answer."""
    from pymesos_cli.operators import listing

    with_cluster(settings, lambda cluster: listing.list_offers(cluster, as_json=as_json))


@room.command("roles")
@json_option
@pass_settings
def list_roles(settings: Settings, as_json: bool) -> None:
    """List roles: weight, quota, and what they hold with those below them."""
    from pymesos_cli.operators import roles

    with_cluster(settings, lambda cluster: roles.list_roles(cluster, as_json=as_json))


@room.command()
@json_option
@pass_settings
def leader(settings: Settings, as_json: bool) -> None:
    """Show which master leads."""
    from pymesos_cli.operators import listing

    with_cluster(settings, lambda cluster: listing.show_leader(cluster, as_json=as_json))


@room.command()
@json_option
@pass_settings
def events(settings: Settings, as_json: bool) -> None:
    """Show the cluster as it is, and then what happens, until Ctrl-C."""
    from pymesos_cli.operators import listing

    with_cluster(settings, lambda cluster: listing.show_events(cluster, as_json=as_json))


@room.group()
def explain() -> None:
    """Say why something is not starting, where it is, or not getting offers."""


@explain.command("framework")
@click.argument("framework", shell_complete=completing.frameworks)
@json_option
@pass_settings
def explain_framework(settings: Settings, framework: str, as_json: bool) -> None:
    """Where a framework stands in line, and what keeps each agent from it."""
    from pymesos_cli.operators import explain as explaining

    with_cluster(
        settings, lambda cluster: explaining.explain_framework(cluster, framework, as_json=as_json)
    )


@explain.command("task")
@click.argument("task", shell_complete=completing.tasks)
@json_option
@pass_settings
def explain_task(settings: Settings, task: str, as_json: bool) -> None:
    """Why a task waits, what is missing, and what would help; or why one that runs is where it is.

    TASK may be JOB.task.number.
    """
    from pymesos_cli.operators import explain as explaining

    with_cluster(settings, lambda cluster: explaining.explain_task(cluster, task, as_json=as_json))


@room.command()
@click.option(
    "--by",
    type=click.Choice(("role", "framework", "job")),
    default="role",
    show_default=True,
    help="What it is added up by.",
)
@click.option("--since", default="", metavar="DAY", help="From this day of UTC on: 2026-11-29.")
@click.option("--until", default="", metavar="DAY", help="Up to this day, with it.")
@click.option("--daily", is_flag=True, help="Each day by itself.")
@click.option(
    "--role",
    default="",
    metavar="ROLE",
    help="Only of this role.",
    shell_complete=completing.roles,
)
@click.option("--csv", "as_csv", is_flag=True, help="As comma-separated values.")
@json_option
@pass_settings
def accounting(
    settings: Settings,
    by: str,
    since: str,
    until: str,
    daily: bool,
    role: str,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show what roles, frameworks and jobs have asked for and used, in hours."""
    from pymesos_cli.operators import accounting

    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other; give one of them")
    if since and until and since > until:
        raise click.UsageError(f"--since {since} is after --until {until}")
    asked = accounting.asked(by, since, until, role, daily=daily)
    with_cluster(
        settings,
        lambda cluster: accounting.show(cluster, asked, as_csv=as_csv, as_json=as_json),
    )


@room.group()
def quota() -> None:
    """Guarantee resources to roles, and limit them; `roles` lists what is set."""


@quota.command("set")
@click.argument("role", shell_complete=completing.roles)
@click.option("--guarantee", default=None, metavar="TEXT", help="'cpus:4;mem:8192': it is first.")
@click.option("--limit", default=None, metavar="TEXT", help="'cpus:8': it never holds more.")
@click.option("--force", is_flag=True, help="Guarantee more than the cluster has.")
@pass_settings
def set_quota(
    settings: Settings, role: str, guarantee: str | None, limit: str | None, force: bool
) -> None:
    """Give a role, with all below it, a quota in place of the one it has."""
    from pymesos_cli.operators import roles

    with_cluster(
        settings, lambda cluster: roles.set_quota(cluster, role, guarantee, limit, force=force)
    )


@quota.command("remove")
@click.argument("role", shell_complete=completing.roles)
@pass_settings
def remove_quota(settings: Settings, role: str) -> None:
    """Take a role's quota away."""
    from pymesos_cli.operators import roles

    with_cluster(settings, lambda cluster: roles.remove_quota(cluster, role))


@room.command()
@click.argument("settings_", metavar="ROLE=WEIGHT...", nargs=-1, required=True)
@pass_settings
def weights(settings: Settings, settings_: tuple[str, ...]) -> None:
    """Give roles weights: a role of weight 2 gets twice the share of a sibling of weight 1.

    `roles` lists those that are set.
    """
    from pymesos_cli.operators import roles

    with_cluster(settings, lambda cluster: roles.set_weights(cluster, settings_))


@room.command()
@click.argument("agent", shell_complete=completing.agents)
@click.argument("role", shell_complete=completing.roles)
@click.argument("resources", default=None, required=False)
@click.option(
    "--volume", "volumes", multiple=True, metavar="ID:PATH:MIB", help="A persistent volume."
)
@pass_settings
def reserve(
    settings: Settings, agent: str, role: str, resources: str | None, volumes: tuple[str, ...]
) -> None:
    """Reserve RESOURCES of an AGENT, such as 'cpus:2;mem:1024', for a ROLE."""
    from pymesos_cli.operators.reserve import reserve

    with_cluster(settings, lambda cluster: reserve(cluster, agent, role, resources, volumes))


@room.command()
@click.argument("agent", shell_complete=completing.agents)
@click.argument("role", shell_complete=completing.roles)
@click.argument("resources", default=None, required=False)
@click.option(
    "--volume", "volumes", multiple=True, metavar="ID", help="Destroy a volume, with its data."
)
@pass_settings
def unreserve(
    settings: Settings, agent: str, role: str, resources: str | None, volumes: tuple[str, ...]
) -> None:
    """End what is reserved of an AGENT for a ROLE: RESOURCES, volumes, or all that is unused."""
    from pymesos_cli.operators.reserve import unreserve

    with_cluster(settings, lambda cluster: unreserve(cluster, agent, role, resources, volumes))


@room.command()
@click.argument("task", shell_complete=completing.live_tasks)
@pass_settings
def kill(settings: Settings, task: str) -> None:
    """Kill a task: SIGTERM, and SIGKILL after its grace period."""
    from pymesos_cli.operators import decisions

    with_cluster(settings, lambda cluster: decisions.kill_task(cluster, task))


@room.command()
@click.argument("framework", shell_complete=completing.frameworks)
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def teardown(settings: Settings, framework: str, yes: bool) -> None:
    """Remove a framework with all its tasks."""
    from pymesos_cli.operators import decisions

    with_cluster(settings, lambda cluster: decisions.teardown(cluster, framework, ask=not yes))


@room.command()
@click.argument("agent", shell_complete=completing.agents)
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def gone(settings: Settings, agent: str, yes: bool) -> None:
    """Mark an agent as gone for good: its tasks are given up, and it may never come back."""
    from pymesos_cli.operators import decisions

    with_cluster(settings, lambda cluster: decisions.mark_gone(cluster, agent, ask=not yes))
