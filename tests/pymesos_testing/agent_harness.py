"""An agent core with hands: a checkpoint in a dict, containers in a list."""

from __future__ import annotations

import itertools

from pymesos_agent.core import AgentCore, Config
from pymesos_agent.core import effects as fx
from pymesos_agent.core import events as ev
from pymesos_agent.core.uids import UidRange
from pymesos_core.clock import Now
from pymesos_core.resources import Resources, parse, to_proto
from pymesos_core.store import Change
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb

INFO = pb.AgentInfo(
    address=pb.Address(hostname="h", ip="127.0.0.1", port=1),
    resources=to_proto(parse("cpus:4;mem:4096")),
    runtimes=["process"],
)


class AgentHarness:
    """Checkpoints at once unless `hold_writes`."""

    def __init__(
        self,
        records: dict[tuple[str, str], bytes] | None = None,
        info: pb.AgentInfo = INFO,
        recovered: dict[str, ev.ContainerState] | None = None,
        generation: int = 1,
        away: dict[str, str] | None = None,
        recover: bool = True,
        task_uids: UidRange | None = None,
    ) -> None:
        self.records = records if records is not None else {}
        self.now_s = 100.0
        self.wall_s = 1.7e9  # when that was 0, by the clock as it is set
        self.core = AgentCore(
            Config(info, tuple(info.runtimes), task_uids),
            dict(self.records),
            (f"c{generation}-{n}" for n in itertools.count()),
            (f"u{generation}-{n}".encode() for n in itertools.count()),
            (f"i{generation}-{n}" for n in itertools.count()),
            iter("ab"),
        )
        self.sent: list[agent_pb.AgentMessage] = []
        self.started: list[fx.StartContainer] = []
        self.kills: list[tuple[str, bool]] = []
        self.first_signals: list[str] = []  # of the same
        self.destroyed: list[str] = []
        self.left: list[tuple[int, tuple[tuple[str, str], ...]]] = []  # users, and what volumes
        self.removed: list[str] = []
        self.asked: list[tuple[float, fx.RunCheck]] = []
        self.disconnects: list[str] = []
        self.destroyed_groups: list[str] = []
        self.told: dict[int, list[executor_pb.ExecutorEvent]] = {}  # by stream
        self.closed: list[int] = []
        self.capped: list[tuple[str, int]] = []
        self.sizes: list[Resources] = []
        self.exit: list[str | None] = []
        self.complaints: list[fx.Complain] = []
        self.hold_writes = False
        self.fail_writes: str | None = None
        self.synced: list[bool] = []  # of each checkpoint
        self.held: list[tuple[int, tuple[Change, ...]]] = []
        for name, why in (away or {}).items():
            self.feed(ev.RuntimeAway(name, why))
        if recover:
            self.feed(ev.ContainersRecovered(recovered or {}))

    def feed(self, event: ev.Event) -> None:
        for effect in self.core.step(Now(self.now_s, self.wall_s + self.now_s), event):
            self._do(effect)

    def _do(self, effect: fx.Effect) -> None:
        match effect:
            case fx.TellMaster(_, message):
                self.sent.append(message)
            case fx.Checkpoint(token, changes, synced):
                self.synced.append(synced)
                self.held.append((token, changes))
                if not self.hold_writes:
                    self.write()
            case fx.StartContainer():
                self.started.append(effect)
            case fx.KillContainer(container_id, _, force, first):
                self.kills.append((container_id, force))
                self.first_signals.append(first)
            case fx.RemoveSandbox(container_id):
                self.removed.append(container_id)
            case fx.RunCheck():
                self.asked.append((self.now_s, effect))
            case fx.DestroyContainer(container_id, _, own_uid, volumes):
                self.destroyed.append(container_id)
                self.left.append((own_uid, volumes))
            case fx.TellExecutor(stream_id, event):
                self.told.setdefault(stream_id, []).append(event)
            case fx.CloseExecutor(stream_id, _):
                self.closed.append(stream_id)
            case fx.ResizeContainer(_, _, resources):
                self.sizes.append(resources)
            case fx.CapCpu(container_id, cpus_milli):
                self.capped.append((container_id, cpus_milli))
            case fx.DestroyGroup(group_id, _):
                self.destroyed_groups.append(group_id)
            case fx.Disconnect(_, reason):
                self.disconnects.append(reason)
            case fx.Complain():
                self.complaints.append(effect)
            case fx.Exit(message):
                self.exit.append(message)

    def write(self) -> None:
        while self.held:
            token, changes = self.held.pop(0)
            if self.fail_writes:
                self.feed(ev.CheckpointFailed(token, self.fail_writes))
                continue
            for change in changes:
                if change.value is None:
                    self.records.pop((change.kind, change.key), None)
                else:
                    self.records[change.kind, change.key] = change.value
            self.feed(ev.Checkpointed(token))

    def advance(self, seconds: float) -> None:
        end = self.now_s + seconds
        while (at := self.core.next_deadline_s()) is not None and at <= end:
            self.now_s = max(self.now_s, at)
            self.feed(ev.Tick())
        self.now_s = end

    def connect(self, connection_id: int = 1, epoch: int = 1, agent_id: str = "a") -> None:
        """Register with a master."""
        self.feed(ev.Connected(connection_id))
        registered = agent_pb.MasterMessage.Registered(
            agent_id=agent_id, ping_timeout_s=15, max_ping_timeouts=5
        )
        self.hear(agent_pb.MasterMessage(registered=registered), connection_id, epoch)

    def hear(self, message: agent_pb.MasterMessage, connection_id: int = 1, epoch: int = 1) -> None:
        self.feed(ev.MasterSaid(connection_id, epoch, message))

    def launch(
        self,
        task_id: str = "t",
        image: str = "",
        killing_state: bool = True,
        starting_state: bool = False,
        command: pb.CommandInfo | None = None,
        **info: object,
    ) -> None:
        capabilities = [pb.TASK_KILLING_STATE] if killing_state else []
        capabilities += [pb.TASK_STARTING_STATE] if starting_state else []
        launch = agent_pb.LaunchTask(
            framework_id="f",
            task_info=pb.TaskInfo(
                task_id=task_id,
                resources=to_proto(parse("cpus:1;mem:32")),
                command=command or pb.CommandInfo(shell=True, value="true"),
                container=pb.ContainerInfo(image=image),
                **info,  # type: ignore[arg-type]
            ),
            framework_info=pb.FrameworkInfo(name="f", capabilities=capabilities),
        )
        self.hear(agent_pb.MasterMessage(launch=launch))

    def launch_group(self, *task_ids: str, **container: object) -> None:
        infos = [
            pb.TaskInfo(
                task_id=task_id,
                resources=to_proto(parse("cpus:1;mem:32")),
                command=pb.CommandInfo(shell=True, value="true"),
                container=pb.ContainerInfo(**container),  # type: ignore[arg-type]
            )
            for task_id in task_ids
        ]
        group = agent_pb.LaunchGroup(
            framework_id="f", task_infos=infos, framework_info=pb.FrameworkInfo(name="f")
        )
        self.hear(agent_pb.MasterMessage(launch_group=group))

    def kill(
        self,
        task_id: str = "t",
        grace_s: float | None = None,
        reason: pb.Reason = pb.REASON_UNSPECIFIED,
        first: str = "",
    ) -> None:
        kill = agent_pb.MasterMessage.KillTask(framework_id="f", task_id=task_id, reason=reason)
        if grace_s is not None:
            kill.kill_policy.grace_period_s = grace_s
        if first:
            kill.kill_policy.signal = first
        self.hear(agent_pb.MasterMessage(kill=kill))

    def acknowledge(self, status: pb.TaskStatus) -> None:
        acknowledgement = agent_pb.MasterMessage.Acknowledgement(
            framework_id="f", task_id=status.task_id, uuid=status.uuid
        )
        self.hear(agent_pb.MasterMessage(acknowledgement=acknowledgement))

    def updates(self) -> list[agent_pb.StatusUpdate]:
        return [m.update for m in self.sent if m.HasField("update")]

    def states(self) -> list[str]:
        return [pb.TaskState.Name(u.status.state) for u in self.updates()]

    def container(self) -> str:
        return self.started[-1].container_id

    def run(self, task_id: str = "t", **info: object) -> str:
        """Launch, start, and acknowledge RUNNING; the container id."""
        self.launch(task_id, **info)  # type: ignore[arg-type]
        self.feed(ev.ContainerStarted(self.container(), 4711))
        self.acknowledge(self.updates()[-1].status)
        return self.container()
