"""Custom executors: the program that an agent starts to run a framework's tasks.

class Mine(Executor):
    def launch(self, driver, task): ...

asyncio.run(ExecutorDriver(Mine()).run())
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping

from pymesos_core import limits
from pymesos_core.addresses import AddressError, parse_host_port
from pymesos_core.following import describe
from pymesos_core.outbox import Outbox
from pymesos_core.outside import OUTSIDE, Outside
from pymesos_core.security.identities import Kind
from pymesos_core.states import is_terminal, state_name
from pymesos_core.streams import NotReadError, use_stream
from pymesos_core.transport import CallError, Channel, Code, method_of
from pymesos_proto.v1 import executor_pb2 as pb
from pymesos_proto.v1 import types_pb2 as types_pb
from pymesos_sdk.callbacks import check_callbacks, tell
from pymesos_sdk.calls import data_of, text
from pymesos_sdk.sizes import check, check_status, subscription
from pymesos_sdk.threads import Home

log = logging.getLogger(__name__)

CONNECT = method_of("/pymesos.v1.Executor/Connect", pb.ExecutorCallBatch, pb.ExecutorEventBatch)
RECONNECT_MIN_S, RECONNECT_MAX_S = 0.1, 2.0
# What an executor may say of a task.
STATES = frozenset(
    {types_pb.TASK_STARTING, types_pb.TASK_RUNNING, types_pb.TASK_KILLING, types_pb.TASK_FINISHED,
     types_pb.TASK_FAILED, types_pb.TASK_KILLED, types_pb.TASK_ERROR}
)  # fmt: skip
TOO_MANY_PAUSE_S = 5.0  # when the framework is behind with its updates
CALLBACKS = ("subscribed", "launch", "kill", "message", "refused", "shutdown")


class ExecutorError(Exception):
    """The agent will not have this executor: the message is its own."""


class Executor:
    """What an executor is told. Override what you need; nothing here may block."""

    def subscribed(self, driver: ExecutorDriver, event: pb.ExecutorEvent.Subscribed) -> None:
        """The agent knows us, for the first time or again."""

    def launch(self, driver: ExecutorDriver, task: types_pb.TaskInfo) -> None:
        """Run a task; say so by `driver.update`."""
        raise NotImplementedError

    def kill(self, driver: ExecutorDriver, task_id: str, policy: types_pb.KillPolicy) -> None:
        """End a task; it may come again."""
        raise NotImplementedError

    def message(self, driver: ExecutorDriver, data: bytes) -> None:
        """The framework says something."""

    def refused(self, driver: ExecutorDriver, refused: pb.ExecutorEvent.Refused) -> None:
        """The agent did not carry out a call: it was wrong, or is not known to that version."""
        log.warning("the agent refused %s: %s", refused.call or "a call", refused.message)

    def shutdown(self, driver: ExecutorDriver) -> None:
        """End all tasks, then call `driver.stop`; before long the container is killed."""
        driver.stop()


class ExecutorDriver:
    """Runs one executor, on the agent that started it.

    Tasks may run in threads: `update`, `send_message` and `stop` may be called from any.
    """

    def __init__(
        self,
        executor: Executor,
        environment: Mapping[str, str] = os.environ,
        outside: Outside = OUTSIDE,
    ) -> None:
        """Raises ExecutorError when it was not started by an agent, TypeError for `async def`."""
        check_callbacks(executor, Executor, CALLBACKS)
        self._executor = executor
        self._outside = outside
        try:
            self._address = parse_host_port(environment["PYMESOS_AGENT"])
            self._subscribe = pb.ExecutorCall.Subscribe(
                framework_id=environment["PYMESOS_FRAMEWORK_ID"],
                executor_id=environment["PYMESOS_EXECUTOR_ID"],
                token=environment["PYMESOS_EXECUTOR_TOKEN"],
            )
        except (KeyError, AddressError) as error:
            raise ExecutorError(
                f"{error} in the environment: an executor is started by an agent, for a task whose"
                f" TaskInfo names it"
            ) from error
        self._tasks: dict[str, None] = {}
        self._unacknowledged: dict[bytes, types_pb.TaskStatus] = {}
        self._outbox: Outbox[pb.ExecutorCall] | None = None
        self._stopping = asyncio.Event()
        self._home = Home("the driver of the executor")
        self._problem: str | None = None
        self._pause_s = 0.0

    async def run(self) -> None:
        """Until `stop`, and what was said is stored by the agent. Raises ExecutorError.

        Raises RuntimeError the second time.
        """
        self._home.begin()
        backoff = self._outside.backoff(RECONNECT_MIN_S, RECONNECT_MAX_S)
        while not self._done():
            channel = self._outside.dial(self._address, Kind.AGENT)
            began_s = self._outside.mono_s()
            try:
                await self._session(channel)
            except CallError as error:
                if error.code != Code.CANCELLED:  # which it did itself
                    log.warning("agent %s: %s; trying again", self._address, describe(error))
            except NotReadError:
                log.warning("agent %s does not read; trying again", self._address)
            finally:
                await channel.close()
            backoff.after(self._outside.mono_s() - began_s)
            if self._problem is not None:
                raise ExecutorError(self._problem)
            if not self._done():
                await asyncio.sleep(max(backoff.next_s(), self._pause_s))
                self._pause_s = 0.0

    def _done(self) -> bool:
        return self._stopping.is_set() and not self._unacknowledged

    async def _session(self, channel: Channel) -> None:
        outbox = self._outbox = Outbox()
        stream = channel.stream(CONNECT)
        said = list(self._unacknowledged.values())
        for part in subscription(self._subscribe, self._tasks, said):
            outbox.put(part, bounded=False)  # it is in memory already, and goes out at once

        async def write() -> None:
            while (calls := await outbox.batch()) is not None:
                await stream.write(pb.ExecutorCallBatch(call=calls))
            await stream.done_writing()

        def hear(batch: pb.ExecutorEventBatch) -> bool:
            for event in batch.event:
                self._hear(event)
            return not self._done()

        def ended() -> None:
            self._outbox = None

        await use_stream(stream, outbox, write(), lambda: None, hear, ended)

    def _hear(self, event: pb.ExecutorEvent) -> None:
        match event.WhichOneof("event"):
            case "subscribed":
                tell(self._executor.subscribed, self, event.subscribed)
            case "launch":
                task = event.launch.task_info
                if task.task_id not in self._tasks:
                    self._tasks[task.task_id] = None
                    tell(self._executor.launch, self, task)
            case "kill" if event.kill.task_id in self._tasks:
                tell(self._executor.kill, self, event.kill.task_id, event.kill.kill_policy)
            case "acknowledged":
                status = self._unacknowledged.pop(event.acknowledged.uuid, None)
                if status is not None and is_terminal(status.state):
                    self._tasks.pop(status.task_id, None)
            case "message":
                tell(self._executor.message, self, event.message.data)
            case "shutdown":
                tell(self._executor.shutdown, self)
            case "refused":
                if event.refused.code == pb.ExecutorEvent.Refused.TOO_MANY:
                    self._pause_s = TOO_MANY_PAUSE_S
                tell(self._executor.refused, self, event.refused)
            case "error":
                self._problem = event.error.message

    def update(
        self,
        task_id: str,
        state: types_pb.TaskState,
        message: str = "",
        *,
        exit_status: int | None = None,
        healthy: bool | None = None,
        data: bytes = b"",
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """A task is in a new state. Kept and said again until the agent has stored it.

        The framework is given `data` (a result, say) and `labels` with it. Raises ValueError for
        a state that an executor cannot say, TooLargeError when all of it exceeds 63 KiB, TypeError
        for what is no text or no bytes.
        """
        if not isinstance(state, int) or state not in STATES:
            said = state_name(state) if isinstance(state, int) else repr(state)
            raise ValueError(f"an executor cannot say {said} of a task")
        status = types_pb.TaskStatus(
            task_id=text("task_id", task_id),
            state=state,
            message=text("message", message),
            uuid=self._outside.uuid().bytes,
            exit_status=exit_status,
            healthy=healthy,
            data=data_of(data),
            labels=[
                types_pb.Label(key=text("a label", k), value=text(f"labels[{k!r}]", v))
                for k, v in (labels or {}).items()
            ],
        )
        check_status(status)
        if not self._home.passes(self._say, status):
            self._say(status)

    def _say(self, status: types_pb.TaskStatus) -> None:
        self._unacknowledged[status.uuid] = status
        self._put(pb.ExecutorCall(update=pb.ExecutorCall.Update(status=status)))

    def send_message(self, data: bytes) -> None:
        """To the framework; lost when the agent is not connected. Raises TooLargeError."""
        check(limits.DATA, len(data_of(data)))
        call = pb.ExecutorCall(message=pb.ExecutorCall.Message(data=data))
        if not self._home.passes(self._put, call):
            self._put(call)

    def _put(self, call: pb.ExecutorCall) -> None:
        if self._outbox is not None:
            self._outbox.put(call)

    def stop(self) -> None:
        """End `run` as soon as the agent has stored every update."""
        if self._home.passes(self.stop):
            return
        self._stopping.set()
        if self._outbox is not None and not self._unacknowledged:
            self._outbox.close()
