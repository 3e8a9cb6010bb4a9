"""Tasks that are alike are looked at once: most of a framework's differ by their names alone.

A task is checked by Mesos' rules and made one of ours. That takes ten times as long as copying
what was made of such a task before.
"""

from __future__ import annotations

from functools import lru_cache

from google.protobuf.message import DecodeError

from pymesos_core.mesos.unsupported import InvalidError, UnsupportedError
from pymesos_master.mesos.rules.names import id_problem
from pymesos_master.mesos.rules.tasks import task_problem
from pymesos_master.mesos.tasks import task_of
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import types_pb2 as pb

MOST_REMEMBERED = 256
MAX_BYTES = 4096  # of a task that is remembered
_ANY_NAME = "name"


def task_of_launch(info: mesos.TaskInfo, role: str) -> pb.TaskInfo:
    """Return our task for one of a LAUNCH in a role, if that is known. Raises UnsupportedError."""
    alike = _alike(info) if info.ByteSize() <= MAX_BYTES else None
    if alike is None:
        return _translated(info, role)
    if (problem := id_problem(info.task_id.value)) is not None:
        raise InvalidError(problem)
    out = pb.TaskInfo()
    out.CopyFrom(alike)
    out.task_id, out.name, out.agent_id = info.task_id.value, info.name, info.agent_id.value
    return out


def _alike(info: mesos.TaskInfo) -> pb.TaskInfo | None:
    """Return what such a task is here whatever its names are; None: it cannot be."""
    nameless = mesos.TaskInfo()
    nameless.CopyFrom(info)
    nameless.name = nameless.task_id.value = nameless.agent_id.value = _ANY_NAME
    try:
        return _of_nameless(nameless.SerializePartialToString())
    except (DecodeError, UnsupportedError):
        return None  # the words may name it, so they are found anew


@lru_cache(maxsize=MOST_REMEMBERED)
def _of_nameless(data: bytes) -> pb.TaskInfo:
    """Raises UnsupportedError, which is not remembered."""
    return _translated(mesos.TaskInfo.FromString(data), "")


def _translated(info: mesos.TaskInfo, role: str) -> pb.TaskInfo:
    if (problem := task_problem(info, role)) is not None:
        raise InvalidError(problem)
    return task_of(info)
