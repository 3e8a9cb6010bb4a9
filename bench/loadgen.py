"""Thousands of agents in one process:  python bench/loadgen.py --master ADDRESS --agents N

Each is the production core with a gRPC channel of its own, and says what a real agent says: it
registers, answers pings, reports its usage as often as it is asked to, and sends an update for
each state of a task. What is missing is below the core: checkpoints are durable at once, and a
container is a timer. The number of seconds that a task runs is its command; anything else runs
until it is killed.

Prints a JSON line whenever what it counts has changed, at most twenty times a second.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import signal
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click

from pymesos_agent.core import AgentCore, Config
from pymesos_agent.core import effects as fx
from pymesos_agent.core import events as ev
from pymesos_agent.master_stream import CONNECT, cut_registration
from pymesos_core.addresses import HostPort
from pymesos_core.coordination import Detector
from pymesos_core.coordination.detect import detector_for
from pymesos_core.copies import add_all
from pymesos_core.following import RECONNECT_S, follow
from pymesos_core.garbage import collect_seldom
from pymesos_core.grpc_transport import dialer
from pymesos_core.ids import numbered
from pymesos_core.outbox import Outbox
from pymesos_core.outside import OUTSIDE, uuid_bytes
from pymesos_core.resources import parse, to_proto
from pymesos_core.runner import Fault, Runner
from pymesos_core.security.credentials import Credentials
from pymesos_core.streams import use_stream
from pymesos_core.transport import Channel, ClientStream, Dial
from pymesos_proto.v1 import agent_pb2 as pb
from pymesos_proto.v1 import types_pb2

REPORT_INTERVAL_S = 0.05


@dataclass
class Tally:
    """What all agents together have seen."""

    registered: dict[int, int] = field(default_factory=dict)  # agent → epoch it is registered in
    last_registered_s: float = 0.0  # monotonic
    running: int = 0
    unacknowledged: int = 0  # updates
    started: set[tuple[str, str]] = field(default_factory=set)
    doubled: int = 0  # tasks that were started again
    messages: int = 0  # gRPC messages, either way
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def line(self) -> str:
        """What is printed."""
        epoch = max(self.registered.values(), default=0)
        return json.dumps(
            {
                "epoch": epoch,
                "registered": sum(e == epoch for e in self.registered.values()),
                "last_registered_s": self.last_registered_s,
                "running": self.running,
                "unacknowledged": self.unacknowledged,
                "doubled": self.doubled,
                "messages": self.messages,
            }
        )


class SimulatedAgent:
    """One agent: the real core, a real stream, containers that are timers."""

    def __init__(self, number: int, resources: str, tally: Tally) -> None:
        info = types_pb2.AgentInfo(
            address=types_pb2.Address(hostname=f"sim{number}", ip="127.0.0.1", port=number % 65535),
            resources=to_proto(parse(resources)),
            runtimes=["process"],
        )
        self.number = number
        self._tally = tally
        self._core = AgentCore(
            Config(info, ("process",)),
            {},
            numbered("c"),
            iter(uuid_bytes, b""),
            numbered(f"{os.getpid()}-i{number}-"),
            numbered(f"{os.getpid()}-{time.monotonic_ns():x}-{number}-"),
        )
        self._streams: dict[int, Outbox[pb.AgentMessage]] = {}
        self._connections = itertools.count(1)
        self._ends: dict[str, asyncio.TimerHandle] = {}
        self._running: set[str] = set()
        self._unacknowledged: set[bytes] = set()
        self._runner: Runner[ev.Event, fx.Effect] = Runner(
            self._core, self._do, ev.Tick(), self._on_fault
        )
        self.feed = self._runner.feed
        self._usage = pb.AgentMessage(usage=pb.Usage())

    async def run(self, detector: Detector, dial: Dial) -> None:
        """Until cancelled."""
        self.feed(ev.ContainersRecovered({}))
        usage = asyncio.create_task(self._report_usage())
        try:
            await follow(detector, self._session, OUTSIDE.backoff(*RECONNECT_S), dial)
        finally:
            usage.cancel()
            await asyncio.gather(usage, return_exceptions=True)

    async def _report_usage(self) -> None:
        await asyncio.sleep(self._core.usage_interval_s * (self.number % 100) / 100)
        while True:
            for outbox in self._streams.values():
                outbox.put(self._usage)
            await asyncio.sleep(self._core.usage_interval_s)

    async def _session(self, channel: Channel, address: HostPort) -> None:
        connection_id = next(self._connections)
        outbox: Outbox[pb.AgentMessage] = Outbox()
        self._streams[connection_id] = outbox
        stream = channel.stream(CONNECT)

        def hear(batch: pb.MasterBatch) -> None:
            self._tally.messages += 1
            for message in batch.message:
                if message.HasField("registered"):
                    self._tally.registered[self.number] = batch.epoch
                    self._tally.last_registered_s = time.monotonic()
                    self._tally.changed.set()
                elif message.HasField("acknowledgement"):
                    self._note_acknowledged(message.acknowledgement.uuid)
                self.feed(ev.MasterSaid(connection_id, batch.epoch, message))

        def ended() -> None:
            del self._streams[connection_id]
            self.feed(ev.Disconnected(connection_id))

        begun = partial(self.feed, ev.Connected(connection_id))
        await use_stream(stream, outbox, write(stream, outbox, self._tally), begun, hear, ended)

    def _on_fault(self, fault: Fault) -> None:
        raise fault.error

    def _do(self, effect: fx.Effect) -> None:
        match effect:
            case fx.TellMaster(connection_id, message):
                if message.HasField("update"):
                    self._note_update(message.update.status.uuid)
                if connection_id in self._streams:
                    for part in cut_registration(message):
                        self._streams[connection_id].put(part)
            case fx.Checkpoint(token, _):
                self.feed(ev.Checkpointed(token))
            case fx.StartContainer(container_id, framework_id, _, _, info):
                key = (framework_id, info.task_id)
                self._tally.doubled += key in self._tally.started
                self._tally.started.add(key)
                self._running.add(container_id)
                self._count(1)
                self.feed(ev.ContainerStarted(container_id, 1))
                if info.command.value.replace(".", "", 1).isdigit():
                    lives_s = float(info.command.value)
                    end = asyncio.get_running_loop().call_later(lives_s, self._end, container_id, 0)
                    self._ends[container_id] = end
            case fx.KillContainer(container_id, _, force):
                asyncio.get_running_loop().call_soon(self._end, container_id, -9 if force else -15)
            case fx.Disconnect(connection_id, _):
                if connection_id in self._streams:
                    self._streams[connection_id].close()

    def _end(self, container_id: str, status: int) -> None:
        if container_id in self._running:
            self._running.discard(container_id)
            timer = self._ends.pop(container_id, None)
            if timer is not None:
                timer.cancel()
            self._count(-1)
            self.feed(ev.ContainerExited(container_id, status))

    def _note_update(self, uuid: bytes) -> None:
        if uuid and uuid not in self._unacknowledged:
            self._unacknowledged.add(uuid)
            self._tally.unacknowledged += 1
            self._tally.changed.set()

    def _note_acknowledged(self, uuid: bytes) -> None:
        if uuid in self._unacknowledged:
            self._unacknowledged.remove(uuid)
            self._tally.unacknowledged -= 1
            self._tally.changed.set()

    def _count(self, change: int) -> None:
        self._tally.running += change
        self._tally.changed.set()


async def write(stream: ClientStream, outbox: Outbox[pb.AgentMessage], tally: Tally) -> None:
    """Send what an agent has to say, and count."""
    while (batch := await outbox.batch()) is not None:
        tally.messages += 1
        messages = pb.AgentBatch()
        add_all(messages.message, batch)
        await stream.write(messages)
    stream.cancel()


async def serve(master: str, agents: int, resources: str, tls: Path | None) -> None:
    """Run the agents until SIGTERM, and report."""
    tally, dial = Tally(), dialer(Credentials(tls) if tls else None)
    detector = detector_for(master)
    await detector.start()
    made = (SimulatedAgent(number, resources, tally) for number in range(agents))
    await run_until_told(*(agent.run(detector, dial) for agent in made), report(tally))
    await detector.close()


async def run_until_told(*parts: Coroutine[Any, Any, None]) -> None:
    """Run these side by side until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running = [asyncio.create_task(part) for part in parts]
    await stop.wait()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def report(tally: Tally) -> None:
    """Print what has changed."""
    while True:
        await tally.changed.wait()
        tally.changed.clear()
        print(tally.line(), flush=True)
        await asyncio.sleep(REPORT_INTERVAL_S)


@click.command()
@click.option("--master", required=True, help="host:port or zk://…")
@click.option("--agents", default=1000, show_default=True, help="How many.")
@click.option("--resources", default="cpus:16;mem:65536;disk:100000", show_default=True)
@click.option("--tls", type=click.Path(path_type=Path), help="A certificate for all of them.")
def main(master: str, agents: int, resources: str, tls: Path | None) -> None:
    """Simulate agents over real gRPC."""
    logging.basicConfig(level=logging.ERROR)
    collect_seldom()
    asyncio.run(serve(master, agents, resources, tls))


if __name__ == "__main__":
    main()
