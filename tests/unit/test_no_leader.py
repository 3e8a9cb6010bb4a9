"""Masters that do not lead tell that none does; and masters say how they are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pymesos_core.addresses import HostPort
from pymesos_core.caller import NOBODY
from pymesos_core.clock import Now
from pymesos_core.coordination import MasterInfo
from pymesos_core.outgoing.notices import Notice
from pymesos_core.outgoing.telling import Unreached
from pymesos_core.transport import CallError
from pymesos_master.core import events as ev
from pymesos_master.core.alerts.state import Silence
from pymesos_master.health import NoLeader, disk_used
from pymesos_master.services.leading import Leadership
from pymesos_master.services.masters import MastersService
from pymesos_master.services.operator import OperatorService
from pymesos_proto.v1 import masters_pb2
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_testing.http_cluster import leadership_of
from pymesos_testing.master_harness import MasterHarness

WALL = 1_700_000_000.0


class Follower:
    """A master's view of who leads, each half second."""

    def __init__(self, for_s: float = 30, silenced_until_s: float = 0.0) -> None:
        self.alert = NoLeader("10.0.0.2:5050", ["oncall"], for_s)
        self.now_s = self.heard_s = 100.0
        self.silenced_until_s = silenced_until_s

    @property
    def now(self) -> Now:
        return Now(self.now_s, WALL + self.now_s)

    def after(self, seconds: float, *, heard: bool = False) -> list[Notice]:
        told: list[Notice] = []
        for _ in range(round(seconds * 2)):
            self.now_s += 0.5
            self.heard_s = self.now_s if heard else self.heard_s
            told += self.alert.look(self.now, self.heard_s, self.silenced_until_s)
        return told


def test_it_is_told_once_nobody_has_led_for_long_enough_and_when_that_is_over() -> None:
    follower = Follower()
    assert not follower.after(60, heard=True)
    assert not follower.after(29.5), "counted from when one was heard last"
    (notice,) = follower.after(1)
    assert notice.key == "no_leader//oncall" and not notice.is_over
    assert notice.labels == {"alertname": "PymesosNoLeader", "receiver": "oncall"}
    assert notice.summary.startswith("no master that leads has answered the master 10.0.0.2:5050")
    assert not follower.after(100)
    follower.alert.taken(notice, follower.now)
    (over,) = follower.after(0.5, heard=True)
    assert over.is_over and over.known and over.key == notice.key
    follower.alert.taken(over, follower.now)
    assert not follower.after(29, heard=False) and follower.after(1.5)


def test_every_master_tells_it_under_one_key() -> None:
    (first,) = Follower().after(31)
    other = NoLeader("10.0.0.3:5050", ["oncall"], 5)
    told = [n for s in range(20) for n in other.look(Now(100.0 + s, WALL + s), 99.0, 0.0)]
    assert [n.key for n in told] == [first.key] and told[0].labels == first.labels


def test_a_failover_that_is_over_in_time_is_told_to_nobody() -> None:
    follower = Follower()
    assert not follower.after(25) and not follower.after(5, heard=True) and not follower.after(29)


def test_in_silence_it_is_told_when_that_is_over() -> None:
    follower = Follower(silenced_until_s=WALL + 200)
    assert not follower.after(99.5)
    (notice,) = follower.after(1)
    assert not notice.is_over


def test_what_was_told_in_silence_is_not_resolved() -> None:
    follower = Follower(silenced_until_s=WALL + 1000)
    assert not follower.after(99) and not follower.after(10, heard=True)
    assert {alert.state for alert in follower.alert.alerts} == {"quiet"}


class Tells:
    """Receivers, of which one is not reached."""

    names = ("oncall", "team")
    unreached = {"team": Unreached("it has not answered within 10 s", WALL)}  # noqa: RUF012

    def __init__(self) -> None:
        self.tested: list[str] = []

    async def test(self, name: str) -> None:
        self.tested.append(name)


