"""What the bin-packing framework knows and keeps: jobs and their instances."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pymesos_binpack.placement.tasks import Cause, PendingTask, Refusal
from pymesos_binpack.specs import Job, TaskSpec
from pymesos_core.resources import Resources, to_proto
from pymesos_core.states import is_terminal
from pymesos_core.store import Change
from pymesos_proto.v1 import types_pb2 as pb

FRAMEWORK = "framework"
JOB = "job"
INSTANCE = "instance"
VOLUME = "volume"  # one that was made: see `volumes`
REPLACED = "replaced"  # task id → agent id of one that was given up, and may yet come back


@dataclass(slots=True)
class Saved:
    """The part of an instance that survives."""

    task_id: str = ""  # of the latest attempt
    attempts: int = 0
    state: int = pb.TASK_STATE_UNSPECIFIED  # of the latest attempt; unspecified: pending
    agent_id: str = ""
    hostname: str = ""
    attributes: dict[str, str] = field(default_factory=dict)  # of its agent: see JobState.fields
    ports: list[int] = field(default_factory=list)
    devices: dict[str, int] = field(default_factory=dict)  # thousandths of each GPU it has
    preempted: bool = False  # it is killed for one of higher priority, and will be run again
    data_on: str = ""  # the agent that has its volumes, once they are made
    volume_ids: dict[str, str] = field(default_factory=dict)  # of those, by their names in the job
    ended_beside: list[str] = field(default_factory=list)  # its sidecars that have ended, task ids
    done: bool = False  # it will not be launched again
    unreachable_since_s: float = 0.0  # Unix time; 0: it is not
    failures: int = 0  # of a batch instance, counted against its retries
    exit_status: int | None = None
    reason: int = pb.REASON_UNSPECIFIED
    message: str = ""

    def record(self) -> dict[str, Any]:
        """As it is stored; `dataclasses.asdict` would copy every list first."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True, eq=False)
class Line:
    """Instances that wait for the same: what is said of one of them is true for all."""

    name: str
    job_id: str
    task: PendingTask  # each of them, but for its id
    preempt: bool
    instances: dict[str, Instance] = field(default_factory=dict)  # by key
    joined: bool = True  # somebody has, since the latest plan
    refusal: Refusal | None = None  # by that plan
    refusals: int = 0
    offers_seen: int = 0  # that did not do
    needs: list[pb.Resource] = field(init=False)  # the scalars of each, for those who ask

    def __post_init__(self) -> None:
        self.needs = to_proto(Resources(dict(self.task.scalars)))

    def refuse(self, refusal: Refusal, offers: int) -> bool:
        """So many offers have no place for the rest of it; whether that is news to somebody."""
        news = self.joined or self.refusal is None or self.refusal.text != refusal.text
        self.refusal, self.joined = refusal, False
        self.refusals += 1
        self.offers_seen += offers
        return news


@dataclass(slots=True)
class Instance:
    """One instance of a task of a job: pending, or running as `saved.task_id`, or done."""

    job_id: str
    job_name: str
    spec: TaskSpec
    index: int
    saved: Saved = field(default_factory=Saved)
    note: str = ""  # why it is not running; what a later plan says comes before it
    note_cause: Cause | None = None
    line: Line | None = None  # while it waits
    refusals_before: int = 0  # of its line, before it waited or its note was written
    offers_before: int = 0
    not_before_s: float = 0.0  # a service that keeps failing is restarted ever later
    next_start_at_s: float = 0.0  # the same as Unix time, while it is kept back
    quick_failures: int = 0
    running_since_s: float | None = None
    killing: bool = False
    sidecar_failed: bool = False  # of the latest attempt
    preempt_again_s: float = 0.0  # others were killed for it, and others may be then
    kept_agents: frozenset[str] = frozenset()  # where they were; until then for nothing less urgent
    planned: bool = False  # its launch is being stored

    @property
    def group(self) -> str:
        """The instances among which UNIQUE and GROUP_BY count."""
        return f"{self.job_id}.{self.spec.name}"

    @property
    def probe_id(self) -> str:
        """The id of a task that never was: what the master says of it, it says of the agent."""
        return f"{self.group}.{self.index}.0"

    @property
    def key(self) -> str:
        """Its key in the state directory."""
        return f"{self.job_id}/{self.spec.name}/{self.index}"

    @property
    def live(self) -> bool:
        """Whether a task of it exists, as far as known."""
        state = self.saved.state
        return state != pb.TASK_STATE_UNSPECIFIED and not is_terminal(pb_state(state))

    @property
    def pending(self) -> bool:
        """Whether it waits to be launched."""
        return not self.saved.done and not self.live and not self.planned

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

    def explain(self, note: str, cause: Cause | None = None) -> None:
        """There is something to say of it, newer than what the latest plan said."""
        self.note, self.note_cause = note, cause
        self.refusals_before = self.line.refusals if self.line is not None else 0

    def change(self) -> Change:
        """Its record as it is now."""
        return Change(INSTANCE, self.key, json.dumps(self.saved.record()).encode())


@dataclass(slots=True)
class JobState:
    """A job and what became of it."""

    job_id: str
    job: Job
    submitted_at_s: float
    request_id: str
    instances: list[Instance]
    stopping: bool = False
    left: int = 0  # instances that are not done

    def __post_init__(self) -> None:
        self.left = sum(not instance.saved.done for instance in self.instances)

    def finish(self, instance: Instance) -> None:
        """One of its instances is done."""
        assert not instance.saved.done
        instance.saved.done = True
        self.left -= 1

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs or will run."""
        return self.left == 0

    @property
    def fields(self) -> frozenset[str]:
        """The attributes of agents that matter to where its tasks run."""
        return frozenset(of.field for task in self.job.tasks for of in task.constraints)

    @property
    def state(self) -> str:
        """running, stopping, finished, failed or stopped."""
        if not self.ended:
            return "stopping" if self.stopping else "running"
        if self.stopping:
            return "stopped"
        ok = all(i.saved.state == pb.TASK_FINISHED for i in self.instances)
        return "finished" if ok else "failed"

    def change(self) -> Change:
        """Its record, without its instances."""
        record = {
            "document": self.job.document,
            "submitted_at_s": self.submitted_at_s,
            "request_id": self.request_id,
            "stopping": self.stopping,
        }
        return Change(JOB, self.job_id, json.dumps(record).encode())

    def removal(self) -> Iterator[Change]:
        """Forget it and its instances."""
        yield Change(JOB, self.job_id, None)
        for instance in self.instances:
            yield Change(INSTANCE, instance.key, None)


def new_job(job_id: str, job: Job, now_wall_s: float, request_id: str) -> JobState:
    """A job with all its instances pending."""
    instances = [
        Instance(job_id, job.name, spec, index)
        for spec in job.tasks
        for index in range(spec.instances)
    ]
    return JobState(job_id, job, now_wall_s, request_id, instances)


def pb_state(number: int) -> pb.TaskState:
    """The enum's type for a stored number."""
    return number  # type: ignore[return-value]
