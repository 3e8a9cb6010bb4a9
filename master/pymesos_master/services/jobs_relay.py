"""The Jobs services of frameworks, for who has called a master by HTTP.

Any master asks the frameworks themselves, and says who has called: they go by what that caller
may. Which of them serve jobs the master that leads knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError

from pymesos_core.addresses import AddressError, HostPort, parse_host_port
from pymesos_core.caller import Caller
from pymesos_core.following import CALLER_KEY, describe, leader_of, says_that_nobody_leads
from pymesos_core.names import Named, find
from pymesos_core.planned_agents import that_fit, to_plan
from pymesos_core.relaying import answer_type, relay_request
from pymesos_core.security.identities import Kind, name_in
from pymesos_core.serving_jobs import START_IT, nobody_takes, not_connected, silent_text, takers
from pymesos_core.streams import in_thread
from pymesos_core.text import duration, quoted
from pymesos_core.transport import CallError, Code, Dial, ask_once, method_of
from pymesos_master.queries.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from pymesos_master.services.relaying import OperatorCalls
from pymesos_proto.v1 import jobs_pb2, masters_pb2
from pymesos_proto.v1 import operator_pb2 as pb

CONTRACT = jobs_pb2.DESCRIPTOR.services_by_name["Jobs"]
RELAY = method_of(
    "/pymesos.v1.RelayedJobs/Relay", masters_pb2.RelayRequest, masters_pb2.RelayResponse
)
TIMEOUT_S = 10.0  # of a call, over all instances of a framework
GLANCE_TIMEOUT_S = 3.0  # where many are asked
PAGE_S = 5.0  # after which a page is as it is, so that the last one asked has time to answer
RETRY_S = 0.2
MAX_JUMPS = 50  # instances may name each other while none leads
MOST_AT_ONCE = 8  # frameworks, for one caller
PAGE_BYTES = 512 * 1024  # joined from several frameworks, unless one alone has more
MOST_PAGES = 100  # of the jobs of a name, of one framework
MOST_PAGES_BYTES = 16 << 20  # of the same
MOST_NAMED = 10  # of jobs, in a sentence
ENDED = ("finished", "failed", "stopped")


class SilentError(CallError):
    """A framework that serves jobs does not answer."""

    def __init__(self, view: pb.FrameworkView, why: str) -> None:
        self.view = view
        self.why = why
        told = f"{silent_text(view, why)}. Its tasks run on meanwhile; {START_IT}"
        super().__init__(Code.UNAVAILABLE, told)


@dataclass
class Joined:
    """A page that is joined from several frameworks."""

    answers: list[tuple[pb.FrameworkView, Any]] = field(default_factory=list)
    silent: list[SilentError] = field(default_factory=list)
    next_token: str = ""


@dataclass(frozen=True)
class Listing:
    """A call that lists, of whichever framework: how one page is asked for, and its items."""

    method: str
    request: Callable[[int, str], Any]  # of a size and the framework's own token
    items: Callable[[Any], Sequence[Any]]


class JobsRelay:
    """Asks frameworks that serve jobs, for others."""

    def __init__(self, operators: OperatorCalls, dial: Dial) -> None:
        self._operators = operators
        self._dial = dial

    # Whom to ask.

    async def serving(self, caller: Caller, named: str = "") -> list[pb.FrameworkView]:
        """Return those that serve jobs and of which the caller may know, by id.

        `named`: only the one of that id or name. Raises CallError, if there is none of it.
        """
        views: list[pb.FrameworkView] = []
        page = pb.Page(page_size=MAX_PAGE_SIZE)
        while True:
            asked = pb.ListFrameworksRequest(page=page, serving_jobs=True)
            answer = await self._operators.ask("Operator.ListFrameworks", asked, caller)
            views += (view for view in answer.frameworks if view.info.jobs_address)
            if not answer.next_page_token:
                break
            page.page_token = answer.next_page_token
        if not named:
            return views
        found = [v for v in views if named in (v.info.framework_id, v.info.name)]
        if not found:
            raise CallError(
                Code.NOT_FOUND,
                f"no framework {quoted(named)} serves jobs; /v1/frameworks lists those there are,"
                f" and those that serve jobs have a `jobs_address`",
            )
        return found

    async def taking(self, caller: Caller, role: str, named: str = "") -> pb.FrameworkView:
        """Return the framework that takes jobs of a role. Raises CallError."""
        there = takers(await self.serving(caller, named), role)
        connected = [view for view in there if not_connected(view) is None]
        if connected:
            return connected[0]
        if there:
            raise SilentError(there[0], not_connected(there[0]) or "")
        raise CallError(
            Code.FAILED_PRECONDITION,
            nobody_takes(role),
        )

    async def having(self, caller: Caller, task_id: str) -> pb.FrameworkView:
        """Return the framework of a job that has a task. Raises CallError."""
        asked = pb.ListTasksRequest(called=task_id, called_exactly=True)
        answer = await self._operators.ask("Operator.ListTasks", asked, caller)
        of = {v.framework_id for v in answer.tasks if v.task_info.task_id == task_id}
        for view in await self.serving(caller):
            if view.info.framework_id in of:
                return view
        raise CallError(
            Code.NOT_FOUND,
            f"no task {quoted(task_id)} of a job runs: /v1/tasks lists the tasks that do",
        )

    async def agents(self, caller: Caller) -> tuple[list[pb.AgentView], int]:
        """Return the agents on which something may be planned, and how many there are beside.

        Of too many for one message those are left out that have least cpus free. None, to who may
        not see them. Raises CallError.
        """
        views: list[pb.AgentView] = []
        page = pb.Page(page_size=MAX_PAGE_SIZE)
        try:
            while True:
                asked = pb.ListAgentsRequest(page=page)
                answer = await self._operators.ask("Operator.ListAgents", asked, caller)
                views += (to_plan(view) for view in answer.agents if view.state == "active")
                if not answer.next_page_token:
                    break
                page.page_token = answer.next_page_token
        except CallError as error:
            if error.code is not Code.PERMISSION_DENIED:
                raise
            return [], 0
        return await in_thread(that_fit, views)

    async def find(
        self, caller: Caller, text: str, named: str = ""
    ) -> tuple[pb.FrameworkView, jobs_pb2.JobView]:
        """Return the job of an id or a name, with its framework.

        Of several of the name, it is the one that has not ended, or the one submitted last.
        Raises CallError.
        """
        asked = jobs_pb2.ListJobsRequest(called=text, include_ended=True)
        found, silent = await self._of_each(await self.serving(caller, named), asked, caller)
        things = [Named((v, j), j.job_id, (j.name,), j.state not in ENDED) for v, j in found]
        fits = find(text, things, exact=True).fits
        live = [thing for thing in fits if thing.live]
        if len(live) > 1:
            ids = ", ".join(thing.id for thing in live[:MOST_NAMED])
            told = f"{quoted(text)} fits {len(live)} jobs; say which, by its id: {ids}"
            raise CallError(Code.FAILED_PRECONDITION, told)
        if fits:
            return max((thing.item for thing in fits), key=lambda item: item[1].submitted_at_s)
        if silent:
            which = "; ".join(silent_text(one.view, one.why) for one in silent[:MOST_NAMED])
            raise CallError(
                Code.UNAVAILABLE,
                f"no job {quoted(text)} is known to those that answer, but {which}. Tasks run on"
                f" meanwhile; {START_IT}",
            )
        raise CallError(
            Code.NOT_FOUND, f"there is no job {quoted(text)}; /v1/jobs?ended=true lists them"
        )

    async def _of_each(
        self,
        views: Iterable[pb.FrameworkView],
        asked: jobs_pb2.ListJobsRequest,
        caller: Caller,
    ) -> tuple[list[tuple[pb.FrameworkView, jobs_pb2.JobView]], list[SilentError]]:
        """The jobs of a name of every framework, and those frameworks that do not answer."""
        found: list[tuple[pb.FrameworkView, jobs_pb2.JobView]] = []
        silent: list[SilentError] = []
        at_once = asyncio.Semaphore(MOST_AT_ONCE)

        async def ask(view: pb.FrameworkView) -> None:
            async with at_once:
                try:
                    jobs = await self._named(view, asked, caller)
                except SilentError as error:
                    silent.append(error)
                except CallError as error:  # whatever is wrong with it is of this framework alone
                    silent.append(SilentError(view, error.message))
                else:
                    found.extend((view, job) for job in jobs)

        async with asyncio.TaskGroup() as group:
            for view in views:
                group.create_task(ask(view))
        return found, silent

    async def _named(
        self, view: pb.FrameworkView, asked: jobs_pb2.ListJobsRequest, caller: Caller
    ) -> list[jobs_pb2.JobView]:
        """The jobs of a name, of which many may have ended. Raises CallError, SilentError."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._all_pages(view, asked, caller)
        except TimeoutError:
            why = f"it has not listed its jobs of that name within {duration(TIMEOUT_S)}"
            raise SilentError(view, why) from None

    async def _all_pages(
        self, view: pb.FrameworkView, asked: jobs_pb2.ListJobsRequest, caller: Caller
    ) -> list[jobs_pb2.JobView]:
        """Raises CallError, and SilentError where the pages do not end."""
        jobs: list[jobs_pb2.JobView] = []
        page = jobs_pb2.ListJobsRequest()
        page.CopyFrom(asked)
        page.page_size = MAX_PAGE_SIZE
        tokens, left_bytes = {""}, MOST_PAGES_BYTES
        while len(tokens) <= MOST_PAGES and left_bytes > 0:
            answer = await self.ask_one(view, "ListJobs", page, caller, GLANCE_TIMEOUT_S)
            jobs += answer.jobs
            left_bytes -= answer.ByteSize()
            page.page_token = answer.next_page_token
            if not page.page_token:
                return jobs
            if page.page_token in tokens:
                break
            tokens.add(page.page_token)
        raise SilentError(view, "its list of the jobs of that name has no end")

    # Asking.

    async def ask_one(
        self,
        view: pb.FrameworkView,
        method: str,
        request: Any,
        caller: Caller,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """Return the answer of the instance that leads. Raises CallError, SilentError."""
        if (why := not_connected(view)) is not None:
            raise SilentError(view, why)
        asked = relay_request(f"Jobs.{method}", request, caller)
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._of_leader(view, asked, timeout_s)
            return answer_type(CONTRACT, method).FromString(answer.response)
        except TimeoutError:
            raise SilentError(view, f"no answer within {duration(timeout_s)}") from None
        except AddressError as error:
            raise SilentError(view, str(error)) from None
        except DecodeError:
            raise SilentError(view, "its answer cannot be read; upgrade it") from None
        except CallError as error:
            if CALLER_KEY in error.trailing:
                raise CallError(error.code, error.message) from None
            raise SilentError(view, _why(error)) from None

    async def _of_leader(
        self, view: pb.FrameworkView, asked: masters_pb2.RelayRequest, timeout_s: float
    ) -> masters_pb2.RelayResponse:
        name = name_in(view.info.principal, Kind.FRAMEWORK)
        at = parse_host_port(view.info.jobs_address)
        tried: set[HostPort] = set()
        for _ in range(MAX_JUMPS):
            tried.add(at)
            try:
                channel = self._dial(at, Kind.FRAMEWORK, name)
                answer = await ask_once(channel, RELAY, asked, timeout_s)
            except CallError as error:
                leader = leader_of(error)
                if leader is None and not says_that_nobody_leads(error):
                    raise
                if leader is None or leader in tried:
                    await asyncio.sleep(RETRY_S)
                at = leader or at
                continue
            if answer is None:
                raise CallError(Code.INTERNAL, "it answered nothing")
            return answer  # type: ignore[no-any-return]
        raise CallError(Code.UNKNOWN, "none of its instances leads")

    async def list(
        self, listing: Listing, caller: Caller, named: str = "", limit: int = 0, token: str = ""
    ) -> Joined:
        """Return a page, of one framework after the other, by their ids. Raises CallError.

        What does not answer is told of, and left out; it takes TIMEOUT_S at most. A token is the id
        of a framework and, after a slash, the one of its own page.
        """
        first, _, own = token.partition("/")
        views = [v for v in await self.serving(caller, named) if v.info.framework_id >= first]
        if not views or views[0].info.framework_id != first:
            own = ""
        page, left, left_bytes = Joined(), limit or DEFAULT_PAGE_SIZE, PAGE_BYTES
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for number, view in enumerate(views):
            left_s = TIMEOUT_S - (loop.time() - began_s)
            try:
                answer = await self.ask_one(
                    view, listing.method, listing.request(left, own), caller, left_s
                )
            except SilentError as error:
                page.silent.append(error)
                answer = None
            own = ""
            if answer is not None:
                page.answers.append((view, answer))
                left -= len(listing.items(answer))
                left_bytes -= answer.ByteSize()
                own = answer.next_page_token
            if own:
                page.next_token = f"{view.info.framework_id}/{own}"
                break
            is_full = left <= 0 or left_bytes <= 0 or loop.time() - began_s > PAGE_S
            if number + 1 < len(views) and (answer is None or is_full):
                page.next_token = f"{views[number + 1].info.framework_id}/"
                break
        return page


def _why(error: CallError) -> str:
    if error.code is Code.UNIMPLEMENTED:
        return "it is of a version that masters cannot ask; upgrade it"
    return describe(error)
