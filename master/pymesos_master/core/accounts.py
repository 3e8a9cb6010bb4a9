"""What is used, added up by day: exact, in thousandths of a resource times milliseconds.

Of each account what its tasks hold is known, and since when: a change first adds what was held
until then to the days that it was held on. So a launch costs the same however many tasks there are.
Days are UTC's, by the clock of people; how long something is held is by the one that is never set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pymesos_core import limits
from pymesos_core.resources import Resources

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
ROLES_COUNTED = 100  # roles of which the sums since this leader leads are kept apart


class Account(NamedTuple):
    """Who used it."""

    role: str
    framework: str = ""  # its name
    job: str = ""  # empty: of no job
    rest: bool = False  # all of the role, or without one all of all, for which there was no room


REST = Account("", rest=True)


class Held(NamedTuple):
    """What tasks hold, in thousandths."""

    cpus: int = 0
    mem: int = 0  # of a MiB
    gpus: int = 0

    def plus(self, other: Held, times: int = 1) -> Held:
        """Both together."""
        return Held(
            self.cpus + other.cpus * times,
            self.mem + other.mem * times,
            self.gpus + other.gpus * times,
        )


NOTHING = Held()


class Sums(NamedTuple):
    """What was used, in thousandths times milliseconds."""

    asked_cpus: int = 0  # held: nobody else could have it
    asked_mem: int = 0
    asked_gpus: int = 0
    used_cpus: int = 0  # as agents have measured it
    used_mem: int = 0

    def plus(self, other: Sums) -> Sums:
        """Both together."""
        return Sums(
            self.asked_cpus + other.asked_cpus,
            self.asked_mem + other.asked_mem,
            self.asked_gpus + other.asked_gpus,
            self.used_cpus + other.used_cpus,
            self.used_mem + other.used_mem,
        )


NO_SUMS = Sums()


class At(NamedTuple):
    """One instant in whole milliseconds: by the clock that is never set, and Unix time."""

    mono_ms: int
    wall_ms: int


def held_by(resources: Resources) -> Held:
    """What is accounted for of the resources of a task."""
    amounts = resources.quantities
    return Held(amounts.get("cpus", 0), amounts.get("mem", 0), amounts.get("gpus", 0))


def held_for(held: Held, duration_ms: int) -> Sums:
    """What it is to hold something so long."""
    return Sums(held.cpus * duration_ms, held.mem * duration_ms, held.gpus * duration_ms)


def by_day(end_wall_ms: int, duration_ms: int) -> Iterator[tuple[int, int]]:
    """The days, counted from 1970, that a time which ends then has a part in, and how long.

    What was before 1970, as by a clock that is not set yet, is of its first day.
    """
    end = end_wall_ms
    while duration_ms > 0:
        day = max(0, (end - 1) // DAY_MS)
        part = min(duration_ms, end - day * DAY_MS) if day else duration_ms
        yield day, part
        end, duration_ms = end - part, duration_ms - part


class Room:
    """Which accounts are kept apart, up to the limits.

    Each role has a row for the rest of it, as long as there is room for these, and all have one.
    """

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        self._all = 0
        self._of_role: Counter[str] = Counter()
        self._rests = 0
        for account in accounts:
            self.take(account)

    def kept(self, account: Account, known: Container[Account]) -> Account:
        """Return the account itself, or the rest of its role, or the rest of all."""
        if account in known:
            return account
        rest = Account(account.role, rest=True)
        of_role = self._of_role[account.role] < limits.ACCOUNTS_OF_ROLE.most
        if of_role and self._all < limits.ACCOUNTS.most and not account.rest:
            return account
        return rest if rest in known or self._rests < limits.ACCOUNTED_RESTS.most else REST

    def take(self, account: Account, number: int = 1) -> None:
        """Count one that is new, or with -1 leave out one that is no more."""
        if account.rest:
            self._rests += number
            return
        self._all += number
        self._of_role[account.role] += number
        if not self._of_role[account.role]:
            del self._of_role[account.role]


class Day:
    """What was used on a day, by account."""

    def __init__(self, rows: Mapping[Account, Sums] | None = None) -> None:
        self.rows: dict[Account, Sums] = dict(rows or {})  # the first that was used first
        self._room = Room(self.rows)

    def add(self, account: Account, sums: Sums) -> None:
        """Add to an account, or to what there was no room for."""
        kept = self._room.kept(account, self.rows)
        if kept not in self.rows:
            self._room.take(kept)
        self.rows[kept] = self.rows.get(kept, NO_SUMS).plus(sums)


@dataclass(slots=True)
class _Holding:
    account: Account  # for all whose tasks hold: there are many
    held: Held
    since_ms: int
    tasks: int = 0


@dataclass
class Accounts:
    """The days that are kept, and what is held now."""

    days: dict[int, Day] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)  # days that are not written as they are
    stored_until_ms: int = 0  # Unix time: what was held until then is in the days; 0: not known
    _holdings: dict[Account, _Holding] = field(default_factory=dict)
    _room: Room = field(default_factory=Room)  # among these
    _by_role: dict[str, Sums] = field(default_factory=dict)  # since this leader leads

    def hold(self, account: Account, more: Held, at: At) -> Account:
        """Hold so much more from now on, and return the account that it is to be released by."""
        holding = self._holdings.get(account)
        if holding is None:
            account = self._room.kept(account, self._holdings)
            holding = self._holdings.get(account)
        if holding is None:
            self._room.take(account)
            holding = self._holdings[account] = _Holding(account, NOTHING, at.mono_ms)
        self._change(account, holding, more, 1, at)
        return holding.account

    def release(self, account: Account, less: Held, at: At) -> None:
        """Hold so much less from now on."""
        holding = self._holdings[account]
        self._change(account, holding, less, -1, at)
        if not holding.tasks:
            assert holding.held == NOTHING, f"{account} has no tasks, and {holding.held}"
            self._room.take(account, -1)
            del self._holdings[account]

    def _change(
        self, account: Account, holding: _Holding, change: Held, times: int, at: At
    ) -> None:
        self._settle(account, holding, at)
        holding.held, holding.tasks = holding.held.plus(change, times), holding.tasks + times
        assert min(holding.held) >= 0, f"{account} holds {holding.held}"

    def held_before(self, account: Account, held: Held, duration_ms: int, at: At) -> None:
        """Add what was held so long before now, and is not in the days yet."""
        for day, part_ms in by_day(at.wall_ms, duration_ms):
            self._add(day, account, held_for(held, part_ms))

    def use(self, account: Account, cpus: int, mem: int, at: At) -> None:
        """Add what was measured, in thousandths times milliseconds, to the day of its telling."""
        self._add(at.wall_ms // DAY_MS, account, Sums(used_cpus=cpus, used_mem=mem))

    def settle(self, at: At) -> None:
        """Add all that was held until now to its days."""
        for account, holding in self._holdings.items():
            self._settle(account, holding, at)

    def forget(self, most_days: int) -> list[int]:
        """Forget the oldest days, so that no more are left; which they were."""
        oldest = sorted(self.days)[: max(0, len(self.days) - most_days)]
        for day in oldest:
            del self.days[day]
        self.changed.difference_update(oldest)
        return oldest

    def seen(self, at: At) -> Mapping[int, Day]:
        """The days with what is held until now. Nothing is changed."""
        out = dict(self.days)
        for account, day, sums in self._due(at):
            if out.get(day) is self.days.get(day):
                out[day] = Day(out[day].rows if day in out else None)
            out[day].add(account, sums)
        return out

    def by_role(self, at: At) -> Mapping[str, Sums]:
        """What was used since this leader leads; of roles that are too many under no name."""
        out = dict(self._by_role)
        for account, _, sums in self._due(at):
            _add_to_role(out, account.role, sums)
        return out

    def held(self) -> Mapping[Account, Held]:
        """What is held now; for tests and the simulator."""
        return {account: holding.held for account, holding in self._holdings.items()}

    def _settle(self, account: Account, holding: _Holding, at: At) -> None:
        if at.mono_ms != holding.since_ms:
            for day, part_ms in by_day(at.wall_ms, at.mono_ms - holding.since_ms):
                self._add(day, account, held_for(holding.held, part_ms))
            holding.since_ms = at.mono_ms

    def _due(self, at: At) -> Iterator[tuple[Account, int, Sums]]:
        for account, holding in self._holdings.items():
            for day, part_ms in by_day(at.wall_ms, at.mono_ms - holding.since_ms):
                if holding.held != NOTHING:
                    yield account, day, held_for(holding.held, part_ms)

    def _add(self, day: int, account: Account, sums: Sums) -> None:
        if sums != NO_SUMS:
            if day not in self.days:
                self.days[day] = Day()
            self.days[day].add(account, sums)
            self.changed.add(day)
            _add_to_role(self._by_role, account.role, sums)


def _add_to_role(out: dict[str, Sums], role: str, sums: Sums) -> None:
    name = role if role in out or len(out) < ROLES_COUNTED else ""
    out[name] = out.get(name, NO_SUMS).plus(sums)
