"""Where the new instances of a job would go now, and what would be preempted for them.

It is the framework's own planner that says so, over what agents have free: nothing is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import islice

from pymesos_binpack.jobs.daemons import Agents, wanted
from pymesos_binpack.jobs.instance import Home, Instance, Saved
from pymesos_binpack.jobs.launching import pending_task
from pymesos_binpack.jobs.updating import rules_of
from pymesos_binpack.placement.agents import KnownAgents, OfferedAgent, Placements
from pymesos_binpack.placement.hand import AgentOffers, offers_of
from pymesos_binpack.placement.packing import Policy
from pymesos_binpack.placement.planner import Plan, Situation, plan
from pymesos_binpack.placement.preemption import MakingRoom, Running, RunningTask
from pymesos_binpack.placement.reasons import explain
from pymesos_binpack.placement.tasks import Cause, PendingTask
from pymesos_binpack.specs import Job, TaskSpec
from pymesos_core.resources import Resources, for_good, from_proto, tagged, total
from pymesos_core.text import count_of
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import operator_pb2, types_pb2

MAX_TASKS = 2000  # that are planned: those of more are alike
MAX_PREEMPTING = 100  # instances, and gangs, for which it is asked who would be killed


@dataclass(frozen=True)
class Room:
    """The agents that there are, and what of those that are not drained a role may be offered."""

    agents: Mapping[str, OfferedAgent]
    offers: Sequence[AgentOffers]
    drained: Set[str]


@dataclass
class Where:
    """What would become of the new instances of each task, by its name."""

    places: dict[str, Counter[str]] = field(default_factory=dict)  # by host
    never: dict[str, str] = field(default_factory=dict)  # why none of them could ever start
    refused: dict[str, list[str]] = field(default_factory=dict)  # why each of them would wait
    made_room: dict[str, int] = field(default_factory=dict)  # instances that others are killed for
    victims: dict[str, list[str]] = field(default_factory=dict)  # task ids
    waiting: list[PendingTask] = field(default_factory=list)  # of which some may be made room for
    made: Plan | None = None
    placed: Placements = field(default_factory=Placements)  # those of its own, too


def room_of(views: Iterable[operator_pb2.AgentView], role: str) -> Room:
    """Return what agents have, as a master shows it."""
    active = [view for view in views if view.state == "active"]
    agents = {view.info.agent_id: _agent(view) for view in active}
    drained = {view.info.agent_id for view in active if view.HasField("drain")}
    offers = [
        offer
        for view in active
        if view.info.agent_id not in drained
        for offer in offers_of((view.info.agent_id,), agents[view.info.agent_id], _free(view, role))
    ]
    return Room(agents, offers, drained)


def _agent(view: operator_pb2.AgentView) -> OfferedAgent:
    info = view.info
    attributes = {each.name: each.text for each in info.attributes}
    attributes["hostname"] = info.address.hostname
    return OfferedAgent(
        info.agent_id,
        attributes,
        for_good(from_proto(view.total or info.resources)),
        tuple(info.runtimes),
        knows_secrets=types_pb2.SECRETS in info.capabilities,
        knows_signals=types_pb2.KILL_SIGNAL in info.capabilities,
        knows_config=types_pb2.CONFIG in info.capabilities,
        knows_addresses=types_pb2.ADDRESSES in info.capabilities,
        knows_secret_addresses=types_pb2.SECRET_ADDRESSES in info.capabilities,
    )


def _free(view: operator_pb2.AgentView, role: str) -> Resources:
    """What of an agent nobody has that the role may be offered; what others are offered, too."""
    whole = from_proto(view.total or view.info.resources)
    free = whole.minus_what_is_there(from_proto(view.allocated))
    ours = (tagged(tag, bag) for tag, bag in free.parts() if tag.usable_by(role))
    return total(ours)


def where_they_go(
    job: Job,
    answer: pb.ApplyJobResponse,
    room: Room,
    policy: Policy,
    runs: Sequence[tuple[str, str]] = (),
    most: int = MAX_TASKS,
) -> Where:
    """Return where what an answer says is to be started would go.

    `runs` has the task and the agent of each instance that the job has, which constraints count.
    """
    new = {change.task_name: change.start + change.replace for change in answer.tasks}
    known = Agents(KnownAgents(room.agents.values()), room.drained)
    homes = {spec.name: _homes(job, spec, known, runs) for spec in job.tasks if spec.is_daemon}
    where = Where(never=_never(job, new, known.known))
    tasks = [
        task
        for task in _wanted(job, answer, homes, most)
        if task_of(task.task_id) not in where.never
    ]
    for name, agent_id in runs:
        if (agent := room.agents.get(agent_id)) is not None:
            where.placed.add(f"{answer.job_id}.{name}", agent.attributes)
    where.made = plan(tasks, room.offers, policy, Situation(placed=where.placed))
    for launch in where.made.launches:
        name = task_of(launch.task.task_id)
        where.places.setdefault(name, Counter())[launch.offer.agent.hostname] += 1
        where.placed.add(launch.task.group, launch.offer.agent.attributes)
    where.waiting = [task for task in tasks if task.task_id in where.made.unplaced]
    for task in where.waiting:
        text = where.made.unplaced[task.task_id].text
        where.refused.setdefault(task_of(task.task_id), []).append(text)
    return where


def preempt(where: Where, running: Iterable[RunningTask], room: Room) -> None:
    """Choose whom the framework would kill for those that wait, as it does."""
    assert where.made is not None
    free = {offer.agent.agent_id: offer.available for offer in room.offers}
    for launch in where.made.launches:
        agent_id = launch.offer.agent.agent_id
        free[agent_id] = free[agent_id] - launch.resources
    ports = {port for task in where.waiting for port in task.host_ports}
    agents = [offer.agent for offer in room.offers]
    making = MakingRoom(Running.of(running), free, agents, where.placed, ports)
    units: dict[str, list[PendingTask]] = {}
    for task in where.waiting:
        units.setdefault(task.gang or task.task_id, []).append(task)
    for unit in list(units.values())[:MAX_PREEMPTING]:
        homes = {task.task_id: task.home for task in unit if task.home}
        chosen = making.choose(unit, homes)
        if chosen is None:
            continue
        name = task_of(unit[0].task_id)
        where.made_room[name] = where.made_room.get(name, 0) + len(unit)
        where.victims.setdefault(name, []).extend(chosen.victims)
        for task in unit:
            where.refused[name].remove(where.made.unplaced[task.task_id].text)


def _never(job: Job, new: Mapping[str, int], known: KnownAgents) -> dict[str, str]:
    """Say of each task with new instances whether no agent that there is could ever run one.

    Where others of the job run does not count: they may have gone by then.
    """
    never: dict[str, str] = {}
    for spec in job.tasks:
        if not (number := new.get(spec.name, 0)):
            continue
        task = pending_task(Instance(job.name, job.name, spec, 0), job.priority)
        refusal = explain(task, known, (), Placements())
        if refusal.lasting and refusal.cause != Cause.NO_AGENT:
            instances = count_of(number, "new instance")
            never[spec.name] = f"{instances} could start on no agent that there is: {refusal.text}"
    return never


def _wanted(
    job: Job, answer: pb.ApplyJobResponse, homes: Mapping[str, Sequence[Home]], most: int
) -> Iterator[PendingTask]:
    """What is started beside what runs: all that is new, and of what is replaced the surge.

    Of a daemon that is one on each of `homes`, also where its framework has not seen the agent yet.
    """
    changes = {change.task_name: change for change in answer.tasks}
    left = most
    for spec in job.tasks:
        change = changes[spec.name]
        beside = 0
        if spec.is_service:
            numbers = rules_of(spec).in_numbers(spec.instances)
            beside = min(change.replace, numbers.surge + numbers.canaries)
        new: Iterable[Home | None] = homes.get(spec.name, [None] * (change.start + beside))
        for index, home in enumerate(islice(new, left)):
            left -= 1
            saved = Saved(agent_id=home.agent_id, hostname=home.hostname) if home else Saved()
            job_id = answer.job_id or job.name
            yield pending_task(Instance(job_id, job.name, spec, index, saved), job.priority)


def _homes(job: Job, spec: TaskSpec, agents: Agents, runs: Iterable[tuple[str, str]]) -> list[Home]:
    """The agents that a daemon is for and that none of it runs on."""
    taken = {agent_id for name, agent_id in runs if name == spec.name}
    places = wanted(job, spec, (), agents).places.values()
    return [home for home in places if home.agent_id not in taken]


def task_of(task_id: str) -> str:
    """The name of the task in its id."""
    return task_id.split(".")[1]
