"""A plan says where new instances would go: by the framework's planner, over what is free."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from pymesos_binpack.jobfiles.parsing import Job, parse_job
from pymesos_cli.jobs.foreseen import where_they_go
from pymesos_core.resources import parse, to_proto
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import operator_pb2, types_pb2


def agent(name: str, total: str, allocated: str = "", **more: Any) -> operator_pb2.AgentView:
    return operator_pb2.AgentView(
        info=types_pb2.AgentInfo(
            agent_id=name, address=types_pb2.Address(hostname=name), runtimes=["process"]
        ),
        state="active",
        total=to_proto(parse(total)),
        allocated=to_proto(parse(allocated)) if allocated else [],
        **more,
    )


def shop(role: str = "*", **task: Any) -> Job:
    made = {"name": "web", "kind": "service", "command": "x", "resources": {"cpus": 1}, **task}
    return parse_job({"name": "shop", "role": role, "tasks": [made]})


def asked(job: Job, *agents: operator_pb2.AgentView, start: int = 0, replace: int = 0) -> list[str]:
    async def listed(**_: object) -> list[operator_pb2.AgentView]:
        return list(agents)

    async def none(**_: object) -> list[operator_pb2.TaskView]:
        return []

    cluster: Any = SimpleNamespace(agents=listed, tasks=none)
    answer = pb.ApplyJobResponse(
        tasks=[pb.TaskChange(task_name="web", start=start, replace=replace)]
    )
    return asyncio.run(where_they_go(cluster, job, answer))


def test_what_fits_and_what_waits() -> None:
    big, small = agent("a", "cpus:4;mem:999", "cpus:2"), agent("b", "cpus:1;mem:999")
    lines = asked(shop(instances=4), big, small, start=4)
    assert lines[0] == "web: would go now: 2 on a, 1 on b"
    assert lines[1].startswith("web: 1 instance would wait: needs 1 cpus")


def test_of_what_is_replaced_only_the_surge_is_beside_it() -> None:
    there = agent("a", "cpus:9;mem:999")
    assert asked(shop(instances=4), there, replace=4) == ["web: would go now: 1 on a"]
    stop_first = shop(instances=4, update={"max_surge": 0, "max_unavailable": 1})
    assert asked(stop_first, there, replace=4) == []


def test_nothing_goes_where_the_role_may_not_be() -> None:
    drained = agent("a", "cpus:9;mem:999", drain=operator_pb2.DrainView(state="draining"))
    others = agent("b", "cpus(other):9;mem:999")
    (line,) = asked(shop(instances=1), drained, others, start=1)
    assert "would wait" in line
