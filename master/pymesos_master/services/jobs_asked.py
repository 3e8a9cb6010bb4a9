"""What is asked of the Jobs services by HTTP: of all frameworks, or of the one that is meant."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pymesos_core.caller import Caller
from pymesos_core.documents import DocumentError, read_yaml
from pymesos_core.json_dialect import Json
from pymesos_core.streams import in_thread
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code
from pymesos_master.services.jobs_relay import JobsRelay, Joined, Listing
from pymesos_proto.v1 import jobs_pb2

ANY_ROLE = "*"  # of a job that says none


class JobsAsked(Protocol):
    """A call of Jobs, without whom it is made of."""

    async def answer(self, relay: JobsRelay, method: str, caller: Caller) -> Any:
        """Find who is meant, and ask. Raises CallError."""


class JobsCalls:
    """Answers what is asked of Jobs services."""

    def __init__(self, relay: JobsRelay) -> None:
        self._relay = relay

    async def ask(
        self, method: str, request: JobsAsked, caller: Caller, *, here: bool = False
    ) -> Any:
        """See http.answering.Calls."""
        return await request.answer(self._relay, method.removeprefix("Jobs."), caller)


@dataclass(frozen=True)
class OfAll:
    """A page of a list that is joined from all frameworks that serve jobs, or one of them."""

    request: Callable[[int, str], Any]  # of a size and a token
    items: Callable[[Any], Sequence[Any]]
    framework: str = ""
    limit: int = 0
    token: str = ""

    async def answer(self, relay: JobsRelay, method: str, caller: Caller) -> Joined:
        """See JobsAsked."""
        listing = Listing(method, self.request, self.items)
        return await relay.list(listing, caller, self.framework, self.limit, self.token)


@dataclass(frozen=True)
class FoundJob:
    """The job of a name or an id, as it is among others."""

    job: str
    framework: str = ""

    async def answer(self, relay: JobsRelay, method: str, caller: Caller) -> jobs_pb2.JobView:
        """See JobsAsked."""
        return (await relay.find(caller, self.job, self.framework))[1]


@dataclass(frozen=True)
class OfJob:
    """A call of the framework that has a job, with the job's id."""

    job: str
    request: Callable[[str], Any]
    framework: str = ""

    async def answer(self, relay: JobsRelay, method: str, caller: Caller) -> Any:
        """See JobsAsked."""
        view, job = await relay.find(caller, self.job, self.framework)
        return await relay.ask_one(view, method, self.request(job.job_id), caller)


@dataclass(frozen=True)
class OfDocument:
    """A call of the framework that takes jobs of the role that a job file says."""

    document: Json | None  # or else the text
    text: str
    request: Callable[[str, str], Any]  # of the job as JSON, or as text
    framework: str = ""
    plan: bool = False  # with the agents that there are

    async def answer(self, relay: JobsRelay, method: str, caller: Caller) -> Any:
        """See JobsAsked."""
        view = await relay.taking(caller, await in_thread(self._role), self.framework)
        sent = "" if self.document is None else await in_thread(json.dumps, self.document)
        request = self.request(sent, self.text)
        if self.plan:
            agents, left_out = await relay.agents(caller)
            request.agents.extend(agents)
            request.agents_left_out = left_out
        return await relay.ask_one(view, method, request, caller)

    def _role(self) -> str:
        """The role of the job; empty, which any framework takes and refuses, where that is none."""
        document: Any = self.document
        if document is None:
            try:
                document = read_yaml(self.text)
            except DocumentError:
                return ""
        role = document.get("role", ANY_ROLE) if isinstance(document, dict) else ""
        return role if isinstance(role, str) else ""


@dataclass(frozen=True)
class OfRole:
    """A call of the framework that takes jobs of a role; with it, which that is."""

    role: str
    request: Any
    framework: str = ""

    async def answer(self, relay: JobsRelay, method: str, caller: Caller) -> tuple[str, Any]:
        """See JobsAsked."""
        view = await relay.taking(caller, self.role, self.framework)
        answer = await relay.ask_one(view, method, self.request, caller)
        return view.info.framework_id, answer


@dataclass(frozen=True)
class OfFramework:
    """A call of a framework that is named."""

    framework: str
    request: Any

    async def answer(self, relay: JobsRelay, method: str, caller: Caller) -> Any:
        """See JobsAsked."""
        if not self.framework:  # which would be any
            told = "the framework is named by an empty text; expected is its id, or its name"
            raise CallError(Code.INVALID_ARGUMENT, told)
        found = await relay.serving(caller, self.framework)
        if len(found) > 1:
            raise CallError(
                Code.FAILED_PRECONDITION,
                f"{len(found)} frameworks are called {quoted(self.framework)}; give the"
                f" `framework_id` of one",
            )
        return await relay.ask_one(found[0], method, self.request, caller)


@dataclass(frozen=True)
class OfTask:
    """A call of the framework that has a task, of which this is the id."""

    task_id: str
    request: Any

    async def answer(self, relay: JobsRelay, method: str, caller: Caller) -> Any:
        """See JobsAsked."""
        view = await relay.having(caller, self.task_id)
        return await relay.ask_one(view, method, self.request, caller)
