"""Where the new instances of a job would go now, and what would be preempted for them.

Both are asked of the framework's own code, over what is free: nothing is changed by that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from pymesos_binpack.jobs.daemons import Agents, wanted
from pymesos_binpack.jobs.instance import Home, Instance, Saved
from pymesos_binpack.jobs.launching import pending_task
from pymesos_binpack.jobs.updating import rules_of
from pymesos_binpack.placement.agents import Attributes, KnownAgents, OfferedAgent, Placements
from pymesos_binpack.placement.hand import AgentOffers
from pymesos_binpack.placement.packing import DEFAULT_POLICY, policy_told, read_policy
from pymesos_binpack.placement.planner import Plan, Situation, plan
from pymesos_binpack.placement.preemption import MakingRoom
from pymesos_binpack.placement.reasons import explain
from pymesos_binpack.placement.tasks import Cause, PendingTask
from pymesos_binpack.specs import Job, TaskSpec
from pymesos_cli.cluster import Cluster
from pymesos_cli.jobs.preemptible import Running, Victim
from pymesos_cli.output import count_of
from pymesos_core.names import parse_task_id
from pymesos_core.resources import Resources, from_proto, tagged, total
from pymesos_core.states import is_terminal
from pymesos_core.text import quoted
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import operator_pb2, types_pb2

MAX_TASKS = 2000  # that are planned: those of more are alike
MAX_HOSTS = 5  # that are named
MAX_VICTIMS = 5  # that are named, of a job
MAX_PREEMPTING = 100  # instances, and gangs, for which it is asked who would be killed


async def where_they_go(
    cluster: Cluster,
    job: Job,
    answer: pb.ApplyJobResponse,
    running: Callable[[], Awaitable[Running]],
) -> list[str]:
    """Say of each task where what is to be started would go, what would be preempted for it, and
    what does not fit.

    `running` is asked where others may be preempted.
    """
    new = {change.task_name: change.start + change.replace for change in answer.tasks}
    if not any(new.values()) and not job.has_daemon:
        return []
    views = [view for view in await cluster.agents() if view.state == "active"]
    agents = {view.info.agent_id: _agent(view) for view in views}
    there = await _tasks_of(cluster, answer.job_id)
    drained = {view.info.agent_id for view in views if view.HasField("drain")}
    known = Agents(KnownAgents(agents.values()), drained)
    homes = {s.name: _homes(job, s, known, there) for s in job.tasks if s.is_daemon}
    never = _never(job, new, known.known)
    tasks = [task for task in _wanted(job, answer, homes) if _task_of(task.task_id) not in never]
    offers = [
        AgentOffers((view.info.agent_id,), agents[view.info.agent_id], _free(view, job.role))
        for view in views
        if view.info.agent_id not in drained
    ]
    placed = Placements(_by_group(there, agents))
    policy, foreseen = policy_told(answer.policy or DEFAULT_POLICY), _Foreseen()
    if policy is None:
        policy = read_policy(DEFAULT_POLICY)
        foreseen.notes.append(
            f"the framework has a policy of its own, {quoted(answer.policy)}: this is planned by"
            f" the default one, and the framework may choose other agents"
        )
    made = plan(tasks, offers, policy, Situation(placed=placed))
    for launch in made.launches:
        name = _task_of(launch.task.task_id)
        foreseen.places.setdefault(name, Counter())[launch.offer.agent.hostname] += 1
        placed.add(launch.task.group, launch.offer.agent.attributes)
    waiting = [task for task in tasks if task.task_id in made.unplaced]
    if waiting and job.preempt:
        others = (await running()).once_applied(answer.job_id, job.priority)
        _preempt(foreseen, waiting, others, offers, made, placed)
    for task in waiting:
        if task.task_id not in foreseen.helped:
            text = made.unplaced[task.task_id].text
            foreseen.refused.setdefault(_task_of(task.task_id), []).append(text)
    lines = [f"{name}: {why}" for name, why in never.items()]
    lines += [line for spec in job.tasks for line in _lines(spec, foreseen)]
    return [*lines, *foreseen.notes]


@dataclass
class _Foreseen:
    """What would become of the new instances of each task, by its name."""

    places: dict[str, Counter[str]] = field(default_factory=dict)
    refused: dict[str, list[str]] = field(default_factory=dict)
    made_room: dict[str, int] = field(default_factory=dict)  # instances that others are killed for
    victims: dict[str, list[Victim]] = field(default_factory=dict)
    helped: set[str] = field(default_factory=set)  # task ids
    notes: list[str] = field(default_factory=list)  # on how far all this can be relied on


def _preempt(
    foreseen: _Foreseen,
    waiting: Sequence[PendingTask],
    running: Running,
    offers: Sequence[AgentOffers],
    made: Plan,
    placed: Placements,
) -> None:
    """Choose whom the framework would kill for those that wait, as it does."""
    if running.unknown:
        foreseen.notes.append(running.unknown)
    free = {offer.agent.agent_id: offer.available for offer in offers}
    for launch in made.launches:
        agent_id = launch.offer.agent.agent_id
        free[agent_id] = free[agent_id] - launch.resources
    ports = {port for task in waiting for port in task.host_ports}
    agents = [offer.agent for offer in offers]
    making = MakingRoom(running.tasks.values(), free, agents, placed, ports)
    units: dict[str, list[PendingTask]] = {}
    for task in waiting:
        units.setdefault(task.gang or task.task_id, []).append(task)
    for unit in list(units.values())[:MAX_PREEMPTING]:
        homes = {task.task_id: task.home for task in unit if task.home}
        chosen = making.choose(unit, homes)
        if chosen is None:
            continue
        name = _task_of(unit[0].task_id)
        foreseen.made_room[name] = foreseen.made_room.get(name, 0) + len(unit)
        foreseen.victims.setdefault(name, []).extend(map(running.victim, chosen.victims))
        foreseen.helped.update(task.task_id for task in unit)


def _lines(spec: TaskSpec, foreseen: _Foreseen) -> Iterator[str]:
    if there := foreseen.places.get(spec.name):
        named = [f"{number} on {host}" for host, number in there.most_common(MAX_HOSTS)]
        more = f" and {count_of(len(there) - MAX_HOSTS, 'other')}" if len(there) > MAX_HOSTS else ""
        yield f"{spec.name}: would go now: {', '.join(named)}{more}"
    if victims := foreseen.victims.get(spec.name):
        instances = count_of(foreseen.made_room[spec.name], "instance")
        yield f"{spec.name}: {count_of(len(victims), 'task')} would be preempted for {instances}:"
        of: dict[tuple[str, int], list[Victim]] = {}
        for victim in victims:
            of.setdefault((victim.job_id, victim.priority), []).append(victim)
        for (job_id, priority), tasks in of.items():
            listed = ", ".join(f"{v.name} on {v.hostname}" for v in tasks[:MAX_VICTIMS])
            more = f" and {len(tasks) - MAX_VICTIMS} more" if len(tasks) > MAX_VICTIMS else ""
            yield f"  of {job_id} (priority {priority}): {listed}{more}"
    if texts := foreseen.refused.get(spec.name):
        (text, _), *_ = Counter(texts).most_common(1)
        yield f"{spec.name}: {count_of(len(texts), 'instance')} would wait: {text}"


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
    job: Job, answer: pb.ApplyJobResponse, homes: Mapping[str, Sequence[Home]]
) -> Iterator[PendingTask]:
    """What is started beside what runs: all that is new, and of what is replaced the surge.

    Of a daemon that is one on each of `homes`, also where its framework has not seen the agent yet.
    """
    changes = {change.task_name: change for change in answer.tasks}
    left = MAX_TASKS
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


def _homes(
    job: Job, spec: TaskSpec, agents: Agents, there: Iterable[operator_pb2.TaskView]
) -> list[Home]:
    """The agents that a daemon is for and that none of it runs on."""
    taken = {
        view.task_info.agent_id
        for view in there
        if not is_terminal(view.state) and _task_of(view.task_info.task_id) == spec.name
    }
    places = wanted(job, spec, (), agents).places.values()
    return [home for home in places if home.agent_id not in taken]


def _task_of(task_id: str) -> str:
    return task_id.split(".")[1]


def _agent(view: operator_pb2.AgentView) -> OfferedAgent:
    info = view.info
    attributes = {each.name: each.text for each in info.attributes}
    attributes["hostname"] = info.address.hostname
    return OfferedAgent(
        info.agent_id,
        attributes,
        from_proto(view.total or info.resources),
        tuple(info.runtimes),
        knows_secrets=types_pb2.SECRETS in info.capabilities,
        knows_signals=types_pb2.KILL_SIGNAL in info.capabilities,
    )


def _free(view: operator_pb2.AgentView, role: str) -> Resources:
    """What of an agent nobody has that the role may be offered; what others are offered, too."""
    whole = from_proto(view.total or view.info.resources)
    free = whole.minus_what_is_there(from_proto(view.allocated))
    ours = (tagged(tag, bag) for tag, bag in free.parts() if tag.usable_by(role))
    return total(ours)


async def _tasks_of(cluster: Cluster, job_id: str) -> list[operator_pb2.TaskView]:
    """The tasks of the job, which its constraints count."""
    return await cluster.tasks(id_prefix=f"{job_id}.") if job_id else []


def _by_group(
    views: Iterable[operator_pb2.TaskView], agents: Mapping[str, OfferedAgent]
) -> dict[str, list[Attributes]]:
    out: dict[str, list[Attributes]] = {}
    for view in views:
        parts = parse_task_id(view.task_info.task_id)
        agent = agents.get(view.task_info.agent_id)
        if parts is not None and not parts.sidecar and agent and not is_terminal(view.state):
            out.setdefault(f"{parts.job_id}.{parts.task}", []).append(agent.attributes)
    return out
