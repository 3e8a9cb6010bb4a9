"""`rollout pause` and its like: a task that there is not is wrong use, as of `rollout status`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_cli.jobs import versions
from pymesos_proto.v1 import jobs_pb2 as pb


class Stub:
    async def DescribeJob(self, *_: Any, **__: Any) -> pb.DescribeJobResponse:
        return pb.DescribeJobResponse(job_json='{"tasks": [{"name": "web"}, {"name": "db"}]}')


@pytest.mark.parametrize("what", ["status", "pause", "resume", "promote", "abort"])
async def test_a_task_that_there_is_not_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    async def held(*_: Any) -> tuple[str, pb.JobView]:
        return "h:1", pb.JobView(job_id="shop-1", rollouts=[pb.RolloutView(task_name="web")])

    @asynccontextmanager
    async def jobs_at(*_: Any) -> AsyncIterator[Stub]:
        yield Stub()

    class Nowhere:
        timeout_s = 1.0

    monkeypatch.setattr(versions, "held", held)
    monkeypatch.setattr(versions, "jobs_at", jobs_at)
    cluster = cast(Any, Nowhere())
    with pytest.raises(CliError, match="has no task 'nope': it has web, db") as raised:
        if what == "status":
            await versions.show_rollouts(cluster, "shop.nope", as_json=False)
        else:
            await versions.steer(cluster, "shop.nope", what)
    assert raised.value.exit_code == EXIT_USAGE
