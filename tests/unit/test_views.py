"""What operators are shown."""

from __future__ import annotations

from pymesos_cli.output import short_amounts
from pymesos_core.resources import Resources, parse
from pymesos_master.core.state import Task
from pymesos_master.queries.views import known_status
from pymesos_proto.v1 import types_pb2 as pb


def test_nobody_knows_whether_an_unreachable_task_is_healthy() -> None:
    status = pb.TaskStatus(state=pb.TASK_RUNNING, healthy=True, ready=True, message="Healthy")
    task = Task(pb.TaskInfo(task_id="t"), "f", "a", "*", Resources(), pb.TASK_RUNNING, 0.0)
    task.status = status
    assert known_status(task) == status
    task.state = pb.TASK_UNREACHABLE
    known = known_status(task)
    assert known is not None and not known.HasField("healthy") and not known.HasField("ready")
    assert "Healthy" not in known.message and "unreachable" in known.message
    assert status.healthy, "the task's own is as it was"


def test_disk_is_shown_like_all_else() -> None:
    assert short_amounts(parse("disk:100")) == "disk 100"
    assert short_amounts(parse("cpus:1;mem:64;disk:5;ports:[1-2]")) == (
        "cpus 1, mem 64, disk 5, ports 2"
    )
