"""What is looked for in listings, and in which order they are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymesos_core import names
from pymesos_core.clock import Now
from pymesos_core.errors import invalid
from pymesos_core.states import reason_name, state_name
from pymesos_core.text import quoted
from pymesos_master.core.state import Agent, ClusterState, Quarantined, Task
from pymesos_proto.v1 import types_pb2

FRESH_S = 2.0  # so long what was sorted is shown to whoever asks for the same
MOST_WORDS = 8

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

    def hostname(task: Task) -> tuple[str, str]:
        agent = state.agents.get(task.agent_id)
        return agent.info.address.hostname if agent else "", task.task_id

    return {
        "id": lambda task: task.task_id,
        "name": lambda task: (task.info.name, task.task_id),
        "state": lambda task: (state_name(task.state), task.task_id),
        "role": lambda task: (task.role, task.task_id),
        "hostname": hostname,
        "launched": lambda task: task.launched_at_s,
        "finished": lambda task: task.finished_at_s,
    }


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

    def to_predicate(self) -> Callable[[Task], bool]:
        """Whether a task is wanted."""
        called = names.task_filter(self.called, exact=self.called_exactly)
        return lambda task: (
            task.info.task_id.startswith(self.id_prefix)
            and (not self.called or called(task.info.task_id, task.info.name))
            and self.framework_id in ("", task.framework_id)
            and self.agent_id in ("", task.agent_id)
            and self.name in ("", task.info.name)
            and (not self.states or task.state in self.states)
        )


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
        items: Callable[[], Iterable[Any]],
    ) -> Sequence[Any]:
        """What there is, by one of the keys. Raises RequestError (INVALID)."""
        name = sort.removeprefix("-")
        if name not in keys:
            raise invalid(f"sort is {quoted(sort)}; expected is one of {', '.join(keys)}")
        now_s = self._clock().mono_s
        self._known = {k: v for k, v in self._known.items() if now_s - v[0] < FRESH_S}
        known = self._known.get((what, sort))
        if known is None:
            in_order = sorted(items(), key=keys[name], reverse=sort != name)
            known = self._known[what, sort] = (now_s, in_order)
        return known[1]


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


def task_has(state: ClusterState, task: Task, words: Sequence[str]) -> bool:
    """Whether a task has all of these words."""
    agent = state.agents.get(task.agent_id)
    framework = state.frameworks.get(task.framework_id)
    reason = reason_name(task.status.reason) if task.status is not None else ""
    hostname = agent.info.address.hostname if agent else ""
    of = framework.info.name if framework else ""
    text = f"{task.task_id} {task.info.name} {task.role} {reason} {hostname} {of}".casefold()
    return all(word in text for word in words)
