"""What tasks have held, added up apart from what a master adds up: both have to agree."""

from __future__ import annotations

from collections.abc import Iterable

from pymesos_core.clock import Now
from pymesos_master.core import accounting
from pymesos_master.core.accounts import HOUR_MS, Account, Accounts, At, Day, Held, held_by
from pymesos_master.core.state import ClusterState
from pymesos_proto.v1 import registry_pb2 as registry_pb

DAYS_EVERY = 50  # steps


def asked_cpus(days: Iterable[Day]) -> int:
    """All that was asked for, in thousandths times milliseconds."""
    return sum(sums.asked_cpus for day in days for sums in day.rows.values())


def asked_cpus_of(record: bytes | None) -> int:
    """The same, of a record that is written."""
    rows = registry_pb.AccountingRecord.FromString(record or b"").rows
    return sum(row.asked_cpus.hours * HOUR_MS + row.asked_cpus.ms for row in rows)


class Integral:
    """The integral of what the tasks of one leader hold, since it leads."""

    def __init__(self, state: ClusterState, now: Now) -> None:
        self._state = state
        self._loaded = asked_cpus(state.accounts.days.values())
        self._at_ms = accounting.at(now).mono_ms
        self._held = self._integral = self._before = self._looks = 0
        self._watch(state.accounts)

    def _watch(self, accounts: Accounts) -> None:
        """What was held before this leader heard of it is said to it, and counts from then."""
        stored_ms, add = accounts.stored_until_ms, accounts.held_before

        def held_before(account: Account, held: Held, duration_ms: int, at: At) -> None:
            assert stored_ms, f"{account}: nothing was written that could end before now"
            assert at.wall_ms - duration_ms >= stored_ms, f"{account} is accounted for twice"
            self._before += held.cpus * max(0, duration_ms)
            add(account, held, duration_ms, at)

        accounts.held_before = held_before  # type: ignore[method-assign]

    def look(self, now: Now) -> None:
        """A step was taken."""
        at, accounts = accounting.at(now), self._state.accounts
        self._integral += self._held * (at.mono_ms - self._at_ms)
        self._at_ms = at.mono_ms
        self._held = sum(
            held_by(holder.resources).cpus
            for agent in self._state.agents.values()
            for holder in agent.holders()
        )
        expected = self._integral + self._before
        since = sum(sums.asked_cpus for sums in accounts.by_role(at).values())
        assert since == expected, f"tasks have held {expected}, accounted for is {since}"
        self._looks += 1
        if self._looks % DAYS_EVERY == 0:
            days = asked_cpus(accounts.seen(at).values())
            assert days == self._loaded + expected, f"the days have {days}, tasks {expected}"
