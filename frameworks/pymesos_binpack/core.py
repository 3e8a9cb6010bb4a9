"""The deciding half of the bin-packing framework: `step(now, event) -> effects`, without any I/O.

Stored before said: a job before it is acknowledged, a launch before it is sent, an update before it
is acknowledged. So a restart takes its tasks over, and a launch that was stored and not sent is
found out by reconciliation: the master does not know the task, and it is planned again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from pymesos_binpack.constraints import gpu_models
from pymesos_binpack.jobs.launching import (
    how_it_ended,
    job_of_task,
    main_task_id,
    new_volumes,
    running_task,
    sidecar_ids,
    task_infos,
    volume_id,
    with_volumes,
)
from pymesos_binpack.jobs.restarts import (
    delay_s,
    how_long,
    is_crash,
    is_final,
    sidecar_failed,
    was_lost,
)
from pymesos_binpack.jobs.state import (
    FRAMEWORK,
    REPLACED,
    Instance,
    JobState,
    Saved,
    new_job,
)
from pymesos_binpack.jobs.volumes import KeptVolume, Volumes, name_old_volumes, owner_of
from pymesos_binpack.placement.agents import Known, Placed
from pymesos_binpack.placement.hand import Hand, OfferInHand, seen
from pymesos_binpack.placement.packing import Policy, Shape, Workload, shape_of
from pymesos_binpack.placement.planner import Launch, Situation, plan
from pymesos_binpack.placement.preemption import preemption
from pymesos_binpack.placement.queue import Waiting, to_plan
from pymesos_binpack.placement.tasks import Cause, PendingTask
from pymesos_binpack.restoring import (
    QUARANTINE,
    Quarantined,
    Row,
    load_job,
    restore,
    set_aside,
    why,
)
from pymesos_binpack.specs import Job, TaskSpec
from pymesos_core import limits
from pymesos_core.clock import Now, utc
from pymesos_core.reservations import volumes_of
from pymesos_core.resources import devices, from_proto
from pymesos_core.states import is_terminal
from pymesos_core.store import Change, Records
from pymesos_core.timers import Timers
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

REFUSE_S = 60.0  # what does not fit now fits when the agent has more, which ends the filter
NO_FILTER_S = 0.0
EXPLAIN_S = 1.0
HOLD_S = 3.0  # an offer is kept for a gang that needs others, too
GANG_REFUSE_S = 1.0  # shorter than HOLD_S: then what is offered at different times meets
GANG_REFUSE_MAX_S = 30.0
PREEMPT_AGAIN_S = 30.0  # when what was freed for a task went to somebody else
MAX_ENDED_JOBS = 100
INFO_BYTES = 1024  # of a TaskInfo, beyond what its job's document says


# What an agent says of a task that it was given; to the master it is news.
_OF_ITS_AGENT = frozenset(
    {
        pb.TASK_STARTING,
        pb.TASK_RUNNING,
        pb.TASK_KILLING,
        pb.TASK_FINISHED,
        pb.TASK_FAILED,
        pb.TASK_KILLED,
    }
)


_ACCEPT_HOLDS = {"tasks": limits.CALL_TASKS.most, "bytes": limits.ACCEPT.most}


def _part_of_accept(job: Job, spec: TaskSpec) -> tuple[int, int]:
    """The tasks of an instance, and about the bytes of them."""
    return 1 + len(spec.sidecars), len(job.document) + INFO_BYTES


def _gang_problem(job: Job) -> str | None:
    """That a gang is too large to be launched whole, should one agent have room for it."""
    for spec in job.tasks:
        tasks, size = (spec.instances * n for n in _part_of_accept(job, spec))
        if spec.gang and (tasks > _ACCEPT_HOLDS["tasks"] or size > _ACCEPT_HOLDS["bytes"]):
            return (
                f"the gang {spec.name} has {tasks} tasks, with sidecars, of about {size} bytes:"
                f" at most {_ACCEPT_HOLDS['tasks']} tasks and {_ACCEPT_HOLDS['bytes']} bytes can be"
                f" launched together; ask for fewer instances, or leave `gang` out"
            )
    return None


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; deadlines may be due."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The framework is subscribed, for the first time or again."""

    framework_id: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The master is away, and every offer with it."""


@dataclass(frozen=True, slots=True)
class OffersReceived:
    """Resources are offered."""

    offers: tuple[pb.Offer, ...]


@dataclass(frozen=True, slots=True)
class OfferRescinded:
    """An offer is no longer valid."""

    offer_id: str


@dataclass(frozen=True, slots=True)
class AgentLost:
    """An agent is gone, or cannot be reached; updates of its tasks come by themselves."""

    agent_id: str


@dataclass(frozen=True, slots=True)
class TaskUpdated:
    """A task is in a new state, or the same update came again."""

    status: pb.TaskStatus


@dataclass(frozen=True, slots=True)
class JobSubmitted:
    """Somebody wants a job run. `unique_name`: unless one of its name runs."""

    request_id: str
    job_id: str
    job: Job
    unique_name: bool = False


@dataclass(frozen=True, slots=True)
class VolumeRemoved:
    """A volume is no more: the next run of its name makes a new one."""

    role: str
    volume_id: str


@dataclass(frozen=True, slots=True)
class JobStopped:
    """Somebody wants a job ended."""

    job_id: str


@dataclass(frozen=True, slots=True)
class QuarantineReleased:
    """Somebody wants a job that was set aside tried again, or, with `discard`, forgotten."""

    job_id: str
    discard: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A Store effect is durable."""

    token: int


Event = (
    Tick
    | Subscribed
    | Disconnected
    | OffersReceived
    | OfferRescinded
    | AgentLost
    | TaskUpdated
    | JobSubmitted
    | JobStopped
    | QuarantineReleased
    | VolumeRemoved
    | Stored
)


