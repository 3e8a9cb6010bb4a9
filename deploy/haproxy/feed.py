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
from collections.abc import Iterable
from dataclasses import dataclass, field

import click

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError, NotFoundError
from pymesos_cli.finding import find_job
from pymesos_cli.jobs.following import Following
from pymesos_cli.jobs.progress import name_of
from pymesos_cli.jobs.run import watch
from pymesos_cli.options import Settings, with_cluster
from pymesos_cli.services import ask_jobs
from pymesos_cli.terminal import note
from pymesos_core.contexts import Said
from pymesos_lb.routes import Address
from pymesos_lb.slots import FeedError, HaProxy
from pymesos_proto.v1 import jobs_pb2 as pb

LOOK_AGAIN_S = 2.0  # at HAProxy, which may have been started again
TRY_AGAIN_S = 1.0


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
