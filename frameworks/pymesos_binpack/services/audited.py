"""The Jobs service with an audit: each call that changes something is written, and each denial.

The line is on the disk before its caller is answered. What cannot be written is not begun.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from pymesos_binpack.services.asked import Call
from pymesos_binpack.services.jobs import JobsService
from pymesos_core.addresses import HostPort
from pymesos_core.errors import Problem
from pymesos_core.outside import OUTSIDE, Outside
from pymesos_core.security.audit import Entry, Outcome, Value, entry
from pymesos_core.security.audit_files import AuditFiles
from pymesos_core.security.audit_reading import read_page
from pymesos_core.security.auditing import Audit
from pymesos_core.security.needs import NEEDS
from pymesos_core.security.policy import Decision, Verb
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1.operator_pb2 import ReadAuditRequest, ReadAuditResponse

CHANGING = (Verb.SUBMIT, Verb.STOP, Verb.POLICY)
MAY = "it may be done"
UNCHANGED = "nothing changed: it was so already"
_ONLY_LOOKS = ("dry_run", "check_only")
# What of a request names its object, or says what it is to be; and of an answer.
_NAMED = (
    "job_id", "tasks", "task_name", "version", "if_version", "same_name", "keep_counts", "rerun",
    "volume_id", "lose_volumes", "discard", "when", "for_s", "why", "receiver",
    "role", "name", "force",
)  # fmt: skip
_ANSWERED = {"job_id": "job_id", "version": "in_force"}  # and what that is called in a line

Answer = Callable[[Any, Call], Awaitable[Any]]
Others = Callable[[], Awaitable[Sequence[HostPort]]]


async def _nobody_else() -> Sequence[HostPort]:
    return ()


class AuditedJobs:
    """Answers as the service does, and has the audit told."""

    contract = JobsService.contract

    def __init__(
        self,
        service: JobsService,
        audit: Audit,
        files: AuditFiles | None = None,
        outside: Outside = OUTSIDE,
        others: Others = _nobody_else,
    ) -> None:
        """`files` are those that the audit is written to, if it is; `others` the instances of this
        framework that stand by, and have written their own while they led.
        """
        self._service = service
        self._audit = audit
        self._files = files
        self._outside = outside
        self._others = others

    def __getattr__(self, name: str) -> Answer:
        """The method of the contract that is called so."""
        call_name = f"Jobs.{name}"
        if call_name not in NEEDS:
            raise AttributeError(name)
        answer: Answer = getattr(self._service, name)
        changing = NEEDS[call_name].verb in CHANGING

        async def audited(request: Any, call: Call) -> Any:
            decision = await self._decided(call_name, request, call)
            if not changing or any(getattr(request, looks, False) for looks in _ONLY_LOOKS):
                return await answer(request, call)
            _raise(await self._audit.make_room())
            line = entry(self._outside.wall_s(), call.caller, call_name, decision, _named(request))
            return await self._change(answer(request, call), line)

        return audited

    async def _change(self, answer: Awaitable[Any], line: Entry) -> Any:
        """Answer what changes something, once its line is written with what came of it."""
        try:
            answered = await answer
        except CallError as error:
            denied = error.code == Code.PERMISSION_DENIED  # it needs more than one right
            line = replace(line.refused(error.message), denied=denied)
            _raise(await self._audit.written(line))
            raise
        except BaseException as error:  # who asked hung up, say, and is not waited for
            why = f"not answered ({type(error).__name__}): {MAY}"
            self._audit.write(replace(line, result=why, outcome=Outcome.UNKNOWN))
            raise
        told = {_ANSWERED[name]: value for name, value in _of(answered, _ANSWERED).items()}
        done = replace(line, object={**line.object, **told})
        if not getattr(answered, "changed", True):
            done = replace(done, result=UNCHANGED, outcome=Outcome.UNCHANGED)
        _raise(await self._audit.written(done))
        return answered

    async def ReadAudit(self, request: ReadAuditRequest, call: Call) -> ReadAuditResponse:  # noqa: N802
        """Lines that this framework has written, the oldest first."""
        await self._decided("Jobs.ReadAudit", request, call)
        if request.master:
            raise CallError(
                Code.INVALID_ARGUMENT,
                "master: a framework has written no audit but its own; leave it empty here, and ask"
                " the leading master for what masters have written",
            )
        answer = await read_page(self._files, request, "pymesos-binpack")
        if not request.cursor:
            answer.others.extend(map(str, await self._others()))
        return answer

    async def _decided(self, name: str, request: Any, call: Call) -> Decision:
        """What allows a call, by the policy of now; a denial is written.

        An instance that does not lead decides nothing, and writes nothing. Raises CallError.
        """
        decision = await self._service.decided(call, name, request)
        if decision.problem is not None:
            at_s = self._outside.wall_s()
            await self._audit.written(entry(at_s, call.caller, name, decision, _named(request)))
            raise CallError(Code.PERMISSION_DENIED, decision.problem)
        return decision


def _raise(problem: Problem | None) -> None:
    if problem is not None:
        raise CallError(Code.RESOURCE_EXHAUSTED, problem.message)


def _named(request: Any) -> dict[str, Value]:
    named = _of(request, _NAMED)
    if counts := dict(getattr(request, "counts", {})):
        named["counts"] = tuple(f"{task}={number}" for task, number in sorted(counts.items()))
    return named


def _of(message: Any, names: Iterable[str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name in names:
        if value := getattr(message, name, None):
            found[name] = value if isinstance(value, str | int) else tuple(value)
    return found
