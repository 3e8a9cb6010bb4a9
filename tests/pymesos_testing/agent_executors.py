"""Executors of an agent harness: what they are, and what they say."""

from __future__ import annotations

from pymesos_agent.core import events as ev
from pymesos_core.resources import parse, to_proto
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_harness import AgentHarness

COMMAND = pb.CommandInfo(shell=True, value="exec ./executor")
INFO = pb.ExecutorInfo(executor_id="x", command=COMMAND)


def launch(
    h: AgentHarness,
    task_id: str,
    info: pb.ExecutorInfo = INFO,
    connection_id: int = 1,
    *,
    launch_executor: bool = False,
) -> None:
    message = agent_pb.LaunchTask(
        framework_id="f",
        task_info=pb.TaskInfo(
            task_id=task_id, resources=to_proto(parse("cpus:1;mem:64")), executor=info
        ),
        framework_info=pb.FrameworkInfo(name="f"),
        launch_executor=launch_executor,
    )
    h.hear(agent_pb.MasterMessage(launch=message), connection_id)


def token(h: AgentHarness) -> str:
    environment = {v.name: v.value for v in h.started[-1].info.command.environment}
    assert environment["PYMESOS_AGENT"] == "127.0.0.1:1"
    return environment["PYMESOS_EXECUTOR_TOKEN"]


def subscribe(
    h: AgentHarness,
    stream_id: int = 1,
    task_ids: tuple[str, ...] = (),
    unacknowledged: tuple[pb.TaskStatus, ...] = (),
    secret: str | None = None,
) -> None:
    call = executor_pb.ExecutorCall.Subscribe(
        framework_id="f",
        executor_id="x",
        token=token(h) if secret is None else secret,
        task_ids=task_ids,
        unacknowledged=unacknowledged,
    )
    h.feed(ev.ExecutorSaid(stream_id, executor_pb.ExecutorCall(subscribe=call)))


def say(
    h: AgentHarness, task_id: str, state: pb.TaskState, uuid: bytes = b"e1", stream_id: int = 1
) -> None:
    update = executor_pb.ExecutorCall.Update(status=status(task_id, state, uuid))
    h.feed(ev.ExecutorSaid(stream_id, executor_pb.ExecutorCall(update=update)))


def status(task_id: str, state: pb.TaskState, uuid: bytes) -> pb.TaskStatus:
    return pb.TaskStatus(task_id=task_id, state=state, uuid=uuid)
