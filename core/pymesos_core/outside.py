"""What shells take from outside: the time, chance, and the way to others.

It is handed in, so that the same code runs on a simulated clock and network, and draws what a seed
says.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import TYPE_CHECKING

from pymesos_core import grpc_transport
from pymesos_core.backoff import Backoff
from pymesos_core.clock import Now, read_clock
from pymesos_core.transport import Dial

if TYPE_CHECKING:
    from pymesos_core.security.credentials import Credentials


@dataclass(frozen=True)
class Outside:
    """The machine's clock, its randomness and gRPC, unless others are given."""

    clock: Callable[[], Now] = read_clock
    random: Random = field(default_factory=SystemRandom)  # of ids and secrets
    dial: Dial = grpc_transport.dial_plain
    jitter: Random = field(default_factory=Random)  # of delays, which need not be
    credentials: Credentials | None = None  # in a cluster with certificates

    def set_revoked(self, names: Iterable[str]) -> None:
        """Have these principals and serial numbers, and no others, let in no more."""
        if self.credentials is not None:
            self.credentials.revocations.set(names)

    def mono_s(self) -> float:
        """Seconds of the monotonic clock, which is the event loop's."""
        return self.clock().mono_s

    def wall_s(self) -> float:
        """Unix time."""
        return self.clock().wall_s

    def uuid(self) -> uuid.UUID:
        """A random one."""
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    def token(self, size_bytes: int) -> str:
        """Random hexadecimal digits, two for each byte."""
        return self.random.randbytes(size_bytes).hex()

    def backoff(self, min_s: float, max_s: float) -> Backoff:
        """Delays with jitter."""
        return Backoff(min_s, max_s, self.jitter)


OUTSIDE = Outside()


def outside_with(credentials: Credentials | None) -> Outside:
    """As OUTSIDE, of a process with these credentials."""
    if credentials is None:
        return OUTSIDE
    return Outside(dial=grpc_transport.dialer(credentials), credentials=credentials)


def uuid_bytes() -> bytes:
    """Return a random UUID, as `uuid4().bytes` in a third of the time.

    Clients of Mesos' API, and Mesos itself, take nothing else for the id of an update.
    """
    made = bytearray(secrets.token_bytes(16))
    made[6] = made[6] & 0x0F | 0x40  # version 4
    made[8] = made[8] & 0x3F | 0x80  # of RFC 4122
    return bytes(made)
