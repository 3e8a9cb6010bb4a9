"""Commands on what the master knows: listings, explanations, and operators' decisions."""

from __future__ import annotations

from pathlib import Path

import click

from pymesos_cli import completing
from pymesos_cli.group import Room
from pymesos_cli.options import Settings, json_option, pass_settings, with_cluster
from pymesos_core.flags import Lifetime, Moment, WholeRange

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
    """Say why something is not starting, or not getting offers."""


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
    """Why a task waits, what is missing, and what would help. TASK may be JOB.task.number."""
    from pymesos_cli.operators import explain as explaining

    with_cluster(settings, lambda cluster: explaining.explain_task(cluster, task, as_json=as_json))


@room.group()
def quota() -> None:
    """Guarantee resources to roles, and limit them."""


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
    """Give roles weights: a role of weight 2 gets twice the share of a sibling of weight 1."""
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
@pass_settings
def teardown(settings: Settings, framework: str) -> None:
    """Remove a framework with all its tasks."""
    from pymesos_cli.operators import decisions

    with_cluster(settings, lambda cluster: decisions.teardown(cluster, framework))


@room.command()
@click.argument("agent", shell_complete=completing.agents)
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def gone(settings: Settings, agent: str, yes: bool) -> None:
    """Mark an agent as gone for good: its tasks are given up, and it may never come back."""
    from pymesos_cli.operators import decisions

    with_cluster(settings, lambda cluster: decisions.mark_gone(cluster, agent, ask=not yes))


@room.command()
@click.argument(
    "agents", metavar="AGENT...", nargs=-1, required=True, shell_complete=completing.agents
)
@pass_settings
def cordon(settings: Settings, agents: tuple[str, ...]) -> None:
    """Have agents offered to nobody. What runs there runs on; a drain of theirs is cancelled."""
    from pymesos_cli.operators import drains

    with_cluster(settings, lambda cluster: drains.cordon(cluster, agents))


@room.command()
@click.argument(
    "agents", metavar="AGENT...", nargs=-1, required=True, shell_complete=completing.agents
)
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
    from pymesos_cli.operators import drains

    with_cluster(
        settings,
        lambda cluster: drains.drain(cluster, agents, within_s, wait=wait, then_gone=then_gone),
    )


@room.command()
@click.argument(
    "agents", metavar="AGENT...", nargs=-1, required=True, shell_complete=completing.agents
)
@pass_settings
def activate(settings: Settings, agents: tuple[str, ...]) -> None:
    """Have agents offered again that were cordoned or drained, or are being drained."""
    from pymesos_cli.operators import drains

    with_cluster(settings, lambda cluster: drains.activate(cluster, agents))


@room.group()
def maintenance() -> None:
    """Plan when agents may be away. Nothing is killed for that: `drain` is for when it begins."""


@maintenance.command("schedule")
@click.argument(
    "agents", metavar="AGENT...", nargs=-1, required=True, shell_complete=completing.agents
)
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
    from pymesos_cli.operators import maintenance as windows

    with_cluster(settings, lambda cluster: windows.schedule(cluster, agents, start_s, duration_s))


@maintenance.command("list")
@json_option
@pass_settings
def list_maintenance(settings: Settings, as_json: bool) -> None:
    """List the agents that may be away, when, and what frameworks answer."""
    from pymesos_cli.operators import maintenance as windows

    with_cluster(settings, lambda cluster: windows.list_windows(cluster, as_json=as_json))


@maintenance.command("cancel")
@click.argument(
    "agents", metavar="AGENT...", nargs=-1, required=True, shell_complete=completing.agents
)
@pass_settings
def cancel_maintenance(settings: Settings, agents: tuple[str, ...]) -> None:
    """Cancel the maintenance planned for agents: it is over, or will not be."""
    from pymesos_cli.operators import maintenance as windows

    with_cluster(settings, lambda cluster: windows.cancel(cluster, agents))


@room.group()
def policy() -> None:
    """Show, check and set what operators and frameworks may do: docs/security.md has the rules."""


@policy.command("show")
@json_option
@pass_settings
def show_policy(settings: Settings, as_json: bool) -> None:
    """Show the policy in force, and its version."""
    from pymesos_cli.operators import policy as policies

    with_cluster(settings, lambda cluster: policies.show_policy(cluster, as_json=as_json))


