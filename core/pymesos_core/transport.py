"""Calls and streams between the roles, whatever carries them: gRPC, or a simulated network.

Services and stream handling are written against this file. A handler is a coroutine: one of a
method with one request is given that and its call, one of a method that streams only the call, to
read from and to write to. It refuses by raising CallError. A client opens a channel by a Dial. gRPC
is one adapter (`pymesos_core.grpc_transport`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeVar

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller
from pymesos_core.security.identities import Kind

Request = TypeVar("Request", covariant=True)
Response = TypeVar("Response", contravariant=True)


class Code(Enum):
    """Why a call fails: the codes of gRPC, by their names and numbers."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class CallError(Exception):
    """A call is refused, or has failed: a code for programs, a sentence for people.

    `trailing` is more for programs, as the address of the master that leads.
    """

    def __init__(self, code: Code, message: str, trailing: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.trailing: Mapping[str, str] = trailing or {}


class ServerCall(Protocol[Request, Response]):
    """One call as its handler sees it. When the peer ends it, the handler is cancelled."""

    @property
    def peer(self) -> str:
        """The address of the peer, as in `ipv4:10.0.0.1:4321`."""

    @property
    def caller(self) -> Caller:
        """Who makes the call."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the peer sent beside its messages."""

    async def read(self) -> Request | None:
        """The next message of a peer that streams; None when it has said all. Raises CallError."""

    async def write(self, message: Response) -> None:
        """Send a message; waits while the peer does not read. Raises CallError."""


class StreamedCall(ServerCall[Request, Response], Protocol):
    """The call of a peer that streams, from over the wire."""

    async def receive(self) -> Callable[[], Request] | None:
        """As `read`, but what comes is not decoded yet: a call does it, once there is time to.

        Until then it takes a fraction of the memory. Raises CallError, and the call does so.
        """


class ClientStream(Protocol):
    """A stream that this process has opened."""

    async def opened(self) -> None:
        """Return once the connection to the peer is there, as far as known. Raises CallError."""

    async def read(self) -> Any | None:
        """The next message; None at an end without an error. Raises CallError."""

    async def write(self, message: Any) -> None:
        """Send a message; waits while the peer does not read. Raises CallError."""

    async def done_writing(self) -> None:
        """Say that nothing more comes."""

    def cancel(self) -> None:
        """End it now. Whoever reads or writes gets CallError with CANCELLED."""


@dataclass(frozen=True)
class Method:
    """A method whose both sides stream, with how its messages become bytes and come from them."""

    path: str  # "/pymesos.v1.Agent/Connect"
    encode: Callable[[Any], bytes]  # a request
    decode: Callable[[bytes], Any]  # a response


def method_of(path: str, request: type[Any], response: type[Any]) -> Method:
    """The method of that path, whose messages are of these protobuf types."""
    return Method(path, request.SerializeToString, response.FromString)


@dataclass(frozen=True)
class Served:
    """A method that a service answers, by the contract, and the coroutine that does."""

    path: str
    handle: Callable[..., Awaitable[Any]]
    decode: Callable[[bytes], Any]  # a request
    encode: Callable[[Any], bytes]  # a response
    many_requests: bool
    many_responses: bool


class Service(Protocol):
    """What answers the methods of a service of the contract: it has a coroutine of each's name."""

    @property
    def contract(self) -> ServiceDescriptor:
        """What its methods are."""


def served(service: Service) -> list[Served]:
    """Every method of a service."""
    contract = service.contract
    return [
        Served(
            f"/{contract.full_name}/{method.name}",
            getattr(service, method.name),
            GetMessageClass(method.input_type).FromString,
            GetMessageClass(method.output_type).SerializeToString,
            method.client_streaming,
            method.server_streaming,
        )
        for method in contract.methods
    ]


class Channel(Protocol):
    """A way to one server."""

    def stream(self, method: Method, metadata: Mapping[str, str] | None = None) -> ClientStream:
        """Open a stream, with `metadata` beside its messages."""

    async def close(self) -> None:
        """End it, and every stream on it."""


async def ask_once(channel: Channel, method: Method, request: Any, timeout_s: float) -> Any:
    """Send one message, and return the answer to it; the channel is closed then.

    None: the stream ended without one. Raises CallError, TimeoutError.
    """
    try:
        async with asyncio.timeout(timeout_s):
            stream = channel.stream(method)
            await stream.write(request)
            await stream.done_writing()
            return await stream.read()
    finally:
        await channel.close()


class Dial(Protocol):
    """Opens channels."""

    def __call__(self, address: HostPort, to: Kind, name: str = "") -> Channel:
        """To a server of that kind, or to the one of that name: with certificates no other can
        answer there."""
