"""The jobs, found by what they are asked for: ids, tasks, keys, names, requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from enum import Enum, auto
from typing import NamedTuple, TypeVar

from pymesos_binpack.constraints import gpu_models
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.occupancy import Occupancy
from pymesos_binpack.jobs.secrets import secrets_given
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.placement.packing import Shape, shape_of
from pymesos_binpack.specs import Job
from pymesos_core.discovery.zone import label_of

K = TypeVar("K")


class Use(Enum):
    """What jobs refer to by a name of their role."""

    VARIABLE = auto()
    SECRET = auto()  # that services are given


class Wanted(NamedTuple):
    """How many instances of a job are of each shape, and want each port by its number."""

    role: str
    shapes: Counter[Shape]
    host_ports: Counter[int]
    has_daemon: bool
    uses: Set[tuple[Use, str]]


def wanted_of(job: JobState) -> Wanted:
    """Count what the instances of a job are to be given: a daemon counts as one."""
    uses = {(Use.VARIABLE, name) for name in job.job.variables}
    given = (secrets_given(task) for task in job.job.tasks if task.is_service)
    uses.update((Use.SECRET, name) for names in given for name in names)
    out = Wanted(job.job.role, Counter(), Counter(), job.job.has_daemon, uses)
    for spec in job.job.tasks:
        instances = 1 if spec.is_daemon else spec.instances
        out.shapes[shape_of(spec.scalars, gpu_models(spec.constraints))] += instances
        for port in spec.host_ports:
            out.host_ports[port] += instances
    return out


class Roster:
    """Every job that is stored and can be handled, and those of its tasks that may run."""

    def __init__(self) -> None:
        self.jobs: dict[str, JobState] = {}
        self.by_task: dict[str, Instance] = {}
        self.serving: Counter[str] = Counter()  # agents, and their tasks that are no daemons'
        self._agents: dict[str, str] = {}  # of the same tasks, by id
        self.occupancy = Occupancy()
        self.by_key: dict[str, Instance] = {}
        self.ended: dict[str, JobState] = {}  # by id; nothing of them runs, as it is meant
        self.shapes: Counter[Shape] = Counter()  # of the instances of all others
        self.host_ports: Counter[int] = Counter()  # that they want by number
        self.roles: Counter[str] = Counter()  # of the same jobs
        self.daemons: dict[str, str] = {}  # those of them that have daemons, and their roles
        self._users: dict[tuple[Use, str, str], dict[str, None]] = {}  # of what, role, name: ids
        self._counted: dict[str, Wanted] = {}  # of them, by job id
        self.requests: dict[str, str] = {}  # request id → job id, those in quarantine included
        self._named: dict[tuple[str, str], dict[str, JobState]] = {}  # by role and name
        self._labelled: dict[tuple[str, str], dict[tuple[str, str], None]] = {}  # by those in DNS

    def name(self, job: JobState) -> None:
        """A job has its name, before it is stored."""
        named = (job.job.role, job.job.name)
        self._named.setdefault(named, {})[job.job_id] = job
        self._labelled.setdefault(_labels(named), {})[named] = None

    def add(self, job: JobState) -> None:
        """A job is stored."""
        wanted = wanted_of(job) if not job.ended else None  # first: what fails counts nothing
        self.jobs[job.job_id] = job
        self.requests[job.request_id] = job.job_id
        if wanted is None:
            self.ended[job.job_id] = job
        else:
            self._count(job, wanted)

    def recount(self, job: JobState) -> None:
        """A job that has not ended is to have other instances, or another priority."""
        wanted = wanted_of(job)
        self._discount(job)
        self._count(job, wanted)
        for instance in job.instances:
            if instance.saved.task_id in self.by_task:
                self._occupy(instance)

    def end(self, job: JobState) -> None:
        """A job has ended, as it is meant."""
        self.ended[job.job_id] = job
        self._discount(job)

    def _count(self, job: JobState, wanted: Wanted) -> None:
        self._counted[job.job_id] = wanted
        self.roles[wanted.role] += 1
        if wanted.has_daemon:
            self.daemons[job.job_id] = wanted.role
        self.shapes.update(wanted.shapes)
        self.host_ports.update(wanted.host_ports)
        for use, name in wanted.uses:
            self._users.setdefault((use, wanted.role, name), {})[job.job_id] = None

    def _discount(self, job: JobState) -> None:
        if (wanted := self._counted.pop(job.job_id, None)) is not None:
            _take_off(self.shapes, wanted.shapes)
            _take_off(self.host_ports, wanted.host_ports)
            _take_off(self.roles, {wanted.role: 1})
            self.daemons.pop(job.job_id, None)
            for use, name in wanted.uses:
                users = self._users[use, wanted.role, name]
                del users[job.job_id]
                if not users:
                    del self._users[use, wanted.role, name]

    def users(self, use: Use, role: str, name: str) -> Mapping[str, None]:
        """The ids of the jobs that use a variable or a secret and have not ended."""
        return self._users.get((use, role, name), {})

    def add_instance(self, instance: Instance) -> None:
        """List an instance, and its task if there is one."""
        assert self.by_key.get(instance.key, instance) is instance, f"{instance.key} is there twice"
        self.by_key[instance.key] = instance
        if instance.live:
            self.begin_task(instance)

    def begin_task(self, instance: Instance) -> None:
        """An instance has a task."""
        task_id, agent_id = instance.saved.task_id, instance.saved.agent_id
        assert task_id not in self.by_task, f"{task_id} is there twice"
        self.by_task[task_id] = instance
        self._occupy(instance)
        if not instance.spec.is_daemon:
            self._agents[task_id] = agent_id
            self.serving[agent_id] += 1

    def _occupy(self, instance: Instance) -> None:
        job = self.job_of(instance).job
        self.occupancy.begin(job.role, job.priority, instance)

    def end_task(self, task_id: str) -> None:
        """A task has ended, or is given up, if it was there."""
        self.by_task.pop(task_id, None)
        self.occupancy.end(task_id)
        if (agent_id := self._agents.pop(task_id, None)) is not None:
            _take_off(self.serving, {agent_id: 1})

    def drop(self, job: JobState) -> None:
        """Undo what the others did, also a part of it."""
        self.jobs.pop(job.job_id, None)
        self.ended.pop(job.job_id, None)
        self._discount(job)
        self._take_name(job)
        for instance in job.instances:
            self.by_key.pop(instance.key, None)
            self.end_task(instance.saved.task_id)

    def _take_name(self, job: JobState) -> None:
        named = (job.job.role, job.job.name)
        jobs = self._named.get(named, {})
        jobs.pop(job.job_id, None)
        if not jobs and self._named.pop(named, None) is not None:
            alike = self._labelled[_labels(named)]
            del alike[named]
            if not alike:
                del self._labelled[_labels(named)]

    def forget(self, job: JobState) -> None:
        """A job that has ended is known no more."""
        self.drop(job)
        self.requests.pop(job.request_id, None)

    def named(self, role: str, name: str) -> dict[str, JobState]:
        """The jobs of a role and a name, in the order submitted."""
        return self._named.get((role, name), {})

    def roles_with_new_ones(self) -> set[str]:
        """The roles of all that have not ended, with those that are yet to be stored."""
        named = self._named.items()
        return {role for (role, _), jobs in named for job in jobs.values() if not job.ended}

    def names_like(self, role: str, name: str) -> Iterator[tuple[str, str]]:
        """The role and the name of each job of the same names in DNS that has not ended.

        Stored or not.
        """
        for named in self._labelled.get(_labels((role, name)), ()):
            if any(not job.ended for job in self._named[named].values()):
                yield named

    def running(self, job: Job, but: JobState | None) -> JobState | None:
        """Another job of the name, submitted before, that has not ended and is not ending."""
        for other in self.named(job.role, job.name).values():
            if other is but:
                return None
            if not (other.ended or other.stopping):
                return other
        return None

    def instances(self) -> Iterator[Instance]:
        """Every instance of every job."""
        for job in self.jobs.values():
            yield from job.instances

    def job_of(self, instance: Instance) -> JobState:
        """The job of an instance."""
        return self.jobs[instance.job_id]


def _labels(named: tuple[str, str]) -> tuple[str, str]:
    role, name = named
    return label_of(role), label_of(name)


def _take_off(counts: Counter[K], some: Mapping[K, int]) -> None:
    """Subtract; what comes to nothing is not there any more."""
    for key, count in some.items():
        counts[key] -= count
        if not counts[key]:
            del counts[key]
