"""The Executor service: one stream per executor that runs on this agent."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sized

from pymesos_agent.core.effects import CloseExecutor, TellExecutor
from pymesos_agent.core.events import ExecutorLeft, ExecutorSaid
from pymesos_core.outbox import Outbox
from pymesos_core.streams import NotReadError, serve_stream
from pymesos_core.text import duration
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_proto.v1 import executor_pb2 as pb

MAX_STREAMS = 1000
MAX_TASKS = 10_000
OUTBOX_BYTES = 4 * 1024 * 1024
SUBSCRIBE_TIMEOUT_S = 10.0

Feed = Callable[[ExecutorSaid | ExecutorLeft], None]


class ExecutorStreams:
    """The streams that are open, for the agent's shell."""

    def __init__(self) -> None:
        self._outboxes: dict[int, Outbox[pb.ExecutorEvent]] = {}
        self._ids = itertools.count(1)

    def __len__(self) -> int:
        return len(self._outboxes)

    def open(self) -> tuple[int, Outbox[pb.ExecutorEvent]]:
        """A new one."""
        stream_id, outbox = next(self._ids), Outbox[pb.ExecutorEvent](OUTBOX_BYTES)
        self._outboxes[stream_id] = outbox
        return stream_id, outbox

    def closed(self, stream_id: int) -> None:
        """Forget a stream that has ended."""
        self._outboxes.pop(stream_id, None)

    def do(self, effect: TellExecutor | CloseExecutor) -> None:
        """What the core wants done, if the stream is still there."""
        outbox = self._outboxes.get(effect.stream_id)
        if outbox is None:
            return
        if isinstance(effect, TellExecutor):
            outbox.put(effect.event)
        else:
            outbox.close()


class _BadSubscriptionError(CallError):
    """A subscription broke the rules: the message says which."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.INVALID_ARGUMENT, message)


def _check_count(task_ids: Sized) -> None:
    if len(task_ids) > MAX_TASKS:
        raise _BadSubscriptionError(f"an executor has at most {MAX_TASKS} tasks")


class _Subscription:
    """Puts a SUBSCRIBE together that came in several parts."""

    def __init__(self) -> None:
        self._parts: pb.ExecutorCall | None = None

    def take(self, call: pb.ExecutorCall) -> Iterator[pb.ExecutorCall]:
        """The calls that are whole now. Raises _BadSubscriptionError."""
        kind = call.WhichOneof("call")
        if kind == "subscribe":
            _check_count(call.subscribe.task_ids)
        if self._parts is None and not (kind == "subscribe" and call.subscribe.more_tasks):
            yield call
        elif self._parts is None:
            self._parts = pb.ExecutorCall()
            self._parts.CopyFrom(call)
        elif kind != "more_tasks":
            raise _BadSubscriptionError(f"a SUBSCRIBE goes on in MORE_TASKS, not in {kind}")
        else:
            task_ids = self._parts.subscribe.task_ids
            task_ids.extend(call.more_tasks.task_ids)
            _check_count(task_ids)
            if not call.more_tasks.more_tasks:
                whole, self._parts = self._parts, None
                yield whole


class ExecutorService:
    """Calls become events of the core, its effects become events on the stream."""

    contract = pb.DESCRIPTOR.services_by_name["Executor"]

    def __init__(self, streams: ExecutorStreams, feed: Feed) -> None:
        self._streams = streams
        self._feed = feed

    async def Connect(  # noqa: N802
        self, call: ServerCall[pb.ExecutorCallBatch, pb.ExecutorEventBatch]
    ) -> None:
        """Serve one executor."""
        if len(self._streams) >= MAX_STREAMS:
            raise CallError(Code.RESOURCE_EXHAUSTED, f"{MAX_STREAMS} executors are connected")
        stream_id, outbox = self._streams.open()

        async def read() -> None:
            subscription = _Subscription()
            timeout_s: float | None = SUBSCRIBE_TIMEOUT_S
            while True:
                async with asyncio.timeout(timeout_s):
                    batch = await call.read()
                if batch is None:
                    return
                timeout_s = None
                for said in batch.call:
                    for whole in subscription.take(said):
                        self._feed(ExecutorSaid(stream_id, whole))

        def ended() -> None:
            self._streams.closed(stream_id)
            self._feed(ExecutorLeft(stream_id))

        async def write(events: list[pb.ExecutorEvent]) -> None:
            await call.write(pb.ExecutorEventBatch(event=events))

        try:
            await serve_stream(outbox, read(), write, ended)
        except TimeoutError:
            raise CallError(
                Code.DEADLINE_EXCEEDED,
                f"nothing was said within {duration(SUBSCRIBE_TIMEOUT_S)}; SUBSCRIBE first",
            ) from None
        except NotReadError:
            raise CallError(
                Code.RESOURCE_EXHAUSTED, "the executor does not read: too much waits for it"
            ) from None
