"""What tasks use, by what their agents last reported."""

from __future__ import annotations

from collections.abc import Collection

from pymesos_master.core.state import Agent, TaskKey
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as types_pb


class Uses:
    """Sorted by task only when somebody asks: agents report every few seconds."""

    def __init__(self) -> None:
        self._by_agent: dict[str, tuple[agent_pb.Usage, dict[TaskKey, types_pb.TaskUse]]] = {}

    def of(self, agent: Agent, key: TaskKey) -> types_pb.TaskUse | None:
        """The use of a task that its agent has measured; None of others."""
        usage = agent.usage
        if usage is None:
            return None
        known = self._by_agent.get(agent.agent_id)
        if known is None or known[0] is not usage:
            known = (usage, {(use.framework_id, use.task_id): use for use in usage.tasks})
            self._by_agent[agent.agent_id] = known
        return known[1].get(key)

    def keep(self, agents: Collection[str]) -> None:
        """Forget those that are no more."""
        for agent_id in self._by_agent.keys() - agents:
            del self._by_agent[agent_id]
