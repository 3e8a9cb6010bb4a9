"""One container on an agent, and how a runtime is told of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pymesos_agent.core.effects import DestroyContainer, Effect, KillContainer
from pymesos_agent.core.lifecycles import (
    ContainerEffect,
    ContainerState,
)
from pymesos_core.containers import fitting_runtimes
from pymesos_core.lifecycle import Story
from pymesos_core.reservations import volumes_of
from pymesos_core.resources import from_proto
from pymesos_core.states import is_terminal
from pymesos_proto.v1 import checkpoint_pb2 as checkpoint_pb
from pymesos_proto.v1 import types_pb2 as pb


@dataclass(slots=True, eq=False)
class Container:
    """A container that a runtime of this agent has, had, or is to have."""

    container_id: str
    framework_id: str
    runtime: str
    user: str  # empty: one of its own, if it was given one, else the agent's
    info: pb.TaskInfo  # what runs in it; of an executor, that as a task, with its volumes alone
    own_uid: int = 0  # the user that it was given, whom no other has; 0: none
    pid: int = 0  # of its first process; 0: not known
    capped: bool = False  # it forked without end, and is held at the CPU it asked for
    state: ContainerState = ContainerState.PLANNED
    story: Story = ()

    @property
    def label(self) -> str:
        """What people call it."""
        return f"container {self.container_id} of {self.info.task_id}"

    @property
    def launched(self) -> bool:
        """Whether this agent told its runtime of it, or found it there."""
        return self.state is not ContainerState.PLANNED

    def effect(self, effect: ContainerEffect) -> Effect:
        """What is to be done, when its life cycle says so."""
        match effect:
            case ContainerEffect.KILL:
                return KillContainer(self.container_id, self.runtime, force=True)
            case ContainerEffect.DESTROY:
                return DestroyContainer(
                    self.container_id, self.runtime, self.own_uid, self._volumes()
                )

    def add_volumes(self, resources: Iterable[pb.Resource]) -> None:
        """An executor is started with a task's volumes, and has them for longer than the task."""
        self.info.resources.extend(each for each in resources if each.HasField("disk"))

    def _volumes(self) -> tuple[tuple[str, str], ...]:
        """The volumes that its own user has to leave: role and id of each."""
        if not self.own_uid or not any(r.HasField("disk") for r in self.info.resources):
            return ()
        found = volumes_of(from_proto(self.info.resources))
        return tuple((role, volume.id) for role, volume in found)


def choose_runtime(
    container: pb.ContainerInfo, runtimes: Sequence[str], *, grouped: bool = False
) -> str:
    """The first that fits, or the usual one if none is there."""
    fits = fitting_runtimes(container, grouped=grouped)
    for name in fits:
        if name in runtimes:
            return name
    return fits[0]


def container_of(record: checkpoint_pb.TaskCheckpoint) -> Container:
    """The container of a checkpointed task or executor; what became of it, its runtime says."""
    ended = is_terminal(record.state)
    return Container(
        record.container_id,
        record.framework_id,
        record.runtime,
        record.user,
        record.task_info,
        record.own_uid,
        record.pid,
        state=ContainerState.ENDED if ended else ContainerState.PLANNED,
    )
