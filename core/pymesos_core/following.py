"""Staying connected to whichever master leads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio

from pymesos_core.addresses import AddressError, HostPort, parse_host_port
from pymesos_core.backoff import Backoff
from pymesos_core.coordination import Detector
from pymesos_core.outbox import MAX_MESSAGE_BYTES
from pymesos_core.streams import NotReadError

log = logging.getLogger(__name__)

# Trailing metadata of a refusal by a master that does not lead: the leader's address, or nothing.
AGENT_KEY = "pymesos-agent"  # metadata of a call that the master is to pass on
LEADER_KEY = "pymesos-leader"

CHANNEL_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES + 65536),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),  # a proxy of $http_proxy knows nothing of the cluster
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class GiveUpError(Exception):
    """A session found that reconnecting is of no use: the message says why."""


def open_channel(address: HostPort) -> grpc.aio.Channel:
    """A channel with the options that all clients share."""
    return grpc.aio.insecure_channel(str(address), options=CHANNEL_OPTIONS)


def leader_of(error: grpc.aio.AioRpcError) -> HostPort | None:
    """The leader named by a master that refused because it does not lead."""
    for key, value in error.trailing_metadata() or ():
        if key == LEADER_KEY and value:
            with contextlib.suppress(AddressError):
                return parse_host_port(value if isinstance(value, str) else value.decode())
    return None


def says_that_nobody_leads(error: grpc.aio.AioRpcError) -> bool:
    """Whether a master was reached that knows of none that leads."""
    return any(key == LEADER_KEY and not value for key, value in error.trailing_metadata() or ())


def describe(error: grpc.aio.AioRpcError) -> str:
    """One line for a person."""
    if error.code() == grpc.StatusCode.UNAVAILABLE and not says_that_nobody_leads(error):
        return "not reachable"
    return " ".join((error.details() or error.code().name).split())


async def follow(
    detector: Detector,
    session: Callable[[grpc.aio.Channel, HostPort], Awaitable[None]],
    backoff: Backoff,
) -> None:
    """Run `session` on a channel to the leader, again and again, until it raises GiveUpError.

    A session ends by returning, by a gRPC error, or is cancelled when another master leads. The
    delay between two is drawn from `backoff`, which the session resets once it was accepted; it
    ends early when another master leads.
    """
    last_problem = ""
    while True:
        leader = detector.leader
        if leader is None:
            leader = await detector.changed(None)
            continue
        problem = ""
        channel = open_channel(leader.address)
        running = asyncio.ensure_future(session(channel, leader.address))
        watching = asyncio.ensure_future(detector.changed(leader))
        try:
            await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await running
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if me is not None and me.cancelling():
                raise
            # Nobody cancelled us: the session hung up, which ends its own reading so.
        except grpc.aio.AioRpcError as error:
            problem = f"master {leader.address}: {describe(error)}"
            hinted = leader_of(error)
            if hinted is not None or error.code() == grpc.StatusCode.UNAVAILABLE:
                detector.hint(hinted)
        except NotReadError:
            problem = f"master {leader.address} does not read what it is sent"
        finally:
            for task in (running, watching):
                task.cancel()
            try:
                await asyncio.gather(running, watching, return_exceptions=True)
            finally:
                await channel.close()
        if problem and problem != last_problem:
            log.warning("%s; trying again", problem)
        last_problem = problem
        known = detector.leader
        if known != leader:
            backoff.reset()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(detector.changed(known), backoff.next_s())
            backoff.reset()
