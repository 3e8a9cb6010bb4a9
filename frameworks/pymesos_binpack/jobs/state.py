"""What the bin-packing framework knows and keeps: jobs and their instances.

Of both there are two views: what is meant, from which is decided, and what is durable, of which may
be told. `saved` and `durable` are the same object while nothing waits to be written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from pymesos_binpack.jobs.history import History, Version
from pymesos_binpack.jobs.lifecycle import INSTANCE_LIFE, Happened, Phase, phase_of
from pymesos_binpack.jobs.rollouts.members import Trouble
from pymesos_binpack.jobs.rollouts.state import Rollout
from pymesos_binpack.placement.queue import Line
from pymesos_binpack.placement.tasks import Cause, Refusal
from pymesos_binpack.specs import Job, TaskSpec
from pymesos_core.lifecycle import Story
from pymesos_core.states import is_terminal
from pymesos_core.store import Change
from pymesos_proto.v1 import types_pb2 as pb

JOB = "job"
INSTANCE = "instance"
ROLLOUTS = "rollouts"  # of a job, and which ids its instances had
VOLUME = "volume"  # one that was made: see `volumes`


class Saved(NamedTuple):
    """The part of an instance that survives. A new one is made for every change, and quickly."""

    task_id: str = ""  # of the latest attempt
    attempts: int = 0
    state: int = pb.TASK_STATE_UNSPECIFIED  # of the latest attempt; unspecified: pending
    agent_id: str = ""
    hostname: str = ""
    attributes: Mapping[str, str] = MappingProxyType({})  # of its agent: see JobState.fields
    ports: Sequence[int] = ()
    devices: Mapping[str, int] = MappingProxyType({})  # thousandths of each GPU it has
    preempted: bool = False  # it is killed for one of higher priority, and will be run again
    data_on: str = ""  # the agent that has its volumes, once they are made
    volume_ids: Mapping[str, str] = MappingProxyType({})  # of those, by their names
    ended_beside: Sequence[str] = ()  # its sidecars that have ended, task ids
    done: bool = False  # it will not be launched again
    unreachable_since_s: float = 0.0  # Unix time; 0: it is not
    failures: int = 0  # of a batch instance, counted against its retries
    exit_status: int | None = None
    reason: int = pb.REASON_UNSPECIFIED
    message: str = ""
    ready_since_s: float = 0.0  # Unix time since when it runs and its checks pass; 0: not so
    crashed_s: Sequence[float] = ()  # Unix times, where too many of them end it for good
    leaving: str = ""  # why it is to end and be forgotten: another takes its place, or none
    version: int = 0  # of the job, as which it runs; 0: as its mark says
    begun_s: float = 0.0  # Unix time at which a rollout decided on it; 0: none did

    def record(self) -> dict[str, Any]:
        """As it is stored."""
        record = self._asdict()
        for name in ("attributes", "devices", "volume_ids"):
            record[name] = dict(record[name])
        return record


def instance_key(job_id: str, task: str, index: int, mark: str = "") -> str:
    """The key of an instance's record."""
    return f"{job_id}/{task}/{index}{mark and '/'}{mark}"


def mark_of(version: int, again: int) -> str:
    """The mark of an instance that a job has since its version, and of the same index `again`.

    So no two tasks of a job have the same id, and those of the first version have plain ones.
    """
    return f"v{version}r{again}" if again else f"v{version}" if version > 1 else ""


def version_of(mark: str) -> int:
    """The version since which a job has an instance of that mark."""
    return int(mark.removeprefix("v").partition("r")[0]) if mark else 1


def again_of(mark: str) -> int:
    """How many instances of the same index there were before one of that mark, since then."""
    return int(mark.partition("r")[2] or 0)


