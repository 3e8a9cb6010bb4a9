"""What the modules of the core share: the state, the time, the way to say what is to be done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pymesos_agent.core.containers import Container
from pymesos_agent.core.effects import Checkpoint, Complain, Effect, TellExecutor, TellMaster
from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.core.lifecycles import CONTAINER_LIFE, ContainerEvent, TaskEffect
from pymesos_agent.core.slack import Slack
from pymesos_agent.core.tasks.checks import HEALTH, READINESS
from pymesos_agent.core.tasks.outcomes import LIFETIME
from pymesos_agent.core.tasks.task import Task
from pymesos_agent.core.uids import UidRange, Uids
from pymesos_core.clock import Now
from pymesos_core.limits import MAX_SAID
from pymesos_core.resources import EMPTY, Resources
from pymesos_core.store import Change
from pymesos_core.text import cut
from pymesos_core.timers import Timers
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import checkpoint_pb2 as checkpoint_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb

if TYPE_CHECKING:
    from pymesos_agent.core.executors.groups import GroupExecutor

Owner = Task | Executor  # of a container
TimerKey = tuple[str, str]
# Deadlines of a task or an executor, by their container; see also checks and LIFETIME.
RESEND, KILL, CHECKPOINT, SUBSCRIBE, IDLE = "resend", "kill", "checkpoint", "subscribe", "idle"
STORED_WITHIN_S = 5.0  # a kill is, or SIGKILL follows the grace period all the same
OF_CONTAINERS = (RESEND, KILL, CHECKPOINT, HEALTH, READINESS, LIFETIME, SUBSCRIBE, IDLE)
STRAYS: TimerKey = ("strays", "")


@dataclass(frozen=True)
class Config:
    """The settings of an agent; times in seconds, defaults Mesos' unless said."""

    info: pb.AgentInfo  # without its id
    runtimes: tuple[str, ...]
    task_uids: UidRange | None = None  # for tasks that name no user; None: they have the agent's
    boot_id: str = ""  # of the machine, whose monotonic clock orders what it says
    executors_at: str = ""  # host:port for executors; empty: where the agent serves all else
    mesos_at: str = ""  # host:port for those that speak Mesos' API; empty: nowhere
    resend_min_s: float = 10.0
    resend_max_s: float = 600.0
    kill_grace_s: float = 3.0
    revocable_margin: float | None = None  # a part of the agent; None: nothing is revocable
    checkpoint_retry_s: float = 1.0
    max_sandboxes: int = 1000
    max_ended_told: int = 100  # tasks, to a master that is new to the agent
    sandbox_max_age_s: float = 7 * 86400.0
    disk_headroom: float = 0.1  # a part of the disk that ended sandboxes leave free
    sandbox_min_age_s: float = 60.0


@dataclass
class Connection:
    """The stream to a master, from its opening on."""

    connection_id: int
    said_who: bool = False
    registered: bool = False
    silence_s: float = 0.0  # after this long without a message the master is taken for lost
    silent_at_s: float | None = None  # when that is, by the monotonic clock; each message moves it
    held_back: list[agent_pb.MasterMessage] | None = None  # until its epoch is durable
    executors: list[Executor | GroupExecutor] = field(
        default_factory=list
    )  # said to hold resources, till it answers


