"""What is looked for in listings, and in which order they are."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, repeat
from operator import attrgetter, ge, le, not_
from typing import Any, Generic, TypeVar

from pymesos_core import names
from pymesos_core.clock import Now
from pymesos_core.errors import invalid
from pymesos_core.states import reason_name, state_name
from pymesos_core.text import quoted
from pymesos_master.core.state import Agent, ClusterState, Framework, Quarantined, Task
from pymesos_proto.v1 import types_pb2

FRESH_S = 2.0  # so long what was sorted is shown to whoever asks for the same
MOST_SORTED = 16  # lists are kept for that, the latest
MOST_WORDS = 8
SORTED_FIRST = 1000  # items are put in order for a page that has the first of them …
SORTED_NEXT = 12_500  # … and for one that has to look for them, or comes later: more than it does
SAMPLE = 1000  # keys tell which come first
LOOKED_AT, MANY_OF = 200, 10  # of so many tasks one of so many is often enough

Item = TypeVar("Item")
Key = Callable[[Any], Any]
Check = Callable[[Task], bool]
Row = tuple[str, Agent | Quarantined]  # of agents, by id


def _of_agent(key: Callable[[Agent], Any], unknown: Any) -> Key:
    """The key of a row; of one whose record cannot be handled nothing is known."""
    return lambda row: (key(row[1]) if isinstance(row[1], Agent) else unknown, row[0])


AGENT_KEYS: Mapping[str, Key] = {
    "hostname": _of_agent(lambda agent: agent.info.address.hostname, ""),
    "state": _of_agent(lambda agent: (agent.state_name, agent.drain.state.value), ("", "")),
    "tasks": _of_agent(lambda agent: len(agent.tasks), -1),
    "cpus": _of_agent(lambda agent: agent.usage.cpus_used if agent.usage else 0.0, -1.0),
    "mem": _of_agent(lambda agent: agent.usage.mem_used_mib if agent.usage else 0.0, -1.0),
    "registered": _of_agent(lambda agent: agent.registered_at_s, 0.0),
}
AGENT_SORTS = tuple(AGENT_KEYS)
TASK_SORTS = ("id", "name", "state", "role", "hostname", "launched", "finished")


def task_keys(state: ClusterState) -> Mapping[str, Key]:
    """By what tasks are sorted."""

    # Each is read once for all of the tasks that have it: a message's fields take their time.
    hosts = _Once(lambda agent_id: _hostname(state.agents.get(agent_id)))
    states = _Once(state_name)
    return {
        "id": lambda task: task.key[1],
        "name": attrgetter("name"),
        "state": lambda task: states[task.state],
        "role": attrgetter("role"),
        "hostname": lambda task: hosts[task.agent_id],
        "launched": attrgetter("launched_at_s"),
        "finished": attrgetter("finished_at_s"),
    }


class _Once(dict[Any, Any]):
    """What a function makes of each value, made once."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Any) -> Any:
        made = self[key] = self._make(key)
        return made


