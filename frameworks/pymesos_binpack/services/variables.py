"""The part of the Jobs service that is about variables of roles."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from pymesos_binpack.core import VariableSet
from pymesos_binpack.jobfiles.variables import missing_problem, resolved
from pymesos_binpack.jobs.variables import Value, Variable
from pymesos_binpack.services.asked import Asked, Call, answering, who
from pymesos_binpack.specs import Job
from pymesos_core import contract
from pymesos_core.ids import role_problem
from pymesos_core.security.policy import Verb
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 500  # of 4 KiB each at most, and cut before a message is full
PAGE_BYTES = 512 * 1024


class VariableCalls(Asked):
    """List, set and remove variables; give jobs those that they refer to."""

    async def ListVariables(  # noqa: N802
        self, request: pb.ListVariablesRequest, call: Call
    ) -> pb.ListVariablesResponse:
        """Variables that their caller may see, by role and name."""
        self._check(call, "Jobs.ListVariables")
        core, seen = self.binpack.core, self._readable(call)
        size = min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        found = sorted(
            (each for each in core.variables
             if each.role in seen and request.role in ("", each.role)
             and each.key > request.page_token),
            key=lambda each: each.key,
        )  # fmt: skip
        page, left_bytes = found[:size], PAGE_BYTES
        views: list[pb.VariableView] = []
        for each in page:
            views.append(self._view(call, each, each.latest))
            left_bytes -= views[-1].ByteSize()
            if left_bytes <= 0:
                break
        more = len(views) < len(found)
        token = page[len(views) - 1].key if more else ""
        return pb.ListVariablesResponse(variables=views, next_page_token=token)

    async def GetVariable(  # noqa: N802
        self, request: pb.GetVariableRequest, call: Call
    ) -> pb.GetVariableResponse:
        """A variable with the values that it had, the latest first."""
        self._check(call, "Jobs.GetVariable", request.role)
        there = self.binpack.core.variables.get(request.role, request.name)
        if there is None:
            raise _none(request.role, request.name)
        versions = [self._view(call, there, value) for value in reversed(there.values)]
        return pb.GetVariableResponse(versions=versions)

    async def SetVariable(  # noqa: N802
        self, request: pb.SetVariableRequest, call: Call
    ) -> pb.SetVariableResponse:
        """Set a variable; answered once that is durable. Jobs are changed one after the other."""
        self._check(call, "Jobs.SetVariable", request.role)
        self._check_request_id(request.request_id)
        problem = role_problem(request.role) or contract.problem(request)
        if problem:
            raise CallError(Code.INVALID_ARGUMENT, f"the variable: {problem}")
        self._check_role(request.role, f"the variable {request.name}")
        core = self.binpack.core
        there = core.variables.get(request.role, request.name)
        before = there.latest if there is not None else None
        event = VariableSet(
            request.request_id,
            request.role,
            request.name,
            request.value,
            who(call),
            request.if_version if request.HasField("if_version") else None,
        )
        with answering():
            version = await self.binpack.set_variable(event)
        users = sum(1 for _ in core.users_of(request.role, request.name))
        changed = before is None or before.version != version
        return pb.SetVariableResponse(version=version, changed=changed, jobs=users)

    async def RemoveVariable(  # noqa: N802
        self, request: pb.RemoveVariableRequest, call: Call
    ) -> pb.RemoveVariableResponse:
        """Remove a variable that no job refers to, or any if it is forced."""
        self._check(call, "Jobs.RemoveVariable", request.role)
        core = self.binpack.core
        if (there := core.variables.get(request.role, request.name)) is None:
            raise _none(request.role, request.name)
        request_id = f"remove-{request.name}-{there.request_id}-{request.force:d}"
        event = VariableSet(
            request_id, request.role, request.name, None, who(call), force=request.force
        )
        with answering():
            await self.binpack.set_variable(event)
        return pb.RemoveVariableResponse()

    def _view(
        self,
        call: Call,
        variable: Variable,
        value: Value,
    ) -> pb.VariableView:
        shown = self._may(call, Verb.READ_ENV, variable.role)
        view = pb.VariableView(
            role=variable.role,
            name=variable.name,
            value=value.value if shown else "",
            version=value.version,
            set_by=value.set_by,
            set_at_s=value.set_at_s,
            hidden=not shown,
        )
        if value is variable.latest:
            users = self.binpack.core.users_of(variable.role, variable.name)
            view.jobs = sum(1 for _ in users)
            view.spreading = variable.spreading
            view.untaken.extend(_untaken(variable))
        return view

    async def _resolved(self, job: Job) -> Job:
        """Give a job the values that its role has now. Raises CallError for what has none."""
        if job.missing or job.variables:
            of_role = self.binpack.core.variables.of(job.role)
            document = await asyncio.to_thread(resolved, job.document, of_role)
            if document != job.document:
                job = await self._read_job(document)
        if (problem := missing_problem(job)) is not None:
            raise CallError(Code.FAILED_PRECONDITION, problem)
        return job


def _untaken(variable: Variable) -> Iterable[pb.UntakenVariable]:
    return (pb.UntakenVariable(job_id=j, why=why) for j, why in variable.untaken.items() if why)


def _none(role: str, name: str) -> CallError:
    return CallError(
        Code.NOT_FOUND,
        f"the role {quoted(role)} has no variable {quoted(name)}: `pymesos-cli variables list`"
        f" shows those that there are",
    )
