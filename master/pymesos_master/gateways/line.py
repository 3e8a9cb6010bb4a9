"""The line of a gateway to its master: the calls of all its peers over one stream."""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import Any

from pymesos_core.caller import Caller
from pymesos_core.following import LEADER_KEY
from pymesos_core.outbox import Outbox
from pymesos_core.relaying import caller_to_proto
from pymesos_core.streams import use_stream
from pymesos_core.tasks import beside
from pymesos_core.transport import CallError, ClientStream, Code, ServerCall
from pymesos_master.gateways.flow import Flow
from pymesos_proto.v1 import gateways_pb2 as pb

MAX_REFUSALS = 1000  # that wait for a master that does not read


def _lost() -> CallError:
    """What peers are told: the master has ended, and another may lead by now."""
    return CallError(Code.UNAVAILABLE, "this master has ended", {LEADER_KEY: ""})


class Line:
    """Passes the calls of peers on to the master, and its answers back."""

    def __init__(self) -> None:
        self._outbox: Outbox[pb.GatewayTold] = Outbox()
        self._flows: dict[int, Flow] = {}
        self._numbers = itertools.count(1)
        self._is_lost = False
        self._refusals = 0  # that wait

    @property
    def open(self) -> int:
        """How many calls it carries."""
        return len(self._flows)

    async def run(self, stream: ClientStream) -> None:
        """Carry until the stream to the master ends. Raises CallError."""

        async def write() -> None:
            while (batch := await self._outbox.batch()) is not None:
                await stream.write(pb.GatewayBatch(told=batch))
                self._refusals = 0

        await use_stream(stream, self._outbox, write(), lambda: None, self._hear, self._end_all)

    def ready(self) -> None:
        """Tell the master that peers are let in."""
        self._put(pb.GatewayTold(ready=pb.GatewayTold.Ready(pid=os.getpid())))

    def refused(self, caller: Caller, method: str, reason: str) -> None:
        """Tell the master whom the gate has refused; of a flood of them, the first."""
        if self._refusals >= MAX_REFUSALS:
            return
        self._refusals += 1
        told = pb.CallRefused(caller=caller_to_proto(caller), method=method, reason=reason)
        self._put(pb.GatewayTold(refused=told))

    async def relay(self, method: str, call: ServerCall[bytes, bytes]) -> None:
        """Have the master answer a call. Raises CallError, as the master has refused it."""
        if self._is_lost:
            raise _lost()
        number = next(self._numbers)
        flow = Flow(
            lambda message: self._put(pb.GatewayTold(call=number, message=message)),
            lambda taken: self._put(pb.GatewayTold(call=number, taken_bytes=taken)),
        )
        opened = pb.CallOpened(
            method=method,
            caller=caller_to_proto(call.caller),
            metadata=call.metadata,
            peer=call.peer,
        )
        self._flows[number] = flow
        self._put(pb.GatewayTold(call=number, opened=opened))
        try:
            async with beside(self._pass_on(number, flow, call)):
                while (message := await flow.read()) is not None:
                    await call.write(message)
        finally:
            # Unless the master has ended the call itself.
            if self._flows.pop(number, None) is not None:
                self._put(pb.GatewayTold(call=number, gone=pb.GatewayTold.Gone()))

    async def _pass_on(self, number: int, flow: Flow, call: ServerCall[bytes, bytes]) -> None:
        with contextlib.suppress(CallError):  # of which whoever reads hears, too
            while (message := await call.read()) is not None:
                await flow.write(message)
            self._put(pb.GatewayTold(call=number, said_all=pb.GatewayTold.SaidAll()))

    def _hear(self, answers: Any) -> None:
        for answer in answers.answer:
            if answer.HasField("ping"):
                self._put(pb.GatewayTold(pong=pb.GatewayTold.Pong()))
                continue
            flow = self._flows.get(answer.call)
            if flow is None:
                continue
            match answer.WhichOneof("what"):
                case "message":
                    flow.came(answer.message)
                case "taken_bytes":
                    flow.taken(answer.taken_bytes)
                case "ended":
                    del self._flows[answer.call]
                    ended = answer.ended
                    error = None
                    if ended.code:
                        code = Code(ended.code)
                        error = CallError(code, ended.message, dict(ended.trailing))
                    flow.end(error)

    def _end_all(self) -> None:
        self._is_lost = True
        flows, self._flows = self._flows, {}
        for flow in flows.values():
            flow.end(_lost())

    def _put(self, told: pb.GatewayTold) -> None:
        self._outbox.put(told, bounded=False)  # each call has its window
