"""What nobody uses is offered as revocable, and taken back when its owners use it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pymesos_agent.containers.cgroups import limits_of, weight_of
from pymesos_agent.core import Config
from pymesos_agent.core import events as agent_ev
from pymesos_agent.core.slack import Measured
from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import JobError, parse_job
from pymesos_core.resources import Resources, from_proto, parse, to_proto
from pymesos_master.core import events as ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_harness import AgentHarness
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.master_harness import MasterHarness

HELD = "cpus:2;mem:2048"  # by the owner, of cpus:4;mem:4096


class Machine:
    """An agent that offers what nobody uses, less a quarter; and what its tasks use."""

    def __init__(self) -> None:
        self.h = AgentHarness()
        old = self.h.core._ctx.config
        self.h.core._ctx.config = Config(old.info, old.runtimes, revocable_margin=0.25)
        self.h.connect()
        self.cpu_s: dict[str, float] = {}
        self.containers: dict[str, str] = {}

    def run(self, task_id: str, text: str, grace_s: float | None = None) -> None:
        info = pb.TaskInfo(
            task_id=task_id,
            resources=to_proto(parse(text)),
            command=pb.CommandInfo(shell=True, value="true"),
            kill_policy=None if grace_s is None else pb.KillPolicy(grace_period_s=grace_s),
        )
        launch = agent_pb.LaunchTask(
            framework_id="f", task_info=info, framework_info=pb.FrameworkInfo(name="f")
        )
        self.h.hear(agent_pb.MasterMessage(launch=launch))
        self.containers[task_id] = self.h.started[-1].container_id
        self.h.feed(agent_ev.ContainerStarted(self.containers[task_id], 1))
        self._acknowledge(task_id)

    def use(self, seconds: int, **cpus: float) -> None:
        """Have tasks use so many CPUs for a while."""
        for _ in range(seconds):
            self.h.hear(agent_pb.MasterMessage(ping=agent_pb.MasterMessage.Ping()))
            self.h.advance(1)
            for task_id, used in cpus.items():
                self.cpu_s[task_id] = self.cpu_s.get(task_id, 0.0) + used
            measured = {
                self.containers[task_id]: Measured(cpu_s, 512)
                for task_id, cpu_s in self.cpu_s.items()
            }
            self.h.feed(agent_ev.UsesMeasured(measured))

    @property
    def said(self) -> list[Resources]:
        """What it has said that nobody uses."""
        return [from_proto(m.slack.revocable) for m in self.h.sent if m.HasField("slack")]

    def _acknowledge(self, task_id: str) -> pb.TaskStatus:
        """Acknowledge all updates; returns the last."""
        while True:
            told = [m.update.status for m in self.h.sent if m.HasField("update")]
            last = [status for status in told if status.task_id == task_id][-1]
            before = len(told)
            self.h.acknowledge(last)
            if len([m for m in self.h.sent if m.HasField("update")]) == before:
                return last

    def end(self, task_id: str) -> pb.TaskStatus:
        self.h.feed(agent_ev.ContainerExited(self.containers[task_id], -15))
        return self._acknowledge(task_id)


@pytest.fixture
def machine() -> Machine:
    return Machine()


class TestAnAgent:
    def test_says_nothing_without_the_setting(self) -> None:
        h = AgentHarness()
        h.connect()
        assert not [m for m in h.sent if m.HasField("slack")]

    def test_offers_what_owners_leave_less_the_margin(self, machine: Machine) -> None:
        machine.run("owner", HELD)
        machine.use(2, owner=0.5)
        assert machine.said == [parse("cpus{REV}:1;mem{REV}:1024")], "it is new: it may use all"
        machine.use(60, owner=0.5)
        assert machine.said[-1] == parse("cpus{REV}:2.5;mem{REV}:2560")
        machine.use(1, owner=1.5)
        assert machine.said[-1] == parse("cpus{REV}:1.5;mem{REV}:2560"), "less is said at once"

    def test_what_it_was_seen_to_use_counts_for_a_while(self, machine: Machine) -> None:
        machine.run("owner", HELD)
        machine.use(60, owner=1.5)
        machine.use(25, owner=0)
        assert machine.said[-1] == parse("cpus{REV}:1.5;mem{REV}:2560")
        machine.use(20, owner=0)
        assert machine.said[-1] == parse("cpus{REV}:3;mem{REV}:2560")

    def test_what_is_not_measured_is_taken_to_use_all(self, machine: Machine) -> None:
        machine.run("owner", HELD)
        machine.run("other", "cpus:1;mem:32")
        machine.use(60, owner=1)
        assert machine.said[-1] == parse("cpus{REV}:1;mem{REV}:2496")

    def test_a_use_beyond_what_was_asked_for_counts_too(self, machine: Machine) -> None:
        machine.run("owner", HELD)
        machine.use(3, owner=4)
        assert machine.said[-1] == Resources(), "also of one that is new"
        machine.use(60, owner=4)
        assert machine.said[-1] == Resources()

    def test_kills_the_latest_when_the_owner_uses_its_own(self, machine: Machine) -> None:
        machine.run("owner", HELD)
        machine.use(60, owner=0.5)
        machine.run("first", "cpus{REV}:1;mem{REV}:100")
        machine.h.advance(1)
        machine.run("second", "cpus{REV}:1;mem{REV}:100", grace_s=100)
        machine.use(5, owner=0.5, first=1, second=1)
        assert not machine.h.kills
        machine.use(1, owner=1.5, first=1, second=1)
        assert not machine.h.kills, "half of the margin is there for that"
        machine.use(1, owner=1.6, first=1, second=1)
        assert machine.h.kills == [(machine.containers["second"], False)]
        machine.use(6, owner=1.6, first=1, second=1)
        assert (machine.containers["second"], True) in machine.h.kills, "it has 5 s at most"
        status = machine.end("second")
        assert (status.state, status.reason) == (pb.TASK_KILLED, pb.REASON_RESOURCES_REVOKED)
        machine.use(60, owner=1.6, first=1)
        assert machine.containers["first"] not in dict(machine.h.kills)

    def test_a_new_owner_has_its_own_at_once(self, machine: Machine) -> None:
        machine.use(2)
        machine.run("guest", "cpus{REV}:2;mem{REV}:100")
        machine.use(1, guest=2)
        assert not machine.h.kills
        machine.run("owner", HELD)
        machine.use(1, guest=2, owner=0)
        assert machine.h.kills == [(machine.containers["guest"], False)]

    def test_nobody_is_killed_for_what_was_not_measured_since_its_start(self) -> None:
        machine = Machine()
        machine.run("guest", "cpus{REV}:2;mem{REV}:100")
        machine.run("owner", HELD)
        again = AgentHarness(
            machine.h.records,
            recovered={i: agent_ev.ContainerState(1) for i in machine.containers.values()},
            generation=2,
        )
        again.core._ctx.config = machine.h.core._ctx.config
        again.now_s = machine.h.now_s + 100
        again.connect()
        for number in range(3):
            again.now_s += 1
            used = Measured(0.1 * number, 100)
            again.feed(agent_ev.UsesMeasured(dict.fromkeys(machine.containers.values(), used)))
        assert not again.kills

    def test_says_it_anew_on_each_stream(self, machine: Machine) -> None:
        machine.use(3)
        assert len(machine.said) == 1
        machine.h.feed(agent_ev.Disconnected(1))
        machine.h.connect(2)
        machine.use(1)
        assert machine.said == [parse("cpus{REV}:3;mem{REV}:3072")] * 2


def test_it_has_the_least_weight() -> None:
    assert weight_of(parse("cpus:2")) == 2048
    assert weight_of(parse("cpus{REV}:2")) == 2
    assert limits_of(parse("cpus{REV}:2;mem:10")).yields
    assert not limits_of(parse("cpus:2;mem:10")).yields


class TestAMaster:
    def tell(self, h: MasterHarness, agent: int, text: str) -> None:
        slack = agent_pb.AgentMessage.Slack(revocable=to_proto(parse(text)))
        h.feed(ev.AgentSlackTold(agent, slack))
        h.core.check()

    def offered(self, h: MasterHarness, framework: int) -> Resources:
        out = Resources()
        for offer in h.offers(framework):
            out = out + from_proto(offer.resources)
        return out

    def test_offers_it_to_those_that_declare_the_capability(self) -> None:
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:4096")
        plain = h.subscribe(name="plain", capabilities=(pb.PARTITION_AWARE,))
        assert self.offered(h, plain) == parse("cpus:4;mem:4096")
        self.tell(h, agent, "cpus{REV}:3;mem{REV}:1000")
        taker = h.subscribe(name="taker", capabilities=(pb.REVOCABLE_RESOURCES,))
        assert self.offered(h, taker) == parse("cpus{REV}:3;mem{REV}:1000")
        assert self.offered(h, plain) == parse("cpus:4;mem:4096")

    def test_takes_back_at_once_what_is_no_longer_there(self) -> None:
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:4096")
        taker = h.subscribe(name="taker", capabilities=(pb.REVOCABLE_RESOURCES,))
        self.tell(h, agent, "cpus{REV}:3;mem{REV}:1000")
        first = h.offers(taker)
        (offer,) = (o for o in first if any(r.revocable for r in o.resources))
        half = parse("cpus{REV}:2;mem{REV}:500")
        info = pb.TaskInfo(
            task_id="t",
            agent_id=offer.agent_id,
            resources=to_proto(half),
            command=pb.CommandInfo(shell=True, value="true"),
        )
        h.accept(taker, [offer.offer_id], info)
        self.tell(h, agent, "cpus{REV}:1;mem{REV}:100")
        assert not any(r.revocable for o in h.offers(taker) for r in o.resources)
        self.tell(h, agent, "")
        h.update(agent, h.framework_id(taker), "t", pb.TASK_RUNNING)
        h.update(agent, h.framework_id(taker), "t", pb.TASK_KILLED)
        h.core.check()
        assert not any(r.revocable for o in h.offers(taker) for r in o.resources)
        self.tell(h, agent, "cpus{REV}:1;mem{REV}:100")
        h.decline(taker, [offer.offer_id for offer in h.offers(taker)], 0.0)
        h.advance(0.5)
        revocable = [r for o in h.offers(taker) for r in o.resources if r.revocable]
        assert from_proto(revocable) == parse("cpus{REV}:1;mem{REV}:100")

    @pytest.mark.parametrize(
        "text", ["cpus:1", "cpus{REV}:5", "disk{REV}:1", "cpus(ops){REV}:1", "gpus{REV}:1"]
    )
    def test_does_not_take_what_cannot_be(self, text: str) -> None:
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:4096;disk:100")
        taker = h.subscribe(name="taker", capabilities=(pb.REVOCABLE_RESOURCES,))
        self.tell(h, agent, text)
        assert self.offered(h, taker) == parse("cpus:4;mem:4096;disk:100")

    def test_an_agent_that_comes_back_says_it_anew(self) -> None:
        h = MasterHarness()
        agent = h.agent("cpus:4;mem:4096")
        self.tell(h, agent, "cpus{REV}:3;mem{REV}:1000")
        state = h.core.state.agents[h.agent_id(agent)]
        assert state.slack
        h.feed(ev.AgentDisconnected(agent))
        h.agent("cpus:4;mem:4096", agent_id=h.agent_id(agent))
        assert not state.slack and state.total == parse("cpus:4;mem:4096")


def job(**keys: object) -> Mapping[str, object]:
    task = {"name": "t", "command": "x", "revocable": True, **keys}
    return {"name": "j", "tasks": [task]}


class TestAFramework:
    @pytest.fixture
    def h(self) -> BinpackHarness:
        harness = BinpackHarness()
        harness.feed(c.Subscribed("f"))
        return harness

    def test_runs_it_on_what_may_be_taken_back_and_nothing_else(self, h: BinpackHarness) -> None:
        h.submit(parse_job(job()), "r")
        h.offer("cpus:4;mem:400", "a")
        assert not h.launched()
        assert "that may be taken back" in h.core.jobs["j-r"].instances[0].explanation
        h.offer("cpus:4;mem:400;cpus{REV}:1;mem{REV}:100", "b")
        (accept,) = (e for e in h.effects if isinstance(e, c.Accept))
        assert from_proto(accept.tasks[0].resources) == parse("cpus{REV}:0.1;mem{REV}:32")

    def test_and_nothing_else_on_that(self, h: BinpackHarness) -> None:
        two = {"name": "u", "command": "x", "resources": {"cpus": 1, "mem": 10}}
        both = parse_job({"name": "j", "tasks": [job()["tasks"][0], two]})  # type: ignore[index]
        h.submit(both, "r")
        h.offer("cpus{REV}:1;mem{REV}:100", "a")
        assert h.launched() == ["j-r.t.0.1"]
        h.offer("cpus:4;mem:400;cpus{REV}:1;mem{REV}:100", "a")
        (*_, accept) = (e for e in h.effects if isinstance(e, c.Accept))
        assert from_proto(accept.tasks[0].resources) == parse("cpus:1;mem:10")

    @pytest.mark.parametrize("kind", ["batch", "service"])
    def test_what_is_taken_back_is_no_failure(self, h: BinpackHarness, kind: str) -> None:
        h.submit(parse_job(job(kind=kind, retries=0)), "r")
        for number in (1, 2, 3):
            h.offer("cpus{REV}:1;mem{REV}:100", "a")
            assert h.launched()[-1] == f"j-r.t.0.{number}"
            h.update(f"j-r.t.0.{number}", pb.TASK_RUNNING)
            h.feed(
                c.TaskUpdated(
                    pb.TaskStatus(
                        task_id=f"j-r.t.0.{number}",
                        state=pb.TASK_KILLED,
                        reason=pb.REASON_RESOURCES_REVOKED,
                        uuid=b"k",
                        agent_id="a",
                    )
                )
            )
        (instance,) = h.core.jobs["j-r"].instances
        assert instance.pending and instance.saved.failures == 0
        assert not instance.saved.crashed_s

    def test_kills_nobody_for_it_and_is_killed_for_nobody(self, h: BinpackHarness) -> None:
        h.submit(parse_job(job()), "r")
        h.offer("cpus{REV}:1;mem{REV}:100", "a")
        h.update("j-r.t.0.1", pb.TASK_RUNNING)
        urgent = {"name": "t", "command": "x", "resources": {"cpus": 1, "mem": 10}}
        urgent_job = {"name": "k", "priority": 9, "preempt": True, "tasks": [urgent]}
        h.submit(parse_job(urgent_job), "s")
        h.offer("cpus:0.1;mem:400", "a")
        assert not h.of(c.Kill)

    @pytest.mark.parametrize(
        ("key", "value", "said"),
        [
            ("kind", "daemon", "revocable: a daemon"),
            ("ports", [{"name": "http"}], "ports: only CPUs"),
            ("resources", {"disk": 10}, "resources.disk"),
            ("resources", {"gpus": 1}, "resources.gpus"),
            ("sidecars", [{"name": "s", "command": "x", "resources": {"disk": 1}}], "disk"),
        ],
    )
    def test_what_it_may_not_have(self, key: str, value: object, said: str) -> None:
        with pytest.raises(JobError, match=said):
            parse_job(job(**{key: value}))
