"""A plan says where new instances would go: by the framework's planner, over what is free."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pymesos_binpack.jobfiles.parsing import Job, parse_job
from pymesos_cli.errors import EXIT_NO_MASTER, CliError
from pymesos_cli.jobs import preemptible
from pymesos_cli.jobs.foreseen import agents_to_plan, told, where_they_go
from pymesos_cli.jobs.preemptible import UNKNOWN, Running, of_views, running_tasks
from pymesos_cli.jobs.versions import becomes
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


def asked(
    job: Job,
    *agents: operator_pb2.AgentView,
    start: int = 0,
    replace: int = 0,
    running: Running | None = None,
    policy: str = "",
    job_id: str = "",
) -> list[str]:
    async def listed(**_: object) -> list[operator_pb2.AgentView]:
        return list(agents)

    async def none(**_: object) -> list[operator_pb2.TaskView]:
        return []

    cluster: Any = SimpleNamespace(agents=listed, tasks=none)
    answer = pb.ApplyJobResponse(
        job_id=job_id,
        tasks=[pb.TaskChange(task_name="web", start=start, replace=replace)],
        policy=policy,
    )

    async def tasks() -> Running:
        assert running is not None, "nobody may be preempted"
        return running

    return asyncio.run(where_they_go(cluster, job, answer, tasks))


def test_what_fits_and_what_waits() -> None:
    big, small = agent("a", "cpus:4;mem:999", "cpus:2"), agent("b", "cpus:1;mem:999")
    lines = asked(shop(instances=4), big, small, start=4)
    assert lines[0] == "web: would go now: 2 on a, 1 on b"
    assert lines[1].startswith("web: 1 instance would wait: needs 1 cpus")


def test_the_policy_is_the_one_that_the_framework_says() -> None:
    big, small = agent("a", "cpus:9;mem:999"), agent("b", "cpus:2;mem:222")
    for policy, host in (("best-fit", "b"), ("spread", "a"), ("0.5*spread", "a")):
        lines = asked(shop(), small, big, start=1, policy=policy)
        assert lines == [f"web: would go now: 1 on {host}"], policy


@pytest.mark.parametrize("policy", ["antigravity:Policy", "spread+antigravity:Policy", "mine"])
def test_one_of_its_own_is_named_and_not_loaded(policy: str) -> None:
    there = agent("a", "cpus:9;mem:999")
    lines = asked(shop(), there, start=1, policy=policy)
    assert lines[0] == "web: would go now: 1 on a"
    assert lines[1].startswith(f"the framework has a policy of its own, '{policy}': ")
    assert "antigravity" not in sys.modules


def test_of_what_is_replaced_only_the_surge_is_beside_it() -> None:
    there = agent("a", "cpus:9;mem:999")
    assert asked(shop(instances=4), there, replace=4) == ["web: would go now: 1 on a"]
    stop_first = shop(instances=4, update={"max_surge": 0, "max_unavailable": 1})
    assert asked(stop_first, there, replace=4) == []


@pytest.mark.parametrize("kind", ["service", "batch"])
def test_what_can_start_nowhere_is_said_of_a_change_too(kind: str) -> None:
    """Services run beside what they replace, and batch tasks do not: neither matters."""
    there = agent("a", "cpus:4;mem:999", "cpus:4;mem:999")
    large = shop(kind=kind, instances=2, resources={"cpus": 9})
    said = "could start on no agent that there is: needs 9 cpus, the largest agent has 4 cpus"
    assert asked(large, there, replace=2) == [f"web: 2 new instances {said}"]
    assert not any("could start" in line for line in asked(large, replace=2))


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"stay": 1, "start": 1, "stop": 1}, "1 stays, 1 starts, 1 stops"),
        ({"replace": 1, "finish": 1}, "1 is replaced, 1 finishes as it is"),
        ({"replace": 2, "finish": 2, "stay": 2}, "2 stay, 2 are replaced, 2 finish as they are"),
        ({}, "no instances"),
    ],
)
def test_what_becomes_of_instances(numbers: dict[str, int], said: str) -> None:
    change: Any = numbers
    assert becomes(pb.TaskChange(task_name="web", **change)) == said


def test_nothing_goes_where_the_role_may_not_be() -> None:
    drained = agent("a", "cpus:9;mem:999", drain=operator_pb2.DrainView(state="draining"))
    others = agent("b", "cpus(other):9;mem:999")
    (line,) = asked(shop(instances=1), drained, others, start=1)
    assert "would wait" in line


# What would be preempted.


def running(task_id: str, agent_id: str, has: str, **more: Any) -> operator_pb2.TaskView:
    info = types_pb2.TaskInfo(task_id=task_id, agent_id=agent_id, resources=to_proto(parse(has)))
    state = more.pop("state", types_pb2.TASK_RUNNING)
    return operator_pb2.TaskView(task_info=info, state=state, hostname=agent_id, **more)


def urgent(**task: Any) -> Job:
    made = {"name": "web", "kind": "service", "command": "x", "resources": {"cpus": 2}, **task}
    return parse_job({"name": "shop", "priority": 9, "preempt": True, "tasks": [made]})


def test_who_would_be_preempted_is_named_with_job_and_priority() -> None:
    there = of_views(
        [
            running("low-0000000a.w.0.1", "a", "cpus:2;mem:5"),
            running("low-0000000a.w.1.1", "b", "cpus:2;mem:5"),
            running("mid-0000000a.w.0.1", "b", "cpus:2;mem:5"),
            running("high-0000000a.w.0.1", "c", "cpus:4;mem:5"),
        ],
        {"low-0000000a": 0, "mid-0000000a": 5, "high-0000000a": 9},
    )
    full = [
        agent("a", "cpus:2;mem:999", "cpus:2"),
        agent("b", "cpus:4;mem:999", "cpus:4"),
        agent("c", "cpus:4;mem:999", "cpus:4"),
    ]
    assert asked(urgent(instances=1), *full, start=1, running=there) == [
        "web: 1 task would be preempted for 1 instance:",
        "  of low-0000000a (priority 0): w.0 on a",
    ]
    lines = asked(urgent(instances=4), *full, start=4, running=there)
    assert lines[:3] == [
        "web: 3 tasks would be preempted for 3 instances:",
        "  of low-0000000a (priority 0): w.0 on a, w.1 on b",
        "  of mid-0000000a (priority 5): w.0 on b",
    ]
    assert lines[3].startswith("web: 1 instance would wait: ") and len(lines) == 4


def test_its_own_instances_do_not_go_for_the_priority_that_it_gets() -> None:
    """The framework goes by the priority of the job as it is then, for those that run, too."""
    there = of_views([running("shop-0000000a.web.0.1", "a", "cpus:2;mem:5")], {"shop-0000000a": 0})
    full = agent("a", "cpus:2;mem:999", "cpus:2")
    lines = asked(urgent(instances=2), full, start=1, running=there, job_id="shop-0000000a")
    assert lines[0].startswith("web: 1 instance would wait: ") and len(lines) == 1
    other = asked(urgent(instances=2), full, start=1, running=there, job_id="shop-0000000b")
    assert other[0] == "web: 1 task would be preempted for 1 instance:"


def test_nobody_goes_where_there_is_room_or_the_job_may_not_preempt() -> None:
    there = of_views([running("low-0000000a.w.0.1", "a", "cpus:2;mem:5")], {"low-0000000a": 0})
    room = agent("b", "cpus:2;mem:999")
    full = agent("a", "cpus:2;mem:999", "cpus:2")
    assert asked(urgent(instances=1), full, room, start=1) == ["web: would go now: 1 on b"]
    # What is placed takes its room from those for whom others would go.
    assert asked(urgent(instances=2), full, room, start=2, running=there) == [
        "web: would go now: 1 on b",
        "web: 1 task would be preempted for 1 instance:",
        "  of low-0000000a (priority 0): w.0 on a",
    ]
    (line,) = asked(shop(instances=1, resources={"cpus": 2}), full, start=1)
    assert line.startswith("web: 1 instance would wait: ")


def test_a_victim_frees_what_its_sidecars_have_too_and_no_volume() -> None:
    there = of_views(
        [
            running("low-0000000a.w.0.1", "a", "cpus:1;mem:5"),
            running("low-0000000a.w.0.1+log", "a", "cpus:1;mem:5"),
            running("low-0000000a.w.1.1", "a", "cpus:2;mem:5", state=types_pb2.TASK_KILLING),
            running("other", "a", "cpus:2;mem:5"),
            running("gone-0000000a.w.0.1", "a", "cpus:2;mem:5"),
        ],
        {"low-0000000a": 0},
    )
    assert list(there.tasks) == ["low-0000000a.w.0.1"]
    assert there.tasks["low-0000000a.w.0.1"].scalars == {"cpus": 2000, "mem": 10000}


def test_of_a_framework_that_tells_no_priorities_it_is_said_so() -> None:
    full = agent("a", "cpus:2;mem:999", "cpus:2")
    lines = asked(urgent(instances=1), full, start=1, running=Running(unknown=UNKNOWN))
    assert lines[0].startswith("web: 1 instance would wait: ") and lines[1:] == [UNKNOWN]


def test_priorities_are_asked_of_the_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [pb.JobView(job_id="low-0000000a", state="running", priority=3)]

    @contextlib.asynccontextmanager
    async def service(*_: object) -> AsyncIterator[Any]:
        async def listed(*_: object, **__: object) -> pb.ListJobsResponse:
            return pb.ListJobsResponse(jobs=jobs)

        yield SimpleNamespace(ListJobs=listed)

    async def tasks(**_: object) -> list[operator_pb2.TaskView]:
        return [running("low-0000000a.w.0.1", "a", "cpus:2;mem:5", role="*")]

    monkeypatch.setattr(preemptible, "service", service)
    cluster: Any = SimpleNamespace(tasks=tasks, timeout_s=1.0)
    found = asyncio.run(running_tasks(cluster, operator_pb2.FrameworkView(), "*"))
    assert found.tasks["low-0000000a.w.0.1"].priority == 3
    others = asyncio.run(running_tasks(cluster, operator_pb2.FrameworkView(), "db"))
    assert not others.tasks, "what it would free is another role's"
    jobs.append(pb.JobView(job_id="aside-0000000a", state="quarantined"))
    assert asyncio.run(running_tasks(cluster, operator_pb2.FrameworkView(), "*")).tasks
    jobs.append(pb.JobView(job_id="old-0000000a", state="running"))
    unknown = asyncio.run(running_tasks(cluster, operator_pb2.FrameworkView(), "*"))
    assert unknown == Running(unknown=UNKNOWN)


def test_a_daemon_goes_to_each_agent_that_meets_its_constraints() -> None:
    """Also to those that its framework, which counts none, has not been offered yet."""
    free, full = agent("a", "cpus:4;mem:999"), agent("b", "cpus:4;mem:999", "cpus:4;mem:999")
    drained = agent("d", "cpus:4;mem:999", drain=operator_pb2.AgentView().drain)
    drained.drain.SetInParent()
    daemon = shop(kind="daemon", constraints=["hostname:UNLIKE:x.*"])
    lines = asked(daemon, free, full, agent("x", "cpus:4;mem:999"), drained)
    assert lines == [
        "web: would go now: 1 on a",
        "web: 1 instance would wait: on b: needs 1 cpus, the most that is free is 0 cpus",
    ]


# What a framework has planned itself.


def test_what_a_framework_plans_is_told_in_the_same_words() -> None:
    answer = pb.ApplyJobResponse(where_note="not looked at: 2 agents")
    web = answer.where.add(task_name="web", waiting=1, why="needs 2 cpus", preempting=2)
    web.places.add(hostname="a", instances=3)
    for name, host in (("w.0", "b"), ("w.1", "c")):
        web.preempted.add(job_id="low-1", name=name, hostname=host, priority=4)
    answer.where.add(task_name="never", never=True, why="2 new instances could start on no agent")
    answer.where.add(task_name="stays")
    assert told(answer) == [
        "never: 2 new instances could start on no agent",
        "web: would go now: 3 on a",
        "web: 2 tasks would be preempted for 2 instances:",
        "  of low-1 (priority 4): w.0 on b, w.1 on c",
        "web: 1 instance would wait: needs 2 cpus",
        "not looked at: 2 agents",
    ]
    web.ClearField("preempted")
    assert "web: others would be preempted for 2 instances" in told(answer)


async def test_only_what_a_plan_looks_at_is_sent_and_nothing_where_nobody_may_look() -> None:
    async def listed() -> list[operator_pb2.AgentView]:
        return [agent("a", "cpus:4;mem:999", tasks=7), operator_pb2.AgentView(state="gone")]

    async def denied() -> list[operator_pb2.AgentView]:
        raise CliError("denied")

    async def nowhere() -> list[operator_pb2.AgentView]:
        raise CliError("no master", EXIT_NO_MASTER)

    (view,), left_out = await agents_to_plan(cast(Any, SimpleNamespace(agents=listed)))
    assert (view.info.agent_id, view.tasks, left_out) == ("a", 0, 0)
    assert await agents_to_plan(cast(Any, SimpleNamespace(agents=denied))) == ([], 0)
    with pytest.raises(CliError, match="no master"):
        await agents_to_plan(cast(Any, SimpleNamespace(agents=nowhere)))
