"""Mesos' API of agents, asked of the master that leads: `/agent/AGENT_ID/…`.

Agents know no policy: a master goes by it, passes on what it is asked, and says what its caller
may. It tells the audit who reads files, who has what run, and who has more logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aiohttp import BaseConnector, ClientError, ClientSession, ClientTimeout, DummyCookieJar, web
from multidict import CIMultiDict
from yarl import URL

from pymesos_core.caller import Caller, taker_text
from pymesos_core.errors import RequestError
from pymesos_core.mesos import media
from pymesos_core.mesos.http import OURS, abort, body_of, query_of
from pymesos_core.mesos.media import Media
from pymesos_core.mesos.refusing import RefusalError
from pymesos_core.security.audit import Outcome
from pymesos_core.security.policy import Verb
from pymesos_core.security.revocations import Revocations
from pymesos_core.security.validity import while_valid
from pymesos_core.tasks import until_first
from pymesos_core.transport import CallError, Code
from pymesos_master.mesos.operators.api import MORE_LOGS, SET_LOGGING, STATUSES, refused
from pymesos_master.mesos.operators.gathering import OVERVIEW
from pymesos_master.services.agent_connections import AgentConnections
from pymesos_master.services.leading import Leadership
from pymesos_master.shell import Leader
from pymesos_proto.mesos.v1 import agent_pb2 as mesos_agent
from pymesos_proto.v1 import agent_http_pb2 as pb

if TYPE_CHECKING:
    import socket

    from aiohttp.client_proto import ResponseHandler

Call = mesos_agent.Call
MAX_CALL_BYTES = 64 * 1024  # as agents take
MOST, MOST_OF_ONE = 256, 64  # that are passed on at a time
LOOK_AGAIN_S = 1.0  # whether the policy allows the same still
RECORDIO = "application/recordio"
ASKED = ("Content-Type", "Accept", "Message-Content-Type", "Message-Accept")
ANSWERED = (
    *("Content-Type", "Message-Content-Type", "Content-Length", "Content-Disposition"),
    *("X-Content-Type-Options", "Allow"),
)
CALLS = "api/v1"
LIST_FILES, READ_FILE, EXEC = "Sandbox.ListFiles", "Sandbox.ReadFile", "Sandbox.Exec"
FILES = {"files/browse": LIST_FILES, "files/read": READ_FILE, "files/download": READ_FILE}
CODES = {
    Code.NOT_FOUND: 404,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 503,
    Code.UNAUTHENTICATED: 401,
    Code.UNIMPLEMENTED: 501,
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What is asked of an agent."""

    agent_id: str
    url: URL  # what is below `/agent/AGENT_ID`, with its query: what is looked at is what is sent
    caller: Caller


@dataclass(frozen=True)
class Deed:
    """What of a task is read, or run in it, or that more is logged: a call as NEEDS names it."""

    call: str
    container_id: str = ""
    path: str = ""
    argv: tuple[str, ...] = ()  # not empty: it begins to run


@dataclass(frozen=True)
class Passed:
    """What is passed on."""

    body: bytes | None  # None: it goes on, and is what a command reads
    may: pb.HttpRights  # its caller
    deed: Deed | None

    @property
    def rights(self) -> pb.HttpRights:
        """Return what the agent is told that its caller may.

        Of what the audit was not told, as the agent has read it otherwise, nothing is done.
        """
        told = pb.HttpRights()
        told.CopyFrom(self.may)
        call = "" if self.deed is None else self.deed.call
        if call not in FILES.values():
            told.ClearField("files")
        if call != EXEC and self.body is not None:
            told.ClearField("exec")
        if call != MORE_LOGS:
            told.ClearField("logging")
        return told