def _hostname(agent: Agent | None) -> str:
    return agent.info.address.hostname if agent is not None else ""


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks are listed; what is empty leaves all."""

    framework_id: str = ""
    agent_id: str = ""
    id_prefix: str = ""
    name: str = ""
    states: Collection[types_pb2.TaskState] = ()
    called: str = ""  # what a person calls them, or the beginning of that
    called_exactly: bool = False
    completed: bool = False  # also those that have ended
    search: str = ""  # words that are found somewhere in what people know of them
    sort: str = ""  # see `ordering`; empty: by framework, as they were launched

    @property
    def is_narrow(self) -> bool:
        """Whether to find them takes less than to sort all tasks."""
        return bool(self.id_prefix or self.agent_id or self.name)

    def to_checks(self) -> list[Check]:
        """What a wanted task passes, but for its words: what is not asked for costs nothing."""
        checks: list[Check] = []
        if self.framework_id:
            checks.append(lambda task: task.framework_id == self.framework_id)
        if self.agent_id:
            checks.append(lambda task: task.agent_id == self.agent_id)
        if self.states:
            checks.append(lambda task: task.state in self.states)
        if self.id_prefix:
            checks.append(lambda task: task.key[1].startswith(self.id_prefix))
        if self.name:
            checks.append(lambda task: task.name == self.name)
        if self.called:
            called = names.task_filter(self.called, exact=self.called_exactly)
            if "@" in self.called:
                of_run = names.run_of
                checks.append(
                    lambda task: called(task.key[1], task.name, lambda: of_run(task.info.labels))
                )
            else:
                checks.append(lambda task: called(task.key[1], task.name))
        return checks


def every(checks: Sequence[Check]) -> Check:
    """Whether a task passes all of these. It is asked of tens of thousands: each call counts."""
    if not checks:
        return lambda task: True
    if len(checks) == 1:
        return checks[0]

    def passes(task: Task) -> bool:
        for check in checks:  # noqa: SIM110 - a generator for each task takes its time
            if not check(task):
                return False
        return True

    return passes


def are_many_in(states: Collection[int], tasks: Sequence[Task]) -> bool:
    """Whether of some tasks, which are drawn, many are in these states: to ask all takes long."""
    draw = random.Random(SAMPLE)  # noqa: S311 - the same work for the same tasks
    some = draw.choices(tasks, k=LOOKED_AT) if tasks else []
    return sum(task.state in states for task in some) * MANY_OF >= LOOKED_AT


class Sorted:
    """Whole lists in order, shared by all who ask for the same within a moment.

    So whoever reloads a sorted page again and again costs no more than one sort in that time.
    """

    def __init__(self, clock: Callable[[], Now]) -> None:
        self._clock = clock
        self._known: dict[object, tuple[float, InOrder[Any]]] = {}

    def get(
        self,
        what: object,
        sort: str,
        keys: Mapping[str, Key],
        items: Callable[[], Sequence[Any]],
        first: int = SORTED_FIRST,
        read: Callable[[], list[Any]] | None = None,
    ) -> InOrder[Any]:
        """What there is, by one of the keys, as by `sorted_by`. Raises RequestError (INVALID).

        `read` reads the keys of all at once, where that takes less than to ask each.
        """
        now_s = self._clock().mono_s
        self._known = {k: v for k, v in self._known.items() if now_s - v[0] < FRESH_S}
        known = self._known.get((what, sort))
        if known is None:
            known = self._known[what, sort] = (
                now_s,
                sorted_by(sort, keys, items(), first, read() if read else None),
            )
            if len(self._known) > MOST_SORTED:
                del self._known[next(iter(self._known))]
        return known[1]


def sorted_by(
    sort: str,
    keys: Mapping[str, Key],
    items: Sequence[Item],
    first: int = SORTED_FIRST,
    read: list[Any] | None = None,
) -> InOrder[Item]:
    """Return items by one of the keys; see InOrder for `first` and `read`.

    Raises RequestError (INVALID).
    """
    name = sort.removeprefix("-")
    if name not in keys:
        raise invalid(f"sort is {quoted(sort)}; expected is one of {', '.join(keys)}")
    return InOrder(items, keys[name], descending=sort != name, first=first, read=read)


class InOrder(Generic[Item]):
    """Items by the keys that they had when it was made; those of one key stay as they were.

    They are put in order as far as they are read: the first page of a hundred thousand takes little
    more than a walk through them.
    """

    def __init__(
        self,
        items: Sequence[Item],
        key: Callable[[Item], Any],
        *,
        descending: bool,
        first: int = SORTED_FIRST,
        read: list[Any] | None = None,
    ) -> None:
        """`first` is how many are put in order when it is read first.

        `read` are the keys of all, in the order of the items, where they were read already.
        """
        self._items = items
        self._first = first
        self._keys = list(map(key, items)) if read is None else read
        self._descending = descending
        # Some of the keys tell about how many come before which. They are drawn, since each
        # hundredth may well be of the same host.
        draw = random.Random(SAMPLE)  # noqa: S311 - the same work for the same items
        marks = draw.choices(self._keys, k=min(SAMPLE, len(items))) if items else []
        self._marks = sorted(marks, reverse=descending)
        self._mark = -1  # up to this one it is sorted
        self._sorted: list[Item] = []
        self._left: Sequence[int] = range(len(items))  # places, some of which …
        self._is_taken: Sequence[bool] = ()  # … were taken by the latest mark

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Item:
        if index >= len(self._sorted):
            self._sort_up_to(index)
        return self._sorted[index]

    def _sort_up_to(self, index: int) -> None:
        while len(self._sorted) <= index < len(self._items):
            self._sort_more()

    def _sort_more(self) -> None:
        """Put about as many more in order as a page may look at, with all of the same keys."""
        done, marks, keys = len(self._sorted), self._marks, self._keys
        wanted = max(SORTED_NEXT, 2 * done) if done else self._first
        mark = max(self._mark + 1, wanted * len(marks) // len(keys))
        while 0 <= self._mark < mark < len(marks) and marks[mark] == marks[self._mark]:
            mark += 1
        places = sorted(self._taken(mark), key=keys.__getitem__, reverse=self._descending)
        self._sorted.extend(map(self._items.__getitem__, places))
        self._mark = mark

    def _taken(self, mark: int) -> Iterable[int]:
        """Where those are whose keys come up to a mark, of those that were not taken before.

        There is no step of Python for each: that would take three times as long.
        """
        if self._is_taken:
            self._left = [*compress(self._left, map(not_, self._is_taken))]
        left = self._left
        if mark >= len(self._marks):
            return left
        keys = self._keys if len(left) == len(self._keys) else map(self._keys.__getitem__, left)
        self._is_taken = [*map(ge if self._descending else le, keys, repeat(self._marks[mark]))]
        return compress(left, self._is_taken)


def words_of(search: str) -> list[str]:
    """The words of a search, as they are compared."""
    return search.casefold().split()[:MOST_WORDS]


class AgentSearch:
    """Looks for words in what is known of agents. What their messages say is read once for all
    searches: of ten thousand agents it takes longer than the rest."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[types_pb2.AgentInfo, str]] = {}

    def has(self, row: Row, words: Sequence[str]) -> bool:
        """Whether an agent has all of these words."""
        agent_id, agent = row
        if isinstance(agent, Quarantined):
            text = f"{agent_id} quarantined".casefold()
        else:
            own = self._own(agent_id, agent.info)
            text = f"{own} {agent.state_name} {agent.drain.state.value}".casefold()
        return all(word in text for word in words)

    def keep(self, agents: Collection[str]) -> None:
        """Forget those that are no more."""
        for agent_id in self._known.keys() - agents:
            del self._known[agent_id]

    def _own(self, agent_id: str, info: types_pb2.AgentInfo) -> str:
        """What an agent says of itself: another message is another text."""
        known = self._known.get(agent_id)
        if known is None or known[0] is not info:
            attributes = " ".join(f"{a.name}:{a.text}" for a in info.attributes)
            known = (info, f"{agent_id} {info.address.hostname} {attributes}")
            self._known[agent_id] = known
        return known[1]


