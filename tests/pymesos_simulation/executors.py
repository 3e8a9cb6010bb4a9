"""Custom executors on a machine: they outlive the agent, and look for it when it is away."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from pymesos_agent.core import effects as fx
from pymesos_agent.core import events as ev
from pymesos_core.resources import Resources, from_proto
from pymesos_core.states import is_terminal
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb

if TYPE_CHECKING:
    from pymesos_simulation.agents import AgentNode

RETRY_S = 1.0
DELAY_S = 0.002
SLOW_S = 2.0  # now and then; by then another stream may be open
COMMAND = pb.CommandInfo(shell=True, value="executor")


def in_executor(info: pb.TaskInfo) -> pb.TaskInfo:
    """The same task, to be run by an executor."""
    out = pb.TaskInfo()
    out.CopyFrom(info)
    out.data = info.command.value.encode()
    out.ClearField("command")
    out.ClearField("container")
    out.executor.CopyFrom(pb.ExecutorInfo(executor_id="executor", command=COMMAND))
    return out


class SimulatedExecutor:
    """One process, with its tasks in its memory."""

    def __init__(self, node: AgentNode, effect: fx.StartContainer) -> None:
        self.node = node
        self.world = node.world
        self.container_id = effect.container_id
        self.framework_id = effect.framework_id
        environment = {v.name: v.value for v in effect.info.command.environment}
        self.executor_id = environment["PYMESOS_EXECUTOR_ID"]
        self.token = environment["PYMESOS_EXECUTOR_TOKEN"]
        self.tasks: dict[str, tuple[pb.TaskState, Resources]] = {}  # until the end is acknowledged
        self.unacknowledged: dict[bytes, pb.TaskStatus] = {}
        self.stream_id = 0
        self._said_until_s = 0.0  # on that stream
        self.alive = True
        self._uuids = itertools.count()
        self._soon(0.01, self._look)

    def live(self) -> dict[tuple[str, str], Resources]:
        """Its tasks that have not ended."""
        if not self.alive:
            return {}
        return {
            (self.framework_id, task_id): resources
            for task_id, (state, resources) in self.tasks.items()
            if not is_terminal(state)
        }

    def _soon(self, delay_s: float, action: object) -> None:
        def run() -> None:
            if self.alive:
                action()  # type: ignore[operator]

        self.world.at(delay_s, run)

    def _look(self) -> None:
        """Connect whenever the agent is there; a stream may be cut."""
        if self.stream_id and self.world.faulty and self.world.random.random() < 0.05:
            self.world.counts["executor cut off"] += 1
            self._hang_up()
        if not self.stream_id and self.node.alive and self.node.core is not None:
            self._subscribe(0.0)
        self._soon(self.world.random.uniform(0.1, RETRY_S), self._look)

    def _subscribe(self, late_s: float) -> None:
        """On a new stream."""
        self.stream_id = self.node.open_executor(self)
        self._said_until_s = self.world.now_s + late_s
        subscribe = executor_pb.ExecutorCall.Subscribe(
            framework_id=self.framework_id,
            executor_id=self.executor_id,
            token=self.token,
            task_ids=self.tasks,
            unacknowledged=self.unacknowledged.values(),
        )
        self._say(executor_pb.ExecutorCall(subscribe=subscribe))

    def subscribe_twice(self, late_s: float) -> None:
        """On two new streams; what it says on the first comes late."""
        self._hang_up()
        self._subscribe(late_s)
        self._subscribe(0.0)

    def _say(self, call: executor_pb.ExecutorCall) -> None:
        if self.stream_id:
            self._feed(ev.ExecutorSaid(self.stream_id, call))

    def _hang_up(self) -> None:
        stream_id, self.stream_id = self.stream_id, 0
        self.node.executor_streams.pop(stream_id, None)
        self._feed(ev.ExecutorLeft(stream_id))

    def _feed(self, event: ev.ExecutorSaid | ev.ExecutorLeft) -> None:
        """What is said on one stream comes in order; of two streams either may be faster."""
        world = self.world
        slow = world.faulty and world.random.random() < 0.02
        delay_s = world.random.uniform(0, SLOW_S) if slow else DELAY_S
        self._said_until_s = max(self._said_until_s, world.now_s + delay_s)
        self.node.soon(self._said_until_s - world.now_s, lambda: self.node.feed(event))

    def cut(self) -> None:
        """The agent is gone, or has closed the stream."""
        self.stream_id = 0

    def end(self) -> None:
        """The process has ended, and all that it had in mind with it."""
        self.alive = False
        if self.stream_id and self.node.alive:
            self._hang_up()

    def hear(self, stream_id: int, event: executor_pb.ExecutorEvent) -> None:
        """After a moment, if the stream is still the same."""

        def take() -> None:
            if self.stream_id == stream_id:
                self._take(event)

        self._soon(DELAY_S, take)

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
                self.node.machine.end(self.container_id, 0)
            case "error":
                self.world.trace(f"an executor on {self.node.name}: {event.error.message}")

    def _launch(self, info: pb.TaskInfo) -> None:
        if info.task_id in self.tasks:
            return
        key = (self.framework_id, info.task_id)
        assert key not in self.world.started, f"{key} was started twice"
        self.world.started.add(key)
        self.world.counts["task in an executor"] += 1
        self.tasks[info.task_id] = (pb.TASK_RUNNING, from_proto(info.resources))
        self.node.machine.check_room()
        self._update(info.task_id, pb.TASK_RUNNING)
        random = self.world.random
        fails = self.world.faulty and random.random() < self.world.weather.container_failure
        if info.data == b"batch" or fails:
            end = pb.TASK_FAILED if fails else pb.TASK_FINISHED
            lives_s = random.expovariate(1 / 5)
            self._soon(lives_s, lambda: self._end_task(info.task_id, end))

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
