"""Calls and streams between the roles, whatever carries them: gRPC, or a simulated network.

Services and stream handling are written against this file. A handler is a coroutine that is given
its call, reads from it and writes to it, and refuses by raising CallError. A client opens a channel
by a Dial. gRPC is one adapter (`pymesos_core.grpc_transport`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeVar

from pymesos_core.addresses import HostPort

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
    def metadata(self) -> Mapping[str, str]:
        """What the peer sent beside its messages."""

    async def read(self) -> Request | None:
        """The next message of a peer that streams; None when it has said all. Raises CallError."""

    async def write(self, message: Response) -> None:
        """Send a message; waits while the peer does not read. Raises CallError."""


class ClientStream(Protocol):
    """A stream that this process has opened."""

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
    """A method whose both sides stream."""

    path: str  # "/pymesos.v1.Agent/Connect"
    encode: Callable[[Any], bytes]  # a request
    decode: Callable[[bytes], Any]  # a response


class Channel(Protocol):
    """A way to one server."""

    def stream(self, method: Method) -> ClientStream:
        """Open a stream."""

    async def close(self) -> None:
        """End it, and every stream on it."""


Dial = Callable[[HostPort], Channel]
