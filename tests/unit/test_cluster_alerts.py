"""Alerts of the cluster: what is wrong with it, stored before it is told, over leaders, too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pymesos_core import resources
from pymesos_core.caller import Caller, Method
from pymesos_core.outgoing.alert_life import State
from pymesos_core.outgoing.notices import Notice
from pymesos_core.resources import to_proto
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.core.records import ALERT, SILENCE
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness

CONFIG = Config(
    receivers=("oncall",), alert_for_s=30, agent_ping_timeout_s=1, max_agent_ping_timeouts=2
)
AT = 1_700_000_000.0  # the wall clock of a harness, at 0 of its monotonic one


class Cluster:
    """A leader with receivers, and how long an agent is lost once it is silent."""

    def __init__(
        self, config: Config = CONFIG, registry: Any = None, now_s: float = 1000.0
    ) -> None:
        self.h = MasterHarness(config, registry, now_s)

    def keys(self) -> dict[str, State]:
        return {key: alert.state for key, alert in self.h.core.state.alerts.items()}

    def told(self) -> list[tuple[str, str]]:
        """What was told since the last time: status and key."""
        told, self.h.told = self.h.told, []
        return [(notice.status, notice.key) for notice in told]

    def lose_agent(self) -> str:
        """An agent comes and is lost; its id."""
        connection = self.h.agent()
        agent_id = self.h.agent_id(connection)
        self.h.advance(60 if self.h.core.state.agents[agent_id].tasks else 4)
        assert self.h.core.state.agents[agent_id].state == "unreachable"
        return agent_id

    def taken(self, notice: Notice) -> None:
        self.h.feed(ev.NoticeTaken(notice.key, notice.began_s, notice.is_over))

    def silence(self, when: str = "", subject: str = "", for_s: float = 60, why: str = "") -> str:
        """Ask for a silence; what is wrong with that."""
        self.h.feed(ev.OperatorSilencedAlerts(7, when, subject, for_s, why))
        return self.h.answers.pop(7) or ""

    def next_leader(self, config: Config = CONFIG) -> Cluster:
        return Cluster(config, self.h.registry, self.h.now_s)


def test_an_agent_that_is_unreachable_is_told_once_it_has_been_for_long_enough() -> None:
    cluster = Cluster()
    agent_id = cluster.lose_agent()
    key = f"agent_unreachable/{agent_id}/oncall"
    lost_s = cluster.h.core.state.agents[agent_id].changed_at_s
    cluster.h.advance(lost_s + 30 - cluster.h.now.wall_s)
    assert cluster.keys() == {key: State.PENDING} and not cluster.told()
    cluster.h.advance(1.0)
    (notice,) = cluster.h.told
    assert cluster.told() == [("firing", key)]
    assert 30 <= notice.began_s - lost_s <= 31
    assert notice.labels == {
        "alertname": "PymesosAgentUnreachable", "receiver": "oncall", "subject": agent_id,
    }  # fmt: skip
    assert notice.summary.startswith(f"the agent h ({agent_id}) is unreachable since 20")
    cluster.taken(notice)
    cluster.h.advance(60)
    assert not cluster.told(), "and only once"
    cluster.h.agent(agent_id=agent_id)
    cluster.h.advance(1.0)
    (over,) = cluster.h.told
    assert over.is_over and over.known and over.began_s == notice.began_s
    assert cluster.keys() == {key: State.RESOLVED}
    cluster.taken(over)
    assert not cluster.keys() and (ALERT, key) not in cluster.h.registry


@pytest.mark.parametrize("by_s", [3600.0, -3600.0, 12 * 365 * 86400.0])
def test_a_clock_that_is_set_has_an_alert_fire_neither_early_nor_late(by_s: float) -> None:
    cluster = Cluster()
    cluster.silence("disk_full", for_s=60)
    agent_id = cluster.lose_agent()
    cluster.h.skew_s = by_s
    cluster.h.advance(20)
    assert cluster.keys() == {f"agent_unreachable/{agent_id}/oncall": State.PENDING}
    assert cluster.h.core.state.silences
    cluster.h.advance(12)
    assert cluster.told() == [("firing", f"agent_unreachable/{agent_id}/oncall")]
    cluster.h.advance(40)
    assert not cluster.h.core.state.silences


def test_nothing_is_told_before_it_is_stored() -> None:
    cluster = Cluster()
    cluster.lose_agent()
    cluster.h.hold_writes = True
    cluster.h.advance(40)
    assert not cluster.h.told
    cluster.h.hold_writes = False
    cluster.h.write()
    (notice,) = cluster.h.told
    record = registry_pb.ClusterAlertRecord.FromString(cluster.h.registry[ALERT, notice.key])
    assert record.state == "firing" and record.fired_s == notice.began_s


def test_what_is_well_again_before_is_told_to_nobody() -> None:
    cluster = Cluster()
    agent_id = cluster.lose_agent()
    cluster.h.advance(20)
    assert [*cluster.keys().values()] == [State.PENDING]
    cluster.h.agent(agent_id=agent_id)
    cluster.h.advance(1)
    assert not cluster.keys() and not cluster.told()


def test_who_is_emptied_or_planned_to_be_away_pages_nobody() -> None:
    cluster = Cluster()
    agent_id = cluster.h.agent_id(cluster.h.agent())
    now_s = cluster.h.now.wall_s
    cluster.h.feed(ev.OperatorScheduledMaintenance(1, (agent_id,), now_s, 200))
    cluster.h.advance(100)
    assert cluster.h.core.state.agents[agent_id].state == "unreachable" and not cluster.keys()
    cluster.h.advance(99)
    assert not cluster.keys()
    cluster.h.advance(33)
    assert [status for status, _ in cluster.told()] == ["firing"], "its window is over"

    cluster = Cluster()
    connection = cluster.h.agent()
    agent_id = cluster.h.agent_id(connection)
    cluster.h.feed(ev.OperatorDrainedAgents(1, (agent_id,), 60))
    cluster.h.advance(100)
    assert cluster.h.core.state.agents[agent_id].state == "unreachable" and not cluster.keys()


def test_the_next_leader_goes_on_with_what_fires_and_what_is_pending() -> None:
    cluster = Cluster()
    fires = cluster.lose_agent()
    cluster.h.advance(32)
    (before,) = cluster.h.told
    cluster.taken(before)
    pends = cluster.lose_agent()
    cluster.h.advance(20)

    other = cluster.next_leader()
    other.h.advance(0.1)
    (again,) = other.h.told
    assert again == replace(before, known=True), "under one key, and known"
    other.told()
    other.h.advance(12)
    assert other.told() == [("firing", f"agent_unreachable/{pends}/oncall")], "no 30 s anew"
    other.h.agent(agent_id=fires)
    other.h.advance(1)
    assert other.told() == [("resolved", again.key)]

    third = other.next_leader()
    third.h.advance(0.1)
    assert sorted(status for status, _ in third.told()) == ["firing", "resolved"]


def quota(cluster: Cluster, role: str, guarantee: str) -> None:
    amounts = to_proto(resources.parse(guarantee))
    asked = pb.Quota(guarantees=amounts, limits=amounts)
    cluster.h.feed(ev.OperatorSetQuota(1, role, asked, force=True))
    assert cluster.h.answers[1] is None


def test_a_guarantee_that_is_wanted_and_that_nobody_can_free_is_told() -> None:
    cluster = Cluster(replace(CONFIG, max_agent_ping_timeouts=1000))
    cluster.h.agent("cpus:4;mem:4096")
    quota(cluster, "eng", "cpus:6")
    cluster.h.advance(60)
    assert not cluster.keys(), "nobody wants it"
    wants = cluster.h.subscribe(name="g", roles=["eng"])
    cluster.h.run(wants, text="cpus:4;mem:32")
    cluster.h.advance(40)
    assert cluster.told() == [("firing", "quota_unmet/eng/oncall")]
    (alert,) = cluster.h.core.state.alerts.values()
    assert alert.summary == "eng wants 2 cpus more of its guarantee, which nobody can free"
    cluster.h.agent("cpus:4;mem:4096")
    cluster.h.advance(2)
    assert cluster.told() == [("resolved", "quota_unmet/eng/oncall")]


def test_a_guarantee_that_nobody_can_free_is_told_by_the_next_leader() -> None:
    """More agents are back by then than offers wait for."""
    before = Cluster(replace(CONFIG, max_agent_ping_timeouts=1000))
    ids = [before.h.agent_id(before.h.agent("cpus:1;mem:512", port=n)) for n in range(1, 11)]
    quota(before, "eng", "cpus:16")
    cluster = before.next_leader(replace(CONFIG, max_agent_ping_timeouts=1000))
    for number, agent_id in enumerate(ids, 1):
        cluster.h.agent("cpus:1;mem:512", port=number, agent_id=agent_id)
    wants = cluster.h.subscribe(name="g", roles=["eng"])
    cluster.h.run(wants, text="cpus:1;mem:32")
    cluster.h.advance(60)
    assert cluster.told() == [("firing", "quota_unmet/eng/oncall")]


def test_a_guarantee_that_its_frameworks_refuse_is_met() -> None:
    cluster = Cluster(replace(CONFIG, max_agent_ping_timeouts=1000))
    cluster.h.agent("cpus:4;mem:4096")
    quota(cluster, "eng", "cpus:4")
    framework = cluster.h.subscribe(roles=["eng"])
    offers = cluster.h.offers(framework)
    cluster.h.decline(framework, [offer.offer_id for offer in offers], refuse_s=1000)
    cluster.h.advance(100)
    assert not cluster.keys() and not cluster.told()


def test_disks_and_certificates_are_told_of_masters_and_agents() -> None:
    cluster = Cluster(replace(CONFIG, max_agent_ping_timeouts=1000))
    connection = cluster.h.agent()
    agent_id = cluster.h.agent_id(connection)
    usage = agent_pb.Usage(disk_used_mib=95, disk_total_mib=100, renew_by_s=AT)
    cluster.h.feed(ev.AgentUsageReported(connection, usage))
    for _ in range(35):
        cluster.h.feed(ev.MasterReported("10.0.0.1:5050", 0.93, 0.0))
        cluster.h.feed(ev.MasterReported("10.0.0.2:5050", 0.5, AT + 1000.5))
        cluster.h.advance(1)
    assert sorted(key for _, key in cluster.told()) == [
        "certificate_not_renewed/10.0.0.2:5050/oncall",
        f"certificate_not_renewed/{agent_id}/oncall",
        "disk_full/10.0.0.1:5050/oncall",
        f"disk_full/{agent_id}/oncall",
    ]
    summaries = {a.subject: a.summary for a in cluster.h.core.state.alerts.values()}
    assert summaries["10.0.0.1:5050"] == "the disk of the master 10.0.0.1:5050 is full to 93%"

    other = cluster.next_leader(replace(CONFIG, max_agent_ping_timeouts=1000))
    other.h.advance(1)
    assert {status for status, _ in other.told()} == {"firing"}, "it has heard of nobody yet"
    other.h.agent(agent_id=agent_id)
    other.h.advance(20)
    assert sorted(other.told()) == [
        ("resolved", "certificate_not_renewed/10.0.0.2:5050/oncall"),
        ("resolved", "disk_full/10.0.0.1:5050/oncall"),
    ], "of masters that are heard no more"


def test_what_fires_in_silence_is_told_when_the_silence_is_over() -> None:
    cluster = Cluster()
    agent_id = cluster.lose_agent()
    assert cluster.silence("agent_unreachable", agent_id, 100) == ""
    cluster.h.advance(50)
    assert [*cluster.keys().values()] == [State.FIRING] and not cluster.told()
    cluster.h.advance(51)
    assert cluster.told() == [("firing", f"agent_unreachable/{agent_id}/oncall")]
    assert not any(kind == SILENCE for kind, _ in cluster.h.registry)

    assert cluster.silence(for_s=1000, why="we are on it") == ""
    cluster.h.agent(agent_id=agent_id)
    cluster.h.advance(1)
    assert [status for status, _ in cluster.told()] == ["resolved"], "it was told before"
    other = cluster.next_leader()
    (kept,) = other.h.core.state.silences.values()
    assert (kept.when, kept.subject, kept.why) == ("", "", "we are on it")
    assert other.silence(for_s=0) == "" and not other.h.core.state.silences


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"when": "unhealthy"}, "when: 'unhealthy' is not one of agent_unreachable, quota_unmet"),
        ({"for_s": 31 * 86400.0}, "out of range; at most 2592000, 30 days"),
        ({"subject": "a\nb"}, "subject: one line of at most 255 bytes"),
        ({"why": "x" * 300}, "why: one line of at most 255 bytes"),
        ({"for_s": 0}, "there is no such silence"),
    ],
)
def test_a_silence_that_cannot_be_is_refused(asked: dict[str, Any], said: str) -> None:
    cluster = Cluster()
    assert said in cluster.silence(**asked) and not cluster.h.core.state.silences


def test_silences_are_bounded_and_end_without_receivers() -> None:
    cluster = Cluster(Config())
    for number in range(100):
        assert cluster.silence(subject=f"a{number}") == ""
    assert (
        "100" in cluster.silence(subject="one-more") and len(cluster.h.core.state.silences) == 100
    )
    assert cluster.silence(subject="a5", for_s=70) == "", "one in the place of another"
    cluster.h.advance(61)
    assert [*cluster.h.core.state.silences] == ["/a5"]


def test_only_who_may_agents_silences() -> None:
    cluster = Cluster(replace(CONFIG, seed_policy="allow: []\n"))
    caller = Caller("operator/eve", Method.CERT)
    cluster.h.feed(ev.OperatorSilencedAlerts(7, "", "", 60, "", caller))
    assert "agents" in (cluster.h.answers[7] or "") and not cluster.h.core.state.silences


def test_no_more_alerts_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(replace(CONFIG, receivers=tuple(f"r{n}" for n in range(300))))
    cluster.lose_agent()
    cluster.lose_agent()
    cluster.h.advance(2)
    assert len(cluster.keys()) == 500


def test_without_receivers_nothing_is_looked_at_and_what_fired_ends() -> None:
    cluster = Cluster()
    cluster.lose_agent()
    cluster.h.advance(32)
    assert [status for status, _ in cluster.told()] == ["firing"]
    other = cluster.next_leader(replace(CONFIG, receivers=()))
    other.h.advance(1)
    assert [status for status, _ in other.told()] == ["firing", "resolved"]


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (ALERT, "agent_unreachable/a/oncall", b"\xff"),
        (ALERT, "agent_unreachable/a/oncall", b""),
        (ALERT, "agent/a/oncall", registry_pb.ClusterAlertRecord(state="pending", since_s=1)),
        (ALERT, "disk_full/oncall", registry_pb.ClusterAlertRecord(state="pending", since_s=1)),
        (ALERT, "disk_full/a/b", registry_pb.ClusterAlertRecord(state="pending")),
        (ALERT, "disk_full/a/b", registry_pb.ClusterAlertRecord(state="firing", since_s=1e99)),
        (SILENCE, "a", registry_pb.ClusterSilenceRecord(until_s=1)),
        (SILENCE, "a/b", registry_pb.ClusterSilenceRecord(until_s=1)),
        (SILENCE, "/b", registry_pb.ClusterSilenceRecord(until_s=float("nan"))),
    ],
)
def test_a_record_that_cannot_be_is_set_aside(kind: str, key: str, value: Any) -> None:
    raw = value if isinstance(value, bytes) else value.SerializeToString()
    h = MasterHarness(CONFIG, {(kind, key): raw})
    assert set(h.core.state.quarantined) == {(kind, key)}
    assert not h.core.state.alerts and not h.core.state.silences
    h.advance(5)
