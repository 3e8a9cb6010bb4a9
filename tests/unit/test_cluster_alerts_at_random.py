"""Alerts of the cluster, whatever happens: agents are lost, leaders end, writes take long."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from pymesos_core.outgoing.alert import TOLD
from pymesos_core.outgoing.alert_life import State
from pymesos_core.outgoing.notices import Notice
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.core.alerts import looking
from pymesos_master.core.context import Context
from pymesos_master.core.effects import Tell
from pymesos_master.core.records import ALERT
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_testing.master_harness import MasterHarness

FOR_S = 10.0
CONFIG = Config(
    receivers=("oncall",),
    alert_for_s=FOR_S,
    agent_ping_timeout_s=0.5,
    max_agent_ping_timeouts=2,
    agent_reregister_timeout_s=5,
    agent_removal_interval_s=0.01,
)
SLACK_S = 1.5  # from one look to the next, and a bit
SEEDS = range(12)
STEPS = 150


class Story:
    """Leaders of a cluster, one after the other, and the receiver that they tell."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.h = MasterHarness(CONFIG)
        self.began_s = self.h.now_s
        self.paused_s = 0.0  # when writes were last kept from being durable
        self.latest: dict[str, str] = {}  # of each key, what the receiver has taken
        self.waiting: list[Notice] = []
        self.pages = 0
        self.lost_s: dict[str, float] = {}  # since when each was seen to be unreachable
        self.agents: dict[str, int | None] = {}  # the connections of those that answer
        for _ in range(3):
            connection = self.h.agent()
            self.agents[self.h.agent_id(connection)] = connection

    def run(self) -> None:
        """Let things happen, and heal at last."""
        deeds: list[Callable[[], None]] = [
            *[self.pass_time] * 6, *[self.take] * 4,
            self.lose, self.come_back, self.fail_over, self.hold_writes, self.flow,
        ]  # fmt: skip
        for _ in range(STEPS):
            self.random.choice(deeds)()
            self.check()
        self.flow()
        for agent_id in self.agents:
            self.register(agent_id)
        for _ in range(20):
            self.pass_time()
            while self.waiting:
                self.take()
        assert not self.h.core.state.alerts, f"{[*self.h.core.state.alerts.values()]} at the end"
        assert not any(kind == ALERT for kind, _ in self.h.registry)
        assert set(self.latest.values()) <= {"resolved"}, self.latest

    def pass_time(self) -> None:
        for _ in range(self.random.randrange(1, 8)):
            for agent_id, connection in self.agents.items():
                if connection in self.h.closed:  # as when it came while it was being lost
                    self.agents[agent_id] = None
                    self.register(agent_id)
                elif connection is not None:
                    self.h.feed(ev.AgentHeard(connection))
            self.h.advance(0.4)
            self.hear()

    def hear(self) -> None:
        """What was told goes on its way: that it fires before that it is over, as by a notifier."""
        told, self.h.told = self.h.told, []
        for notice in told:
            record = registry_pb.ClusterAlertRecord.FromString(
                self.h.registry.get((ALERT, notice.key), b"")
            )
            assert record.fired_s >= notice.began_s, f"{notice} is told, and {record} stored"
            if not notice.is_over and not notice.known:
                agent = self.h.core.state.agents[notice.key.split("/")[1]]
                lost_s = notice.began_s - agent.changed_at_s
                gone = agent.state != "unreachable"
                assert gone or lost_s >= FOR_S - 0.01, f"{notice.key} fires after {lost_s:.2f} s"
            if notice.is_over and not notice.known:
                self.waiting.append(replace(notice, ended_s=0.0))
            if notice.is_over or not notice.known:
                self.waiting.append(notice)

    def take(self) -> None:
        if not self.waiting:
            return
        notice = self.waiting.pop(0)
        known = self.latest.get(notice.key)
        assert not notice.is_over or known is not None, f"{notice.key} is over, and never fired"
        self.latest[notice.key] = notice.status
        self.pages += known is None
        self.h.feed(ev.NoticeTaken(notice.key, notice.began_s, notice.is_over))
        self.hear()

    def lose(self) -> None:
        self.agents[self.random.choice([*self.agents])] = None

    def come_back(self) -> None:
        self.register(self.random.choice([*self.agents]))

    def register(self, agent_id: str) -> None:
        if self.agents[agent_id] is None:
            port = 20_000 + [*self.agents].index(agent_id)
            self.agents[agent_id] = self.h.agent(agent_id=agent_id, port=port)
            self.hear()

    def fail_over(self) -> None:
        """What was not durable is lost with the leader, and what it has not told yet."""
        if self.h.hold_writes:
            self.lost_s = {}  # that it pends may be lost
        alive = [agent_id for agent_id, there in self.agents.items() if there is not None]
        self.h = MasterHarness(CONFIG, self.h.registry, self.h.now_s)
        self.began_s, self.waiting = self.h.now_s, []
        self.agents = dict.fromkeys(self.agents)
        for agent_id in alive:
            self.register(agent_id)

    def hold_writes(self) -> None:
        self.h.hold_writes = True

    def flow(self) -> None:
        if self.h.hold_writes:
            self.h.hold_writes = False
            while self.h.held:
                self.h.write()
            self.paused_s = self.h.now_s
            self.hear()

    def check(self) -> None:
        """What has been wrong for long enough fires, and nothing else does."""
        state, now_s = self.h.core.state, self.h.now_s
        lost = {i: now_s for i in self.agents if state.agents[i].state == "unreachable"}
        self.lost_s = {i: self.lost_s.get(i, since_s) for i, since_s in lost.items()}
        if self.h.hold_writes or self.h.now_s - max(self.began_s, self.paused_s) < SLACK_S:
            return
        for agent_id in self.agents:
            alert = state.alerts.get(f"agent_unreachable/{agent_id}/oncall")
            fires = alert is not None and alert.state is State.FIRING
            for_s = now_s - self.lost_s.get(agent_id, now_s)
            assert fires or for_s < FOR_S + SLACK_S, f"{agent_id} is lost for {for_s:.1f} s"


