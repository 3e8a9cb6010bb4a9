"""Calls of operators that come by another door than gRPC, or by another master.

The master that leads answers; one that does not asks it, and says who has called.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable
from contextlib import aclosing
from typing import Any

from google.protobuf.message import DecodeError

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller
from pymesos_core.following import CALLER_KEY, ask_master, describe, leader_of
from pymesos_core.relaying import ONE_VERSION, Relayable, relay_request
from pymesos_core.security.identities import Kind
from pymesos_core.transport import CallError, Code, Service, method_of
from pymesos_master.history import Cursor
from pymesos_master.services.events import batches
from pymesos_master.services.leading import Leadership
from pymesos_master.watching import Batch
from pymesos_proto.v1 import masters_pb2 as pb
from pymesos_proto.v1 import operator_pb2 as operator_pb

RELAYED_TIMEOUT_S = 10.0
# What does not pass by asking again, with what to do.
FAULTS = {Code.INTERNAL: "its log has more", Code.UNIMPLEMENTED: ONE_VERSION}
RELAY = method_of("/pymesos.v1.Masters/Relay", pb.RelayRequest, pb.RelayResponse)

RELAY_STREAM = method_of("/pymesos.v1.Masters/RelayStream", pb.RelayRequest, pb.RelayResponse)
WATCH = "Operator.WatchEvents"
STREAMS = frozenset({WATCH, "Sandbox.ReadLog"})  # that masters relay


class OperatorCalls:
    """Some methods that operators call, as in Relayable."""

    def __init__(
        self, leadership: Leadership, services: Iterable[Service], names: Collection[str]
    ) -> None:
        """`names` are those of the methods, which other masters may relay."""
        self._leadership = leadership
        services = list(services)
        self._methods = Relayable(services, names)
        there = {service.contract.name for service in services}
        streams = {name for name in STREAMS if name.partition(".")[0] in there}
        self._streams = Relayable(services, streams, stream=True)

    async def ask(self, method: str, request: Any, caller: Caller, *, here: bool = False) -> Any:
        """The answer of the master that leads, or of this one. Raises CallError."""
        if not here and (leader := self._elsewhere()) is not None:
            return await self._relay(leader, method, request, caller)
        return await self._methods.answer(method, request, caller)

    async def events(
        self, request: operator_pb.WatchEventsRequest, caller: Caller
    ) -> AsyncGenerator[Batch]:
        """What comes to a caller who watches the master that leads, to its end.

        Raises CallError, also for that end.
        """
        leader = self._elsewhere()
        if leader is None:
            async with aclosing(batches(self._leadership, request, caller)) as found:
                async for batch in found:
                    yield batch
            return
        async with aclosing(self._relay_stream(leader, WATCH, request, caller)) as parts:
            async for said in parts:
                cursor = Cursor.parse(said.cursor) if said.cursor else None
                left_out = {one.kind: one.events for one in said.left_out}
                yield Batch(list(said.event), cursor, said.snapshot_begins, left_out=left_out)
        raise CallError(Code.UNAVAILABLE, f"the master that leads, {leader}, has ended the stream")

    async def stream(self, method: str, request: Any, caller: Caller) -> AsyncGenerator[Any]:
        """The responses of the master that leads, to their end. Raises CallError."""
        leader = self._elsewhere()
        if leader is None:
            parts = self._streams.stream(method, request, caller)
        else:
            parts = self._relay_stream(leader, method, request, caller)
        async with aclosing(parts):
            async for part in parts:
                yield part

    @property
    def mono_s(self) -> float:
        """The time."""
        return self._leadership.outside.mono_s()

    def answers_are_of(self) -> object | None:
        """What is answered here is by this leader, and by this policy; None: elsewhere."""
        leader = self._leadership.leader
        return (leader, leader.core.state.policy) if leader is not None else None

    def _elsewhere(self) -> HostPort | None:
        """The master that leads; None: this one does. Raises CallError: nobody does."""
        try:
            self._leadership.here()
        except CallError as error:
            leader = leader_of(error)
            if leader is None:
                raise
            return leader
        return None

    async def _relay_stream(
        self, leader: HostPort, method: str, request: Any, caller: Caller
    ) -> AsyncGenerator[Any]:
        """The responses of the master that leads, when that is another. Raises CallError."""
        channel = self._leadership.outside.dial(leader, Kind.MASTER)
        stream = channel.stream(RELAY_STREAM)
        try:
            await stream.write(relay_request(method, request, caller))
            await stream.done_writing()
            while (part := await stream.read()) is not None:
                yield self._streams.read_answer(method, part)
        except CallError as error:
            raise not_answered(
                CallError(error.code, describe(error), error.trailing), leader
            ) from None
        except DecodeError:
            raise _unreadable(leader) from None
        finally:
            stream.cancel()
            await channel.close()

    async def _relay(self, leader: HostPort, method: str, request: Any, caller: Caller) -> Any:
        """The answer of the master that leads. Raises CallError."""
        asked = relay_request(method, request, caller)
        dial = self._leadership.outside.dial
        try:
            answer = await ask_master(dial, leader, RELAY, asked, RELAYED_TIMEOUT_S)
            return self._methods.read_answer(method, answer)
        except CallError as error:
            raise not_answered(error, leader) from None
        except DecodeError:
            raise _unreadable(leader) from None

    async def relayed(self, request: pb.RelayRequest, by: Caller) -> pb.RelayResponse:
        """Answer what another master relays.

        Raises CallError; with CALLER_KEY it is for who called that master.
        """
        credentials = self._leadership.outside.credentials
        revocations = credentials.revocations if credentials is not None else None
        here = self._leadership.here
        return await self._methods.answer_relayed(request, by, revocations, here)

    async def stream_relayed(
        self,
        request: pb.RelayRequest,
        by: Caller,
        write: Callable[[pb.RelayResponse], Awaitable[None]],
    ) -> None:
        """The same of what is answered by a stream, which is written."""
        credentials = self._leadership.outside.credentials
        revocations = credentials.revocations if credentials is not None else None
        here = self._leadership.here
        await self._streams.stream_relayed(request, by, revocations, write, here)


def _unreadable(leader: HostPort) -> CallError:
    told = f"the master that leads, {leader}, answered what cannot be read; {ONE_VERSION}"
    return CallError(Code.INTERNAL, told)


def not_answered(error: CallError, leader: HostPort) -> CallError:
    """What who called is told when the master that leads does not answer."""
    if CALLER_KEY in error.trailing:
        return error
    # All else is about this master, and no fault of who called it.
    code = error.code if error.code in FAULTS else Code.UNAVAILABLE
    then = FAULTS.get(error.code, "ask again")
    told = f"the master that leads, {leader}, did not answer this one: {error.message}; {then}"
    return CallError(code, told)
