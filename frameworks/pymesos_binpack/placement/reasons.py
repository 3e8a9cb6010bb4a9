"""Tasks that wait, the agents that were seen, and why the one does not go on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pymesos_binpack.placement.agents import KnownAgents, OfferedAgent, Placements
from pymesos_binpack.placement.eligibility import barred, refusal_of_agent
from pymesos_binpack.placement.ports import has_ports, ranges_of
from pymesos_binpack.placement.tasks import Cause, PendingTask, Refusal
from pymesos_core.nearest import hint
from pymesos_core.resource_names import KNOWN_RESOURCES
from pymesos_core.resource_values import MILLI, count, format_milli
from pymesos_core.resources import Resources, devices
from pymesos_core.text import count_of

Free = tuple[OfferedAgent, Resources]  # what an agent offers


def explain(
    task: PendingTask,
    known: KnownAgents,
    offers: Sequence[Free],
    placed: Placements,
    kept: Sequence[Free] = (),
) -> Refusal:
    """Why a task was not placed, the most lasting reason first.

    `kept` is what is offered, too, but not for tasks of its priority.
    """
    if task.volumes and (refusal := _without_data(task, known, (*offers, *kept))) is not None:
        return refusal
    if not task.is_of_agent and (lasting := _lasting(task, known, placed, known)) is not None:
        return lasting
    if task.home:
        return _on_its_agent(task, known, offers, placed, kept)
    return _not_placed(task, known, offers, placed, kept, known)


def _not_placed(
    task: PendingTask,
    there: KnownAgents,
    offers: Sequence[Free],
    placed: Placements,
    kept: Sequence[Free],
    known: KnownAgents,
) -> Refusal:
    """Why a task that could run on one of the agents that are `there` does not."""
    refused = [
        (refusal_of_agent(task, a, placed, known), a, _not_in_volumes(left)) for a, left in offers
    ]
    free = [(a, left) for reason, a, left in refused if reason is None]
    for_others = any(
        _fits(task, _not_in_volumes(left)) and not refusal_of_agent(task, a, placed, known)
        for a, left in kept
    )
    if for_others and not any(_fits(task, f) for _, f in free):
        text = "what is free is kept for tasks of higher priority, for which others were killed"
        return Refusal(f"needs {_amounts(task)}; {text}", lasting=False, cause=Cause.KEPT)
    if not free and task.revocable:
        text = (
            f"needs {_amounts(task)} that may be taken back; no agent offers what nobody uses of it"
            f" now, as those do that have `--revocable-margin`"
        )
        return Refusal(text, lasting=False)
    if not free:
        others = {refusal_of_agent(task, a, placed, known) for a, _ in (*offers, *kept)}
        return _not_offered(task, {reason for reason in others if reason is not None})
    where = ""
    if task.host_ports:
        having = [(a, left) for a, left in free if has_ports(left, task.host_ports)]
        if not having:
            return _ports_taken(task, len(free), there)
        where = f" with {_host_ports(task)}" if len(having) < len(free) else ""
        free = having
    if any(_fits(task, left) for _, left in free):
        text = "its gang does not fit as a whole" if task.gang else "others went first"
        cause = Cause.GANG if task.gang else Cause.OTHERS_FIRST
        return Refusal(f"needs {_amounts(task)}; {text}", lasting=False, cause=cause)
    near = _nearest(task, free)
    for name, needed in needs(task):
        most = max(has(left, name) for _, left in free)
        if needed > most:
            text = f"needs {_amount(name, needed)}, the most that is free is {_amount(name, most)}"
            return Refusal(text + where, False, near, Cause.TOO_LITTLE_FREE)
    text = f"needs {_amounts(task)}; no agent has that much free{where}"
    return Refusal(text, False, near, Cause.TOO_LITTLE_FREE)


def _on_its_agent(
    task: PendingTask,
    known: KnownAgents,
    offers: Sequence[Free],
    placed: Placements,
    kept: Sequence[Free],
) -> Refusal:
    """Why the one agent that a task is of, or has its data on, has no place for it.

    Whether constraints are met is a question of all agents. With data it is not said to last: it
    may be given up, and another agent do.
    """
    where = task.home_name or task.home
    if task.home in known.lost:
        return Refusal(f"on {where}: the agent is unreachable", lasting=False)
    agent = known.get(task.home)
    there = KnownAgents([agent] if agent is not None else ())
    here = [free for free in offers if free[0].agent_id == task.home]
    kept = [free for free in kept if free[0].agent_id == task.home]
    found = _lasting(task, there, placed, known)
    found = found or _not_placed(task, there, here, placed, kept, known)
    return replace(
        found, text=f"on {where}: {found.text}", lasting=found.lasting and not task.volumes
    )


def _not_offered(task: PendingTask, others: set[str]) -> Refusal:
    """Agents could run it, as far as was seen; `others` are offered, and why each will not do."""
    held = f"{_host_ports(task)} held by others, " if task.host_ports else ""
    text = (
        f"needs {_amounts(task)}; no agent that could run it is offered now: in use, {held}or"
        f" withheld by the master"
    )
    if others:
        text += f"; of those offered none will do: {'; '.join(sorted(others)[:3])}"
    return Refusal(text, lasting=False)


def _ports_taken(task: PendingTask, offered: int, known: KnownAgents) -> Refusal:
    """Agents are offered, and on none of them its host ports are free."""
    whole = sum(has_ports(agent.total, task.host_ports) for agent in known)
    none = "not free on the one agent" if offered == 1 else f"free on none of {offered} agents"
    it = "it" if len(task.host_ports) == 1 else "them"
    text = (
        f"needs {_host_ports(task)}, which others hold: {none} offered;"
        f" {count_of(whole, 'agent')} in all can offer {it}"
    )
    return Refusal(text, False, cause=Cause.PORT_TAKEN)


def _without_data(task: PendingTask, known: KnownAgents, offers: Sequence[Free]) -> Refusal | None:
    """Why the agent that has a task's volumes, and no other, is of no use to it."""
    where = task.home_name or task.home
    data = f"its data ({', '.join(task.volumes)}) are on {where}"
    if task.home in known.lost:
        text = f"{data}, which is unreachable: it waits until that is back, or given up for good"
        help_text = (
            f" with `pymesos-cli gone {task.home}`; then it begins anew without them, and so it"
            f" does with `pymesos-cli restart JOB --lose-volumes`"
        )
        return Refusal(text + help_text, False, cause=Cause.VOLUME_UNREACHABLE)
    agent = known.get(task.home)
    if agent is not None and (why := barred(task.constraints, agent)) is not None:
        text = (
            f"{data}, where it may not run ({why}): it waits until it may, or begins elsewhere"
            f" without them with `pymesos-cli restart JOB --lose-volumes`"
        )
        return Refusal(text, False, cause=Cause.VOLUME_RULED_OUT)
    here = [left for agent, left in offers if agent.agent_id == task.home]
    if not here:
        text = f"{data}, which is not offered now: in use, or withheld by the master"
        return Refusal(text, False, cause=Cause.VOLUME_NOT_OFFERED)
    if not any(_volumes_are_there(task, left) for left in here):
        text = (
            f"{data}, which is offered without them: another task has them still, or they were"
            f" removed; `pymesos-cli volumes list` says which, and after `pymesos-cli volumes"
            f" remove` of what is missing it begins anew"
        )
        return Refusal(text, False, cause=Cause.VOLUME_MISSING)
    return None


