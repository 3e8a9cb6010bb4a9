"""HAProxy as a child process, kept at what serves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pymesos_core import bound
from pymesos_core.complaints import Complaints
from pymesos_core.exits import RoleError
from pymesos_core.text import os_problem
from pymesos_lb.certificates import Certificate, Certificates
from pymesos_lb.config import Doors, Layout, write
from pymesos_lb.routes import Address, Route, Routes
from pymesos_lb.slots import FeedError, HaProxy

LOOK_AGAIN_S = 2.0  # at HAProxy, whose slots others may have changed
FORGET_S = 600.0  # a route that nobody serves is answered by 503 for so long, and then by 404
STARTS_WITHIN_S = 5.0
END_AGAIN_S = 1.0
START_TRIES = 6  # of so long each, for a process that is new
TRY_AGAIN_S = 60.0  # with ports at which HAProxy could not listen
ABOVE = "what it has written above says why; perhaps a port is another's, or needs root"
CONFIG, SOCKET = "haproxy.cfg", "admin.sock"

log = logging.getLogger(__name__)


class BrokenError(RoleError):
    """HAProxy has ended, or does not start: the message says what to do."""


def can_listen(ip: str, port: int) -> bool:
    """Return whether somebody could listen at a port now."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        socket.create_server((ip, port), family=family).close()
    except OSError:
        return False
    return True


def _takes_signals(pid: int) -> bool:
    """Whether HAProxy's master has begun to wait: the last that it catches then is SIGCHLD."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return True  # it has ended, as who waits for it finds out
    caught = re.search(rb"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return caught is None or bool(int(caught[1], 16) >> (signal.SIGCHLD - 1) & 1)


async def _have_start_anew(process: asyncio.subprocess.Process) -> None:
    """Have HAProxy read its configuration; who waits for it finds out if it has ended.

    A master that still starts, which goes on after its worker answers, would lose the signal.
    """
    for _ in range(int(STARTS_WITHIN_S / 0.05)):
        if _takes_signals(process.pid):
            break
        await asyncio.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGUSR2)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Have HAProxy end, and wait for that; it loses what it is told while it starts."""
    while process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), END_AGAIN_S)


