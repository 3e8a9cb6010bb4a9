"""The certificate of this process, renewed at half of its life.

A new key is made, the leading master signs it, and the files are replaced; what connects from then
on uses them. Streams end with the certificate that they began with, and begin anew with this one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from pymesos_core.addresses import HostPort
from pymesos_core.complaints import Complaints
from pymesos_core.coordination import Detector
from pymesos_core.exits import RoleError
from pymesos_core.following import ask_master, leader_of
from pymesos_core.outside import Outside
from pymesos_core.security.authority import (
    BACKDATED_S,
    answer_problem,
    identity_of,
    key_pem,
    new_key,
)
from pymesos_core.security.credentials import Credentials, CredentialsError, Pem
from pymesos_core.security.issuing import put
from pymesos_core.security.reading import read_certificates
from pymesos_core.security.signing import Issued, SigningError, make_request
from pymesos_core.streams import in_thread
from pymesos_core.text import os_problem
from pymesos_core.transport import CallError, Code, Dial, method_of
from pymesos_proto.v1 import enrolment_pb2 as pb

LOOK_AGAIN_S = 60.0  # somebody else may have renewed it, and clocks are set
MIN_DELAY_S, MAX_DELAY_S = 0.1, 600.0  # from one failure to the next try
TRIES = 50  # in the life of a certificate, at least
SPREAD = 0.1  # of the life: those that began together do not all come at once
ANSWER_TIMEOUT_S = 20.0
RENEW = method_of("/pymesos.v1.Certificates/Renew", pb.RenewRequest, pb.IssuedCertificate)

# Has a request for a certificate answered. Raises CallError or SigningError.
Ask = Callable[[bytes], Awaitable[Issued]]

log = logging.getLogger(__name__)


class RenewalError(RoleError):
    """The certificate is not renewed: the message says why."""


async def keep_renewed(outside: Outside, ask: Ask) -> None:
    """Renew the certificate of this process whenever half of its life is over; without one, wait.

    What keeps it from that is said in the log, counted, and tried again.
    """
    credentials = outside.credentials
    if credentials is None:
        await asyncio.Event().wait()
        return
    complaints = Complaints(log, outside.mono_s)
    late = outside.jitter.uniform(0, SPREAD)
    while True:
        pem = credentials.current()
        life_s = pem.ends_s - _issued_s(pem)
        if (wait_s := _issued_s(pem) + life_s * (0.5 + late) - outside.wall_s()) > 0:
            await asyncio.sleep(min(wait_s, LOOK_AGAIN_S))
            continue
        backoff = outside.backoff(MIN_DELAY_S, min(MAX_DELAY_S, max(MIN_DELAY_S, life_s / TRIES)))
        while credentials.current() is pem:
            try:
                await renew(credentials, ask)
            except RenewalError as error:
                credentials.renewal_failures += 1
                complaints.say("this process", "its certificate is not renewed", str(error))
                await asyncio.sleep(backoff.next_s())


async def renew(credentials: Credentials, ask: Ask) -> None:
    """Renew it now. Raises RenewalError."""
    key = new_key()
    try:
        issued = await ask(make_request(key))
    except CallError as error:
        raise RenewalError(error.message) from error
    except SigningError as error:
        raise RenewalError(str(error)) from error
    try:
        leaf, *above = read_certificates(issued.chain)
        roots = read_certificates(issued.roots)
        same = identity_of(leaf) == credentials.identity and leaf.public_key() == key.public_key()
        problem = answer_problem([leaf, *above], roots, time.time())
    except ValueError as error:
        raise RenewalError(f"what was answered is no certificate: {error}") from error
    if problem or not same:
        raise RenewalError(f"what was answered cannot be used: {problem or 'it is another one'}")
    try:
        await in_thread(_replace, credentials, key_pem(key), issued)
    except OSError as error:
        raise RenewalError(f"it cannot be kept: {os_problem(error)}") from error
    except CredentialsError as error:
        raise RenewalError(f"what was kept cannot be used: {error}") from error


def _replace(credentials: Credentials, key: bytes, issued: Issued) -> None:
    with credentials.replacing() as folder:
        put(folder, key, issued.chain, issued.roots)


def _issued_s(pem: Pem) -> float:
    """When a certificate was issued, which is after it begins."""
    issued_s = pem.begins_s + BACKDATED_S
    return issued_s if issued_s < pem.ends_s else pem.begins_s


def renew_by_s(pem: Pem) -> float:
    """When a certificate should have been renewed long since: three quarters of its life are over.

    So half of the time in which it is tried is left to do something about it.
    """
    return _issued_s(pem) + (pem.ends_s - _issued_s(pem)) * 0.75


def is_due(pem: Pem, now_s: float) -> bool:
    """Whether half of the life of a certificate is over."""
    return now_s >= (_issued_s(pem) + pem.ends_s) / 2


def asking_leader(detector: Detector, dial: Dial) -> Ask:
    """Asks the leading master, or the one that it names."""

    async def ask(request: bytes) -> Issued:
        leader = detector.leader
        if leader is None:
            raise CallError(Code.UNAVAILABLE, "no master leads")
        at = leader.address
        try:
            return await _ask(dial, at, request)
        except CallError as error:
            if (named := leader_of(error)) is None or named == at:
                raise
            return await _ask(dial, named, request)

    return ask


async def _ask(dial: Dial, at: HostPort, request: bytes) -> Issued:
    message = pb.RenewRequest(request=request)
    answer = await ask_master(dial, at, RENEW, message, ANSWER_TIMEOUT_S)
    return Issued(answer.chain, answer.roots, answer.authority)