def _framework_name(framework: Framework | None) -> str:
    return framework.info.name if framework is not None else ""


def task_search(state: ClusterState, words: Sequence[str]) -> Callable[[Task], bool]:
    """Whether a task has all of these words. What its agent and its framework are called is read
    once for all of their tasks."""
    hosts = _Once(lambda agent_id: _hostname(state.agents.get(agent_id)))
    names_of = _Once(lambda framework_id: _framework_name(state.frameworks.get(framework_id)))

    def lacks(of: tuple[str, str, str]) -> list[str]:
        role, agent_id, framework_id = of
        text = f"{role} {hosts[agent_id]} {names_of[framework_id]}".casefold()
        return [word for word in words if word not in text]  # as words have no spaces

    left = _Once(lacks)  # for a task's own to have, by what it shares with others

    def has(task: Task) -> bool:
        asked = left[task.role, task.agent_id, task.framework_id]
        own = (name if (name := task.name) is task.key[1] else f"{task.key[1]} {name}").casefold()
        for word in asked:
            if word not in own:
                return bool(task.finished_at_s) and _has_with_reason(task, own, asked)
        return True

    return has


def _has_with_reason(task: Task, own: str, words: Iterable[str]) -> bool:
    """Whether a task that has ended has all words, in what is its own or in why it ended."""
    status = task.status
    reason = reason_name(status.reason).casefold() if status is not None else ""
    return all(word in own or word in reason for word in words)
