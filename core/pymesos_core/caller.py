"""Who makes a call, and how that is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class Method(StrEnum):
    """How a caller showed who it is."""

    CERT = "cert"  # a client certificate
    TOKEN = "token"  # noqa: S105 - a kind of credential, not one
    SESSION = "session"  # a browser's, after a sign-in
    BASIC = "basic"  # a name with a password
    ADDRESS = "address"  # where the call comes from, which an operator has said is enough
    SOCKET = "socket"  # a unix socket, whose other end the kernel names
    LOCAL = "local"  # this process itself


@dataclass(frozen=True, slots=True)
class Caller:
    """Who caused an event. What is not known is empty; without a method nothing is proved."""

    principal: str = ""  # who it is
    method: Method | None = None
    credential_id: str = ""  # of the certificate, token or session, so that it can be revoked
    peer: str = ""  # the address that it came from, without the port
    via: str = ""  # the front door: "grpc", later "http" and "mesos"
    ends_s: float = math.inf  # Unix time at which the credential does
    vouched_by: tuple[str, ...] = ()  # the serial numbers of the certificates above a certificate
    relayed_by: str = ""  # the master that says so; empty: the caller came here itself
    # Of what the principal may, no more than this, which an access token has; None: all of it.
    rights: tuple[str, ...] | None = None

    @property
    def is_proved(self) -> bool:
        """Whether the principal is known, and not only said."""
        return self.method is not None

    @property
    def taker(self) -> str:
        """Who is charged for what this caller takes: its principal, or its address without one."""
        return self.principal if self.is_proved else self.peer


def peer_of(ip: str) -> str:
    """Return the peer that calls from an IP address, as gRPC has it."""
    return f"ipv6:%5B{ip}%5D" if ":" in ip else f"ipv4:{ip}"


def taker_text(taker: str) -> str:
    """Begin a sentence about one."""
    return taker if "/" in taker else f"The address {taker}"


NOBODY = Caller()
