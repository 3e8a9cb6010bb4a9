"""Daemons in the weather: never two on an agent, and in the end one on each that is to have it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Set
from typing import Any

from pymesos_binpack.core import BinpackCore
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.placement.agents import KnownAgents, OfferedAgent, Placements
from pymesos_binpack.placement.eligibility import unmet
from pymesos_binpack.specs import Job, TaskSpec
from pymesos_core.resources import EMPTY
from pymesos_simulation.agents import AgentNode
from pymesos_simulation.world import World

DAEMON_EVERY = 10  # of so many seeds one has a daemon
DRAINED_EVERY = 40  # and of so many one has a daemon on agents that operators drain


def daemon_jobs(world: World) -> list[Job]:
    """Return the job with a daemon that a seed has, or none."""
    if world.seed % DAEMON_EVERY != DAEMON_EVERY - 7 and world.seed % DRAINED_EVERY != 16:
        return []
    # As other services are called, so that people change it, too.
    task: dict[str, Any] = {
        "name": "service",
        "kind": "daemon",
        "command": "service",
        "resources": {"cpus": 0.05, "mem": 16},
        "update": {"min_healthy_s": 2},
    }
    if world.aside.random() < 0.3:
        task["constraints"] = ["hostname:UNLIKE:agent1"]
    return [parse_job({"name": "daemon", "tasks": [task]})]


def check(core: BinpackCore) -> None:
    """Assert that no agent has two of a daemon, whatever becomes of it."""
    for job in core.jobs.values():
        if job.job.has_daemon:
            live = Counter(
                (i.spec.name, i.saved.agent_id)
                for i in job.instances
                if i.spec.is_daemon and i.live
            )
            twice = [where for where, number in live.items() if number > 1]
            assert not twice, f"{job.job_id} has two on {twice}"


def check_left(instance: Instance, served: Set[str]) -> None:
    """Assert that a daemon leaves no drained agent where tasks of other kinds stay."""
    early = instance.spec.is_daemon and instance.live and instance.saved.agent_id in served
    assert not early, f"{instance.key} leaves {instance.saved.agent_id} before the others there"


def differences(agents: Iterable[AgentNode], cores: Iterable[BinpackCore]) -> Iterator[str]:
    """Say where daemons are that are not to be there, or are not where they are to be."""
    nodes = list(agents)
    for core in cores:
        for job in core.jobs.values():
            for spec in job.job.tasks if not job.stopping else ():
                for node in nodes if spec.is_daemon else ():
                    mine = f"{job.job_id}.{spec.name}."
                    live = [task_id for _, task_id in node.machine.live() if mine in task_id]
                    if len(live) != _is_for(spec, node.name):
                        yield f"{job.job_id}: {live} run on {node.name}"


def _is_for(spec: TaskSpec, hostname: str) -> bool:
    """Whether an agent is to have one."""
    agent = OfferedAgent("", {"hostname": hostname}, EMPTY)
    placed, known = Placements(), KnownAgents()
    return all(
        unmet(constraint, "", agent.attributes, placed, known) is None
        for constraint in spec.constraints
    )
