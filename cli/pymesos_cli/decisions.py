"""`kill`, `teardown`, `gone`: what an operator decides."""

from __future__ import annotations

from pymesos_cli.cluster import Cluster, unique
from pymesos_proto.v1 import operator_pb2 as pb


async def kill_task(cluster: Cluster, text: str) -> None:
    """`pymesos-cli kill`."""
    view = await cluster.find_task(text, completed=False)
    task_id = view.task_info.task_id
    request = pb.KillTaskRequest(framework_id=view.framework_id, task_id=task_id)
    await cluster.call(lambda stub, timeout_s: stub.KillTask(request, timeout=timeout_s))
    print(f"killing {task_id}")


async def teardown(cluster: Cluster, text: str) -> None:
    """`pymesos-cli teardown`."""
    view = await cluster.find_framework(text)
    request = pb.TeardownFrameworkRequest(framework_id=view.info.framework_id)
    await cluster.call(lambda stub, timeout_s: stub.TeardownFramework(request, timeout=timeout_s))
    print(f"removed {view.info.framework_id} ({view.info.name}); its {view.tasks} tasks are ending")


async def mark_gone(cluster: Cluster, text: str) -> None:
    """`pymesos-cli gone`."""
    view = unique(text, await cluster.agents(), lambda v: v.info.agent_id, "agent")
    request = pb.MarkAgentGoneRequest(agent_id=view.info.agent_id)
    await cluster.call(lambda stub, timeout_s: stub.MarkAgentGone(request, timeout=timeout_s))
    print(f"{view.info.agent_id} is gone")