def _lasting(
    task: PendingTask, there: KnownAgents, placed: Placements, known: KnownAgents
) -> Refusal | None:
    """Why no agent that is `there` could ever run it.

    Without constraints that is asked once, not every time.
    """
    size = (frozenset(task.scalars.items()), task.ports, task.host_ports)
    if size not in there.refusals:
        there.refusals[size] = _too_large(task, there)
    if (refusal := there.refusals[size]) is not None:
        return refusal
    if task.constraints:
        return _unwelcome(task, there, placed, known)
    kind = task.kind()
    if kind not in there.refusals:
        there.refusals[kind] = _unwelcome(task, there, placed, known)
    return there.refusals[kind]


def _too_large(task: PendingTask, known: KnownAgents) -> Refusal | None:
    if not known:
        return Refusal("no agent has been offered yet", lasting=True, cause=Cause.NO_AGENT)
    for name, needed in needs(task):
        most = max(has(agent.total, name) for agent in known)
        if needed > most:
            text = f"needs {_amount(name, needed)}, the largest agent has {_amount(name, most)}"
            if not most:
                return Refusal(text + _did_you_mean(name, known), True, "", Cause.UNKNOWN_RESOURCE)
            return Refusal(text, lasting=True, cause=Cause.TOO_LARGE)
    if not any(has_ports(agent.total, task.host_ports) for agent in known):
        once = " at once" if len(task.host_ports) > 1 else ""
        text = f"needs {_host_ports(task)}, which no agent has{once}: `--resources` of agents name"
        return Refusal(f"{text} the ports that they offer", True, cause=Cause.NO_SUCH_PORT)
    if not any(_fits(task, agent.total) for agent in known):
        text = f"needs {_amounts(task)}; no agent has that much of all"
        return Refusal(text, lasting=True, cause=Cause.TOO_LARGE)
    return None


