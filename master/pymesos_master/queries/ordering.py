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
            checks.append(lambda task: task.info.name == self.name)
        if self.called:
            called = names.task_filter(self.called, exact=self.called_exactly)
            if "@" in self.called:
                of_run = names.run_of
                checks.append(
                    lambda task: called(task.task_id, task.info.name, of_run(task.info.labels))
                )
            else:
                checks.append(lambda task: called(task.task_id, task.info.name))

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


def task_search(state: ClusterState, words: Sequence[str]) -> Callable[[Task], bool]:
    """Whether a task has all of these words. What its agent and its framework are called is read
    once for all of their tasks."""
    hosts: dict[str, str] = {}
    frameworks: dict[str, str] = {}

    def host_of(agent_id: str) -> str:
        found = hosts.get(agent_id)
        if found is None:
            agent = state.agents.get(agent_id)
            found = agent.info.address.hostname if agent else ""
            hosts[agent_id] = found
        return found

    def framework_of(framework_id: str) -> str:
        found = frameworks.get(framework_id)
        if found is None:
            framework = state.frameworks.get(framework_id)
            found = frameworks[framework_id] = framework.info.name if framework else ""
        return found

    def has(task: Task) -> bool:
        reason = reason_name(task.status.reason) if task.finished_at_s and task.status else ""
        text = (
            f"{task.key[1]} {task.info.name} {task.role} {host_of(task.agent_id)}"
            f" {framework_of(task.framework_id)} {reason}"
        ).casefold()
        for word in words:  # noqa: SIM110 - a generator for each task takes its time
            if word not in text:
                return False
        return True

    return has
