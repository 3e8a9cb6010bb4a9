"""A task as a master keeps it: small, because there may be a million of them.

A message of protobuf takes seven times its size on the wire, and a running task is hardly ever
looked at. So what the task is and what was said of it last are kept as bytes, and read anew by
whoever looks; only a status that waits for its acknowledgement is a message still. What is looked
at in all tasks at once (a listing, a search) stands beside the bytes.
"""

from __future__ import annotations

import sys
from dataclasses import InitVar, dataclass, field

from pymesos_core.containers import secret_names
from pymesos_core.lifecycle import Story
from pymesos_core.resources import EMPTY, Resources
from pymesos_core.states import is_terminal
from pymesos_master.core.accounts import Account
from pymesos_master.core.named import TaskKey
from pymesos_proto.v1 import types_pb2 as pb


@dataclass(slots=True)
class Task:
    """A task from its launch until its terminal update is acknowledged, and a while after."""

    of: InitVar[pb.TaskInfo]
    framework_id: str
    agent_id: str
    role: str
    resources: Resources
    state: pb.TaskState  # the latest, perhaps ahead of `status`
    launched_at_s: float
    unacknowledged: pb.TaskStatus | None = None  # forwarded, or to be, and not acknowledged
    kill: pb.KillPolicy | None = None  # asked for, not confirmed
    started_at_s: float = 0.0
    finished_at_s: float = 0.0
    account: Account | None = None  # who is charged, as long as it holds anything …
    charged: Resources = EMPTY  # … with this
    story: Story = ()
    key: TaskKey = field(init=False)  # in the maps of tasks
    name: str = field(init=False)
    secrets: tuple[str, ...] = field(init=False)  # that it uses, by their names, each once
    _info: bytes = field(init=False, repr=False)
    _status: bytes | None = field(init=False, repr=False, default=None)

    def __post_init__(self, of: pb.TaskInfo) -> None:
        # Each reading of a message's field makes a new string, and there are many tasks.
        self.framework_id = sys.intern(self.framework_id)
        self.agent_id, self.role = sys.intern(self.agent_id), sys.intern(self.role)
        self.key = (self.framework_id, of.task_id)
        self.info = of

    @property
    def info(self) -> pb.TaskInfo:
        """What it is: a copy, made for whoever reads it."""
        return pb.TaskInfo.FromString(self._info)

    @info.setter
    def info(self, info: pb.TaskInfo) -> None:
        assert info.task_id == self.task_id, f"{self.label} is to be {info.task_id}"
        self._info = info.SerializeToString()
        self.name = self.task_id if info.name == self.task_id else sys.intern(info.name)
        container = info.container if info.HasField("container") else None
        self.secrets = tuple(dict.fromkeys(secret_names(container))) if container else ()

    @property
    def status(self) -> pb.TaskStatus | None:
        """The last one forwarded: the one that is not acknowledged, or a copy of what was kept."""
        if self.unacknowledged is not None or self._status is None:
            return self.unacknowledged
        return pb.TaskStatus.FromString(self._status)

    @status.setter
    def status(self, status: pb.TaskStatus | None) -> None:
        """Keep one that waits for nothing."""
        self.unacknowledged = None
        self._status = None if status is None else status.SerializeToString()

    @property
    def task_id(self) -> str:
        """The task's id."""
        return self.key[1]

    @property
    def label(self) -> str:
        """What its story calls it."""
        return f"task {self.task_id} of {self.framework_id}"

    @property
    def holds_resources(self) -> bool:
        """Resources come free on the transition to a terminal state or to unreachable."""
        return not is_terminal(self.state) and self.state != pb.TASK_UNREACHABLE


@dataclass(slots=True)
class Executor:
    """A custom executor that holds resources of its own, from the launch of its first task until it
    has ended, as far as its agent has said so."""

    framework_id: str
    executor_id: str
    agent_id: str
    role: str
    name: str
    resources: Resources
    launched_at_s: float  # as far as this leader knows
    account: Account | None = None  # as of a task
    charged: Resources = EMPTY
    holds_resources: bool = True

    @property
    def key(self) -> TaskKey:
        """Framework id and executor id."""
        return (self.framework_id, self.executor_id)

    @property
    def task_id(self) -> str:
        """None: it is of no job."""
        return ""

    @property
    def label(self) -> str:
        """What people call it."""
        return f"executor {self.executor_id} of {self.framework_id}"
