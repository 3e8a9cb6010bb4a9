"""Agents that hold many tasks in little memory:  python bench/lean_agents.py --master ADDRESS

As `loadgen.py`, each has a gRPC channel of its own, registers, answers pings, reports its usage and
tells of each task that it runs, and it tells all of them to a new leader. But there is no agent's
core: of a task only its record is kept, as the bytes that would register it again, so that a
million take less than a gigabyte. Tasks run until the end.

Prints a JSON line whenever what it counts has changed, at most twenty times a second.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time

import click
from loadgen import Tally, report, run_until_told, write

from pymesos_agent.master_stream import CONNECT, cut_registration
from pymesos_core.addresses import HostPort
from pymesos_core.coordination import Detector
from pymesos_core.coordination.detect import detector_for
from pymesos_core.following import RECONNECT_S, follow
from pymesos_core.garbage import collect_seldom
from pymesos_core.grpc_transport import dialer
from pymesos_core.outbox import Outbox
from pymesos_core.outside import OUTSIDE
from pymesos_core.resources import parse, to_proto
from pymesos_core.streams import use_stream
from pymesos_core.transport import Channel, Dial
from pymesos_proto.v1 import agent_pb2 as pb
from pymesos_proto.v1 import types_pb2

UNUSED = pb.AgentMessage(usage=pb.Usage())
PONG = pb.AgentMessage(pong=pb.AgentMessage.Pong())


class LeanAgent:
    """One agent: records of tasks, and a stream."""

    def __init__(self, number: int, resources: str, tally: Tally) -> None:
        self._number = number
        self._tally = tally
        self._info = types_pb2.AgentInfo(
            agent_id=f"{os.getpid()}-{time.monotonic_ns():x}-{number}",
            address=types_pb2.Address(hostname=f"sim{number}", ip="127.0.0.1", port=number + 1),
            resources=to_proto(parse(resources)),
            runtimes=["process"],
        )
        self._records: dict[tuple[str, str], bytes] = {}
        # Updates that are not acknowledged, of tasks whose records do not have them.
        self._unacknowledged: dict[tuple[str, str], types_pb2.TaskStatus] = {}
        self._registrations = 0
        self._usage_interval_s = 5.0
        self._epoch = 0

    async def run(self, detector: Detector, dial: Dial) -> None:
        """Until cancelled."""
        await follow(detector, self._session, OUTSIDE.backoff(*RECONNECT_S), dial)

    async def _session(self, channel: Channel, address: HostPort) -> None:
        outbox: Outbox[pb.AgentMessage] = Outbox()
        stream = channel.stream(CONNECT)
        usage = asyncio.create_task(self._report_usage(outbox))

        def begun() -> None:
            for part in cut_registration(pb.AgentMessage(register=self._registration())):
                outbox.put(part)

        def hear(batch: pb.MasterBatch) -> None:
            self._tally.messages += 1
            if batch.epoch < self._epoch:
                outbox.close()  # it is deposed
                return
            self._epoch = batch.epoch
            for message in batch.message:
                self._obey(outbox, message)

        def ended() -> None:
            usage.cancel()

        await use_stream(stream, outbox, write(stream, outbox, self._tally), begun, hear, ended)

    async def _report_usage(self, outbox: Outbox[pb.AgentMessage]) -> None:
        await asyncio.sleep(self._usage_interval_s * (self._number % 100 + 1) / 100)
        while True:
            outbox.put(UNUSED)
            await asyncio.sleep(self._usage_interval_s)

    def _registration(self) -> pb.Register:
        self._registrations += 1
        register = pb.Register(
            agent_info=self._info,
            incarnation_id=f"{self._info.agent_id}-{self._registrations}",
            epoch_seen=self._epoch,
        )
        for key, packed in self._records.items():
            record = register.tasks.add()
            record.MergeFromString(packed)
            if (due := self._unacknowledged.get(key)) is not None:
                record.unacknowledged.append(due)
                record.ClearField("status")
        return register

    def _obey(self, outbox: Outbox[pb.AgentMessage], message: pb.MasterMessage) -> None:
        match message.WhichOneof("message"):
            case "registered":
                self._tally.registered[self._number] = self._epoch
                self._tally.last_registered_s = time.monotonic()
                self._tally.changed.set()
            case "ping":
                self._usage_interval_s = max(1.0, message.ping.usage_interval_s)
                outbox.put(PONG)
            case "launch":
                self._launch(outbox, message.launch)
            case "acknowledgement":
                said = message.acknowledgement
                key = (said.framework_id, said.task_id)
                due = self._unacknowledged.get(key)
                if due is not None and due.uuid == said.uuid:
                    del self._unacknowledged[key]
                    self._tally.unacknowledged -= 1
                    self._tally.changed.set()
            case "kill" | "shutdown_framework" | "launch_group" as kind:
                raise RuntimeError(f"nothing of a kind {kind} is expected here")

    def _launch(self, outbox: Outbox[pb.AgentMessage], launch: pb.LaunchTask) -> None:
        info, now_s = launch.task_info, time.time()
        key = (launch.framework_id, info.task_id)
        status = types_pb2.TaskStatus(
            task_id=info.task_id,
            state=types_pb2.TASK_RUNNING,
            source=types_pb2.SOURCE_AGENT,
            agent_id=self._info.agent_id,
            uuid=os.urandom(16),
            timestamp_s=now_s,
            hostname=self._info.address.hostname,
        )
        record = pb.TaskRecord(
            framework_id=launch.framework_id,
            task_info=info,
            role=launch.role,
            state=types_pb2.TASK_RUNNING,
            launched_at_s=now_s,
            started_at_s=now_s,
            status=status,
        )
        self._tally.doubled += key in self._records
        self._records[key] = record.SerializeToString()
        self._unacknowledged[key] = status
        self._tally.unacknowledged += 1
        self._tally.running += 1
        self._tally.changed.set()
        update = pb.StatusUpdate(
            framework_id=launch.framework_id, status=status, latest_state=types_pb2.TASK_RUNNING
        )
        outbox.put(pb.AgentMessage(update=update))


async def serve(master: str, agents: int, resources: str) -> None:
    """Run the agents until SIGTERM, and report."""
    tally, dial = Tally(), dialer(None)
    detector = detector_for(master)
    await detector.start()
    made = (LeanAgent(number, resources, tally) for number in range(agents))
    await run_until_told(*(agent.run(detector, dial) for agent in made), report(tally))
    await detector.close()


@click.command()
@click.option("--master", required=True, help="host:port or zk://…")
@click.option("--agents", default=5000, show_default=True, help="How many.")
@click.option("--resources", default="cpus:201;mem:65536;disk:100000", show_default=True)
def main(master: str, agents: int, resources: str) -> None:
    """Simulate agents that hold many tasks."""
    logging.basicConfig(level=logging.ERROR)
    collect_seldom()
    asyncio.run(serve(master, agents, resources))


if __name__ == "__main__":
    main()