@dataclass(slots=True)
class AgentState:
    """What an agent knows."""

    agent_id: str = ""
    epoch_seen: int = 0
    tasks: dict[str, Task] = field(default_factory=dict)  # by container id
    by_key: dict[tuple[str, str], Task] = field(default_factory=dict)
    groups: dict[str, list[Task]] = field(default_factory=dict)  # by group id
    executors: dict[tuple[str, str], Executor] = field(default_factory=dict)  # the latest of a key
    owners: dict[str, Owner] = field(default_factory=dict)  # of containers, by container id
    reserved: Resources = EMPTY  # dynamically, with the volumes; by the latest checkpoint written
    sandboxes: dict[str, checkpoint_pb.SandboxRecord] = field(default_factory=dict)
    group_executors: dict[tuple[str, str], list[Task]] = field(default_factory=dict)  # that hold
    in_executors: dict[str, checkpoint_pb.SandboxRecord] = field(default_factory=dict)
    ended: int = 0  # tasks and executors, so far
    set_aside: dict[str, str] = field(default_factory=dict)  # container with a damaged record → why
    frameworks: dict[str, pb.FrameworkInfo] = field(default_factory=dict)

    def framework_info(self, framework_id: str) -> pb.FrameworkInfo:
        """As far as a master has told."""
        return self.frameworks.get(framework_id) or pb.FrameworkInfo(framework_id=framework_id)

    def with_files(self) -> set[str]:
        """The containers whose sandboxes are still wanted."""
        return {*self.tasks, *self.owners, *self.sandboxes, *self.set_aside} | {
            record.executor_container_id for record in self.in_executors.values()
        }

    def recorded(self) -> list[Owner]:
        """All that has a record in the checkpoint: tasks, and executors."""
        executors = (o for o in self.owners.values() if isinstance(o, Executor))
        return [*executors, *self.tasks.values()]


