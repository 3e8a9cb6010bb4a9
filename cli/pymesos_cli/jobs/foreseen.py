"""Where the new instances of a job would go now, and what would be preempted for them.

Both are asked of the framework's own code, over what is free: nothing is changed by that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

from pymesos_binpack.jobs.where import Where, preempt, room_of
from pymesos_binpack.jobs.where import where_they_go as foresee
from pymesos_binpack.placement.packing import DEFAULT_POLICY, policy_told, read_policy
from pymesos_binpack.specs import Job, TaskSpec
from pymesos_cli.cluster import Cluster
from pymesos_cli.jobs.preemptible import Running, Victim
from pymesos_cli.output import count_of
from pymesos_core.names import parse_task_id
from pymesos_core.states import is_terminal
from pymesos_core.text import quoted
from pymesos_proto.v1 import jobs_pb2 as pb

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
    lines += [line for spec in job.tasks for line in _lines(spec, where, there)]
    return [*lines, *notes]


def _lines(spec: TaskSpec, where: Where, running: Running) -> Iterator[str]:
    if there := where.places.get(spec.name):
        named = [f"{number} on {host}" for host, number in there.most_common(MAX_HOSTS)]
        more = f" and {count_of(len(there) - MAX_HOSTS, 'other')}" if len(there) > MAX_HOSTS else ""
        yield f"{spec.name}: would go now: {', '.join(named)}{more}"
    if victims := [running.victim(task_id) for task_id in where.victims.get(spec.name, ())]:
        instances = count_of(where.made_room[spec.name], "instance")
        yield f"{spec.name}: {count_of(len(victims), 'task')} would be preempted for {instances}:"
        of: dict[tuple[str, int], list[Victim]] = {}
        for victim in victims:
            of.setdefault((victim.job_id, victim.priority), []).append(victim)
        for (job_id, priority), tasks in of.items():
            listed = ", ".join(f"{v.name} on {v.hostname}" for v in tasks[:MAX_VICTIMS])
            more = f" and {len(tasks) - MAX_VICTIMS} more" if len(tasks) > MAX_VICTIMS else ""
            yield f"  of {job_id} (priority {priority}): {listed}{more}"
    if texts := where.refused.get(spec.name):
        (text, _), *_ = Counter(texts).most_common(1)
        yield f"{spec.name}: {count_of(len(texts), 'instance')} would wait: {text}"


async def _runs(cluster: Cluster, job_id: str) -> list[tuple[str, str]]:
    """The task and the agent of each instance of the job that runs."""
    views = await cluster.tasks(id_prefix=f"{job_id}.") if job_id else []
    named = ((parse_task_id(view.task_info.task_id), view) for view in views)
    return [
        (parts.task, view.task_info.agent_id)
        for parts, view in named
        if parts is not None and not parts.sidecar and not is_terminal(view.state)
    ]
