"""Time, chance, and processes that crash and pause."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from pymesos_core.clock import Now
from pymesos_core.security.identities import Kind
from pymesos_simulation import threads
from pymesos_simulation.kept_data import KeptData
from pymesos_simulation.loop import SimulatedLoop
from pymesos_simulation.threads import Killed
from pymesos_simulation.timeline import Action, Timeline

POWER_EVERY = 8  # of so many seeds one has machines of agents that crash
FSYNC_S = 0.005
CALLBACKS_PER_EFFECT = 15  # about


@dataclass(frozen=True)
class Weather:
    """How bad a run is, drawn per seed. Delays and gaps in seconds."""

    delay_s: float  # the longest that a message takes
    cut_gap_s: float  # between two cuts of a stream somewhere; infinite for none
    crash_gap_s: float
    pause_gap_s: float
    partition_gap_s: float
    session_gap_s: float
    disk_gap_s: float
    coordinator_gap_s: float  # between two times that ZooKeeper is not reached
    clock_gap_s: float  # between two jumps of somebody's wall clock
    upgrade_gap_s: float  # between two rolling restarts of everything
    quota_gap_s: float  # between two changes of quota or weights
    reserve_gap_s: float  # between two changes of what is reserved
    gone_gap_s: float  # between two agents that an operator marks gone
    ending_gap_s: float  # between two agents that end with their tasks
    other_resources: float  # chance that an agent comes back with other resources
    slow_write_s: float  # the longest that a disk takes to write
    slow_start_s: float  # the longest that a container takes to start
    mid_step_crash: float  # chance that a crash hits between two effects of a step
    container_failure: float
    runtime_gap_s: float  # between two times that an agent's runtime does not answer
    drain_gap_s: float  # between two agents that an operator cordons, drains or activates
    local_sessions: bool  # ZooKeeper's: whoever starts anew may read what has been before

    @staticmethod
    def draw(rng: random.Random) -> Weather:
        """From calm to constant, each fault by itself."""

        def gap(lowest: float, highest: float) -> float:
            return rng.uniform(lowest, highest) if rng.random() < 0.7 else float("inf")

        aside = random.Random()  # what else is drawn stays as it was
        aside.setstate(rng.getstate())
        return Weather(
            delay_s=rng.choice([0.002, 0.02, 0.2, 2.0]),
            cut_gap_s=gap(1, 30),
            crash_gap_s=gap(3, 60),
            pause_gap_s=gap(5, 90),
            partition_gap_s=gap(10, 90),
            session_gap_s=gap(5, 60),
            disk_gap_s=gap(20, 90),
            coordinator_gap_s=gap(15, 90),
            clock_gap_s=gap(5, 60),
            upgrade_gap_s=rng.choice([100.0, float("inf"), float("inf")]),
            quota_gap_s=rng.choice([20.0, float("inf"), float("inf")]),
            reserve_gap_s=rng.choice([5.0, 30.0, float("inf"), float("inf")]),
            gone_gap_s=rng.choice([60.0, 200.0, float("inf"), float("inf")]),
            ending_gap_s=gap(20, 120),
            other_resources=rng.choice([0.0, 0.1, 0.5]),
            slow_write_s=rng.choice([0.0, 0.0, 0.05, 0.5]),
            slow_start_s=rng.choice([0.01, 0.01, 1.0, 60.0]),
            mid_step_crash=rng.choice([0.0, 0.0, 0.001, 0.01]),
            container_failure=rng.choice([0.0, 0.05, 0.3]),
            runtime_gap_s=aside.uniform(20, 120) if aside.random() < 0.7 else float("inf"),
            local_sessions=aside.random() < 0.5,
            drain_gap_s=aside.choice([4.0, 10.0, 30.0]),
        )


class World(Timeline):
    """The queue of what happens next, and the weather."""

    def __init__(self, seed: int, trace: Callable[[str], object] | None = None) -> None:
        super().__init__(seed)
        self.seed = seed
        self.weather = Weather.draw(self.random)
        self.aside = random.Random(f"aside {seed}")  # what `random` draws stays as it was
        self.faulty = True
        self.certified = False  # whether each process has a certificate, and the cluster a policy
        self.seed_policy = ""
        self.drained: Callable[[str], None] = lambda agent_id: None  # it is in the registry
        self.withdrawn: Callable[[tuple[str, str]], None] = lambda key: None  # it serves no more
        self.roles: dict[str, tuple[str, ...]] = {}  # of all frameworks there ever were, by id
        self.accounted: dict[str, int] = {}  # CPU time that was asked for, by its record
        self.secrets = False  # whether operators set some, and jobs use them
        self.crashing_machines = seed % POWER_EVERY == POWER_EVERY - 1  # not only what runs on them
        self.given: set[tuple[str, str, str]] = set()  # agents, each with a task that it was given
        self.data = KeptData()  # of what has volumes
        self.counts: Counter[str] = Counter()
        self.started: set[tuple[str, str]] = set()  # framework and task ids of all containers
        self.killed: dict[tuple[str, str], None] = {}  # of these, those that an operator killed
        self.separated: dict[tuple[str, str], float] = {}  # node names → until when
        self._trace = trace

    def trace(self, text: str) -> None:
        """A line of the replay."""
        if self._trace is not None:
            self._trace(f"{self.now_s:10.4f} {text}")

    def delay_s(self) -> float:
        """How long a message takes."""
        longest = self.weather.delay_s if self.faulty else 0.01
        return self.random.uniform(0.0001, longest)

    def separate(self, one: str, other: str, seconds: float, *, symmetric: bool) -> None:
        """Let nothing pass from one node to another for a while, or neither way."""
        until_s = self.now_s + seconds
        self.separated[one, other] = until_s
        if symmetric:
            self.separated[other, one] = until_s

    def apart(self, one: str, other: str) -> bool:
        """Whether a partition lies between two nodes."""
        return self.now_s < self.separated.get((one, other), 0.0)


class Node:
    """A process: it has a generation for each start, and may be paused."""

    kind: Kind | None = None  # of its certificate, where there are any; None: it has none

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.alive = False
        self.generation = 0
        self.paused_until_s = 0.0
        self._while_stopped: list[Action] = []  # until it goes on
        self.skew_s = world.random.uniform(-5, 5)
        self.loop = SimulatedLoop(world, name)  # of this life

    @property
    def principal(self) -> str:
        """Whom its certificate is of."""
        return f"{self.kind}/{self.name}"

    @property
    def stopped(self) -> bool:
        """Whether it lives and does not run."""
        return self.alive and self.paused_until_s > self.world.now_s

    @property
    def now(self) -> Now:
        """This process's clocks."""
        return Now(self.world.now_s + 1000, 1.7e9 + self.world.now_s + self.skew_s)

    def soon(self, delay_s: float, action: Action) -> None:
        """Do something in this process, if it still lives then; after a pause, when it goes on."""
        generation = self.generation

        def run() -> None:
            if not self.alive or self.generation != generation:
                return
            if self.paused_until_s > self.world.now_s:
                self._while_stopped.append(run)
            else:
                with contextlib.suppress(Killed), self.loop.entered():
                    action()

        self.world.at(delay_s, run)

    def start(self) -> None:
        """Begin with what the disk has."""
        assert not self.alive
        self.alive = True
        self.generation += 1
        self.paused_until_s = 0.0
        self._while_stopped.clear()
        self.loop = SimulatedLoop(self.world, self.name)
        self.loop.process = self
        self._die_by_chance()
        self.world.trace(f"{self.name} starts")
        self.on_start()

    def crash(self) -> None:
        """kill -9."""
        self._die("crashes")

    def end(self) -> None:
        """The process ends by itself."""
        self._die("ends")

    def _die(self, how: str) -> None:
        if not self.alive:
            return
        self.world.counts["crash"] += 1
        self.world.trace(f"{self.name} {how}")
        self.alive = False
        self.generation += 1
        self.loop.kill()
        self.on_crash()

    def pause(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later."""
        self.world.counts["pause"] += 1
        self.world.trace(f"{self.name} is stopped for {seconds:.1f} s")
        self.paused_until_s = max(self.paused_until_s, self.world.now_s + seconds)
        self.loop.pause()
        self.on_pause(seconds)
        self.world.at(seconds, self._go_on)

    def resume(self) -> None:
        """SIGCONT, now."""
        self.paused_until_s = 0.0
        self._go_on()

    def _go_on(self) -> None:
        """Everything that was held happens, in the order in which it would have."""
        if self.paused_until_s > self.world.now_s:
            return
        held, self._while_stopped = self._while_stopped, []
        for action in held:
            action()
        self.loop.resume()

    def _die_by_chance(self) -> None:
        """Somewhere between two callbacks of its loop."""
        chance = self.world.weather.mid_step_crash / CALLBACKS_PER_EFFECT
        if not self.world.faulty or not chance:
            return

        def die() -> None:
            if self.world.faulty:
                self.world.counts["crash in a step"] += 1
                self.crash()

        self.loop.callbacks_left = 1 + int(self.world.random.expovariate(chance))
        self.loop.on_death = die

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Do something in this process, beside what it does."""
        with self.loop.entered():
            task = self.loop.create_task(work)
        task.add_done_callback(self._spawned_ended)
        return task

    def _spawned_ended(self, task: asyncio.Task[Any]) -> None:
        """Nothing here may fail that nobody waits for."""
        error = RuntimeError("cancelled") if task.cancelled() else task.exception()
        if error is not None:
            error.add_note(f"in {self.name}")
            self.world.fail(error)

    def dies_here(self) -> bool:
        """Between two effects of one step: whether the process dies now."""
        world = self.world
        if world.faulty and world.random.random() < world.weather.mid_step_crash:
            world.counts["crash in a step"] += 1
            self.crash()
            return True
        return False

    def on_start(self) -> None:
        """For the role."""

    def on_crash(self) -> None:
        """For the role."""

    def on_pause(self, seconds: float) -> None:
        """For the role."""


def here() -> Node:
    """The process whose code runs now, in its loop or in one of its threads."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return threads.process()  # type: ignore[no-any-return]
    return loop.process  # type: ignore[attr-defined,no-any-return]
