"""Settings of `pymesos-binpack`, each declared once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pymesos_binpack.placement.packing import DEFAULT_POLICY, Policy, read_policy
from pymesos_binpack.roles import JobRoles, read_job_roles
from pymesos_core.addresses import ZkUrl
from pymesos_core.ids import id_problem
from pymesos_core.settings import SECONDS, file, folder, number, switch, text
from pymesos_core.settings.audited import AuditedSettings
from pymesos_core.settings.server import (
    master_address,
    metrics_ip,
    metrics_port,
    zk_session_timeout,
    zk_url,
)

WEEK_S = 7 * 86400


def read_name(written: str) -> str:
    """The name of a framework. Raises ValueError."""
    if problem := id_problem(written):
        raise ValueError(problem)
    return written


@dataclass(frozen=True)
class BinpackSettings(AuditedSettings):
    """All that the bin-packing framework may be told, but for jobs."""

    master: str = master_address()
    name: str = text("binpack", read=read_name, metavar="NAME", help="The framework's name.")
    role: JobRoles | None = text(
        None,
        read=read_job_roles,
        metavar="ROLE,…",
        default_text="the jobs' own, else '*'",
        help="The roles that it takes jobs of: ROLE, ROLE/** with all below it, or ** for any. It"
        " is in ROLE always, in '*' for **, and in others while it has jobs of them.",
    )
    user: str = text(
        "",
        metavar="USER",
        default_text="one of its own for each, of agents that root runs, else the agent's",
        help="Who runs the tasks whose job names no user.",
    )
    failover_timeout_s: float = number(
        WEEK_S,
        0,
        10 * 365 * 86400,
        unit=SECONDS,
        help="Seconds that the tasks live without this framework.",
    )
    policy: Policy = text(
        DEFAULT_POLICY,
        read=read_policy,
        metavar="POLICY",
        help="How a task's agent is chosen: a name, a sum as in best-fit+0.5*spread, or"
        " module:Class.",
    )
    state_dir: Path | None = folder(
        None,
        default_text="/var/lib/pymesos/NAME for root, else ~/.local/state/pymesos/NAME",
        help="Where the framework's id, jobs and results are kept, for a restart to go on from.",
    )
    listen: bool = switch(False, help="Stay, and serve Jobs for `pymesos-cli run`.")
    receivers: Path | None = file(
        default_text="nobody is told of alerts",
        help="Who is told of the alerts of jobs: YAML, see docs/alerts.md.",
    )
    metrics_port: int | None = metrics_port()
    metrics_ip: str | None = metrics_ip()
    zk: ZkUrl | None = zk_url(
        "this instance is the only one, and its state is in --state-dir; with it the state is in"
        " ZooKeeper, below PATH/frameworks/NAME, and another instance takes over"
    )
    zk_session_timeout_s: float = zk_session_timeout(
        "Of --zk: how long an instance may be away before another takes over."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """See Settings."""
        yield from super().problems()
        if self.zk is not None and not self.listen:
            yield "zk", "instances that take over from each other stay: --listen is needed, too"
