"""Tasks that wait, the agents that were seen, and why the one does not go on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pymesos_binpack.constraints import Constraint, unmet
from pymesos_binpack.known import Known, Placed, Seen
from pymesos_core.resources import MILLI, Resources, count, devices, format_milli


@dataclass(frozen=True)
class PendingTask:
    """A task to be placed. `group` names the instances among which UNIQUE and GROUP_BY count.

    Tasks of one `gang` are placed together or not at all. `volumes` are ids of volumes that the
    task has already; it runs where they are.
    """

    task_id: str
    group: str
    scalars: Mapping[str, int]
    ports: int = 0
    constraints: tuple[Constraint, ...] = ()
    runtimes: tuple[str, ...] = ()  # one of these must be there; none: any will do
    priority: int = 0
    gang: str = ""
    volumes: tuple[str, ...] = ()

    def kind(self) -> tuple[object, ...]:
        """What decides where it fits: two of a kind fit in the same places."""
        group = self.group if self.constraints else ""
        needs = frozenset(self.scalars.items())
        return (needs, self.ports, self.constraints, self.runtimes, group, self.volumes)


@dataclass(frozen=True)
class Refusal:
    """Why a task was not placed, in words. `lasting`: no agent known could ever run it.

    `nearest` says what is missing on the agent where the least is.
    """

    text: str
    lasting: bool
    nearest: str = ""


Free = tuple[Seen, Resources]  # what an agent offers


def refusal_of_agent(task: PendingTask, agent: Seen, placed: Placed, known: Known) -> str | None:
    """Why the agent will not do, whatever is free on it."""
    if task.runtimes and agent.runtimes and not set(task.runtimes) & set(agent.runtimes):
        return f"it has none of the runtimes {', '.join(task.runtimes)}"
    for constraint in task.constraints:
        reason = unmet(constraint, task.group, agent.attributes, placed, known)
        if reason is not None:
            return f"{constraint}: {reason}"
    return None


def explain(
    task: PendingTask,
    known: Known,
    offers: Sequence[Free],
    placed: Placed,
    kept: Sequence[Free] = (),
) -> Refusal:
    """Why a task was not placed, the most lasting reason first.

    `kept` is what is offered, too, but not for tasks of its priority.
    """
    if (lasting := _lasting(task, known, placed)) is not None:
        return lasting
    free = [(a, left) for a, left in offers if refusal_of_agent(task, a, placed, known) is None]
    if any(_fits(task, left) for _, left in kept) and not any(_fits(task, f) for _, f in free):
        text = "what is free is kept for tasks of higher priority, for which others were killed"
        return Refusal(f"needs {_amounts(task)}; {text}", lasting=False)
    if not free:
        text = f"needs {_amounts(task)}; the agents that could run it are in use"
        return Refusal(text, lasting=False)
    if task.volumes and not any(_volumes_are_there(task, left) for _, left in free):
        text = f"its data ({', '.join(task.volumes)}) are on an agent that is not offered now"
        return Refusal(text, lasting=False)
    if any(_fits(task, left) for _, left in free):
        text = "its gang does not fit as a whole" if task.gang else "others went first"
        return Refusal(f"needs {_amounts(task)}; {text}", lasting=False)
    near = _nearest(task, free)
    for name, needed in needs(task):
        most = max(has(left, name) for _, left in free)
        if needed > most:
            text = f"needs {_amount(name, needed)}, the most that is free is {_amount(name, most)}"
            return Refusal(text, False, near)
    return Refusal(f"needs {_amounts(task)}; no agent has that much free", False, near)


def _lasting(task: PendingTask, known: Known, placed: Placed) -> Refusal | None:
    """Why no agent could ever run it. Without constraints that is asked once, not every time."""
    size = (frozenset(task.scalars.items()), task.ports)
    if size not in known.refusals:
        known.refusals[size] = _too_large(task, known)
    if (refusal := known.refusals[size]) is not None:
        return refusal
    if task.constraints:
        return _unwelcome(task, known, placed)
    kind = task.kind()
    if kind not in known.refusals:
        known.refusals[kind] = _unwelcome(task, known, placed)
    return known.refusals[kind]


def _too_large(task: PendingTask, known: Known) -> Refusal | None:
    if not known:
        return Refusal("no agent has been offered yet", lasting=True)
    for name, needed in needs(task):
        most = max(has(agent.total, name) for agent in known)
        if needed > most:
            text = f"needs {_amount(name, needed)}, the largest agent has {_amount(name, most)}"
            return Refusal(text, lasting=True)
    if not any(_fits(task, agent.total) for agent in known):
        return Refusal(f"needs {_amounts(task)}; no agent has that much of all", lasting=True)
    return None


def _unwelcome(task: PendingTask, known: Known, placed: Placed) -> Refusal | None:
    refusals: set[str] = set()
    for agent in known:
        if _fits(task, agent.total):
            refusal = refusal_of_agent(task, agent, placed, known)
            if refusal is None:
                return None
            refusals.add(refusal)
    return Refusal(f"no agent will do: {'; '.join(sorted(refusals)[:3])}", lasting=True)


def needs(task: PendingTask) -> list[tuple[str, int]]:
    """What a task needs by name, ports counted."""
    return [*task.scalars.items(), *([("ports", task.ports)] if task.ports else [])]


def has(bag: Resources, name: str) -> int:
    """How much of a resource there is, ports counted."""
    if name == "ports":
        return sum(count(part.ranges.get("ports", ())) for _, part in bag.parts())
    return bag.quantities.get(name, 0)


def _fits(task: PendingTask, bag: Resources) -> bool:
    if any(needed > has(bag, name) for name, needed in needs(task)):
        return False
    gpus = task.scalars.get("gpus", 0)
    least, number = (gpus, 1) if gpus < MILLI else (MILLI, gpus // MILLI)
    return not gpus or sum(left >= least for left in devices(bag).values()) >= number


def _volumes_are_there(task: PendingTask, bag: Resources) -> bool:
    there = {tag.volume.id for tag in bag.tagged if tag.volume}
    return all(volume in there for volume in task.volumes)


def _nearest(task: PendingTask, offers: Sequence[Free]) -> str:
    """Where the least is missing, as a part of what the agent has."""

    def missing(offer: Free) -> dict[str, int]:
        return {n: v - has(offer[1], n) for n, v in needs(task) if v > has(offer[1], n)}

    def cost(offer: Free) -> float:
        total = offer[0].total
        return sum(value / max(1, has(total, name)) for name, value in missing(offer).items())

    best = min(offers, key=cost)
    parts = [_amount(name, value) for name, value in missing(best).items()]
    return f"on {best[0].hostname} {', '.join(parts)} more would do" if parts else ""


def _amount(name: str, value: int) -> str:
    if name == "ports":
        return f"{value} ports"
    unit = " MiB" if name in ("mem", "disk") else ""
    return f"{format_milli(value)}{unit} {name}"


def _amounts(task: PendingTask) -> str:
    return ", ".join(_amount(name, value) for name, value in needs(task))
