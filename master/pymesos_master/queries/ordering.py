"""What is looked for in listings, and in which order they are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

from pymesos_core import names
from pymesos_core.clock import Now
from pymesos_core.errors import invalid
from pymesos_core.states import reason_name, state_name
from pymesos_core.text import quoted
from pymesos_master.core.state import Agent, ClusterState, Framework, Quarantined, Task
from pymesos_proto.v1 import types_pb2

FRESH_S = 2.0  # so long what was sorted is shown to whoever asks for the same
MOST_WORDS = 8
SAMPLE = 1000  # items tell whether many have the same key
FEW = 4  # items have one key each at least, on average, so that they are put together by it

Item = TypeVar("Item")
Key = Callable[[Any], Any]
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
        "name": lambda task: task.name,
        "state": lambda task: states[task.state],
        "role": lambda task: task.role,
        "hostname": lambda task: hosts[task.agent_id],
        "launched": lambda task: task.launched_at_s,
        "finished": lambda task: task.finished_at_s,
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

    def to_predicate(self) -> Callable[[Task], bool]:
        """Whether a task is wanted: what is not asked for costs nothing."""
        checks: list[Callable[[Task], bool]] = []
        if self.framework_id:
            checks.append(lambda task: task.framework_id == self.framework_id)
        if self.agent_id:
            checks.append(lambda task: task.agent_id == self.agent_id)
        if self.states:
            checks.append(lambda task: task.state in self.states)
        if self.id_prefix:
            checks.append(lambda task: task.task_id.startswith(self.id_prefix))
        if self.name:
            checks.append(lambda task: task.name == self.name)
        if self.called:
            called = names.task_filter(self.called, exact=self.called_exactly)
            if "@" in self.called:
                of_run = names.run_of
                checks.append(
                    lambda task: called(task.task_id, task.name, of_run(task.info.labels))
                )
            else:
                checks.append(lambda task: called(task.task_id, task.name))

        def is_wanted(task: Task) -> bool:
            for check in checks:  # noqa: SIM110 - a generator for each task takes its time
                if not check(task):
                    return False
            return True

        return is_wanted


class Sorted:
    """Whole lists in order, shared by all who ask for the same within a moment.

    So whoever reloads a sorted page again and again costs no more than one sort in that time.
    """

    def __init__(self, clock: Callable[[], Now]) -> None:
        self._clock = clock
        self._known: dict[object, tuple[float, Sequence[Any]]] = {}

    def get(
        self,
        what: object,
        sort: str,
        keys: Mapping[str, Key],
        items: Callable[[], Sequence[Any]],
    ) -> Sequence[Any]:
        """What there is, by one of the keys. Raises RequestError (INVALID)."""
        now_s = self._clock().mono_s
        self._known = {k: v for k, v in self._known.items() if now_s - v[0] < FRESH_S}
        known = self._known.get((what, sort))
        if known is None:
            known = self._known[what, sort] = (now_s, sorted_by(sort, keys, items()))
        return known[1]


def sorted_by(sort: str, keys: Mapping[str, Key], items: Sequence[Item]) -> list[Item]:
    """Return items by one of the keys. Raises RequestError (INVALID)."""
    name = sort.removeprefix("-")
    if name not in keys:
        raise invalid(f"sort is {quoted(sort)}; expected is one of {', '.join(keys)}")
    return in_order(items, keys[name], descending=sort != name)


def in_order(items: Sequence[Item], key: Callable[[Item], Any], *, descending: bool) -> list[Item]:
    """Return items by their keys; those of one key stay as they are.

    Where many have the same, as a state, that takes little more than to walk through them.
    """
    keys = [key(item) for item in items]
    sample = keys[:: max(1, len(keys) // SAMPLE)]
    if len(set(sample)) * FEW > len(sample):
        places = sorted(range(len(keys)), key=keys.__getitem__, reverse=descending)
        return [items[place] for place in places]
    distinct = sorted(set(keys), reverse=descending)
    groups: dict[Any, list[Item]] = {found: [] for found in distinct}
    for found, item in zip(keys, items, strict=True):
        groups[found].append(item)
    return list(chain.from_iterable(groups.values()))


def words_of(search: str) -> list[str]:
    """The words of a search, as they are compared."""
    return search.casefold().split()[:MOST_WORDS]


def agent_has(row: Row, words: Sequence[str]) -> bool:
    """Whether an agent has all of these words."""
    agent_id, agent = row
    if isinstance(agent, Quarantined):
        text = f"{agent_id} quarantined"
    else:
        attributes = " ".join(f"{a.name}:{a.text}" for a in agent.info.attributes)
        text = (
            f"{agent_id} {agent.info.address.hostname} {agent.state_name}"
            f" {agent.drain.state.value} {attributes}"
        )
    text = text.casefold()
    return all(word in text for word in words)


def _framework_name(framework: Framework | None) -> str:
    return framework.info.name if framework is not None else ""


def task_search(state: ClusterState, words: Sequence[str]) -> Callable[[Task], bool]:
    """Whether a task has all of these words. What its agent and its framework are called is read
    once for all of their tasks."""
    hosts = _Once(lambda agent_id: _hostname(state.agents.get(agent_id)))
    names_of = _Once(lambda framework_id: _framework_name(state.frameworks.get(framework_id)))

    def has(task: Task) -> bool:
        status = task.status if task.finished_at_s else None
        reason = reason_name(status.reason) if status is not None else ""
        text = (
            f"{task.key[1]} {task.name} {task.role} {hosts[task.agent_id]}"
            f" {names_of[task.framework_id]} {reason}"
        ).casefold()
        for word in words:  # noqa: SIM110 - a generator for each task takes its time
            if word not in text:
                return False
        return True

    return has