class Masters:
    """The services of one that leads."""

    def __init__(self) -> None:
        self.h = MasterHarness()
        self.leadership = leadership_of(self.h)
        self.leader = cast(Any, self.leadership.leader)
        self.leader.tells = Tells()
        self.leader.feed = self.h.feed
        self.leader.term.active = asyncio.Event()
        self.leader.term.active.set()
        self.operator = OperatorService(self.leadership)
        self.masters = MastersService(self.leadership, cast(Any, None))
        self.call = cast(Any, SimpleNamespace(caller=NOBODY))

    async def report(self, **said: Any) -> masters_pb2.ReportHealthResponse:
        return await self.masters.ReportHealth(masters_pb2.ReportHealthRequest(**said), self.call)


async def test_a_leader_takes_in_how_others_are_and_says_what_is_silenced() -> None:
    cluster = Masters()
    assert (await cluster.report(address="10.0.0.2:5050", disk_used=0.5)).silenced_until_s == 0
    assert cluster.h.core.state.masters["10.0.0.2:5050"].disk_used == 0.5
    cluster.h.feed(ev.OperatorSilencedAlerts(1, "disk_full", "", 500, ""))
    assert (await cluster.report(address="10.0.0.2:5050")).silenced_until_s == 0
    cluster.h.feed(ev.OperatorSilencedAlerts(2, "no_leader", "", 60, ""))
    silences = cluster.h.core.state.silences
    until_s = (await cluster.report(address="10.0.0.2:5050")).silenced_until_s
    assert until_s == silences["no_leader/"].until_s == cluster.h.now.wall_s + 60
    with pytest.raises(CallError, match=r"address: "):
        await cluster.report(address="a b")
    cluster.leader.term.active.clear()
    with pytest.raises(CallError, match="in doubt"):
        await cluster.report(address="10.0.0.2:5050")


async def test_who_does_not_lead_takes_no_report() -> None:
    other = Leadership(MasterInfo("m2", HostPort("10.0.0.2", 1), "b"))
    request = masters_pb2.ReportHealthRequest(address="10.0.0.1:1")
    with pytest.raises(CallError, match="does not lead"):
        await MastersService(other, cast(Any, None)).ReportHealth(request, cast(Any, None))


async def test_what_is_wrong_who_is_told_and_what_is_silenced_is_listed() -> None:
    cluster = Masters()
    cluster.h.feed(ev.OperatorSilencedAlerts(1, "", "eng", 60, "we know"))
    said = await cluster.operator.ListClusterAlerts(pb.ListClusterAlertsRequest(), cluster.call)
    assert [(one.name, one.problem, one.problem_since_s) for one in said.receivers] == [
        ("oncall", "", 0.0), ("team", "it has not answered within 10 s", WALL),
    ]  # fmt: skip
    assert [(one.when, one.subject, one.why) for one in said.silences] == [("", "eng", "we know")]
    assert not said.alerts


async def test_a_receiver_is_tested_by_its_name() -> None:
    cluster = Masters()
    asked = pb.TestClusterReceiverRequest(receiver="oncall")
    await cluster.operator.TestClusterReceiver(asked, cluster.call)
    assert cluster.leader.tells.tested == ["oncall"]
    asked = pb.TestClusterReceiverRequest(receiver="nobody")
    with pytest.raises(CallError, match="there is no receiver 'nobody': masters have oncall, team"):
        await cluster.operator.TestClusterReceiver(asked, cluster.call)


def test_the_disk_is_that_of_the_folder_or_of_where_it_would_be(tmp_path: Path) -> None:
    assert 0 < disk_used(tmp_path) <= 1
    assert disk_used(tmp_path / "a" / "b") == pytest.approx(disk_used(tmp_path), abs=0.01)


def test_a_silence_is_of_all_that_it_does_not_name() -> None:
    assert Silence("", "", 1, "", "").covers("disk_full", "a")
    assert Silence("disk_full", "", 1, "", "").covers("disk_full", "a")
    assert not Silence("disk_full", "b", 1, "", "").covers("disk_full", "a")
