"""Custom executors on an agent that run."""

from __future__ import annotations

from pymesos_agent.core import events as ev
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_executors import launch, say, subscribe
from pymesos_testing.agent_harness import AgentHarness


def heard(h: AgentHarness, stream_id: int = 1) -> list[tuple[str, str]]:
    """What an executor was told, with the task it is about."""
    out = []
    for event in h.told.get(stream_id, []):
        kind = event.WhichOneof("event") or ""
        about = getattr(event, kind)
        info = getattr(about, "task_info", None)
        out.append((kind, info.task_id if info is not None else getattr(about, "task_id", "")))
    return out


def running(h: AgentHarness, *task_ids: str) -> str:
    """An executor with tasks that run; its container id."""
    for task_id in task_ids:
        launch(h, task_id)
    container_id = h.started[0].container_id
    h.feed(ev.ContainerStarted(container_id, 77))
    subscribe(h)
    for number, task_id in enumerate(task_ids):
        say(h, task_id, pb.TASK_RUNNING, f"r{number}".encode())
    for update in h.updates():
        h.acknowledge(update.status)
    return container_id
