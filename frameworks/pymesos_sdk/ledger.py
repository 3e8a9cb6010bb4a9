"""The ledger: what a framework knows of its tasks, and what it has written of that.

`Ledger` holds the tasks that are not known to have ended, once for the driver and for the framework
behind it: which of them are asked for until a master answers, and which are killed.
`PendingWrites` holds what may be said only after something is durable: stored before said.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Generic, TypeVar

from pymesos_core import limits
from pymesos_core.states import is_terminal
from pymesos_core.store import Change, Records
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

RECONCILE_MIN_S = 2.0
RECONCILE_MAX_S = 60.0
ASKED_AT_ONCE = limits.ASKED_TASKS.most  # of which a master has the answers wait
TASKS_PER_RECONCILE = limits.CALL_TASKS.most
MAX_ENDED = ASKED_AT_ONCE  # so many answers may be on their way
# Ends that only an agent tells. An update that comes again after one is old, and changes nothing.
ENDS = frozenset({pb.TASK_FINISHED, pb.TASK_FAILED, pb.TASK_KILLED, pb.TASK_ERROR})
# Kinds of records.
FRAMEWORK = "framework"  # "" → the framework's id
TASK = "task"  # task id → where it is, and whether it is to end
GIVEN_UP = "replaced"  # task id → agent id
OWN_KINDS = frozenset({FRAMEWORK, TASK, GIVEN_UP})

Then = TypeVar("Then")


def is_over(status: pb.TaskStatus) -> bool:
    """Whether a status says that nothing of the task runs, or that no master knows of it."""
    return is_terminal(status.state) or status.state == pb.TASK_UNKNOWN


class Ledger:
    """The tasks of a framework that are not known to have ended."""

    def __init__(self) -> None:
        self._agents: dict[str, str] = {}  # by task id
        self._unanswered: dict[str, None] = {}  # of them: to be asked for until a master answers
        self._kills: dict[str, scheduler_pb.Call] = {}  # repeated until the task's end is known
        self._given_up: dict[str, str] = {}  # task id → agent id; killed whenever heard of
        self._ended: dict[str, None] = {}  # the latest, by their agent's own word
        self._again_s = RECONCILE_MIN_S
        self._to_ask = 0  # of the unanswered, before any is asked for again
        self._asked: set[str] = set()  # by the latest questions, and no answer has come

    @property
    def tasks(self) -> Mapping[str, str]:
        """The agent's id of each task, by the task's id."""
        return self._agents

    @property
    def given_up(self) -> Mapping[str, str]:
        """The agent's id of each task that is to end whenever it is heard of."""
        return self._given_up

    # What is stored.

    def restore(self, records: Records) -> None:
        """Go on with what an earlier run wrote. Raises ValueError when it cannot be read."""
        for (kind, key), value in records.items():
            if kind == GIVEN_UP:
                self.give_up(key, value.decode("utf-8", "replace"))
                self.expect([(key, self._given_up[key])])
            elif kind == TASK:
                try:
                    record = json.loads(value)
                    agent_id, ends = str(record["agent_id"]), bool(record["ends"])
                except (ValueError, TypeError, KeyError, RecursionError) as error:
                    raise ValueError(f"the record of the task {key} cannot be read") from error
                self.expect([(key, agent_id)])
                if ends:
                    kill = scheduler_pb.Call.Kill(task_id=key, agent_id=agent_id)
                    self.kill(scheduler_pb.Call(kill=kill))

    def record(self, task_id: str) -> Change:
        """What is to be written of a task, as it is known now."""
        agent_id = self._agents.get(task_id)
        if agent_id is None:
            return Change(TASK, task_id, None)
        record = {"agent_id": agent_id, "ends": task_id in self._kills}
        return Change(TASK, task_id, json.dumps(record).encode())

    def removal(self) -> list[Change]:
        """Forget the framework with all its tasks."""
        tasks = [Change(TASK, task_id, None) for task_id in self._agents]
        given_up = [Change(GIVEN_UP, task_id, None) for task_id in self._given_up]
        return [Change(FRAMEWORK, "", None), *tasks, *given_up]

    # What the framework says.

    def launch(self, infos: Iterable[pb.TaskInfo], *, sent: bool) -> None:
        """Tasks are launched; what was not `sent` is asked for with the next subscription."""
        for info in infos:
            self._agents[info.task_id] = info.agent_id
            self._ended.pop(info.task_id, None)  # another task of that id
            if not sent:
                self._unanswered[info.task_id] = None

    def expect(self, tasks: Iterable[tuple[str, str]]) -> None:
        """Tasks (id, agent id) are asked for, until a master answers for each."""
        for task_id, agent_id in tasks:
            self._agents[task_id] = agent_id
            self._unanswered[task_id] = None
        self._begin_to_ask()

    def kill(self, call: scheduler_pb.Call) -> None:
        """The task of a KILL is to end: the call is repeated until its end is known.

        So the next master is asked for it: one that does not know the task yet forgets the KILL.
        """
        task_id = call.kill.task_id
        if task_id not in self._ended:
            self._kills[task_id] = call
            self._agents.setdefault(task_id, call.kill.agent_id)

    def give_up(self, task_id: str, agent_id: str) -> Change:
        """A task is killed whenever it is heard of, until its end is known; what keeps that."""
        self._given_up[task_id] = agent_id
        return Change(GIVEN_UP, task_id, agent_id.encode())

    def forget(self, task_id: str) -> list[Change]:
        """The end of a task is known; what of its records goes."""
        given_up = self._given_up.pop(task_id, None) is not None
        return [Change(GIVEN_UP, task_id, None)] if given_up else []

    # What the master says.

    def is_too_late(self, status: pb.TaskStatus) -> bool:
        """Whether a status answers a question about a task that has ended since.

        A question is repeated until it is answered, and the task may end before the last answer.
        """
        if status.reason != pb.REASON_RECONCILIATION or status.source != pb.SOURCE_MASTER:
            return False
        task_id = status.task_id
        return not status.uuid and task_id in self._ended and task_id not in self._unanswered

    def hear(self, status: pb.TaskStatus) -> scheduler_pb.Call | None:
        """Take a status in; the KILL that answers it, if the task is to have ended.

        A master that does not know the task yet, since its agent has not come back, forgets a KILL.
        """
        task_id = status.task_id
        mine = self._agents.get(task_id)
        if status.uuid and mine and status.agent_id and status.agent_id != mine:
            return None  # of an earlier task of the id, whose agent repeats what was acknowledged
        self._asked.discard(task_id)
        if status.state == pb.TASK_UNREACHABLE:
            # Nobody may know it when its agent is back: its launch can have been lost on the way,
            # and the master that sent it, too. So it is asked for until something better is said.
            self._unanswered.pop(task_id, None)
            self._unanswered[task_id] = None
            return None
        if task_id in self._unanswered:
            del self._unanswered[task_id]
            self._again_s = RECONCILE_MIN_S
        if is_over(status):
            self._agents.pop(task_id, None)
            self._kills.pop(task_id, None)
            if status.state in ENDS or status.uuid:  # which only an agent gives
                self._ended[task_id] = None
                while len(self._ended) > MAX_ENDED:
                    del self._ended[next(iter(self._ended))]
            return None
        if task_id not in self._ended:
            self._agents.setdefault(task_id, status.agent_id)
        if task_id not in self._given_up:
            return self._kills.get(task_id) if status.state != pb.TASK_KILLING else None
        kill = scheduler_pb.Call.Kill(task_id=task_id, agent_id=status.agent_id)
        return scheduler_pb.Call(kill=kill)

    def subscribed(self) -> list[scheduler_pb.Call]:
        """A master has taken the framework in: the kills that it may not have heard of.

        Every task is then asked for: `to_send` says how.
        """
        self._unanswered = dict.fromkeys(self._agents)
        self._begin_to_ask()
        return list(self._kills.values())

    def _begin_to_ask(self) -> None:
        self._again_s, self._to_ask = RECONCILE_MIN_S, 0

    @property
    def asks(self) -> bool:
        """Whether a master has not answered for some task."""
        return bool(self._unanswered)

    @property
    def again_s(self) -> float:
        """How long it is to the next question."""
        return self._again_s

    @property
    def asks_at_once(self) -> bool:
        """Whether all is answered that was asked for last, and there is more to ask for."""
        return not self._asked and bool(self._to_ask and self._unanswered)

    def to_send(self) -> tuple[list[scheduler_pb.Call], float]:
        """The questions that are due, and in how many seconds the next ones are.

        They come ever less often while nothing is answered: a master that waits for agents gives no
        answer yet, and once it does the next agents are soon there, too. There are only so many at
        once; the next come when these are answered, or in a while.
        """
        waiting = list(islice(self._unanswered, ASKED_AT_ONCE))
        for task_id in waiting:  # those of which a master says nothing keep no others waiting
            del self._unanswered[task_id]
            self._unanswered[task_id] = None
        self._asked = set(waiting)
        calls = [
            _reconcile((task_id, self._agents.get(task_id, "")) for task_id in part)
            for part in _parts(waiting)
        ]
        left = self._to_ask or len(self._unanswered)
        self._to_ask = max(0, min(left, len(self._unanswered)) - len(waiting))
        if self._to_ask:
            return calls, RECONCILE_MIN_S
        wait_s, self._again_s = self._again_s, min(RECONCILE_MAX_S, self._again_s * 2)
        return calls, wait_s


