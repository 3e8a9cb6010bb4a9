"""Gateways: the production line between peers and a master, in a process that crashes alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from google.protobuf.message_factory import GetMessageClass

from pymesos_core.addresses import HostPort
from pymesos_core.budgets import PeerBudgets
from pymesos_core.caller import Caller
from pymesos_core.guarding import Guard
from pymesos_core.security.identities import Kind
from pymesos_core.transport import CallError, ServerCall, Service
from pymesos_master.gateways.calls import GatewayCalls
from pymesos_master.gateways.line import Line
from pymesos_simulation.network import Handler, Network, ServerEnd
from pymesos_simulation.world import Node

LINE = "the socket of the gateways"
END_S = 0.01  # within which it sees that its master is gone
RESTART_S = (0.1, 5.0)
CRASH_GAP_S = 20.0


class _RawCall:
    """A call that a peer makes, with its messages as they are."""

    def __init__(self, end: ServerCall[Any, Any], response: type[Any]) -> None:
        self._end = end
        self._response = response
        self.peer: str = end.peer
        self.caller: Caller = end.caller
        self.metadata: Mapping[str, str] = end.metadata

    async def read(self) -> bytes | None:
        """See ServerCall."""
        message = await self._end.read()
        return None if message is None else message.SerializeToString()

    async def write(self, message: bytes) -> None:
        """See ServerCall."""
        await self._end.write(self._response.FromString(message))


class GatewayNode(Node):
    """One gateway of a master, on its machine: it is cut off with it, and started again by it."""

    kind = Kind.MASTER

    def __init__(self, master: Node, network: Network, address: HostPort, socket: HostPort) -> None:
        super().__init__(master.world, master.name)
        self._master = master
        self._network = network
        self._address = address
        self._socket = socket
        self._line = Line()
        self.responses: Mapping[str, type[Any]] = {}  # of each method

    def on_start(self) -> None:
        self._line = Line()
        self.spawn(self._serve())
        if self.world.faulty:
            gap_s = self.world.aside.expovariate(1 / CRASH_GAP_S)
            self.world.at(gap_s, partial(self._crash_in_bad_weather, self.generation))

    async def _serve(self) -> None:
        """As its main program does."""
        stream = self._network.open(self, self._socket, LINE, local=True)
        handlers = {path: self._passing_on(path) for path in self.responses}
        self._network.listen(self, self._address, handlers)
        self._line.ready()
        try:
            await self._line.run(stream.client)
        except CallError:
            self.world.counts["line lost"] += 1
        self.end()

    def _passing_on(self, path: str) -> Handler:
        async def handle(call: ServerCall[Any, Any]) -> None:
            self.world.counts["call through a gateway"] += 1
            await self._line.relay(path, _RawCall(call, self.responses[path]))

        return handle

    def _crash_in_bad_weather(self, generation: int) -> None:
        if self.world.faulty and self.generation == generation:
            self.world.counts["gateway crash"] += 1
            self.crash()

    def on_crash(self) -> None:
        self._network.died(self)
        self.world.at(self.world.aside.uniform(*RESTART_S), self.begin)

    def begin(self) -> None:
        """Start it, as its master does, unless that is gone or it runs."""
        if self._master.alive and not self.alive:
            self.start()

    @property
    def open(self) -> int:
        """How many calls it carries."""
        return self._line.open if self.alive else 0

    def master_is_gone(self) -> None:
        """End it soon, as it does when its line to the master ends."""
        self.world.at(END_S, self.crash)


def serve_gateways(
    node: Node,
    network: Network,
    socket: HostPort,
    gateways: list[GatewayNode],
    services: list[Service],
) -> GatewayCalls:
    """Have the gateways of a master carry the calls of these services."""
    calls = GatewayCalls(services, Guard(PeerBudgets()), {})

    async def serve(end: ServerEnd) -> None:
        await calls.serve(end)  # type: ignore[arg-type]

    network.listen(node, socket, {LINE: serve})  # type: ignore[dict-item]
    for gateway in gateways:
        gateway.responses = dict(_responses(services))
        gateway.begin()
    return calls


def _responses(services: list[Service]) -> Iterator[tuple[str, type[Any]]]:
    for service in services:
        for method in service.contract.methods:
            yield (
                f"/{service.contract.full_name}/{method.name}",
                GetMessageClass(method.output_type),
            )