@dataclass
class Context:
    """One per core. `out` collects the effects of the step in progress."""

    config: Config
    container_ids: Iterator[str]
    uuids: Iterator[bytes]
    incarnation_ids: Iterator[str]
    agent_ids: Iterator[str]
    state: AgentState = field(default_factory=AgentState)
    now: Now = field(default_factory=lambda: Now(0.0, 0.0))
    timers: Timers[TimerKey] = field(default_factory=Timers)
    out: list[Effect] = field(default_factory=list)
    connection: Connection | None = None
    usage_interval_s: float = 5.0  # by the latest ping
    slack: Slack = field(default_factory=Slack)
    agent_id_durable: bool = False  # nobody hears an id that may be forgotten
    epoch_durable: int = 0  # obeyed masters have this one or a later
    reserved_durable: Resources = EMPTY
    recovered: bool = False  # the runtimes have said what is there
    away: dict[str, str] = field(default_factory=dict)  # runtimes that do not answer, and why
    broken: dict[str, str] = field(default_factory=dict)  # those that answer and start nothing
    unrecovered: set[str] = field(default_factory=set)  # containers of those since our start
    strays: set[str] = field(default_factory=set)  # containers of no record, until they have ended
    broken_groups: dict[str, str] = field(default_factory=dict)  # group → the record set aside
    came: list[str] = field(default_factory=list)  # runtimes that were not there at our start
    isolation: dict[str, str] = field(default_factory=dict)  # of those
    ending: bool = False  # with all its tasks
    exit_message: str | None = None
    streams: dict[int, Executor] = field(default_factory=dict)  # executors by their stream
    task_effects: Mapping[TaskEffect, Callable[[Task], None]] = field(default_factory=dict)
    on_end_durable: Callable[[Owner], None] = lambda _: None
    uids: Uids = field(init=False)
    hostname: str = field(init=False)
    _token: int = 0
    _after: dict[int, tuple[Callable[[], None], Callable[[str], None]]] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        self.uids = Uids(self.config.task_uids)
        self.hostname = self.config.info.address.hostname

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The runtimes that can launch containers now."""
        if not self.away and not self.came and not self.broken:
            return self.config.runtimes
        out = self.unavailable
        return tuple(n for n in (*self.config.runtimes, *self.came) if n not in out)

    @property
    def unavailable(self) -> Mapping[str, str]:
        """The others, and why none can be launched on them."""
        return self.broken | self.away

    def emit(self, effect: Effect) -> None:
        """Have something done."""
        self.out.append(effect)

    def complain(self, peer: str, kind: str, message: str) -> None:
        """Leave out what a peer says, and say so."""
        self.emit(Complain(peer, kind, cut(message, MAX_SAID)))

    def checkpoint(
        self,
        changes: tuple[Change, ...],
        done: Callable[[], None] = lambda: None,
        failed: Callable[[str], None] = lambda _: None,
        *,
        synced: bool = True,
    ) -> None:
        """Write durably; `done` runs in the step that learns that it is, or `failed` why not.

        Without `synced` a crash of the machine may undo it: for what ends in that, too.
        """
        self._token += 1
        self._after[self._token] = (done, failed)
        self.out.append(Checkpoint(self._token, changes, synced))

    def once_stored(self, then: Callable[[], None]) -> None:
        """Run `then` in the step that learns that all written so far is stored, or cannot be."""
        self.checkpoint((), then, lambda _: then(), synced=False)

    def checkpointed(self, token: int) -> None:
        """Run what waited for this write."""
        self._after.pop(token)[0]()

    def checkpoint_failed(self, token: int, message: str) -> None:
        """Nothing of this write is there."""
        self._after.pop(token)[1](message)

    @property
    def registered(self) -> bool:
        """Whether a master has taken this agent in."""
        return self.connection is not None and self.connection.registered

    @property
    def silent_at_s(self) -> float | None:
        """When the master will have been silent for too long; no timer: each message moves it."""
        return self.connection.silent_at_s if self.connection is not None else None

    def tell(self, message: agent_pb.AgentMessage) -> None:
        """Send to a master, whether or not it has taken this agent in."""
        if self.connection is not None:
            self.out.append(TellMaster(self.connection.connection_id, message))

    def tell_master(self, message: agent_pb.AgentMessage) -> None:
        """Now, or never: to a master that has taken this agent in."""
        if self.registered:
            self.tell(message)

    def tell_executor(self, executor: Executor, event: executor_pb.ExecutorEvent) -> None:
        """What it misses it is told when it subscribes again."""
        if executor.stream_id:
            self.emit(TellExecutor(executor.stream_id, event))

    def move(self, container: Container, event: ContainerEvent) -> None:
        """Change a container's state, and do what belongs to it."""
        for effect in CONTAINER_LIFE.move(container, event, self.now.wall_s).effects:
            self.emit(container.effect(effect))

    def add(self, owner: Owner) -> None:
        """A task or an executor, from now on."""
        if owner.container is not None:
            self.state.owners[owner.container_id] = owner
        if isinstance(owner, Executor):
            self.state.executors[owner.key] = owner
            return
        self.state.tasks[owner.container_id] = owner
        self.state.by_key[owner.key] = owner
        if owner.group_id:
            self.state.groups.setdefault(owner.group_id, []).append(owner)
            if owner.info.group_executor_resources:
                key = (owner.framework_id, owner.info.group_executor_id)
                self.state.group_executors.setdefault(key, []).append(owner)

    def forget(self, owner: Owner) -> None:
        """Drop an owner whose end is acknowledged, or that is not launched after all."""
        self.state.owners.pop(owner.container_id, None)
        if isinstance(owner, Executor):
            if self.state.executors.get(owner.key) is owner:
                del self.state.executors[owner.key]
        else:
            self._forget_task(owner)
        container_id = owner.container_id
        self.timers.cancel_each([(kind, container_id) for kind in OF_CONTAINERS])

    def _forget_task(self, task: Task) -> None:
        del self.state.tasks[task.container_id]
        if self.state.by_key.get(task.key) is task:
            del self.state.by_key[task.key]
        if task.executor is not None:
            task.executor.tasks.remove(task)
        if task.group_id:
            members = self.state.groups[task.group_id]
            members.remove(task)
            if not members:
                del self.state.groups[task.group_id]
            self._forget_in_group_executor(task)

    def _forget_in_group_executor(self, task: Task) -> None:
        key = (task.framework_id, task.info.group_executor_id)
        if task.info.group_executor_resources:
            of_executor = self.state.group_executors[key]
            of_executor.remove(task)
            if not of_executor:
                del self.state.group_executors[key]
