"""The stream of events of Mesos' operators' API: what there is, then what happens to it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence

from pymesos_core.caller import Caller, taker_text
from pymesos_core.errors import RequestError
from pymesos_core.mesos import media
from pymesos_core.mesos.media import Media
from pymesos_core.mesos.refusing import RefusalError
from pymesos_core.mesos.tasks import statuses, task_message, task_state
from pymesos_core.transport import CallError, Code
from pymesos_master.mesos.frameworks import info_to_mesos
from pymesos_master.mesos.operators import showing
from pymesos_master.mesos.operators.api import refused, state, written
from pymesos_master.mesos.operators.gathering import Gathering
from pymesos_master.mesos.operators.reading import Reading
from pymesos_master.queries.looking import Look
from pymesos_master.services.leading import CODES
from pymesos_master.shell import Leader
from pymesos_master.watching import Batch, View, Watch
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

Event = mesos_master.Event
Write = Callable[[Sequence[bytes]], Awaitable[None]]
HEARTBEAT_S = 15.0
MOST_STREAMS = 100  # of which each takes what it has not read yet
MOST_STREAMS_OF_ONE = 20
_Kind = pb.ClusterEvent
_REMOVED = (_Kind.AGENT_UNREACHABLE, _Kind.AGENT_GONE, _Kind.AGENT_LEAVING)


class Streams:
    """The streams that are open: so many in all, and of one principal or address."""

    def __init__(self, gathering: Gathering) -> None:
        self._gathering = gathering
        self.of_one: Counter[str] = Counter()
        gathering.subscribers = self.of_one.total

    async def serve(
        self, leader: Leader, caller: Caller, to: Media, begin: Callable[[], Awaitable[Write]]
    ) -> None:
        """Serve one to its end; `begin` is called once it is sure that there is one.

        Raises RefusalError before, CallError after that.
        """
        if self.of_one[caller.taker] >= MOST_STREAMS_OF_ONE:
            why = f"{taker_text(caller.taker)} has {MOST_STREAMS_OF_ONE} streams open: end some"
            raise RefusalError(429, why, {"Retry-After": "5"})
        if self.of_one.total() >= MOST_STREAMS:
            why = f"{MOST_STREAMS} streams of events are open: that is the limit"
            raise RefusalError(503, why, {"Retry-After": "5"})
        self.of_one[caller.taker] += 1
        try:
            may = leader.queries.permits.watching(caller)
            with leader.watching.watch(view=View(may, without_state=True)) as watch:
                await watch.batch()  # which begins it: what happens from now on comes later
                told = _Told(Reading(leader, caller), self._gathering)
                first = await told.subscribed()
                write = await begin()
                await _go_on(watch, told, first, to, write)
        except RequestError as error:
            raise refused(error, caller) from None
        finally:
            self.of_one[caller.taker] -= 1
            if not self.of_one[caller.taker]:
                del self.of_one[caller.taker]


async def _go_on(watch: Watch, told: _Told, first: Event, to: Media, write: Write) -> None:
    async def send(event: Event) -> None:
        await write([media.record(written(event, to))])

    await send(first)
    await send(Event(type=Event.HEARTBEAT))
    try:
        while True:
            batch = await _next(watch)
            if batch is None:
                raise CallError(Code.UNAVAILABLE, "this master leads no more")
            if batch.snapshot_begins:
                raise CallError(Code.OUT_OF_RANGE, "events were missed: subscribe again")
            if not batch.events:
                await send(Event(type=Event.HEARTBEAT))
            for happened in batch.events:
                for event in told.about(happened):
                    await send(event)
    except RequestError as error:
        raise CallError(CODES[error.problem.kind], error.problem.message) from None


async def _next(watch: Watch) -> Batch | None:
    """What comes next; an empty batch where nothing has for a while; None: the end."""
    try:
        async with asyncio.timeout(HEARTBEAT_S):
            return await watch.batch()
    except TimeoutError:
        return Batch([], watch.cursor)


class _Told:
    """What one stream is told, and has been."""

    def __init__(self, reading: Reading, gathering: Gathering) -> None:
        self._reading = reading
        self._gathering = gathering
        self._agents: set[str] = set()
        self._frameworks: dict[str, types_pb2.FrameworkInfo] = {}
        # Tasks of the beginning, until what happened meanwhile is told.
        self._tasks: set[tuple[str, str]] = set()
        self._sequence = 0

    async def subscribed(self) -> Event:
        """Return the first event. Raises RequestError."""
        out = Event(type=Event.SUBSCRIBED)
        out.subscribed.heartbeat_interval_seconds = HEARTBEAT_S
        whole = await state(self._gathering, self._reading)
        out.subscribed.get_state.CopyFrom(whole)
        self._agents = {one.agent_info.id.value for one in whole.get_agents.agents}
        known = self._reading.leader.core.state.frameworks
        for one in whole.get_frameworks.frameworks:
            framework_id = one.framework_info.id.value
            if (framework := known.get(framework_id)) is not None:
                self._frameworks[framework_id] = framework.info
        tasks = whole.get_tasks
        for task in (*tasks.tasks, *tasks.unreachable_tasks, *tasks.completed_tasks):
            self._tasks.add((task.framework_id.value, task.task_id.value))
        self._sequence = self._reading.leader.watching.history.latest
        return out

    def about(self, happened: pb.ClusterEvent) -> Iterator[Event]:
        """Yield what Mesos tells of an event of ours; of most it tells nothing."""
        if self._tasks and happened.sequence > self._sequence:
            self._tasks = set()
        match happened.kind:
            case _Kind.TASK_ADDED:
                if (happened.framework_id, happened.task_id) not in self._tasks:
                    yield from self._task_added(happened)
            case _Kind.TASK_UPDATED:
                yield from self._task_updated(happened)
            case _Kind.AGENT_ADDED:
                yield from self._agent_added(happened.agent_id)
            case kind if kind in _REMOVED:
                if happened.agent_id in self._agents:
                    self._agents.discard(happened.agent_id)
                    out = Event(type=Event.AGENT_REMOVED)
                    out.agent_removed.agent_id.value = happened.agent_id
                    yield out
            case _Kind.FRAMEWORK_SUBSCRIBED | _Kind.FRAMEWORK_UPDATED:
                yield from self._framework(happened.framework_id)
            case _Kind.FRAMEWORK_REMOVED:
                yield from self._framework_removed(happened.framework_id)

    def _look(self) -> Look:
        return self._reading.leader.queries.look(self._reading.caller)

    def _task(self, happened: pb.ClusterEvent) -> pb.TaskView | None:
        return self._look().task(happened.framework_id, happened.task_id)

    def _aware(self, framework_id: str) -> frozenset[str]:
        info = self._frameworks.get(framework_id)
        aware = info is not None and types_pb2.PARTITION_AWARE in info.capabilities
        return frozenset({framework_id}) if aware else frozenset()

    def _task_added(self, happened: pb.ClusterEvent) -> Iterator[Event]:
        task = self._task(happened)
        if task is None:
            return
        if task.state != happened.task_state:  # it has gone on since
            task.state = happened.task_state
            task.started_at_s = 0.0
            task.ClearField("status")
        out = Event(type=Event.TASK_ADDED)
        places, aware = self._reading.places([task]), self._aware(task.framework_id)
        out.task_added.task.CopyFrom(task_message(task, aware, places))
        yield out

    def _task_updated(self, happened: pb.ClusterEvent) -> Iterator[Event]:
        task = self._task(happened)
        if task is None:
            return
        if task.status.state != happened.task_state:
            task.status.CopyFrom(
                types_pb2.TaskStatus(
                    task_id=happened.task_id,
                    agent_id=happened.agent_id,
                    state=happened.task_state,
                    reason=happened.reason,
                    message=happened.message,
                    timestamp_s=happened.timestamp_s,
                )
            )
        task.state, task.started_at_s = happened.task_state, 0.0
        places, aware = self._reading.places([task]), self._aware(task.framework_id)
        out = Event(type=Event.TASK_UPDATED)
        out.task_updated.framework_id.value = happened.framework_id
        out.task_updated.state = task_state(task, aware)
        out.task_updated.status.CopyFrom(statuses(task, aware, places)[-1])
        yield out

    def _agent_added(self, agent_id: str) -> Iterator[Event]:
        look = self._look()
        agent = look.agent(agent_id)
        if agent is None or agent_id in self._agents:
            return
        self._agents.add(agent_id)
        out = Event(type=Event.AGENT_ADDED)
        out.agent_added.agent.CopyFrom(showing.agent_message(agent, look.held_on(agent_id)))
        yield out

    def _framework(self, framework_id: str) -> Iterator[Event]:
        look = self._look()
        view = look.framework(framework_id)
        if view is None:
            return
        held, places = look.held_by(framework_id), self._reading.places()
        shown = showing.framework_message(view, held, (), places, event=True)
        known = framework_id in self._frameworks
        self._frameworks[framework_id] = view.info
        if known:
            out = Event(type=Event.FRAMEWORK_UPDATED)
            out.framework_updated.framework.CopyFrom(shown)
        else:
            out = Event(type=Event.FRAMEWORK_ADDED)
            out.framework_added.framework.CopyFrom(shown)
        yield out

    def _framework_removed(self, framework_id: str) -> Iterator[Event]:
        info = self._frameworks.pop(framework_id, None)
        if info is None:
            return
        out = Event(type=Event.FRAMEWORK_REMOVED)
        out.framework_removed.framework_info.CopyFrom(info_to_mesos(info))
        yield out
