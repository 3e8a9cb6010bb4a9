"""The agent core: one event in, effects out.

Durable before visible: a task is checkpointed before its container is started, and a status update
before it is sent. Updates of a task go out one at a time, in order, each repeated until its
acknowledgement (Mesos' `src/slave/task_status_update_manager.cpp`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError

from pymesos_agent.core import events
from pymesos_agent.core.checks import (
    HEALTH,
    READINESS,
    CheckState,
    checks_of,
    delay_s,
    interval_s,
    take_answer,
    timeout_s,
)
from pymesos_agent.core.effects import (
    Checkpoint,
    DestroyContainer,
    DestroyGroup,
    Disconnect,
    Effect,
    Exit,
    KillContainer,
    RemoveSandbox,
    RemoveVolume,
    RunCheck,
    StartContainer,
    TellMaster,
)
from pymesos_agent.core.executors import (
    IDLE,
    SUBSCRIBE,
    Executors,
    container_of,
    resources_of,
)
from pymesos_agent.core.tasks import (
    DISK,
    GROUP,
    LIFETIME,
    TASK,
    AgentTask,
    choose_runtime,
    ending,
    grace_s,
)
from pymesos_core.clock import Now
from pymesos_core.reservations import dynamic, volumes_of, with_reserved
from pymesos_core.resources import (
    EMPTY,
    ResourceError,
    Resources,
    from_proto,
    to_proto,
    total,
)
from pymesos_core.store import Change, Records
from pymesos_core.timers import Timers
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import checkpoint_pb2 as checkpoint_pb
from pymesos_proto.v1 import types_pb2 as pb

AGENT = "agent"
SANDBOX = "sandbox"

TimerKey = tuple[str, str]


@dataclass(frozen=True)
class Config:
    """The settings of an agent; times in seconds, defaults Mesos' unless said."""

    info: pb.AgentInfo  # without its id
    runtimes: tuple[str, ...]
    boot_id: str = ""  # of the machine, whose monotonic clock orders what it says
    resend_min_s: float = 10.0
    resend_max_s: float = 600.0
    kill_grace_s: float = 3.0
    checkpoint_retry_s: float = 1.0
    max_sandboxes: int = 1000
    sandbox_max_age_s: float = 7 * 86400.0
    disk_headroom: float = 0.1  # a part of the disk that ended sandboxes leave free
    sandbox_min_age_s: float = 60.0


class RecoveryError(Exception):
    """The checkpoint and the flags do not fit: the message names the two ways out."""


@dataclass
class Connection:
    """The stream to a master, from its opening on."""

    connection_id: int
    said_who: bool = False
    registered: bool = False
    silence_s: float = 0.0  # after this long without a message the master is taken for lost
    held_back: list[agent_pb.MasterMessage] | None = None  # until its epoch is durable


@dataclass(slots=True)
class AgentState:
    """What an agent knows."""

    agent_id: str = ""
    epoch_seen: int = 0
    tasks: dict[str, AgentTask] = field(default_factory=dict)  # by container id
    by_key: dict[tuple[str, str], AgentTask] = field(default_factory=dict)
    groups: dict[str, list[AgentTask]] = field(default_factory=dict)  # by group id
    executors: dict[tuple[str, str], AgentTask] = field(default_factory=dict)  # by executor id
    reserved: Resources = EMPTY  # dynamically, with the volumes; by the latest checkpoint written
    sandboxes: dict[str, checkpoint_pb.SandboxRecord] = field(default_factory=dict)
    frameworks: dict[str, pb.FrameworkInfo] = field(default_factory=dict)