class AgentRelay:
    """Passes on what is asked of agents."""

    def __init__(self, leadership: Leadership, revocations: Revocations) -> None:
        self._leadership = leadership
        self._revocations = revocations
        self._connections = AgentConnections(leadership)
        self._relayed: Counter[str] = Counter()  # by whose they are

    async def answer(
        self, leader: Leader, request: web.BaseRequest, asked: Asked
    ) -> web.StreamResponse:
        """Answer as the agent does. Raises RefusalError."""
        with self._one_of(asked.caller):
            try:
                may = rights_of(leader, asked.caller)
                body: bytes | None = None
                if request.headers.get("Content-Type") != RECORDIO:
                    body = await body_of(request, MAX_CALL_BYTES)
                if (deed := deed_of(request, asked.url, body)) is not None:
                    await self._allow(leader, asked, deed)
            except RequestError as error:
                raise refused(error, asked.caller) from None
            return await self._passed_on(leader, request, asked, Passed(body, may, deed))

    @contextmanager
    def _one_of(self, caller: Caller) -> Iterator[None]:
        """One of those that are passed on. Raises RefusalError where there are enough."""
        taker = caller.taker
        if self._relayed[taker] >= MOST_OF_ONE:
            raise RefusalError(503, f"{taker_text(taker)} has {MOST_OF_ONE} calls relayed already")
        if self._relayed.total() >= MOST:
            raise RefusalError(503, f"this master relays {MOST} calls already")
        self._relayed[taker] += 1
        try:
            yield
        finally:
            self._relayed[taker] -= 1
            self._relayed += Counter()  # without those who have none

    async def _allow(self, leader: Leader, asked: Asked, deed: Deed) -> None:
        """Tell the audit of what is read, or run, as far as it is known here of whom.

        The agent knows it of all. Raises RequestError, RefusalError.
        """
        queries, caller = leader.queries, asked.caller
        named = {"agent_id": asked.agent_id, "path": deed.path, "container_id": deed.container_id}
        task = queries.task_in(asked.agent_id, deed.container_id) if deed.container_id else None
        roles: tuple[str, ...] = ()
        if task is not None:
            roles = (task.role,)
            named |= {"framework_id": task.framework_id, "task_id": task.task_id}
        queries.permits.check(caller, deed.call, roles)
        audit = self._leadership.audit
        if not audit.is_on:
            return
        line = queries.permits.read(caller, deed.call, roles, **named)
        if deed.call == MORE_LOGS:
            line = replace(line, call=SET_LOGGING)
        elif deed.argv:
            line = replace(line, argv=deed.argv, result="begun", outcome=Outcome.BEGUN)
        else:
            audit.write(replace(line, synced=False))
            return
        if (problem := await audit.record(line)) is not None:
            raise RefusalError(STATUSES[problem.kind], problem.message)

    async def _passed_on(
        self, leader: Leader, request: web.BaseRequest, asked: Asked, passed: Passed
    ) -> web.StreamResponse:
        response: web.StreamResponse | None = None

        async def exchange(end: socket.socket) -> None:
            nonlocal response
            sent = passed.body if passed.body is not None else request.content.iter_any()
            headers = _only(request.headers, ASKED)
            async with (
                _session(end) as session,
                session.request(
                    request.method, asked.url, headers=headers, data=sent or None
                ) as answer,
            ):
                response = web.StreamResponse(
                    status=answer.status,
                    headers=CIMultiDict(_only(answer.headers, ANSWERED) | OURS),
                )
                await response.prepare(request)
                await _copied(answer.content.iter_any(), response)

        try:
            async with (
                while_valid(asked.caller, self._revocations),
                self._connections.open(asked.agent_id, passed.rights) as opened,
            ):
                try:
                    await until_first(
                        exchange(opened.socket),
                        self._while_allowed(leader, asked.caller, passed.may),
                    )
                except (ClientError, ConnectionError) as error:
                    raise opened.error or CallError(Code.UNAVAILABLE, _told(error)) from None
        except CallError as error:
            if response is None:
                raise _refusal(error) from None
            log.info("what an agent answers is not passed on to its end: %s", error.message)
            abort(request)
        assert response is not None
        if not request.content.at_eof():
            response.force_close()
        return response

    async def _while_allowed(self, leader: Leader, caller: Caller, rights: pb.HttpRights) -> None:
        """Raises CallError once what the caller may has changed, or this master leads no more."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            if self._leadership.leader is not leader:
                raise CallError(Code.UNAVAILABLE, "this master leads no more")
            with suppress(RequestError):
                if rights_of(leader, caller) == rights:
                    continue
            raise CallError(Code.PERMISSION_DENIED, "what its caller may has changed")


def rights_of(leader: Leader, caller: Caller) -> pb.HttpRights:
    """Return what a caller may at agents. Raises RequestError (DENIED) for who may read nothing."""
    permits = leader.queries.permits
    return pb.HttpRights(
        read=permits.readable(caller, OVERVIEW).patterns(),
        files=permits.where(caller, Verb.FILES).patterns(),
        exec=permits.where(caller, Verb.EXEC).patterns(),
        logging=permits.may(caller, MORE_LOGS, ()),
    )


def deed_of(request: web.BaseRequest, url: URL, body: bytes | None) -> Deed | None:
    """Return what a request reads of a task, or has run in it, if it does."""
    parts = [part for part in url.raw_path.split("/") if part not in ("", "slave(1)")]
    where = "/".join(parts[:2])  # what is below it makes no difference
    if (named := FILES.get(where)) is not None:
        return Deed(named, path=query_of(url.raw_query_string).get("path", ""))
    if where != CALLS or body is None:
        return None
    with suppress(RefusalError, ValueError):  # of what the agent refuses
        return _of_call(media.read(body, Media(request.headers.get("Content-Type", "")), Call))
    return None


def _of_call(call: Call) -> Deed | None:
    match call.type:
        case Call.LIST_FILES:
            return Deed(LIST_FILES, path=call.list_files.path)
        case Call.READ_FILE:
            return Deed(READ_FILE, path=call.read_file.path)
        case Call.SET_LOGGING_LEVEL:
            return Deed(MORE_LOGS)
    said: Any = getattr(call, Call.Type.Name(call.type).lower(), None)
    if "container_id" not in getattr(said, "DESCRIPTOR", Call.DESCRIPTOR).fields_by_name:
        return None
    if not said.container_id.HasField("parent"):
        return None
    argv: tuple[str, ...] = ()
    if (command := getattr(said, "command", None)) is not None:
        argv = (command.value, *command.arguments[1:])
    return Deed(EXEC, said.container_id.parent.value, argv=argv)


def _only(headers: Any, names: tuple[str, ...]) -> dict[str, str]:
    return {name: headers[name] for name in names if name in headers}


async def _copied(parts: AsyncIterator[bytes], response: web.StreamResponse) -> None:
    async for part in parts:
        await response.write(part)
    await response.write_eof()


def _refusal(error: CallError) -> RefusalError:
    return RefusalError(CODES.get(error.code, 503), error.message)


def _told(error: Exception) -> str:
    return f"the agent has not answered to the end: {error}"


@asynccontextmanager
async def _session(end: socket.socket) -> AsyncIterator[ClientSession]:
    """What asks by a connection that is there."""
    async with ClientSession(
        connector=_Connected(end),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        timeout=ClientTimeout(total=None, sock_connect=None),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        raise_for_status=False,
    ) as session:
        yield session


class _Connected(BaseConnector):
    """Makes no connection, and has one."""

    def __init__(self, end: socket.socket) -> None:
        super().__init__(force_close=True, limit=1)
        self._end = end

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> ResponseHandler:
        # One of its own, which it closes once it has sent all, or cannot.
        end = self._end.dup()
        _, protocol = await self._loop.create_connection(self._factory, sock=end)
        return protocol