@dataclass
class Balancer:
    """One HAProxy, which is told what is new, and started anew for routes that come and go."""

    program: str
    folder: Path
    doors: Doors
    mono_s: Callable[[], float]
    can_listen: Callable[[str, int], bool] = can_listen
    certificates: Certificates | None = None
    wall_s: Callable[[], float] = time.time
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _layout: Layout = field(default_factory=lambda: Layout({}))
    _left_out: dict[int, float] = field(default_factory=dict)  # ports, and until when
    _shown: Mapping[str, Certificate] | None = None  # by HAProxy
    _accepted: dict[str, bytes] = field(default_factory=dict)  # by HAProxy: PEM by path
    _served_at_s: dict[Route, float] = field(default_factory=dict)

    async def run(self, routes: Callable[[], Routes]) -> None:
        """Keep it until this is cancelled. Raises BrokenError."""
        self._complaints = Complaints(log, self.mono_s)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._look_at_certificates()
        try:
            self._write(self._layout, {})
        except OSError as error:
            raise BrokenError(f"HAProxy cannot be configured: {os_problem(error)}") from error
        # Without us it would serve what was there when we ended, and keep its ports from the next.
        process = await asyncio.create_subprocess_exec(
            *bound.argv_of(os.getpid()), self.program, "-W", "-db", "-f", str(self.folder / CONFIG)
        )
        try:
            if not await self._starts(process):
                raise BrokenError(f"HAProxy does not start with {self.folder / CONFIG}: {ABOVE}")
            while process.returncode is None:
                try:
                    served = await self._follow(process, routes())
                    if self.certificates is not None:
                        await self._show_certificates(process, self.certificates, served)
                except OSError as error:  # as of a full disk, which is no reason to serve nobody
                    said = f"{os_problem(error)}: it goes on with the one of before"
                    self._complaints.say("HAProxy", "its configuration", said)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), LOOK_AGAIN_S)
                self.changed.clear()
            raise BrokenError(f"HAProxy has ended with status {process.returncode}")
        finally:
            await _end(process)

    async def _follow(
        self, process: asyncio.subprocess.Process, routes: Routes
    ) -> Mapping[Route, frozenset[Address]]:
        """Have it serve what there is now, which is returned."""
        for owner, route in routes.refused.items():
            said = f"{route.backend} is another's already: {'/'.join(owner)} is not served there"
            self._complaints.say("/".join(owner), "a route that is taken", said)
        served = self._remembered(routes)
        if self._layout.grown(served) != self._layout:
            await self._start_anew(process, served)
        for route, addresses in served.items():
            if route not in self._layout.slots:
                continue
            try:
                await HaProxy(str(self.folder / SOCKET)).give(route.backend, addresses)
            except FeedError as error:
                self._complaints.say(route.backend, "HAProxy", str(error))
                self.changed.set()
                await asyncio.sleep(0.2)
        return served

    async def _look_at_certificates(self) -> None:
        """Read those that are new before HAProxy is started with them."""
        if self.certificates is None:
            return
        problems = await asyncio.to_thread(self.certificates.look, self.wall_s())
        for name, said in problems.items():
            self._complaints.say(name, "certificate", said)

    async def _show_certificates(
        self,
        process: asyncio.subprocess.Process,
        certificates: Certificates,
        served: Mapping[Route, frozenset[Address]],
    ) -> None:
        """Have clients be shown those that there are now, without starting HAProxy anew."""
        await self._look_at_certificates()
        for route in self._layout.slots:
            if route.port in self.doors.tls_ports and not certificates.has(route.host):
                said = f"no certificate in {certificates.source} is of it, and clients are refused"
                self._complaints.say(route.backend, "certificate", said)
        if certificates.held is self._shown:
            return
        try:
            haproxy = HaProxy(str(self.folder / SOCKET))
            held = certificates.held
            refused = await haproxy.show(self.doors.certificates, held, self._accepted)
        except FeedError as error:
            self._complaints.say("HAProxy", "certificates", str(error))
            return
        if refused:
            said = "its socket does not take it: it is started anew, and reads the file"
            self._complaints.say(", ".join(refused), "certificate", said)
            # The one of its last start has the instances of that time.
            self._write(self._layout, served)
            self._accepted.update((path, held[path].pem) for path in refused)
            await _have_start_anew(process)
        self._shown = held

    async def _start_anew(
        self, process: asyncio.subprocess.Process, served: Mapping[Route, frozenset[Address]]
    ) -> None:
        """Have HAProxy listen for other routes: the process before ends when it has answered.

        A port at which it cannot listen takes nothing from the others: only that is left out.
        """
        new = sorted({route.port for route in served} - self._ports())
        # A process that cannot listen has those before it pause for a moment.
        free = [port for port in new if self.can_listen(self.doors.ip, port)]
        for port in set(new).difference(free):
            self._leave_out([port])
        possible = self._ports().union(free)
        wanted = {route: served[route] for route in served if route.port in possible}
        if self._layout.grown(wanted) == self._layout:
            return
        await self._listen(process, served, free)
        log.info("routes: %s", ", ".join(route.backend for route in self._layout.slots) or "none")

    async def _listen(
        self,
        process: asyncio.subprocess.Process,
        served: Mapping[Route, frozenset[Address]],
        new: Sequence[int],
    ) -> None:
        """Have it listen at new ports, too, but for those of them at which it cannot."""
        before, ports = self._layout, self._ports().union(new)
        of_ports = {route: served[route] for route in served if route.port in ports}
        if await self._takes_over(process, of_ports, before.grown(of_ports)):
            return
        if len(new) > 1:  # one of them may be all that it is about
            half = len(new) // 2
            await self._listen(process, served, new[:half])
            await self._listen(process, served, new[half:])
            return
        self._leave_out(new)

    def _leave_out(self, new: Sequence[int]) -> None:
        """Have nothing listen at a new port, for a while; none: it is about the routes."""
        port = "".join(map(str, new))
        where = f"listen at the port of new routes, {port}" if port else "take new routes"
        self._complaints.say(port, "HAProxy", f"it does not {where}: {ABOVE}")
        self._left_out.update(dict.fromkeys(new, self.mono_s() + TRY_AGAIN_S))

    async def _takes_over(
        self,
        process: asyncio.subprocess.Process,
        served: Mapping[Route, frozenset[Address]],
        layout: Layout,
    ) -> bool:
        """Have it be started anew with a layout; where it does not start, with that of before."""
        before = self._layout
        for wanted in (layout, before):
            self._layout = before  # until it is written: the disk may be full
            self._write(wanted, served)
            self._layout = wanted
            self._shown = None
            self._accepted.clear()
            await _have_start_anew(process)
            if await self._takes(process, wanted):
                return wanted is layout
        return False

    def _ports(self) -> frozenset[int]:
        """Where it listens."""
        return self.doors.always | {route.port for route in self._layout.slots}

    def _remembered(self, routes: Routes) -> Mapping[Route, frozenset[Address]]:
        """What serves, and the routes that somebody has served lately."""
        now_s = self.mono_s()
        self._served_at_s.update(dict.fromkeys(routes.served, now_s))
        for route, at_s in list(self._served_at_s.items()):
            if now_s - at_s > FORGET_S:
                del self._served_at_s[route]
        nobody: frozenset[Address] = frozenset()
        return {
            route: routes.served.get(route, nobody)
            for route in sorted(self._served_at_s)
            if now_s >= self._left_out.get(route.port, 0.0)
        }

    def _write(self, layout: Layout, served: Mapping[Route, frozenset[Address]]) -> None:
        """Raises OSError."""
        new = self.folder / f"{CONFIG}.new"
        new.write_text(write(layout, served, self.doors, str(self.folder / SOCKET)))
        new.replace(self.folder / CONFIG)

    async def _starts(self, process: asyncio.subprocess.Process) -> bool:
        """Wait until it answers for the first time, which takes long on a busy machine."""
        for _ in range(START_TRIES):
            if await self._takes(process, self._layout):
                return True
        return False

    async def _takes(self, process: asyncio.subprocess.Process, layout: Layout) -> bool:
        """Wait until a process answers that has this layout; False: none does."""
        slots = [(route.backend, count) for route, count in layout.slots.items()]
        for _ in range(int(STARTS_WITHIN_S / 0.1)):
            if process.returncode is not None:
                break
            with contextlib.suppress(FeedError):
                haproxy = HaProxy(str(self.folder / SOCKET))
                await haproxy.ask("show info")
                found = [len(await haproxy.slots(name)) for name, _ in slots]
                if found == [count for _, count in slots]:
                    return True
            await asyncio.sleep(0.1)
        return False
