"""Keep a backend of HAProxy at those instances of a job that serve clients.

    feed.py --job shop --task web --port http --backend web --socket /run/haproxy/admin.sock

It follows the job by the call WatchJob of its framework. An instance that is ready, and is not to
leave, gets one of the slots of the backend, with its address, through HAProxy's runtime socket;
one that is to leave gets no more requests, and has the task's `shutdown.drain_s` to end those that
it has. HAProxy itself has what is in force, and is asked for it each time: both sides may be
started again at any moment. While the framework is away, the slots stay as they are; where all
frameworks answer and none has the job, they are closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

import click

from pymesos_cli.cluster import CliError, Cluster, NotFoundError
from pymesos_cli.finding import find_job
from pymesos_cli.jobs.following import Following
from pymesos_cli.jobs.progress import name_of
from pymesos_cli.jobs.run import watch
from pymesos_cli.options import Settings, with_cluster
from pymesos_cli.services import ask_jobs
from pymesos_cli.terminal import note
from pymesos_core.contexts import Said
from pymesos_proto.v1 import jobs_pb2 as pb

LOOK_AGAIN_S = 2.0  # at HAProxy, which may have been started again
TRY_AGAIN_S = 1.0
ANSWERS_WITHIN_S = 5.0
TURNS = 2  # of opening and closing: the second may open what the first has closed
CLOSED = 0x01 | 0x08  # maintenance or drain, of `srv_admin_state`

Address = tuple[str, int]  # an IP and a port


class FeedError(Exception):
    """HAProxy, or what the job says, is not as it has to be: the message says how."""


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

    async def give(self, backend: str, wanted: Set[Address]) -> int:
        """Make a backend serve from these addresses; returns how many commands that took.

        Raises FeedError.
        """
        done = 0
        slots = await self._slots(backend)
        for _ in range(TURNS):
            for command in (todo := commands(backend, slots, wanted)):
                await self.ask(command)
            if not todo:
                break
            done += len(todo)
            slots = await self._slots(backend)
        if left := commands(backend, slots, wanted):
            raise FeedError(f"HAProxy did not do {left[0]!r}: does its socket have `level admin`?")
        if len(wanted) > len(slots):
            raise FeedError(
                f"{len(wanted)} instances serve, and the backend {backend} has {len(slots)} slots:"
                f" give its `server-template` more, twice as many as there are instances"
            )
        return done

    async def _slots(self, backend: str) -> list[Slot]:
        return read_slots(await self.ask(f"show servers state {backend}"))


@dataclass
class Feeder:
    """What the job says, and what HAProxy is to know of it."""

    job: str
    task: str
    port: str
    backend: str
    haproxy: HaProxy
    serving: dict[str, pb.InstanceView] = field(default_factory=dict)  # by the instance's name
    following: Following = field(default_factory=Following)  # over all that is watched
    known: bool = False  # what the job has, or that there is none
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    said: dict[str, str] = field(default_factory=dict)  # at last, by what it is about

    async def run(self, cluster: Cluster) -> None:
        """Follow and feed for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(cluster))
            group.create_task(self._feed())

    async def _follow(self, cluster: Cluster) -> None:
        while True:
            try:
                answers = await ask_jobs(cluster, ended=False)
                try:
                    address, job = find_job(self.job, answers.items, exact=True)
                except NotFoundError:
                    if not answers.silent:
                        self.none_serves()
                    raise
                async for view in watch(cluster, "", address, job.job_id, self.following):
                    self.take(view)
                self._say("job", f"the job {job.job_id} has ended")
            except CliError as error:
                self._say("job", error.format_message())
            await asyncio.sleep(TRY_AGAIN_S)

    def take(self, view: pb.JobView) -> None:
        """The job is as a view of it says."""
        for each in view.instances:
            if each.task_name == self.task and each.serving and not each.removed:
                self.serving[name_of(each)] = each
            else:
                self.serving.pop(name_of(each), None)
        if not view.more:
            self.known = True
            self.changed.set()

    def none_serves(self) -> None:
        """There is no such job: others may have the ports of its instances by now."""
        self.serving.clear()
        self.known = True
        self.changed.set()

    async def _feed(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), LOOK_AGAIN_S)
            self.changed.clear()
            if not self.known:
                continue
            try:
                wanted = await self._addresses(self.serving.values())
                if await self.haproxy.give(self.backend, wanted):
                    served = ", ".join(f"{ip}:{port}" for ip, port in sorted(wanted))
                    self._say("slots", f"{self.backend}: {served or 'nobody'}")
            except FeedError as error:
                self._say("slots", str(error))
                await asyncio.sleep(TRY_AGAIN_S)
                self.changed.set()

    async def _addresses(self, instances: Iterable[pb.InstanceView]) -> set[Address]:
        """Return where instances are reached, and say which have to be left out."""
        found: set[Address] = set()
        problems: set[str] = set()
        for each in list(instances):
            try:
                # Older masters say only the host.
                found.add((await _ip(each.address or each.hostname), self.port_of(each)))
            except FeedError as error:
                problems.add(f"{name_of(each)} is left out: {error}")
        self._say("instances", "; ".join(sorted(problems)))
        return found

    def port_of(self, instance: pb.InstanceView) -> int:
        """Return the port of the name that was asked for. Raises FeedError."""
        ports = dict(zip(instance.port_names, instance.ports, strict=False))
        if self.port not in ports:
            has = " and ".join(ports) or "no port with a name"
            raise FeedError(
                f"the task {self.task} has {has}, and not {self.port}: write"
                f" `ports: [{{name: {self.port}}}]` in the job file, or name another with --port"
            )
        return ports[self.port]

    def _say(self, about: str, text: str) -> None:
        if text and text != self.said.get(about):
            note(text)
        self.said[about] = text


async def _ip(host: str) -> str:
    """Return the IP of an agent, of which an IP or a name is known. Raises FeedError."""
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FeedError(f"the agent's host {host!r} has no address: {error}") from error
    # IPv4 first: what listens on 0.0.0.0 does not hear IPv6.
    found.sort(key=lambda info: info[0] != socket.AF_INET)
    return str(found[0][4][0])


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--job", required=True, help="Its name or id.")
@click.option("--task", required=True, help="Which of its tasks.")
@click.option("--port", default="http", show_default=True, help="The name of a port of the task.")
@click.option("--backend", required=True, help="Of HAProxy, with a `server-template`.")
@click.option("--socket", "path", default="/run/haproxy/admin.sock", show_default=True)
@click.option("--master", envvar="PYMESOS_MASTER", default="", help="[default: the context's]")
@click.option("--tls", envvar="PYMESOS_TLS", default="", help="A folder with a certificate.")
def main(job: str, task: str, port: str, backend: str, path: str, master: str, tls: str) -> None:
    """Read the options, and feed until a signal ends it."""
    feeder = Feeder(job, task, port, backend, HaProxy(path))
    settings = Settings(Said(master, "--master"), 10.0, Said(tls, "--tls"))
    with_cluster(settings, feeder.run)


if __name__ == "__main__":
    main()