@dataclass(slots=True, eq=False)
class Instance:
    """One instance of a task of a job: it waits, or runs as `saved.task_id`, or is done."""

    job_id: str
    job_name: str
    spec: TaskSpec
    index: int
    saved: Saved = field(default_factory=Saved)
    mark: str = ""  # which of its index it is; those that a job began with have none
    version: int = 1  # of the job, as which it runs
    revision: str = ""  # of its task: see JobState.revisions
    durable: Saved = field(init=False)
    state: Phase = field(init=False)
    story: Story = ()
    note: str = ""  # why it is not running; what a later plan says comes before it
    note_cause: Cause | None = None
    told: tuple[str, Cause | None] = ("", None)  # the note of what is durable
    line: Line[Instance] | None = None  # while it waits
    refusals_before: int = 0  # of its line, before it waited or its note was written
    offers_before: int = 0
    not_before_s: float = 0.0  # a service that keeps failing is restarted ever later
    next_start_at_s: float = 0.0  # the same as Unix time, while it is kept back
    quick_failures: int = 0
    running_since_s: float | None = None
    killing: bool = False
    sidecar_failed: bool = False  # of the latest attempt
    image_trouble: Trouble = Trouble.NONE  # of an image, until it runs
    preempt_again_s: float = 0.0  # others were killed for it, and others may be then
    kept_agents: frozenset[str] = frozenset()  # where they were; until then for nothing less urgent

    def __post_init__(self) -> None:
        self.restore(self.saved)

    def restore(self, saved: Saved) -> None:
        """Begin with what is stored."""
        self.saved = self.durable = saved
        state, ended = saved.state, is_terminal(pb_state(saved.state))
        if saved.done:
            self.state = Phase.DONE
        elif state == pb.TASK_STATE_UNSPECIFIED or ended:
            self.state = Phase.WAITING
        else:
            self.state = phase_of(state)

    def amend(self, **changes: Any) -> None:
        """Something of it is to be another; it is told once that is durable."""
        self.saved = self.saved._replace(**changes)

    def move(self, happened: Happened, now_wall_s: float) -> None:
        """Raises ImpossibleTransitionError, with its story."""
        INSTANCE_LIFE.move(self, happened, now_wall_s)

    def is_durable(self, saved: Saved) -> None:
        """What it was meant to be has been written."""
        self.durable = saved
        if self.settled:
            self.told = (self.note, self.note_cause)

    @property
    def settled(self) -> bool:
        """Whether what is meant is durable."""
        return self.durable is self.saved

    @property
    def label(self) -> str:
        """For people."""
        return f"instance {self.key} (task {self.saved.task_id or 'none yet'})"

    @property
    def name(self) -> str:
        """Unlike that of any other of its job."""
        return f"{self.spec.name}.{self.index}{self.mark and '.'}{self.mark}"

    @property
    def group(self) -> str:
        """The instances among which UNIQUE and GROUP_BY count."""
        return f"{self.job_id}.{self.spec.name}"

    @property
    def next_task_id(self) -> str:
        """The task id of its next attempt."""
        return f"{self.job_id}.{self.name}.{self.saved.attempts + 1}"

    @property
    def probe_id(self) -> str:
        """The id of a task that never was: what the master says of it, it says of the agent."""
        return f"{self.job_id}.{self.name}.0"

    @property
    def key(self) -> str:
        """The key of its record in the state directory."""
        return instance_key(self.job_id, self.spec.name, self.index, self.mark)

    @property
    def live(self) -> bool:
        """Whether a task of it exists, as far as known."""
        return self.state not in (Phase.WAITING, Phase.DONE)

    @property
    def pending(self) -> bool:
        """Whether it waits to be launched."""
        return self.state is Phase.WAITING

    @property
    def refusal(self) -> Refusal | None:
        """What the latest plan said of it."""
        line = self.line
        return line.refusal if line is not None and line.refusals > self.refusals_before else None

    @property
    def explanation(self) -> str:
        """Why it is not running."""
        return self.refusal.text if self.refusal is not None else self.note

    @property
    def offers_seen(self) -> int:
        """How many offers did not do, since it began to wait."""
        return self.line.offers_seen - self.offers_before if self.line is not None else 0

    def explain(self, note: str, cause: Cause | None = None, *, at_once: bool = False) -> None:
        """There is something to say of it, newer than what the latest plan said.

        It is told with what is durable, or `at_once`.
        """
        self.note, self.note_cause = note, cause
        self.refusals_before = self.line.refusals if self.line is not None else 0
        if self.settled or at_once:
            self.told = (note, cause)

    def change(self) -> Change:
        """The write of what it is meant to be."""
        return Change(INSTANCE, self.key, json.dumps(self.saved.record()).encode())


class Known(NamedTuple):
    """A version of a job, as it was read: its tasks, and their revisions, by name."""

    specs: Mapping[str, TaskSpec]
    revisions: Mapping[str, str]


