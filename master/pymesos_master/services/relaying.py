"""Calls of operators that come by another door than gRPC, or by another master.

The master that leads answers; one that does not asks it, and says who has called.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.following import CALLER_KEY, ask_master, leader_of
from pymesos_core.security.identities import Kind, name_in
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code, Served, Service, method_of, served
from pymesos_master.services.leading import Leadership
from pymesos_proto.v1 import masters_pb2 as pb

RELAYED_TIMEOUT_S = 10.0
ONE_VERSION = "let all masters be of one version"
# What does not pass by asking again, with what to do.
FAULTS = {Code.INTERNAL: "its log has more", Code.UNIMPLEMENTED: ONE_VERSION}
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
    """Some methods of Operator, each with one request and one response, by their names."""

    def __init__(self, leadership: Leadership, operator: Service, names: Collection[str]) -> None:
        """`names` are those of the methods, which other masters may relay."""
        self._leadership = leadership
        self._contract = operator.contract
        self._methods: dict[str, Served] = {
            name: method
            for method in served(operator)
            if (name := method.path.rpartition("/")[2]) in names
        }
        assert all(not (m.many_requests or m.many_responses) for m in self._methods.values())

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
                return await self._relay(leader, method, request, caller)
        return await found.handle(request, DoorCall(caller))

    async def _relay(self, leader: HostPort, method: str, request: Any, caller: Caller) -> Any:
        """The answer of the master that leads. Raises CallError."""
        asked = pb.RelayRequest(
            method=method, request=request.SerializeToString(), caller=_to_proto(caller)
        )
        dial = self._leadership.outside.dial
        output = GetMessageClass(self._contract.methods_by_name[method].output_type)
        try:
            answer = await ask_master(dial, leader, RELAY, asked, RELAYED_TIMEOUT_S)
            return output.FromString(answer.response)
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
        found = self._methods.get(request.method)
        if found is None:
            raise CallError(Code.UNIMPLEMENTED, f"there is no {quoted(request.method)} to relay")
        try:
            asked = found.decode(request.request)
        except DecodeError as error:
            raise CallError(Code.INTERNAL, f"what is relayed cannot be read: {error}") from None
        caller = _from_proto(request.caller, by)
        # A master that does not lead knows of no revocation.
        credentials = self._leadership.outside.credentials
        if credentials and (problem := credentials.revocations.problem(caller)):
            raise CallError(Code.UNAUTHENTICATED, problem, {CALLER_KEY: ""})
        self._leadership.here()
        try:
            answer = await found.handle(asked, DoorCall(caller))
        except CallError as error:
            trailing = {**error.trailing, CALLER_KEY: ""}
            raise CallError(error.code, error.message, trailing) from error
        return pb.RelayResponse(response=found.encode(answer))


def _refused(error: CallError, leader: HostPort) -> CallError:
    """What who called is told when the master that leads does not answer."""
    if CALLER_KEY in error.trailing:
        return error
    # All else is about this master, and no fault of who called it.
    code = error.code if error.code in FAULTS else Code.UNAVAILABLE
    then = FAULTS.get(error.code, "ask again")
    told = f"the master that leads, {leader}, did not answer this one: {error.message}; {then}"
    return CallError(code, told)


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
    """Who calls, as a master says it that has proved to be one; else nobody is proved.

    Raises CallError for who could not have called that master.
    """
    if not by.is_proved:  # as in a cluster without certificates
        return Caller(peer=said.peer, via="http", relayed_by=by.peer)
    if not name_in(said.principal, Kind.OPERATOR):
        raise CallError(
            Code.PERMISSION_DENIED,
            f"{quoted(said.principal)} is no operator, and masters relay calls of those only",
        )
    try:
        method = Method(said.credential)
    except ValueError:
        told = f"this master knows no credential of the kind {quoted(said.credential)}"
        raise CallError(Code.UNAUTHENTICATED, f"{told}; {ONE_VERSION}") from None
    return Caller(
        said.principal,
        method,
        said.credential_id,
        said.peer,
        "http",
        said.ends_s or math.inf,
        tuple(said.vouched_by),
        by.principal,
    )
