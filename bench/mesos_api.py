"""How fast is Mesos' API?  python bench/mesos_api.py [--json]

A standalone master, simulated agents (bench/loadgen.py) and one framework that speaks Mesos' v1 API
by HTTP: a stream of events, and one connection for its calls, on which the next is sent when the
one before is answered. In JSON and in protobuf. What the client takes of the same cores counts.

- accepts_per_s: ACCEPTs of one task each, on offers in hand.
- tasks_per_s: tasks in ACCEPTs of --tasks, until each has its first update.
- acknowledgements_per_s: one ACKNOWLEDGE for each update.
- reconciliations_per_s: tasks that a RECONCILE names, until all are answered.
- state_per_s, large_state_per_s: `/state`, without tasks and with all of those.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from failover import LoadGenerator, until

from pymesos_core.mesos import media
from pymesos_core.mesos.media import Media
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler
from pymesos_testing.components import Roles, free_port

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
        self._headers = {"Content-Type": to.value, "Accept": to.value}

    async def subscribe(self) -> None:
        """Open the stream, and read it from now on."""
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
        await until("SUBSCRIBED", lambda: self.framework_id, WAIT_S)

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
                self._heard(media.read(data[: int(length)], self._to, Event))
                rest = data[int(length) :]

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

    async def call(self, call: Call) -> None:
        """Send a call, and wait until it is taken."""
        call.framework_id.value = self.framework_id
        await self._calls.ask("POST", PATH, self._headers, media.write(call, self._to))

    async def launch(self, names: Iterator[str], count: int) -> None:
        """Launch tasks on one offer, in one ACCEPT."""
        await until("an offer", lambda: self.offers, WAIT_S)
        offer = self.offers.pop(next(iter(self.offers)))
        call = Call(type=Call.ACCEPT)
        call.accept.offer_ids.add().CopyFrom(offer.id)
        call.accept.filters.refuse_seconds = 0
        operation = call.accept.operations.add(type=mesos.Offer.Operation.LAUNCH)
        for name in itertools.islice(names, count):
            task = operation.launch.task_infos.add(name=name)
            task.task_id.value, task.command.value = name, "run"
            task.agent_id.CopyFrom(offer.agent_id)
            for resource, amount in (("cpus", CPUS), ("mem", MEM)):
                one = task.resources.add(name=resource, type=mesos.Value.SCALAR)
                one.scalar.value = amount
        await self.call(call)

    async def acknowledge_all(self) -> int:
        """Acknowledge what has come; how many these were."""
        count = 0
        waiting, self.updates = self.updates, []
        for status in waiting:
            if status.uuid:
                call = Call(type=Call.ACKNOWLEDGE)
                call.acknowledge.agent_id.CopyFrom(status.agent_id)
                call.acknowledge.task_id.CopyFrom(status.task_id)
                call.acknowledge.uuid = status.uuid
                await self.call(call)
                count += 1
        return count

    async def end(self) -> None:
        """End it, with all its tasks."""
        await self.call(Call(type=Call.TEARDOWN))
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ValueError):
            await self._reading


async def _settled(framework: Framework, tasks: set[str]) -> None:
    """Until each of these runs, with its updates acknowledged."""
    begin = time.monotonic()
    while not tasks <= framework.running:
        await framework.acknowledge_all()
        await asyncio.sleep(0.01)
        if time.monotonic() - begin > WAIT_S:
            raise TimeoutError(f"{len(tasks - framework.running)} tasks do not run")


async def measure(port: int, to: Media, accepts: int, tasks: int, turns: int) -> dict[str, float]:
    """Measure one encoding; the median of the turns."""
    framework = Framework(port, to)
    await framework.subscribe()
    found: dict[str, list[float]] = {}

    def note(name: str, count: int, since: float) -> None:
        found.setdefault(name, []).append(count / (time.monotonic() - since))

    numbers = (f"t{number}" for number in itertools.count())
    launched: list[str] = []

    def names() -> Iterator[str]:
        for name in numbers:
            launched.append(name)
            yield name

    made = names()
    note("state_per_s", *await _states(port))
    for _ in range(turns):
        await until("offers", lambda: framework.offers, WAIT_S)
        begin = time.monotonic()
        for _ in range(accepts):
            await framework.launch(made, 1)
        note("accepts_per_s", accepts, begin)
        await _settled(framework, set(launched[-accepts:]))
        await until("an offer", lambda: framework.offers, WAIT_S)
        before = len(launched)
        begin = time.monotonic()
        await framework.launch(made, tasks)
        await until("updates", _heard_of(framework, set(launched[before:])), WAIT_S)
        note("tasks_per_s", tasks, begin)
        waiting = sum(bool(one.uuid) for one in framework.updates)
        begin = time.monotonic()
        await framework.acknowledge_all()
        note("acknowledgements_per_s", max(1, waiting), begin)
        await _settled_all(framework)
        call = Call(type=Call.RECONCILE)
        for name in launched:
            call.reconcile.tasks.add().task_id.value = name
        begin = time.monotonic()
        await framework.call(call)
        await until("answers", lambda: len(framework.updates) >= len(launched), WAIT_S)
        note("reconciliations_per_s", len(launched), begin)
        framework.updates.clear()
        note("large_state_per_s", *await _states(port))
    await framework.end()
    return {name: round(statistics.median(values), 1) for name, values in found.items()}


async def _states(port: int) -> tuple[int, float]:
    """Ask for `/state` for a while; how often it came, and since when."""
    connection = await Connection.open(port)
    begin, asked = time.monotonic(), 0
    while time.monotonic() - begin < STATE_S:
        await connection.ask("GET", "/state", {}, b"")
        asked += 1
    connection.writer.close()
    return asked, begin


def _heard_of(framework: Framework, tasks: set[str]) -> Callable[[], bool]:
    return lambda: tasks <= {one.task_id.value for one in framework.updates}


async def _settled_all(framework: Framework) -> None:
    """Until nothing comes any more."""
    quiet = 0
    while quiet < 20:
        quiet = 0 if await framework.acknowledge_all() else quiet + 1
        await asyncio.sleep(0.01)


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
            out = {to.name.lower(): await measure(port, to, accepts, tasks, turns) for to in Media}
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
        for what, value in result[name].items():
            print(f"{name:10} {what:26} {value:>10,.1f}")


if __name__ == "__main__":
    main()