@dataclass(slots=True, eq=False)
class JobState:
    """A job and what became of it.

    `job` is what the latest version in `history` says, also while that is not yet stored.
    """

    job_id: str
    job: Job
    submitted_at_s: float
    request_id: str
    instances: list[Instance]
    history: History
    stopping: bool = False
    unsettled: bool = False  # some instance is not of the version in force, or is not there
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)  # by task: the latest of each
    durable_rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    # Which version no tasks as they were earlier, by these versions, go with.
    not_together: tuple[int, Mapping[str, int]] = (0, {})
    used: dict[str, int] = field(default_factory=dict)  # see `retire`
    left: int = field(init=False)  # instances that are not done
    durably_stopping: bool = field(init=False)
    durably_left: int = field(init=False)
    durable_version: int = field(init=False)
    keys: set[str] = field(init=False)  # of the instances
    known: dict[int, Known] = field(default_factory=dict)  # versions as they were read, by number

    def __post_init__(self) -> None:
        self.left = self.durably_left = sum(not i.saved.done for i in self.instances)
        self.keys = {i.key for i in self.instances}
        self.durably_stopping = self.stopping
        self.durable_version = self.version
        self.know(self.history.latest, self.job)

    @property
    def latest_s(self) -> float:
        """The latest Unix time that is stored of what its rollouts go by."""
        times = [max(i.saved.ready_since_s, i.saved.begun_s) for i in self.instances]
        times += [
            max(r.since_s, r.forgiven_s, r.still_since_s or 0.0) for r in self.rollouts.values()
        ]
        return max(times, default=0.0)

    @property
    def version(self) -> int:
        """The number of the version in force."""
        return self.history.latest.number

    def told_instances(self) -> list[Instance]:
        """Return those of which may be told: others are of a version that is not stored yet."""
        if self.durable_version == self.version:
            return self.instances
        return [i for i in self.instances if version_of(i.mark) <= self.durable_version]

    def restarts_after(self, tasks: Iterable[str], as_of: int) -> Mapping[str, int]:
        """How often each task began anew on demand, once these do; or as in an earlier version.

        That is for tasks that are changing: of the others what runs is not to be replaced for it.
        """
        restarts = dict(self.history.latest.restarts)
        for task, rollout in self.rollouts.items() if as_of else ():
            if rollout.going:
                restarts[task] = self._restarts_in(task, as_of, rollout.from_version)
        for name in tasks:
            restarts[name] = restarts.get(name, 0) + 1
        return restarts

    def _restarts_in(self, task: str, as_of: int, known_good: int) -> int:
        """How often a task had begun anew by an earlier version, or when it was known to work.

        The latter where it was the same then, for that is what still runs.
        """
        then, good = self._digest_in(task, as_of), self._digest_in(task, known_good)
        version = self.history.get(known_good if then == good else as_of)
        return version.restarts.get(task, 0) if version is not None else 0

    def _digest_in(self, task: str, number: int) -> str:
        known = self.known.get(number)
        return known.specs[task].digest if known is not None and task in known.specs else ""

    def revision(self, task: str) -> str:
        """What a running task of that name has to be of, by the version in force; or empty."""
        return self.revision_in(task, self.version)

    def revision_in(self, task: str, number: int) -> str:
        """What a running task of that name has to be of by an earlier version; or empty."""
        known = self.known.get(number)
        return known.revisions.get(task, "") if known is not None else ""

    def is_current(self, instance: Instance) -> bool:
        """Whether an instance is as the version in force says."""
        return instance.revision == self.revision(instance.spec.name)

    def know(self, version: Version, job: Job) -> None:
        """Remember what a version says, as it was read."""
        specs = {spec.name: spec for spec in job.tasks}
        revisions = {name: revision_of(spec, version) for name, spec in specs.items()}
        self.known[version.number] = Known(specs, revisions)

    def take_back(self, instances: Iterable[Instance]) -> None:
        """Have instances that are stored."""
        self.instances += instances
        self.keys = {i.key for i in self.instances}
        self.left = self.durably_left = sum(not i.saved.done for i in self.instances)

    def take(self, job: Job, version: Version) -> list[Instance | Change]:
        """Put another version in force; returns what is to be written besides.

        What of the running instances stays as it is, is from now on as the version says, and of
        that version once its own is not kept any more.
        """
        self.know(version, job)
        needed = self._needed_versions(version.number)
        self.history, changes = self.history.with_latest(self.job_id, version, needed)
        self.used = {}
        self.job = job
        kept = {v.number for v in self.history.versions}
        self.known = {number: known for number, known in self.known.items() if number in kept}
        moved: list[Instance] = []
        for instance in self.instances:
            if not self.is_current(instance):
                continue
            instance.spec = self.known[self.version].specs[instance.spec.name]
            forgotten = instance.saved.leaving and instance.saved.done  # its record goes
            if instance.version not in kept and not forgotten:
                instance.version = self.version
                instance.amend(version=self.version)
                moved.append(instance)
        return [*changes, *moved]

    def add(
        self, spec: TaskSpec, index: int, of: Version | None = None, begun_s: float = 0.0
    ) -> Instance:
        """Have one more instance, of the version in force or, where a rollout says so, another."""
        of = of or self.history.latest
        saved = Saved(version=of.number, begun_s=begun_s) if begun_s else Saved()
        made = Instance(
            self.job_id,
            self.job.name,
            spec,
            index,
            saved,
            mark=self._new_mark(spec.name, index),
            version=of.number,
            revision=revision_of(spec, of),
        )
        self.instances.append(made)
        self.keys.add(made.key)
        self.left += 1
        self.durably_left += 1
        return made

    def _new_mark(self, task: str, index: int) -> str:
        again = self.used.get(f"{task}/{index}", 0)
        while instance_key(self.job_id, task, index, mark_of(self.version, again)) in self.keys:
            again += 1
        return mark_of(self.version, again)

    def _needed_versions(self, latest: int) -> set[int]:
        """Return the versions that rollouts go by, and those of instances unlike the latest."""
        of_rollouts = (n for r in self.rollouts.values() for n in (r.from_version, r.to_version))
        others = (
            i.version for i in self.instances if i.revision != self.revision_in(i.spec.name, latest)
        )
        return {*of_rollouts, *others}

    def retire(self, instances: Iterable[Instance]) -> bool:
        """Note that the ids of instances are not to be given again; returns whether that is new."""
        new = False
        for instance in instances:
            if version_of(instance.mark) == self.version:
                place = f"{instance.spec.name}/{instance.index}"
                self.used[place] = max(self.used.get(place, 0), again_of(instance.mark) + 1)
                new = True
        return new

    def rollouts_change(self) -> Change:
        """The write of what is known of its rollouts."""
        record = {
            "rollouts": {task: rollout.record() for task, rollout in self.rollouts.items()},
            "used": self.used,
            "version": self.version,
        }
        return Change(ROLLOUTS, self.job_id, json.dumps(record).encode())

    def remove(self, gone: Set[Instance]) -> None:
        """Forget instances that are done; that is durable."""
        self.instances = [i for i in self.instances if i not in gone]
        self.keys -= {i.key for i in gone}
        self.durably_left -= sum(not i.durable.done for i in gone)

    def finish(
        self, instance: Instance, happened: Happened, now_wall_s: float, **changes: Any
    ) -> None:
        """One of its instances is done."""
        instance.move(happened, now_wall_s)
        instance.amend(done=True, **changes)
        self.left -= 1

    def is_durable(self, instance: Instance, saved: Saved) -> None:
        """What one of its instances was meant to be has been written."""
        self.durably_left -= saved.done and not instance.durable.done
        instance.is_durable(saved)

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs or will run, as it is meant."""
        return self.left == 0 and (self.stopping or not self.unsettled)

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs or will run, and that is durable."""
        return self.durably_left == 0 and (self.durably_stopping or not self.unsettled)

    @property
    def fields(self) -> frozenset[str]:
        """The attributes of agents that matter to where its tasks run."""
        return frozenset(of.field for task in self.job.tasks for of in task.constraints)

    @property
    def state(self) -> str:
        """running, stopping, finished, failed or stopped: as it is durable."""
        if not self.is_over:
            return "stopping" if self.durably_stopping else "running"
        if self.durably_stopping:
            return "stopped"
        ok = all(i.durable.state == pb.TASK_FINISHED for i in self.instances)
        return "finished" if ok else "failed"

    def change(self) -> Change:
        """The write of what it is meant to be, without its instances and its earlier versions."""
        record = {
            "document": self.job.document,
            "submitted_at_s": self.submitted_at_s,
            "request_id": self.request_id,
            "stopping": self.stopping,
            "version": self.history.latest.record(),
        }
        return Change(JOB, self.job_id, json.dumps(record).encode())

    def removal(self) -> Iterator[Change]:
        """Forget it and its instances."""
        yield Change(JOB, self.job_id, None)
        yield Change(ROLLOUTS, self.job_id, None)
        yield from self.history.removal(self.job_id)
        for instance in self.instances:
            yield Change(INSTANCE, instance.key, None)


def revision_of(spec: TaskSpec, version: Version) -> str:
    """What tasks have in common between which nothing need be replaced."""
    return f"{spec.digest}.{version.restarts.get(spec.name, 0)}"


def new_job(
    job_id: str, job: Job, now_wall_s: float, request_id: str, made_by: str = ""
) -> JobState:
    """A job with all its instances, which wait."""
    first = Version(1, job.document, now_wall_s, made_by, "submit", request_id)
    state = JobState(job_id, job, now_wall_s, request_id, [], History((first,)))
    fill(state)
    return state


def fill(job: JobState) -> None:
    """Have all instances that the version in force wants and that are not there at all."""
    there = {(i.spec.name, i.index) for i in job.instances}
    for spec in job.job.tasks:
        for index in range(spec.instances):
            if (spec.name, index) not in there:
                job.add(spec, index)


def pb_state(number: int) -> pb.TaskState:
    """The enum's type for a stored number."""
    return number  # type: ignore[return-value]
