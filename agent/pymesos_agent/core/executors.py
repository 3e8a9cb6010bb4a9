"""Custom executors: processes of frameworks that run their tasks.

Mesos' `docs/executor-http-api.md`. An executor is a container like that of a task, and its tasks
are tasks without a container of their own. Ours: it has no resources but those of its tasks and a
little that nobody is charged for, as Mesos' command executor has, so that it is not accounted
anywhere but here; it ends when it has had no task for a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pymesos_agent.core.effects import CloseExecutor, Effect, ResizeContainer, TellExecutor
from pymesos_agent.core.tasks import AgentTask
from pymesos_core.clock import Now
from pymesos_core.resources import Resources, from_proto, parse, total
from pymesos_core.states import state_name
from pymesos_core.timers import Timers
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb

OVERHEAD = parse("cpus:0.1;mem:32")
SUBSCRIBE, IDLE = "subscribe", "idle"
SUBSCRIBE_S = 60.0  # SEMANTICS 20
IDLE_S = 10.0
SHUTDOWN_S = 5.0  # SEMANTICS 20
MAX_UNACKNOWLEDGED = 1000
MAX_UUID_BYTES = 64
MAX_STATUS_BYTES = 64 * 1024
# What an executor may say of a task.
STATES = frozenset(
    {pb.TASK_STARTING, pb.TASK_RUNNING, pb.TASK_KILLING, pb.TASK_FINISHED, pb.TASK_FAILED,
     pb.TASK_KILLED, pb.TASK_ERROR}
)  # fmt: skip


class Agent(Protocol):
    """What is asked of the agent's core."""

    @property
    def timers(self) -> Timers[tuple[str, str]]: ...
    @property
    def executors(self) -> dict[tuple[str, str], AgentTask]: ...
    @property
    def now(self) -> Now: ...
    def emit(self, effect: Effect) -> None: ...
    def tell_master(self, message: agent_pb.AgentMessage) -> None: ...
    def find(self, framework_id: str, task_id: str) -> AgentTask | None: ...
    def container(self, container_id: str) -> AgentTask | None: ...
    def framework(self, framework_id: str) -> pb.FrameworkInfo: ...
    def checkpoint(self, task: AgentTask) -> None: ...
    def end_executor(self, executor: AgentTask, status: int | None, why: str) -> None: ...
    def kill_container(self, task: AgentTask, policy: pb.KillPolicy) -> None: ...
    def update(
        self, task: AgentTask, state: pb.TaskState, reason: pb.Reason, message: str
    ) -> None: ...
    def take(self, task: AgentTask, status: pb.TaskStatus) -> None: ...


def container_of(info: pb.ExecutorInfo, token: str, agent_address: str) -> pb.TaskInfo:
    """The executor as something to start. Its environment says where the agent is."""
    out = pb.TaskInfo(
        task_id=info.executor_id,
        name=info.name or info.executor_id,
        command=info.command,
        container=info.container,
        artifacts=info.artifacts,
        kill_policy=pb.KillPolicy(grace_period_s=info.shutdown_grace_period_s or SHUTDOWN_S),
    )
    mine = {
        "PYMESOS_EXECUTOR_ID": info.executor_id,
        "PYMESOS_EXECUTOR_TOKEN": token,
        "PYMESOS_AGENT": agent_address,
    }
    out.command.environment.extend(
        pb.EnvironmentVariable(name=name, value=value) for name, value in mine.items()
    )
    return out


def resources_of(executor: AgentTask) -> Resources:
    """What its container may use now."""
    live = (task for task in executor.tasks if not task.ended)
    return total((OVERHEAD, *(from_proto(task.info.resources) for task in live)))