@policy.command("check")
@click.argument("file", metavar="FILE", type=click.Path(allow_dash=True))
def check_policy(file: str) -> None:
    """Say whether FILE is a policy, and if not, what is wrong in which line; - is stdin."""
    from pymesos_cli.operators import policy as policies

    policies.check_policy(file)


@policy.command("set")
@click.argument("file", metavar="FILE", type=click.Path(allow_dash=True))
@click.option(
    "--instead-of",
    type=WholeRange(0),
    required=True,
    metavar="VERSION",
    help="The version that it replaces, as `policy show` says; if another is there by now, nothing"
    " is set.",
)
@pass_settings
def set_policy(settings: Settings, file: str, instead_of: int) -> None:
    """Set the policy in FILE. It is in force everywhere when this has ended."""
    from pymesos_cli.operators import policy as policies

    with_cluster(settings, lambda cluster: policies.set_policy(cluster, file, instead_of))


@room.command("can")
@click.argument("who", metavar="KIND/NAME")
@click.argument("verb")
@click.argument("role", default="", required=False, shell_complete=completing.roles)
@json_option
@pass_settings
def can(settings: Settings, who: str, verb: str, role: str, as_json: bool) -> None:
    """Say whether somebody may do something in a ROLE, and which rule says so.

    The exit status is 1 if not. `agents`, `policy` and `audit` are of the whole cluster, and need
    no ROLE.
    """
    from pymesos_cli.operators import policy as policies

    with_cluster(settings, lambda cluster: policies.can(cluster, who, verb, role, as_json=as_json))


@room.command("whoami")
@json_option
@pass_settings
def whoami(settings: Settings, as_json: bool) -> None:
    """Say who you are to the cluster, by your certificate, and which rules name you."""
    from pymesos_cli.operators import policy as policies

    with_cluster(settings, lambda cluster: policies.who_am_i(cluster, as_json=as_json))


@room.command("audit")
@click.option("--since", type=Lifetime(), metavar="TIME", help="Only of the last 90s, 30m, 1h, 7d.")
@click.option(
    "--who", default="", metavar="KIND/NAME", help="Only of this principal; * is anything."
)
@click.option("--verb", default="", help="Only of this verb, as in the policy.")
@click.option("--denied", is_flag=True, help="Only what was denied.")
@json_option
@pass_settings
def audit(
    settings: Settings, since: float | None, who: str, verb: str, denied: bool, as_json: bool
) -> None:
    """Show who changed what, and what was denied, as the master that leads has written it.

    With --json each line is as it is in the file.
    """
    from pymesos_cli.operators import audit as audits

    wanted = audits.Wanted(since, who, verb, denied)
    with_cluster(settings, lambda cluster: audits.show_audit(cluster, wanted, as_json=as_json))


@room.group("secret")
def secret() -> None:
    """Set secrets, which tasks of a role may use; list and remove them.

    \b
    pymesos-cli secret set prod/web db < password.txt
    in a job of the role prod/web:  secrets: [{name: db, path: db-password}]

    The task finds the file db-password in the folder $PYMESOS_SECRETS.
    """


ROLE = click.argument("role", shell_complete=completing.roles)


@secret.command("set")
@ROLE
@click.argument("name")
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    default=None,
    metavar="PATH",
    help="A file with the value, byte by byte.  [default: standard input]",
)
@pass_settings
def set_secret(settings: Settings, role: str, name: str, file: Path | None) -> None:
    """Set the secret NAME of a ROLE, from standard input or a file.

    Tasks that run keep what they were given; those that start from now on get this one.
    """
    from pymesos_cli.operators import secrets

    with_cluster(settings, lambda cluster: secrets.set_secret(cluster, role, name, file))


@secret.command("list")
@click.argument("role", default="", required=False, shell_complete=completing.roles)
@json_option
@pass_settings
def list_secrets(settings: Settings, role: str, as_json: bool) -> None:
    """List secrets, of one ROLE or of all in which you may: who set them when, and who uses them.

    No command shows a value.
    """
    from pymesos_cli.operators import secrets

    with_cluster(settings, lambda cluster: secrets.list_secrets(cluster, role, as_json=as_json))


@secret.command("remove")
@ROLE
@click.argument("name")
@click.option("--force", is_flag=True, help="Also while live tasks use it.")
@pass_settings
def remove_secret(settings: Settings, role: str, name: str, force: bool) -> None:
    """Remove the secret NAME of a ROLE: tasks that want it are not started any more."""
    from pymesos_cli.operators import secrets

    with_cluster(settings, lambda cluster: secrets.remove_secret(cluster, role, name, force=force))
