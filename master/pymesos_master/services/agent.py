"""The Agent service: one stream per agent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence
from itertools import chain

from pymesos_core import limits
from pymesos_core.complaints import Complaints
from pymesos_core.copies import add_all
from pymesos_core.resource_values import ResourceError
from pymesos_core.transport import StreamedCall
from pymesos_core.turns import Turn
from pymesos_master.core.events import (
    AgentDisconnected,
    AgentHeard,
    AgentLeaving,
    AgentRegistering,
    AgentSlackTold,
    AgentToldEnded,
    AgentUsageReported,
    AgentWantsSecrets,
    ExecutorTold,
    TaskStatusUpdated,
)
from pymesos_master.core.reported import ReportedExecutor, ReportedTask, read_executor, read_task
from pymesos_master.services.leading import BadStreamError, Leadership, run_stream
from pymesos_master.shell import Connection
from pymesos_proto.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)

REGISTERED_AT_ONCE = 4


class AgentService:
    """Messages become events of the core, its effects become messages on the stream."""

    contract = pb.DESCRIPTOR.services_by_name["Agent"]

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        # A new leader's agents all register at once: what some say is read to its end, and the rest
        # is not decoded meanwhile. So the first can be offered soon, and what waits is small.
        self._registering = asyncio.Semaphore(REGISTERED_AT_ONCE)
        self._complaints = Complaints(log, leadership.outside.mono_s)

    async def Connect(  # noqa: N802
        self, call: StreamedCall[pb.AgentBatch, pb.MasterBatch]
    ) -> None:
        """Serve one agent."""
        leader = await self._leadership.here_soon()
        epoch = leader.term.epoch

        async def read(connection: Connection) -> None:
            registration = _Registration(connection, epoch)
            host = connection.caller.peer
            while (decode := await call.receive()) is not None:
                few = contextlib.nullcontext() if registration.complete else self._registering
                async with few, self._leadership.turns.turn(host) as turn:
                    for message in decode().message:
                        if registration.complete:
                            if turn.is_over():
                                await turn.pause(joined=True)
                            registration.pass_on(message)
                        else:
                            await self._register(registration, message, turn)
                            await turn.pause()

        def make_batch(messages: Sequence[pb.MasterMessage]) -> pb.MasterBatch:
            batch = pb.MasterBatch(epoch=epoch)
            add_all(batch.message, messages)
            return batch

        await run_stream(
            leader,
            call,
            read,
            make_batch,
            AgentDisconnected,
        )

    async def _register(
        self, registration: _Registration, message: pb.AgentMessage, turn: Turn
    ) -> None:
        """Raises BadStreamError."""
        try:
            await registration.add(message, turn)
        except LaterEpochError as error:
            self._complaints.say(f"the agent {error.agent_id!r}", "a later epoch", str(error))
            raise


class LaterEpochError(BadStreamError):
    """An agent has obeyed a master of a later epoch: the message says what to do."""

    def __init__(self, agent_id: str, message: str) -> None:
        super().__init__(message)
        self.agent_id = agent_id


class _Registration:
    """Puts a registration together that came in several messages, then passes messages on.

    It may be of thousands of tasks, each of which is read here: others have their turn between.
    """

    def __init__(self, connection: Connection, epoch: int) -> None:
        self._epoch = epoch
        self._feed = connection.feed
        self._connection_id = connection.connection_id
        self._caller = connection.caller
        self._register: pb.Register | None = None
        self._tasks: list[ReportedTask] = []
        self._executors: list[ReportedExecutor] = []
        self._problem = ""  # why one of them is none
        self._size_bytes = 0
        self.complete = False

    async def add(self, message: pb.AgentMessage, turn: Turn) -> None:
        """Take a part of it. Raises BadStreamError."""
        kind = message.WhichOneof("message")
        self._size_bytes += message.ByteSize()
        if problem := limits.REGISTRATION.problem(self._size_bytes):
            raise BadStreamError(problem)
        if kind == "register" and self._register is None:
            self._check_epoch(message.register)
            self._register = message.register
            await self._add(message.register, turn)
        elif kind == "more_tasks" and self._register is not None:
            await self._add(message.more_tasks, turn)
        else:
            raise BadStreamError("the first message of a stream must be Register")

    def _check_epoch(self, register: pb.Register) -> None:
        """An agent obeys no master of an older epoch than it has seen. Raises LaterEpochError."""
        seen = register.epoch_seen
        if seen > self._epoch:
            raise LaterEpochError(
                register.agent_info.agent_id[: limits.ID.most],
                f"it has seen epoch {seen}, and this master leads in epoch {self._epoch}: another"
                f" master leads, or the registry was restored from a backup. After a restore,"
                f" start the masters with --min-epoch {seen + 1}",
            )

    async def _add(self, part: pb.Register | pb.MoreTasks, turn: Turn) -> None:
        assert self._register is not None
        if problem := limits.AGENT_TASKS.problem(len(self._tasks) + len(part.tasks)):
            raise BadStreamError(problem)
        if problem := limits.AGENT_EXECUTORS.problem(len(self._executors) + len(part.executors)):
            raise BadStreamError(problem)
        records: Iterator[pb.TaskRecord | pb.HeldExecutor] = chain(part.tasks, part.executors)
        for record in records:
            if not self._problem:
                self._read(record)
                await turn.pause()
        if part.more_tasks:
            return
        self.complete = True
        tasks, self._tasks = tuple(self._tasks), []
        executors, self._executors = tuple(self._executors), []
        self._feed(
            AgentRegistering(
                self._connection_id,
                self._register.agent_info,
                self._register.incarnation_id,
                tasks,
                self._register.epoch_seen,
                self._register.boot_id,
                self._register.mono_s,
                tuple(self._register.reserved),
                self._register.leaving,
                self._caller,
                self._problem,
                executors,
            )
        )

    def _read(self, record: pb.TaskRecord | pb.HeldExecutor) -> None:
        try:
            if isinstance(record, pb.HeldExecutor):
                self._executors.append(read_executor(record))
            else:
                self._tasks.append(read_task(record))
        except ResourceError as error:
            self._problem = str(error)

    def pass_on(self, message: pb.AgentMessage) -> None:
        """Feed what an agent says that has registered. Raises BadStreamError."""
        match message.WhichOneof("message"):
            case "update":
                self._feed(TaskStatusUpdated(self._connection_id, message.update, self._caller))
            case "pong":
                self._feed(AgentHeard(self._connection_id, self._caller))
            case "ended_tasks":
                self._feed(AgentToldEnded(self._connection_id, message.ended_tasks, self._caller))
            case "leaving":
                self._feed(AgentLeaving(self._connection_id, self._caller))
            case "usage":
                self._feed(AgentUsageReported(self._connection_id, message.usage, self._caller))
            case "slack":
                self._feed(AgentSlackTold(self._connection_id, message.slack, self._caller))
            case "secrets_wanted":
                wanted = message.secrets_wanted
                of = (wanted.framework_id, wanted.task_id)
                self._feed(AgentWantsSecrets(self._connection_id, *of, self._caller))
            case "executor_message" | "executor_exited" as kind:
                told = getattr(message, kind)
                self._feed(ExecutorTold(self._connection_id, told, self._caller))
            case None:  # an agent of a later version says it
                self._feed(AgentHeard(self._connection_id, self._caller))
            case kind:
                raise BadStreamError(f"a message of the kind {kind} is not expected here")