class AgentCore:
    """An agent. Deterministic: same state, event and time give the same effects."""

    def __init__(
        self,
        config: Config,
        records: Records,
        container_ids: Iterator[str],
        uuids: Iterator[bytes],
        incarnation_ids: Iterator[str],
        agent_ids: Iterator[str],
    ) -> None:
        """Take over from the checkpoint. Raises RecoveryError."""
        self._agent_ids = agent_ids
        self._config = config
        self._container_ids = container_ids
        self._uuids = uuids
        self._incarnation_ids = incarnation_ids
        self.state = AgentState()
        self._connection: Connection | None = None
        self._recovered = False
        self._ending = False
        self._exit_message: str | None = None
        self._timers: Timers[TimerKey] = Timers()
        self._token = 0
        self._after: dict[int, tuple[Callable[[], None], Callable[[str], None]]] = {}
        self._now = Now(0.0, 0.0)
        self._out: list[Effect] = []
        self._executors = Executors(self)
        self._load(records)
        self._epoch_durable = self.state.epoch_seen
        self._handlers: dict[type, Callable[[Any], None]] = {
            events.Tick: lambda event: None,
            events.ContainersRecovered: self._on_recovered,
            events.Connected: self._on_connected,
            events.Disconnected: self._on_disconnected,
            events.MasterSaid: self._on_master_said,
            events.ContainerPulling: self._on_pulling,
            events.ContainerStarted: self._on_started,
            events.ContainerFailed: self._on_failed,
            events.ContainerExited: self._on_exited,
            events.Checked: self._on_checked,
            events.DiskExceeded: self._on_disk_exceeded,
            events.DiskMeasured: self._on_disk_measured,
            events.ExecutorSaid: lambda event: self._executors.on_said(event.stream_id, event.call),
            events.ExecutorLeft: lambda event: self._executors.on_left(event.stream_id),
            events.Checkpointed: lambda event: self._after.pop(event.token)[0](),
            events.CheckpointFailed: lambda event: self._after.pop(event.token)[1](event.message),
            events.TasksEnding: lambda event: self._end_all(None),
        }
        self._deadlines: dict[str, Callable[[str], None]] = {
            "resend": self._resend,
            "kill": self._kill_for_good,
            "checkpoint": self._checkpoint_task,
            "silence": self._on_silence,
            HEALTH: lambda container_id: self._ask(HEALTH, container_id),
            READINESS: lambda container_id: self._ask(READINESS, container_id),
            LIFETIME: self._on_lifetime,
            SUBSCRIBE: lambda container_id: self._executors.on_due(SUBSCRIBE, container_id),
            IDLE: lambda container_id: self._executors.on_due(IDLE, container_id),
        }

    def step(self, now: Now, event: events.Event) -> list[Effect]:
        """Take one event in, and every deadline that is due, and say what is to be done."""
        self._now = now
        self._handlers[type(event)](event)
        for kind, key in self._timers.due(now.mono_s):
            self._deadlines[kind](key)
        effects, self._out = self._out, []
        return effects

    def next_deadline_s(self) -> float | None:
        """When, in monotonic seconds, a Tick is due at the latest."""
        return self._timers.next_s()

    @property
    def connection_id(self) -> int | None:
        """The stream in use."""
        return self._connection.connection_id if self._connection else None

    @property
    def registered_on(self) -> int | None:
        """The stream on which a master has taken this agent in."""
        return self.connection_id if self._connection and self._connection.registered else None

    # Recovery.

    def _load(self, records: Records) -> None:
        try:
            for (kind, key), value in records.items():
                if kind == AGENT:
                    record = checkpoint_pb.AgentCheckpoint.FromString(value)
                    self.state.agent_id = record.agent_id
                    self.state.epoch_seen = record.epoch_seen
                    self.state.reserved = from_proto(record.reserved)
                elif kind == TASK:
                    self._add(AgentTask.from_record(value))
                elif kind == SANDBOX:
                    self.state.sandboxes[key] = checkpoint_pb.SandboxRecord.FromString(value)
            self._link_executors()
            by_age = sorted(self.state.sandboxes.values(), key=lambda r: r.ended_at_s)
            self.state.sandboxes = {record.container_id: record for record in by_age}
        except (DecodeError, ResourceError) as error:
            raise RecoveryError(
                f"the checkpoint cannot be read ({error}): restore it from a backup, or give its"
                f" tasks up with `pymesos-agent recover --discard`"
            ) from error
        held: Resources = total(
            from_proto(task.info.resources) for task in self.state.tasks.values() if not task.ended
        )
        try:
            mine = with_reserved(from_proto(self._config.info.resources), self.state.reserved)
        except ResourceError as error:
            raise RecoveryError(
                f"{error}; to give its volumes and reservations up, as a new agent:"
                f" `pymesos-agent recover --discard`"
            ) from error
        if not mine.contains(held):
            raise RecoveryError(
                f"the tasks of this agent hold {held}, more than its resources are now ({mine}):"
                f" restore the flags it had, or give the tasks up with"
                f" `pymesos-agent recover --discard`"
            )

    def _link_executors(self) -> None:
        for task in self.state.tasks.values():
            if task.executor_container_id:
                task.executor = self.state.tasks.get(task.executor_container_id)
                if task.executor is not None:
                    task.executor.tasks.append(task)

    def _add(self, task: AgentTask) -> None:
        self.state.tasks[task.container_id] = task
        if task.is_executor:
            self.state.executors[task.key] = task
        else:
            self.state.by_key[task.key] = task
        if task.group_id:
            self.state.groups.setdefault(task.group_id, []).append(task)

    def _on_recovered(self, event: events.ContainersRecovered) -> None:
        """Put what was checkpointed and what is there together."""
        assert not self._recovered
        self._recovered = True
        for container_id, container in event.containers.items():
            if container_id not in self.state.tasks:
                self._out.append(KillContainer(container_id, "", force=True))
                if container.exit is not None:
                    self._out.append(DestroyContainer(container_id, ""))
        for task in list(self.state.tasks.values()):
            self._recover_task(task, event.containers.get(task.container_id))
        for group_id, tasks in list(self.state.groups.items()):
            for task in tasks:
                self._end_group_of(task)
            self._destroy_group(group_id)
        if self._connection is not None:
            self._register()

    def _recover_in_executor(self, task: AgentTask) -> None:
        """It lives as long as its executor does, which is to say what became of it."""
        task.started = task.asked_to_start = True
        if task.ended:
            task.destroyed = True
        elif task.executor is None or task.executor.ended:
            self.update(
                task,
                pb.TASK_FAILED,
                pb.REASON_EXECUTOR_TERMINATED,
                "Its executor has ended while the agent was away",
            )

    def _recover_executor(self, executor: AgentTask, found: events.ContainerState | None) -> None:
        if executor.ended:
            executor.destroyed = True
            self._out.append(DestroyContainer(executor.container_id, executor.runtime))
            self._complete(executor)
        elif found is None:
            self.end_executor(executor, None, "its container was gone when the agent restarted")
        else:
            executor.asked_to_start = True
            self._executors.started(executor)
            self._on_started(events.ContainerStarted(executor.container_id, found.pid))
            if found.exit is not None:
                self._on_exited(found.exit)

    def _recover_task(self, task: AgentTask, found: events.ContainerState | None) -> None:
        if task.executor_container_id:
            self._recover_in_executor(task)
        elif task.is_executor:
            self._recover_executor(task, found)
        elif task.ended:
            task.destroyed = True
            self._out.append(DestroyContainer(task.container_id, task.runtime))
        elif found is None:
            started = task.state != pb.TASK_STAGING
            self._update(
                task,
                pb.TASK_FAILED if started else pb.TASK_DROPPED,
                pb.REASON_AGENT_RESTARTED,
                "Its container was gone when the agent restarted"
                if started
                else "The agent restarted before the task was started",
            )
        else:
            task.asked_to_start = True
            if task.state in (pb.TASK_STAGING, pb.TASK_STARTING):
                self._on_started(events.ContainerStarted(task.container_id, found.pid))
            elif task.state == pb.TASK_RUNNING and found.exit is None:
                self._watch_life(task)
            if found.exit is not None:
                self._on_exited(found.exit)
            elif task.kill is not None:
                self._kill(task, task.kill)

    # The master.

    def _on_connected(self, event: events.Connected) -> None:
        self._connection = Connection(event.connection_id)
        if self._recovered:
            self._register()

    def _register(self) -> None:
        """Say who we are. Ours: an agent chooses its id and stores it before it is known by it.

        Mesos' master assigns the id; an agent that dies before it has stored it leaves a ghost
        behind, on which tasks may have been launched already.
        """
        connection = self._connection
        assert connection is not None
        if not self.state.agent_id:
            self.state.agent_id = next(self._agent_ids)

            def failed(message: str) -> None:
                self.state.agent_id = ""
                if self._connection is connection:
                    self._drop_connection(f"the agent id cannot be stored: {message}")

            self._checkpoint((self._identity(),), self._register_again, failed)
            return
        self._say_who(connection)

    def _register_again(self) -> None:
        if self._connection is not None and not self._connection.said_who:
            self._say_who(self._connection)

    def _say_who(self, connection: Connection) -> None:
        connection.said_who = True
        info = pb.AgentInfo()
        info.CopyFrom(self._config.info)
        info.agent_id = self.state.agent_id
        register = agent_pb.Register(
            agent_info=info,
            incarnation_id=next(self._incarnation_ids),
            tasks=[task.report() for task in self.state.by_key.values()],
            epoch_seen=self.state.epoch_seen,
            boot_id=self._config.boot_id,
            mono_s=self._now.mono_s,
            reserved=to_proto(self.state.reserved),
        )
        self._tell(agent_pb.AgentMessage(register=register))

    def _tell(self, message: agent_pb.AgentMessage) -> None:
        if self._connection is not None:
            self._out.append(TellMaster(self._connection.connection_id, message))

    def _on_disconnected(self, event: events.Disconnected) -> None:
        if self._connection and self._connection.connection_id == event.connection_id:
            self._connection = None
            self._timers.cancel(("silence", ""))

    def _on_master_said(self, event: events.MasterSaid) -> None:
        """Obey, unless another master has been obeyed in a later epoch."""
        connection = self._connection
        if connection is None or connection.connection_id != event.connection_id:
            return
        if event.epoch < self.state.epoch_seen:
            self._drop_connection(
                f"the master speaks in epoch {event.epoch}; {self.state.epoch_seen} was seen"
            )
            return
        if connection.silence_s:
            self._timers.set(("silence", ""), self._now.mono_s + connection.silence_s)
        if connection.held_back is not None:
            connection.held_back.append(event.message)
        elif event.epoch > self._epoch_durable:
            connection.held_back = [event.message]
            self._raise_epoch(connection, event.epoch)
        else:
            self._obey(event.message)

    def _raise_epoch(self, connection: Connection, epoch: int) -> None:
        """Remember the epoch for good before anything is done in it.

        Even when it cannot be stored, no older one is obeyed any more.
        """
        self.state.epoch_seen = epoch

        def durable() -> None:
            self._epoch_durable = max(self._epoch_durable, epoch)
            if self._connection is connection:
                messages, connection.held_back = connection.held_back or [], None
                for message in messages:
                    self._obey(message)

        def failed(message: str) -> None:
            if self._connection is connection:
                self._drop_connection(f"the epoch cannot be stored: {message}")

        self._checkpoint((self._identity(),), durable, failed)

    def _identity(self) -> Change:
        record = checkpoint_pb.AgentCheckpoint(
            agent_id=self.state.agent_id,
            epoch_seen=self.state.epoch_seen,
            reserved=to_proto(self.state.reserved),
        )
        return Change(AGENT, "", record.SerializeToString())

    def _drop_connection(self, reason: str) -> None:
        if self._connection is not None:
            self._out.append(Disconnect(self._connection.connection_id, reason))
            self._connection = None
            self._timers.cancel(("silence", ""))

    def _on_silence(self, _: str) -> None:
        self._drop_connection("the master has been silent for too long")

    def _obey(self, message: agent_pb.MasterMessage) -> None:
        match message.WhichOneof("message"):
            case "registered":
                self._on_registered(message.registered)
            case "ping":
                self._tell(agent_pb.AgentMessage(pong=agent_pb.AgentMessage.Pong()))
            case "launch":
                launch = message.launch
                self._note_framework(launch)
                self._launch(launch.framework_id, launch.role, [launch.task_info], "")
            case "launch_group":
                group = message.launch_group
                self._note_framework(group)
                self._launch(
                    group.framework_id, group.role, group.task_infos, next(self._container_ids)
                )
            case "kill":
                self._on_kill(message.kill)
            case "acknowledgement":
                self._on_acknowledgement(message.acknowledgement)
            case "shutdown_framework":
                for task in list(self.state.tasks.values()):
                    if task.framework_id == message.shutdown_framework.framework_id:
                        self._kill(task, task.info.kill_policy)
            case "executor_message":
                self._executors.to_executor(message.executor_message)
            case "shutdown_executor":
                asked = message.shutdown_executor
                executor = self.state.executors.get((asked.framework_id, asked.executor_id))
                if executor is not None:
                    self._kill(executor, executor.info.kill_policy)
            case "set_reserved":
                self._on_set_reserved(message.set_reserved)
            case "refused":
                self._on_refused(message.refused)

    def _on_set_reserved(self, message: agent_pb.MasterMessage.SetReserved) -> None:
        """Keep it, then delete the data of volumes that are no more.

        Of volumes that are new, too: an agent that died before it had deleted a volume must not
        show its data to the next one of that id. A task that uses it is launched after this.
        """
        connection = self._connection
        before = self.state.reserved
        try:
            reserved = dynamic(from_proto(message.reserved))
            with_reserved(from_proto(self._config.info.resources), reserved)
        except ResourceError as error:
            self._drop_connection(f"the master reserves what is not there: {error}")
            return
        self.state.reserved = reserved
        changed = set(volumes_of(before)) ^ set(volumes_of(reserved))

        def durable() -> None:
            for role, volume in sorted(changed):
                self._out.append(RemoveVolume(role, volume.id))

        def failed(text: str) -> None:
            # As it was stored; the master says it again when the agent registers.
            self.state.reserved = before
            if self._connection is connection:
                self._drop_connection(f"what is reserved cannot be stored: {text}")

        self._checkpoint((self._identity(),), durable, failed)

    def _on_refused(self, refused: agent_pb.MasterMessage.Refused) -> None:
        if refused.shut_down:
            self._end_all(
                f"the master says: {refused.message}. To join again as a new agent:"
                f" `pymesos-agent recover --discard`, then start it"
            )
        else:
            self._drop_connection(f"the master refused: {refused.message}")

    def _on_registered(self, registered: agent_pb.MasterMessage.Registered) -> None:
        connection = self._connection
        assert connection is not None
        connection.silence_s = registered.ping_timeout_s * max(1, registered.max_ping_timeouts)
        if connection.silence_s:
            self._timers.set(("silence", ""), self._now.mono_s + connection.silence_s)

        if registered.agent_id != self.state.agent_id:
            self._drop_connection(f"the master calls this agent {registered.agent_id}")
            return
        connection.registered = True
        self._tell(agent_pb.AgentMessage(pong=agent_pb.AgentMessage.Pong()))  # we obey this epoch
        for task in self.state.tasks.values():
            self._send_first(task)

    # Tasks.

    def _note_framework(self, launch: agent_pb.LaunchTask | agent_pb.LaunchGroup) -> None:
        if launch.HasField("framework_info"):
            self.state.frameworks[launch.framework_id] = launch.framework_info

    def _launch(
        self, framework_id: str, role: str, infos: Sequence[pb.TaskInfo], group_id: str
    ) -> None:
        """All of them or none, as far as the checkpoint goes."""
        known = any((framework_id, info.task_id) in self.state.by_key for info in infos)
        if known or self._ending:
            return
        framework = self.state.frameworks.get(framework_id) or pb.FrameworkInfo()
        tasks = [
            AgentTask(
                next(self._container_ids),
                framework_id,
                role,
                info,
                choose_runtime(info.container, self._config.runtimes, grouped=bool(group_id)),
                info.command.user or framework.user,
                pb.TASK_KILLING_STATE in framework.capabilities,
                group_id=group_id,
            )
            for info in infos
        ]
        new = [made for task in tasks if (made := self._give_executor(task)) is not None]
        for task in (*new, *tasks):
            self._add(task)

        def durable() -> None:
            for task in tasks:
                self._start(task)

        def failed(message: str) -> None:
            for task in tasks:
                self._drop(task, message)
            for executor in new:
                self._forget(executor)

        self._checkpoint(tuple(task.change() for task in (*new, *tasks)), durable, failed)

    def _give_executor(self, task: AgentTask) -> AgentTask | None:
        """Find the executor that a task asks for, or make it; the one that was made."""
        if not task.info.HasField("executor"):
            return None
        info = task.info.executor
        found = self._executors.find(task.framework_id, info)
        executor = found
        if executor is None:
            token, address = next(self._uuids).hex(), self._config.info.address
            container = container_of(info, token, f"{address.ip}:{address.port}")
            container.agent_id = self.state.agent_id
            executor = AgentTask(
                next(self._container_ids),
                task.framework_id,
                task.role,
                container,
                choose_runtime(info.container, self._config.runtimes),
                info.command.user or task.user,
                killing_state=False,
                executor_info=info,
                token=token,
            )
        task.executor, task.executor_container_id = executor, executor.container_id
        task.runtime = executor.runtime
        executor.tasks.append(task)
        return None if found is executor else executor

    def _start_in_executor(self, task: AgentTask, executor: AgentTask) -> None:
        task.started = True
        if executor.ended or self.state.tasks.get(executor.container_id) is not executor:
            text = "Its executor has ended before it was launched"
            self.update(task, pb.TASK_FAILED, pb.REASON_EXECUTOR_TERMINATED, text)
        elif executor.executor_info != task.info.executor:
            text = f"The executor {executor.info.task_id} runs with another ExecutorInfo"
            self.update(task, pb.TASK_ERROR, pb.REASON_TASK_INVALID, text)
        elif executor.asked_to_start:
            self._executors.launch(task)
        elif executor.kill is not None:
            self.end_executor(executor, None, "it was killed before it was started")
        else:
            executor.asked_to_start = True
            info = pb.TaskInfo()
            info.CopyFrom(executor.info)
            info.resources.extend(to_proto(resources_of(executor)))
            start = StartContainer(
                executor.container_id,
                executor.framework_id,
                executor.runtime,
                executor.user,
                info,
                resizes=True,
            )
            self._out.append(start)
            self._executors.started(executor)

    def end_executor(self, executor: AgentTask, status: int | None, why: str) -> None:
        """Its container has ended, or will not be."""
        self._timers.cancel(("kill", executor.container_id))
        executor.state = pb.TASK_FAILED
        self._checkpoint_task(executor.container_id)
        self._executors.ended(executor, status, why)

    def _start(self, task: AgentTask) -> None:
        """Its checkpoint is written."""
        if task.kill is not None:
            self._update(
                task,
                pb.TASK_KILLED,
                pb.REASON_TASK_KILLED_DURING_LAUNCH,
                "Killed before delivery to the runtime",
            )
        elif task.runtime not in self._config.runtimes:
            self._refuse_runtime(task)
        elif task.executor is not None:
            self._start_in_executor(task, task.executor)
        else:
            task.asked_to_start = True
            self._out.append(
                StartContainer(
                    task.container_id, task.framework_id, task.runtime, task.user, task.info
                )
            )

    def _drop(self, task: AgentTask, message: str) -> None:
        """Its checkpoint cannot be written."""
        self._forget(task)
        status = self._status(
            task,
            pb.TASK_DROPPED,
            pb.REASON_AGENT_DISK_FULL,
            f"The agent cannot write its checkpoint, so it launches nothing: {message}",
        )
        status.ClearField("uuid")
        self._send(task, status, pb.TASK_DROPPED)

    def _refuse_runtime(self, task: AgentTask) -> None:
        has = ", ".join(self._config.runtimes) or "none"
        what = "an image" if task.info.container.image else "no image"
        if task.info.container.runtime:
            what = f"`runtime: {task.runtime}`"
        elif task.runtime == "oci":
            what = "namespaces of its own"
        self._update(
            task,
            pb.TASK_FAILED,
            pb.REASON_CONTAINER_LAUNCH_FAILED,
            f"A task with {what} needs the runtime {task.runtime}; this agent has: {has}",
        )

    def _on_pulling(self, event: events.ContainerPulling) -> None:
        task = self.state.tasks.get(event.container_id)
        if task is not None and task.state == pb.TASK_STAGING and not task.is_executor:
            self._update(task, pb.TASK_STARTING, pb.REASON_UNSPECIFIED, event.message)

    def _on_started(self, event: events.ContainerStarted) -> None:
        task = self.state.tasks.get(event.container_id)
        if task is None or task.ended:
            return
        known = task.pid
        task.pid = event.pid
        if task.state == pb.TASK_RUNNING:
            if task.pid != known:  # an agent restarted while it was being launched
                self._checkpoint_task(task.container_id)
            return
        if task.is_executor:
            task.started_at_s, task.state = self._now.wall_s, pb.TASK_RUNNING
            self._checkpoint_task(task.container_id)
        elif task.kill is None:
            task.started_at_s = self._now.wall_s
            self._update(task, pb.TASK_RUNNING, pb.REASON_UNSPECIFIED, "")
            self._watch_life(task)
        else:
            self._kill(task, task.kill)

    def _on_failed(self, event: events.ContainerFailed) -> None:
        task = self.state.tasks.get(event.container_id)
        if task is None or task.ended:
            return
        self._timers.cancel(("kill", task.container_id))
        if task.is_executor:
            self.end_executor(task, None, f"it cannot be launched: {event.message}")
            return
        if task.kill is not None:
            self._update(
                task,
                pb.TASK_KILLED,
                pb.REASON_TASK_KILLED_DURING_LAUNCH,
                f"Killed while its container was launched: {event.message}",
            )
            return
        self._update(
            task,
            pb.TASK_FAILED,
            pb.REASON_CONTAINER_LAUNCH_FAILED,
            f"Failed to launch container: {event.message}",
        )

    def _on_exited(self, event: events.ContainerExited) -> None:
        task = self.state.tasks.get(event.container_id)
        if task is None:
            self._out.append(DestroyContainer(event.container_id, ""))
            return
        if task.ended:
            return
        self._timers.cancel(("kill", task.container_id))
        state, reason, message = ending(task, event)
        if task.is_executor:
            self.end_executor(task, event.exit_status, message)
            return
        self._update(task, state, reason, message, event.exit_status)

    # Life.

    def _watch_life(self, task: AgentTask) -> None:
        """Ask for its health from now on, and end it when it is old."""
        now_s = self._now.mono_s
        for name, check in checks_of(task.info):
            task.checks[name] = CheckState(now_s)
            self._timers.set((name, task.container_id), now_s + delay_s(check))
        if most_s := task.info.max_completion_time_s:
            age_s = max(0.0, self._now.wall_s - task.started_at_s)
            self._timers.set((LIFETIME, task.container_id), now_s + max(0.0, most_s - age_s))

    def _ask(self, name: str, container_id: str) -> None:
        task = self.state.tasks.get(container_id)
        if task is not None and task.state == pb.TASK_RUNNING:
            check = dict(checks_of(task.info))[name]
            self._out.append(RunCheck(container_id, name, check, timeout_s(check)))

    def _on_checked(self, event: events.Checked) -> None:
        task = self.state.tasks.get(event.container_id)
        if task is None or task.state != pb.TASK_RUNNING or task.kill is not None:
            return
        check = dict(checks_of(task.info))[event.name]
        self._timers.set((event.name, event.container_id), self._now.mono_s + interval_s(check))
        well = event.problem is None
        state = task.checks[event.name]
        if event.name == READINESS:
            if state.last is not well:
                state.last = task.ready = well
                text = "Ready" if well else f"Not ready: {event.problem}"
                self._update(task, pb.TASK_RUNNING, pb.REASON_TASK_CHECK_STATUS_UPDATED, text)
            return
        changed, ends = take_answer(state, check, self._now.mono_s, well)
        if changed:
            task.healthy = well
            text = "Healthy" if well else f"Unhealthy: {event.problem}"
            self._update(task, pb.TASK_RUNNING, pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED, text)
        if ends:
            self._end_for(task, HEALTH, event.problem or "")

    def _on_lifetime(self, container_id: str) -> None:
        task = self.state.tasks.get(container_id)
        if task is not None:
            self._end_for(task, LIFETIME, f"{task.info.max_completion_time_s:g} s")

    def _on_disk_exceeded(self, event: events.DiskExceeded) -> None:
        task = self.state.tasks.get(event.container_id)
        if task is not None and task.state == pb.TASK_RUNNING:
            asked = from_proto(task.info.resources).quantities.get("disk", 0) / 1000
            used = event.used_bytes / 2**20
            self._end_for(task, DISK, f"asked for {asked:g} MiB, used {used:.0f} MiB", force=True)

    def _end_for(self, task: AgentTask, what: str, why: str, *, force: bool = False) -> None:
        """End a task on our own account; one that is being killed already is not."""
        if task.kill is not None or task.ended:
            return
        task.killed_for, task.killed_why = what, why
        self._kill(task, task.info.kill_policy)
        if force:
            self._kill_for_good(task.container_id)

    def _on_kill(self, kill: agent_pb.MasterMessage.KillTask) -> None:
        task = self.state.by_key.get((kill.framework_id, kill.task_id))
        if task is not None:
            policy = kill.kill_policy if kill.HasField("kill_policy") else None
            self._kill(task, policy or task.info.kill_policy)
            for other in self.state.groups.get(task.group_id, ()):
                self._end_for(other, GROUP, f"{task.info.task_id} was to be killed")

    def _kill(self, task: AgentTask, policy: pb.KillPolicy) -> None:
        """SIGTERM now, SIGKILL after the grace period; a later call sets a new period."""
        if task.ended:
            return
        if task.executor_container_id and task.started:
            self._executors.kill(task, policy)
            return
        task.kill = policy
        if not task.asked_to_start:
            return  # seen when its checkpoint is written
        if task.is_executor:
            self._executors.shut_down(task)
            return
        grace = grace_s(policy, task.info, self._config.kill_grace_s)
        self._timers.set(("kill", task.container_id), self._now.mono_s + grace)
        if task.killing_state and task.state == pb.TASK_RUNNING:
            self._update(task, pb.TASK_KILLING, pb.REASON_UNSPECIFIED, "")
        else:
            self._checkpoint_task(task.container_id)
        self._out.append(KillContainer(task.container_id, task.runtime, force=grace <= 0))

    def _kill_for_good(self, container_id: str) -> None:
        task = self.state.tasks.get(container_id)
        if task is not None and not task.ended:
            self._out.append(KillContainer(container_id, task.runtime, force=True))
            # A process in the kernel's hands dies when that lets it go: look again.
            self._timers.set(("kill", container_id), self._now.mono_s + 1.0)

    def _end_all(self, message: str | None) -> None:
        """End every task, then the process."""
        self._ending = True
        self._exit_message = message
        for task in list(self.state.tasks.values()):
            self._kill(task, task.info.kill_policy)
        self._exit_if_empty()

    def _exit_if_empty(self) -> None:
        if self._ending and all(task.destroyed for task in self.state.tasks.values()):
            self._out.append(Exit(self._exit_message))

    # What executors ask for: see executors.Agent.

    @property
    def timers(self) -> Timers[TimerKey]:
        """The deadlines."""
        return self._timers

    @property
    def executors(self) -> dict[tuple[str, str], AgentTask]:
        """By framework and executor id."""
        return self.state.executors

    @property
    def now(self) -> Now:
        """Of this step."""
        return self._now

    def emit(self, effect: Effect) -> None:
        """Have something done."""
        self._out.append(effect)

    def tell_master(self, message: agent_pb.AgentMessage) -> None:
        """Now, or never."""
        if self._connection is not None and self._connection.registered:
            self._tell(message)

    def find(self, framework_id: str, task_id: str) -> AgentTask | None:
        """A task."""
        return self.state.by_key.get((framework_id, task_id))

    def container(self, container_id: str) -> AgentTask | None:
        """A task or executor."""
        return self.state.tasks.get(container_id)

    def framework(self, framework_id: str) -> pb.FrameworkInfo:
        """As far as a master has told."""
        return self.state.frameworks.get(framework_id) or pb.FrameworkInfo(
            framework_id=framework_id
        )

    def checkpoint(self, task: AgentTask) -> None:
        """As it is now."""
        self._checkpoint_task(task.container_id)

    def kill_container(self, task: AgentTask, policy: pb.KillPolicy) -> None:
        """An executor's, after the grace period; it was asked to end, if it is connected."""
        task.kill = policy
        grace = grace_s(policy, task.info, self._config.kill_grace_s)
        self._timers.set(("kill", task.container_id), self._now.mono_s + grace)
        self._checkpoint_task(task.container_id)
        if not task.stream_id:
            self._out.append(KillContainer(task.container_id, task.runtime, force=False))

    def update(self, task: AgentTask, state: pb.TaskState, reason: pb.Reason, message: str) -> None:
        """See _update."""
        self._update(task, state, reason, message)

    def take(self, task: AgentTask, said: pb.TaskStatus) -> None:
        """An executor's word, stored and sent like our own."""
        status = pb.TaskStatus()
        status.CopyFrom(said)
        status.agent_id = self.state.agent_id
        status.hostname = self._config.info.address.hostname
        status.source = pb.SOURCE_EXECUTOR
        status.timestamp_s = status.timestamp_s or self._now.wall_s
        task.state = status.state
        task.unacknowledged.append(status)
        self._checkpoint_task(task.container_id)

    # Updates.

    def _status(
        self, task: AgentTask, state: pb.TaskState, reason: pb.Reason, message: str
    ) -> pb.TaskStatus:
        return pb.TaskStatus(
            task_id=task.info.task_id,
            state=state,
            reason=reason,
            source=pb.SOURCE_AGENT if reason else pb.SOURCE_EXECUTOR,
            message=message,
            agent_id=self.state.agent_id,
            uuid=next(self._uuids),
            timestamp_s=self._now.wall_s,
            hostname=self._config.info.address.hostname,
            healthy=task.healthy,
            ready=task.ready,
        )

    def _update(
        self,
        task: AgentTask,
        state: pb.TaskState,
        reason: pb.Reason,
        message: str,
        exit_status: int | None = None,
    ) -> None:
        """The task is in a new state: store the update, then send it when its turn comes.

        A second terminal update is dropped (SEMANTICS 11).
        """
        if task.ended:
            return
        status = self._status(task, state, reason, message)
        if exit_status is not None:
            status.exit_status = exit_status
        task.state = state
        task.unacknowledged.append(status)
        self._checkpoint_task(task.container_id)
        self._end_group_of(task)

    def _end_group_of(self, task: AgentTask) -> None:
        """One that has ended takes its group with it, unless it ended well."""
        if task.ended and task.state != pb.TASK_FINISHED:
            for other in self.state.groups.get(task.group_id, ()):
                self._end_for(other, GROUP, f"{task.info.task_id} has ended")

    def _destroy_group(self, group_id: str) -> None:
        tasks = self.state.groups.get(group_id, ())
        if tasks and all(task.destroyed for task in tasks):
            runtimes = tuple(sorted({task.runtime for task in tasks}))
            self._out.append(DestroyGroup(group_id, runtimes))

    def _checkpoint_task(self, container_id: str) -> None:
        """Write a task as it is now; again in a second if that fails."""
        task = self.state.tasks.get(container_id)
        if task is None:
            return
        known = [status.uuid for status in task.unacknowledged]
        acknowledge = list(task.to_acknowledge)
        state = task.state
        ended = task.ended

        def durable() -> None:
            if self.state.tasks.get(container_id) is not task:
                return
            was_waiting = task.durable == 0
            task.durable_state = state
            written = sum(1 for status in task.unacknowledged if status.uuid in known)
            task.durable = max(task.durable, written)
            if was_waiting:
                self._send_first(task)
            for uuid in acknowledge:
                task.to_acknowledge.pop(uuid, None)
                if task.executor is not None:
                    self._executors.acknowledge(task.executor, task.info.task_id, uuid)
            if ended and not task.destroyed:
                task.destroyed = True
                self._clean_up(task)
                self._exit_if_empty()

        def failed(_: str) -> None:
            at = self._now.mono_s + self._config.checkpoint_retry_s
            self._timers.set(("checkpoint", container_id), at)

        self._checkpoint((task.change(),), durable, failed)

    def _clean_up(self, task: AgentTask) -> None:
        """Its end is durable."""
        if task.executor is not None:
            self._executors.task_ended(task)
        elif not task.executor_container_id:
            self._out.append(DestroyContainer(task.container_id, task.runtime))
            self._destroy_group(task.group_id)
        if task.is_executor:
            self._complete(task)

    def _checkpoint(
        self,
        changes: tuple[Change, ...],
        done: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        self._token += 1
        self._after[self._token] = (done, failed)
        self._out.append(Checkpoint(self._token, changes))

    def _send_first(self, task: AgentTask) -> None:
        """Send the oldest update that is not acknowledged, and set the time to repeat it."""
        if not task.durable or self._connection is None or not self._connection.registered:
            return
        self._send(task, task.unacknowledged[0], task.durable_state)
        task.resend_s = self._config.resend_min_s
        self._timers.set(("resend", task.container_id), self._now.mono_s + task.resend_s)

    def _resend(self, container_id: str) -> None:
        task = self.state.tasks.get(container_id)
        if task is None or not task.durable:
            return
        self._send(task, task.unacknowledged[0], task.durable_state)
        task.resend_s = min(self._config.resend_max_s, task.resend_s * 2)
        self._timers.set(("resend", container_id), self._now.mono_s + task.resend_s)

    def _send(self, task: AgentTask, status: pb.TaskStatus, latest: pb.TaskState) -> None:
        if self._connection is None or not self._connection.registered:
            return
        update = agent_pb.StatusUpdate(
            framework_id=task.framework_id, status=status, latest_state=latest
        )
        self._tell(agent_pb.AgentMessage(update=update))

    def _on_acknowledgement(self, acknowledgement: agent_pb.MasterMessage.Acknowledgement) -> None:
        task = self.state.by_key.get((acknowledgement.framework_id, acknowledgement.task_id))
        if task is None or not task.durable:
            return
        if task.unacknowledged[0].uuid != acknowledgement.uuid:
            return  # a late repetition
        status = task.unacknowledged.popleft()
        task.durable -= 1
        self._timers.cancel(("resend", task.container_id))
        if task.ended and not task.unacknowledged:
            assert status.state == task.state
            self._complete(task)
            return
        self._checkpoint((task.change(),), lambda: None, lambda _: None)
        self._send_first(task)

    def _complete(self, task: AgentTask) -> None:
        """The end is known to the framework: only the sandbox is kept, for those who look back."""
        self._forget(task)
        if task.executor_container_id:  # its files are its executor's
            self._checkpoint((Change(TASK, task.container_id, None),), lambda: None, lambda _: None)
            return
        record = checkpoint_pb.SandboxRecord(
            container_id=task.container_id,
            framework_id=task.framework_id,
            task_id=task.info.task_id,
            ended_at_s=self._now.wall_s,
        )
        self.state.sandboxes[task.container_id] = record
        changes = [
            Change(TASK, task.container_id, None),
            Change(SANDBOX, task.container_id, record.SerializeToString()),
        ]
        while len(self.state.sandboxes) > self._config.max_sandboxes:
            oldest = next(iter(self.state.sandboxes))
            del self.state.sandboxes[oldest]
            changes.append(Change(SANDBOX, oldest, None))
            self._out.append(RemoveSandbox(oldest))
        self._checkpoint(tuple(changes), lambda: None, lambda _: None)

    def _on_disk_measured(self, event: events.DiskMeasured) -> None:
        """Remove old sandboxes; the fuller the disk, the sooner they are old.

        As Mesos does it (`docs/sandbox.md`): the longest age times the part of the disk that is
        free beyond the headroom. Ours: what ended within the last minute stays.
        """
        free = max(0.0, 1.0 - self._config.disk_headroom - event.used)
        age_s = max(self._config.sandbox_min_age_s, self._config.sandbox_max_age_s * free)
        changes: list[Change] = []
        for container_id, record in list(self.state.sandboxes.items()):
            if self._now.wall_s - record.ended_at_s > age_s:
                del self.state.sandboxes[container_id]
                changes.append(Change(SANDBOX, container_id, None))
                self._out.append(RemoveSandbox(container_id))
        if changes:
            self._checkpoint(tuple(changes), lambda: None, lambda _: None)

    def _forget(self, task: AgentTask) -> None:
        del self.state.tasks[task.container_id]
        index = self.state.executors if task.is_executor else self.state.by_key
        if index.get(task.key) is task:
            del index[task.key]
        if task.executor is not None:
            self._executors.forget_task(task)
        if task.group_id:
            members = self.state.groups[task.group_id]
            members.remove(task)
            if not members:
                del self.state.groups[task.group_id]
        for kind in ("resend", "kill", "checkpoint", HEALTH, READINESS, LIFETIME, SUBSCRIBE, IDLE):
            self._timers.cancel((kind, task.container_id))
