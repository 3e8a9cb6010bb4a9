"""How fast is Mesos' API?  python bench/mesos_api.py [--json]

A standalone master, simulated agents (bench/loadgen.py) and one framework that speaks Mesos' v1 API
by HTTP: a stream of events, and one connection for its calls, on which the next is sent when the
one before is answered. In JSON and in protobuf. The client takes little of the same cores: what it
sends is put together before, and what it is told is read afterwards, and only counted meanwhile.

- accepts_per_s: ACCEPTs of one task each, on offers in hand, until the last is answered.
- tasks_per_s: tasks in an ACCEPT of --tasks, until each has its first update.
- acknowledgements_per_s: one ACKNOWLEDGE for each update.
- reconciliations_per_s: tasks that a RECONCILE names, until all are answered.
- state_per_s, large_state_per_s: `/state`, without tasks and with all of those.
- cpu_us: the master's CPU for one of each, with the updates and offers that follow meanwhile, and
  per_cpu_s: how many that is in a second of CPU, which is what the master alone could do. The
  client and the agents use another core. On a machine that others use too only these two can be
  compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from failover import LoadGenerator, until

from pymesos_core.mesos import media
from pymesos_core.mesos.media import Media
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler
from pymesos_testing.components import Roles, cpu_s_of, free_port

Call = mesos_scheduler.Call
Event = mesos_scheduler.Event
CPUS, MEM = 0.01, 1.0  # of a task, which runs until it is killed
PATH = "/api/v1/scheduler"
WAIT_S = 120.0
STATE_S = 1.0


class Connection:
    """A connection on which one request follows the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 26))

    async def head(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        """Send a request; the head of its answer. Raises RuntimeError unless it is done."""
        said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{said}Content-Length: {len(body)}"
        self.writer.write(f"{head}\r\n\r\n".encode() + body)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 20"):
            raise RuntimeError(answer.decode() + (await self.reader.read(1000)).decode())
        return answer

    async def ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        """Send a request; the body of its answer."""
        head = await self.head(method, path, headers, body)
        return await self.reader.readexactly(int(_header(head, b"content-length") or 0))


def _header(head: bytes, name: bytes) -> str:
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip().decode()
    return ""


class Framework:
    """A framework on its stream."""

    def __init__(self, port: int, to: Media) -> None:
        self._port, self._to = port, to
        self.framework_id = ""
        self.offers: dict[str, mesos.Offer] = {}
        self.updates: list[mesos.TaskStatus] = []  # not acknowledged yet
        self.running: set[str] = set()
        self._unread: list[bytes] = []  # events
        self._told = asyncio.Event()
        self._headers = {"Content-Type": to.value, "Accept": to.value}

    async def subscribe(self) -> None:
        """Open the stream, and take in what comes on it from now on."""
        info = mesos.FrameworkInfo(user="bench", name=f"bench-{self._to.name}")
        info.capabilities.add(type=mesos.FrameworkInfo.Capability.PARTITION_AWARE)
        call = Call(type=Call.SUBSCRIBE)
        call.subscribe.framework_info.CopyFrom(info)
        self._stream = await Connection.open(self._port)
        body = media.write(call, self._to)
        head = await self._stream.head("POST", PATH, self._headers, body)
        self._headers["Mesos-Stream-Id"] = _header(head, b"mesos-stream-id")
        self._reading = asyncio.create_task(self._read())
        self._calls = await Connection.open(self._port)
        await self.until("SUBSCRIBED", lambda: self.framework_id)

    async def _read(self) -> None:
        rest, reader = b"", self._stream.reader
        while True:
            size = int(await reader.readline(), 16)
            rest += await reader.readexactly(size)
            await reader.readexactly(2)
            while b"\n" in rest:
                length, _, data = rest.partition(b"\n")
                if len(data) < int(length):
                    break
                self._unread.append(data[: int(length)])
                rest = data[int(length) :]
                self._told.set()

    async def updated(self, count: int) -> None:
        """Until so many updates have come that are not read yet."""

        def is_update(data: bytes) -> bool:
            if self._to is Media.JSON:
                return b'"type":"UPDATE"' in data
            return Event.FromString(data).type == Event.UPDATE

        looked_at = 0
        async with asyncio.timeout(WAIT_S):
            while count > 0:
                self._told.clear()
                count -= sum(map(is_update, itertools.islice(self._unread, looked_at, None)))
                looked_at = len(self._unread)
                if count > 0:
                    await self._told.wait()

    async def until(self, what: str, condition: Callable[[], object]) -> None:
        """Read what has come until `condition`."""

        def fulfilled() -> object:
            self.read_all()
            return condition()

        await until(what, fulfilled, WAIT_S)

    def read_all(self) -> None:
        """Read what has come."""
        unread, self._unread = self._unread, []
        for data in unread:
            self._heard(media.read(data, self._to, Event))

    def _heard(self, event: Event) -> None:
        match event.type:
            case Event.SUBSCRIBED:
                self.framework_id = event.subscribed.framework_id.value
            case Event.OFFERS:
                self.offers |= {one.id.value: one for one in event.offers.offers}
            case Event.RESCIND:
                self.offers.pop(event.rescind.offer_id.value, None)
            case Event.UPDATE:
                status = event.update.status
                self.updates.append(status)
                if status.state == mesos.TASK_RUNNING:
                    self.running.add(status.task_id.value)

    def written(self, call: Call) -> bytes:
        """What is sent for a call."""
        call.framework_id.value = self.framework_id
        return media.write(call, self._to)

    async def send(self, bodies: Iterable[bytes]) -> None:
        """Send calls, each when the one before is taken."""
        for body in bodies:
            await self._calls.ask("POST", PATH, self._headers, body)

    def launch(self, names: Iterable[str]) -> bytes:
        """An ACCEPT that launches tasks on one of the offers."""
        offer = self.offers.pop(next(iter(self.offers)))
        call = Call(type=Call.ACCEPT)
        call.accept.offer_ids.add().CopyFrom(offer.id)
        call.accept.filters.refuse_seconds = 0
        operation = call.accept.operations.add(type=mesos.Offer.Operation.LAUNCH)
        for name in names:
            task = operation.launch.task_infos.add(name=name)
            task.task_id.value, task.command.value = name, "run"
            task.agent_id.CopyFrom(offer.agent_id)
            for resource, amount in (("cpus", CPUS), ("mem", MEM)):
                one = task.resources.add(name=resource, type=mesos.Value.SCALAR)
                one.scalar.value = amount
        return self.written(call)

    def acknowledgements(self) -> list[bytes]:
        """An ACKNOWLEDGE for each update that wants one."""
        self.read_all()
        waiting, self.updates = self.updates, []
        calls = []
        for status in waiting:
            if status.uuid:
                call = Call(type=Call.ACKNOWLEDGE)
                call.acknowledge.agent_id.CopyFrom(status.agent_id)
                call.acknowledge.task_id.CopyFrom(status.task_id)
                call.acknowledge.uuid = status.uuid
                calls.append(self.written(call))
        return calls

    async def settle(self, tasks: set[str]) -> None:
        """Acknowledge what comes until all of these run, and nothing comes any more."""
        begin, quiet = time.monotonic(), 0
        while quiet < 20:
            calls = self.acknowledgements()
            await self.send(calls)
            quiet = 0 if calls or not tasks <= self.running else quiet + 1
            await asyncio.sleep(0.01)
            if time.monotonic() - begin > WAIT_S:
                raise TimeoutError(f"{len(tasks - self.running)} tasks do not run")

    async def end(self) -> None:
        """End it, with all its tasks."""
        await self.send([self.written(Call(type=Call.TEARDOWN))])
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ValueError):
            await self._reading


