"""Somebody at a terminal: who is cut off comes back after a while."""

from __future__ import annotations

from pymesos_core.addresses import HostPort
from pymesos_core.security.identities import Kind
from pymesos_simulation.network import Network, SimulatedChannel
from pymesos_simulation.world import Node, World


class Person(Node):
    """An operator who looks at the cluster, or changes it."""

    kind = Kind.OPERATOR

    def __init__(self, world: World, name: str, network: Network) -> None:
        super().__init__(world, name)
        self._network = network

    def on_crash(self) -> None:
        self._network.died(self)
        self.world.at(self.world.aside.uniform(0.1, 10), self.start)

    def _channel(self, address: HostPort) -> SimulatedChannel:
        return SimulatedChannel(self._network, self, address)
