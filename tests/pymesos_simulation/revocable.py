"""Tasks on what others do not use, in the weather: owners have their own again within moments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pymesos_agent.containers.usage import ContainerUsage
from pymesos_agent.core import AgentCore
from pymesos_agent.core import effects as fx
from pymesos_agent.core.slack import NAMES, is_revocable, unused
from pymesos_agent.core.tasks.task import Task
from pymesos_binpack.core import BinpackCore
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.specs import Job
from pymesos_core.resources import for_good, from_proto, total
from pymesos_core.resources import is_revocable as holds_revocable
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_simulation.world import World

if TYPE_CHECKING:
    from pymesos_simulation.agents import AgentNode

REVOCABLE_EVERY = 10  # of so many seeds one has agents that offer what nobody uses
MARGIN = 0.1
LEAST, MOST = 0.02, 0.8  # CPUs that each container uses, in bad weather more and less
WAVE_S = 12.0
MEM_MIB = 8
PATIENCE_S = 12.0  # two looks, an agent that starts or went on, and the grace period of 5 s


def revocable_seed(world: World) -> bool:
    """Whether a seed has some."""
    return world.seed % REVOCABLE_EVERY == 2


def margin_of(world: World) -> float | None:
    """Return what agents are told to leave, or None."""
    return MARGIN if revocable_seed(world) else None


def revocable_jobs(world: World) -> list[Job]:
    """Return the job that runs on what others do not use that a seed has, or none."""
    if not revocable_seed(world):
        return []
    both: dict[str, Any] = {"revocable": True, "resources": {"cpus": 0.4, "mem": 32}}
    guest = {"name": "guest", "kind": "service", "instances": 3, "command": "service", **both}
    errand = {"name": "errand", "instances": 5, "command": "batch", "retries": 1000, **both}
    return [parse_job({"name": "guest", "tasks": [guest, errand]})]


def used_by_each(world: World) -> float:
    """Return how many CPUs each container uses now."""
    if not world.faulty:
        return LEAST
    return LEAST + (MOST - LEAST) * (1 + math.sin(world.now_s / WAVE_S)) / 2


def usage_of(world: World) -> ContainerUsage:
    """Return what a container has used: the integral of the above."""
    mean, half = (LEAST + MOST) / 2, (MOST - LEAST) / 2
    now_s = world.now_s
    cpu_s = mean * now_s - half * WAVE_S * math.cos(now_s / WAVE_S)
    return ContainerUsage(
        cpu_s if world.faulty else 1000 + LEAST * now_s, mem_bytes=MEM_MIB * 1024 * 1024
    )


def check_agent(node: AgentNode, core: AgentCore, effects: list[fx.Effect]) -> None:
    """Assert that guests and what owners use fit on an agent, but for moments, and that no owner is
    ended for that."""
    world = node.world
    for effect in effects:
        if isinstance(effect, fx.TellMaster) and effect.message.HasField("update"):
            _check_status(core, effect.message.update.framework_id, effect.message.update.status)
    if node.away or not revocable_seed(world):
        node.crowded_since_s = 0.0  # what does not answer ends nobody
        return
    _check_look(node, core)
    if _is_too_much(node):
        node.crowded_since_s = node.crowded_since_s or world.now_s
        crowded_s = world.now_s - max(node.crowded_since_s, node.paused_until_s)
        assert crowded_s < PATIENCE_S, f"{node.name} has had too many guests for {crowded_s:g} s"
    else:
        node.crowded_since_s = 0.0


def _check_look(node: AgentNode, core: AgentCore) -> None:
    """After each look, the guests that may stay fit into what the agent takes to be left."""
    ctx = core._ctx
    if ctx.slack.looks in (0, 1, node.looks):
        return
    node.looks = ctx.slack.looks
    there = unused(ctx, MARGIN / 2)
    staying = (t for t in core.state.tasks.values() if is_revocable(t) and not t.ended)
    held = total(from_proto(t.info.resources) for t in staying if t.kill is None).quantities
    fits = all(held.get(name, 0) <= there[name] for name in NAMES)
    assert fits, f"{node.name} lets guests stay who hold {held}, and has {there}"


def _is_too_much(node: AgentNode) -> bool:
    """What is really there, whoever knows of it."""
    there = node.machine.total.quantities
    used = dict.fromkeys(NAMES, 0)
    has_guests = False
    for container in node.machine.containers.values():
        executor = node.machine.executors.get(container.container_id)
        inside = [executor.own, *executor.live().values()] if executor else [container.resources]
        if container.exit is not None:
            continue
        guests = [held.quantities for held in inside if holds_revocable(held)]
        has_guests |= bool(guests)
        owners = total(for_good(held) for held in inside).quantities
        for name, value in _used_by_owners(node, container.container_id, owners).items():
            used[name] += value + sum(held.get(name, 0) for held in guests)
    return has_guests and any(used[name] > there.get(name, 0) for name in NAMES)


def _used_by_owners(
    node: AgentNode, container_id: str, held: Mapping[str, int]
) -> Mapping[str, int]:
    """How much a container uses, whatever is in it, of what is not to be taken back: milli.

    One that is still being started uses no more than it asked for, so that its agent need not know
    what it cannot measure yet.
    """
    if not any(held.get(name, 0) for name in NAMES):
        return dict.fromkeys(NAMES, 0)
    cpus = int(1000 * used_by_each(node.world))
    if container_id not in node.known:
        cpus = min(cpus, held.get("cpus", 0))
    return {"cpus": cpus, "mem": 1000 * MEM_MIB}


def _check_status(core: AgentCore, framework_id: str, status: pb.TaskStatus) -> None:
    if status.reason == pb.REASON_RESOURCES_REVOKED:
        task: Task | None = core.state.by_key.get((framework_id, status.task_id))
        assert task is None or is_revocable(task), f"{status.task_id} is no guest"


def failures_of(core: BinpackCore, status: pb.TaskStatus) -> int | None:
    """Return how often the instance has failed whose task was revoked, and that nobody ended."""
    if status.reason != pb.REASON_RESOURCES_REVOKED:
        return None
    instance = core.instance_of(status.task_id)
    if instance is None or instance.killing or instance.saved.leaving:
        return None
    ends = core.jobs[instance.job_id].stopping
    return None if ends else instance.saved.failures


def check_failures(core: BinpackCore, status: pb.TaskStatus, before: int | None) -> None:
    """Assert that what was revoked has lost no retry, and is run again."""
    if before is None:
        return
    job = next((j for j in core.jobs.values() if status.task_id.startswith(f"{j.job_id}.")), None)
    for instance in job.instances if job is not None else ():
        if instance.saved.task_id == status.task_id:
            kept = instance.saved.failures == before and not instance.saved.done
            assert kept, f"{status.task_id} was revoked, and has lost a retry"
