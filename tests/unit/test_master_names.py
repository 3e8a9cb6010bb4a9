"""A master holds which tasks serve clients, as frameworks say and as is so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from pymesos_core import limits
from pymesos_core.errors import RequestError
from pymesos_core.security.policy import EVERY_ROLE, Roles
from pymesos_master import naming as naming_module
from pymesos_master.core import events as ev
from pymesos_master.core.effects import NameChanged, NamesSettled
from pymesos_master.core.state import ClusterState
from pymesos_master.naming import Naming
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import names_pb2 as names_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.names_pb2 import Exposed, NamedTask, ServedPort, ServedTask
from pymesos_testing.master_harness import MasterHarness

AGENT = "cpus:4;mem:4096;ports:[31000-31099]"
TASK = "cpus:1;mem:32;ports:[31000-31001]"


class Cluster:
    """A master with an agent, and a framework whose task runs."""

    def __init__(self, h: MasterHarness | None = None) -> None:
        self.h = h or MasterHarness()
        self.agent = self.h.agent(AGENT)
        self.framework = self.h.subscribe(failover_timeout_s=1e6)
        self.framework_id = self.h.framework_id(self.framework)
        self.agent_id = self.h.agent_id(self.agent)
        self.h.run(self.framework, "t", TASK)
        self.h.update(self.agent, self.framework_id, "t", pb.TASK_RUNNING)

    def served(self, task_id: str = "t", **said: object) -> ServedTask:
        usual: dict[str, object] = {
            "agent_id": self.agent_id,
            "role": "*",
            "job": "shop",
            "task": "web",
            "ports": [ServedPort(name="http", port=31000)],
        }
        return ServedTask(task_id=task_id, **(usual | said))  # type: ignore[arg-type]

    def publish(
        self,
        serves: Iterable[ServedTask] = (),
        ended: Iterable[str] = (),
        *,
        whole: bool = False,
        more: bool = False,
        keeps: Iterable[str] = (),
    ) -> None:
        publish = scheduler_pb.Call.Publish(
            serves=serves, ended=ended, whole=whole, more=more, keeps=keeps
        )
        self.h.call(self.framework, publish=publish)

    @property
    def state(self) -> ClusterState:
        return self.h.core.state

    def shown(self) -> list[str]:
        return sorted(task_id for _, task_id in self.state.names.shown)

    def the_one(self) -> NamedTask:
        (one,) = self.state.names.shown.values()
        return one


def test_a_task_is_shown_at_the_address_of_its_agent() -> None:
    it = Cluster()
    it.publish([it.served()], whole=True)
    assert (it.the_one().ip, it.the_one().task.job, it.the_one().awaited) == (
        "127.0.0.1",
        "shop",
        False,
    )
    it.publish(ended=["t"])
    assert it.shown() == []


@pytest.mark.parametrize(
    "said",
    [
        {"role": "other"},
        {"agent_id": "another"},
        {"ports": [ServedPort(name="ssh", port=22)]},
        {"task_id": "unknown"},
    ],
)
def test_what_is_no_task_of_the_framework_counts_for_nothing(said: dict[str, object]) -> None:
    it = Cluster()
    it.publish([it.served(**said)], whole=True)  # type: ignore[arg-type]
    assert it.shown() == []


def test_a_task_of_another_framework_is_not_its_own() -> None:
    it = Cluster()
    other = it.h.subscribe(name="other")
    publish = scheduler_pb.Call.Publish(serves=[it.served()], whole=True)
    it.h.call(other, publish=publish)
    assert it.shown() == []


@pytest.mark.parametrize("state", [pb.TASK_KILLING, pb.TASK_FAILED, pb.TASK_FINISHED])
def test_what_ends_is_shown_no_more_though_its_framework_is_away(state: pb.TaskState) -> None:
    it = Cluster()
    it.publish([it.served()], whole=True)
    it.h.feed(ev.FrameworkDisconnected(it.framework))
    assert it.shown() == ["t"]
    it.h.update(it.agent, it.framework_id, "t", state, b"v")
    assert it.shown() == []


@pytest.mark.parametrize("check", ["healthy", "ready"])
def test_what_does_not_pass_its_checks_is_not_shown(check: str) -> None:
    it = Cluster()
    it.publish([it.served()], whole=True)

    def update(passes: bool, uuid: bytes) -> None:
        status = pb.TaskStatus(task_id="t", state=pb.TASK_RUNNING, uuid=uuid, agent_id=it.agent_id)
        setattr(status, check, passes)
        said = agent_pb.StatusUpdate(
            framework_id=it.framework_id, status=status, latest_state=pb.TASK_RUNNING
        )
        it.h.feed(ev.TaskStatusUpdated(it.agent, said))

    update(False, b"1")
    assert it.shown() == []
    update(True, b"2")
    assert it.shown() == ["t"]


def test_what_is_to_be_killed_is_shown_no_more_at_once() -> None:
    it = Cluster()
    it.publish([it.served()], whole=True)
    it.h.call(it.framework, kill=scheduler_pb.Call.Kill(task_id="t"))
    assert it.shown() == []


def test_a_lost_agent_takes_its_tasks_with_it_and_brings_them_back() -> None:
    it = Cluster()
    it.publish([it.served()], whole=True)
    it.h.feed(ev.FrameworkDisconnected(it.framework))
    it.h.feed(ev.AgentDisconnected(it.agent))
    assert it.shown() == ["t"]
    it.h.advance(120)
    assert it.shown() == []
    it.h.agent(AGENT, it.agent_id, [record(it)])
    assert it.shown() == ["t"]


def record(it: Cluster) -> agent_pb.TaskRecord:
    task = it.state.find_task(it.framework_id, "t")
    assert task is not None
    return agent_pb.TaskRecord(
        framework_id=it.framework_id, task_info=task.info, state=pb.TASK_RUNNING, role="*"
    )


def test_all_that_is_said_replaces_what_was_said_when_all_of_it_is() -> None:
    it = Cluster()
    it.h.run(it.framework, "u", "cpus:1;mem:32;ports:[31002-31002]")
    it.h.update(it.agent, it.framework_id, "u", pb.TASK_RUNNING, b"u2")
    it.publish([it.served()], whole=True)
    u = it.served("u", ports=[])
    it.publish([u], whole=True, more=True)
    assert it.shown() == ["t", "u"]
    it.publish([], whole=True)
    assert it.shown() == ["u"]


def test_what_a_framework_cannot_say_is_kept_as_it_was_said() -> None:
    it = Cluster()
    it.h.run(it.framework, "u", "cpus:1;mem:32;ports:[31002-31002]")
    it.h.update(it.agent, it.framework_id, "u", pb.TASK_RUNNING, b"u2")
    it.publish([it.served(), it.served("u", ports=[])], whole=True)
    it.publish(keeps=["t", "unknown"], whole=True, more=True)
    assert it.state.names.saying == {it.framework_id: {"t"}}, "what is unknown takes no room"
    it.publish(whole=True)
    assert it.shown() == ["t"]
    it.publish(whole=True)
    assert it.shown() == []


def test_a_list_that_breaks_off_is_begun_anew() -> None:
    it = Cluster()
    it.publish([it.served()], whole=True)
    it.publish([it.served()], whole=True, more=True)
    it.framework = it.h.subscribe(it.framework_id)
    assert it.shown() == ["t"]
    it.publish([], whole=True)
    assert it.shown() == []


def test_a_framework_that_is_removed_serves_nothing() -> None:
    it = Cluster()
    it.publish([it.served()], whole=True)
    it.h.call(it.framework, teardown=scheduler_pb.Call.Teardown())
    assert it.shown() == [] and it.state.names.said == {}


def test_a_new_leader_shows_what_is_on_awaited_agents_as_such() -> None:
    it = Cluster()
    it.publish([it.served()], whole=True)
    known = record(it)
    after = MasterHarness(registry=it.h.registry)
    framework = after.subscribe(it.framework_id)
    after.call(framework, publish=scheduler_pb.Call.Publish(serves=[it.served()], whole=True))
    (shown,) = after.core.state.names.shown.values()
    assert (shown.awaited, shown.ip) == (True, "127.0.0.1")
    after.agent(AGENT, it.agent_id, [known])
    (shown,) = after.core.state.names.shown.values()
    assert not shown.awaited


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("comes", [False, True])
def test_what_an_agent_brings_back_is_shown_and_the_rest_forgotten(lost: bool, comes: bool) -> None:
    it = Cluster()
    it.publish([it.served()], whole=True)
    known = record(it)
    after = MasterHarness(registry=it.h.registry)
    framework = after.subscribe(it.framework_id)
    after.call(framework, publish=scheduler_pb.Call.Publish(serves=[it.served()], whole=True))
    names = after.core.state.names
    if lost:
        after.advance(700)
        assert not names.shown, "an agent that is unreachable serves nobody"
        after.call(framework, publish=scheduler_pb.Call.Publish(serves=[it.served()], whole=True))
    after.agent(AGENT, it.agent_id, [known] if comes else [])
    assert names.awaited == {}
    assert [bool(names.shown), any(names.said.values())] == [comes, comes]


def test_more_than_a_framework_may_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Cluster()
    few = limits.Limit("names of a framework", 1, "tasks", "What a framework publishes")
    monkeypatch.setattr(limits, "NAMES", few)
    it.publish([it.served("t"), it.served("u")], whole=True)
    (refused,) = it.h.refused(it.framework)
    assert (refused.call, refused.code) == ("PUBLISH", scheduler_pb.Event.Refused.TOO_LARGE)
    assert it.shown() == []


@pytest.mark.parametrize(
    "said",
    [
        {"job": "a/b"},
        {"task": ""},
        {"ports": [ServedPort(name="x", protocol="sctp")]},
        {"exposed": [Exposed(http_host="shop.example.org", port_name="http")]},
        {"exposed": [Exposed(port=80, port_name="http")]},
    ],
)
def test_what_cannot_be_a_name_is_refused(said: dict[str, object]) -> None:
    it = Cluster()
    it.publish([it.served(**said)], whole=True)  # type: ignore[arg-type]
    assert it.shown() == [] and len(it.h.refused(it.framework)) == 1


def test_what_ends_while_its_agent_is_awaited_is_awaited_no_more() -> None:
    """However many are published and ended meanwhile, at whichever agents."""
    it = Cluster()
    after = MasterHarness(registry=it.h.registry)
    it.h, it.framework = after, after.subscribe(it.framework_id)
    names = after.core.state.names
    for number in range(5):
        it.publish([it.served(f"t{number}")], whole=number == 0)
        assert len(names.awaited[it.agent_id]) == 1
        it.publish(ended=[f"t{number}"])
        assert names.awaited == {}
    it.publish([it.served("u")])
    it.publish([it.served("u", agent_id="another")])
    assert names.awaited == {} and it.shown() == []
    it.publish([it.served("v")], whole=True)
    after.call(it.framework, teardown=scheduler_pb.Call.Teardown())
    assert names.awaited == {}


class TestFollowers:
    async def test_a_follower_is_told_all_and_then_what_changes(self) -> None:
        it = Cluster()
        it.publish([it.served()], whole=True)
        naming = Naming(it.state)
        with naming.follow(lambda: EVERY_ROLE) as follower:
            first = await follower.batch()
            assert first is not None and first.whole
            assert [named.task.task_id for named in first.serves] == ["t"]
            assert list(first.awaited_frameworks) == []
            it.publish(ended=["t"])
            naming.changed(NameChanged(it.framework_id, "t"))
            then = await follower.batch()
            assert then is not None and not then.whole
            assert [ended.task_id for ended in then.ended] == ["t"]
            naming.close()
            assert await follower.batch() is None
        assert len(naming) == 0

    async def test_one_is_told_what_it_may_read_and_anew_when_that_changes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(naming_module, "HEARTBEAT_S", 0.01)
        it = Cluster()
        it.publish([it.served()], whole=True)
        may = Roles(exact=frozenset({"other"}))
        naming = Naming(it.state)
        with naming.follow(lambda: may) as follower:
            first = await follower.batch()
            assert first is not None and first.whole and not first.serves
            may = EVERY_ROLE
            then = await follower.batch()
            assert then is not None and then.whole and len(then.serves) == 1

    async def test_of_what_it_may_not_read_a_follower_is_told_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(naming_module, "HEARTBEAT_S", 0.01)
        it = Cluster()
        it.publish([it.served()])
        naming = Naming(it.state)
        others = Roles(exact=frozenset({"other"}))
        with naming.follow(lambda: others) as follower:
            whole = await follower.batch()
            assert whole == names_pb.NamesBatch(whole=True)
            it.publish(ended=["t"], whole=True)
            naming.changed(NameChanged(it.framework_id, "t"))
            naming.settled(NamesSettled(it.framework_id))
            assert await follower.batch() == names_pb.NamesBatch()

    async def test_a_framework_that_is_awaited_is_told_once_it_has_said_all(self) -> None:
        it = Cluster()
        naming = Naming(it.state)
        with naming.follow(lambda: EVERY_ROLE) as follower:
            first = await follower.batch()
            assert first is not None and list(first.awaited_frameworks) == [it.framework_id]
            for told in ([it.framework_id], []):
                naming.settled(NamesSettled(it.framework_id))
                then = await follower.batch()
                assert then is not None and list(then.settled_frameworks) == told

    async def test_what_ends_while_rights_change_is_told(self) -> None:
        it = Cluster()
        it.publish([it.served()], whole=True)
        may = EVERY_ROLE
        naming = Naming(it.state)
        with naming.follow(lambda: may) as follower:
            await follower.batch()
            it.publish(ended=["t"])
            naming.changed(NameChanged(it.framework_id, "t"))
            may = Roles(exact=frozenset({"*"}))
            then = await follower.batch()
            assert then is not None and then.whole
            assert [ended.task_id for ended in then.ended] == ["t"]

    async def test_those_who_may_read_all_share_what_is_made(self) -> None:
        it = Cluster()
        it.publish([it.served()], whole=True)
        naming = Naming(it.state)
        with naming.follow(lambda: EVERY_ROLE) as first, naming.follow(lambda: EVERY_ROLE) as other:
            for follower in (first, other):
                assert await follower.batch() is not None
            it.publish(ended=["t"])
            for _ in range(3):
                naming.changed(NameChanged(it.framework_id, "t"))
            told = await asyncio.gather(first.batch(), other.batch())
            assert told[0] is told[1] and told[0] is not None
            assert [ended.task_id for ended in told[0].ended] == ["t"] and not told[0].serves

    async def test_a_change_is_told_once_a_moment_has_passed(self) -> None:
        """However many follow: noting it wakes nobody, and asks nobody."""
        it = Cluster()
        it.publish([it.served()], whole=True)
        naming = Naming(it.state)
        with naming.follow(lambda: EVERY_ROLE) as follower:
            await follower.batch()
            waiting = asyncio.ensure_future(follower.batch())
            await asyncio.sleep(0)
            naming.changed(NameChanged(it.framework_id, "t"))
            assert not follower.wake.is_set() and naming.told == 0
            assert await waiting is not None and naming.told == 1

    @pytest.mark.parametrize("may", [EVERY_ROLE, Roles(exact=frozenset({"*"}))])
    async def test_who_is_too_far_behind_begins_anew(
        self, monkeypatch: pytest.MonkeyPatch, may: Roles
    ) -> None:
        monkeypatch.setattr(naming_module, "MOST_CHANGES", 3)
        it = Cluster()
        naming = Naming(it.state)
        with naming.follow(lambda: may) as follower:
            await follower.batch()
            for task_id in "abcd":
                naming.changed(NameChanged(it.framework_id, task_id))
            with pytest.raises(RequestError, match="follow anew"):
                await follower.batch()
        with naming.follow(lambda: may) as follower:
            begun = await follower.batch()
            assert begun is not None and begun.whole
