"""Calls of operators that come by another door than gRPC, or by another master.

The master that leads answers; one that does not asks it, and says who has called.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from google.protobuf.message import DecodeError

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller
from pymesos_core.following import CALLER_KEY, ask_master, leader_of
from pymesos_core.relaying import ONE_VERSION, Relayable, relay_request
from pymesos_core.transport import CallError, Code, Service, method_of
from pymesos_master.services.leading import Leadership
from pymesos_proto.v1 import masters_pb2 as pb

RELAYED_TIMEOUT_S = 10.0
# What does not pass by asking again, with what to do.
FAULTS = {Code.INTERNAL: "its log has more", Code.UNIMPLEMENTED: ONE_VERSION}
RELAY = method_of("/pymesos.v1.Masters/Relay", pb.RelayRequest, pb.RelayResponse)


class OperatorCalls:
    """Some methods that operators call, as in Relayable."""

    def __init__(
        self, leadership: Leadership, services: Iterable[Service], names: Collection[str]
    ) -> None:
        """`names` are those of the methods, which other masters may relay."""
        self._leadership = leadership
        self._methods = Relayable(services, names)

    async def ask(self, method: str, request: Any, caller: Caller, *, here: bool = False) -> Any:
        """The answer of the master that leads, or of this one. Raises CallError."""
        if not here:
            try:
                self._leadership.here()
            except CallError as error:
                leader = leader_of(error)
                if leader is None:
                    raise
                return await self._relay(leader, method, request, caller)
        return await self._methods.answer(method, request, caller)

    async def _relay(self, leader: HostPort, method: str, request: Any, caller: Caller) -> Any:
        """The answer of the master that leads. Raises CallError."""
        asked = relay_request(method, request, caller)
        dial = self._leadership.outside.dial
        try:
            answer = await ask_master(dial, leader, RELAY, asked, RELAYED_TIMEOUT_S)
            return self._methods.read_answer(method, answer)
        except CallError as error:
            raise _refused(error, leader) from None
        except DecodeError:
            raise CallError(
                Code.INTERNAL,
                f"the master that leads, {leader}, answered what cannot be read; {ONE_VERSION}",
            ) from None

    async def relayed(self, request: pb.RelayRequest, by: Caller) -> pb.RelayResponse:
        """Answer what another master relays.

        Raises CallError; with CALLER_KEY it is for who called that master.
        """
        credentials = self._leadership.outside.credentials
        revocations = credentials.revocations if credentials is not None else None
        here = self._leadership.here
        return await self._methods.answer_relayed(request, by, revocations, here)


def _refused(error: CallError, leader: HostPort) -> CallError:
    """What who called is told when the master that leads does not answer."""
    if CALLER_KEY in error.trailing:
        return error
    # All else is about this master, and no fault of who called it.
    code = error.code if error.code in FAULTS else Code.UNAVAILABLE
    then = FAULTS.get(error.code, "ask again")
    told = f"the master that leads, {leader}, did not answer this one: {error.message}; {then}"
    return CallError(code, told)
