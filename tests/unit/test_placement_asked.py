"""Tasks of which no framework says why they are where they are, and jobs that commands run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_cli.jobs import instances
from pymesos_cli.jobs.hosted import Hosted
from pymesos_cli.jobs_stub import FollowingJobs
from pymesos_cli.operators.placements import ask_placement, placement_lines
from pymesos_proto.v1 import jobs_pb2, types_pb2
from pymesos_proto.v1 import operator_pb2 as pb

CLUSTER = cast(Cluster, SimpleNamespace(timeout_s=1.0, credentials=None))
INFO = types_pb2.TaskInfo(task_id="shop-0a1b2c3d.web.0.v1.1", agent_id="a1")
TASK = pb.TaskView(task_info=INFO, hostname="node-1")


async def asked(monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode) -> list[str]:
    """What is said of the task where its framework answers with that error."""

    asked: list[str] = []

    async def refuse(_: object, request: jobs_pb2.ExplainPlacementRequest, **__: object) -> None:
        asked.append(request.task_id)
        raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "no such task")

    stub: Any = FollowingJobs
    monkeypatch.setattr(stub, "ExplainPlacement", refuse, raising=False)
    at = {"shop-0a1b2c3d": "h:1"}
    lines = list(placement_lines(await ask_placement(CLUSTER, TASK, at)))
    assert asked == [INFO.task_id]
    return lines


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (grpc.StatusCode.NOT_FOUND, []),  # it has ended meanwhile
        (
            grpc.StatusCode.UNIMPLEMENTED,
            ["  why on node-1: its framework is of an earlier version, which does not say why"],
        ),
    ],
)
async def test_a_framework_that_cannot_say_why_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode, said: list[str]
) -> None:
    assert await asked(monkeypatch, code) == said


async def test_one_that_denies_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CliError, match="no such task"):
        await asked(monkeypatch, grpc.StatusCode.PERMISSION_DENIED)


async def test_a_task_of_no_known_job_is_asked_of_nobody() -> None:
    assert await ask_placement(CLUSTER, TASK, {}) is None


async def test_of_a_job_that_a_command_runs_its_tasks_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    info = types_pb2.FrameworkInfo(hostname="desk")
    view = jobs_pb2.JobView(job_id="shop-0a1b2c3d")
    hosted = Hosted(pb.FrameworkView(info=info, state="active"), "shop", "7", "1", view)

    async def find_held(*_: object) -> Hosted:
        return hosted

    monkeypatch.setattr(instances, "find_held", find_held)
    with pytest.raises(CliError) as refused:
        await instances.list_instances(CLUSTER, "shop", as_json=False)
    assert refused.value.message == (
        "the job shop-0a1b2c3d is run by the command `pymesos-cli run` (process 7 on desk):"
        " `pymesos-cli tasks shop-0a1b2c3d` lists its tasks"
    )
    assert refused.value.exit_code == EXIT_USAGE
