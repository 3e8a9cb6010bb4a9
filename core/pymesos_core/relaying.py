"""Calls that one server makes of another for whoever has called it, and says who that is.

Whom it is said by decides what that is worth: see `caller_from_proto`. What such a caller may is
decided as if it had called itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
)
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from pymesos_core.caller import Caller, Method
from pymesos_core.following import CALLER_KEY, LEADER_KEY
from pymesos_core.security.identities import Kind, name_in
from pymesos_core.security.needs import call_of_path
from pymesos_core.security.revocations import Revocations
from pymesos_core.security.validity import while_valid
from pymesos_core.tasks import running
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code, Served, Service, served
from pymesos_proto.v1 import masters_pb2 as pb

OPERATOR = "Operator."  # which is left out where masters name its methods to each other
ONE_VERSION = "let all masters be of one version"


@dataclass(frozen=True)
class RelayedCall:
    """A ServerCall with one request; it has one response, unless there is `on_response`."""

    caller: Caller
    metadata: Mapping[str, str] = field(default_factory=dict)
    on_response: Callable[[Any], Awaitable[None]] | None = None

    @property
    def peer(self) -> str:
        """See ServerCall."""
        return self.caller.peer

    async def read(self) -> Any | None:
        """See ServerCall."""
        raise AssertionError("a call with one request is given it")

    async def write(self, message: Any) -> None:
        """See ServerCall."""
        assert self.on_response is not None, "a call with one response returns it"
        await self.on_response(message)


class Relayable:
    """Some methods of services, each with one request, and one response or, as one says, many.

    They are named as in the table of needs: "Operator.ListAgents".
    """

    def __init__(
        self,
        services: Iterable[Service],
        names: Collection[str] | None = None,
        *,
        stream: bool = False,
    ) -> None:
        """`names` are those of the methods; None: all that do not stream."""
        self._methods: dict[str, Served] = {}
        self._answers: dict[str, Any] = {}  # their messages
        for service in services:
            for method in served(service):
                name = call_of_path(method.path)
                streams = method.many_requests or method.many_responses
                if streams if names is None else name not in names:
                    continue
                assert not method.many_requests and method.many_responses is stream, name
                self._methods[name] = method
                self._answers[name] = answer_type(service.contract, name)
        assert names is None or self._methods.keys() == set(names), names

    async def answer(self, name: str, request: Any, caller: Caller) -> Any:
        """Answer a call of a method. Raises CallError."""
        return await self._methods[name].handle(request, RelayedCall(caller))

    def read_answer(self, name: str, answer: pb.RelayResponse) -> Any:
        """Return what another server has answered. Raises DecodeError."""
        return self._answers[name].FromString(answer.response)

    async def answer_relayed(
        self,
        request: pb.RelayRequest,
        by: Caller,
        revocations: Revocations | None,
        check_here: Callable[[], object] = lambda: None,
    ) -> pb.RelayResponse:
        """Answer what another server relays.

        `check_here` raises CallError where this one does not answer. Raises CallError; with
        CALLER_KEY it is for who called that server.
        """
        found, asked = self._asked(request)
        caller = caller_from_proto(request.caller, by)
        # A master that does not lead knows of no revocation.
        if revocations is not None and (problem := revocations.problem(caller)):
            raise CallError(Code.UNAUTHENTICATED, problem, {CALLER_KEY: ""})
        check_here()
        with _refused_to_caller():
            answer = await found.handle(asked, RelayedCall(caller))
        return pb.RelayResponse(response=found.encode(answer))

    async def stream(self, name: str, request: Any, caller: Caller) -> AsyncGenerator[Any]:
        """Answer a call of a method that answers by a stream. Raises CallError."""
        said: asyncio.Queue[Any] = asyncio.Queue(1)  # who does not read keeps it waiting
        call = RelayedCall(caller, on_response=said.put)

        async def handle() -> None:
            await self._methods[name].handle(request, call)

        async with running(handle()) as handling:
            while True:
                async with running(said.get()) as saying:
                    await asyncio.wait({handling, saying}, return_when=asyncio.FIRST_COMPLETED)
                    part = [saying.result()] if saying.done() else []
                for one in part:
                    yield one
                if not part:
                    await handling
                    return

    async def stream_relayed(
        self,
        request: pb.RelayRequest,
        by: Caller,
        revocations: Revocations | None,
        write: Callable[[pb.RelayResponse], Awaitable[None]],
        check_here: Callable[[], object] = lambda: None,
    ) -> None:
        """The same with a method that answers by a stream, which is written.

        It ends when its caller is let in no more.
        """
        found, asked = self._asked(request)
        caller = caller_from_proto(request.caller, by)

        async def on_response(response: Any) -> None:
            await write(pb.RelayResponse(response=found.encode(response)))

        check_here()
        with _refused_to_caller():
            async with while_valid(caller, revocations or Revocations()):
                await found.handle(asked, RelayedCall(caller, on_response=on_response))

    def _asked(self, request: pb.RelayRequest) -> tuple[Served, Any]:
        """The method that is called, and its request. Raises CallError."""
        named = request.method
        found = self._methods.get(named if "." in named else f"{OPERATOR}{named}")
        if found is None:
            raise CallError(Code.UNIMPLEMENTED, f"there is no {quoted(request.method)} to relay")
        try:
            return found, found.decode(request.request)
        except DecodeError as error:
            raise CallError(Code.INTERNAL, f"what is relayed cannot be read: {error}") from None


@contextlib.contextmanager
def _refused_to_caller() -> Iterator[None]:
    """Raises what is refused so that who relays knows whom that is for."""
    try:
        yield
    except CallError as error:
        if LEADER_KEY in error.trailing:  # it is for who relays, to ask elsewhere
            raise
        trailing = {**error.trailing, CALLER_KEY: ""}
        raise CallError(error.code, error.message, trailing) from error


def relay_request(name: str, request: Any, caller: Caller) -> pb.RelayRequest:
    """Return what another server is asked for `caller`."""
    return pb.RelayRequest(
        method=name.removeprefix(OPERATOR),
        request=request.SerializeToString(),
        caller=caller_to_proto(caller),
    )


def answer_type(contract: ServiceDescriptor, name: str) -> Any:
    """Return the message that a method of a service answers."""
    return GetMessageClass(contract.methods_by_name[name.rpartition(".")[2]].output_type)


def caller_to_proto(caller: Caller) -> pb.RelayedCaller:
    """Return who calls, as it is said to another server."""
    return pb.RelayedCaller(
        principal=caller.principal,
        credential=caller.method or "",
        credential_id=caller.credential_id,
        peer=caller.peer,
        ends_s=caller.ends_s if math.isfinite(caller.ends_s) else 0.0,
        vouched_by=caller.vouched_by,
        rights=caller.rights,
    )


def caller_from_proto(said: pb.RelayedCaller, by: Caller) -> Caller:
    """Who calls, as a master says it that has proved to be one; else nobody is proved.

    Raises CallError for who could not have called that master.
    """
    if not by.is_proved:  # as in a cluster without certificates
        return Caller(peer=said.peer, via="http", relayed_by=by.peer)
    if not name_in(by.principal, Kind.MASTER):  # which the gate has seen to
        raise CallError(
            Code.PERMISSION_DENIED,
            f"{by.principal} is no master, and nobody else may say who calls",
        )
    if not name_in(said.principal, Kind.OPERATOR):
        raise CallError(
            Code.PERMISSION_DENIED,
            f"{quoted(said.principal)} is no operator, and masters relay calls of those only",
        )
    try:
        method = Method(said.credential)
    except ValueError:
        told = f"this server knows no credential of the kind {quoted(said.credential)}"
        raise CallError(Code.UNAUTHENTICATED, f"{told}; {ONE_VERSION}") from None
    if (method is Method.TOKEN) != bool(said.rights):  # by a version that knows no rights
        told = f"an access token of {said.principal} is said to have {len(said.rights)} rights"
        raise CallError(Code.UNAUTHENTICATED, f"{told}; {ONE_VERSION}")
    return Caller(
        said.principal,
        method,
        said.credential_id,
        said.peer,
        "http",
        said.ends_s or math.inf,
        tuple(said.vouched_by),
        by.principal,
        tuple(said.rights) or None,
    )
