"""One executor on an agent."""

from __future__ import annotations

from dataclasses import dataclass, field

from pymesos_agent.core.containers import Container, container_of
from pymesos_agent.core.lifecycles import ExecutorState
from pymesos_agent.core.tasks.task import TASK, Task
from pymesos_core.executors import own_resources
from pymesos_core.lifecycle import Story
from pymesos_core.resources import EMPTY, Resources, from_proto, total
from pymesos_core.store import Change
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import checkpoint_pb2 as checkpoint_pb
from pymesos_proto.v1 import types_pb2 as pb


@dataclass(slots=True, eq=False)
class Executor:
    """An executor from the launch of its first task until its end is stored."""

    container: Container
    role: str
    executor_info: pb.ExecutorInfo
    token: str  # by which it is known when it subscribes
    state: ExecutorState = ExecutorState.PLANNED
    story: Story = ()
    tasks: list[Task] = field(default_factory=list)
    kill: pb.KillPolicy | None = None
    killed_for: str = ""  # SUBSCRIBE, IDLE, or why a task is
    killed_why: str = ""
    started_at_s: float = 0.0  # Unix time
    stream_id: int = 0  # 0: not connected
    latest_stream: int = 0  # on which it has subscribed
    end_durable: bool = False
    ends_with_agent: bool = False  # as of a task

    @property
    def container_id(self) -> str:
        """The id of its container, and of its record."""
        return self.container.container_id

    @property
    def framework_id(self) -> str:
        """The framework whose it is."""
        return self.container.framework_id

    @property
    def executor_id(self) -> str:
        """What its framework calls it."""
        return self.executor_info.executor_id

    @property
    def key(self) -> tuple[str, str]:
        """Framework id and executor id."""
        return (self.framework_id, self.executor_id)

    @property
    def label(self) -> str:
        """What people call it."""
        return f"executor {self.executor_id} of {self.framework_id}"

    @property
    def info(self) -> pb.TaskInfo:
        """What runs in its container, as a task."""
        return self.container.info

    @property
    def runtime(self) -> str:
        """The runtime of its container."""
        return self.container.runtime

    @property
    def ended(self) -> bool:
        """Whether its container has ended."""
        return self.state is ExecutorState.ENDED

    @property
    def begun(self) -> bool:
        """Whether it may run, as far as its agent knows."""
        return not self.ended and bool(self.started_at_s)

    @property
    def held(self) -> Resources:
        """What it holds of its own, until it ends; nothing if it asks for nothing."""
        return EMPTY if self.ended else from_proto(self.executor_info.resources)

    @property
    def resources(self) -> Resources:
        """What its container may use now."""
        live = (task for task in self.tasks if not task.ended)
        own = own_resources(from_proto(self.executor_info.resources))
        return total((own, *(from_proto(task.info.resources) for task in live)))

    def report(self) -> agent_pb.HeldExecutor:
        """What a master is told of what it holds."""
        return agent_pb.HeldExecutor(
            framework_id=self.framework_id,
            executor_id=self.executor_id,
            role=self.role,
            name=self.executor_info.name,
            resources=self.executor_info.resources,
            started_at_s=self.started_at_s,
        )

    def change(self) -> Change:
        """The write of the executor's record as it is now."""
        begun = pb.TASK_RUNNING if self.started_at_s else pb.TASK_STAGING
        record = checkpoint_pb.TaskCheckpoint(
            container_id=self.container_id,
            framework_id=self.framework_id,
            role=self.role,
            task_info=self.info,
            state=pb.TASK_FAILED if self.ended else begun,
            runtime=self.runtime,
            user=self.container.user,
            own_uid=self.container.own_uid,
            kill=self.kill,
            pid=self.container.pid,
            killed_for=self.killed_for,
            started_at_s=self.started_at_s,
            executor=self.executor_info,
            executor_token=self.token,
            ends_with_agent=self.ends_with_agent,
        )
        return Change(TASK, self.container_id, record.SerializeToString())

    @staticmethod
    def from_record(record: checkpoint_pb.TaskCheckpoint) -> Executor:
        """Read it back."""
        container = container_of(record)
        ended = record.state == pb.TASK_FAILED
        return Executor(
            container,
            record.role,
            record.executor,
            record.executor_token,
            ExecutorState.ENDED if ended else ExecutorState.PLANNED,
            kill=record.kill if record.HasField("kill") else None,
            killed_for=record.killed_for,
            started_at_s=record.started_at_s,
            end_durable=ended,
            ends_with_agent=record.ends_with_agent,
        )


def read(data: bytes) -> Task | Executor:
    """A record of a task or an executor. Raises google.protobuf.message.DecodeError."""
    record = checkpoint_pb.TaskCheckpoint.FromString(data)
    if record.HasField("executor"):
        return Executor.from_record(record)
    return Task.from_record(record)
