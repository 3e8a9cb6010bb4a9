"""Commands that need no cluster: one of their own, and none."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pymesos_cli.group import Room
from pymesos_cli.options import json_option
from pymesos_core.flags import FiniteRange, WholeRange

room = Room()


@room.command()
@click.option("--agents", type=WholeRange(1, 50), default=3, show_default=True, help="How many.")
@click.option(
    "--runtime",
    type=click.Choice(["auto", "process", "docker", "oci"]),
    default="auto",
    show_default=True,
    help="What starts containers.",
)
@click.option(
    "--resources",
    "resource_text",
    default="",
    metavar="TEXT",
    help="Of each agent, as in 'cpus:4;mem:8192'.  [default: cpus:2;mem:1024;disk:1024 and ports]",
)
@click.option(
    "--port", type=WholeRange(0, 65535), default=0, help="The master's.  [default: a free one]"
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Of the logs in the cluster's folder.",
)
@click.option(
    "--receivers",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    default=None,
    help="Who is told of alerts: YAML, see docs/alerts.md.",
)
@click.option(
    "--no-auth", is_flag=True, help="Without certificates: everybody on this machine gets in."
)
@click.option(
    "--mesos", is_flag=True, help="Serve the API of Apache Mesos, too, to all that you run here."
)
@click.option(
    "--dns", is_flag=True, help="Answer DNS for what serves, too, to all on this machine."
)
@click.option(
    "--no-task-isolation",
    "not_isolated",
    is_flag=True,
    help="Let tasks read and do what you may, as where the kernel cannot keep them from it.",
)
def local(
    agents: int,
    runtime: str,
    resource_text: str,
    port: int,
    log_level: str,
    receivers: Path | None,
    no_auth: bool,
    mesos: bool,
    dns: bool,
    not_isolated: bool,
) -> None:
    """Run a whole cluster here, on loopback, until Ctrl-C. Its logs and sandboxes end with it.

    Only you get in, by a certificate in a context of yours, which is the current one meanwhile.
    Tasks see neither that nor each other's files.
    """
    from pymesos_agent.machine import check_kinds
    from pymesos_cli.local.cluster import LocalError
    from pymesos_cli.local.keeping import run_local
    from pymesos_cli.local.starting import Wanted
    from pymesos_core.outgoing.receivers import ReceiversError, read_receivers_file
    from pymesos_core.resource_names import meant_resource
    from pymesos_core.resource_values import ResourceError
    from pymesos_core.resources import parse
    from pymesos_core.text import quoted

    try:
        given = parse(resource_text)
        check_kinds(given)
    except ResourceError as error:
        raise click.UsageError(f"--resources: {error}") from error
    for name in given.quantities:
        if meant := meant_resource(name):
            raise click.UsageError(
                f"--resources: nothing here asks for {quoted(name)}; did you mean {meant}?"
            )
    try:
        if receivers is not None:
            read_receivers_file(receivers)
    except ReceiversError as error:
        raise click.UsageError(f"--receivers: {error}") from error
    wanted = Wanted(
        agents=agents,
        runtime=runtime,
        resources=given,
        port=port,
        log_level=log_level,
        auth=not no_auth,
        isolation=not not_isolated,
        receivers=receivers,
        mesos=mesos,
        dns=dns,
    )
    try:
        sys.exit(run_local(wanted))
    except LocalError as error:
        raise click.ClickException(str(error)) from error


@room.command()
@click.option(
    "--nodes",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="CSV with the columns cpu_milli, memory_mib and perhaps gpu: a row for each machine.",
)
@click.option(
    "--pods",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="CSV with cpu_milli, memory_mib and perhaps num_gpu, gpu_milli: a row for each task.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    default=("default",),
    show_default=True,
    help="Of the planner; may be given more than once, to compare.",
)
@click.option(
    "--load",
    type=FiniteRange(0.01, 10),
    default=None,
    help="Draw tasks of the file at random until they ask for so much of the scarcest resource."
    "  [default: the file as it is]",
)
@click.option("--seed", type=WholeRange(0, 2**63), default=0, show_default=True, help="For --load.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Write a plot: what is allocated over what has come, and what is stranded.",
)
@json_option
def whatif(
    nodes: Path,
    pods: Path,
    policies: tuple[str, ...],
    load: float | None,
    seed: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """How many machines does a workload need? Replays it with the planner; asks no cluster."""
    from pymesos_cli.local.whatif import run_whatif

    run_whatif(nodes, pods, policies, seed, load, plot, as_json=as_json)
