"""Where the new instances of a job would go now, and what would be preempted for them.

Both are asked of the framework's own code, over what is free: nothing is changed by that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from pymesos_binpack.jobs.where import Where, preempt, room_of
from pymesos_binpack.jobs.where import where_they_go as foresee
from pymesos_binpack.placement.packing import DEFAULT_POLICY, policy_told, read_policy
from pymesos_binpack.specs import Job, TaskSpec
from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_NO_MASTER, CliError
from pymesos_cli.jobs.preemptible import Running, Victim
from pymesos_cli.output import count_of
from pymesos_core.names import parse_task_id
from pymesos_core.planned_agents import that_fit, to_plan
from pymesos_core.states import is_terminal
from pymesos_core.text import quoted
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1.operator_pb2 import AgentView

MAX_HOSTS = 5  # that are named
MAX_VICTIMS = 5  # that are named, of a job


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
    if not any(change.start + change.replace for change in answer.tasks) and not job.has_daemon:
        return []
    room = room_of(await cluster.agents(), job.role)
    runs = await _runs(cluster, answer.job_id)
    policy, notes = policy_told(answer.policy or DEFAULT_POLICY), []
    if policy is None:
        policy = read_policy(DEFAULT_POLICY)
        notes.append(
            f"the framework has a policy of its own, {quoted(answer.policy)}: this is planned by"
            f" the default one, and the framework may choose other agents"
        )
    where = foresee(job, answer, room, policy, runs)
    there = Running()
    if where.waiting and job.preempt:
        there = (await running()).once_applied(answer.job_id, job.priority)
        if there.unknown:
            notes.append(there.unknown)
        preempt(where, there.tasks.values(), room)
    lines = [f"{name}: {why}" for name, why in where.never.items()]
    lines += [line for spec in job.tasks for line in _lines(_of(spec, where, there))]
    return [*lines, *notes]


async def agents_to_plan(cluster: Cluster) -> tuple[list[AgentView], int]:
    """Return the agents over which a framework may plan, and how many do not fit; none where who
    asks may not see them."""
    try:
        views = await cluster.agents()
    except CliError as error:
        if error.exit_code == EXIT_NO_MASTER:
            raise
        return [], 0
    return that_fit([to_plan(view) for view in views if view.state == "active"])


def told(answer: pb.ApplyJobResponse) -> list[str]:
    """Say what a framework has planned itself, that knows whom its services can spare."""
    lines = [f"{each.task_name}: {each.why}" for each in answer.where if each.never]
    for each in answer.where:
        task = _Task(
            each.task_name,
            Counter({place.hostname: place.instances for place in each.places}),
            [Victim(v.job_id, v.name, v.hostname, v.priority) for v in each.preempted],
            each.preempting,
            [each.why] * each.waiting,
        )
        lines += _lines(task)
    return [*lines, answer.where_note] if answer.where_note else lines


@dataclass(frozen=True)
class _Task:
    """What would become of the new instances of a task."""

    name: str
    places: Counter[str]  # by host
    victims: Sequence[Victim]
    made_room: int  # instances for which these go
    refused: Sequence[str]  # why each of the others would wait


def _of(spec: TaskSpec, where: Where, running: Running) -> _Task:
    name = spec.name
    victims = [running.victim(task_id) for task_id in where.victims.get(name, ())]
    places, refused = where.places.get(name, Counter()), where.refused.get(name, [])
    return _Task(name, places, victims, where.made_room.get(name, 0), refused)


def _lines(task: _Task) -> Iterator[str]:
    if there := task.places:
        named = [f"{number} on {host}" for host, number in there.most_common(MAX_HOSTS)]
        more = f" and {count_of(len(there) - MAX_HOSTS, 'other')}" if len(there) > MAX_HOSTS else ""
        yield f"{task.name}: would go now: {', '.join(named)}{more}"
    instances = count_of(task.made_room, "instance")
    if task.made_room and not task.victims:  # who asks may not see them
        yield f"{task.name}: others would be preempted for {instances}"
    if victims := task.victims:
        yield f"{task.name}: {count_of(len(victims), 'task')} would be preempted for {instances}:"
        of: dict[tuple[str, int], list[Victim]] = {}
        for victim in victims:
            of.setdefault((victim.job_id, victim.priority), []).append(victim)
        for (job_id, priority), tasks in of.items():
            listed = ", ".join(f"{v.name} on {v.hostname}" for v in tasks[:MAX_VICTIMS])
            more = f" and {len(tasks) - MAX_VICTIMS} more" if len(tasks) > MAX_VICTIMS else ""
            yield f"  of {job_id} (priority {priority}): {listed}{more}"
    if texts := task.refused:
        (text, _), *_ = Counter(texts).most_common(1)
        yield f"{task.name}: {count_of(len(texts), 'instance')} would wait: {text}"


async def _runs(cluster: Cluster, job_id: str) -> list[tuple[str, str]]:
    """The task and the agent of each instance of the job that runs."""
    views = await cluster.tasks(id_prefix=f"{job_id}.") if job_id else []
    named = ((parse_task_id(view.task_info.task_id), view) for view in views)
    return [
        (parts.task, view.task_info.agent_id)
        for parts, view in named
        if parts is not None and not parts.sidecar and not is_terminal(view.state)
    ]