def happens(seed: int) -> int:
    story = Story(seed)
    story.run()
    return story.pages


def test_alerts_are_as_they_are_promised() -> None:
    assert sum(map(happens, SEEDS)) > len(SEEDS), "and there were some"


def tell_at_once(patch: pytest.MonkeyPatch) -> None:
    """Receivers are told of what a crash may forget."""

    def store(ctx: Context, moved: dict[str, State]) -> None:
        for key, before in moved.items():
            alert = ctx.state.alerts[key]
            if alert.state is not before and alert.state in TOLD:
                ctx.out.append(Tell(alert.notice()))
        if moved:
            ctx.persist(looking._records(ctx, moved), looking.AlertsWritten(()))

    patch.setattr(looking, "_store", store)


def forget_what_is_pending(patch: pytest.MonkeyPatch) -> None:
    """What was pending counts anew under each leader."""
    begin = looking.begin

    def forget(ctx: Context) -> None:
        for alert in ctx.state.alerts.values():
            if alert.state is State.PENDING:
                alert.since_s = ctx.now.wall_s
        begin(ctx)

    patch.setattr(looking, "begin", forget)


def tell_nobody_again(patch: pytest.MonkeyPatch) -> None:
    """What the last leader had not told yet is told to nobody."""

    def begin(ctx: Context) -> None:
        ctx.timers.set(("alerts", looking.LOOK), ctx.now.mono_s)

    patch.setattr(looking, "begin", begin)


@pytest.mark.parametrize(
    "bug", [tell_at_once, forget_what_is_pending, tell_nobody_again], ids=lambda bug: bug.__name__
)
def test_what_is_planted_is_found(
    bug: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bug(monkeypatch)
    with pytest.raises(AssertionError):
        for seed in SEEDS:
            happens(seed)
