"""The machine of an agent, and the runtime through which the production shell sees it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pymesos_agent.containers.sessions import Entry, EntryError
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core import events as ev
from pymesos_agent.runtimes.interface import OnEvent, RuntimeEvent, RuntimeUnavailableError
from pymesos_core.reservations import origin, retagged, volumes_of
from pymesos_core.resources import EMPTY, Resources, for_good, total
from pymesos_simulation.addresses import Files
from pymesos_simulation.executors import EXECUTOR_ID, SimulatedExecutor, environment_of
from pymesos_simulation.secrets import PLANTED
from pymesos_simulation.volumes import LOSABLE, volume_ids_of

if TYPE_CHECKING:
    from pymesos_simulation.agents import AgentNode

NAME = "process"
SILENT = "it does not answer"


@dataclass
class Container:
    """What runs on a machine, whoever started it."""

    container_id: str
    key: tuple[str, str]
    resources: Resources
    exit: ev.ContainerExited | None = None


@dataclass
class Machine:
    """The containers of one machine. They outlive the agent."""

    node: AgentNode
    total: Resources
    containers: dict[str, Container] = field(default_factory=dict)
    executors: dict[str, SimulatedExecutor] = field(default_factory=dict)  # by container id
    secrets: dict[str, Mapping[str, bytes]] = field(default_factory=dict)  # by container id
    config: dict[str, Files] = field(default_factory=dict)  # by container id
    files: dict[str, int] = field(default_factory=dict)  # whose the sandboxes are, by container id
    volumes: dict[str, int] = field(default_factory=dict)  # whose data are in each: see KeptData

    def start(self, spec: ContainerSpec) -> None:
        """Run it for a while."""
        world = self.node.world
        if spec.container_id in self.containers:
            return
        key = (spec.framework_id, spec.info.task_id)
        if EXECUTOR_ID in environment_of(spec):
            self._start_executor(spec, key)
            return
        assert key not in world.started, f"{key} was started twice"
        world.started.add(key)
        self._add(spec, key, spec.resources)
        self._check_secrets(spec)
        self._take_volumes(spec)
        self.read_config(spec.container_id)
        self.check_room()
        world.counts["container"] += 1
        self._live(spec.container_id, spec.info.command.value)

    def read_config(self, container_id: str) -> None:
        """A program reads its config files, if it has any."""
        if container_id in self.config:
            self.config[container_id].are_read()

    def _check_secrets(self, spec: ContainerSpec) -> None:
        """Check that a container has the secrets that it asks for."""
        for use in spec.info.container.secrets:
            if use.path:
                assert PLANTED in self.secrets[spec.container_id][use.path]
            if use.env:
                assert PLANTED.decode() in spec.secrets.variables[use.env]
            self.node.world.counts["secret used"] += 1

    def _take_volumes(self, spec: ContainerSpec) -> None:
        """A task goes on with what its volumes have, or begins with empty ones."""
        assert self.node.core is not None
        agent_id = self.node.core.state.agent_id
        for volume_id in volume_ids_of(spec):
            self.check_unused(volume_id, spec.container_id)
            self.volumes[volume_id] = self.node.world.data.begin(
                spec.info.task_id,
                volume_id,
                self.volumes.get(volume_id),
                agent_id,
                may_lose=volume_id.startswith(LOSABLE),
            )

    def check_unused(self, volume_id: str, but: str = "") -> None:
        """No volume is in two tasks, nor deleted while one has it."""
        for container in self.containers.values():
            if container.exit is None and container.container_id != but:
                used = [volume.id for _, volume in volumes_of(container.resources)]
                assert volume_id not in used, f"{container.key} has the volume {volume_id}"

    def remove_volume(self, volume_id: str) -> None:
        """Delete the data of a volume."""
        self.check_unused(volume_id)
        self.volumes.pop(volume_id, None)

    def _start_executor(self, spec: ContainerSpec, key: tuple[str, str]) -> None:
        container_id, world = spec.container_id, self.node.world
        world.counts["executor"] += 1
        self._add(spec, key, EMPTY)
        executor = self.executors[container_id] = SimulatedExecutor(self.node, spec)
        executor.start()
        if world.faulty and world.random.random() < world.weather.container_failure:
            lives_s = world.random.expovariate(1 / 10)
            world.at(lives_s, lambda: self.end(container_id, -9))
        self.node.soon(0.01, lambda: self.node.tell_started(container_id))

    def _add(self, spec: ContainerSpec, key: tuple[str, str], resources: Resources) -> None:
        """A container is kept, whose user may have neither a process nor a file here already."""
        uid, container_id = spec.own_uid, spec.container_id
        assert spec.user or uid, f"{key} runs as root"
        assert uid not in self.files.values(), f"{key} has the user of another task"
        self.files[container_id] = uid
        self.containers[container_id] = Container(container_id, key, resources)

    def live(self) -> dict[tuple[str, str], Resources]:
        """All tasks that run, in containers of their own and in executors."""
        out = {
            c.key: c.resources
            for c in self.containers.values()
            if c.exit is None and c.container_id not in self.executors
        }
        for executor in self.executors.values():
            out |= executor.live()
        return out

    def check_room(self) -> None:
        """No more runs than there is, but for what may be taken back: see `revocable`."""
        own = total(executor.own for executor in self.executors.values() if executor.alive)
        running = own + total(retagged(one, origin) for one in self.live().values())
        held = for_good(running)
        assert self.total.contains(held), f"{self.node.name} runs {held} of {self.total}"

    def _live(self, container_id: str, command: str) -> None:
        """`service` runs on, `batch` for some seconds, `N` for N seconds; unless it fails."""
        world, random = self.node.world, self.node.world.random
        fails = world.faulty and random.random() < world.weather.container_failure
        if command == "service" and not fails:
            lives_s = float("inf")
        elif command in ("service", "batch"):
            lives_s = random.expovariate(1 / 5)
        else:
            lives_s = float(command)
        status = random.choice([1, -9]) if fails else 0
        limit = "memory" if status == -9 else None
        if lives_s < float("inf"):
            world.at(lives_s, lambda: self.end(container_id, status, limit))
        slow_s = random.uniform(0.01, world.weather.slow_start_s) if world.faulty else 0.01
        self.node.soon(slow_s, lambda: self.node.tell_started(container_id))

    def end(self, container_id: str, status: int, limit: str | None = None) -> None:
        """A container has ended, now or before."""
        container = self.containers.get(container_id)
        if container is None or container.exit is not None:
            return
        container.exit = exited = ev.ContainerExited(container_id, status, limit)
        if container_id in self.executors:
            self.executors[container_id].end()
        if container_id in self.node.known:
            self.node.tell_soon(0.001, exited)

    def kill(self, container_id: str, force: bool) -> None:
        """SIGTERM may be ignored; SIGKILL not."""
        heeds = force or self.node.world.random.random() < 0.8
        if heeds:
            status = -9 if force else -15
            self.node.world.at(0.02, lambda: self.end(container_id, status))

    def found(self) -> dict[str, ev.ContainerState]:
        """What there is."""
        return {c.container_id: ev.ContainerState(1, c.exit) for c in self.containers.values()}

    def destroy(self, container_id: str) -> None:
        """Forget one that has ended."""
        container = self.containers.get(container_id)
        if container is not None and container.exit is not None:
            del self.containers[container_id]
            self.executors.pop(container_id, None)

    def lose_power(self) -> None:
        """Nothing runs any more, and what is in memory is gone; files stay."""
        for executor in self.executors.values():
            executor.end()
        self.executors.clear()
        self.containers.clear()
        self.secrets.clear()

    def discard(self) -> None:
        """All that runs here is ended and forgotten."""
        self.lose_power()
        self.files.clear()
        self.volumes.clear()


class SimulatedRuntime:
    """See pymesos_agent.runtimes.interface.Runtime; of one life of an agent."""

    name = NAME
    can_resize = True

    def __init__(self, node: AgentNode) -> None:
        self._node = node
        self._said_away = False
        self._on_event: OnEvent | None = None

    @property
    def isolation(self) -> Mapping[str, str]:
        """See Runtime."""
        return dict.fromkeys(("mem", "secrets", "secret_env", "config"), "simulated")

    def _answer(self) -> None:
        if self._node.away:
            raise RuntimeUnavailableError(SILENT)

    async def start(self, on_event: OnEvent) -> None:
        """See Runtime."""
        self._answer()
        self._on_event = on_event

    async def recover(
        self, pids: Mapping[str, int], foreign: Collection[str] = ()
    ) -> Mapping[str, ev.ContainerState]:
        """See Runtime."""
        self._answer()
        found = self._node.machine.found()
        self._node.known = set(found)  # from now on it tells of those
        return found

    def launch(self, spec: ContainerSpec) -> None:
        """See Runtime."""
        self._node.may_die_here()
        if self._node.away:
            self._node.soon(0.01, lambda: self.tell(ev.ContainerFailed(spec.container_id, SILENT)))
        else:
            with self._node.world.fatal():
                self._node.machine.start(spec)
        self._node.may_die_here()

    def resize(self, container_id: str, resources: Resources) -> None:
        """See Runtime."""

    def kill(self, container_id: str, *, force: bool, first: str = "SIGTERM") -> None:
        """See Runtime."""
        with self._node.world.fatal():
            self._node.check_kill_is_stored(container_id)
        self._node.may_die_here()
        if not self._node.away:
            self._node.machine.kill(container_id, force)

    def signal(self, container_id: str, name: str) -> None:
        """See Runtime. A program that is told so reads its config files again."""
        self._node.may_die_here()
        if not self._said_away:
            self._node.machine.read_config(container_id)

    def entry(self, spec: ContainerSpec, argv: Sequence[str], term: str) -> Entry:
        """See Runtime."""
        raise EntryError("nobody enters a simulated container")

    def private_paths(self, container_id: str) -> Sequence[Path]:
        """See Runtime."""
        return ()

    def destroy(self, container_id: str) -> None:
        """See Runtime."""
        self._node.may_die_here()
        if not self._node.away:
            self._node.machine.destroy(container_id)

    async def close(self) -> None:
        """See Runtime."""

    def tell(self, event: RuntimeEvent) -> None:
        """The agent's shell hears it, if it has begun to listen."""
        if self._on_event is not None:
            self._on_event(event)

    def went_away(self) -> None:
        """The runtime no longer answers, or did not while the agent was stopped: a stream broke."""
        if self._on_event is not None and not self._said_away:
            self._said_away = True
            self.tell(ev.RuntimeAway(NAME, SILENT))

    def came_back(self) -> None:
        """The runtime answers again, and says what it holds if it had said that it was away."""
        if self._said_away and not self._node.away:
            self._said_away = False
            found = self._node.machine.found()
            self._node.known = set(found)
            self.tell(ev.RuntimeBack(NAME, found, self.isolation))
