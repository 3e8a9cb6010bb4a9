"""What the bin-packing framework knows and keeps: jobs and their instances.

Of both there are two views: what is meant, from which is decided, and what is durable, of which may
be told. `saved` and `durable` are the same object while nothing waits to be written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from pymesos_binpack.jobs.lifecycle import INSTANCE_LIFE, Happened, Phase, phase_of
from pymesos_binpack.placement.queue import Line
from pymesos_binpack.placement.tasks import Cause, Refusal
from pymesos_binpack.specs import Job, TaskSpec
from pymesos_core.lifecycle import Story
from pymesos_core.states import is_terminal
from pymesos_core.store import Change
from pymesos_proto.v1 import types_pb2 as pb

JOB = "job"
INSTANCE = "instance"
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

    def record(self) -> dict[str, Any]:
        """As it is stored."""
        record = self._asdict()
        for name in ("attributes", "devices", "volume_ids"):
            record[name] = dict(record[name])
        return record


@dataclass(slots=True, eq=False)
class Instance:
    """One instance of a task of a job: it waits, or runs as `saved.task_id`, or is done."""

    job_id: str
    job_name: str
    spec: TaskSpec
    index: int
    saved: Saved = field(default_factory=Saved)
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
    def group(self) -> str:
        """The instances among which UNIQUE and GROUP_BY count."""
        return f"{self.job_id}.{self.spec.name}"

    @property
    def next_task_id(self) -> str:
        """The task id of its next attempt."""
        return f"{self.group}.{self.index}.{self.saved.attempts + 1}"

    @property
    def probe_id(self) -> str:
        """The id of a task that never was: what the master says of it, it says of the agent."""
        return f"{self.group}.{self.index}.0"

    @property
    def key(self) -> str:
        """The key of its record in the state directory."""
        return f"{self.job_id}/{self.spec.name}/{self.index}"

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


@dataclass(slots=True, eq=False)
class JobState:
    """A job and what became of it."""

    job_id: str
    job: Job
    submitted_at_s: float
    request_id: str
    instances: list[Instance]
    stopping: bool = False
    left: int = field(init=False)  # instances that are not done
    durably_stopping: bool = field(init=False)
    durably_left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.durably_left = sum(not i.saved.done for i in self.instances)
        self.durably_stopping = self.stopping

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
        return self.left == 0

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs or will run, and that is durable."""
        return self.durably_left == 0

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
        """The write of what it is meant to be, without its instances."""
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


def new_job(
    job_id: str,
    job: Job,
    now_wall_s: float,
    request_id: str,
    *,
    stopping: bool = False,
    saved: Mapping[str, Saved] | None = None,
) -> JobState:
    """A job with its instances as they were `saved`, by their keys; the others wait."""
    instances = [
        Instance(job_id, job.name, spec, index)
        for spec in job.tasks
        for index in range(spec.instances)
    ]
    for instance in instances if saved else ():
        instance.restore((saved or {}).get(instance.key, instance.saved))
    return JobState(job_id, job, now_wall_s, request_id, instances, stopping)


def pb_state(number: int) -> pb.TaskState:
    """The enum's type for a stored number."""
    return number  # type: ignore[return-value]
