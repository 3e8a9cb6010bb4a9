"""Custom executors on a machine: they outlive the agent, and look for it when it is away."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pymesos_agent.containers.spec import ContainerSpec
from pymesos_core.copies import copy_of
from pymesos_core.resources import EMPTY, Resources, from_proto, parse
from pymesos_core.states import is_terminal
from pymesos_core.transport import CallError
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_simulation.network import Stream
from pymesos_simulation.world import Node

if TYPE_CHECKING:
    from pymesos_simulation.agents import AgentNode

RETRY_S = 1.0
EXECUTOR_ID = "PYMESOS_EXECUTOR_ID"
CONNECT = "/pymesos.v1.Executor/Connect"
COMMAND = pb.CommandInfo(shell=True, value="executor")
CHARGED = "charged"  # an executor that holds resources of its own, until it ends
OWN_CPUS = 0.01


def in_executor(info: pb.TaskInfo) -> pb.TaskInfo:
    """The same task, to be run by an executor."""
    out = pb.TaskInfo()
    out.CopyFrom(info)
    out.data = info.command.value.encode()
    out.ClearField("command")
    out.ClearField("container")
    out.executor.CopyFrom(pb.ExecutorInfo(executor_id="executor", command=COMMAND))
    for resource in out.resources:
        plain = not (resource.reservations or resource.device or resource.revocable)
        if resource.name == "cpus" and plain and resource.scalar > OWN_CPUS:
            resource.scalar -= OWN_CPUS  # so that both fit where the task would
            out.executor.executor_id = CHARGED
            out.executor.resources.add(name="cpus", scalar=OWN_CPUS)
            break
    return out


def in_group_executor(infos: Sequence[pb.TaskInfo]) -> tuple[pb.TaskInfo, ...]:
    """Return the same group, with an executor that holds a part of what its first task had."""
    out = tuple(map(copy_of, infos))
    for resource in out[0].resources:
        plain = not (resource.reservations or resource.device or resource.revocable)
        if resource.name == "cpus" and plain and resource.scalar > OWN_CPUS:
            resource.scalar -= OWN_CPUS
            for info in out:
                info.group_executor_id = "pod"
                info.group_executor_resources.add(name="cpus", scalar=OWN_CPUS)
            break
    return out


def environment_of(spec: ContainerSpec) -> dict[str, str]:
    """What a container is started with."""
    return {v.name: v.value for v in spec.info.command.environment}


class SimulatedExecutor(Node):
    """One process, with its tasks in its memory."""

    def __init__(self, agent: AgentNode, spec: ContainerSpec) -> None:
        super().__init__(agent.world, f"{spec.container_id}@{agent.name}")
        environment = environment_of(spec)
        self.agent = agent
        self.container_id = spec.container_id
        self.framework_id = spec.framework_id
        self.executor_id = environment[EXECUTOR_ID]
        self.token = environment["PYMESOS_EXECUTOR_TOKEN"]
        self.own = parse(f"cpus:{OWN_CPUS}") if self.executor_id == CHARGED else EMPTY
        self.tasks: dict[str, tuple[pb.TaskState, Resources]] = {}  # until the end is acknowledged
        self.unacknowledged: dict[bytes, pb.TaskStatus] = {}
        self._stream: Stream | None = None
        self._uuids = itertools.count()

    def on_start(self) -> None:
        self.soon(0.01, self._look)

    def on_crash(self) -> None:
        self._stream = None
        self.agent.network.died(self)

    def _die_by_chance(self) -> None:
        """The executor dies when its machine says so."""

    def live(self) -> dict[tuple[str, str], Resources]:
        """The tasks of the executor that have not ended."""
        if not self.alive:
            return {}
        return {
            (self.framework_id, task_id): resources
            for task_id, (state, resources) in self.tasks.items()
            if not is_terminal(state)
        }

    def _look(self) -> None:
        """Connect whenever the agent is there; a stream may be cut."""
        if self._stream is not None and self.world.faulty and self.world.random.random() < 0.05:
            self.world.counts["executor cut off"] += 1
            self._hang_up()
        if self._stream is None and self.agent.alive:
            self._subscribe(0.0)
        self.soon(self.world.random.uniform(0.1, RETRY_S), self._look)

    def _subscribe(self, late_s: float) -> None:
        """On a new stream."""
        network, address = self.agent.network, self.agent.address
        self._stream = stream = network.open(self, address, CONNECT, local=True, late_s=late_s)
        self.spawn(self._listen(stream))
        subscribe = executor_pb.ExecutorCall.Subscribe(
            framework_id=self.framework_id,
            executor_id=self.executor_id,
            token=self.token,
            task_ids=self.tasks,
            unacknowledged=self.unacknowledged.values(),
        )
        self._say(executor_pb.ExecutorCall(subscribe=subscribe))

    async def _listen(self, stream: Stream) -> None:
        with contextlib.suppress(CallError):
            while (batch := await stream.client.read()) is not None:
                for event in batch.event:
                    if self._stream is stream:
                        self._take(event)
        if self._stream is stream:
            self._stream = None

    def subscribe_twice(self, late_s: float) -> None:
        """On two new streams; what it says on the first comes late."""
        self._hang_up()
        self._subscribe(late_s)
        self._subscribe(0.0)

    def _say(self, call: executor_pb.ExecutorCall) -> None:
        if self._stream is not None:
            self._stream.client.say(executor_pb.ExecutorCallBatch(call=[call]))

    def _hang_up(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.client.cancel()

    def _take(self, event: executor_pb.ExecutorEvent) -> None:
        match event.WhichOneof("event"):
            case "launch":
                self._launch(event.launch.task_info)
            case "kill":
                self._end_task(event.kill.task_id, pb.TASK_KILLED)
            case "acknowledged":
                status = self.unacknowledged.pop(event.acknowledged.uuid, None)
                if status is not None and is_terminal(status.state):
                    self.tasks.pop(status.task_id, None)
            case "shutdown":
                self.agent.machine.end(self.container_id, 0)
            case "error":
                self.world.trace(f"an executor on {self.agent.name}: {event.error.message}")

    def _launch(self, info: pb.TaskInfo) -> None:
        if info.task_id in self.tasks:
            return
        key = (self.framework_id, info.task_id)
        assert key not in self.world.started, f"{key} was started twice"
        self.world.started.add(key)
        self.world.counts["task in an executor"] += 1
        self.tasks[info.task_id] = (pb.TASK_RUNNING, from_proto(info.resources))
        self.agent.machine.check_room()
        self._update(info.task_id, pb.TASK_RUNNING)
        random = self.world.random
        fails = self.world.faulty and random.random() < self.world.weather.container_failure
        if info.data == b"batch" or fails:
            end = pb.TASK_FAILED if fails else pb.TASK_FINISHED
            lives_s = random.expovariate(1 / 5)
            self.soon(lives_s, lambda: self._end_task(info.task_id, end))

    def _end_task(self, task_id: str, state: pb.TaskState) -> None:
        now, resources = self.tasks.get(task_id, (state, None))
        if resources is not None and not is_terminal(now):
            self.tasks[task_id] = (state, resources)
            self._update(task_id, state)

    def _update(self, task_id: str, state: pb.TaskState) -> None:
        uuid = f"{self.container_id}/{next(self._uuids)}".encode()
        status = pb.TaskStatus(task_id=task_id, state=state, uuid=uuid)
        self.unacknowledged[uuid] = status
        self._say(executor_pb.ExecutorCall(update=executor_pb.ExecutorCall.Update(status=status)))
