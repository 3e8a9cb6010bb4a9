"""What was told of a cluster by its events: so that its state, told again, is not told twice."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from pymesos_core.states import is_terminal, kind_name
from pymesos_proto.v1 import operator_pb2 as pb

MAX_ENDED = 10_000
NOT_SEEN = "it is not there any more; what became of it was not seen"
RECOVERING = "recovering"

Key = tuple[str, str, str]  # agent, framework, task or offer; its framework; its id
_STATES = {
    pb.ClusterEvent.AGENT_ADDED: "active",
    pb.ClusterEvent.AGENT_DISCONNECTED: "disconnected",
    pb.ClusterEvent.AGENT_UNREACHABLE: "unreachable",
}
_ENDS = {
    pb.ClusterEvent.AGENT_GONE,
    pb.ClusterEvent.FRAMEWORK_REMOVED,
    pb.ClusterEvent.OFFER_ACCEPTED,
    pb.ClusterEvent.OFFER_DECLINED,
    pb.ClusterEvent.OFFER_RESCINDED,
}


class Known:
    """Folds events; after a reconnection or a failover only what is new is passed on."""

    def __init__(self) -> None:
        self._live: dict[Key, tuple[str, object]] = {}  # its agent, and what was told of it
        self._ended: dict[Key, None] = {}  # tasks, the latest
        self._shown: set[Key] | None = None  # while a snapshot comes
        self._recovering: set[str] = set()  # agents of which the leader knows no tasks yet
        self._doubted: dict[Key, None] = {}  # tasks of one that is back, until it has told of them

    def news(self, batch: pb.ClusterEventBatch) -> Iterator[pb.ClusterEvent]:
        """The events of a batch that tell something new."""
        if batch.snapshot_begins:
            self._shown, self._recovering = set(), set()
        for event in batch.event:
            self._doubt(event)
            if self._is_news(event):
                yield event
        # What an agent has come back with is told behind it. Where that is more than one batch
        # holds, the rest is told as absent, and then as added.
        yield from self._gone(list(self._doubted))
        self._doubted.clear()
        if batch.cursor and self._shown is not None:
            yield from self._absent(self._shown)
            self._shown = None

    def _doubt(self, event: pb.ClusterEvent) -> None:
        """Note which tasks an agent may have come back without, to a leader that knew none."""
        if event.kind in (pb.ClusterEvent.AGENT_ADDED, pb.ClusterEvent.AGENT_GONE):
            if event.agent_id in self._recovering:
                self._recovering.discard(event.agent_id)
                here = (k for k, (agent_id, _) in self._live.items() if agent_id == event.agent_id)
                self._doubted |= dict.fromkeys(key for key in here if key[0] == "task")
        elif event.task_id and (key := _key(event)) is not None:
            self._doubted.pop(key, None)

    def _is_news(self, event: pb.ClusterEvent) -> bool:
        key = _key(event)
        if key is None:
            return True
        if self._shown is not None:
            self._shown.add(key)
        if event.kind in _ENDS:
            self._live.pop(key, None)
            return True
        if event.kind == pb.ClusterEvent.AGENT_PRESENT and event.message == RECOVERING:
            self._recovering.add(event.agent_id)
        told = _told(event)
        ends = bool(event.task_id) and is_terminal(event.task_state)
        known = (ends and key in self._ended) or self._live.get(key, ("", None))[1] == told
        if ends:
            self._live.pop(key, None)
            self._ended[key] = None
            while len(self._ended) > MAX_ENDED:
                del self._ended[next(iter(self._ended))]
        else:
            self._ended.pop(key, None)  # its id is used again
            self._live[key] = (event.agent_id, told)
        again = kind_name(event.kind).endswith("_present")
        again |= event.kind == pb.ClusterEvent.TASK_ADDED
        return not (again and known)

    def _absent(self, shown: set[Key]) -> Iterator[pb.ClusterEvent]:
        missing = [
            key
            for key, (agent_id, _) in self._live.items()
            # A task may come back with its agent.
            if key not in shown and not (key[0] == "task" and agent_id in self._recovering)
        ]
        yield from self._gone(missing)

    def _gone(self, keys: Iterable[Key]) -> Iterator[pb.ClusterEvent]:
        for key in keys:
            what, framework_id, own_id = key
            agent_id, _ = self._live.pop(key)
            event = pb.ClusterEvent(
                timestamp_s=time.time(),
                kind=_ABSENT[what],
                agent_id=agent_id,
                framework_id=framework_id,
                message=NOT_SEEN,
            )
            setattr(event, f"{what}_id", own_id)
            yield event


def _key(event: pb.ClusterEvent) -> Key | None:
    what = kind_name(event.kind).partition("_")[0]
    own_id: str = getattr(event, f"{what}_id") if what in _ABSENT else ""
    return (what, event.framework_id if what == "task" else "", own_id) if own_id else None


_ABSENT = {
    "agent": pb.ClusterEvent.AGENT_ABSENT,
    "framework": pb.ClusterEvent.FRAMEWORK_ABSENT,
    "task": pb.ClusterEvent.TASK_ABSENT,
    "offer": pb.ClusterEvent.OFFER_ABSENT,
}


def _told(event: pb.ClusterEvent) -> object:
    if event.task_id:
        return event.task_state
    if kind_name(event.kind).startswith("agent_"):
        resources = b"".join(sorted(r.SerializeToString() for r in event.resources))
        state = (
            event.message
            if event.kind == pb.ClusterEvent.AGENT_PRESENT
            else _STATES.get(event.kind)
        )
        return (state, resources)
    return "there"
