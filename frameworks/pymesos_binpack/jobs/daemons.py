"""Daemons: every agent that is known, and meets what one asks for, has one instance of it.

An agent that nobody has seen for long may come back, so what runs there stays. What waits there is
of no use, and neither is what runs on one that no longer will do. One that is drained is left by
its daemons last: they serve the others there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from itertools import count

from pymesos_binpack.jobs.instance import Home, Instance
from pymesos_binpack.jobs.launching import pending_task
from pymesos_binpack.placement.agents import KnownAgents, Placements
from pymesos_binpack.placement.eligibility import refusal_of_agent
from pymesos_binpack.specs import Job, TaskSpec

GONE = "its agent is not there any more"
DRAINED = "it is of an agent that is drained"


def kind_problem(before: Job, now: Job) -> str | None:
    """Return why a task may not become, or be no longer, a daemon; None: none does."""
    was = {spec.name: spec.is_daemon for spec in before.tasks}
    for spec in now.tasks:
        if was.get(spec.name, spec.is_daemon) != spec.is_daemon:
            what = "is no daemon" if spec.is_daemon else "is a daemon"
            return (
                f"the task {spec.name} {what}, and a task stays that: give the one of the new kind"
                f" another name"
            )
    return None


@dataclass(frozen=True)
class Agents:
    """What is known of the agents.

    Those that were seen, of these the ones being drained, and those where tasks of ours run that
    are no daemons', of which only the drained ones matter.
    """

    known: KnownAgents = field(default_factory=KnownAgents)
    draining: Set[str] = frozenset()
    serving: Set[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where a daemon is to run, by index, and what is to end, with the reasons."""

    places: Mapping[int, Home]
    unwanted: Mapping[Instance, str]


def wanted(job: Job, spec: TaskSpec, instances: Iterable[Instance], agents: Agents) -> Wanted:
    """Return the places of a daemon: those that its instances have, and new ones for new agents."""
    task = pending_task(Instance(job.name, job.name, spec, 0), job.priority)
    nowhere, others = Placements(), KnownAgents()
    homes: dict[str, int] = {}  # agents → indices
    places: dict[int, Home] = {}
    unwanted: dict[Instance, str] = {}
    taken: set[int] = set()
    for instance in instances:
        agent_id = instance.saved.agent_id
        taken.add(instance.index)
        homes[agent_id] = instance.index
        if instance.saved.leaving:
            continue
        agent = agents.known.get(agent_id)
        why = ""
        if agent_id in agents.draining and not (instance.live and agent_id in agents.serving):
            why = DRAINED
        elif agent is None:
            lost = instance.saved.done and agent_id in agents.known.lost
            why = GONE if instance.pending or lost else ""
        elif (problem := refusal_of_agent(task, agent, nowhere, others)) is not None:
            why = f"its agent will not do any more: {problem}"
        if why:
            unwanted[instance] = why
        else:
            places[instance.index] = Home(agent_id, instance.saved.hostname)
    free = (index for index in count() if index not in taken)
    for agent in agents.known:
        if agent.agent_id in agents.draining:
            continue
        if refusal_of_agent(task, agent, nowhere, others) is None:
            index = homes.get(agent.agent_id)
            index = next(free) if index is None else index
            places[index] = Home(agent.agent_id, agent.hostname)
    return Wanted(dict(sorted(places.items())), unwanted)
