"""The life of an instance as the framework sees it, as a table.

What a master says of a task is true whatever was thought before: every such event may come in
every state in which there is a task. What the framework decides may come only where it makes sense.
"""

from __future__ import annotations

from enum import StrEnum

from pymesos_core.lifecycle import Lifecycle, Row
from pymesos_proto.v1 import types_pb2 as pb


class Phase(StrEnum):
    """Where an instance is."""

    WAITING = "waiting"  # for a place, or for its next start
    STORING = "being stored"  # its launch, which is sent once that is durable
    STAGING = "staging"
    STARTING = "starting"
    RUNNING = "running"
    KILLING = "being killed"
    UNREACHABLE = "unreachable"
    DONE = "done"  # it will not be launched again


class Happened(StrEnum):
    """What happens to an instance."""

    PLANNED = "planned"
    LAUNCH_STORED = "launch stored"
    HEARD_STAGING = "TASK_STAGING"
    HEARD_STARTING = "TASK_STARTING"
    HEARD_RUNNING = "TASK_RUNNING"
    HEARD_KILLING = "TASK_KILLING"
    HEARD_UNREACHABLE = "TASK_UNREACHABLE"
    HEARD_OTHER = "a state that is new to this version"
    RUN_AGAIN = "ended, to be run again"
    ENDED = "ended for good"
    REPLACED = "given up, to be run elsewhere"
    CALLED_OFF = "called off"


_RUNS = (Phase.STAGING, Phase.STARTING, Phase.RUNNING, Phase.KILLING, Phase.UNREACHABLE)
_THERE_IS_A_TASK = (Phase.STORING, *_RUNS)

INSTANCE_LIFE: Lifecycle[Phase, Happened, str] = Lifecycle(
    "An instance of a job, as the bin-packing framework knows it",
    (Phase.WAITING, Phase.DONE, *_RUNS),  # those after a restart included
    [
        Row(Phase.WAITING, Happened.PLANNED, Phase.STORING),
        Row(Phase.STORING, Happened.LAUNCH_STORED, Phase.STAGING),
        Row(_THERE_IS_A_TASK, Happened.HEARD_STAGING, Phase.STAGING),
        Row(_THERE_IS_A_TASK, Happened.HEARD_STARTING, Phase.STARTING),
        Row(_THERE_IS_A_TASK, Happened.HEARD_RUNNING, Phase.RUNNING),
        Row(_THERE_IS_A_TASK, Happened.HEARD_KILLING, Phase.KILLING),
        Row(_THERE_IS_A_TASK, Happened.HEARD_UNREACHABLE, Phase.UNREACHABLE),
        Row(Phase.STORING, Happened.HEARD_OTHER, Phase.STAGING),
        *(Row(phase, Happened.HEARD_OTHER, phase) for phase in _RUNS),
        Row(_THERE_IS_A_TASK, Happened.RUN_AGAIN, Phase.WAITING),
        Row(_THERE_IS_A_TASK, Happened.ENDED, Phase.DONE),
        Row(Phase.UNREACHABLE, Happened.REPLACED, Phase.WAITING),
        Row(Phase.WAITING, Happened.CALLED_OFF, Phase.DONE),
    ],
)

_HEARD = {
    pb.TASK_STAGING: (Phase.STAGING, Happened.HEARD_STAGING),
    pb.TASK_STARTING: (Phase.STARTING, Happened.HEARD_STARTING),
    pb.TASK_RUNNING: (Phase.RUNNING, Happened.HEARD_RUNNING),
    pb.TASK_KILLING: (Phase.KILLING, Happened.HEARD_KILLING),
    pb.TASK_UNREACHABLE: (Phase.UNREACHABLE, Happened.HEARD_UNREACHABLE),
}


def heard(state: int) -> Happened:
    """What a master says that is no end."""
    return _HEARD.get(state, (Phase.STAGING, Happened.HEARD_OTHER))[1]  # type: ignore[call-overload, no-any-return]


def phase_of(state: int) -> Phase:
    """Where an instance begins of which a task was stored as being in a state."""
    return _HEARD.get(state, (Phase.STAGING, Happened.HEARD_OTHER))[0]  # type: ignore[call-overload, no-any-return]
