"""What is told of daemons: on how many agents each is wanted and runs, and which are for none."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from pymesos_binpack.jobs.daemons import DRAINED, Agents
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.launching import pending_task
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.placement.agents import KnownAgents, OfferedAgent, Placements
from pymesos_binpack.placement.eligibility import refusal_of_agent
from pymesos_binpack.specs import TaskSpec
from pymesos_core.text import cut
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import types_pb2

MAX_DAEMONS, EXAMPLES, WHY_SHOWN = 100, 10, 200


def daemon_views(job: JobState, agents: Agents) -> Iterator[pb.DaemonView]:
    """Each daemon of a job, with some of the agents that it is not for, and why."""
    daemons = (spec for spec in job.job.tasks if spec.is_daemon)
    for spec in islice(daemons, MAX_DAEMONS):
        saved = [
            instance.durable
            for instance in job.told_instances()
            if instance.spec.name == spec.name and not instance.durable.leaving
        ]
        homes = {one.agent_id for one in saved}
        others = [agent for agent in agents.known if agent.agent_id not in homes]
        yield pb.DaemonView(
            task_name=spec.name,
            agents=len(agents.known),
            wanted=len(homes),
            running=sum(one.state == types_pb2.TASK_RUNNING for one in saved),
            not_eligible=len(others),
            examples=[_example(job, spec, agent, agents) for agent in others[:EXAMPLES]],
        )


def _example(
    job: JobState, spec: TaskSpec, agent: OfferedAgent, agents: Agents
) -> pb.DaemonView.NotEligible:
    task = pending_task(Instance(job.job.name, job.job.name, spec, 0), job.job.priority)
    why = refusal_of_agent(task, agent, Placements(), KnownAgents()) or ""
    if agent.agent_id in agents.draining:
        why = DRAINED
    return pb.DaemonView.NotEligible(
        agent_id=agent.agent_id, hostname=agent.hostname, why=cut(why, WHY_SHOWN)
    )
