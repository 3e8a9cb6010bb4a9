"""`kill`, `teardown`, `gone`: what an operator decides."""

from __future__ import annotations

from pymesos_cli.cluster import Cluster
from pymesos_cli.finding import (
    about_agent,
    about_framework,
    about_task,
    find_agent,
    find_framework,
    find_task,
    volumes_on,
)
from pymesos_cli.jobs.hosted import hosted_jobs
from pymesos_cli.jobs.waiting import is_of_service
from pymesos_cli.output import count_of, note
from pymesos_core.confirming import confirm
from pymesos_core.names import parse_task_id
from pymesos_proto.v1 import operator_pb2 as pb


async def kill_task(cluster: Cluster, text: str) -> None:
    """`pymesos-cli kill`."""
    view = await find_task(cluster, text, completed=False, exact=True)
    task_id = view.task_info.task_id
    request = pb.KillTaskRequest(framework_id=view.framework_id, task_id=task_id)
    await cluster.call(lambda stub, timeout_s: stub.KillTask(request, timeout=timeout_s))
    print(f"killing {task_id} ({about_task(view)})")
    parts = parse_task_id(task_id)
    if parts is not None and (
        await is_of_service(cluster, view) or await _is_hosted(cluster, view.framework_id)
    ):
        note(f"a service's task is replaced; `pymesos-cli stop {parts.job_id}` ends its job")


async def _is_hosted(cluster: Cluster, framework_id: str) -> bool:
    """Whether a command runs the job itself: of which kind its tasks are nobody can be asked."""
    hosted = await hosted_jobs(cluster)
    return any(job.framework.info.framework_id == framework_id for job in hosted)


async def teardown(cluster: Cluster, text: str, *, ask: bool) -> None:
    """`pymesos-cli teardown`."""
    view = await find_framework(cluster, text, exact=True)
    if ask:
        note(
            f"framework {view.info.framework_id} ({about_framework(view)}): it is removed for good,"
            f" and {count_of(view.tasks, 'task')} of it killed."
        )
        confirm("Go on?")
    request = pb.TeardownFrameworkRequest(framework_id=view.info.framework_id)
    await cluster.call(lambda stub, timeout_s: stub.TeardownFramework(request, timeout=timeout_s))
    print(f"removed {view.info.framework_id} ({about_framework(view)}); its tasks are ending")


async def mark_gone(cluster: Cluster, text: str, *, ask: bool) -> None:
    """`pymesos-cli gone`."""
    view = await find_agent(cluster, text, exact=True)
    who = f"{view.info.agent_id} ({about_agent(view)})"
    given_up = f"{count_of(view.tasks, 'task')} of it given up"
    if ask:
        data = f", and the data of {lost} lost" if (lost := volumes_on(view)) else ""
        note(f"agent {who}: it can never come back under its id, with {given_up}{data}.")
        confirm("Go on?")
    request = pb.MarkAgentGoneRequest(agent_id=view.info.agent_id)
    await cluster.call(lambda stub, timeout_s: stub.MarkAgentGone(request, timeout=timeout_s))
    print(f"agent {who} is gone, with {given_up}")