def _did_you_mean(name: str, known: KnownAgents) -> str:
    there = sorted(known.largest().keys() | {"ports"})
    meant = hint("" if name in KNOWN_RESOURCES else name, there, "there are", repr, 0.5)
    return f": no agent has any; {meant}"


def _unwelcome(
    task: PendingTask, there: KnownAgents, placed: Placements, known: KnownAgents
) -> Refusal | None:
    refusals: set[str] = set()
    for agent in there:
        if _fits(task, agent.total):
            refusal = refusal_of_agent(task, agent, placed, known)
            if refusal is None:
                return None
            refusals.add(refusal)
    text = f"no agent will do: {'; '.join(sorted(refusals)[:3])}"
    return Refusal(text, lasting=True, cause=Cause.UNWELCOME)


def needs(task: PendingTask) -> list[tuple[str, int]]:
    """What a task needs by name, ports counted."""
    return [*task.scalars.items(), *([("ports", task.ports)] if task.ports else [])]


def has(bag: Resources, name: str) -> int:
    """How much of a resource there is, ports counted."""
    if name == "ports":
        return count(tuple(ranges_of(bag)))
    return bag.quantities.get(name, 0)


def _fits(task: PendingTask, bag: Resources) -> bool:
    if any(needed > has(bag, name) for name, needed in needs(task)):
        return False
    if not has_ports(bag, task.host_ports):
        return False
    gpus = task.scalars.get("gpus", 0)
    least, number = (gpus, 1) if gpus < MILLI else (MILLI, gpus // MILLI)
    return not gpus or sum(left >= least for left in devices(bag).values()) >= number


def _not_in_volumes(bag: Resources) -> Resources:
    return bag.where(lambda tag: tag.volume is None) if bag.tagged else bag


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
        return count_of(value, "port")
    unit = " MiB" if name in ("mem", "disk") else ""
    return f"{format_milli(value)}{unit} {name}"


def _amounts(task: PendingTask) -> str:
    amounts = [_amount(name, value) for name, value in needs(task)]
    named = [f"{_host_ports(task)} among them"] if task.host_ports else []
    return ", ".join([*amounts, *named])


def _host_ports(task: PendingTask) -> str:
    numbers = ", ".join(map(str, task.host_ports))
    return f"the host {'port' if len(task.host_ports) == 1 else 'ports'} {numbers}"
