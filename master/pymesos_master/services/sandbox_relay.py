"""The Sandbox service of every agent, for those who can reach only the master.

A call names the agent in its metadata; its messages are passed on as they are, both ways. Whether
its caller may is decided here, since agents know no policy, and again with each message.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, taker_text
from pymesos_core.following import AGENT_KEY, describe
from pymesos_core.security.audit import Outcome
from pymesos_core.security.identities import Kind
from pymesos_core.tasks import beside
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, ClientStream, Code, Method, ServerCall
from pymesos_master.services.agent_connections import agent_at
from pymesos_master.services.leading import CODES, Leadership
from pymesos_proto.v1 import sandbox_pb2 as pb

CONTRACT = pb.DESCRIPTOR.services_by_name["Sandbox"]
PREFIX = f"/{CONTRACT.full_name}/"
MAX_RELAYED, MAX_RELAYED_FOR_ONE = 256, 64
LOOK_AGAIN_S = 1.0  # whether the policy allows it still


class SandboxRelay:
    """Passes the calls of the Sandbox service on to the agents that they name."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._dial = leadership.outside.dial
        self._relayed: Counter[str] = Counter()  # by whose they are

    async def relay(self, method: str, call: ServerCall[bytes, bytes]) -> None:
        """Pass a call on, whatever its method is. Raises CallError."""
        allowed = await self._allowed(method, call)
        address, name = self._agent(call.metadata.get(AGENT_KEY, ""))
        await allowed.tell_audit()
        taker = call.caller.taker
        if self._relayed[taker] >= MAX_RELAYED_FOR_ONE:
            text = f"{taker_text(taker)} has {MAX_RELAYED_FOR_ONE} calls relayed already"
            raise CallError(Code.RESOURCE_EXHAUSTED, f"{text}: end some, or ask the agent itself")
        if self._relayed.total() >= MAX_RELAYED:
            raise CallError(
                Code.RESOURCE_EXHAUSTED, f"this master relays {MAX_RELAYED} calls already"
            )
        self._relayed[taker] += 1
        channel = self._dial(address, Kind.AGENT, name)
        try:
            stream = channel.stream(Method(method, bytes, bytes))
            async with (
                beside(_pass_on(allowed, call, stream)),
                beside(_end_when_denied(allowed, stream)),
            ):
                while (part := await stream.read()) is not None:
                    allowed.check()
                    await call.write(allowed.shown(part))
        except CallError as error:
            allowed.check()  # which may be why it has ended
            raise CallError(error.code, describe(error), error.trailing) from None
        finally:
            self._relayed[taker] -= 1
            self._relayed += Counter()  # without those who have none
            await channel.close()

    async def _allowed(self, method: str, call: ServerCall[bytes, bytes]) -> _Allowed:
        """What the caller asks for, which the policy allows. Raises CallError."""
        first = await call.read()
        allowed = _Allowed(self._leadership, call.caller, method, first)
        allowed.check()
        return allowed

    def _agent(self, agent_id: str) -> tuple[HostPort, str]:
        """Where it is, and its name in its certificate, if it has one."""
        return agent_at(self._leadership, agent_id)


class _Allowed:
    """A call of the service, by its first message, and whether its caller may make it."""

    def __init__(
        self, leadership: Leadership, caller: Caller, method: str, first: bytes | None
    ) -> None:
        """Raises CallError for what is no call of the service."""
        self.first = first
        self._leadership = leadership
        self._caller = caller
        self.is_decided = caller.is_proved  # by the policy
        self._method = method.removeprefix(PREFIX)
        self._key = ("", "")
        self._argv: tuple[str, ...] = ()
        if caller.is_proved or leadership.audit.is_on:
            self._key, self._argv = _asked(self._method, first or b"")

    def check(self) -> None:
        """Raises CallError for a caller who may not, or may no longer."""
        if not self._caller.is_proved:
            return
        with self._leadership.asked() as leader:
            of_usage = self._method == "GetUsage"  # of which is shown what the caller may read
            roles = () if of_usage else leader.queries.roles_of_task(*self._key)
            leader.queries.permits.check(self._caller, f"Sandbox.{self._method}", roles)

    @property
    def still(self) -> bool:
        """Whether its caller may make it now."""
        try:
            self.check()
        except CallError:
            return False
        return True

    async def tell_audit(self) -> None:
        """Write who reads, or runs something: that a command runs is on the disk before.

        Raises CallError.
        """
        audit = self._leadership.audit
        if not audit.is_on or self._method == "GetUsage":
            return
        with self._leadership.asked() as leader:
            queries = leader.queries
            framework_id, task_id = self._key
            line = queries.permits.read(
                self._caller,
                f"Sandbox.{self._method}",
                queries.roles_of_task(framework_id, task_id),
                framework_id=framework_id,
                task_id=task_id,
            )
        if self._method != "Exec":
            audit.write(replace(line, synced=False))
            return
        problem = await audit.record(
            replace(line, argv=self._argv, result="begun", outcome=Outcome.BEGUN)
        )
        if problem is not None:
            raise CallError(CODES[problem.kind], problem.message)

    def shown(self, part: bytes) -> bytes:
        """What the caller is shown of an answer."""
        if self._method != "GetUsage" or not self._caller.is_proved:
            return part
        answer = pb.GetUsageResponse.FromString(part)
        with self._leadership.asked() as leader:
            queries = leader.queries
            seen = [
                task
                for task in answer.tasks
                if queries.permits.may(
                    self._caller,
                    "Sandbox.GetUsage",
                    queries.roles_of_task(task.framework_id, task.task_id),
                )
            ]
        return pb.GetUsageResponse(tasks=seen).SerializeToString()


async def _end_when_denied(allowed: _Allowed, stream: ClientStream) -> None:
    """End a call on which nothing is said when its caller may not make it any more."""
    while allowed.is_decided:
        await asyncio.sleep(LOOK_AGAIN_S)
        if not allowed.still:
            stream.cancel()
            return


def _asked(method: str, first: bytes) -> tuple[tuple[str, str], tuple[str, ...]]:
    """The ids of framework and task in the first message of a call, and the command, if that runs
    one. Raises CallError."""
    found = CONTRACT.methods_by_name.get(method)
    if found is None:
        raise CallError(Code.UNIMPLEMENTED, f"there is no method {quoted(method)}")
    try:
        asked: Any = GetMessageClass(found.input_type).FromString(first)
    except DecodeError as error:
        raise CallError(Code.INTERNAL, str(error)) from None
    argv: tuple[str, ...] = ()
    if isinstance(asked, pb.ExecInput):
        asked = asked.start
        argv = tuple(asked.argv)
    return (asked.framework_id, asked.task_id), argv


async def _pass_on(allowed: _Allowed, call: ServerCall[bytes, bytes], stream: ClientStream) -> None:
    with contextlib.suppress(CallError):  # of an agent that is gone, who reads is told
        part = allowed.first
        while part is not None:
            if not allowed.still:
                stream.cancel()
                return
            await stream.write(part)
            part = await call.read()
        await stream.done_writing()
