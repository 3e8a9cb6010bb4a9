"""Staying connected to whichever master leads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from pymesos_core.addresses import AddressError, HostPort, parse_host_port
from pymesos_core.backoff import Backoff
from pymesos_core.coordination import Detector, MasterInfo
from pymesos_core.security.identities import Kind
from pymesos_core.streams import NotReadError
from pymesos_core.tasks import until_first
from pymesos_core.text import duration
from pymesos_core.transport import CallError, Channel, Code, Dial, Method, ask_once

log = logging.getLogger(__name__)

# Trailing metadata of a refusal by a master that does not lead: the leader's address, or nothing.
AGENT_KEY = "pymesos-agent"  # metadata of a call that the master is to pass on
LEADER_KEY = "pymesos-leader"
# Trailing metadata of a refusal of somebody's call that a master relays, not of the master.
CALLER_KEY = "pymesos-caller"
MAX_JUMPS = 100  # to other masters at once, while no session lasts: names can be made up
RECONNECT_S = (0.1, 5.0)  # from one session to the next: the shortest and the longest delay
NOT_REACHABLE = "not reachable"
NO_CONNECTION = "failed to connect to all addresses"
# Why there is no connection, by what gRPC says of it, which people cannot be expected to read.
WHY_NOT = {
    "Connection refused": f"{NOT_REACHABLE}: nothing listens there",
    "before receiving SETTINGS frame": f"{NOT_REACHABLE}: what listens there does not answer",
    "Socket closed": (
        "what listens there hangs up at once: if the cluster has certificates, give this process"
        " its own with --tls"
    ),
    "WRONG_VERSION_NUMBER": (
        "what listens there knows no certificates, and this process has --tls: start both with it,"
        " or neither; or is that another port?"
    ),
    "CERTIFICATE_VERIFY_FAILED": (
        "what listens there has a certificate that the roots of this process do not lead to: is it"
        " of another cluster?"
    ),
    "Hostname Verification Check failed": (
        "what listens there has a certificate of something else: is that another port, or cluster?"
    ),
    "Expected SETTINGS frame": "what listens there does not speak gRPC: is that another port?",
}


class GiveUpError(Exception):
    """A session found that reconnecting is of no use: the message says why."""


def leader_of(error: CallError) -> HostPort | None:
    """The leader named by a master that refused because it does not lead."""
    if address := error.trailing.get(LEADER_KEY):
        with contextlib.suppress(AddressError):
            return parse_host_port(address)
    return None


def says_that_nobody_leads(error: CallError) -> bool:
    """Whether a master was reached that knows of none that leads."""
    return error.trailing.get(LEADER_KEY) == ""


def describe(error: CallError) -> str:
    """One line for a person."""
    said = says_that_nobody_leads(error) or CALLER_KEY in error.trailing
    if error.code == Code.UNAVAILABLE and not said:
        if error.message.startswith(NO_CONNECTION):
            return next((w for why, w in WHY_NOT.items() if why in error.message), NOT_REACHABLE)
        return NOT_REACHABLE
    return " ".join(error.message.split())


async def ask_master(
    dial: Dial, at: HostPort, method: Method, request: Any, timeout_s: float
) -> Any:
    """Ask a master once, and return its answer. Raises CallError, with a message for people."""
    try:
        answer = await ask_once(dial(at, Kind.MASTER), method, request, timeout_s)
    except TimeoutError:
        said = f"the master at {at} does not answer within {duration(timeout_s)}"
        raise CallError(Code.UNAVAILABLE, said) from None
    except CallError as error:
        raise CallError(error.code, describe(error), error.trailing) from None
    if answer is None:
        raise CallError(Code.UNAVAILABLE, f"the master at {at} answered nothing")
    return answer


async def follow(
    detector: Detector,
    session: Callable[[Channel, HostPort], Coroutine[Any, Any, None]],
    backoff: Backoff,
    dial: Dial,
) -> None:
    """Run `session` on a channel to the leader, again and again, until it raises GiveUpError.

    A session ends by returning, by a CallError, or is cancelled when another master leads. The
    delay between two is drawn from `backoff`, which starts again after a session that lasted; it
    ends early when another master leads. One that a refusal names is tried at once the first time:
    two masters may name each other for as long as there is none that leads.
    """
    time_s = asyncio.get_running_loop().time
    last_problem = ""
    jumps: set[tuple[HostPort | None, MasterInfo | None]] = set()  # since a session that lasted
    while True:
        leader = detector.leader
        if leader is None:
            leader = await detector.changed(None)
            continue
        problem, named = "", None
        channel = dial(leader.address, Kind.MASTER)
        began_s = time_s()
        try:
            await until_first(session(channel, leader.address), detector.changed(leader))
        except CallError as error:
            if error.code != Code.CANCELLED:  # which the session did itself
                problem = f"master {leader.address}: {describe(error)}"
            named = leader_of(error)
            if named is not None or error.code == Code.UNAVAILABLE:
                detector.hint(named)
        except NotReadError:
            problem = f"master {leader.address} does not read what it is sent"
        finally:
            await channel.close()
        if backoff.after(time_s() - began_s):
            jumps.clear()
        if problem and problem != last_problem:
            log.warning("%s; trying again", problem)
        last_problem = problem
        known = detector.leader
        if known != leader and (named, known) not in jumps and len(jumps) < MAX_JUMPS:
            jumps.add((named, known))
            backoff.reset()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(detector.changed(known), backoff.next_s())
            backoff.reset()
