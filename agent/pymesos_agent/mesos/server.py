"""The listener of Mesos' executor API on an agent: `POST /api/v1/executor`; and `GET /state`.

It is of this machine alone, as executors run in the host's network. An executor is believed by the
token in its environment, where it sends that, and otherwise by its connection being one of its
container's processes.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from aiohttp import web

from pymesos_agent.core.events import ExecutorLeft, ExecutorSaid
from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.mesos import calls, events
from pymesos_agent.mesos.about import state
from pymesos_agent.mesos.events import Around
from pymesos_agent.mesos.peers import is_of_container
from pymesos_agent.services.executor import MAX_STREAMS, ExecutorStreams, Feed
from pymesos_core import limits
from pymesos_core.http_listening import Listener, slot_of
from pymesos_core.mesos import media
from pymesos_core.mesos.http import OURS, abort, body_of, check_method, failed, refused
from pymesos_core.mesos.media import Media
from pymesos_core.mesos.refusing import RefusalError, bad_request
from pymesos_core.serving import Listen
from pymesos_core.streams import NotReadError, in_thread, serve_stream
from pymesos_proto.mesos.v1 import executor_pb2 as mesos_executor
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb

Call = mesos_executor.Call
PATH = ["api", "v1", "executor"]
STATE = (["state"], ["state.json"])
PREFIX = "slave(1)"  # that Mesos' agents have before their paths, for whoever wants it
MAX_BODY_BYTES = 2 * limits.TASK_INFO.most  # JSON is larger than what it says
MOST_CONNECTIONS = 2 * MAX_STREAMS
MOST_BODIES = 16  # read at a time
MOST_LOOKS = 2  # at a time through the processes of a container, for who has a connection
SENDING_S = 30.0  # until an event is read
STARTED_S = 5.0  # until a container that calls is known to have started
POLL_S = 0.05

log = logging.getLogger(__name__)

Write = Callable[[list[executor_pb.ExecutorEvent]], Awaitable[None]]


class Known(Protocol):
    """What the agent knows of executors."""

    def has_framework(self, framework_id: str) -> bool:
        """Whether it has anything of a framework."""
        ...

    def executor(self, framework_id: str, executor_id: str) -> Executor | None:
        """The one that has not ended."""
        ...

    def agent_info(self) -> pb.AgentInfo:
        """The agent, as it was started."""
        ...

    def agent_id(self) -> str:
        """The id of the agent; empty until it has one."""
        ...


class MesosExecutors(Listener):
    """A server that is bound once it is made, and answers while it runs."""

    _known: Known
    _streams: ExecutorStreams
    _feed: Feed

    def __init__(self, listen: Listen) -> None:
        """Raises ServingError."""
        super().__init__(
            self._handle,
            failed,
            listen,
            flag="choose another port with --mesos-port",
            most_connections=MOST_CONNECTIONS,
        )
        self._bodies = asyncio.Semaphore(MOST_BODIES)
        self._looks = asyncio.Semaphore(MOST_LOOKS)
        # The container of each connection whose process was looked for.
        self._seen: WeakKeyDictionary[asyncio.BaseTransport, str] = WeakKeyDictionary()

    async def serve(self, known: Known, streams: ExecutorStreams, feed: Feed) -> None:
        """Answer until this is cancelled; calls go to `feed`, events come by `streams`."""
        self._known, self._streams, self._feed = known, streams, feed
        await self.run()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            parts = [part for part in request.raw_path.partition("?")[0].split("/") if part]
            if parts[:1] == [PREFIX]:
                parts = parts[1:]
            if parts in STATE:
                check_method(request.method, ("GET", "HEAD"))
                return web.json_response(self._state(), headers=OURS)
            if parts != PATH:
                raise RefusalError(404, "404 Not Found.")
            check_method(request.method, ("POST",))
            return await self._called(request)
        except RefusalError as refusal:
            return refused(request, refusal)

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
            of_it = hmac.compare_digest(token.strip().encode(), executor.token.encode())
            if scheme.lower() != "bearer" or not of_it:
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
