"""The two small interfaces of leadership, and what a term of it brings.

The epoch is the guarantee: a counter of its own that a new leader raises by compare-and-set before
it acts, and that every registry write checks in the same atomic batch. Everything else (ephemeral
nodes, session states) only makes it rare that two masters believe to lead.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from pymesos_core.addresses import HostPort
from pymesos_core.exits import RoleError
from pymesos_core.store import Change, Records


class CoordinationError(RoleError):
    """Coordination cannot be set up: the message says what to do."""


class RegistryError(RoleError):
    """The registry could not be read or written, or it is unknown whether it was."""


class StaleEpochError(RegistryError):
    """Another one has raised the epoch: this one leads no more."""


MAX_EPOCH = 2**63 - 1  # that is read; it is raised in steps of one


def read_epoch(data: bytes) -> int:
    """Return the epoch that is stored as text. Raises ValueError."""
    if data.isdigit() and len(data) <= len(str(MAX_EPOCH)) and int(data) <= MAX_EPOCH:
        return int(data)
    raise ValueError(f"{data[:40]!r}, and the epoch was expected, a whole number up to {MAX_EPOCH}")


def packed_ip(ip: str) -> int:
    """Return an IPv4 address as Mesos packs it; 0 for others, which it cannot."""
    try:
        return int.from_bytes(ipaddress.IPv4Address(ip).packed, "little")
    except ValueError:
        return 0


def _to_json(address: HostPort) -> dict[str, Any]:
    return {"ip": address.host, "port": address.port}


def _from_json(value: Any) -> HostPort:
    return HostPort(str(value["ip"]), int(value["port"]))


@dataclass(frozen=True)
class MasterInfo:
    """Where a master, or another role that is elected, is reached, and who it is."""

    master_id: str
    address: HostPort
    hostname: str = ""
    version: str = ""
    started_for: str = ""  # what all that contend should have in common, for people to read
    mesos: HostPort | None = None  # where a master serves the API of Mesos

    def to_json(self) -> bytes:
        """The content of a `json.info_…` znode.

        Where there is a listener for Mesos' clients, that is what their detectors read of it, and
        `grpc` is the address for ours.
        """
        said: dict[str, Any] = {
            "id": self.master_id,
            "address": _to_json(self.address),
            "hostname": self.hostname,
            "version": self.version,
            "started_for": self.started_for,
        }
        if self.mesos is not None:
            at = _to_json(self.mesos)
            said |= {
                "address": {"hostname": self.hostname, **at},
                "grpc": said["address"],
                "ip": packed_ip(self.mesos.host),
                "port": self.mesos.port,
                "pid": f"master@{self.mesos}",
            }
        return json.dumps(said).encode()

    @staticmethod
    def from_json(data: bytes) -> MasterInfo:
        """Read it back. Raises ValueError."""
        try:
            value = json.loads(data)
            address = _from_json(value["address"])
            ours = value.get("grpc")
            return MasterInfo(
                str(value["id"]),
                address if ours is None else _from_json(ours),
                str(value.get("hostname", "")),
                str(value.get("version", "")),
                str(value.get("started_for", "")),
                None if ours is None else address,
            )
        except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"{data[:200]!r} is no JSON of an id and an address") from error


class Registry(Protocol):
    """Records that survive a leader, written only under the epoch of the term it came with."""

    def load(self) -> Records:
        """All records. Blocks. Raises RegistryError."""

    def commit(self, changes: list[Change]) -> None:
        """Write all or none; without changes check the epoch only. Blocks.

        Raises StaleEpochError or RegistryError.
        """


@dataclass
class Term:
    """One time of leading. `lost` is set when it is over; `active` not while that is in doubt."""

    epoch: int
    registry: Registry
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    active: asyncio.Event = field(default_factory=asyncio.Event)
    on_doubt: Callable[[bool], None] = lambda in_doubt: None  # told when a doubt begins and ends

    def __post_init__(self) -> None:
        self.active.set()

    def suspend(self) -> None:
        """Note that it is in doubt whether this master still leads."""
        self.active.clear()
        self.on_doubt(True)

    def resume(self) -> None:
        """Note that this master leads on, in the same epoch."""
        self.active.set()
        self.on_doubt(False)

    async def holds(self) -> bool:
        """Wait until it is not in doubt who leads; return whether this one does."""
        await self.active.wait()
        return not self.lost.is_set()

    def end(self) -> None:
        """End the term; who waits for the pause to end need not wait longer."""
        self.lost.set()
        self.active.set()


class Contender(Protocol):
    """Strives for leadership in the name of one master."""

    async def lead(self) -> Term:
        """Wait until this master leads, and raise the epoch. Cancellable."""

    async def resign(self, term: Term) -> None:
        """Give the term up."""

    async def close(self) -> None:
        """Stop contending."""


class Detector(Protocol):
    """Knows who leads."""

    async def start(self, *, patient: bool = False) -> None:
        """Begin to watch. Raises CoordinationError when who knows the leader is not reached.

        A `patient` one returns at once, says in the log for what it waits, and knows of no leader
        meanwhile: a role outlives the start of a machine in whatever order.
        """

    @property
    def leader(self) -> MasterInfo | None:
        """Who leads, as far as known."""

    @property
    def in_doubt(self) -> bool:
        """Whether who leads was not heard of for so long that it may have given up."""

    async def changed(self, seen: MasterInfo | None) -> MasterInfo | None:
        """Wait until the leader is another than `seen`, and return it."""

    async def masters(self) -> list[MasterInfo]:
        """The masters that run now, as far as known; the one that leads first.

        Raises CoordinationError.
        """

    def hint(self, leader: HostPort | None) -> None:
        """A master said that `leader` leads, or that the one asked was not reached (None)."""

    async def close(self) -> None:
        """Stop watching."""
