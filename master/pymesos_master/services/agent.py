"""The Agent service: one stream per agent."""

from __future__ import annotations

import logging
from typing import Any

from pymesos_core import limits
from pymesos_core.complaints import Complaints
from pymesos_core.transport import ServerCall
from pymesos_master.core.events import (
    AgentDisconnected,
    AgentHeard,
    AgentLeaving,
    AgentRegistering,
    AgentToldEnded,
    AgentUsageReported,
    ExecutorTold,
    TaskStatusUpdated,
)
from pymesos_master.services.leading import BadStreamError, Leadership, run_stream
from pymesos_master.shell import Connection
from pymesos_proto.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)


class AgentService:
    """Messages become events of the core, its effects become messages on the stream."""

    contract = pb.DESCRIPTOR.services_by_name["Agent"]

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._complaints = Complaints(log, leadership.outside.mono_s)

    async def Connect(  # noqa: N802
        self, call: ServerCall[pb.AgentBatch, pb.MasterBatch]
    ) -> None:
        """Serve one agent."""
        leader = self._leadership.here()
        epoch = leader.term.epoch

        async def read(connection: Connection) -> None:
            registration = _Registration(connection, epoch)
            host = connection.caller.peer
            while (batch := await call.read()) is not None:
                async with self._leadership.turns.turn(host) as turn:
                    for message in batch.message:
                        self._take(registration, message)
                        await turn.pause()

        await run_stream(
            leader,
            call,
            read,
            lambda messages: pb.MasterBatch(epoch=epoch, message=messages),
            AgentDisconnected,
        )

    def _take(self, registration: _Registration, message: pb.AgentMessage) -> None:
        """Raises BadStreamError."""
        try:
            registration.take(message)
        except LaterEpochError as error:
            self._complaints.say(f"the agent {error.agent_id!r}", "a later epoch", str(error))
            raise


class LaterEpochError(BadStreamError):
    """An agent has obeyed a master of a later epoch: the message says what to do."""

    def __init__(self, agent_id: str, message: str) -> None:
        super().__init__(message)
        self.agent_id = agent_id


class _Registration:
    """Puts a registration together that came in several messages, then passes messages on."""

    def __init__(self, connection: Connection, epoch: int) -> None:
        self._epoch = epoch
        self._feed = connection.feed
        self._connection_id = connection.connection_id
        self._caller = connection.caller
        self._register: pb.Register | None = None
        self._tasks: list[pb.TaskRecord] = []
        self._size_bytes = 0
        self._complete = False

    def take(self, message: pb.AgentMessage) -> None:
        """Raises BadStreamError."""
        kind = message.WhichOneof("message")
        if self._complete:
            self._pass_on(kind, message)
            return
        self._size_bytes += message.ByteSize()
        if problem := limits.REGISTRATION.problem(self._size_bytes):
            raise BadStreamError(problem)
        if kind == "register" and self._register is None:
            self._check_epoch(message.register)
            self._register = message.register
            self._add(message.register.tasks, message.register.more_tasks)
        elif kind == "more_tasks" and self._register is not None:
            self._add(message.more_tasks.tasks, message.more_tasks.more_tasks)
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

    def _add(self, tasks: Any, more: bool) -> None:
        assert self._register is not None
        self._tasks.extend(tasks)
        if problem := limits.AGENT_TASKS.problem(len(self._tasks)):
            raise BadStreamError(problem)
        if more:
            return
        self._complete = True
        self._feed(
            AgentRegistering(
                self._connection_id,
                self._register.agent_info,
                self._register.incarnation_id,
                tuple(self._tasks),
                self._register.epoch_seen,
                self._register.boot_id,
                self._register.mono_s,
                tuple(self._register.reserved),
                self._register.leaving,
                self._caller,
            )
        )

    def _pass_on(self, kind: str | None, message: pb.AgentMessage) -> None:
        match kind:
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
            case "executor_message" | "executor_exited":
                told = getattr(message, kind)
                self._feed(ExecutorTold(self._connection_id, told, self._caller))
            case None:  # an agent of a later version says it
                self._feed(AgentHeard(self._connection_id, self._caller))
            case _:
                raise BadStreamError(f"a message of the kind {kind} is not expected here")