@dataclass(frozen=True, slots=True)
class Store:
    """Write durably, all or nothing; Stored follows."""

    token: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Accept:
    """Launch tasks on the offers of one agent, after the operations that they need."""

    offer_ids: tuple[str, ...]
    tasks: tuple[pb.TaskInfo, ...]
    before: tuple[scheduler_pb.Operation, ...] = ()
    groups: tuple[tuple[pb.TaskInfo, ...], ...] = ()  # each a task with its sidecars


@dataclass(frozen=True, slots=True)
class Decline:
    """Give offers back."""

    offer_ids: tuple[str, ...]
    refuse_s: float


@dataclass(frozen=True, slots=True)
class Revive:
    """Ask for offers again, the refused ones too."""


@dataclass(frozen=True, slots=True)
class Suppress:
    """Ask for no offers."""


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill a task by its own policy."""

    task_id: str
    agent_id: str


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """An update is stored and need not come again."""

    status: pb.TaskStatus


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Ask for the state of these (task id, agent id)."""

    tasks: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class JobAccepted:
    """The job is stored; tell who submitted it."""

    request_id: str
    job_id: str


@dataclass(frozen=True, slots=True)
class Released:
    """A job that was set aside goes on, or is forgotten; or it cannot be, for this reason."""

    job_id: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class JobRefused:
    """The job is not taken, for this reason; tell who submitted it."""

    request_id: str
    message: str


@dataclass(frozen=True, slots=True)
class JobChanged:
    """Something of the job is new to those who watch it."""

    job_id: str


Effect = (
    Store
    | Accept
    | Decline
    | Revive
    | Suppress
    | Kill
    | Acknowledge
    | Reconcile
    | JobAccepted
    | Released
    | JobRefused
    | JobChanged
)


class JobFault(Exception):  # noqa: N818 - of the job, as far as the others are concerned
    """A job that this code cannot handle. The core was left half-way and takes no more steps.

    A new one, from what is stored, goes on without the job once that is written: `change` says so.
    """

    def __init__(self, job_id: str, reason: str) -> None:
        super().__init__(f"job {job_id} cannot be handled: {reason}")
        self.job_id = job_id
        self.change = set_aside(job_id, reason)


