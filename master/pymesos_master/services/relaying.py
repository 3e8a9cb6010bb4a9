"""Calls of operators that come by another door than gRPC, or by another master.

The master that leads answers; one that does not asks it, and says who has called.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message_factory import GetMessageClass

from pymesos_core.caller import Caller, Method
from pymesos_core.following import ask_master, leader_of
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code, Served, Service, method_of, served
from pymesos_master.services.leading import Leadership
from pymesos_proto.v1 import masters_pb2 as pb

RELAYED_TIMEOUT_S = 10.0
RELAY = method_of("/pymesos.v1.Masters/Relay", pb.RelayRequest, pb.RelayResponse)


@dataclass(frozen=True)
class DoorCall:
    """A ServerCall with one request, and one response."""

    caller: Caller
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def peer(self) -> str:
        """See ServerCall."""
        return self.caller.peer

    async def read(self) -> Any | None:
        """See ServerCall."""
        raise AssertionError("a call with one request is given it")

    async def write(self, message: Any) -> None:
        """See ServerCall."""
        raise AssertionError("a call with one response returns it")


class OperatorCalls:
    """The methods of Operator that have one request and one response, by their names."""

    def __init__(self, leadership: Leadership, operator: Service) -> None:
        self._leadership = leadership
        self._contract = operator.contract
        self._methods: dict[str, Served] = {
            method.path.rpartition("/")[2]: method
            for method in served(operator)
            if not (method.many_requests or method.many_responses)
        }

    async def ask(self, method: str, request: Any, caller: Caller, *, here: bool = False) -> Any:
        """The answer of the master that leads, or of this one. Raises CallError."""
        found = self._methods[method]
        if not here:
            try:
                self._leadership.here()
            except CallError as error:
                leader = leader_of(error)
                if leader is None:
                    raise
                asked = pb.RelayRequest(
                    method=method, request=request.SerializeToString(), caller=_to_proto(caller)
                )
                dial = self._leadership.outside.dial
                answer = await ask_master(dial, leader, RELAY, asked, RELAYED_TIMEOUT_S)
                output = self._contract.methods_by_name[method].output_type
                return GetMessageClass(output).FromString(answer.response)
        return await found.handle(request, DoorCall(caller))

    async def relayed(self, request: pb.RelayRequest, by: Caller) -> pb.RelayResponse:
        """Answer what another master relays. Raises CallError."""
        found = self._methods.get(request.method)
        if found is None:
            raise CallError(Code.UNIMPLEMENTED, f"there is no {quoted(request.method)} to relay")
        caller = _from_proto(request.caller, by)
        # A master that does not lead knows of no revocation.
        credentials = self._leadership.outside.credentials
        if credentials and (problem := credentials.revocations.problem(caller)):
            raise CallError(Code.UNAUTHENTICATED, problem)
        self._leadership.here()
        answer = await found.handle(found.decode(request.request), DoorCall(caller))
        return pb.RelayResponse(response=found.encode(answer))


def _to_proto(caller: Caller) -> pb.RelayedCaller:
    return pb.RelayedCaller(
        principal=caller.principal,
        credential=caller.method or "",
        credential_id=caller.credential_id,
        peer=caller.peer,
        ends_s=caller.ends_s if math.isfinite(caller.ends_s) else 0.0,
        vouched_by=caller.vouched_by,
    )


def _from_proto(said: pb.RelayedCaller, by: Caller) -> Caller:
    """Who calls, as a master says it that has proved to be one; else nobody is proved."""
    if not (by.is_proved and said.credential):
        return Caller(peer=said.peer, via="http")
    try:
        method = Method(said.credential)
    except ValueError:
        told = f"this master knows no credential of the kind {quoted(said.credential)}"
        raise CallError(
            Code.UNAUTHENTICATED, f"{told}; let all masters be of one version"
        ) from None
    return Caller(
        said.principal,
        method,
        said.credential_id,
        said.peer,
        "http",
        said.ends_s or math.inf,
        tuple(said.vouched_by),
    )
