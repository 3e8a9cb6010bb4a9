"""What somebody who watches wants of the events that it may see."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pymesos_core.names import task_filter
from pymesos_core.security.policy import Roles
from pymesos_proto.v1 import operator_pb2 as pb


def _any_task(_task_id: str, _name: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class EventFilter:
    """All of it must hold; what is empty holds for every event."""

    kinds: frozenset[int] = frozenset()
    role: str = ""  # with all below it
    framework_id: str = ""
    agent_id: str = ""
    called: str = ""  # of a task, by its id
    is_empty: bool = field(init=False)
    _called: Callable[[str, str], bool] = field(init=False, compare=False)
    _roles: Roles = field(init=False, compare=False)

    def __post_init__(self) -> None:
        asked = (self.kinds, self.role, self.framework_id, self.agent_id, self.called)
        object.__setattr__(self, "is_empty", not any(asked))
        called = task_filter(self.called, exact=False) if self.called else _any_task
        object.__setattr__(self, "_called", called)
        object.__setattr__(self, "_roles", Roles(below=frozenset({self.role})))

    @staticmethod
    def of(request: pb.WatchEventsRequest) -> EventFilter:
        """What a request wants."""
        return EventFilter(
            frozenset(request.kinds),
            request.role,
            request.framework_id,
            request.agent_id,
            request.called,
        )

    def passes(
        self,
        kind: int,
        roles: Iterable[str] = (),
        framework_id: str = "",
        agent_id: str = "",
        task_id: str = "",
    ) -> bool:
        """Whether an event of this is wanted."""
        return (
            (not self.kinds or kind in self.kinds)
            and self.framework_id in ("", framework_id)
            and self.agent_id in ("", agent_id)
            and (not self.role or any(role in self._roles for role in roles))
            and (not self.called or (bool(task_id) and self._called(task_id, "")))
        )


EVERY_EVENT = EventFilter()
