"""The part of the Jobs service that makes a version from the one in force."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Set
from typing import NamedTuple

from pymesos_binpack.answers import StaleError
from pymesos_binpack.core import VersionProposed
from pymesos_binpack.jobs.dependencies import remade
from pymesos_binpack.jobs.history import RESTART, ROLLBACK, SCALE, SUBMIT, Version
from pymesos_binpack.jobs.state import JobState, revision_of
from pymesos_binpack.periodic.rules import PeriodicRules
from pymesos_binpack.services.asked import Call, answering, runs, used_before, who
from pymesos_binpack.services.versions import VersionCalls, version_of
from pymesos_binpack.specs import Job
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb

TRIES = 5  # while others change the same job
MAX_INSTANCES = 10_000
MAX_TASKS = 1000  # of a job
APPLY = "apply"


class Made(NamedTuple):
    """A version that is made from the one in force."""

    job: Job
    what: str
    restarts: tuple[str, ...] = ()
    rerun: Set[str] = frozenset()
    as_of: int = 0


class ChangeCalls(VersionCalls):
    """Scale, restart and roll back."""

    async def ScaleJob(  # noqa: N802
        self, request: pb.ScaleJobRequest, call: Call
    ) -> pb.ChangeJobResponse:
        """Have other numbers of instances."""
        method = "Jobs.ScaleJob"
        self._check(call, method)
        if not request.counts:
            raise CallError(Code.INVALID_ARGUMENT, "no numbers are given: name a task and a number")
        counts = dict(request.counts)

        async def make(target: JobState) -> Made:
            check_version(target, request.if_version)
            for name, number in counts.items():
                _check_task(target, name)
                check_scale(target, name)
                if not 1 <= number <= MAX_INSTANCES:
                    raise CallError(
                        Code.INVALID_ARGUMENT,
                        f"{name}={number}: from 1 to {MAX_INSTANCES} instances were expected;"
                        f" `pymesos-cli stop {target.job_id}` ends the job",
                    )
            return Made(await self._with_counts(target.job.document, counts), SCALE)

        return await self._change(call, method, request.job_id, request.request_id, SCALE, make)

    async def RestartJob(  # noqa: N802
        self, request: pb.RestartJobRequest, call: Call
    ) -> pb.ChangeJobResponse:
        """Replace every instance of tasks by another that is the same."""
        method = "Jobs.RestartJob"
        self._check(call, method)
        if len(request.tasks) > MAX_TASKS:
            raise CallError(
                Code.INVALID_ARGUMENT,
                f"{len(request.tasks)} tasks are named, and a job has at most {MAX_TASKS}: name"
                f" each of them once, or none for every service",
            )
        named = tuple(dict.fromkeys(request.tasks))
        if request.lose_volumes:
            return await self._lose_volumes(call, request.job_id, named)

        async def make(target: JobState) -> Made:
            for name in named:
                _check_task(target, name)
            services = tuple(task.name for task in target.job.tasks if task.is_service)
            tasks = named or services
            if not tasks:
                raise CallError(
                    Code.FAILED_PRECONDITION,
                    f"the job {target.job_id} has no service to restart: name a task of it, or run"
                    f" what has ended again with `pymesos-cli apply --rerun`",
                )
            return Made(target.job, RESTART, tasks, rerun=frozenset(request.tasks))

        return await self._change(call, method, request.job_id, request.request_id, RESTART, make)

    async def _lose_volumes(
        self, call: Call, job_id: str, named: tuple[str, ...]
    ) -> pb.ChangeJobResponse:
        """Have what waits for data that it cannot get at begin without. Raises CallError."""
        job = self._job(call, "Jobs.RestartJob", job_id)
        self._check(call, "Jobs.ForgetVolume", job.job.role)
        for name in named:
            _check_task(job, name)
        check_runs(job)
        if not self.binpack.core.without_data(job, named):
            raise CallError(
                Code.FAILED_PRECONDITION,
                f"nothing of the job {job_id} waits for data on an agent that cannot be reached, or"
                f" on which it may not run: no volume was given up; `pymesos-cli volumes list`"
                f" shows where they are",
            )
        with answering():
            await self.binpack.give_up_volumes(job_id, named)
        latest = job.history.latest
        return pb.ChangeJobResponse(
            job_id=job_id, version=latest.number, changed=True, what=latest.what
        )

    async def RollbackJob(  # noqa: N802
        self, request: pb.RollbackJobRequest, call: Call
    ) -> pb.ChangeJobResponse:
        """Make the job what an earlier version said."""
        method = "Jobs.RollbackJob"
        self._check(call, method)

        async def make(target: JobState) -> Made:
            version = await self._earlier(target, request.version)
            job = await self._with_counts(version.document, counts_of(target.job))
            # While instances change, those that have not changed are to stay as they are.
            return Made(job, f"{ROLLBACK} to {version.number}", as_of=version.number)

        return await self._change(call, method, request.job_id, request.request_id, ROLLBACK, make)

    async def _earlier(self, target: JobState, number: int) -> Version:
        """The version that is gone back to. Raises CallError."""
        kept = target.history.versions
        if number:
            return version_of(target, number)
        unproved: Version | None = None
        for version in reversed(kept[:-1]):
            job = await self._read_job(version.document)
            if _what_runs(job) == _what_runs(target.job):
                continue
            if target.is_known_to_work(version.number):
                return version
            unproved = unproved or version
        if unproved is not None:
            raise CallError(
                Code.FAILED_PRECONDITION,
                f"of the earlier versions of the job {target.job_id} by which something else ran"
                f" none is known to work, the latest being {unproved.number}: `pymesos-cli history"
                f" {target.job_id}` shows them, and `pymesos-cli rollback {target.job_id} NUMBER`"
                f" goes back to one all the same",
            )
        raise CallError(
            Code.FAILED_PRECONDITION,
            f"the job {target.job_id} has no earlier version by which something else ran:"
            f" `pymesos-cli history {target.job_id}` shows those that are kept",
        )

    async def _change(
        self,
        call: Call,
        name: str,
        job_id: str,
        request_id: str,
        kind: str,
        make: Callable[[JobState], Awaitable[Made]],
    ) -> pb.ChangeJobResponse:
        """Make another version from the one in force, whoever else does. Raises CallError.

        `kind` is how the words for what makes it begin.
        """
        self._check_request_id(request_id)
        for _ in range(TRIES):
            target = self._job(call, name, job_id)
            if (asked := target.history.asked_by(request_id)) is None:
                check_runs(target)
                made = await make(target)
                if _is_same(target, made):
                    latest = target.history.latest
                    await self._have_version_stored(target, latest.number)
                    return pb.ChangeJobResponse(
                        job_id=job_id, version=latest.number, what=latest.what
                    )
            else:
                made = Made(target.job, asked.what if asked.what.startswith(kind) else kind)
            try:
                number = await self._propose(call, request_id, target, made)
            except StaleError:
                continue
            return pb.ChangeJobResponse(job_id=job_id, version=number, changed=True, what=made.what)
        raise busy()

    async def _propose(self, call: Call, request_id: str, target: JobState, made: Made) -> int:
        """The number of the version that is made. Raises StaleError, CallError."""
        event = proposal(request_id, target, made, who(call))
        with answering(tries_again=True):
            number = await self.binpack.propose(event)
        version = target.history.get(number)  # that of the request's first time
        if version is not None and not _is_of_kind(version, made.what):
            raise used_before(request_id, f"made version {number} of the job {target.job_id}")
        return number

    async def _have_version_stored(self, target: JobState, number: int) -> None:
        """Return once a version is stored: who is told of it may rely on it. Raises CallError."""
        if target.durable_version < number:
            await self._have_stored(target.job_id)

    async def _have_stored(self, job_id: str = "") -> None:
        """Return once all that was decided until now is stored. Raises CallError."""
        with answering():
            await self.binpack.have_stored(job_id)

    async def _with_counts(self, document: str, counts: dict[str, int]) -> Job:
        """The job of a document with other numbers of instances. Raises CallError."""
        read = json.loads(document)
        for task in read["tasks"]:
            if counts.get(task["name"], task.get("instances", 1)) != task.get("instances", 1):
                task["instances"] = counts[task["name"]]
        return await self._read_job(json.dumps(read, ensure_ascii=False))


def next_version(target: JobState, made: Made) -> Version:
    """What would be in force next, for its instances."""
    restarts = target.restarts_after(made.restarts, made.as_of)
    number, document = target.version + 1, made.job.document
    more = remade(target, made.job, restarts, made.rerun)
    return Version(number, document, 0.0, "", made.what, "", *more)


def proposal(request_id: str, target: JobState, made: Made, made_by: str) -> VersionProposed:
    """What the core is asked for."""
    return VersionProposed(
        request_id,
        target.job_id,
        target.version,
        made.job,
        made.what,
        made_by,
        made.restarts,
        made.rerun,
        made.as_of,
        current=made.what == APPLY,
    )


def _is_same(target: JobState, made: Made) -> bool:
    """Whether a version would say what the one in force says, and nothing began anew by it."""
    after = next_version(target, made)
    revisions = {task.name: revision_of(task, after) for task in made.job.tasks}
    same = all(revisions[name] == target.revision(name) for name in revisions)
    return same and made.job.document == target.job.document


def counts_of(job: Job) -> dict[str, int]:
    """Return how many of each task people want, where that is theirs to say."""
    return {t.name: t.instances for t in job.tasks if not t.is_daemon and t.scale is None}


def _what_runs(job: Job) -> dict[str, tuple[str, PeriodicRules | None]]:
    """Return what runs by a version, and when: all but how many."""
    return {task.name: (task.digest, task.periodic) for task in job.tasks}


def check_version(job: JobState, if_version: int) -> None:
    """Raises CallError where another version is in force than was expected."""
    if if_version and job.version != if_version:
        raise CallError(
            Code.FAILED_PRECONDITION,
            f"the job {job.job_id} is at version {job.version}, not {if_version}: see what changed"
            f" with `pymesos-cli history {job.job_id}`, and try again from there",
        )


def check_runs(job: JobState) -> None:
    """Raises CallError for a job that has ended or is to end."""
    if not runs(job):
        raise CallError(
            Code.FAILED_PRECONDITION,
            f"the job {job.job_id} is {job.state}, and only one that runs can be changed:"
            f" `pymesos-cli apply FILE` starts it anew",
        )


def _check_task(job: JobState, name: str) -> None:
    """Raises CallError where a job has no task of that name."""
    if name not in job.known[job.version].specs:
        names = [task.name for task in job.job.tasks]
        raise CallError(
            Code.NOT_FOUND,
            f"the job {job.job_id} has no task {quoted(name)}: it has {', '.join(names[:10])}",
        )


def check_scale(job: JobState, name: str) -> None:
    """Raises CallError where the number of a task's instances follows what is measured."""
    rules = job.known[job.version].specs[name].scale
    if rules is not None:
        raise CallError(
            Code.FAILED_PRECONDITION,
            f"{name} has from {rules.min} to {rules.max} instances by what is measured of them"
            f" (its key `scale`): change these bounds with `pymesos-cli apply`, or leave the key"
            f" out",
        )


def _is_of_kind(version: Version, what: str) -> bool:
    """Whether what made a version is what would make one; who applies may have begun the job."""
    made, asked = version.what.partition(" ")[0], what.partition(" ")[0]
    return made == asked or (made, asked) == (SUBMIT, APPLY)


def busy() -> CallError:
    return CallError(
        Code.UNAVAILABLE, "others change the same job again and again: try again in a moment"
    )