def _parts(task_ids: Sequence[str]) -> Iterable[Sequence[str]]:
    for begin in range(0, len(task_ids), TASKS_PER_RECONCILE):
        yield task_ids[begin : begin + TASKS_PER_RECONCILE]


def _reconcile(tasks: Iterable[tuple[str, str]]) -> scheduler_pb.Call:
    asked = [scheduler_pb.Call.Reconcile.Task(task_id=t, agent_id=a) for t, a in tasks]
    return scheduler_pb.Call(reconcile=scheduler_pb.Call.Reconcile(tasks=asked))


@dataclass(frozen=True, slots=True)
class PendingWrite(Generic[Then]):
    """Changes that are asked for, why, and what may be said or done once they are durable.

    `about` names what they are of, for whoever has to look into a failure.
    """

    token: int
    why: str
    about: str
    changes: tuple[Change, ...]
    then: tuple[Then, ...]


class PendingWrites(Generic[Then]):
    """What was asked for and is not yet durable, in the order in which it was asked for."""

    def __init__(self) -> None:
        self._last = 0
        self._waiting: deque[PendingWrite[Then]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(
        self, why: str, changes: Iterable[Change], then: Iterable[Then], about: str = ""
    ) -> PendingWrite[Then]:
        """A write that is to be made: all of its changes or none."""
        self._last += 1
        write = PendingWrite(self._last, why, about, tuple(changes), tuple(then))
        self._waiting.append(write)
        return write

    def then_too(self, kind: str, key: str, then: Iterable[Then]) -> bool:
        """Have more follow the latest write with a change of that record; False: none waits."""
        for at in reversed(range(len(self._waiting))):
            write = self._waiting[at]
            if any((change.kind, change.key) == (kind, key) for change in write.changes):
                self._waiting[at] = replace(write, then=(*write.then, *then))
                return True
        return False

    def stored(self, token: int) -> PendingWrite[Then]:
        """The oldest write is durable."""
        write = self._waiting.popleft()
        assert write.token == token, f"write {token} is durable before {write.token}: {write.why}"
        return write