@dataclass
class Found:
    """The figures of one encoding."""

    pid: int  # of the master
    per_s: dict[str, list[float]] = field(default_factory=dict)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)

    @contextlib.contextmanager
    def timed(self, name: str, count: int) -> Iterator[None]:
        """Note how fast the body does so many of something."""
        begin = time.monotonic()
        yield
        self.per_s.setdefault(f"{name}_per_s", []).append(count / (time.monotonic() - begin))

    @contextlib.contextmanager
    def costing(self, name: str, count: int) -> Iterator[None]:
        """Note what CPU the master uses for each of so many."""
        cpu_s = cpu_s_of(self.pid)
        yield
        self.cpu_us.setdefault(name, []).append((cpu_s_of(self.pid) - cpu_s) * 1e6 / count)

    def medians(self) -> dict[str, Any]:
        """The medians of the turns; of CPU, whose clock ticks each 10 ms, the means."""
        out: dict[str, Any] = {n: round(statistics.median(v), 1) for n, v in self.per_s.items()}
        cpu_us = {n: statistics.mean(v) for n, v in self.cpu_us.items()}
        return out | {
            "cpu_us": {n: round(used) for n, used in cpu_us.items()},
            "per_cpu_s": {n: round(1e6 / used) for n, used in cpu_us.items() if used},
        }


