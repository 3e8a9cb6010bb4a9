"""The scheduler API of Mesos (`/api/v1/scheduler`): one stream of events, and calls beside it.

What is checked, in which order and with which words is that of Mesos (`src/master/http.cpp`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from pymesos_core import limits
from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, taker_text
from pymesos_core.mesos import media
from pymesos_core.mesos.agents import mesos_address
from pymesos_core.mesos.refusing import RefusalError, bad_request
from pymesos_core.mesos.statuses import Places
from pymesos_core.mesos.tasks import executor_id_of, has_address
from pymesos_core.mesos.unsupported import UnsupportedError
from pymesos_core.outbox import MAX_MESSAGE_BYTES
from pymesos_core.streams import in_thread
from pymesos_master.core.events import FrameworkDisconnected, FrameworkSubscribing
from pymesos_master.core.lifecycles import DrainState
from pymesos_master.core.records import NOT_DRAINED, DrainRecord
from pymesos_master.mesos import calls, validating
from pymesos_master.mesos.events import Here
from pymesos_master.mesos.frameworks import Format, fixed_problem
from pymesos_master.mesos.operators.showing import agent_text
from pymesos_master.mesos.pacing import Pace
from pymesos_master.mesos.rules.operations import Asking
from pymesos_master.mesos.subscriptions import Direct, Subscription
from pymesos_master.services.leading import Leadership, run_stream
from pymesos_master.shell import Connection, Leader
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

Call = mesos_scheduler.Call
Subscribe = scheduler_pb.Call.Subscribe
Write = Callable[[Sequence[bytes]], Awaitable[None]]
LARGE_BYTES = 64 * 1024  # a body that is read in a thread
OF_ONE_MESSAGE = (Call.SUBSCRIBE, Call.UPDATE_FRAMEWORK)  # which the core takes whole
STREAM_ID = "Mesos-Stream-Id"
DRAINED = (DrainState.DRAINING, DrainState.DRAINED)


@dataclass(frozen=True)
class Done:
    """A call that is taken: 202, or 200 if it is done already."""

    status: int = 202


class _Stream:
    """The ServerCall that `run_stream` serves: only who calls, and writing."""

    def __init__(self, caller: Caller, write: Write) -> None:
        self.caller = caller
        self.peer = caller.peer
        self.metadata: Mapping[str, str] = {}
        self._write = write

    async def read(self) -> None:
        """Nothing comes on it."""

    async def write(self, message: list[bytes]) -> None:
        """Write records, each as a chunk of its own."""
        await self._write(message)


class Scheduler:
    """Answers calls of frameworks."""

    def __init__(self, leadership: Leadership, here: Here) -> None:
        self._leadership = leadership
        self._here = here
        self._subscriptions: dict[str, Subscription] = {}  # by framework
        self._streams: Counter[str] = Counter()  # open, by taker
        self._pace = Pace()

    async def read(self, headers: Mapping[str, str], body: bytes) -> Call:
        """Return the call that a request holds. Raises RefusalError."""
        if len(body) <= LARGE_BYTES:
            return self.read_small(headers, body)
        kind = media.media_of_body(headers.get("Content-Type"))
        call: Call = await in_thread(media.read, body, kind, Call)
        return self._checked(call, body)

    def read_small(self, headers: Mapping[str, str], body: bytes) -> Call:
        """Return the call that a request holds, which takes no time. Raises RefusalError."""
        call: Call = media.read(body, media.media_of_body(headers.get("Content-Type")), Call)
        return self._checked(call, body)

    @staticmethod
    def _checked(call: Call, body: bytes) -> Call:
        validating.validate(call)
        if call.type in OF_ONE_MESSAGE and len(body) > MAX_MESSAGE_BYTES:
            told = f"a {Call.Type.Name(call.type)} has at most {MAX_MESSAGE_BYTES} bytes"
            raise RefusalError(413, told)
        return call

    def subscription(
        self, call: Call, headers: Mapping[str, str], caller: Caller
    ) -> tuple[Subscription, Subscribe | str]:
        """Return a stream for a SUBSCRIBE, and ours, or why there is none. Raises RefusalError."""
        accepted = media.media_of_answer(headers.get("Accept"))
        if STREAM_ID in headers:
            raise bad_request(f"Subscribe calls should not include the '{STREAM_ID}' header")
        form = Format.of(call.subscribe.framework_info)
        mine = Subscription(str(self._leadership.outside.uuid()), caller, accepted, form)
        try:
            return mine, calls.subscribe_of(call)
        except UnsupportedError as error:
            return mine, str(error)

    @contextlib.asynccontextmanager
    async def turn_to_subscribe(self, caller: Caller) -> AsyncIterator[None]:
        """Wait until this caller may open another stream, which counts meanwhile.

        Raises RefusalError.
        """
        taker = caller.taker
        self._streams[taker] += 1
        try:
            if problem := limits.PEER_SCHEDULERS.problem(self._streams[taker], taker_text(taker)):
                raise RefusalError(503, problem, {"Retry-After": "5"})
            wait_s = self._pace.wait_s(taker, self._leadership.outside.mono_s())
            if wait_s is None:
                told = f"{taker_text(taker)} subscribes too often: slow down, and come again"
                raise RefusalError(503, told, {"Retry-After": "5"})
            if wait_s:
                await asyncio.sleep(wait_s)
            yield
        finally:
            self._streams[taker] -= 1
            if not self._streams[taker]:
                del self._streams[taker]

    async def serve(
        self, leader: Leader, subscribe: Subscribe | str, mine: Subscription, write: Write
    ) -> None:
        """Serve a stream to its end. Raises CallError."""
        if isinstance(subscribe, str):
            refused = mesos_scheduler.Event(type=mesos_scheduler.Event.ERROR)
            refused.error.message = subscribe
            await write([media.record(media.write(refused, mine.media))])
            return

        async def read(connection: Connection) -> None:
            mine.connection = connection
            async with self._leadership.turns.turn(mine.caller.peer):
                connection.feed(
                    FrameworkSubscribing(connection.connection_id, subscribe, mine.caller)
                )
            await asyncio.Event().wait()  # until the stream ends: see `serve_stream`

        def subscribed() -> None:
            self._subscriptions[mine.framework_id] = mine

        def records(told: list[scheduler_pb.Event | Direct]) -> list[bytes]:
            return mine.records(told, self._here, places, subscribed)

        places = Places(
            lambda status: _ip_of(leader, mine.framework_id, status),
            lambda agent_id: _agent_at(leader, agent_id),
            lambda status: _executor_of(leader, mine.framework_id, status),
            lambda framework_id, agent_id: _executors_on(leader, framework_id, agent_id),
            lambda agent_id: _drain_of(leader, agent_id).state in DRAINED,
            lambda agent_id: _drain_of(leader, agent_id).then_gone,
        )

        try:
            await run_stream(
                leader, _Stream(mine.caller, write), read, records, FrameworkDisconnected
            )
        finally:
            mine.end()
            if self._subscriptions.get(mine.framework_id) is mine:
                del self._subscriptions[mine.framework_id]

    async def call(
        self, leader: Leader, call: Call, headers: Mapping[str, str], caller: Caller
    ) -> Done:
        """Carry out any other call. Raises RefusalError."""
        if call.type == Call.UPDATE_FRAMEWORK:
            mine = self._find(leader, call, headers, caller)
            known = leader.core.state.frameworks[mine.framework_id].info
            return await self._update(mine, call, caller, known)
        async with self._leadership.turns.turn(caller.peer):
            return self._carry_out(leader, call, headers, caller)

    def call_at_once(
        self, leader: Leader, call: Call, headers: Mapping[str, str], caller: Caller
    ) -> Done | None:
        """Carry out a call within a turn of its address; None: it has to wait for something.

        Raises RefusalError.
        """
        if call.type in OF_ONE_MESSAGE:
            return None
        return self._carry_out(leader, call, headers, caller)

    def _carry_out(
        self, leader: Leader, call: Call, headers: Mapping[str, str], caller: Caller
    ) -> Done:
        mine = self._find(leader, call, headers, caller)
        if call.type == Call.UNKNOWN:
            raise RefusalError(501, "Received 'UNKNOWN' call")
        role = _only_role(leader, call.framework_id.value)
        asking = _asking(leader, call)
        translation = self._translated(call, role, self._leadership.outside.wall_s(), asking)
        if translation.call is not None:
            if problem := limits.ACCEPT.problem(translation.call.ByteSize()):
                raise bad_request(problem)
            mine.call(translation.call, caller)
        mine.tell(translation.told)
        return Done()

    @staticmethod
    def _translated(
        call: Call, role: str, now_s: float, asking: Asking | None
    ) -> calls.Translation:
        try:
            return calls.translate(call, role, now_s, asking)
        except UnsupportedError as error:
            raise bad_request(str(error)) from None

    async def _update(
        self, mine: Subscription, call: Call, caller: Caller, known: pb.FrameworkInfo
    ) -> Done:
        try:
            update = calls.update_of(call)
        except UnsupportedError as error:
            raise bad_request(str(error)) from None
        if problem := fixed_problem(known, update.update_framework.framework_info):
            raise bad_request(f"FrameworkInfo update is not valid: {problem}")
        form = Format.of(call.update_framework.framework_info)
        if (problem := await mine.update(update, caller, form)) is not None:
            raise bad_request(f"FrameworkInfo update is not valid: {problem}")
        return Done(200)

    def _find(
        self, leader: Leader, call: Call, headers: Mapping[str, str], caller: Caller
    ) -> Subscription:
        """The stream that a call belongs to. Raises RefusalError."""
        framework_id = call.framework_id.value
        mine = self._subscriptions.get(framework_id)
        state = leader.core.state
        known = framework_id in state.frameworks and not state.is_removed(framework_id)
        if not known or (mine is not None and mine.torn_down):
            raise bad_request("Framework cannot be found")
        if mine is None:
            raise RefusalError(403, "Framework is not subscribed")
        if mine.caller.is_proved and caller.principal != mine.caller.principal:
            raise RefusalError(403, "The framework is another principal's")
        stream_id = headers.get(STREAM_ID)
        if stream_id is None:
            raise bad_request(f"All non-subscribe calls should include the '{STREAM_ID}' header")
        if stream_id != mine.stream_id:
            raise bad_request(
                f"The stream ID '{stream_id[:255]}' included in this request didn't match the"
                f" stream ID currently associated with framework ID {framework_id}"
            )
        return mine


def _only_role(leader: Leader, framework_id: str) -> str:
    """The role of a framework that has one; empty: it has several."""
    framework = leader.core.state.frameworks.get(framework_id)
    roles = framework.roles if framework is not None else ()
    return roles[0] if len(roles) == 1 else ""


def _asking(leader: Leader, call: Call) -> Asking | None:
    """Who asks for operations, of an offer that is out; None: there are none to be looked at."""
    said, framework_id = call.accept, call.framework_id.value
    if all(one.type not in calls.CONVERSIONS for one in said.operations):
        return None
    state = leader.core.state
    framework = state.frameworks[framework_id]
    offer = framework.offers.get(said.offer_ids[0].value) if said.offer_ids else None
    if offer is None or (agent := state.agents.get(offer.agent_id)) is None:
        return None  # the core drops them
    may_share = framework.has(pb.SHARED_RESOURCES)
    return Asking(
        framework_id, framework.info.principal, may_share, offer.role, agent_text(agent.info)
    )


def _ip_of(leader: Leader, framework_id: str, status: pb.TaskStatus) -> str:
    """Where a task in its agent's network is reached; of others an agent says nothing yet."""
    framework = leader.core.state.frameworks.get(framework_id)
    task = framework.tasks.get(status.task_id) if framework is not None else None
    agent = leader.core.state.agents.get(status.agent_id)
    if task is None or agent is None or not has_address(task.info, status.state):
        return ""
    return agent.info.address.ip


def _executor_of(leader: Leader, framework_id: str, status: pb.TaskStatus) -> str:
    """The executor that a framework gave a task; that of a command has the id of its task."""
    framework = leader.core.state.frameworks.get(framework_id)
    task = framework.tasks.get(status.task_id) if framework is not None else None
    return executor_id_of(task.info) if task is not None else ""


def _executors_on(leader: Leader, framework_id: str, agent_id: str) -> list[str]:
    """The executors of a framework on an agent that hold something there."""
    agent = leader.core.state.agents.get(agent_id)
    return [e for f, e in agent.executors if f == framework_id] if agent is not None else []


def _drain_of(leader: Leader, agent_id: str) -> DrainRecord:
    """What an operator has decided of an agent."""
    meant = leader.core.state.intended_agent(agent_id)
    return NOT_DRAINED if meant is None else meant.drain


def _agent_at(leader: Leader, agent_id: str) -> HostPort | None:
    agent = leader.core.state.agents.get(agent_id)
    return None if agent is None else mesos_address(agent.info)
