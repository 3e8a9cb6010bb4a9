"""Peers that ask too much:  python bench/flood.py KIND --master HOST:PORT

A flood goes on until SIGTERM. bench/hostile.py runs each beside a neighbour that behaves.
They speak raw gRPC, since the SDK would not let them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import click
import grpc
import grpc.aio

from pymesos_core.addresses import HostPort, parse_host_port
from pymesos_core.grpc_transport import open_channel
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import operator_pb2 as operator_pb
from pymesos_proto.v1 import scheduler_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_proto.v1.agent_pb2_grpc import AgentStub
from pymesos_proto.v1.operator_pb2_grpc import OperatorStub
from pymesos_proto.v1.scheduler_pb2_grpc import SchedulerStub

MIB = 1024 * 1024
LONG_S = 365 * 86400.0
Stream = grpc.aio.StreamStreamCall[pb.CallBatch, pb.EventBatch]
Flood = Callable[[HostPort], Awaitable[None]]


def subscribe(name: str, failover_timeout_s: float = 0.0) -> pb.Call:
    info = types_pb2.FrameworkInfo(
        name=name, failover_timeout_s=failover_timeout_s, capabilities=[types_pb2.PARTITION_AWARE]
    )
    return pb.Call(subscribe=pb.Call.Subscribe(framework_info=info))


async def open_framework(channel: grpc.aio.Channel, name: str) -> Stream:
    call: Stream = SchedulerStub(channel).Connect()  # type: ignore[no-untyped-call, unused-ignore]
    await call.write(pb.CallBatch(call=[subscribe(name)]))
    return call


async def read_on(call: Stream) -> None:
    async for _ in call:
        pass


async def same_call(master: HostPort, batch: Sequence[pb.Call]) -> None:
    """The same batch again and again, on one stream that is read."""
    async with open_channel(master) as channel:
        call = await open_framework(channel, "flood")
        async with asyncio.TaskGroup() as group:
            group.create_task(read_on(call))
            while True:
                await call.write(pb.CallBatch(call=batch))


async def decline_revive(master: HostPort) -> None:
    """Declines of nothing and revives, 2,000 in each message."""
    decline = pb.Call(decline=pb.Call.Decline(offer_ids=["o"]))
    await same_call(master, [decline, pb.Call(revive=pb.Call.Revive())] * 1000)


async def decline_offers(master: HostPort) -> None:
    """Each offer is declined without a filter, and all are asked for again."""
    async with open_channel(master) as channel:
        call = await open_framework(channel, "flood")
        async for events in call:
            offers = [o.offer_id for e in events.event for o in e.offers.offers]
            decline = pb.Call.Decline(offer_ids=offers, filters=pb.Filters(refuse_seconds=0))
            calls = [pb.Call(decline=decline), pb.Call(revive=pb.Call.Revive())]
            await call.write(pb.CallBatch(call=calls))


async def suppress_revive(master: HostPort) -> None:
    """Wanting and not wanting, 10,000 in each message."""
    calls = [pb.Call(suppress=pb.Call.Suppress()), pb.Call(revive=pb.Call.Revive())]
    await same_call(master, calls * 5000)


async def reconcile(master: HostPort) -> None:
    """Explicit reconciliations of 5,000 unknown tasks each."""
    tasks = [pb.Call.Reconcile.Task(task_id=f"nothing-{n}") for n in range(5000)]
    await same_call(master, [pb.Call(reconcile=pb.Call.Reconcile(tasks=tasks))])


async def kill(master: HostPort) -> None:
    """Kills of unknown tasks, 5,000 in each message."""
    await same_call(master, [pb.Call(kill=pb.Call.Kill(task_id=f"t{n}")) for n in range(5000)])


async def accept(master: HostPort) -> None:
    """ACCEPTs of an unknown offer with 1,000 tasks of odd sizes each."""
    infos = [
        types_pb2.TaskInfo(
            task_id=f"t{n}",
            agent_id="a",
            resources=[types_pb2.Resource(name="cpus", scalar=(1e308, -1.0, 0.5)[n % 3])],
        )
        for n in range(1000)
    ]
    launch = pb.Operation(launch=pb.Operation.Launch(task_infos=infos))
    await same_call(
        master, [pb.Call(accept=pb.Call.Accept(offer_ids=["o"], operations=[launch]))] * 10
    )


async def not_reading(master: HostPort) -> None:
    """Frameworks that ask and do not read the answers."""
    tasks = [pb.Call.Reconcile.Task(task_id=f"nothing-{n}") for n in range(5000)]
    asked = pb.CallBatch(call=[pb.Call(reconcile=pb.Call.Reconcile(tasks=tasks))])

    async def one(name: str) -> None:
        while True:
            async with open_channel(master) as channel:
                with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    call = await open_framework(channel, name)
                    while not call.done():
                        await call.write(asked)

    await several(10, one)


async def many_schedulers(master: HostPort) -> None:
    """980 schedulers that each say small calls without end, 49 on each of 20 channels."""
    decline = pb.Call(decline=pb.Call.Decline(offer_ids=["o"]))
    said = pb.CallBatch(call=[decline, pb.Call(revive=pb.Call.Revive())] * 5)

    async def says(channel: grpc.aio.Channel, name: str) -> None:
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                call = await open_framework(channel, name)
                async with asyncio.TaskGroup() as group:
                    reading = group.create_task(read_on(call))
                    while not call.done():
                        await call.write(said)
                    reading.cancel()
            await asyncio.sleep(0.1)

    async def one(name: str) -> None:
        async with open_channel(master) as channel, asyncio.TaskGroup() as group:
            for n in range(49):
                group.create_task(says(channel, f"{name}-{n}"))

    await several(20, one)


async def pinned_batches(master: HostPort) -> None:
    """A scheduler that does not read asks for one task in each message of nearly 1 MB."""
    tasks = [pb.Call.Reconcile.Task(task_id=f"nothing-{n}") for n in range(1000)]
    first = pb.CallBatch(call=[pb.Call(reconcile=pb.Call.Reconcile(tasks=tasks))])
    noise = pb.Call.Message(agent_id="nobody", executor_id="e", data=b"x" * 450_000)
    asked = pb.Call(reconcile=pb.Call.Reconcile(tasks=tasks[:1]))
    batch = pb.CallBatch(call=[asked, *[pb.Call(message=noise)] * 2])

    async def one(name: str) -> None:
        while True:
            async with open_channel(master) as channel:
                with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    call = await open_framework(channel, name)
                    await call.write(first)
                    while not call.done():
                        await call.write(batch)

    await several(4, one)


async def several(number: int, one: Callable[[str], Awaitable[None]]) -> None:
    async def named(name: str) -> None:
        await one(name)

    async with asyncio.TaskGroup() as group:
        for n in range(number):
            group.create_task(named(f"flood{n}"))


async def subscribe_cancel(master: HostPort) -> None:
    """Streams that subscribe and are cancelled at once."""

    async def one(name: str) -> None:
        async with open_channel(master) as channel:
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    call = await open_framework(channel, name)
                    call.cancel()
                await asyncio.sleep(0)

    await several(20, one)


async def frameworks(master: HostPort) -> None:
    """Frameworks that ask for a year of failover, and vanish."""

    async def one(name: str) -> None:
        async with open_channel(master) as channel:
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    stub = SchedulerStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
                    call = stub.Connect()
                    await call.write(pb.CallBatch(call=[subscribe(name, LONG_S)]))
                    await call.read()
                    call.cancel()
                await asyncio.sleep(0)

    await several(20, one)


async def connections(master: HostPort) -> None:
    """As many TCP connections as there are descriptors, on which nothing is said."""
    held: list[socket.socket] = []
    while True:
        try:
            connection = socket.socket()
            connection.setblocking(False)
            held.append(connection)
            connection.connect_ex((master.host, master.port))
        except OSError:
            await asyncio.sleep(0.5)
            for connection in held[: len(held) // 2]:
                connection.close()
            del held[: len(held) // 2]
        if len(held) % 100 == 0:
            await asyncio.sleep(0)


async def silent_streams(master: HostPort) -> None:
    """20,000 streams on which nothing is ever said, 100 on a channel, again when they end."""

    async def one(_name: str) -> None:
        async with open_channel(master) as channel:
            while True:
                stub = SchedulerStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
                calls = [stub.Connect() for _ in range(100)]
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await calls[0].read()
                for call in calls:
                    call.cancel()
                await asyncio.sleep(0.01)

    await several(200, one)


async def listings(master: HostPort) -> None:
    """Hundreds of listings at a time."""

    async def one(_name: str) -> None:
        async with open_channel(master) as channel:
            stub = OperatorStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await stub.ListTasks(operator_pb.ListTasksRequest())
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await stub.ListRoles(operator_pb.ListRolesRequest())
                await asyncio.sleep(0)

    await several(200, one)


async def watchers(master: HostPort) -> None:
    """Watchers of all events that do not read."""

    async def one(_name: str) -> None:
        async with open_channel(master) as channel:
            while True:
                stub = OperatorStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
                calls = [stub.WatchEvents(operator_pb.WatchEventsRequest()) for _ in range(20)]
                await asyncio.sleep(1)
                for call in calls:
                    call.cancel()

    await several(20, one)


def registration(*resources: types_pb2.Resource, note: str = "") -> agent_pb.AgentBatch:
    info = types_pb2.AgentInfo(
        address=types_pb2.Address(hostname="flood", ip="127.0.0.1", port=1),
        resources=resources,
        attributes=[types_pb2.Attribute(name="note", text=note)] if note else [],
        runtimes=["process"],
    )
    register = agent_pb.Register(agent_info=info)
    return agent_pb.AgentBatch(message=[agent_pb.AgentMessage(register=register)])


async def agents_that_say(master: HostPort, batch: agent_pb.AgentBatch) -> None:
    """Streams of agents that register so, again and again."""

    async def one(_name: str) -> None:
        async with open_channel(master) as channel:
            while True:
                stub = AgentStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
                call = stub.Connect()
                with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    await call.write(batch)
                    await asyncio.wait_for(call.read(), 1)
                call.cancel()
                await asyncio.sleep(0)

    await several(5, one)


async def many_ranges(master: HostPort) -> None:
    """Agents of 20,000 ranges of ports."""
    ranges = [types_pb2.Range(begin=2 * n, end=2 * n) for n in range(20_000)]
    ports = types_pb2.Resource(name="ports", ranges=types_pb2.Ranges(range=ranges))
    await agents_that_say(master, registration(ports))


async def large_agents(master: HostPort) -> None:
    """Agents whose description has 900 KB."""
    await agents_that_say(master, registration(note="x" * 900_000))


async def malformed(master: HostPort) -> None:
    """Messages that are no messages."""

    async def one(_name: str) -> None:
        async with open_channel(master) as channel:
            connect: Any = channel.stream_stream("/pymesos.v1.Scheduler/Connect")
            while True:

                async def noise() -> AsyncIterator[bytes]:
                    yield os.urandom(1000)

                with contextlib.suppress(grpc.aio.AioRpcError):
                    await connect(noise()).read()
                await asyncio.sleep(0)

    await several(20, one)


FLOODS: dict[str, Flood] = {
    flood.__name__: flood
    for flood in (
        decline_revive, decline_offers, suppress_revive, reconcile, kill, accept, not_reading,
        many_schedulers, pinned_batches,
        subscribe_cancel, frameworks, connections, silent_streams, listings, watchers,
        many_ranges, large_agents, malformed,
    )
}  # fmt: skip


async def run(kind: str, master: HostPort) -> None:
    """Flood until a signal ends the process; a stream that the master ends is opened again.

    The signal has no handler: grpc.aio turns a cancelled read into an error of the call, which a
    flood takes for an end by the master, and so it would go on for ever.
    """
    while True:
        try:
            await FLOODS[kind](master)
        except* (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await asyncio.sleep(0.1)


@click.command()
@click.argument("kind", type=click.Choice([*FLOODS]))
@click.option("--master", required=True, help="host:port")
def main(kind: str, master: str) -> None:
    """Flood a master of your own."""
    asyncio.run(run(kind, parse_host_port(master)))


if __name__ == "__main__":
    main()
