"""Resolvers: what serves is found by name, and what was told to stop is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pymesos_binpack.jobs.serving import is_published
from pymesos_core.discovery.following import Following
from pymesos_core.discovery.held import Held, Key
from pymesos_core.discovery.resolver import Names
from pymesos_core.discovery.zone import DOMAIN, name_of
from pymesos_core.security.identities import Kind
from pymesos_simulation.coordinator import Coordinator, detector_of
from pymesos_simulation.frameworks import FrameworkNode
from pymesos_simulation.network import Network, outside_of
from pymesos_simulation.pairs import FrameworkPair
from pymesos_simulation.world import Node, World

FINE_S = 60.0  # in which those find each other again who were cut off
WITHIN_S = 1.0  # what is withdrawn in fine weather is gone everywhere
Owner = FrameworkNode | FrameworkPair  # of jobs


class WatchedHeld(Held):
    """Counts the streams that it is told on."""

    def __init__(self) -> None:
        super().__init__()
        self.streams = 0

    def begin(self) -> None:
        self.streams += 1
        super().begin()


class ResolverNode(Node):
    """A process that follows what serves, as the name server of a role does."""

    kind = Kind.AGENT

    def __init__(
        self,
        world: World,
        name: str,
        coordinator: Coordinator,
        network: Network,
        owners: Callable[[], Sequence[Owner]],
    ) -> None:
        super().__init__(world, name)
        self._coordinator = coordinator
        self._network = network
        self._owners = owners
        self.fine_from_s = float("inf")
        self._kept = b""  # what it has written
        self._begin()

    def _begin(self) -> None:
        self.names = Names(DOMAIN)
        self.held = self.names.held = WatchedHeld()

    def on_start(self) -> None:
        self.names.restore(self._kept, self.now.wall_s)
        self.spawn(self._run())

    async def _run(self) -> None:
        detector = detector_of(self, self._coordinator)
        await detector.start(patient=True)
        await Following(self.names, outside_of(self, self._network)).run(detector)

    def on_crash(self) -> None:
        self._network.died(self)
        self._coordinator.died(self)
        if self.held.is_known:
            self._kept = self.held.keep(self.now.wall_s)
        self._begin()
        self.world.at(self.world.aside.uniform(0.1, 10), self.start)

    # What is watched.

    def on_withdrawn(self, key: Key) -> None:
        """A framework has told a master that a task serves no more, or has killed it."""
        if self.world.faulty or not self._hears():
            return
        told_on = (self._coordinator.epoch, self.held.streams)

        def check() -> None:
            if self._hears() and told_on == (self._coordinator.epoch, self.held.streams):
                with self.world.fatal():
                    assert key not in self.held.tasks, (
                        f"{self.name} answers {key} {WITHIN_S:g} s after it serves no more"
                    )

        self.world.at(WITHIN_S, check)

    def _hears(self) -> bool:
        """Whether it knows what the one knows that leads, for a while in fine weather."""
        fine = self.world.now_s > self.fine_from_s + FINE_S
        leads = self._coordinator.leader is not None
        return fine and leads and self.held.is_told and self.held.epoch == self._coordinator.epoch

    def differences(self) -> Iterator[str]:
        """What it answers, and what serves."""
        serves = {
            (owner.framework_id, instance.durable.task_id)
            for owner in self._owners()
            if owner.core is not None
            for instance in owner.core.instances()
            if is_published(owner.core.jobs[instance.job_id], instance)
        }
        held = set(self.held.tasks)
        if held != serves:
            yield f"{self.name} lacks {serves - held} and has {held - serves}, which do not serve"
        for key, named in self.held.tasks.items():
            name = name_of(named.task.role, named.task.job, named.task.task)
            if self.names.zone.find(tuple(name.split("."))) is None:
                yield f"{self.name} has no name for {key}"
