"""Why a task waits is said by who decides it, whatever the reason is."""

from __future__ import annotations

from typing import Any

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.placement import placing
from pymesos_binpack.services.views import instance_view
from pymesos_cli.jobs.waiting import why_for_good
from pymesos_cli.operators.explain import of_role, the_reason, waiting_lines, why_not_ready
from pymesos_master.allocator.interface import Withheld
from pymesos_proto.v1 import jobs_pb2, operator_pb2, types_pb2
from pymesos_testing.binpack_harness import BinpackHarness, job


def view(h: BinpackHarness, job_id: str = "j-r", index: int = -1) -> jobs_pb2.InstanceView:
    instance = h.core.jobs[job_id].instances[index]
    return instance_view(instance, connected=h.core.connected)


@pytest.fixture
def h() -> BinpackHarness:
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    return harness


class TestTheFramework:
    def test_no_agent_yet(self, h: BinpackHarness) -> None:
        h.submit(job())
        h.advance(1.1)
        assert view(h).cause == "NO_AGENT"

    def test_an_unknown_resource(self, h: BinpackHarness) -> None:
        h.submit(job(resources={"licences": 1}))
        h.offer()
        assert view(h).cause == "UNKNOWN_RESOURCE" and view(h).stuck
        assert "no agent has any; there are cpus, mem, ports" in view(h).explanation

    def test_too_large(self, h: BinpackHarness) -> None:
        h.submit(job(resources={"cpus": 99}))
        h.offer()
        assert view(h).cause == "TOO_LARGE" and view(h).stuck

    def test_a_constraint(self, h: BinpackHarness) -> None:
        h.submit(job(constraints=["rack:IS:r9"]))
        h.offer(rack="r1")
        assert view(h).cause == "UNWELCOME"
        assert "rack:IS:r9: rack is r1" in view(h).explanation

    def test_one_that_an_agent_meets_which_is_not_offered(self, h: BinpackHarness) -> None:
        h.submit(job(instances=2, constraints=["rack:IS:r9"], resources={"cpus": 4, "mem": 10}))
        h.offer(agent="a", rack="r9")
        h.offer(agent="b", rack="r1")
        assert view(h).cause == "NOT_OFFERED" and "in use" in view(h).explanation
        assert "of those offered none will do: rack:IS:r9: rack is r1" in view(h).explanation

    def test_too_little_free(self, h: BinpackHarness) -> None:
        h.submit(job(instances=2, resources={"cpus": 3, "mem": 10}))
        h.offer()
        h.offer("cpus:1;mem:390")
        assert view(h).cause in ("TOO_LITTLE_FREE", "TOO_LARGE")

    def test_a_gang(self, h: BinpackHarness) -> None:
        h.submit(job(instances=3, gang=True, resources={"cpus": 2, "mem": 10}))
        h.offer()
        h.advance(placing.HOLD_S + 1)
        h.offer()
        assert view(h).cause == "GANG" and "gang" in view(h).explanation

    def test_a_back_off(self, h: BinpackHarness) -> None:
        h.submit(job("service"))
        for attempt in (1, 2, 3):
            h.offer()
            h.update(f"j-r.t.0.{attempt}", types_pb2.TASK_FAILED, 1)
            if attempt < 3:
                h.advance(0.6)
        said = view(h)
        assert said.cause == "BACK_OFF" and said.attempts == 3 and said.next_start_at_s > 0
        assert "TASK_FAILED" in said.explanation and "3 times in a row" in said.explanation
        framework = operator_pb2.ExplainFrameworkResponse()
        lines = list(waiting_lines("j.t.0", said, said.explanation, framework))
        assert "suppressed" not in " ".join(lines)
        h.advance(1.1)
        assert view(h).cause != "BACK_OFF" and view(h).next_start_at_s == 0

    def test_a_launch_that_is_stored(self, h: BinpackHarness) -> None:
        h.submit(job())
        h.hold_writes = True
        h.offer()
        assert view(h).cause == "STORING"
        h.write()
        assert view(h).cause == "" and not view(h).explanation

    def test_no_master(self, h: BinpackHarness) -> None:
        h.submit(job())
        h.feed(c.Disconnected())
        assert view(h).cause == "NO_MASTER"

    def test_an_unreachable_agent(self, h: BinpackHarness) -> None:
        h.submit(job())
        h.offer()
        h.update("j-r.t.0.1", types_pb2.TASK_UNREACHABLE, uuid=b"")
        assert view(h).cause == "AGENT_UNREACHABLE"

    def test_one_of_higher_priority(self, h: BinpackHarness) -> None:
        task = {"name": "t", "command": "x", "resources": {"cpus": 4, "mem": 10}}
        document = {"name": "low", "priority": 1, "tasks": [task]}
        h.submit(parse_job(document), "1")
        h.offer("cpus:4;mem:400")
        h.update("low-1.t.0.1", types_pb2.TASK_RUNNING)
        h.submit(parse_job({**document, "name": "high", "priority": 9, "preempt": True}), "1h")
        h.advance(2)
        assert view(h, "high-1h").cause == "PREEMPTING"
        h.update("low-1.t.0.1", types_pb2.TASK_KILLED)
        h.submit(parse_job({**document, "name": "high", "priority": 9}), "2")
        h.submit(job(resources={"cpus": 1, "mem": 10}), "small")
        h.offer("cpus:3;mem:400")
        assert view(h, "j-small").cause == "KEPT"

    @pytest.mark.parametrize(
        ("happens", "cause"),
        [
            ("lost", "VOLUME_UNREACHABLE"),
            ("else", "VOLUME_NOT_OFFERED"),
            ("bare", "VOLUME_MISSING"),
        ],
    )
    def test_its_volume(self, h: BinpackHarness, happens: str, cause: str) -> None:
        volume = {"name": "data", "path": "data", "size": 100}
        task = {"name": "t", "kind": "service", "command": "x", "volumes": [volume]}
        h.submit(parse_job({"name": "j", "role": "ops", "tasks": [task]}))
        h.offer("cpus:4;mem:400;disk:500", "a")
        h.update("j-r.t.0.1", types_pb2.TASK_RUNNING)
        h.update("j-r.t.0.1", types_pb2.TASK_FAILED)
        if happens == "lost":
            h.feed(c.AgentLost("a"))
        h.offer("cpus:4;mem:400;disk:500", "a" if happens == "bare" else "b")
        assert view(h).cause == cause
        assert "db" not in view(h).explanation and "j.t.0.data" in view(h).explanation


