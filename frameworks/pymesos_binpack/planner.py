"""The planner: pending tasks and offers in, launches and reasons out. A pure function.

All offers in hand are planned over together, the largest tasks first, each onto the agent that the
policy scores lowest. What was not placed comes back with the reason in words.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pymesos_binpack.constraints import Constraint, unmet
from pymesos_binpack.policies import Policy
from pymesos_core.resources import Interval, Resources, count, format_milli
from pymesos_sdk.tasks import take_ports

Attributes = Mapping[str, str]


@dataclass(frozen=True)
class PendingTask:
    """A task to be placed. `group` names the instances among which UNIQUE and GROUP_BY count."""

    task_id: str
    group: str
    scalars: Mapping[str, int]
    ports: int
    constraints: tuple[Constraint, ...] = ()
    needs_image: bool = False


@dataclass(frozen=True)
class AgentSeen:
    """An agent as its offers showed it. `attributes` has the host name under "hostname"."""

    agent_id: str
    attributes: Attributes
    total: Resources
    runtimes: tuple[str, ...] = ()

    @property
    def hostname(self) -> str:
        """For people."""
        return self.attributes.get("hostname", self.agent_id)


@dataclass(frozen=True)
class OfferInHand:
    """All that one agent offers, by one or several offers."""

    offer_ids: tuple[str, ...]
    agent: AgentSeen
    available: Resources


@dataclass(frozen=True)
class Launch:
    """A task and where it goes."""

    task: PendingTask
    offer: OfferInHand
    ports: tuple[Interval, ...]


@dataclass(frozen=True)
class Refusal:
    """Why a task was not placed, in words. `lasting`: no agent known could ever run it.

    `nearest` says what is missing on the agent where the least is.
    """

    text: str
    lasting: bool
    nearest: str = ""


@dataclass(frozen=True)
class Plan:
    """What to launch, and why each other task was not placed, by task id."""

    launches: tuple[Launch, ...]
    unplaced: Mapping[str, Refusal]


@dataclass
class _Bin:
    """An offer while it is being filled."""

    offer: OfferInHand
    scalars: dict[str, int]
    ports: Resources
    total: Mapping[str, int] = field(default_factory=dict)


def plan(
    pending: Sequence[PendingTask],
    offers: Sequence[OfferInHand],
    policy: Policy,
    *,
    seen: Sequence[AgentSeen] = (),
    placed: Mapping[str, Sequence[Attributes]] | None = None,
) -> Plan:
    """Place what fits.

    `seen` are the agents known from earlier offers, for the reasons; `placed` the agents of the
    instances that run, by group.
    """
    bins = [
        _Bin(
            offer,
            dict(offer.available.scalars),
            Resources(ranges=offer.available.ranges),
            offer.agent.total.scalars,
        )
        for offer in offers
    ]
    running = {group: list(agents) for group, agents in (placed or {}).items()}
    known = {agent.agent_id: agent for agent in (*seen, *(offer.agent for offer in offers))}
    largest = _largest(known.values())
    launches: list[Launch] = []
    unplaced: dict[str, Refusal] = {}
    failed: dict[tuple[object, ...], Refusal] = {}  # what did not fit does not fit a second time
    for task in sorted(pending, key=lambda t: (-_size(t, largest), t.task_id)):
        shape = _shape(task)
        if shape in failed:
            unplaced[task.task_id] = failed[shape]
            continue
        chosen = _choose(task, bins, policy, running.get(task.group, ()), known)
        if chosen is None:
            reason = explain(task, list(known.values()), offers, running.get(task.group, ()))
            failed[shape] = unplaced[task.task_id] = reason
            continue
        launches.append(_place(task, chosen))
        running.setdefault(task.group, []).append(chosen.offer.agent.attributes)
    return Plan(tuple(launches), unplaced)


def _shape(task: PendingTask) -> tuple[object, ...]:
    group = task.group if task.constraints else ""
    scalars = frozenset(task.scalars.items())
    return (scalars, task.ports, task.constraints, task.needs_image, group)


def _largest(agents: Iterable[AgentSeen]) -> dict[str, int]:
    out: dict[str, int] = {}
    for agent in agents:
        for name, value in agent.total.scalars.items():
            out[name] = max(out.get(name, 0), value)
    return out


def _size(task: PendingTask, largest: Mapping[str, int]) -> float:
    """The largest fraction of any agent's resource that the task takes."""
    return max(
        (value / largest[name] for name, value in task.scalars.items() if largest.get(name)),
        default=0.0,
    )


def _fits(task: PendingTask, where: _Bin) -> bool:
    return all(where.scalars.get(n, 0) >= v for n, v in task.scalars.items()) and (
        not task.ports or count(where.ports.ranges.get("ports", ())) >= task.ports
    )


