"""Periodic jobs, and their runs."""

from __future__ import annotations

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import Job, parse_job
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness

JOB = "j-r"


def periodic(schedule: str = "* * * * *", **task: object) -> Job:
    timed = {"schedule": schedule} if schedule else {}
    made = {"name": "t", "kind": "periodic", "command": "x", **timed, **task}
    return parse_job({"name": "j", "tasks": [made]})


def offered(h: BinpackHarness) -> list[str]:
    """The tasks that are launched once an agent is offered."""
    before = len(h.launched())
    h.offer()
    return h.launched()[before:]


def finish(h: BinpackHarness, task_id: str, state: pb.TaskState = pb.TASK_FINISHED) -> None:
    h.update(task_id, pb.TASK_RUNNING, uuid=f"{task_id} runs".encode())
    h.update(task_id, state, uuid=f"{task_id} ends".encode())


def trigger(h: BinpackHarness, request_id: str = "q", **args: str) -> None:
    h.feed(c.RunTriggered(request_id, JOB, "", args, "ann"))


def info_of(h: BinpackHarness, task_id: str) -> pb.TaskInfo:
    accepts = [effect for effect in h.effects if isinstance(effect, c.Accept)]
    (info,) = [info for effect in accepts for info in effect.tasks if info.task_id == task_id]
    return info


def environment(h: BinpackHarness, task_id: str) -> dict[str, str]:
    return {each.name: each.value for each in info_of(h, task_id).command.environment}
