"""What is wrong with the cluster now, as its alerts have it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pymesos_core.clock import Now, utc
from pymesos_core.resource_values import format_milli
from pymesos_core.text import count_of, cut, one_line
from pymesos_master.allocator.minimum import Scalars
from pymesos_master.core.alerts.state import When
from pymesos_master.core.lifecycles import AgentState, DrainState
from pymesos_master.core.state import Agent, ClusterState, MasterHealth

MAX_SUMMARY = 500
SHOWN = 200  # characters of a name
FORGET_S = 30.0  # after which what a master said of itself counts no longer


class Found(NamedTuple):
    """Something that is wrong."""

    when: When
    subject: str
    why: str


@dataclass(frozen=True, slots=True)
class Look:
    """The cluster as it is now."""

    state: ClusterState
    starved: Mapping[str, Scalars]  # what roles want of their guarantees, and cannot get
    disk_full: float  # the part of a disk, from 0 to 1, from which on it is full
    now: Now


def find(look: Look) -> Iterator[Found]:
    """Yield all that is wrong."""
    for found in _each(look):
        yield found._replace(why=one_line(found.why, MAX_SUMMARY))


def _each(look: Look) -> Iterator[Found]:
    for agent in look.state.agents.values():
        if not _is_planned(agent, look.now):
            yield from _of_agent(agent, look)
    for role, lacks in look.starved.items():
        amounts = ", ".join(f"{format_milli(value)} {name}" for name, value in lacks.items())
        why = f"{cut(role, SHOWN)} wants {amounts} more of its guarantee, which nobody can free"
        yield Found(When.QUOTA_UNMET, role, why)
    for address, health in look.state.masters.items():
        yield from _of_master(address, health, look)


def _is_planned(agent: Agent, now: Now) -> bool:
    """Whether an operator empties an agent, or has planned that it may be away."""
    if agent.drain.state in (DrainState.DRAINING, DrainState.DRAINED):
        return True
    if (window := agent.maintenance) is None or now.wall_s < window.start_s:
        return False
    return not window.duration_s or now.wall_s < window.start_s + window.duration_s


def _of_agent(agent: Agent, look: Look) -> Iterator[Found]:
    name = f"the agent {cut(agent.info.address.hostname, SHOWN)} ({agent.agent_id})"
    if agent.state == AgentState.UNREACHABLE:
        since = f" since {utc(agent.changed_at_s)}" if agent.changed_at_s else ""
        had = f"; {count_of(len(agent.tasks), 'task')} ran there" if agent.tasks else ""
        yield Found(When.AGENT_UNREACHABLE, agent.agent_id, f"{name} is unreachable{since}{had}")
    usage = agent.usage
    if agent.state not in (AgentState.ACTIVE, AgentState.DISCONNECTED) or usage is None:
        return
    if usage.disk_total_mib > 0:
        part = usage.disk_used_mib / usage.disk_total_mib
        yield from _of_disk(agent.agent_id, name, part, look)
    yield from _of_certificate(agent.agent_id, name, usage.renew_by_s, look)


def _of_master(address: str, health: MasterHealth, look: Look) -> Iterator[Found]:
    name = f"the master {cut(address, SHOWN)}"
    if look.now.mono_s - health.at_mono_s <= FORGET_S:
        yield from _of_disk(address, name, health.disk_used, look)
        yield from _of_certificate(address, name, health.renew_by_s, look)


def _of_disk(subject: str, name: str, part: float, look: Look) -> Iterator[Found]:
    if part >= look.disk_full:
        yield Found(When.DISK_FULL, subject, f"the disk of {name} is full to {part:.0%}")


def _of_certificate(subject: str, name: str, renew_by_s: float, look: Look) -> Iterator[Found]:
    if 0 < renew_by_s <= look.now.wall_s:
        why = f"the certificate of {name} was to be renewed by {utc(renew_by_s)}, and is not"
        yield Found(When.CERTIFICATE_NOT_RENEWED, subject, why)
