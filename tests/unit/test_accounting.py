"""What roles, frameworks and jobs have used: exact, by day, bounded, and kept over a failover."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from pymesos_core import limits
from pymesos_core.clock import Now
from pymesos_master.core import accounting
from pymesos_master.core import events as ev
from pymesos_master.core.accounts import (
    DAY_MS,
    HOUR_MS,
    REST,
    Account,
    Accounts,
    At,
    Day,
    Held,
    Room,
    Sums,
    by_day,
)
from pymesos_master.core.records import ACCOUNTING
from pymesos_master.core.registry import MOST_ACCOUNTED
from pymesos_master.core.state import Config
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import registry_pb2, types_pb2
from pymesos_testing.master_harness import MasterHarness, task

A = Account("a", "f", "j")


def at(ms: int, day: int = 0) -> At:
    return At(ms, day * DAY_MS + ms)


class TestAccounts:
    def test_what_is_held_is_added_up_exactly(self) -> None:
        accounts = Accounts()
        accounts.hold(A, Held(1500, 3), at(0))
        accounts.hold(A, Held(1, 1, 2000), at(1000))
        accounts.release(A, Held(1500, 3), at(3001))
        accounts.settle(at(4000))
        assert accounts.days[0].rows == {A: Sums(1500 * 3001 + 3000, 3 * 3001 + 3000, 6_000_000)}

    def test_the_sum_is_the_integral_whatever_happens_in_between(self) -> None:
        rng = random.Random(7)
        accounts, now, integral = Accounts(), 0, 0
        held: list[tuple[Account, Held]] = []
        for _ in range(2000):
            step = rng.choice([0, 1, 17, 5000, HOUR_MS])
            integral += sum(more.cpus for _, more in held) * step
            now += step
            if held and rng.random() < 0.5:
                account, less = held.pop(rng.randrange(len(held)))
                accounts.release(account, less, at(now))
            else:
                account = Account(rng.choice("abc"), rng.choice("fg"))
                more = Held(rng.randrange(5000), 1)
                held.append((accounts.hold(account, more, at(now)), more))
            if rng.random() < 0.1:
                accounts.settle(at(now))
        seen = accounts.seen(at(now))
        assert sum(s.asked_cpus for day in seen.values() for s in day.rows.values()) == integral
        assert len(seen) > 10, "it went on over many days"
        assert sum(sums.asked_cpus for sums in accounts.by_role(at(now)).values()) == integral

    def test_to_look_changes_nothing(self) -> None:
        accounts = Accounts()
        accounts.hold(A, Held(1000), at(0))
        seen = [accounts.seen(at(now)) for now in (5, 5, 10)]
        assert [day[0].rows[A].asked_cpus for day in seen] == [5000, 5000, 10_000]
        assert not accounts.days

    def test_a_day_ends_at_midnight_of_utc(self) -> None:
        accounts = Accounts()
        accounts.hold(A, Held(1), at(DAY_MS - 10))
        accounts.settle(at(2 * DAY_MS + 5))
        found = {day: used.rows[A].asked_cpus for day, used in accounts.days.items()}
        assert found == {0: 10, 1: DAY_MS, 2: 5}
        assert list(by_day(DAY_MS, 3)) == [(0, 3)], "midnight ends the day before"

    def test_what_a_clock_shows_that_is_not_set_is_of_its_first_day(self) -> None:
        assert list(by_day(DAY_MS + 5, 3 * DAY_MS)) == [(1, 5), (0, 3 * DAY_MS - 5)]
        assert list(by_day(0, 7)) == [(0, 7)]

    def test_a_clock_that_is_set_moves_what_is_used_and_adds_nothing(self) -> None:
        accounts = Accounts()
        accounts.hold(A, Held(1), At(0, 5 * DAY_MS))
        accounts.settle(At(1000, 3 * DAY_MS + 500))
        found = {day: used.rows[A].asked_cpus for day, used in accounts.days.items()}
        assert found == {3: 500, 2: 500}

    def test_of_a_role_that_has_too_many_the_rest_is_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "ACCOUNTS_OF_ROLE", replace(limits.ACCOUNTS_OF_ROLE, most=2))
        day = Day()
        for n in range(5):
            day.add(Account("a", "f", f"j{n}"), Sums(1))
        day.add(Account("b"), Sums(10))
        day.add(Account("a", "f", "j1"), Sums(100))
        assert day.rows == {
            Account("a", "f", "j0"): Sums(1),
            Account("a", "f", "j1"): Sums(101),
            Account("a", rest=True): Sums(3),
            Account("b"): Sums(10),
        }

    def test_a_day_is_bounded_and_loses_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "ACCOUNTS", replace(limits.ACCOUNTS, most=3))
        monkeypatch.setattr(limits, "ACCOUNTED_RESTS", replace(limits.ACCOUNTED_RESTS, most=2))
        day = Day()
        for n in range(50):
            day.add(Account(f"r{n}", "f"), Sums(1))
        assert len(day.rows) == 3 + 2 + 1
        assert day.rows[REST] == Sums(50 - 5)

    def test_what_is_held_is_bounded_too_and_makes_room_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "ACCOUNTS_OF_ROLE", replace(limits.ACCOUNTS_OF_ROLE, most=1))
        accounts = Accounts()
        first = accounts.hold(Account("a", "f"), Held(1), at(0))
        second = accounts.hold(Account("a", "g"), Held(2), at(0))
        assert (first, second) == (Account("a", "f"), Account("a", rest=True))
        accounts.release(first, Held(1), at(5))
        assert accounts.hold(Account("a", "g"), Held(4), at(5)) == Account("a", "g")
        accounts.release(second, Held(2), at(9))
        assert accounts.held() == {Account("a", "g"): Held(4)}

    def test_room_forgets_what_has_left(self) -> None:
        room = Room([A, REST])
        room.take(A, -1)
        room.take(REST, -1)
        assert vars(room) == vars(Room())

    def test_the_oldest_days_are_forgotten(self) -> None:
        accounts = Accounts()
        for day in range(5):
            accounts.use(A, 1, 1, At(0, day * DAY_MS))
        assert accounts.forget(3) == [0, 1]
        assert sorted(accounts.days) == [2, 3, 4] and accounts.changed == {2, 3, 4}

    def test_roles_in_metrics_are_bounded(self) -> None:
        accounts = Accounts()
        for n in range(300):
            accounts.use(Account(f"r{n}"), 1, 0, at(0))
        by_role = accounts.by_role(at(0))
        assert len(by_role) == 101 and sum(sums.used_cpus for sums in by_role.values()) == 300


def stored(h: MasterHarness) -> dict[str, registry_pb2.AccountingRecord]:
    return {
        key: registry_pb2.AccountingRecord.FromString(value)
        for (kind, key), value in h.registry.items()
        if kind == ACCOUNTING
    }


def used(h: MasterHarness) -> dict[Account, Sums]:
    out: dict[Account, Sums] = {}
    for day in h.core.state.accounts.seen(accounting.at(h.now)).values():
        for account, sums in day.rows.items():
            out[account] = out.get(account, Sums()).plus(sums)
    return out


def running(h: MasterHarness, task_id: str = "shop-0123abcd.web.0.1") -> tuple[int, int]:
    """A framework and an agent with a task that runs."""
    agent = h.agent()
    framework = h.subscribe(name="jobs", roles=["dev"])
    h.run(framework, task_id)
    h.update(agent, h.framework_id(framework), task_id, types_pb2.TASK_RUNNING)
    return framework, agent


WEB = Account("dev", "jobs", "shop")


class TestTasks:
    def test_a_task_is_accounted_for_from_its_launch_to_its_end(self) -> None:
        h = MasterHarness()
        framework, agent = running(h)
        h.advance(10)
        assert used(h)[WEB] == Sums(1000 * 10_000, 32_000 * 10_000)
        ids = h.framework_id(framework), "shop-0123abcd.web.0.1"
        h.update(agent, *ids, types_pb2.TASK_FINISHED, b"v")
        h.advance(10)
        assert used(h)[WEB] == Sums(1000 * 10_000, 32_000 * 10_000)

    def test_one_that_is_of_no_job_is_of_its_framework(self) -> None:
        h = MasterHarness()
        running(h, "t")
        h.advance(1)
        assert list(used(h)) == [Account("dev", "jobs", "")]

    def test_what_is_unreachable_holds_nothing_until_it_is_back(self) -> None:
        h = MasterHarness(Config(agent_ping_timeout_s=1, max_agent_ping_timeouts=1))
        framework, agent = running(h)
        agent_id, began = h.agent_id(agent), h.now_s
        h.advance(5)
        assert h.last(framework).state == types_pb2.TASK_UNREACHABLE
        lost = used(h)[WEB].asked_cpus
        assert 0 < lost < (h.now_s - began) * 1_000_000
        h.advance(100)
        assert used(h)[WEB].asked_cpus == lost
        record = record_of(h, framework)
        back = h.agent(agent_id=agent_id, tasks=[record], port=10_000 + agent)
        h.feed(ev.AgentHeard(back))
        h.now_s += 0.5
        assert used(h)[WEB].asked_cpus == lost + 500_000

    def test_what_agents_measure_is_used(self) -> None:
        h = MasterHarness()
        framework, agent = running(h)
        ids: Any = {"framework_id": h.framework_id(framework), "task_id": "shop-0123abcd.web.0.1"}
        use = types_pb2.TaskUse(**ids, mem_used_mib=0.5, cpu_ms=700, measured_ms=5000)
        other = types_pb2.TaskUse(framework_id="x", task_id="y", cpu_ms=9)
        older = types_pb2.TaskUse(**ids, cpus_used=4, mem_used_mib=9)  # does not measure so
        for uses in ([use, other], [older]):
            h.feed(ev.AgentUsageReported(agent, agent_pb.Usage(tasks=uses)))
        assert used(h)[WEB] == Sums(0, 0, 0, 700_000, 500 * 5000)

    @pytest.mark.parametrize("said", [{"cpu_ms": 2**63}, {"measured_ms": 86_400_001}])
    def test_a_measurement_that_cannot_be_is_left_out(self, said: Any) -> None:
        h = MasterHarness()
        framework, agent = running(h)
        ids: Any = {"framework_id": h.framework_id(framework), "task_id": "shop-0123abcd.web.0.1"}
        use = types_pb2.TaskUse(**ids, mem_used_mib=1, **said)
        h.feed(ev.AgentUsageReported(agent, agent_pb.Usage(tasks=[use])))
        assert h.complaints and used(h).get(WEB, Sums()).used_mem == 0


def record_of(h: MasterHarness, framework: int, **more: Any) -> agent_pb.TaskRecord:
    """The task as its agent says it."""
    (known,) = h.core.state.frameworks[h.framework_id(framework)].tasks.values()
    return agent_pb.TaskRecord(
        framework_id=known.framework_id,
        task_info=known.info,
        role=known.role,
        state=types_pb2.TASK_RUNNING,
        launched_at_s=known.launched_at_s,
        **more,
    )


class TestFailover:
    def after(self, h: MasterHarness, away_s: float) -> MasterHarness:
        """The next leader, so long after."""
        new = MasterHarness(registry=h.registry)
        new.core = type(new.core)(
            Config(),
            type(h.core.allocator)(),
            h.registry,
            "n",
            Now(h.now_s + away_s, h.now.wall_s + away_s),
        )
        new.now_s = h.now_s + away_s
        return new

    def test_what_runs_on_loses_nothing(self) -> None:
        h = MasterHarness()
        framework, agent = running(h)
        began_s = h.now_s
        h.advance(61)
        (written,) = stored(h).values()
        assert 0 < written.rows[0].asked_cpus.ms <= 60_000 * 1000
        new = self.after(h, 20)
        assert used(new)[WEB].asked_cpus <= 60_000 * 1000
        record = record_of(h, framework)
        new.agent(agent_id=h.agent_id(agent), tasks=[record], port=10_000 + agent)
        new.advance(9)
        # What is whole in milliseconds is so at each end.
        took_ms = (new.now_s - began_s) * 1000
        assert used(new)[WEB].asked_cpus == pytest.approx(1000 * took_ms, abs=5000)

    def test_what_was_launched_after_the_last_write_counts_from_then(self) -> None:
        h = MasterHarness()
        running(h, "other")
        h.advance(61)
        agent = h.agent("cpus:4;mem:4096")
        second = h.subscribe(name="late", roles=["dev"])
        offer = next(o for o in h.offers(second) if o.agent_id == h.agent_id(agent))
        h.accept(second, [offer.offer_id], task(offer, "t"))
        launched_s = h.now_s
        new = self.after(h, 7)
        record = record_of(h, second)
        new.agent(agent_id=h.agent_id(agent), tasks=[record], port=10_000 + agent)
        expected = 1000 * (new.now_s - launched_s) * 1000
        assert used(new)[Account("dev", "late", "")].asked_cpus == pytest.approx(expected, abs=5000)

    def test_what_was_used_before_anything_was_accounted_for_is_not_made_up(self) -> None:
        h = MasterHarness()
        framework, agent = running(h)
        h.advance(50)
        new = self.after(h, 1)
        record = record_of(h, framework)
        new.agent(agent_id=h.agent_id(agent), tasks=[record], port=10_000 + agent)
        assert not used(new)

    def test_an_idle_cluster_writes_nothing(self) -> None:
        h = MasterHarness()
        h.agent()
        h.hold_writes = True
        h.advance(600)
        h.write()
        assert {kind for kind, _ in h.registry} == {"agent"}

    def test_only_what_has_changed_is_written_and_in_parts(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(accounting, "ROWS_IN_A_RECORD", 2)
        h = MasterHarness()
        accounts = h.core.state.accounts
        for n in range(5):
            accounts.use(Account("a", "f", f"j{n}"), 1000, 5, accounting.at(h.now))
        h.advance(61)
        day = accounting.day_name(int(h.now.wall_s) // 86400)
        assert sorted(stored(h)) == [f"{day}.{n}" for n in range(3)]
        accounts.use(Account("a", "f", "j3"), 1, 0, accounting.at(h.now))
        h.hold_writes = True
        h.advance(61)
        assert [[c.key for c in changes] for _, changes in h.held] == [[f"{day}.1"]]
        h.write()
        new = self.after(h, 1)
        assert used(new) == used(h)

    @pytest.mark.parametrize(
        ("wall_s", "day"),
        [(-1e12, "1970-01-01"), (-1.0, "1970-01-01"), (3e11, "9999-12-31"), (1e15, "9999-12-31")],
    )
    def test_a_clock_that_shows_no_day_is_at_the_nearest(self, wall_s: float, day: str) -> None:
        h = MasterHarness()
        accounts = h.core.state.accounts
        first, second = (accounting.at(Now(h.now.mono_s + n, wall_s + n)) for n in (0.0, 5.0))
        accounts.hold(A, Held(1), first)
        accounts.release(A, Held(1), second)
        accounts.use(A, 2000, 5, second)
        h.advance(61)
        assert f"{day}.0" in stored(h)
        assert used(self.after(h, 1))[A].used_cpus == 2000

    def test_numbers_larger_than_64_bits_are_kept_exactly(self) -> None:
        h = MasterHarness()
        huge = 3 * 2**70 + 12345
        h.core.state.accounts.use(A, huge, huge + 1, accounting.at(h.now))
        h.advance(61)
        assert used(self.after(h, 1))[A] == Sums(0, 0, 0, huge, huge + 1)

    def test_what_an_agent_makes_up_is_written_as_the_most_that_can_be(self) -> None:
        h = MasterHarness()
        framework, agent = running(h)
        ids: Any = {"framework_id": h.framework_id(framework), "task_id": "shop-0123abcd.web.0.1"}
        use = types_pb2.TaskUse(**ids, mem_used_mib=1e15, measured_ms=86_400_000)
        h.feed(ev.AgentUsageReported(agent, agent_pb.Usage(tasks=[use])))
        h.advance(61)
        assert used(self.after(h, 1))[WEB].used_mem == MOST_ACCOUNTED

    def test_old_days_are_removed(self) -> None:
        h = MasterHarness()
        first = int(h.now.wall_s) // 86400
        for n in range(limits.ACCOUNTED_DAYS.most + 3):
            h.core.state.accounts.use(A, 1, 1, At(0, (first - n) * DAY_MS))
        h.advance(61)
        days = sorted(stored(h))
        assert len(days) == limits.ACCOUNTED_DAYS.most
        assert days[-1] == f"{accounting.day_name(first)}.0"
        h.core.state.accounts.use(A, 1, 1, At(0, (first + 1) * DAY_MS))
        h.advance(61)
        assert days[0] not in stored(h) and len(stored(h)) == limits.ACCOUNTED_DAYS.most

    def test_a_record_that_cannot_be_read_stays_and_the_rest_counts_once(self) -> None:
        h = MasterHarness()
        h.core.state.accounts.use(A, 1000, 5, accounting.at(h.now))
        h.advance(61)
        (key,) = stored(h)
        day = key.partition(".")[0]
        h.registry[ACCOUNTING, f"{day}.1"] = h.registry[ACCOUNTING, key]
        h.registry[ACCOUNTING, key] = b"\xff"
        h.registry[ACCOUNTING, "yesterday"] = b""
        new = self.after(h, 1)
        assert used(new)[A].used_cpus == 1000
        new.core.state.accounts.use(A, 1, 0, accounting.at(new.now))
        new.advance(61)
        assert new.registry[ACCOUNTING, key] == b"\xff"
        assert used(self.after(new, 1))[A].used_cpus == 1001
        assert set(new.core.state.quarantined) == {
            (ACCOUNTING, key),
            (ACCOUNTING, "yesterday"),
        }
