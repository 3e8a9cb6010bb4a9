"""Task groups on an agent: launched together, and ended together."""

from __future__ import annotations

import pytest

from pymesos_agent.core import events as ev
from pymesos_agent.core.ports import Bandwidth, ports_of
from pymesos_core.resources import parse
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_harness import AgentHarness


@pytest.fixture
def h() -> AgentHarness:
    harness = AgentHarness()
    harness.connect()
    return harness


def run_group(h: AgentHarness, *task_ids: str) -> dict[str, str]:
    """Launch, start, acknowledge RUNNING; container ids by task id."""
    h.launch_group(*task_ids)
    containers = {effect.info.task_id: effect.container_id for effect in h.started}
    for number, container_id in enumerate(containers.values()):
        h.feed(ev.ContainerStarted(container_id, 100 + number))
    for update in h.updates():
        h.acknowledge(update.status)
    return containers


def ends(h: AgentHarness) -> dict[str, tuple[str, str]]:
    return {
        u.status.task_id: (pb.TaskState.Name(u.status.state), u.status.message)
        for u in h.updates()
        if u.status.state not in (pb.TASK_RUNNING, pb.TASK_STARTING)
    }


def test_all_are_started_after_one_write(h: AgentHarness) -> None:
    h.hold_writes = True
    h.launch_group("a", "b")
    assert len(h.held) == 1 and h.started == []
    h.hold_writes = False
    h.write()
    assert [effect.info.task_id for effect in h.started] == ["a", "b"]


def test_their_network_has_the_limits_that_they_ask_for(h: AgentHarness) -> None:
    h.launch_group("a", "b", network="bridge", network_in_mbit_per_s=8, network_out_mbit_per_s=9)
    for effect in h.started:
        assert effect.group is not None
        assert effect.group.bandwidth == Bandwidth(in_mbit_per_s=8, out_mbit_per_s=9)


def test_none_is_started_when_the_write_fails(h: AgentHarness) -> None:
    h.fail_writes = "no space"
    h.launch_group("a", "b")
    assert h.started == []
    assert {t: state for t, (state, _) in ends(h).items()} == dict.fromkeys("ab", "TASK_DROPPED")
    assert h.core.state.groups == {}


def test_one_that_fails_takes_the_others_with_it(h: AgentHarness) -> None:
    containers = run_group(h, "a", "b", "c")
    h.feed(ev.ContainerExited(containers["a"], 1))
    assert h.kills == [(containers["b"], False), (containers["c"], False)]
    assert h.destroyed_groups == []
    for name in "bc":
        h.feed(ev.ContainerExited(containers[name], -15))
    assert ends(h)["a"][0] == "TASK_FAILED"
    assert ends(h)["b"] == ("TASK_KILLED", "Killed with its group: a has ended")
    assert len(h.destroyed_groups) == 1, "when the last of them is gone"


def test_one_that_ends_well_leaves_the_others(h: AgentHarness) -> None:
    containers = run_group(h, "a", "b")
    h.feed(ev.ContainerExited(containers["a"], 0))
    assert h.kills == []
    h.feed(ev.ContainerExited(containers["b"], 0))
    assert {state for state, _ in ends(h).values()} == {"TASK_FINISHED"}
    assert len(h.destroyed_groups) == 1


def test_a_kill_of_one_is_a_kill_of_all(h: AgentHarness) -> None:
    containers = run_group(h, "a", "b")
    h.kill("b")
    assert sorted(h.kills) == [(containers["a"], False), (containers["b"], False)]
    h.advance(4)
    assert (containers["a"], True) in h.kills, "and has its grace period"


def test_a_config_file_that_changed_is_so_for_all(h: AgentHarness) -> None:
    containers = run_group(h, "a", "b")
    h.feed(ev.ConfigChanged(containers["b"]))
    for container_id in containers.values():
        h.feed(ev.ContainerExited(container_id, -15))
    told = {u.status.task_id: (u.status.state, u.status.reason) for u in h.updates()}
    assert told == dict.fromkeys("ab", (pb.TASK_KILLED, pb.REASON_CONFIG_CHANGED))


def test_a_container_that_does_not_start_is_an_end(h: AgentHarness) -> None:
    h.launch_group("a", "b")
    h.feed(ev.ContainerFailed(h.started[0].container_id, "no image"))
    assert h.kills == [(h.started[1].container_id, False)]


def test_a_runtime_that_is_not_there(h: AgentHarness) -> None:
    h.launch_group("a", "b", image="i")
    assert h.started == []
    assert ends(h)["a"][0] == "TASK_FAILED"
    assert ends(h)["b"] == ("TASK_KILLED", "Killed before delivery to the executor")


def test_a_restart_finds_the_group(h: AgentHarness) -> None:
    containers = run_group(h, "a", "b")
    found = {c: ev.ContainerState(1) for c in containers.values()}
    found[containers["a"]] = ev.ContainerState(1, ev.ContainerExited(containers["a"], 2))
    again = AgentHarness(h.records, recovered=found, generation=2)
    assert again.kills == [(containers["b"], False)]
    again.feed(ev.ContainerExited(containers["b"], -15))
    assert len(again.destroyed_groups) == 1


def test_an_agent_that_died_before_it_killed_the_others_does_so(h: AgentHarness) -> None:
    containers = run_group(h, "a", "b")
    before = dict(h.records)
    h.feed(ev.ContainerExited(containers["a"], 2))
    key = ("task", containers["b"])
    h.records[key] = before[key]  # the kill was not written any more
    again = AgentHarness(h.records, recovered={containers["b"]: ev.ContainerState(1)}, generation=2)
    assert again.kills == [(containers["b"], False)]


def test_ports_that_are_reserved_are_among_a_tasks_ports() -> None:
    assert ports_of(parse("ports:[7-8];ports(prod):[5-5,9-9]")) == [5, 7, 8, 9]