class BinpackCore:
    """Deterministic: same state, event and time give the same effects."""

    def __init__(self, policy: Policy, records: Records) -> None:
        """Take over from the state directory. Raises ValueError when it cannot be read."""
        self._policy = policy
        self.framework_id = ""
        self.jobs: dict[str, JobState] = {}
        self._by_task: dict[str, Instance] = {}
        self._by_key: dict[str, Instance] = {}
        self._waiting = Waiting()
        self._delayed: dict[str, Instance] = {}  # by key, those that are to wait again later
        self._replaced: dict[str, str] = {}  # task id → agent id; killed when it comes back
        self._requests: dict[str, str] = {}
        self.quarantined: dict[str, Quarantined] = {}
        self._at = ""  # the job that is being handled, to be blamed when that fails
        self._named: dict[tuple[str, str], dict[str, JobState]] = {}  # by role and name
        self.volumes = Volumes()
        self._wanted_volumes: dict[str, Instance] = {}  # by the ids that they would be made with
        self._probes: dict[str, Instance] = {}  # by the ids by which their agents are asked for
        self._to_store: list[Change] = []  # what loading changed
        self._hand = Hand()
        self._known = Known()
        self._subscribed = False
        self._wants_offers = True
        self._new_demand = False  # for which offers that were refused, or suppressed, may do
        self._moved: set[str] = set()  # jobs with constraints, of which something began or ended
        self._agents_changed = False  # so constraints may be met that were not
        self._timers: Timers[tuple[str, str]] = Timers()
        self._token = 0
        self._after: dict[int, Callable[[], None]] = {}
        self._now = Now(0.0, 0.0)
        self._out: list[Effect] = []
        self._changed: dict[str, None] = {}
        self._plan_due = False
        self._gang_refuse_s = GANG_REFUSE_S
        self._explaining = False  # why nothing is placed is to be said although nothing is offered
        self._load(records)

    def _load(self, records: Records) -> None:
        restored = restore(records)
        self.framework_id = restored.framework_id
        self._replaced = restored.replaced
        for value in restored.volumes:
            self.volumes.load(value)
        restored.jobs.sort(key=lambda job: job.submitted_at_s)
        for take_over in (self._name, self._add):
            for job in restored.jobs:
                if job.job_id in restored.quarantined:
                    continue
                try:
                    take_over(job)
                except Exception as error:  # whatever it is, it is of this job alone
                    self._drop(job)
                    rows = tuple(restored.rows[job.job_id])
                    restored.quarantined[job.job_id] = Quarantined(job.job_id, why(error), rows)
        self.quarantined = restored.quarantined
        for job_id, aside in self.quarantined.items():
            if aside.request_id:
                self._requests[aside.request_id] = job_id

    def _name(self, job: JobState) -> None:
        self._named.setdefault((job.job.role, job.job.name), {})[job.job_id] = job
        name_old_volumes(job)
        for instance in job.instances:
            if instance.saved.data_on:
                self._to_store += self.volumes.keep(job.job, instance)

    def _add(self, job: JobState) -> None:
        self.jobs[job.job_id] = job
        self._requests[job.request_id] = job.job_id
        alone = self._running(job.job, job) is None
        for instance in job.instances:
            if alone and instance.spec.volumes and instance.pending:
                self.volumes.adopt(job.job, instance)
            self._by_key[instance.key] = instance
            self._note(instance)
            if instance.live:
                self._by_task[instance.saved.task_id] = instance

    def _drop(self, job: JobState) -> None:
        """Undo `_add`, also a part of it."""
        self.jobs.pop(job.job_id, None)
        for instance in job.instances:
            self._waiting.leave(instance)
            self._by_key.pop(instance.key, None)
            self._delayed.pop(instance.key, None)
            self._by_task.pop(instance.saved.task_id, None)
            self._probes.pop(instance.probe_id, None)
            for volume in instance.spec.volumes:
                self._wanted_volumes.pop(volume_id(instance, volume), None)
        self._named.get((job.job.role, job.job.name), {}).pop(job.job_id, None)

    def _note(self, instance: Instance) -> None:
        """Keep in mind whether it waits; after every change of that.

        Whatever begins to wait asks for offers, those too that were refused or suppressed; unless
        others wait for the same, for whom all that is offered has been looked through.
        """
        self._waiting.leave(instance)
        self._delayed.pop(instance.key, None)
        for volume in instance.spec.volumes:
            self._wanted_volumes.pop(volume_id(instance, volume), None)
        if not instance.pending:
            self._end_kept(instance)
            return
        if not instance.saved.data_on:
            ids = (volume_id(instance, volume) for volume in instance.spec.volumes)
            self._wanted_volumes.update(dict.fromkeys(ids, instance))
        if instance.not_before_s > self._now.mono_s:
            self._delayed[instance.key] = instance
        elif self._waiting.join(instance, self.jobs[instance.job_id]):
            self._demand()

    def _end_kept(self, instance: Instance) -> None:
        """Room is made for it no longer, so what was kept for it may do for others."""
        instance.preempt_again_s = 0.0
        self._timers.cancel(("kept", instance.key))
        if instance.kept_agents:
            instance.kept_agents = frozenset()
            self._demand()

    def check(self) -> None:
        """Assert what is kept twice for speed; for tests and the simulator."""
        pending = {instance.key for instance in self.instances() if instance.pending}
        noted = self._waiting.keys() | self._delayed.keys()
        assert pending == noted, f"{pending ^ noted}"
        for job in self.jobs.values():
            assert job.left == sum(not instance.saved.done for instance in job.instances)

    def step(self, now: Now, event: Event) -> list[Effect]:
        """Take one event in, and every deadline that is due, and say what is to be done."""
        self._now = now
        self._at = ""
        try:
            self._advance(event)
        except Exception as error:
            if not self._at:
                raise
            raise JobFault(self._at, why(error)) from error
        self._out.extend(JobChanged(job_id) for job_id in self._changed)
        self._changed.clear()
        effects, self._out = self._out, []
        return effects

    def _advance(self, event: Event) -> None:
        self._handle(event)
        for kind, key in self._timers.each_due(self._now.mono_s):
            self._at = key.partition("/")[0]
            if kind == "unreachable":
                self._replace_unreachable(key)
            elif kind == "restart":
                self._restart(key)
            elif kind == "kept":
                self._demand()
            else:
                self._plan_due = True
                self._explaining = self._explaining or kind == "explain"
        self._at = ""
        if self._plan_due:
            self._plan()

    def next_deadline_s(self) -> float | None:
        """When, in monotonic seconds, a Tick is due at the latest."""
        return self._timers.next_s()

    def _handle(self, event: Event) -> None:
        match event:
            case Subscribed(framework_id):
                self._on_subscribed(framework_id)
            case Disconnected():
                self._subscribed = False
                self._hand.clear()
                self._changed.update(dict.fromkeys(line.job_id for line in self._waiting))
            case OffersReceived(offers):
                for offer in offers:
                    self._hand.add(offer, self._now.mono_s)
                    self._agents_changed |= self._known.see(seen(offer))
                    if self._wanted_volumes:
                        self._find_volumes(offer)
                self._plan_due = True
            case OfferRescinded(offer_id):
                self._hand.drop(offer_id)
            case AgentLost(agent_id):
                self._known.lose(agent_id)
                self._agents_changed = self._plan_due = self._explaining = True
                self._probe({agent_id})
            case TaskUpdated(status):
                self._on_update(status)
            case JobSubmitted():
                self._on_submitted(event)
            case JobStopped(job_id):
                self._on_stopped(job_id)
            case QuarantineReleased(job_id, discard):
                self._on_released(job_id, discard=discard)
            case VolumeRemoved(role, volume_id):
                self._on_volume_removed(role, volume_id)
            case Stored(token):
                self._after.pop(token)()

    def _store(self, changes: Sequence[Change], then: Callable[[], None]) -> None:
        self._token += 1
        at = self._at

        def durable() -> None:
            self._at = at
            then()

        self._after[self._token] = durable
        self._out.append(Store(self._token, tuple(changes)))

    @property
    def connected(self) -> bool:
        """Whether a master has taken the framework in."""
        return self._subscribed

    def job_with(self, volume: KeptVolume) -> str:
        """The id of a job that has not ended and has, or waits for, a volume; or empty.

        One in quarantine may have it, unless what is stored says that it does not.
        """
        for job in self._named.get((volume.role, volume.job), {}).values():
            for instance in job.instances if not job.ended else ():
                ids = instance.saved.volume_ids
                if not instance.saved.done and ids.get(volume.name) == volume.volume_id:
                    return job.job_id
        return next((i for i, aside in self.quarantined.items() if aside.may_have(volume)), "")

    def instances(self) -> Iterator[Instance]:
        """Every instance of every job."""
        for job in self.jobs.values():
            yield from job.instances

    # The master.

    def _on_subscribed(self, framework_id: str) -> None:
        self._subscribed = True
        self._new_demand = not self._wants_offers
        self._hand.clear()
        self._known = Known()  # who was lost meanwhile nobody told
        mine = ((i.saved.task_id, i.saved.agent_id) for i in self._by_task.values())
        asked = (*mine, *self._replaced.items())

        def durable() -> None:
            if asked:
                self._out.append(Reconcile(asked))
            self._probe(None)

        changes, self._to_store = self._to_store, []
        if framework_id != self.framework_id:
            self.framework_id = framework_id
            changes.append(Change(FRAMEWORK, "", framework_id.encode()))
        if changes:
            self._store(changes, durable)
        else:
            durable()
        for job in self.jobs.values():
            if job.stopping:
                self._kill_all(job)
        self._plan_due = True

    def _on_update(self, status: pb.TaskStatus) -> None:
        over = is_terminal(status.state) or status.state == pb.TASK_UNKNOWN
        main = self._by_task.get(main_task_id(status.task_id))
        if main is not None:
            self._at = main.job_id
        elif job_of_task(status.task_id) in self.quarantined and (
            status.task_id not in self._replaced
        ):
            return  # it is left alone, and so is the update, which comes again
        if main is not None and main.saved.task_id != status.task_id:
            self._on_sidecar(main, status, over)
            return
        instance = self._by_task.get(status.task_id)
        if status.task_id in self._probes:
            self._on_probed(self._probes.pop(status.task_id), status)
            return
        if instance is None:
            # Of a task that was replaced, or of a job that is forgotten: it must not run.
            if over:
                # Also when it is the same end again: the first may not be durable yet.
                was_replaced = self._replaced.pop(status.task_id, None) is not None
                gone = [Change(REPLACED, status.task_id, None)] if was_replaced else []
                self._store(gone, lambda: self._out.append(Acknowledge(status)))
                return
            if not over and status.state != pb.TASK_UNREACHABLE:
                self._out.append(Kill(status.task_id, status.agent_id))
            self._out.append(Acknowledge(status))
            return
        lost: list[Change] = []
        if status.state == pb.TASK_UNREACHABLE:
            self._on_unreachable(instance, status)
        elif over:
            if status.state == pb.TASK_GONE_BY_OPERATOR and instance.spec.volumes:
                lost = self._lose_volumes(instance, instance.saved.agent_id)
            self._on_end(instance, status)
        else:
            self._on_alive(instance, status)
        self._changed[instance.job_id] = None
        agent_id = status.agent_id or instance.saved.agent_id
        given_up = self._give_up_sidecars(instance, agent_id) if over else []

        def durable() -> None:
            for change in given_up:
                self._out.append(Kill(change.key, agent_id))
            self._out.append(Acknowledge(status))

        kept = self._note_volumes(instance, status)
        self._store([instance.change(), *given_up, *lost, *kept], durable)

    def _on_sidecar(self, main: Instance, status: pb.TaskStatus, over: bool) -> None:
        """Of a task that goes on as far as known; the agent sees to it that both end."""
        main.sidecar_failed = main.sidecar_failed or sidecar_failed(status)
        if over and status.task_id not in main.saved.ended_beside:
            main.saved.ended_beside.append(status.task_id)
        self._store([main.change()] if over else [], lambda: self._out.append(Acknowledge(status)))

    def _give_up_sidecars(self, instance: Instance, agent_id: str) -> list[Change]:
        """The task has ended, perhaps well, in which case its sidecars run on: they are to end."""
        return [
            self._give_up(task_id, agent_id)
            for task_id in sidecar_ids(instance)
            if task_id not in instance.saved.ended_beside
        ]

    def _give_up(self, task_id: str, agent_id: str) -> Change:
        """It is killed whenever it is heard of, until its end is known."""
        self._replaced[task_id] = agent_id
        return Change(REPLACED, task_id, agent_id.encode())

    def _on_alive(self, instance: Instance, status: pb.TaskStatus) -> None:
        self._timers.cancel(("unreachable", instance.key))
        saved = instance.saved
        saved.state, saved.agent_id = status.state, status.agent_id or saved.agent_id
        saved.reason, saved.message = pb.REASON_UNSPECIFIED, status.message
        instance.explain("")
        if status.state == pb.TASK_RUNNING and instance.running_since_s is None:
            instance.running_since_s = self._now.mono_s
        job = self.jobs[instance.job_id]
        if job.stopping:
            self._kill(instance)

    def _on_unreachable(self, instance: Instance, status: pb.TaskStatus) -> None:
        """It is said again and again, also after a restart; what counts is when it began."""
        saved = instance.saved
        if saved.state != status.state or not saved.unreachable_since_s:
            saved.unreachable_since_s = self._now.wall_s
        saved.state = status.state
        waits = self._how_long_it_waits(instance, status.message)
        instance.explain(waits, Cause.AGENT_UNREACHABLE)
        replace_s, timer = instance.spec.unreachable_replace_s, ("unreachable", instance.key)
        if replace_s is not None and timer not in self._timers:
            waited_s = max(0.0, self._now.wall_s - saved.unreachable_since_s)
            self._timers.set(timer, self._now.mono_s + max(0.0, replace_s - waited_s))

    def _how_long_it_waits(self, instance: Instance, why: str) -> str:
        spec, where = instance.spec, instance.saved.hostname or instance.saved.agent_id
        what = f"its agent {where} is unreachable ({why})"
        if spec.unreachable_replace_s is not None:
            at = utc(instance.saved.unreachable_since_s + spec.unreachable_replace_s)
            return f"{what}; unless that is back by {at}, another takes its place"
        if spec.volumes:
            then = "its data are there, so no other takes its place"
        else:
            then = "it may still run there, so it is not run a second time"
        return f"{what}; {then} until the agent is back, or given up with `pymesos-cli gone`"

    def _replace_unreachable(self, key: str) -> None:
        """A service goes on elsewhere; should the old task come back, it is killed."""
        instance = self._by_key.get(key)
        if instance is None or instance.saved.state != pb.TASK_UNREACHABLE:
            return
        saved = instance.saved
        self._by_task.pop(saved.task_id, None)
        given_up = [
            self._give_up(saved.task_id, saved.agent_id),
            *self._give_up_sidecars(instance, saved.agent_id),
        ]
        saved.state, saved.unreachable_since_s = pb.TASK_STATE_UNSPECIFIED, 0.0
        instance.running_since_s = None
        self._note(instance)
        self._note_move(self.jobs[instance.job_id])
        instance.explain("replaced, its agent stayed unreachable")
        self._changed[instance.job_id] = None
        self._store([*given_up, instance.change()], lambda: None)

    def _note_move(self, job: JobState) -> None:
        """One of its instances began or ended: where others of it may run is another question."""
        if job.fields:
            self._moved.add(job.job_id)
            self._plan_due = True

    def _demand(self) -> None:
        """There is something new to place."""
        self._new_demand = True
        self._plan_due = True
        self._gang_refuse_s = GANG_REFUSE_S

    def _on_end(self, instance: Instance, status: pb.TaskStatus) -> None:
        """The task has ended: decide whether the instance is run again."""
        saved = instance.saved
        del self._by_task[saved.task_id]
        self._timers.cancel(("unreachable", instance.key))
        since_s, state_before = instance.running_since_s, saved.state
        ran_s = self._now.mono_s - since_s if since_s is not None else 0.0
        was_killed = instance.killing
        instance.running_since_s, instance.killing = None, False
        saved.unreachable_since_s = 0.0
        saved.state = status.state if is_terminal(status.state) else pb.TASK_LOST
        saved.reason, saved.message = status.reason, status.message
        saved.exit_status = status.exit_status if status.HasField("exit_status") else None
        instance.explain(how_it_ended(status))
        job = self.jobs[instance.job_id]
        self._note_move(job)
        if job.stopping or is_final(instance, status, was_killed=was_killed):
            job.finish(instance)
            if job.ended:
                self._forget_old_jobs(job)
            return
        if instance.spec.is_service or was_lost(status):
            crashed = is_crash(instance, status, state_before)
            kept_back_s = delay_s(instance, ran_s, crashed=crashed)
            instance.not_before_s = self._now.mono_s + kept_back_s
            if kept_back_s:
                self._timers.set(("restart", instance.key), instance.not_before_s)
                instance.next_start_at_s = self._now.wall_s + kept_back_s
                instance.explain(how_long(instance), Cause.BACK_OFF)
        saved.state = pb.TASK_STATE_UNSPECIFIED
        self._note(instance)
        self._plan_due = True

    def _restart(self, key: str) -> None:
        """It has been kept back for long enough."""
        instance = self._delayed.get(key)
        if instance is not None:
            instance.next_start_at_s = 0.0
            instance.note_cause = None
            self._note(instance)

    def _forget_old_jobs(self, latest: JobState) -> None:
        ended = [job for job in self.jobs.values() if job.ended and job is not latest]
        for job in ended[: max(0, len(ended) + 1 - MAX_ENDED_JOBS)]:
            del self.jobs[job.job_id]
            self._named[job.job.role, job.job.name].pop(job.job_id)
            for instance in job.instances:
                del self._by_key[instance.key]
            self._requests.pop(job.request_id, None)
            self._store(list(job.removal()), lambda: None)

    # Jobs.

    def _on_submitted(self, event: JobSubmitted) -> None:
        known = self._requests.get(event.request_id)
        if known is not None:
            self._out.append(JobAccepted(event.request_id, known))
            return
        if (problem := self._why_refused(event)) is not None:
            self._out.append(JobRefused(event.request_id, problem))
            return
        job = new_job(event.job_id, event.job, self._now.wall_s, event.request_id)
        self._at = job.job_id
        self._name(job)

        def durable() -> None:
            self._add(job)
            self._probe(None, job.instances)
            self._out.append(JobAccepted(event.request_id, job.job_id))
            self._changed[job.job_id] = None

        self._store([job.change()], durable)

    def _on_released(self, job_id: str, *, discard: bool) -> None:
        """Try a job that was set aside again, from what is stored; or forget it and its tasks."""
        aside = self.quarantined.get(job_id)
        if aside is None:
            self._out.append(Released(job_id, f"there is no job {job_id[:255]} in quarantine"))
        elif discard:
            self._discard(aside)
        else:
            rows = [row for row in aside.rows if row[0] != QUARANTINE]
            try:
                self._take_back(aside, load_job(job_id, rows), rows)
            except Exception as error:  # as when it was set aside
                self._out.append(Released(job_id, f"it still cannot be handled: {why(error)}"))

    def _take_back(self, aside: Quarantined, job: JobState, rows: Sequence[Row]) -> None:
        try:
            self._name(job)
            self._add(job)
        except Exception:
            self._drop(job)
            raise
        del self.quarantined[job.job_id]

        def durable() -> None:
            live = [i for i in job.instances if i.live]
            if live:
                asked = tuple((i.saved.task_id, i.saved.agent_id) for i in live)
                self._out.append(Reconcile(asked))
            self._probe(None, job.instances)
            if job.stopping:
                self._kill_all(job)
            self._changed[job.job_id] = None
            self._out.append(Released(job.job_id))
            self._demand()

        self._at = job.job_id
        self._store([Change(QUARANTINE, job.job_id, None)], durable)

    def _discard(self, aside: Quarantined) -> None:
        del self.quarantined[aside.job_id]
        self._requests.pop(aside.request_id, None)
        live = aside.live_tasks()
        given_up = [self._give_up(task_id, agent_id) for task_id, agent_id in live.items()]

        def durable() -> None:
            for task_id, agent_id in live.items():
                self._out.append(Kill(task_id, agent_id))
            self._out.append(Released(aside.job_id))

        self._store([*aside.removal(), *given_up], durable)

    def _why_refused(self, event: JobSubmitted) -> str | None:
        other = self._running(event.job, None)
        if other is not None and event.unique_name:
            return (
                f"the job {other.job_id} of that name has not ended: end it first with"
                f" `pymesos-cli stop {other.job_id}`, or give this one another name"
            )
        if (problem := _gang_problem(event.job)) is not None:
            return problem
        return None if other is not None else self.volumes.problem(event.job)

    def _running(self, job: Job, but: JobState | None) -> JobState | None:
        """Another job of the name, submitted before, that has not ended and is not ending."""
        for other in self._named.get((job.role, job.name), {}).values():
            if other is but:
                return None
            if not (other.ended or other.stopping):
                return other
        return None

    def _on_stopped(self, job_id: str) -> None:
        self._at = job_id
        job = self.jobs.get(job_id)
        if job is None or job.stopping or job.ended:
            return
        job.stopping = True
        for instance in job.instances:
            if instance.pending:
                job.finish(instance)
                self._note(instance)
        self._changed[job_id] = None
        changes = [job.change(), *(i.change() for i in job.instances if i.saved.done)]
        self._store(changes, lambda: self._kill_all(job))

    def _kill_all(self, job: JobState) -> None:
        for instance in job.instances:
            if instance.live:
                instance.killing = False
                self._kill(instance)

    def _kill(self, instance: Instance) -> None:
        if not instance.killing:
            instance.killing = True
            self._out.append(Kill(instance.saved.task_id, instance.saved.agent_id))

    # Volumes.

    def _note_volumes(self, instance: Instance, status: pb.TaskStatus) -> list[Change]:
        """Its agent has been given the task, so the volumes that it was launched with are there."""
        saved, volumes = instance.saved, instance.spec.volumes
        heard = status.state in _OF_ITS_AGENT and status.source != pb.SOURCE_MASTER
        if not (volumes and heard) or (saved.data_on and not new_volumes(instance)):
            return []
        saved.data_on = status.agent_id or saved.agent_id
        saved.volume_ids |= {volume.name: volume_id(instance, volume) for volume in volumes}
        changes = self.volumes.keep(self.jobs[instance.job_id].job, instance)
        self._note(instance)
        return changes

    def _find_volumes(self, offer: pb.Offer) -> None:
        """What is offered may have the volumes of one that waits, and that nobody remembers."""
        for role, volume in volumes_of(from_proto(offer.resources)):
            instance = self._wanted_volumes.get(volume.id)
            if instance is None or self.jobs[instance.job_id].job.role != role:
                continue
            saved = instance.saved
            saved.data_on, saved.hostname = offer.agent_id, offer.hostname
            there = {volume.id for _, volume in volumes_of(from_proto(offer.resources))}
            ids = {spec.name: volume_id(instance, spec) for spec in instance.spec.volumes}
            saved.volume_ids = {name: i for name, i in ids.items() if i in there}
            changes = self.volumes.keep(self.jobs[instance.job_id].job, instance)
            self._note(instance)
            self._store([instance.change(), *changes], lambda: None)

    def _probe(
        self, agent_ids: Set[str] | None, instances: Iterable[Instance] | None = None
    ) -> None:
        """Ask whether the agents may come back that have the volumes of those that wait."""
        if not self._subscribed:
            return  # it is asked then
        of = self.instances() if instances is None else instances
        waiting = (i for i in of if i.pending and i.saved.data_on)
        asked = [i for i in waiting if agent_ids is None or i.saved.data_on in agent_ids]
        self._probes.update({instance.probe_id: instance for instance in asked})
        if asked:
            self._out.append(Reconcile(tuple((i.probe_id, i.saved.data_on) for i in asked)))

    def _on_probed(self, instance: Instance, status: pb.TaskStatus) -> None:
        saved = instance.saved
        if not (instance.pending and status.agent_id == saved.data_on):
            return
        if status.state == pb.TASK_UNREACHABLE:
            self._known.lose(saved.data_on)
            self._plan_due = self._explaining = True
        elif status.state == pb.TASK_GONE_BY_OPERATOR:
            changes = self._lose_volumes(instance, saved.data_on)
            self._note(instance)
            instance.explain("its data are gone: its agent was given up for good")
            self._store([instance.change(), *changes], lambda: None)
            self._changed[instance.job_id] = None

    def _lose_volumes(self, instance: Instance, agent_id: str) -> list[Change]:
        """The agent will not come back, nor what was on it; the next launch makes new ones."""
        instance.saved.data_on, instance.saved.volume_ids = "", {}
        kept = self.volumes.of(owner_of(self.jobs[instance.job_id].job, instance)).values()
        return self.volumes.forget(volume for volume in kept if volume.agent_id == agent_id)

    def _on_volume_removed(self, role: str, volume_id: str) -> None:
        removed = [v for v in self.volumes if (v.role, v.volume_id) == (role, volume_id)]
        changes = self.volumes.forget(removed)
        for volume in removed:
            for job in self._named.get((volume.role, volume.job), {}).values():
                for instance in job.instances if not job.ended else ():
                    if owner_of(job.job, instance) == volume.owner and instance.pending:
                        changes += self._without_volume(instance, volume)
        if changes:
            self._store(changes, lambda: None)

    def _without_volume(self, instance: Instance, volume: KeptVolume) -> list[Change]:
        saved = instance.saved
        if saved.volume_ids.get(volume.name) == volume.volume_id:
            del saved.volume_ids[volume.name]
            saved.data_on = saved.data_on if saved.volume_ids else ""
            self._note(instance)
            self._demand()
        return [instance.change()]

    # Planning.

    def _plan(self) -> None:
        """Plan over all offers in hand; decline what is of no use; ask for more, or for none."""
        self._plan_due = False
        if not self._subscribed:
            return
        offers = self._hand.by_agent()
        if self._waiting and (offers or self._explaining):
            try:
                self._place(offers)
            except Exception:
                self._at = self._at or self._whose_fault(offers)
                raise
        elif self._waiting:
            # Offers are on their way; if none come, that is explained, too.
            self._timers.set(("explain", ""), self._now.mono_s + EXPLAIN_S)
        self._explaining = False
        if not self._waiting:
            self._hand.held.clear()
        if not self._waiting:
            self._decline_all(NO_FILTER_S)
            if self._wants_offers:
                self._wants_offers = False
                self._out.append(Suppress())
        else:
            self._decline_all(self._gang_refuse_s if self._hand.gang_waits else REFUSE_S)
            if self._hand.gang_waits and not self._hand.held:
                # It was in vain, so others are to have what it was held for, ever longer.
                self._gang_refuse_s = min(GANG_REFUSE_MAX_S, 2 * self._gang_refuse_s)
            if self._new_demand or self._may_be_met_now():
                self._new_demand = False
                self._wants_offers = True
                self._out.append(Revive())
        self._moved.clear()
        self._agents_changed = False

    def _may_be_met_now(self) -> bool:
        """Whether a constraint may be met on an agent that was refused for it."""
        if not (self._moved or self._agents_changed):
            return False
        return any(
            line.task.constraints and (self._agents_changed or line.job_id in self._moved)
            for line in self._waiting
        )

    def _decline_all(self, refuse_s: float) -> None:
        given_back = [i for i in self._hand.offers if i not in self._hand.held]
        if given_back:
            self._out.append(Decline(tuple(given_back), refuse_s))
        for offer_id in given_back:
            self._hand.drop(offer_id)

    def _place(self, offers: Sequence[OfferInHand]) -> None:
        lines = [(line, to_plan(line, offers)) for line in self._waiting]
        tasks = [task for _, planned in lines for task, _ in planned.values()]
        by_id = {task_id: i for _, planned in lines for task_id, (_, i) in planned.items()}
        self._policy.learn(self._workload())
        situation = Situation(self._known, self._placed(), self._kept())
        made = plan(tasks, offers, self._policy, situation)
        for line, planned in lines:
            refusals = (made.unplaced[task_id] for task_id in planned if task_id in made.unplaced)
            refusal = next(refusals, None)
            if refusal is not None and line.refuse(refusal, len(offers)):
                self._changed[line.job_id] = None
        by_agent, later = self._as_accepts(made.launches, by_id)
        for launches in by_agent.values():
            self._launch(launches, by_id)
        self._hold_back(made.of_use_to_gangs | later)
        self._preempt([t for t in tasks if t.task_id in made.unplaced], by_id, offers, situation)

    def _whose_fault(self, offers: Sequence[OfferInHand]) -> str:
        """The job that cannot be planned by itself, either; empty: none, or not one alone can."""
        situation = Situation(self._known, self._placed(), self._kept())
        failed: list[str] = []
        for line in self._waiting:
            try:
                tasks = [task for task, _ in to_plan(line, offers).values()]
                plan(tasks, offers, self._policy, situation)
            except Exception:
                failed.append(line.job_id)
        others = len(self._waiting) > len(failed)
        return failed[0] if failed and (others or len(failed) == 1) else ""

    def _as_accepts(
        self, launches: Sequence[Launch], by_id: Mapping[str, Instance]
    ) -> tuple[Mapping[str, Sequence[Launch]], Set[str]]:
        """As many by agent as an ACCEPT may hold, gangs whole; and the offers of gangs left out.

        The others are planned again with what it leaves.
        """
        units: dict[str, list[Launch]] = {}
        for launch in launches:
            units.setdefault(launch.task.gang or f"task {launch.task.task_id}", []).append(launch)
        by_agent: dict[str, list[Launch]] = {}
        sizes: Counter[tuple[str, str]] = Counter()
        later: set[str] = set()
        for unit in units.values():
            more: Counter[tuple[str, str]] = Counter()
            for launch in unit:
                instance, agent_id = by_id[launch.task.task_id], launch.offer.agent.agent_id
                tasks, size = _part_of_accept(self.jobs[instance.job_id].job, instance.spec)
                more.update({(agent_id, "tasks"): tasks, (agent_id, "bytes"): size})
            if any(sizes[key] + n > _ACCEPT_HOLDS[key[1]] for key, n in more.items()):
                later.update(
                    i for launch in unit if launch.task.gang for i in launch.offer.offer_ids
                )
                continue
            sizes.update(more)
            for launch in unit:
                by_agent.setdefault(launch.offer.agent.agent_id, []).append(launch)
        return by_agent, later

    def _workload(self) -> Workload:
        """What usually comes: the instances of all jobs that have not ended."""
        counts: dict[Shape, int] = {}
        for job in self.jobs.values():
            for spec in job.job.tasks if not job.ended else ():
                shape = shape_of(spec.scalars, gpu_models(spec.constraints))
                counts[shape] = counts.get(shape, 0) + spec.instances
        return Workload.counted(counts)

    def _hold_back(self, of_use_to_gangs: Set[str]) -> None:
        """A gang needs several offers at a time: keep those of use to it for a while.

        They come again soon after they are declined, so that those of different times meet.
        """
        self._hand.held = {
            offer_id
            for offer_id in of_use_to_gangs & self._hand.offers.keys()
            if self._hand.since_s.get(offer_id, 0.0) + HOLD_S > self._now.mono_s
        }
        self._hand.gang_waits = bool(of_use_to_gangs)
        if self._hand.held:
            at = min(self._hand.since_s[offer_id] for offer_id in self._hand.held) + HOLD_S
            self._timers.set(("hold", ""), at)

    def _preempt(
        self,
        unplaced: Sequence[PendingTask],
        by_id: Mapping[str, Instance],
        offers: Sequence[OfferInHand],
        situation: Situation,
    ) -> None:
        """Kill tasks of lower priority for those that may do so; they are run again later.

        Victims end at different times. Meanwhile nothing less urgent gets what is free where they
        are, themselves included.
        """
        units: dict[str, list[PendingTask]] = {}
        for task in unplaced:
            if self._may_preempt(by_id[task.task_id]):
                units.setdefault(task.gang or task.task_id, []).append(task)
        if not units:
            return
        running = [
            running_task(i, self.jobs[i.job_id].job.priority)
            for i in self._by_task.values()
            if i.saved.state == pb.TASK_RUNNING and not (i.killing or i.saved.preempted)
        ]
        free = {offer.agent.agent_id: offer.available for offer in offers}
        kept = dict(situation.kept)
        for unit in sorted(units.values(), key=lambda unit: -unit[0].priority):
            priority = unit[0].priority
            agents = [a for a in self._known if kept.get(a.agent_id, priority - 1) < priority]
            homes = {
                t.task_id: by_id[t.task_id].saved.data_on
                for t in unit
                if by_id[t.task_id].saved.data_on
            }
            made = preemption(unit, running, free, agents, situation.placed, homes)
            if made is None:
                continue
            kept |= dict.fromkeys(made.agents, priority)
            victims = [self._by_task[task_id] for task_id in made.victims]
            grace_s = max(victim.spec.kill_grace_s for victim in victims)
            for task in unit:
                waiting = by_id[task.task_id]
                waiting.preempt_again_s = self._now.mono_s + grace_s + PREEMPT_AGAIN_S
                self._timers.set(("kept", waiting.key), waiting.preempt_again_s)
                waiting.kept_agents = made.agents
                text = f"waits for {len(victims)} tasks of lower priority to end"
                waiting.explain(text, Cause.PREEMPTING)
            self._kill_for_another(victims)

    def _kill_for_another(self, preempted: Sequence[Instance]) -> None:
        """Stored first: after a restart, too, such an end is not the end of the instance."""
        for instance in preempted:
            instance.saved.preempted = True

        def durable() -> None:
            for instance in preempted:
                if instance.saved.task_id in self._by_task:
                    self._kill(instance)

        self._store([instance.change() for instance in preempted], durable)

    def _may_preempt(self, instance: Instance) -> bool:
        again = instance.preempt_again_s <= self._now.mono_s
        return self.jobs[instance.job_id].job.preempt and again

    def _kept(self) -> dict[str, int]:
        """The agents where room is being made for a task that waits, with its priority."""
        out: dict[str, int] = {}
        for line in self._waiting:
            for instance in line.instances.values() if line.preempt else ():
                if instance.preempt_again_s > self._now.mono_s:
                    for agent_id in instance.kept_agents:
                        out[agent_id] = max(line.task.priority, out.get(agent_id, 0))
        return out

    def _placed(self) -> Placed:
        """Where the instances run of every job that has a constraint."""
        out = Placed()
        for job in self.jobs.values():
            for instance in job.instances if job.fields and not job.ended else ():
                if instance.saved.task_id in self._by_task:
                    out.add(instance.group, self._attributes_of(instance.saved))
        return out

    def _attributes_of(self, saved: Saved) -> Mapping[str, str]:
        if saved.attributes:
            return saved.attributes
        # It was launched by a version that did not keep them.
        agent = self._known.get(saved.agent_id)
        return agent.attributes if agent is not None else {"hostname": saved.hostname}

    def _launch(self, launches: Sequence[Launch], by_id: Mapping[str, Instance]) -> None:
        """Store the launches on one agent, then send them."""
        offer = launches[0].offer
        alone: list[pb.TaskInfo] = []
        groups: list[tuple[pb.TaskInfo, ...]] = []
        changes = []
        before: list[scheduler_pb.Operation] = []
        for planned in launches:
            instance = by_id[planned.task.task_id]
            self._at = instance.job_id
            job = self.jobs[instance.job_id]
            role = job.job.role
            launch, operations = with_volumes(instance, planned, role)
            before += operations
            saved = instance.saved
            instance.planned = True
            saved.task_id, saved.attempts = launch.task.task_id, saved.attempts + 1
            saved.state = pb.TASK_STAGING
            saved.agent_id, saved.hostname = offer.agent.agent_id, offer.agent.hostname
            attributes = offer.agent.attributes
            saved.attributes = {n: attributes[n] for n in job.fields if n in attributes}
            saved.ports = [p for begin, end in launch.ports for p in range(begin, end + 1)]
            saved.devices = devices(launch.resources)
            saved.exit_status = None
            saved.ended_beside = []
            saved.preempted = False
            instance.explain("its launch is being stored", Cause.STORING)
            instance.sidecar_failed, instance.next_start_at_s = False, 0.0
            self._by_task[saved.task_id] = instance
            self._note(instance)
            if job.fields:
                self._moved.add(job.job_id)
            infos = task_infos(instance, launch)
            if instance.spec.sidecars:
                groups.append(infos)
            else:
                alone += infos
            changes.append(instance.change())
            self._changed[instance.job_id] = None
        self._at = ""
        for offer_id in offer.offer_ids:
            self._hand.drop(offer_id)

        def durable() -> None:
            for launch in launches:
                instance = by_id[launch.task.task_id]
                instance.planned = False
                if instance.note_cause == Cause.STORING:
                    instance.explain("")
            # If the offer is gone meanwhile, the master answers so for each task.
            self._out.append(Accept(offer.offer_ids, tuple(alone), tuple(before), tuple(groups)))
            for launch in launches:
                instance = by_id[launch.task.task_id]
                if self.jobs[instance.job_id].stopping:
                    self._kill(instance)

        self._store(changes, durable)
