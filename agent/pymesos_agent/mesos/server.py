"""The listener of Mesos' APIs on an agent, for executors and for operators.

Executors run in the host's network. One is believed by the
token in its environment, where it sends that, and otherwise by its connection being one of its
container's processes.

Operators are not known here. Where the cluster has no certificates they need not be, and whoever is
on the machine is one, as on the agent's other port; where it has, agents know no policy, and tell
nobody of tasks but masters. The one that leads passes on what operators ask of it, and says what
these may.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import web

from pymesos_agent.core.events import ExecutorLeft, ExecutorSaid
from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.mesos import calls, events
from pymesos_agent.mesos.about import state
from pymesos_agent.mesos.events import Around
from pymesos_agent.mesos.operators import api as operated
from pymesos_agent.mesos.operators.api import Operators
from pymesos_agent.mesos.operators.endpoints import OPEN, PATHS, Endpoints
from pymesos_agent.mesos.operators.gathering import Gathering
from pymesos_agent.mesos.operators.rights import EVERYTHING, Rights, rights_from_proto
from pymesos_agent.mesos.operators.sessions import Sessions, check_id
from pymesos_agent.mesos.peers import is_of_container
from pymesos_agent.queries import Queries
from pymesos_agent.services.executor import MAX_STREAMS, ExecutorStreams, Feed
from pymesos_core import crossing, limits
from pymesos_core.http_listening import ConnectionState, Listener, slot_of, state_of
from pymesos_core.mesos import media
from pymesos_core.mesos.http import (
    BODY_S,
    CALLBACK,
    OURS,
    abort,
    body_of,
    check_method,
    failed,
    query_of,
    refused,
)
from pymesos_core.mesos.media import Media
from pymesos_core.mesos.refusing import RefusalError, bad_request
from pymesos_core.private import is_same
from pymesos_core.serving import Listen
from pymesos_core.streams import NotReadError, in_thread, serve_stream, to_the_end
from pymesos_proto.mesos.v1 import executor_pb2 as mesos_executor
from pymesos_proto.mesos.v1.agent_pb2 import ProcessIO
from pymesos_proto.v1 import agent_http_pb2
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb

Call = mesos_executor.Call
API = ["api", "v1"]
PATH = [*API, "executor"]
STATE, OLD_STATE, DOWNLOAD = "state", ["state.json"], "files/download"
PREFIX = "slave(1)"  # that Mesos' agents have before their paths, for whoever wants it
MAX_BODY_BYTES = 2 * limits.TASK_INFO.most  # JSON is larger than what it says
MOST_CONNECTIONS = 2 * MAX_STREAMS
MOST_BODIES = 16  # read at a time
STREAMED = operated.STREAMING
LONG = (  # calls that are not answered at once
    *STREAMED,
    operated.Call.WAIT_NESTED_CONTAINER,
    operated.Call.WAIT_CONTAINER,
)
MAX_CALL_BYTES = 64 * 1024  # of an operator's
MOST_ANSWERS = 4  # to operators that are made at a time
MOST_DOWNLOADS = 4  # files that are sent at a time
CLOSED = (
    "agents of a cluster with certificates know no policy: ask a master, at its --mesos-port, by"
    " /agent/AGENT_ID and this path"
)
MOST_LOOKS = 2  # at a time through the processes of a container, for who has a connection
SENDING_S = 30.0  # until an event is read
STARTED_S = 5.0  # until a container that calls is known to have started
POLL_S = 0.05

log = logging.getLogger(__name__)

Write = Callable[[list[executor_pb.ExecutorEvent]], Awaitable[None]]


@dataclass
class Relayed(ConnectionState):
    """The state of a connection that a master passes on."""

    may: Rights = EVERYTHING


class MesosServer(Listener):
    """A server that is bound once it is made, and answers while it runs."""

    _known: Queries
    _streams: ExecutorStreams
    _feed: Feed

    def __init__(self, listen: Listen, flags: Mapping[str, str], *, is_open: bool) -> None:
        """`flags` are what operators are told of how this agent is set; it `is_open` to them where
        the cluster has no certificates. Raises ServingError."""
        super().__init__(
            self._handle,
            failed,
            listen,
            flag="choose another port with --mesos-port",
            most_connections=MOST_CONNECTIONS,
            silence_s=math.inf,  # Mesos' executors take the end of one for that of all they do
        )
        self._bodies = asyncio.Semaphore(MOST_BODIES)
        self._looks = asyncio.Semaphore(MOST_LOOKS)
        self._answers = asyncio.Semaphore(MOST_ANSWERS)
        self._downloads = asyncio.Semaphore(MOST_DOWNLOADS)
        self._flags, self._is_open, self._serves = flags, is_open, False
        # The container of each connection whose process was looked for.
        self._seen: WeakKeyDictionary[asyncio.BaseTransport, str] = WeakKeyDictionary()

    async def serve(self, known: Queries, streams: ExecutorStreams, feed: Feed) -> None:
        """Answer until this is cancelled; calls go to `feed`, events come by `streams`."""
        self._known, self._streams, self._feed = known, streams, feed
        self._gathering = Gathering(known, self.address, self._flags)
        self._sessions = Sessions(known)
        hostname = known.agent_info().address.hostname
        self._names = crossing.names_of(hostname, socket.gethostname(), self.address.host)
        self._serves = True
        try:
            await self.run()
        finally:
            await to_the_end(self._sessions.close())

    async def answer_relayed(
        self, connection: socket.socket, rights: agent_http_pb2.HttpRights
    ) -> None:
        """Answer what comes by a connection that a master passes on, to its end."""
        if not self._serves:
            connection.close()
            return
        now_s = asyncio.get_running_loop().time()
        await self._serve(connection, Relayed("", now_s, may=rights_from_proto(rights)))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            parts = [part for part in request.raw_path.partition("?")[0].split("/") if part]
            if parts[:1] == [PREFIX]:
                parts = parts[1:]
            if parts[: len(PATH)] == PATH and not isinstance(state_of(request), Relayed):
                check_method(request.method, ("POST",))
                return await self._called(request)
            if parts[: len(PATH)] != PATH and parts[: len(API)] == API:
                check_method(request.method, ("POST",))
                return await self._operated(request)
            if (path := _endpoint(parts)) is None:
                raise RefusalError(404, "404 Not Found.")
            check_method(request.method, ("GET", "HEAD"))
            return await self._older(request, path)
        except RefusalError as refusal:
            return refused(request, refusal)

    def _asked_by(self, request: web.BaseRequest) -> Gathering:
        """What gathers for who asks. Raises RefusalError for who may not learn of tasks."""
        if isinstance(state := state_of(request), Relayed):
            return self._gathering.for_one(state.may)
        if not self._is_open:
            raise RefusalError(403, CLOSED)
        host = request.headers.get("Host", "")
        problem = crossing.problem(request.headers, host)
        if problem := problem or crossing.host_problem(host, self._names):
            raise RefusalError(403, problem)
        return self._gathering

    async def _operated(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a call of an operator."""
        operators = Operators(self._asked_by(request), self._sessions)
        if operated.content_of(request.headers) == operated.RECORDIO:
            return await self._fed(request, operators)
        body = await body_of(request, MAX_CALL_BYTES)  # whose is slow keeps nobody waiting
        async with self._answers:
            call, to = operated.read(request.headers, body)
            with slot_of(request):
                if call.type not in LONG:
                    return await operators.answer(call, to.media)
        if call.type in STREAMED:
            operators.check(call)
            with slot_of(request):
                return await self._streamed(request, call, to)
        # Who waits for an end gives way to others: there is no limit of these but for connections.
        return await operators.answer(call, to.media)

    async def _streamed(
        self, request: web.BaseRequest, call: operated.Call, to: operated.Accepted
    ) -> web.StreamResponse:
        """Answer with what a command in a container writes."""
        headers = {"Content-Type": to.media.value}
        if to.in_records:
            headers = {
                "Content-Type": operated.RECORDIO,
                "Message-Content-Type": to.media.value,
            }
        response = web.StreamResponse(headers={**headers, **OURS})
        response.enable_chunked_encoding()

        async def write(message: ProcessIO) -> None:
            async with asyncio.timeout(SENDING_S):
                await response.write(media.record(media.write(message, to.media)))

        async def begin() -> Callable[[ProcessIO], Awaitable[None]]:
            await response.prepare(request)
            return write

        try:
            if call.type == operated.Call.ATTACH_CONTAINER_OUTPUT:
                attached = operated.nested_in(call)
                if attached is None:
                    raise operated.refused(call)
                await self._sessions.attach(attached, begin)
            else:
                await self._sessions.run(call.launch_nested_container_session, begin)
            await response.write_eof()
        except (TimeoutError, ConnectionError) as error:
            log.info("a session is not read to its end: %s", error)
            abort(request)
        return response

    async def _fed(self, request: web.BaseRequest, operators: Operators) -> web.StreamResponse:
        """Have a command read what comes."""
        calls = operated.calls_in(request.content.iter_any(), request.headers)
        try:
            async with asyncio.timeout(BODY_S):
                first = await anext(calls, None)
        except TimeoutError:
            raise RefusalError(408, f"no call has come within {BODY_S:g} s") from None
        if first is None:
            raise bad_request("Received EOF while reading request body")
        said = first.attach_container_input
        if said.type != said.CONTAINER_ID:
            raise bad_request("Expecting 'attach_container_input.type' to be CONTAINER_ID")
        check_id(said.container_id, "attach_container_input.container_id")
        operators.check_in(said.container_id)
        with slot_of(request):
            await self._sessions.feed(said.container_id, calls)
        response = web.Response(headers=OURS)
        response.force_close()
        return response

    async def _older(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Answer an older endpoint; `/state` names no task to who may not learn of them."""
        query = query_of(request.raw_path.partition("?")[2])
        try:
            gathering = self._gathering if path in OPEN else self._asked_by(request)
        except RefusalError:
            if path == STATE and "jsonp" not in query:
                return web.json_response(self._state(), headers=OURS)
            raise
        is_relayed = isinstance(state_of(request), Relayed)  # and decided by who has passed it on
        if (callback := query.get("jsonp")) is not None and not CALLBACK.fullmatch(callback):
            raise RefusalError(403, "'jsonp' is no name of a function")
        if callback is not None and not is_relayed and not _is_here(request):
            raise RefusalError(
                403, "'jsonp' is for this machine: elsewhere no browser says who asks"
            )
        turn = self._downloads if path == DOWNLOAD else self._answers
        if path == DOWNLOAD and turn.locked():
            raise RefusalError(503, f"{MOST_DOWNLOADS} files are being sent: try again")
        async with turn:
            with slot_of(request):
                return await Endpoints(gathering).answer(request, path, query)

    def _state(self) -> dict[str, Any]:
        return state(self._known.agent_info(), self._known.agent_id(), str(self.address))

    async def _called(self, request: web.BaseRequest) -> web.StreamResponse:
        encoding = media.media_of_body(request.headers.get("Content-Type"))
        async with self._bodies:
            body = await body_of(request, MAX_BODY_BYTES)
            call = media.read(body, encoding, Call)
        accepted = media.media_of_answer(request.headers.get("Accept"))
        calls.validate(call)
        executor = await self._executor(request, call)
        if call.type == Call.SUBSCRIBE:
            return await self._subscribed(request, call, executor, accepted)
        if not executor.stream_id:
            raise RefusalError(403, "Executor is not subscribed")
        if (said := calls.translate(call)) is not None:
            self._feed(ExecutorSaid(executor.stream_id, said))
        return web.Response(status=202, headers=OURS)

    async def _executor(self, request: web.BaseRequest, call: Call) -> Executor:
        """The executor that calls. Raises RefusalError."""
        framework_id, executor_id = call.framework_id.value, call.executor_id.value
        if not self._known.has_framework(framework_id):
            raise bad_request("Framework cannot be found")
        executor = self._known.executor(framework_id, executor_id)
        if executor is None:
            raise bad_request("Executor cannot be found")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme:
            if scheme.lower() != "bearer" or not is_same(executor.token, token.strip()):
                raise RefusalError(401, "", {"WWW-Authenticate": 'Bearer realm="mesos-agent"'})
        elif not await self._comes_from(request, executor):
            raise RefusalError(
                403,
                "who calls is no process of this executor's container: send its"
                " MESOS_EXECUTOR_AUTHENTICATION_TOKEN as a bearer token",
            )
        return executor

    async def _comes_from(self, request: web.BaseRequest, executor: Executor) -> bool:
        transport = request.transport
        if transport is None:
            return False
        if self._seen.get(transport) == executor.container_id:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(STARTED_S):
                while not executor.container.pid:  # it may be quicker than what is told of it
                    await asyncio.sleep(POLL_S)
        peer = transport.get_extra_info("peername")[:2]
        here = transport.get_extra_info("sockname")[:2]
        async with self._looks:
            found = await in_thread(is_of_container, executor.container.pid, peer, here)
        if found:
            self._seen[transport] = executor.container_id
        return found

    async def _subscribed(
        self, request: web.BaseRequest, call: Call, executor: Executor, encoding: Media
    ) -> web.StreamResponse:
        """Serve the stream of an executor to its end."""
        if len(self._streams) >= MAX_STREAMS:
            raise RefusalError(503, f"{MAX_STREAMS} executors are connected")
        known = [
            task.info.task_id
            for task in executor.tasks
            if not task.ended and task.state != pb.TASK_STAGING
        ]
        subscribe = calls.subscribe_of(call, executor.token, known)
        around = Around(
            executor.framework_id,
            executor.role,
            executor.container_id,
            self._known.agent_info(),
            self.port,
        )
        response = web.StreamResponse(headers={"Content-Type": encoding.value, **OURS})
        response.enable_chunked_encoding()

        async def write(told: list[executor_pb.ExecutorEvent]) -> None:
            for one in told:
                if (event := events.translate(one, around)) is not None:
                    async with asyncio.timeout(SENDING_S):
                        await response.write(media.record(media.write(event, encoding)))

        with slot_of(request):
            try:
                await response.prepare(request)
                await self._converse(subscribe, write)
                await response.write_eof()
            except (TimeoutError, ConnectionError, NotReadError) as error:
                log.info("the stream of %s has ended: %s", executor.label, error)
                abort(request)
        return response

    async def _converse(self, subscribe: executor_pb.ExecutorCall, write: Write) -> None:
        """Raises what `write` raises, and NotReadError."""
        stream_id, outbox = self._streams.open()

        def ended() -> None:
            self._streams.closed(stream_id)
            self._feed(ExecutorLeft(stream_id))

        async def read() -> None:
            await asyncio.Event().wait()  # calls come by other requests

        self._feed(ExecutorSaid(stream_id, subscribe))
        await serve_stream(outbox, read(), write, ended)


def _endpoint(parts: Sequence[str]) -> str | None:
    """The endpoint that a path leads to, as Mesos finds it: the longest that it begins with."""
    if parts == OLD_STATE:
        return STATE
    begins = ("/".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((path for path in begins if path in PATHS), None)


def _is_here(request: web.BaseRequest) -> bool:
    """Whether a request is of this machine, whose browsers say which page asks."""
    transport = request.transport
    peer = (transport.get_extra_info("peername") or ("",))[0] if transport else ""
    return peer == "::1" or peer.startswith("127.")