class TestTheMaster:
    """What the framework cannot know."""

    WAITS = jobs_pb2.InstanceView(
        cause="TOO_LITTLE_FREE",
        explanation="needs 2 cpus, the most that is free is 1 cpus",
        needs=[types_pb2.Resource(name="cpus", scalar=2)],
    )

    def said(
        self, *reasons: Withheld, agents: int = 2, **more: object
    ) -> operator_pb2.ExplainFrameworkResponse:
        response = operator_pb2.ExplainFrameworkResponse(agents=agents, **more)  # type: ignore[arg-type]
        response.framework.state = "active"
        role = response.roles.add(role="prod")
        for number, reason in enumerate(reasons):
            role.withheld.add(
                reason=reason.name, text=reason.value, agents=1, hostnames=[f"a{number}"]
            )
        return response

    @pytest.mark.parametrize(
        "reason",
        [r for r in Withheld if r not in (Withheld.IN_USE, Withheld.REFUSED)],
    )
    def test_withholds_what_would_do(self, reason: Withheld) -> None:
        text = the_reason(self.WAITS, self.said(Withheld.IN_USE, reason))
        assert text.startswith("needs 2 cpus, and is offered none that would do: ")
        assert reason.value in text and "a1" in text and "most that is free" not in text

    @pytest.mark.parametrize("reasons", [(Withheld.IN_USE, Withheld.REFUSED), (Withheld.LIMIT,)])
    def test_has_nothing_to_say(self, reasons: tuple[Withheld, ...]) -> None:
        """The framework has refused them, or an offer of the other agent is on its way."""
        assert the_reason(self.WAITS, self.said(*reasons)) == self.WAITS.explanation

    def test_offers_nothing_before_agents_are_back(self) -> None:
        assert "3 agents are back" in the_reason(self.WAITS, self.said(agents_awaited=3))
        assert "1 agent is back" in the_reason(self.WAITS, self.said(agents_awaited=1))

    def test_has_offered_nothing_yet_to_what_ran_before(self) -> None:
        """A framework that was started again has been offered nothing since."""
        ran = jobs_pb2.InstanceView(
            cause="NO_AGENT", stuck=True, attempts=7, needs=self.WAITS.needs
        )
        lines = [*waiting_lines("n", ran, "w", self.said())]
        assert lines[1].startswith("  started 7 times, 6 of them again")
        assert not any("ever offered" in line for line in lines)

    def test_knows_what_became_of_the_agent_with_the_data(self) -> None:
        waits = jobs_pb2.InstanceView(
            cause="VOLUME_NOT_OFFERED", explanation="its data", data_on="a"
        )
        text = the_reason(waits, self.said(agents=1, agent_state="unreachable"), "a")
        assert text == "its data; that agent is unreachable"

    def test_another_role_is_offered_what_this_one_is_not(self) -> None:
        """A limit of one role was hidden while another role of the framework had room."""
        said = self.said(Withheld.LIMIT, Withheld.LIMIT)
        said.roles.add(role="dev")
        text = the_reason(self.WAITS, of_role(said, "prod"))
        assert "is offered none that would do: the role is at its limit" in text
        assert the_reason(self.WAITS, of_role(said, "dev")) == self.WAITS.explanation
        said.roles[0].suppressed = True
        assert "suppressed" in the_reason(self.WAITS, of_role(said, "prod"))
        assert len(of_role(said, "").roles) == 2, "its framework does not say which"

    def test_of_the_agent_of_a_daemon_alone(self) -> None:
        """The reason is that of its own agent, however many others there are."""
        said = self.said(Withheld.CORDONED, agents=7)
        text = the_reason(self.WAITS, said, "a")
        assert "is offered none that would do: an operator has cordoned the agent (a0)" in text

    def test_was_asked_for_no_offers(self) -> None:
        said = self.said()
        said.roles[0].suppressed = True
        assert "suppressed" in the_reason(self.WAITS, said)

    def test_does_not_hear_the_framework(self) -> None:
        said = self.said()
        said.framework.state = "disconnected"
        assert "its framework is disconnected" in the_reason(self.WAITS, said)

    def test_is_not_asked_what_it_does_not_decide(self) -> None:
        waits = jobs_pb2.InstanceView(cause="UNWELCOME", explanation="no agent will do: rack")
        assert the_reason(waits, self.said(Withheld.LIMIT, Withheld.LIMIT)) == waits.explanation


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({}, "its readiness check has not answered yet"),
        (
            {"ready": False, "message": "Not ready: status 503"},
            "its readiness check does not pass: status 503",
        ),
        ({"ready": False, "message": "else"}, "its readiness check does not pass"),
        ({"ready": True}, "its health check has not answered yet"),
        (
            {"ready": True, "healthy": False, "message": "Unhealthy: refused"},
            "its health check does not pass: refused",
        ),
        ({"ready": True, "healthy": True}, "its framework has not counted it as ready yet"),
    ],
)
def test_which_check_keeps_a_running_task_from_being_ready(
    status: dict[str, Any], said: str
) -> None:
    check = types_pb2.Check(tcp=types_pb2.Check.Tcp(port=80))
    info = types_pb2.TaskInfo(health_check=check, readiness_check=check)
    view = operator_pb2.TaskView(task_info=info, status=types_pb2.TaskStatus(**status))
    assert why_not_ready(view) == f"not ready: {said}"


@pytest.mark.parametrize(
    ("restart", "why"),
    [
        ({"max": 1, "on_max": "fail"}, "it is not started again: it crashed 2 times within 10"),
        ({}, ""),
    ],
)
def test_what_has_ended_says_whether_it_is_started_again(
    h: BinpackHarness, restart: dict[str, Any], why: str
) -> None:
    h.submit(job("service", restart=restart))
    message = "Command exited with status 4"
    for _ in range(2):
        h.offer()
        status = types_pb2.TaskStatus(
            task_id=h.launched()[-1], state=types_pb2.TASK_FAILED, uuid=b"u", message=message
        )
        h.feed(c.TaskUpdated(status))
    said = why_for_good(view(h), message)
    assert said.startswith(why) and bool(said) == bool(why)
