"""What a master holds of names: see `names`, which changes it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pymesos_proto.v1.names_pb2 import NamedTask, ServedTask

TaskKey = tuple[str, str]  # framework id, task id


@dataclass(slots=True)
class Names:
    """What is said of names, and what of it is shown."""

    said: dict[str, dict[str, ServedTask]] = field(default_factory=dict)  # by framework and task
    shown: dict[TaskKey, NamedTask] = field(default_factory=dict)
    # Of agents that are still awaited, of which nobody can say yet whether it is so.
    awaited: dict[str, dict[TaskKey, None]] = field(default_factory=dict)
    saying: dict[str, set[str]] = field(default_factory=dict)  # frameworks that are at saying all
    settled: dict[str, None] = field(default_factory=dict)  # frameworks that have said all
    ending: dict[str, None] = field(default_factory=dict)  # … that are no more: in slices
