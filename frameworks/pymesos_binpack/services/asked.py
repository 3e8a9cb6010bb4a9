"""What all calls of the Jobs service have in common: who may make them, and which job is meant."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from pymesos_binpack.answers import StaleError, StartsAgainError, SubmitError, WrongError
from pymesos_binpack.jobfiles.parsing import load_document, parse_job
from pymesos_binpack.jobfiles.trial import new_problem
from pymesos_binpack.jobs.groups import main_task_id
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.restoring import Quarantined
from pymesos_binpack.roles import JobRoles
from pymesos_binpack.services.places import Places
from pymesos_binpack.shell import Binpack
from pymesos_binpack.specs import Job, JobError
from pymesos_core.caller import NOBODY, Caller, Method
from pymesos_core.ids import id_problem, size_of
from pymesos_core.limits import JOB_TEXT
from pymesos_core.security.needs import NEEDS, Object
from pymesos_core.security.policy import (
    ALLOWED,
    EVERY_ROLE,
    Decision,
    Policy,
    Roles,
    Verb,
    decide,
    roles_for,
)
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_proto.v1 import jobs_pb2 as pb

Call = ServerCall[Any, Any]
MAX_DETAILS = 2000  # bytes


def _verb(name: str) -> Verb:
    verb = NEEDS[name].verb
    assert verb is not None
    return verb


def _nobody() -> CallError:
    return CallError(Code.UNAVAILABLE, "the framework does not run yet; try again")


class Asked:
    """The framework that is asked, of the roles that it takes jobs of."""

    def __init__(
        self,
        binpack: Binpack | None,
        roles: JobRoles,
        elsewhere: Callable[[], CallError] = _nobody,
        principal: str = "",
    ) -> None:
        """`elsewhere` makes the answer of an instance that does not lead: it names who does.

        `principal` is the framework's own, where it has a certificate.
        """
        self._binpack = binpack
        self._elsewhere = elsewhere
        self._roles = roles
        self._me = Caller(principal, Method.CERT) if principal else NOBODY
        self._reading = asyncio.Lock()
        self._places = Places()
        self._latest: tuple[tuple[str, bool], Job] | None = None  # that was read

    @property
    def binpack(self) -> Binpack:
        """The framework that leads here. Raises CallError that says who leads instead."""
        if self._binpack is None:
            raise self._elsewhere()
        return self._binpack

    @binpack.setter
    def binpack(self, binpack: Binpack) -> None:
        self._binpack = binpack  # another one, after a job could not be handled

    @property
    def leads(self) -> Binpack | None:
        """The framework that leads here, if one does."""
        return self._binpack

    def leads_no_more(self) -> None:
        """Answer as an instance that does not lead."""
        self._binpack = None

    # Who may.

    async def decided(self, call: Call, name: str, request: Any) -> Decision:
        """Whether its caller may make this call, of the role of what it names. Raises CallError.

        What names nothing that is known may be asked by whoever may ask of any role that jobs here
        may be of: it gets what it may see, or an error.
        """
        verb = _verb(name)
        if NEEDS[name].of is Object.CLUSTER:
            return self._decided(call, verb, "")
        in_some = self._decided_in_some(call, verb)
        if not in_some.allowed:
            return self._named_denied(call, verb, request) or in_some
        role = await self._role_of(request)
        return in_some if role is None else self._decided(call, verb, role)

    def _named_denied(self, call: Call, verb: Verb, request: Any) -> Decision | None:
        """The denial that names the role of what a request names, if its caller may read there."""
        role = self._role_of_known(request)
        if role is None or role not in self._readable(call):
            return None
        made = self._decided(call, verb, role)
        return None if made.allowed else made

    async def _role_of(self, request: Any) -> str | None:
        """The role of what a request names; None if that is nothing, or nothing that is known."""
        if getattr(request, "job_json", "") or getattr(request, "job_text", ""):
            with contextlib.suppress(CallError):
                return (await self._job_in(request)).role
            return None
        if role := getattr(request, "role", ""):
            return str(role)
        return self._role_of_known(request)

    def _role_of_known(self, request: Any) -> str | None:
        """The role of the job that a request names, or of its task; None: none that is known."""
        core = self.binpack.core
        instance = core.instance_of(main_task_id(getattr(request, "task_id", "")))
        job_id = instance.job_id if instance is not None else getattr(request, "job_id", "")
        if (job := core.jobs.get(job_id)) is not None:
            return job.job.role
        aside = core.quarantined.get(job_id)
        return self._role_aside(aside) if aside is not None else None

    def _role_aside(self, aside: Quarantined) -> str:
        """The role of a job in quarantine; empty, which only a rule of all roles is of, if that
        cannot be read."""
        return aside.role or self._roles.only

    def _check(self, call: Call, name: str, role: str | None = None) -> None:
        """Raises CallError for a caller who may not make this call of a role; None: of any."""
        verb = _verb(name)
        if NEEDS[name].of is Object.CLUSTER:
            role = ""
        if role is None:
            made = self._decided_in_some(call, verb)
        else:
            made = self._decided(call, verb, role)
        if made.problem:
            raise CallError(Code.PERMISSION_DENIED, made.problem)

    def _may(self, call: Call, verb: Verb, role: str) -> bool:
        """Whether its caller may do that in a role. Raises CallError."""
        return self._decided(call, verb, role).allowed

    def _readable(self, call: Call) -> Roles:
        """The roles of which its caller may see what there is. Raises CallError."""
        policy = self._policy(call)
        return EVERY_ROLE if policy is None else roles_for(policy, call.caller, Verb.READ)

    def _decided(self, call: Call, verb: Verb, role: str) -> Decision:
        policy = self._policy(call)
        return ALLOWED if policy is None else decide(policy, call.caller, verb, role)

    def _decided_in_some(self, call: Call, verb: Verb) -> Decision:
        """Whether its caller may do that in any role that jobs here may be of, or are of."""
        policy = self._policy(call)
        if policy is None:
            return ALLOWED
        granted = roles_for(policy, call.caller, verb)
        jobs = self.binpack.core.jobs.values()
        if granted.overlaps(self._roles.roles) or any(job.job.role in granted for job in jobs):
            return ALLOWED
        return decide(policy, call.caller, verb, self._roles.always[0])

    def _policy(self, call: Call) -> Policy | None:
        """By which a caller is answered; None: it has proved nothing. Raises CallError."""
        policy = self.binpack.core.policy  # or it leads elsewhere
        if not call.caller.is_proved:
            return None
        if policy is None:
            raise CallError(
                Code.UNAVAILABLE,
                "this framework has not heard yet what the cluster's policy is; try again",
            )
        return policy

    # What is meant.

    def _job(self, call: Call, name: str, job_id: str) -> JobState:
        """The job of an id, of which its caller may make this call. Raises CallError."""
        core = self.binpack.core
        job, aside = core.jobs.get(job_id), core.quarantined.get(job_id)
        if job is not None:
            self._check(call, name, job.job.role)
            return job
        if aside is not None:
            self._check(call, name, self._role_aside(aside))
            raise CallError(
                Code.FAILED_PRECONDITION,
                f"the job {job_id} is quarantined: {short(aside.reason)}. Its tasks are left alone;"
                f" `pymesos-cli quarantine show {job_id}` shows it, and `quarantine release` tries"
                f" it again, or with --discard ends it",
            )
        self._check(call, name)
        raise CallError(
            Code.NOT_FOUND,
            f"there is no job {quoted(job_id)}: `pymesos-cli jobs --all` lists those there are",
        )

    def _check_role(self, role: str, what: str = "the job") -> None:
        """Raises CallError for a role that the framework does not take jobs of, or may not."""
        if role not in self._roles:
            raise CallError(
                Code.FAILED_PRECONDITION,
                f"{what} is for the role {quoted(role)}; this framework takes jobs of"
                f" {self._roles}",
            )
        policy = self.binpack.core.policy
        if policy is None:  # it is told where there are certificates
            return
        for verb in (Verb.SUBSCRIBE, Verb.SERVE):
            if problem := decide(policy, self._me, verb, role).problem:
                raise CallError(
                    Code.FAILED_PRECONDITION,
                    f"this framework would have to be in the role {quoted(role)}, and {problem}",
                )

    def _check_receivers(self, job: Job) -> None:
        """Raises CallError where an alert is to go to nobody that is known."""
        if (problem := self.binpack.receivers_problem(job)) is not None:
            raise CallError(Code.INVALID_ARGUMENT, problem)

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

    async def _job_in(self, request: pb.ApplyJobRequest | pb.SubmitJobRequest) -> Job:
        """Check the job of a request. Raises CallError."""
        if request.job_json or not request.job_text:
            job = await self._read_job(request.job_json)
        elif problem := JOB_TEXT.problem(size_of(request.job_text)):
            raise CallError(Code.INVALID_ARGUMENT, f"{problem}: send it as JSON")
        else:
            job = await self._read_job(request.job_text, only_json=False)
        if problem := await asyncio.to_thread(new_problem, job):
            raise CallError(Code.INVALID_ARGUMENT, short(problem))
        return job

    async def _read_job(self, text: str, *, only_json: bool = True) -> Job:
        """Check a job. Raises CallError."""
        try:
            async with self._reading:  # one at a time, and beside the loop
                if self._latest is None or self._latest[0] != (text, only_json):
                    read = await asyncio.to_thread(_read, text, only_json)
                    self._latest = (text, only_json), read
                return self._latest[1]
        except JobError as error:
            raise CallError(Code.INVALID_ARGUMENT, short(error)) from None


@contextlib.contextmanager
def answering(*, tries_again: bool = False) -> Iterator[None]:
    """Turn what the framework says of a request into CallError; not StaleError if `tries_again`."""
    try:
        yield
    except StartsAgainError as error:
        raise CallError(Code.UNAVAILABLE, str(error)) from None
    except WrongError as error:
        raise CallError(Code.INVALID_ARGUMENT, short(error)) from None
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


def _read(text: str, only_json: bool) -> Job:
    """Raises JobError."""
    return parse_job(load_document(text, only_json=only_json))


def runs(job: JobState) -> bool:
    """Whether a job has not ended, and is not to end."""
    return not (job.stopping or job.ended)


def who(call: Call) -> str:
    """The principal that asks, if that is proved."""
    return call.caller.principal if call.caller.is_proved else ""


def short(problem: object) -> str:
    """What a trailer of HTTP/2 holds, where each byte that is not ASCII takes three."""
    return str(problem).encode("utf-8", "backslashreplace")[:MAX_DETAILS].decode("utf-8", "ignore")
