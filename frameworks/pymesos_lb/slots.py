"""HAProxy's runtime socket: what its backends have, and the commands that change them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, MutableMapping, Sequence, Set
from dataclasses import dataclass

from pymesos_lb.certificates import Certificate
from pymesos_lb.routes import Address

ANSWERS_WITHIN_S = 5.0
TURNS = 2  # of opening and closing: the second may open what the first has closed
CLOSED = 0x01 | 0x08  # maintenance or drain, of `srv_admin_state`


class FeedError(Exception):
    """HAProxy, or what a job says, is not as it has to be: the message says how."""


@dataclass(frozen=True)
class Slot:
    """One server of the backend, as HAProxy has it."""

    name: str
    address: Address
    is_open: bool  # it is given requests
    since_s: int  # how long it is, or is not


def read_slots(text: str) -> list[Slot]:
    """Return what HAProxy answers to `show servers state`. Raises FeedError."""
    lines = text.splitlines()
    header = next((line for line in lines if line.startswith("# ")), None)
    if header is None:
        raise FeedError(f"HAProxy has no such backend, or is no HAProxy; it says: {text.strip()}")
    names = header.removeprefix("# ").split()
    rows = (line.split() for line in lines[lines.index(header) + 1 :] if line.strip())
    return [_slot(dict(zip(names, row, strict=False))) for row in rows]


def _slot(row: dict[str, str]) -> Slot:
    try:
        return Slot(
            row["srv_name"],
            (row["srv_addr"], int(row["srv_port"])),
            not int(row["srv_admin_state"]) & CLOSED,
            int(row["srv_time_since_last_change"]),
        )
    except (KeyError, ValueError) as error:
        said = " ".join(row.values())
        raise FeedError(
            f"HAProxy says of a server {said!r}, in which {error} is not as expected: is it older"
            f" than 2.0, or what listens there no HAProxy?"
        ) from error


def commands(backend: str, slots: Sequence[Slot], wanted: Set[Address]) -> list[str]:
    """Return what makes these slots those of the addresses that are wanted, as far as they reach.

    New ones are opened before old ones are closed, and the slots that were closed first are the
    first to be used again: nothing that another had begun goes on in them. Where fewer are free
    than are missing, what this closes is free for the rest afterwards.
    """
    there = {slot.address for slot in slots if slot.is_open}
    free = sorted((s for s in slots if not s.is_open), key=lambda s: (-s.since_s, s.name))
    out: list[str] = []
    for slot, (ip, port) in zip(free, sorted(wanted - there), strict=False):
        out.append(f"set server {backend}/{slot.name} addr {ip} port {port}")
        out.append(f"set server {backend}/{slot.name} state ready")
    seen: set[Address] = set()
    for slot in (s for s in slots if s.is_open):
        if slot.address not in wanted or slot.address in seen:
            out.append(f"set server {backend}/{slot.name} state maint")
        seen.add(slot.address)
    return out


@dataclass
class HaProxy:
    """HAProxy's runtime socket."""

    path: str

    async def ask(self, *lines: str) -> str:
        """Return what it answers to commands. Raises FeedError."""
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                reader, writer = await asyncio.open_unix_connection(self.path)
                try:
                    writer.write((";".join(lines) + "\n").encode())
                    return (await reader.read()).decode(errors="replace")
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise FeedError(f"HAProxy does not answer at {self.path}: {error!r}") from error

    async def show(
        self,
        folder: str,
        wanted: Mapping[str, Certificate],
        accepted: MutableMapping[str, bytes],
    ) -> list[str]:
        """Make clients be shown these certificates, which are copies in a folder.

        `accepted` is what it has taken, by path: of a chain it says the first certificate only.
        Returns what it did not take, as too large for its socket. Raises FeedError.
        """
        refused: list[str] = []
        listed = set((await self.ask(f"show ssl crt-list {folder}")).split()) - {"#", folder}
        for path, certificate in wanted.items():
            there = await self.ask(f"show ssl cert {path}")
            is_taken = accepted.get(path) == certificate.pem
            if not is_taken or certificate.fingerprint not in there:
                if "Filename:" not in there:
                    await self.ask(f"new ssl cert {path}")
                if not await self._takes(path, certificate):
                    refused.append(path)
                    continue
                accepted[path] = certificate.pem
            if path not in listed:
                await self.ask(f"add ssl crt-list {folder} {path}")
        for path in listed.difference(wanted):
            await self.ask(f"del ssl crt-list {folder} {path}")
            await self.ask(f"del ssl cert {path}")
        for path in accepted.keys() - wanted.keys():
            del accepted[path]
        return refused

    async def _takes(self, path: str, certificate: Certificate) -> bool:
        """Give it a certificate. It hangs up on one that is larger than its buffer.

        Raises FeedError where it answers no more.
        """
        with contextlib.suppress(FeedError):
            await self.ask(f"set ssl cert {path} <<\n{certificate.pem.decode()}")
            if "Success" in await self.ask(f"commit ssl cert {path}"):
                return True
        await self.ask(f"abort ssl cert {path}")
        return False

    async def give(self, backend: str, wanted: Set[Address]) -> int:
        """Make a backend serve from these addresses; returns how many commands that took.

        Raises FeedError.
        """
        done = 0
        slots = await self.slots(backend)
        for _ in range(TURNS):
            for command in (todo := commands(backend, slots, wanted)):
                await self.ask(command)
            if not todo:
                break
            done += len(todo)
            slots = await self.slots(backend)
        if left := commands(backend, slots, wanted):
            raise FeedError(f"HAProxy did not do {left[0]!r}: does its socket have `level admin`?")
        if len(wanted) > len(slots):
            raise FeedError(
                f"{len(wanted)} instances serve, and the backend {backend} has {len(slots)} slots:"
                f" give its `server-template` more, twice as many as there are instances"
            )
        return done

    async def slots(self, backend: str) -> list[Slot]:
        return read_slots(await self.ask(f"show servers state {backend}"))
