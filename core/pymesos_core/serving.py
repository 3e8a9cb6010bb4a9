"""Servers: where they listen, what they tell others, and what no peer may take all of."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc.aio

from pymesos_core.addresses import HostPort
from pymesos_core.budgets import PeerBudgets
from pymesos_core.complaints import Complaints
from pymesos_core.exits import RoleError
from pymesos_core.grpc_transport import Adapter
from pymesos_core.grpc_wakeups import prepare
from pymesos_core.limits import Limit
from pymesos_core.outbox import MAX_MESSAGE_BYTES
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.gate import (
    CertificateGate,
    Gate,
    OnRefused,
    join_gate,
    open_gate,
    telling,
)
from pymesos_core.text import os_problem

SERVER_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES + 65536),
    ("grpc.so_reuseport", 0),  # a second server on the port must fail, not share it
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    # A connection that does not speak HTTP/2 in time, or has no call for a while, is closed.
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_connection_idle_ms", 60_000),
    ("grpc.max_concurrent_streams", 1_000),  # of one connection
    # Calls that nobody has looked at yet: each has memory, and gRPC lets 3,000 wait.
    ("grpc.server.max_pending_requests_hard_limit", 1_000),
]
# For what a role opens itself: its store, ZooKeeper, the calls it relays, files.
RESERVED_DESCRIPTORS = 512
MAX_JOIN_BYTES = 64 * 1024  # of a message of somebody who is not known yet
MAX_CONNECTIONS = 1_000_000

log = logging.getLogger(__name__)


class ServingError(RoleError):
    """The server cannot listen: the message says why and what to do."""


@dataclass(frozen=True)
class Listen:
    """Where a server binds and what it tells others."""

    ip: str
    port: int  # 0: any free one
    advertise_ip: str | None
    hostname: str | None

    def advertised(self, port: int) -> HostPort:
        """The address that others use."""
        return HostPort(self.advertise_ip or self.ip, port)

    def name(self) -> str:
        """The host name that people see."""
        return self.hostname or socket.gethostname()


def make_server(
    limits: Mapping[str, Limit],
    credentials: Credentials | None = None,
    *,
    for_joining: bool = False,
    on_refused: OnRefused | None = None,
    shares_port: bool = False,
) -> grpc.aio.Server:
    """A server that no peer can take all of: see pymesos_core.budgets for `limits`.

    With credentials it is `bind` with the same that has it ask for certificates; one `for_joining`
    does not, and is for nothing else. `on_refused` is told of what the gate refuses. One that
    `shares_port` takes a part of the connections to a port that others of this user serve, too.

    As many descriptors as the process may have are asked for, and some of them are kept back from
    connections.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    connections = min(MAX_CONNECTIONS, max(soft // 2, soft - RESERVED_DESCRIPTORS))
    prepare(asyncio.get_running_loop())
    revocations = None if credentials is None else credentials.revocations
    options = dict(SERVER_OPTIONS) | {"grpc.max_allowed_incoming_connections": connections}
    if shares_port:
        options["grpc.so_reuseport"] = 1
    if for_joining:
        options["grpc.max_receive_message_length"] = MAX_JOIN_BYTES
    gate = make_gate(credentials, for_joining=for_joining, on_refused=on_refused)
    return grpc.aio.server(
        interceptors=(Adapter(PeerBudgets(limits), Complaints(log), gate, revocations),),
        options=list(options.items()),
    )


def make_gate(
    credentials: Credentials | None,
    *,
    for_joining: bool = False,
    on_refused: OnRefused | None = None,
) -> Gate:
    """The gate of a server, whatever it speaks: see `make_server`."""
    gate: Gate = open_gate
    if for_joining:
        gate = join_gate
    elif credentials is not None:
        me = credentials.identity
        gate = CertificateGate(me.cluster, me.kind, credentials.revocations)
    return gate if on_refused is None else telling(gate, on_refused)


def bind(
    server: grpc.aio.Server,
    listen: Listen,
    credentials: Credentials | None = None,
    flags: str = "--port or --ip",
    *,
    for_joining: bool = False,
    shares_port: bool = False,
) -> int:
    """Bind and return the port, as with `make_server`. Raises ServingError."""
    target = str(HostPort(listen.ip, listen.port))
    problem = None if shares_port else _why_not(listen)
    if problem is None:
        with contextlib.suppress(RuntimeError):
            if credentials is None:
                port = server.add_insecure_port(target)
            else:
                shown = credentials.server(for_joining=for_joining)
                port = server.add_secure_port(target, shown)
            if port:
                return port
        problem = "it was taken just now"
    raise _cannot_listen(target, problem, flags)


def reserve_port(listen: Listen, flags: str = "--port or --ip") -> socket.socket:
    """Bind a socket, which nothing connects to, so that servers that share the port can be bound.

    Raises ServingError.
    """
    problem = _why_not(listen)
    if problem is None:
        reserved = None
        try:
            family, kind, protocol, _, address = _resolved(listen)
            reserved = socket.socket(family, kind, protocol)
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reserved.bind(address)
            return reserved
        except OSError as error:
            if reserved is not None:
                reserved.close()
            problem = os_problem(error)
    raise _cannot_listen(str(HostPort(listen.ip, listen.port)), problem, flags)


def _cannot_listen(target: str, problem: str, flags: str) -> ServingError:
    return ServingError(
        f"cannot listen on {target} ({problem}): the port is taken or the address is not this"
        f" machine's; choose another with {flags}"
    )


def _resolved(listen: Listen) -> Any:
    return socket.getaddrinfo(
        listen.ip, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )[0]


def _why_not(listen: Listen) -> str | None:
    """What keeps a server from listening; gRPC would write it to stderr as a line of its own."""
    try:
        family, kind, protocol, _, address = _resolved(listen)
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        return error.strerror
    return None