async def measure(
    port: int, pid: int, to: Media, agents: int, accepts: int, tasks: int, turns: int
) -> dict[str, Any]:
    """Measure one encoding."""
    framework, found = Framework(port, to), Found(pid)
    await framework.subscribe()
    numbers = (f"t{number}" for number in itertools.count())
    launched: list[str] = []

    def names(count: int) -> list[str]:
        launched.extend(itertools.islice(numbers, count))
        return launched[-count:]

    await _ask_for_state(port, found, "state")
    for _ in range(turns):
        before = len(launched)
        with found.costing("accepts", accepts):
            while len(launched) < before + accepts:
                await framework.until("offers", lambda: len(framework.offers) >= agents)
                calls = [framework.launch(names(1)) for _ in range(agents)]
                with found.timed("accepts", len(calls)):
                    await framework.send(calls)
        await framework.settle(set(launched))
        await framework.until("an offer", lambda: framework.offers)
        calls = [framework.launch(names(tasks))]
        with found.timed("tasks", tasks), found.costing("tasks", tasks):
            await framework.send(calls)
            await framework.updated(tasks)
        calls = framework.acknowledgements()
        count = len(calls)
        with found.timed("acknowledgements", count), found.costing("acknowledgements", count):
            await framework.send(calls)
        await framework.settle(set(launched))
        reconcile = Call(type=Call.RECONCILE)
        for name in launched:
            reconcile.reconcile.tasks.add().task_id.value = name
        calls = [framework.written(reconcile)]
        count = len(launched)
        with found.timed("reconciliations", count), found.costing("reconciliations", count):
            await framework.send(calls)
            await framework.updated(count)
        framework.acknowledgements()
        await _ask_for_state(port, found, "large_state")
    await framework.end()
    return found.medians()


async def _ask_for_state(port: int, found: Found, name: str) -> None:
    """Ask for `/state` for a while, and note how often it came."""
    connection = await Connection.open(port)
    begin, asked = time.monotonic(), 0
    while time.monotonic() - begin < STATE_S:
        await connection.ask("GET", "/state", {}, b"")
        asked += 1
    found.per_s.setdefault(f"{name}_per_s", []).append(asked / (time.monotonic() - begin))
    connection.writer.close()


async def run(agents: int, accepts: int, tasks: int, turns: int) -> dict[str, Any]:
    """Start the master and the agents, and measure both encodings."""
    with tempfile.TemporaryDirectory() as folder:
        roles, load, port = Roles(Path(folder)), LoadGenerator(), free_port()
        try:
            master = roles.start(
                "master",
                "pymesos_master.main",
                *("--port", "0", "--work-dir", f"{folder}/master", "--no-auth", "--no-http"),
                *("--mesos-port", str(port), "--mesos-anonymous", "bench"),
            )
            task = asyncio.create_task(load.run(master.address, agents, "cpus:64;mem:65536"))
            await until("agents", lambda: load.last["registered"] >= agents, WAIT_S)
            out = {}
            for to in Media:
                sizes = agents, accepts, tasks, turns
                out[to.name.lower()] = await measure(port, master.process.pid, to, *sizes)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            return {"agents": agents, "tasks_in_an_accept": tasks, **out}
        finally:
            roles.close()


@click.command()
@click.option("--agents", type=click.IntRange(1), default=20, show_default=True)
@click.option("--accepts", type=click.IntRange(1), default=300, show_default=True)
@click.option("--tasks", type=click.IntRange(1, 1000), default=500, show_default=True)
@click.option("--turns", type=click.IntRange(1), default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(agents: int, accepts: int, tasks: int, turns: int, as_json: bool) -> None:
    """Measure Mesos' API, in JSON and in protobuf."""
    result = asyncio.run(run(agents, accepts, tasks, turns))
    if as_json:
        print(json.dumps(result))
        return
    for name in (to.name.lower() for to in Media):
        cpu_us = result[name].pop("cpu_us")
        del result[name]["per_cpu_s"]
        for what, value in result[name].items():
            used = cpu_us.get(what.removesuffix("_per_s"), "")
            print(f"{name:10} {what:26} {value:>10,.1f} {used:>7}")


if __name__ == "__main__":
    main()