def _choose(
    task: PendingTask,
    bins: Sequence[_Bin],
    policy: Policy,
    placed: Sequence[Attributes],
    known: Mapping[str, AgentSeen],
) -> _Bin | None:
    best: tuple[float, _Bin] | None = None
    for candidate in bins:
        if not _fits(task, candidate):
            continue
        agent = candidate.offer.agent
        if _refusal(task, agent, placed, list(known.values())) is not None:
            continue
        score = policy.score(task.scalars, candidate.scalars, candidate.total)
        if best is None or score < best[0]:
            best = (score, candidate)
    return best[1] if best else None


def _refusal(
    task: PendingTask,
    agent: AgentSeen,
    placed: Sequence[Attributes],
    known: Sequence[AgentSeen],
) -> str | None:
    """Why the agent will not do, whatever is free on it."""
    if task.needs_image and agent.runtimes and "docker" not in agent.runtimes:
        return "it runs no images"
    if not task.constraints:
        return None
    candidates = [other.attributes for other in known]
    for constraint in task.constraints:
        if (reason := unmet(constraint, agent.attributes, placed, candidates)) is not None:
            return f"{constraint}: {reason}"
    return None


def _place(task: PendingTask, where: _Bin) -> Launch:
    for name, value in task.scalars.items():
        where.scalars[name] -= value
    ports: tuple[Interval, ...] = ()
    if task.ports:
        # Not always the first: the one that was used last may still be held by somebody.
        start = zlib.crc32(task.task_id.encode())
        ports = take_ports(where.ports, task.ports, start)
        where.ports = where.ports - Resources(ranges={"ports": ports})
    return Launch(task, where.offer, ports)


def explain(
    task: PendingTask,
    known: Sequence[AgentSeen],
    offers: Sequence[OfferInHand],
    placed: Sequence[Attributes],
) -> Refusal:
    """Why a task was not placed, the most lasting reason first."""
    if not known:
        return Refusal("no agent has been offered yet", lasting=True)
    for name, needed in task.scalars.items():
        most = max(agent.total.scalar(name) for agent in known)
        if needed > most:
            text = f"needs {_amount(name, needed)}, the largest agent has {_amount(name, most)}"
            return Refusal(text, lasting=True)
    most_ports = max(count(agent.total.ranges.get("ports", ())) for agent in known)
    if task.ports > most_ports:
        text = f"needs {task.ports} ports, the largest agent has {most_ports}"
        return Refusal(text, lasting=True)
    whole = Resources(task.scalars)
    big_enough = [agent for agent in known if agent.total.contains(whole)]
    if not big_enough:
        return Refusal(f"needs {_amounts(task)}; no agent has that much of all", lasting=True)
    refusals = [_refusal(task, agent, placed, known) for agent in big_enough]
    if all(refusals):
        text = f"no agent will do: {'; '.join(sorted({r for r in refusals if r})[:3])}"
        return Refusal(text, lasting=True)
    free = [offer for offer in offers if _refusal(task, offer.agent, placed, known) is None]
    if not free:
        text = f"needs {_amounts(task)}; the agents that could run it are in use"
        return Refusal(text, lasting=False)
    near = _nearest(task, free)
    for name, needed in task.scalars.items():
        most = max(offer.available.scalar(name) for offer in free)
        if needed > most:
            text = f"needs {_amount(name, needed)}, the most that is free is {_amount(name, most)}"
            return Refusal(text, False, near)
    return Refusal(f"needs {_amounts(task)}; no agent has that much free", False, near)


def _nearest(task: PendingTask, offers: Sequence[OfferInHand]) -> str:
    """Where the least is missing, as a part of what the agent has."""

    def missing(offer: OfferInHand) -> dict[str, int]:
        have = offer.available
        return {n: v - have.scalar(n) for n, v in task.scalars.items() if v > have.scalar(n)}

    def cost(offer: OfferInHand) -> float:
        total = offer.agent.total
        return sum(value / max(1, total.scalar(name)) for name, value in missing(offer).items())

    best = min(offers, key=cost)
    parts = [_amount(name, value) for name, value in missing(best).items()]
    ports = task.ports - count(best.available.ranges.get("ports", ()))
    if ports > 0:
        parts.append(f"{ports} ports")
    return f"on {best.agent.hostname} {', '.join(parts)} more would do" if parts else ""


def _amount(name: str, milli: int) -> str:
    unit = " MiB" if name in ("mem", "disk") else ""
    return f"{format_milli(milli)}{unit} {name}"


def _amounts(task: PendingTask) -> str:
    parts = [_amount(name, value) for name, value in task.scalars.items()]
    if task.ports:
        parts.append(f"{task.ports} ports")
    return ", ".join(parts)
