"""Who leads: refused calls name the leader."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller
from pymesos_core.coordination import MasterInfo
from pymesos_core.errors import ProblemKind, RequestError
from pymesos_core.following import LEADER_KEY
from pymesos_core.outgoing.telling import MakeTells, TellsNobody
from pymesos_core.outside import OUTSIDE, Outside
from pymesos_core.security.audit_files import AuditFiles
from pymesos_core.security.auditing import Audit
from pymesos_core.security.secrets import Keyring, KeyringError, read_keyring
from pymesos_core.security.signing import Signer
from pymesos_core.streams import NotReadError, serve_stream
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_core.turns import Turns
from pymesos_master.core.events import Event
from pymesos_master.shell import NO_KEY, Connection, Leader

CODES = {
    ProblemKind.INVALID: Code.INVALID_ARGUMENT,
    ProblemKind.NOT_FOUND: Code.NOT_FOUND,
    ProblemKind.OUTDATED: Code.ABORTED,
    ProblemKind.FULL: Code.RESOURCE_EXHAUSTED,
    ProblemKind.UNAVAILABLE: Code.UNAVAILABLE,
    ProblemKind.DENIED: Code.PERMISSION_DENIED,
}

# For which a call waits at the master that has been elected until that has read the registry.
RECOVERS_WITHIN_S = 2.0

OPEN = (
    "this cluster has no certificates, so whoever reaches a master would get every secret: give it"
    " some (see `pymesos-cli cluster --help`), and set secrets then"
)


@dataclass(frozen=True)
class Keys:
    """Where a master has the keys of the cluster's secrets."""

    path: Path | None = None  # None: in a cluster without certificates there are none

    def read(self) -> Keyring:
        """Raises KeyringError."""
        if self.path is None:
            raise KeyringError(OPEN)
        try:
            return read_keyring(self.path)
        except FileNotFoundError:
            raise KeyringError(NO_KEY) from None


async def _no_masters() -> list[MasterInfo]:
    return []


async def _untested(name: str) -> str:
    return "this master sends nothing"


@dataclass
class Leadership:
    """What the services ask: the leader, if that is here, and else who it is."""

    me: MasterInfo
    outside: Outside = OUTSIDE
    leader: Leader | None = None
    known_leader: Callable[[], MasterInfo | None] = lambda: None
    # Whether who led may have given up, since nobody has been heard for as long as that takes.
    in_doubt: Callable[[], bool] = lambda: False
    masters: Callable[[], Awaitable[list[MasterInfo]]] = _no_masters  # that run now
    audit: Audit = field(default_factory=Audit)
    audit_files: AuditFiles | None = None  # that can be read here
    started_mono_s: float = field(init=False)
    led: asyncio.Event = field(
        default_factory=asyncio.Event
    )  # set when it leads for the first time
    leads: asyncio.Event = field(default_factory=asyncio.Event)  # set while the leader is here
    faults: int = 0  # of its own, each of which ended a term
    stands_back: str = ""  # why it does not lead for a while, to be added to a sentence
    turns: Turns = field(default_factory=Turns)
    signer: Signer | None = None  # in a cluster with certificates
    keys: Keys = field(default_factory=Keys)  # of secrets
    join_at: HostPort | None = None  # where this master takes those who join
    webhook_problems: Callable[[], Mapping[str, str]] = dict  # why one has not taken something
    test_webhook: Callable[[str], Awaitable[str]] = _untested
    make_tells: MakeTells = TellsNobody  # what tells receivers of alerts
    http_port: int = 0  # of this master's address; 0: it serves no HTTP

    def __post_init__(self) -> None:
        self.started_mono_s = self.outside.mono_s()

    @property
    def leads_now(self) -> MasterInfo | None:
        """Who leads, as far as this master knows: nobody while that is in doubt."""
        if self.leader is not None:
            return self.me
        known = self.known_leader()
        if known is None or known.master_id == self.me.master_id or self.in_doubt():
            return None
        return known

    def here(self) -> Leader:
        """The leader of this process. Raises CallError that names the one that leads instead."""
        if self.leader is not None:
            return self.leader
        known = self.known_leader()
        if known is None or known.master_id == self.me.master_id:
            raise CallError(
                Code.UNAVAILABLE,
                f"master {self.me.address} does not lead; nobody does yet{self.stands_back}",
                {LEADER_KEY: ""},
            )
        raise CallError(
            Code.FAILED_PRECONDITION,
            f"master {self.me.address} does not lead; {known.address} does",
            {LEADER_KEY: str(known.address)},
        )

    async def here_soon(self) -> Leader:
        """The leader of this process, which is waited for while it reads the registry.

        Agents and frameworks learn from ZooKeeper who has been elected, and call before the
        registry is read: a refusal would cost each a back-off. Raises CallError as `here` does.
        """
        known = self.known_leader()
        elected = known is not None and known.master_id == self.me.master_id
        if self.leader is None and elected and not self.stands_back:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.leads.wait(), RECOVERS_WITHIN_S)
        return self.here()

    def begin(self, leader: Leader) -> None:
        """Lead from now on."""
        self.leader = leader
        self.led.set()
        self.leads.set()

    def end(self) -> None:
        """Lead no more."""
        self.leader = None
        self.leads.clear()

    def surely_here(self) -> Leader:
        """The leader of this process, unless that is in doubt. Raises CallError."""
        leader = self.here()
        if not leader.term.active.is_set():
            raise CallError(
                Code.UNAVAILABLE, f"whether master {self.me.address} still leads is in doubt"
            )
        return leader

    @contextmanager
    def asked(self) -> Iterator[Leader]:
        """The leader; a request that it refuses ends the call with the code of its kind."""
        try:
            yield self.here()
        except RequestError as error:
            raise CallError(CODES[error.problem.kind], error.problem.message) from None


def caller_of(call: ServerCall[Any, Any]) -> Caller:
    """Who makes a call, as far as that is known."""
    return call.caller


async def run_stream(
    leader: Leader,
    call: ServerCall[Any, Any],
    read: Callable[[Connection], Coroutine[Any, Any, None]],
    make_batch: Callable[[list[Any]], Any],
    disconnected: Callable[[int], Event],
) -> None:
    """Serve one bidirectional stream: `read` feeds what comes, the outbox is written in batches.

    Raises CallError.
    """
    connection = leader.open(caller_of(call), disconnected)

    async def write(batch: list[Any]) -> bool:
        # Leadership may be in doubt: nothing is sent until it is not, the stream stays open.
        if await leader.term.holds():
            await call.write(make_batch(batch))
        return not leader.term.lost.is_set()

    try:
        await serve_stream(connection.outbox, read(connection), write, connection.end)
    except NotReadError:
        # The peer's window is full, so telling it may take as long as the peer likes: its offers
        # went back before.
        raise CallError(
            Code.RESOURCE_EXHAUSTED,
            "this stream is not read: too much waited for it. Read it faster, and connect again",
        ) from None
    if leader.term.lost.is_set():
        raise CallError(Code.UNAVAILABLE, "this master leads no more")


class BadStreamError(CallError):
    """The peer broke the rules of the stream: the message says which."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.INVALID_ARGUMENT, message)
