"""The simulated network: what a process that was killed leaves to those that live."""

from __future__ import annotations

import asyncio

from pymesos_core.addresses import HostPort
from pymesos_core.transport import ServerCall
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_simulation.network import Network
from pymesos_simulation.world import Node, World

ADDRESS = HostPort("10.0.0.1", 5050)


def two_processes() -> tuple[World, Network, Node, Node]:
    """Return a server's and a client's in good weather, on a network."""
    world = World(0)
    world.faulty = False
    server, client = Node(world, "server"), Node(world, "client")
    server.start()
    client.start()
    return world, Network(world), server, client


def test_what_was_sent_before_a_kill_can_be_read() -> None:
    """The writer waits for its window when it is killed: that ends nobody but itself."""
    world, network, server, client = two_processes()
    heard: list[str] = []

    async def serve(call: ServerCall[pb.TaskStatus, pb.TaskStatus]) -> None:
        while True:
            await call.write(pb.TaskStatus(task_id="x" * 40_000))

    network.listen(server, ADDRESS, {"/Connect": serve})

    async def read() -> None:
        stream = network.open(client, ADDRESS, "/Connect")
        await asyncio.sleep(1)
        server.crash()
        first = await stream.client.read()
        second = await stream.client.read()
        heard.extend(["" if each is None else each.task_id for each in (first, second)])

    reading = client.spawn(read())
    assert world.run(reading.done, 60)
    assert [len(each) for each in heard] == [40_000, 40_000]


def test_a_writer_goes_on_once_its_server_knows_of_the_stream() -> None:
    """The writer used to wait for ever where its window was full before the server knew."""
    world, network, server, client = two_processes()
    heard: list[int] = []

    async def serve(call: ServerCall[pb.TaskStatus, pb.TaskStatus]) -> None:
        while (status := await call.read()) is not None:
            heard.append(len(status.task_id))

    network.listen(server, ADDRESS, {"/Connect": serve})

    async def write() -> None:
        stream = network.open(client, ADDRESS, "/Connect")
        for _ in range(3):
            await stream.client.write(pb.TaskStatus(task_id="x" * 80_000))

    writing = client.spawn(write())
    assert world.run(writing.done, 60)
    assert heard[:1] == [80_000]
