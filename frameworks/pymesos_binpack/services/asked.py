"""What all calls of the Jobs service have in common: who may make them, and which job is meant."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from pymesos_binpack.jobfiles.parsing import load_document, parse_job
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.shell import Binpack, StaleError, StartsAgainError, SubmitError
from pymesos_binpack.specs import Job, JobError
from pymesos_core.ids import id_problem
from pymesos_core.security.needs import NEEDS, Object
from pymesos_core.security.policy import ALLOWED, Decision, Verb, decide
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code, ServerCall

Call = ServerCall[Any, Any]
MAX_DETAILS = 2000  # bytes


def _nobody() -> CallError:
    return CallError(Code.UNAVAILABLE, "the framework does not run yet; try again")


class Asked:
    """The framework that is asked, of one role."""

    def __init__(
        self,
        binpack: Binpack | None,
        role: str,
        elsewhere: Callable[[], CallError] = _nobody,
    ) -> None:
        """`elsewhere` makes the answer of an instance that does not lead: it names who does."""
        self._binpack = binpack
        self._elsewhere = elsewhere
        self._role = role
        self._reading = asyncio.Lock()

    @property
    def binpack(self) -> Binpack:
        """The framework that leads here. Raises CallError that says who leads instead."""
        if self._binpack is None:
            raise self._elsewhere()
        return self._binpack

    @binpack.setter
    def binpack(self, binpack: Binpack) -> None:
        self._binpack = binpack  # another one, after a job could not be handled

    def leads_no_more(self) -> None:
        """Answer as an instance that does not lead."""
        self._binpack = None

    def _check(self, call: Call, name: str) -> None:
        """Raises CallError for a caller who may not make this call of the framework's role."""
        if problem := self.decided(call, name).problem:
            raise CallError(Code.PERMISSION_DENIED, problem)

    def decided(self, call: Call, name: str) -> Decision:
        """Whether its caller may make this call of the framework's role. Raises CallError."""
        need = NEEDS[name]
        assert need.verb is not None
        return self._decided(call, need.verb, "" if need.of is Object.CLUSTER else self._role)

    def _problem(self, call: Call, verb: Verb) -> str | None:
        """Why its caller may not do that in the framework's role; or None. Raises CallError."""
        return self._decided(call, verb, self._role).problem

    def _decided(self, call: Call, verb: Verb, role: str) -> Decision:
        policy = self.binpack.core.policy  # or it leads elsewhere
        if not call.caller.is_proved:
            return ALLOWED
        if policy is None:
            raise CallError(
                Code.UNAVAILABLE,
                "this framework has not heard yet what the cluster's policy is; try again",
            )
        return decide(policy, call.caller, verb, role)

    def _job(self, job_id: str) -> JobState:
        """The job of an id. Raises CallError."""
        job = self.binpack.core.jobs.get(job_id)
        if job_id in self.binpack.core.quarantined:
            reason = short(self.binpack.core.quarantined[job_id].reason)
            raise CallError(
                Code.FAILED_PRECONDITION,
                f"the job {job_id} is quarantined: {reason}. Its tasks are left alone;"
                f" `pymesos-cli quarantine show {job_id}` shows it, and `quarantine release` tries"
                f" it again, or with --discard ends it",
            )
        if job is None:
            raise CallError(
                Code.NOT_FOUND,
                f"there is no job {quoted(job_id)}: `pymesos-cli jobs --all` lists those there are",
            )
        return job

    def _check_role(self, role: str) -> None:
        """Raises CallError for a job of another role than the framework's."""
        if role != self._role:
            raise CallError(
                Code.FAILED_PRECONDITION,
                f"the job is for the role {quoted(role)}; this framework has {self._role!r}",
            )

    def _check_request_id(self, request_id: str) -> None:
        """Raises CallError for what is no id."""
        if problem := id_problem(request_id):
            raise CallError(Code.INVALID_ARGUMENT, f"request_id: {problem}")

    def _check_begun(self, request_id: str, job_id: str, job: Job) -> None:
        """Raises CallError where a request id has begun another job than it is to begin now."""
        core = self.binpack.core
        begun = core.jobs.get(job_id)
        if begun is not None:
            same = (begun.job.role, begun.job.name) == (job.role, job.name)
        else:
            aside = core.quarantined.get(job_id)
            same = aside is None or aside.name == job.name
        if not same:
            raise used_before(request_id, f"began the job {job_id}")

    async def _read_job(self, text: str) -> Job:
        """Check a job. Raises CallError."""
        try:
            async with self._reading:  # one at a time, and beside the loop
                return await asyncio.to_thread(_read, text)
        except JobError as error:
            raise CallError(Code.INVALID_ARGUMENT, short(error)) from None


@contextlib.contextmanager
def answering(*, tries_again: bool = False) -> Iterator[None]:
    """Turn what the framework says of a request into CallError; not StaleError if `tries_again`."""
    try:
        yield
    except StartsAgainError as error:
        raise CallError(Code.UNAVAILABLE, str(error)) from None
    except SubmitError as error:
        if tries_again and isinstance(error, StaleError):
            raise
        raise CallError(Code.FAILED_PRECONDITION, short(error)) from None


def used_before(request_id: str, what: str) -> CallError:
    """Return the answer to a request whose id is that of another one, which did something else."""
    return CallError(
        Code.INVALID_ARGUMENT,
        f"request_id: {quoted(request_id)} is that of another request, which {what}: send a new id"
        f" with every new request",
    )


def _read(text: str) -> Job:
    """Raises JobError."""
    return parse_job(load_document(text, only_json=True))


def runs(job: JobState) -> bool:
    """Whether a job has not ended, and is not to end."""
    return not (job.stopping or job.ended)


def who(call: Call) -> str:
    """The principal that asks, if that is proved."""
    return call.caller.principal if call.caller.is_proved else ""


def short(problem: object) -> str:
    """What a trailer of HTTP/2 holds, where each byte that is not ASCII takes three."""
    return str(problem).encode("utf-8", "backslashreplace")[:MAX_DETAILS].decode("utf-8", "ignore")
