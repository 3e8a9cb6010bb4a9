"""An instance of a task of a job: what of it is kept, and what is known beside that.

Of what is kept there are two views, as of jobs: `state` says which.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from pymesos_binpack.jobs.lifecycle import INSTANCE_LIFE, Happened, Phase, phase_of
from pymesos_binpack.jobs.rollouts.members import Trouble
from pymesos_binpack.placement.queue import Line
from pymesos_binpack.placement.tasks import Cause, Refusal
from pymesos_binpack.specs import TaskSpec
from pymesos_core.lifecycle import Story
from pymesos_core.states import is_terminal
from pymesos_core.store import Change
from pymesos_proto.v1 import types_pb2 as pb

INSTANCE = "instance"


class Saved(NamedTuple):
    """The part of an instance that survives. A new one is made for every change, and quickly."""

    task_id: str = ""  # of the latest attempt
    attempts: int = 0
    state: int = pb.TASK_STATE_UNSPECIFIED  # of the latest attempt; unspecified: pending
    agent_id: str = ""
    hostname: str = ""
    address: str = ""  # of its agent, where its ports are
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
    run: str = ""  # of a periodic task: which one it is of
    args: Mapping[str, str] = MappingProxyType({})  # that this was begun with
    decision: str = ""  # why the latest attempt is on its agent: see placement.decisions
    unhealthy_since_s: float = 0.0  # Unix time since when its health check fails; 0: it does not
    quick_failures: int = 0  # how often in a row it ended soon after its start

    def record(self) -> dict[str, Any]:
        """As it is stored."""
        record = self._asdict()
        for name in ("attributes", "devices", "volume_ids", "args"):
            record[name] = dict(record[name])
        return record


@dataclass(frozen=True, slots=True)
class Home:
    """The agent that an instance of a daemon is of."""

    agent_id: str
    hostname: str


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
    running_since_s: float | None = None
    home_lost_s: float | None = None  # while it waits: since when the agent of its data is away
    measured: tuple[float, float] | None = None  # by what it is scaled, and when
    killing: bool = False
    sidecar_failed: bool = False  # of the latest attempt
    meets_its_data: bool = False  # the latest attempt, that it had given up: see `data`
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
    def quick_failures(self) -> int:
        """How often in a row it ended soon after its start."""
        return self.saved.quick_failures

    @property
    def label(self) -> str:
        """For people."""
        return f"instance {self.key} (task {self.saved.task_id or 'none yet'})"

    @property
    def name(self) -> str:
        """Unlike that of any other of its job."""
        return f"{self.spec.name}.{self.index}{self.mark and '.'}{self.mark}"

    @property
    def home(self) -> str:
        """The only agent that it can run on; empty: any that will do."""
        return self.saved.agent_id if self.spec.is_daemon else self.saved.data_on

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


def pb_state(number: int) -> pb.TaskState:
    """The enum's type for a stored number."""
    return number  # type: ignore[return-value]
