"""What the bin-packing framework knows and keeps: jobs and their instances.

Of both there are two views: what is meant, from which is decided, and what is durable, of which may
be told. `saved` and `durable` are the same object while nothing waits to be written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pymesos_binpack.jobs.history import SUBMIT, History, Version
from pymesos_binpack.jobs.instance import (
    Home,
    Instance,
    Saved,
    again_of,
    instance_key,
    mark_of,
    version_of,
)
from pymesos_binpack.jobs.lifecycle import Happened
from pymesos_binpack.jobs.rollouts.members import Awaited
from pymesos_binpack.jobs.rollouts.state import Rollout, known_good
from pymesos_binpack.jobs.scaling import Scaling, scaled
from pymesos_binpack.periodic.runs import Run, Runs
from pymesos_binpack.specs import Job, TaskSpec
from pymesos_core.store import Change
from pymesos_proto.v1 import types_pb2 as pb

JOB = "job"
ROLLOUT = "rollout"  # the latest of a task: its job's id/its name
ROLLOUTS = "rollouts"  # which ids the instances of a job had; earlier, also all of its rollouts
SCALING = "scaling"  # of a task that is scaled: its job's id/its name
RUNS = "runs"  # of a periodic task: its job's id/its name
VOLUME = "volume"  # one that was made: see `volumes`


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
    hurried: bool = False  # it is stopping, and its clients have no time to leave
    unsettled: bool = False  # some instance is not of the version in force, or is not there
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)  # by task: the latest of each
    durable_rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    runs: Mapping[str, Runs] = field(default_factory=dict)  # of periodic tasks
    durable_runs: Mapping[str, Runs] = field(default_factory=dict)
    scalings: Mapping[str, Scaling] = field(default_factory=dict)  # of tasks, by what is measured
    durable_scalings: Mapping[str, Scaling] = field(default_factory=dict)
    next_due_s: dict[str, float] = field(default_factory=dict)  # when the next of each is due
    awaited: Mapping[str, Awaited] = field(default_factory=dict)  # see `dependencies`; by task
    ends_later: dict[str, Instance] = field(default_factory=dict)  # after those that began later
    # Which version no tasks as they were earlier, by these versions, go with.
    not_together: tuple[int, Mapping[str, int]] = (0, {})
    # Those that have records of their own, see `writes`; None: what is in it is outdated.
    written_rollouts: Mapping[str, Rollout | None] = field(default_factory=dict)
    are_together: bool = False  # its rollouts are stored as one record, as they were earlier
    used: dict[str, int] = field(default_factory=dict)  # see `retire`
    left: int = field(init=False)  # instances that are not done
    durably_stopping: bool = field(init=False)
    durably_hurried: bool = field(init=False)
    durably_left: int = field(init=False)
    durable_version: int = field(init=False)
    keys: set[str] = field(init=False)  # of the instances
    known: dict[int, Known] = field(default_factory=dict)  # versions as they were read, by number

    def __post_init__(self) -> None:
        self.left = self.durably_left = sum(not i.saved.done for i in self.instances)
        self.keys = {i.key for i in self.instances}
        self.durably_stopping, self.durably_hurried = self.stopping, self.hurried
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

    def is_known_to_work(self, number: int) -> bool:
        """Whether each service is, by a version, as it is known to work: see `known_good`.

        One that was never changed counts as such; of batch tasks nothing is to be known.
        """
        version, known = self.history.get(number), self.known.get(number)
        if version is None or version.works or known is None:
            return version is not None and version.works
        return all(
            known.revisions[task] == self.revision_in(task, self._known_good(task))
            for task, spec in known.specs.items()
            if spec.is_service
        )

    def _known_good(self, task: str) -> int:
        rollout = self.rollouts.get(task)
        return self.version if rollout is None else known_good(rollout)

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
        works = self.is_known_to_work(self.version)
        self.know(version, job)
        needed = self._needed_versions(version.number)
        self.history, changes = self.history.with_latest(self.job_id, version, needed, works=works)
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
        self,
        spec: TaskSpec,
        index: int,
        of: Version | None = None,
        begun_s: float = 0.0,
        home: Home | None = None,
        run: Run | None = None,
    ) -> Instance:
        """Have one more instance, of the version in force or, where a rollout says so, another."""
        of = of or self.history.latest
        saved = Saved(version=of.number, begun_s=begun_s) if begun_s else Saved()
        if home is not None:
            saved = saved._replace(agent_id=home.agent_id, hostname=home.hostname)
        if run is not None:
            saved = saved._replace(run=run.run_id, args=run.args)
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

    def rescale(self) -> None:
        """Have as many instances of its tasks as these were scaled to."""
        self.job = scaled(self.job, self.scalings)
        self.know(self.history.latest, self.job)

    def scaled_counts(self) -> Mapping[str, int]:
        """Return how many instances those of its tasks have that are scaled; that is durable."""
        return {
            spec.name: spec.scale.bounded(known.count)
            if (known := self.durable_scalings.get(spec.name)) is not None
            else spec.instances
            for spec in self.job.tasks
            if spec.scale is not None
        }

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

    def call_off(self, instance: Instance, why: str, now_wall_s: float) -> None:
        """One of its instances that waits is done: how its latest task ended is not the reason."""
        said = "not started again" if instance.saved.attempts else "never started"
        text = f"{said}: {why}"
        self.finish(instance, Happened.CALLED_OFF, now_wall_s, message=text, reason=0)
        instance.next_start_at_s = 0.0
        instance.explain(text)

    def is_durable(self, instance: Instance, saved: Saved) -> None:
        """What one of its instances was meant to be has been written."""
        self.durably_left -= saved.done and not instance.durable.done
        instance.is_durable(saved)

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs or will run, as it is meant."""
        return self.left == 0 and (self.stopping or not self._may_have_more)

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs or will run, and that is durable."""
        return self.durably_left == 0 and (self.durably_stopping or not self._may_have_more)

    @property
    def _may_have_more(self) -> bool:
        return self.unsettled or self.job.is_open_ended

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
            "hurried": self.hurried,
            "version": self.history.latest.record(),
        }
        return Change(JOB, self.job_id, json.dumps(record).encode())


def revision_of(spec: TaskSpec, version: Version) -> str:
    """What tasks have in common between which nothing need be replaced."""
    return f"{spec.digest}.{version.restarts.get(spec.name, 0)}"


def new_job(
    job_id: str,
    job: Job,
    now_wall_s: float,
    request_id: str,
    made_by: str = "",
    restored: tuple[Version, ...] = (),
) -> JobState:
    """A job with all its instances, which wait; it may have versions already, by a backup."""
    first = Version(1, job.document, now_wall_s, made_by, SUBMIT, request_id)
    state = JobState(job_id, job, now_wall_s, request_id, [], History(restored or (first,)))
    fill(state)
    state.unsettled = (
        job.is_open_ended or job.has_dependencies
    )  # its instances come with the agents, or at their time
    return state


def fill(job: JobState) -> None:
    """Have all instances that the version in force wants and that are not there at all."""
    there = {(i.spec.name, i.index) for i in job.instances}
    for spec in job.job.tasks:
        for index in range(spec.instances if spec.periodic is None else 0):
            if (spec.name, index) not in there:
                job.add(spec, index)