class Executors:
    """Decides about the executors of one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._streams: dict[int, AgentTask] = {}

    def find(self, framework_id: str, info: pb.ExecutorInfo) -> AgentTask | None:
        """The one of that id, unless it has ended or is about to."""
        executor = self._agent.executors.get((framework_id, info.executor_id))
        ending = executor is None or executor.ended or executor.kill is not None
        return None if ending else executor

    def started(self, executor: AgentTask) -> None:
        """It was handed to the runtime, or found again: it is to subscribe."""
        self._wait_for(executor)
        self._idle_from_now(executor)

    def _idle_from_now(self, executor: AgentTask) -> None:
        if executor.ended or not all(task.ended for task in executor.tasks):
            return
        if executor.asked_to_start:
            at = self._agent.now.mono_s + IDLE_S
            self._agent.timers.set((IDLE, executor.container_id), at)
        else:
            # All its tasks were killed before it was handed to the runtime.
            self._agent.end_executor(executor, None, "it was not started")

    def _wait_for(self, executor: AgentTask) -> None:
        at = self._agent.now.mono_s + SUBSCRIBE_S
        self._agent.timers.set((SUBSCRIBE, executor.container_id), at)

    def launch(self, task: AgentTask) -> None:
        """A task whose checkpoint is written."""
        executor = task.executor
        assert executor is not None
        self._agent.timers.cancel((IDLE, executor.container_id))
        self._resize(executor)
        self._tell_launch(executor, task)

    def _tell_launch(self, executor: AgentTask, task: AgentTask) -> None:
        task.asked_to_start = True
        launch = executor_pb.ExecutorEvent.Launch(task_info=task.info)
        self._tell(executor, executor_pb.ExecutorEvent(launch=launch))

    def _resize(self, executor: AgentTask) -> None:
        if executor.asked_to_start and not executor.ended:
            resources = resources_of(executor)
            effect = ResizeContainer(executor.container_id, executor.runtime, resources)
            self._agent.emit(effect)

    def _tell(self, executor: AgentTask, event: executor_pb.ExecutorEvent) -> None:
        """What it misses it is told when it subscribes again."""
        if executor.stream_id:
            self._agent.emit(TellExecutor(executor.stream_id, event))

    def kill(self, task: AgentTask, policy: pb.KillPolicy) -> None:
        """It is the executor that ends it; one that it never heard of is ended here."""
        executor = task.executor
        assert executor is not None
        task.kill = policy
        self._agent.checkpoint(task)
        kill = executor_pb.ExecutorEvent.Kill(task_id=task.info.task_id, kill_policy=policy)
        self._tell(executor, executor_pb.ExecutorEvent(kill=kill))

    def shut_down(self, executor: AgentTask) -> None:
        """Ask it to end; its container is killed after the grace period."""
        shutdown = executor_pb.ExecutorEvent(shutdown=executor_pb.ExecutorEvent.Shutdown())
        self._tell(executor, shutdown)
        self._agent.kill_container(executor, executor.info.kill_policy)

    def task_ended(self, task: AgentTask) -> None:
        """What it had is no longer the executor's; without any task that ends before long."""
        executor = task.executor
        assert executor is not None
        self._resize(executor)
        self._idle_from_now(executor)

    def forget_task(self, task: AgentTask) -> None:
        """Its end is acknowledged."""
        assert task.executor is not None
        task.executor.tasks.remove(task)

    def ended(self, executor: AgentTask, status: int | None, why: str) -> None:
        """Its container has ended, and its tasks with it."""
        for name in (SUBSCRIBE, IDLE):
            self._agent.timers.cancel((name, executor.container_id))
        if executor.stream_id:
            self._agent.emit(CloseExecutor(executor.stream_id, "the executor has ended"))
            self._streams.pop(executor.stream_id, None)
            executor.stream_id = 0
        late = executor.killed_for == SUBSCRIBE
        reason = pb.REASON_EXECUTOR_REGISTRATION_TIMEOUT if late else pb.REASON_EXECUTOR_TERMINATED
        text = f"It did not subscribe within {SUBSCRIBE_S:g} s" if late else why
        for task in list(executor.tasks):
            state = pb.TASK_KILLED if task.kill is not None else pb.TASK_FAILED
            self._agent.update(task, state, reason, f"Its executor has ended: {text}")
        exited = agent_pb.AgentMessage.ExecutorExited(
            framework_id=executor.framework_id,
            executor_id=executor.info.task_id,
            status=status,
        )
        self._agent.tell_master(agent_pb.AgentMessage(executor_exited=exited))

    def on_due(self, name: str, container_id: str) -> None:
        """It has not subscribed, or has had nothing to do."""
        executor = self._agent.container(container_id)
        if executor is not None and not executor.ended and executor.kill is None:
            executor.killed_for = name
            self.shut_down(executor)

    def to_executor(self, message: agent_pb.ExecutorMessage) -> None:
        """A framework says something; told once."""
        executor = self._agent.executors.get((message.framework_id, message.executor_id))
        if executor is not None:
            said = executor_pb.ExecutorEvent.Message(data=message.data)
            self._tell(executor, executor_pb.ExecutorEvent(message=said))

    # What executors say.

    def on_said(self, stream_id: int, call: executor_pb.ExecutorCall) -> None:
        """A call on a stream; the first one subscribes."""
        executor = self._streams.get(stream_id)
        match call.WhichOneof("call"):
            case "subscribe" if executor is None:
                self._on_subscribe(stream_id, call.subscribe)
            case "update" if executor is not None:
                self._on_update(executor, call.update.status)
            case "message" if executor is not None:
                message = agent_pb.ExecutorMessage(
                    framework_id=executor.framework_id,
                    executor_id=executor.info.task_id,
                    data=call.message.data,
                )
                self._agent.tell_master(agent_pb.AgentMessage(executor_message=message))
            case _:
                self._refuse(stream_id, "the first call of a stream, and no other, is SUBSCRIBE")

    def on_left(self, stream_id: int) -> None:
        """A stream has ended; the executor is to come back."""
        executor = self._streams.pop(stream_id, None)
        if executor is not None and executor.stream_id == stream_id:
            executor.stream_id = 0
            if not executor.ended:
                self._wait_for(executor)

    def _refuse(self, stream_id: int, why: str) -> None:
        error = executor_pb.ExecutorEvent.Error(message=why)
        self._agent.emit(TellExecutor(stream_id, executor_pb.ExecutorEvent(error=error)))
        self._agent.emit(CloseExecutor(stream_id, why))

    def _on_subscribe(self, stream_id: int, call: executor_pb.ExecutorCall.Subscribe) -> None:
        executor = self._agent.executors.get((call.framework_id, call.executor_id))
        if executor is None or executor.ended or call.token != executor.token:
            self._refuse(stream_id, "this agent has no such executor, or the token is another's")
            return
        if executor.stream_id:
            self._refuse(executor.stream_id, "the executor has subscribed again")
            self._streams.pop(executor.stream_id, None)
        executor.stream_id = stream_id
        self._streams[stream_id] = executor
        self._agent.timers.cancel((SUBSCRIBE, executor.container_id))
        subscribed = executor_pb.ExecutorEvent.Subscribed(
            executor_info=executor.executor_info,
            framework_info=self._agent.framework(executor.framework_id),
            agent_id=executor.info.agent_id,
        )
        self._tell(executor, executor_pb.ExecutorEvent(subscribed=subscribed))
        for status in call.unacknowledged:
            self._on_update(executor, status)
        for task in list(executor.tasks):
            self._bring_up_to_date(executor, task, call.task_ids)
        if executor.kill is not None:
            shutdown = executor_pb.ExecutorEvent(shutdown=executor_pb.ExecutorEvent.Shutdown())
            self._tell(executor, shutdown)

    def _bring_up_to_date(self, executor: AgentTask, task: AgentTask, known: Sequence[str]) -> None:
        """What it missed while it was not connected."""
        if task.ended or not task.started:
            return
        if task.info.task_id not in known and task.state == pb.TASK_STAGING:
            if task.kill is not None:
                self._agent.update(
                    task,
                    pb.TASK_KILLED,
                    pb.REASON_TASK_KILLED_DURING_LAUNCH,
                    "Killed before its executor knew of it",
                )
                return
            self._tell_launch(executor, task)
        elif task.info.task_id not in known:
            self._agent.update(
                task,
                pb.TASK_FAILED,
                pb.REASON_EXECUTOR_TERMINATED,
                "Its executor does not know it any more",
            )
        elif task.kill is not None:
            kill = executor_pb.ExecutorEvent.Kill(task_id=task.info.task_id, kill_policy=task.kill)
            self._tell(executor, executor_pb.ExecutorEvent(kill=kill))

    def _on_update(self, executor: AgentTask, status: pb.TaskStatus) -> None:
        """Store it, then acknowledge it; one that came before is acknowledged again."""
        problem = _status_problem(status)
        if problem is not None:
            self._refuse(executor.stream_id, problem)
            return
        task = self._agent.find(executor.framework_id, status.task_id)
        if task is None or task.executor is not executor:
            self.acknowledge(executor, status.task_id, status.uuid)
            return
        if len(task.unacknowledged) >= MAX_UNACKNOWLEDGED:
            self._refuse(
                executor.stream_id,
                f"{MAX_UNACKNOWLEDGED} updates of {status.task_id[:255]} wait for its framework",
            )
            return
        task.to_acknowledge[status.uuid] = None
        if status.uuid in task.updates_seen or task.ended:
            self._agent.checkpoint(task)
            return
        task.updates_seen.append(status.uuid)
        self._agent.take(task, status)

    def acknowledge(self, executor: AgentTask, task_id: str, uuid: bytes) -> None:
        """The executor need not say it again."""
        acknowledged = executor_pb.ExecutorEvent.Acknowledged(task_id=task_id, uuid=uuid)
        self._tell(executor, executor_pb.ExecutorEvent(acknowledged=acknowledged))


def _status_problem(status: pb.TaskStatus) -> str | None:
    if not 0 < len(status.uuid) <= MAX_UUID_BYTES:
        return f"an update needs a uuid of 1 to {MAX_UUID_BYTES} bytes"
    if status.state not in STATES:
        return f"an executor cannot say {state_name(status.state)} of a task"
    if status.ByteSize() > MAX_STATUS_BYTES:
        return f"the update has {status.ByteSize()} bytes; at most {MAX_STATUS_BYTES} are accepted"
    return None
