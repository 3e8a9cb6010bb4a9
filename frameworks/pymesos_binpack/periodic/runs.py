"""The runs of a periodic task: which one goes on, which is next, and how the latest ended.

Of a time at which the task is due there is one run at most. That holds over crashes, takeovers and
clocks that are set back, whatever the schedule is changed to: which time was due last is stored,
and never goes back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pymesos_binpack.periodic.rules import ArgsError, Overlap, PeriodicRules, args_of
from pymesos_binpack.periodic.times import due_times
from pymesos_core.text import count_of

LOOK_EACH_S = 60.0  # the clock may have been set meanwhile
MOST_DUE = 2000  # of one look
FAR_AHEAD_S = 30 * 86400.0  # what was due later than this was so by a clock that was wrong
LATEST_S = datetime(9000, 1, 1, tzinfo=UTC).timestamp()  # by a clock that shows later times, too
MAX_NOTE = 300


class Outcome(StrEnum):
    """How a run ended."""

    GOING = ""
    FINISHED = "finished"
    FAILED = "failed"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Run:
    """One run. Times are Unix times."""

    run_id: str  # by the time at which it was due, or by who triggered it: unlike any other
    due_s: float
    args: Mapping[str, str] = field(default_factory=dict)
    by: str = ""  # who triggered it; empty: its schedule did
    began_s: float = 0.0
    ended_s: float = 0.0
    outcome: Outcome = Outcome.GOING

    @property
    def going(self) -> bool:
        """Whether it has not ended."""
        return self.outcome is Outcome.GOING

    def ended(self, outcome: Outcome, now_s: float) -> Run:
        """The same, ended."""
        return replace(self, outcome=outcome, ended_s=now_s)


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of a task, the latest last, and until when (Unix) its times were looked at."""

    times: str = ""  # by what it is due: another schedule begins when it is in force
    seen_s: float = 0.0  # set back where another schedule is in force once the clock was
    runs: tuple[Run, ...] = ()
    queued: Run | None = None
    note: str = ""  # what became of the latest time that began no run
    latest_due_s: float = 0.0  # the latest time of any schedule that was due; never goes back

    @property
    def latest(self) -> Run | None:
        """The run that was begun last."""
        return self.runs[-1] if self.runs else None

    @property
    def going(self) -> Run | None:
        """The run that goes on."""
        return self.latest if self.latest is not None and self.latest.going else None

    def has(self, run_id: str) -> bool:
        """Whether a run of that id was begun, or waits; of those that are kept."""
        return any(run.run_id == run_id for run in (*self.runs, self.queued) if run is not None)

    def record(self) -> bytes:
        """As it is stored."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def of_record(cls, read: Any) -> Runs:
        """Read it back. Raises ValueError, KeyError, TypeError."""
        if not isinstance(read, dict):
            raise ValueError("the record of its runs is no mapping")
        queued = None if read["queued"] is None else _run(read["queued"])
        runs = tuple(_run(each) for each in read["runs"])
        if "latest_due_s" in read:
            latest_due_s = _time(read["latest_due_s"])
        else:  # written before it was kept apart
            timed = (*runs, queued) if queued is not None else runs
            latest_due_s = max((run.due_s for run in timed if not run.by), default=0.0)
        times, seen_s, note = str(read["times"]), _time(read["seen_s"]), str(read["note"])
        return cls(times, seen_s, runs, queued, note, latest_due_s)


def _run(read: Any) -> Run:
    args = read["args"]
    if not (isinstance(args, dict) and all(isinstance(value, str) for value in args.values())):
        raise ValueError("a run has impossible arguments")
    times = (read["due_s"], read["began_s"], read["ended_s"])
    due_s, began_s, ended_s = map(_time, times)
    outcome = Outcome(read["outcome"])
    return Run(str(read["run_id"]), due_s, args, str(read["by"]), began_s, ended_s, outcome)


def _time(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**40:
        raise ValueError("a run has an impossible time")
    return float(value)


class Decided(NamedTuple):
    """The runs as they are from now on, and when (Unix) the next one is due; None: never."""

    runs: Runs
    next_s: float | None

    def look_in_s(self, now_s: float) -> float | None:
        """In how many seconds to look again; None: never."""
        return None if self.next_s is None else min(LOOK_EACH_S, max(0.0, self.next_s - now_s))


def decide(rules: PeriodicRules, runs: Runs, outcome: Outcome, now_s: float) -> Decided:
    """Return what becomes of the runs. `outcome` is that of the one that goes on, as it is."""
    now_s = min(max(0.0, now_s), LATEST_S)
    if runs.going is not None and outcome is not Outcome.GOING:
        runs = _with_latest(rules, runs, runs.going.ended(outcome, now_s))
    runs = _look_at_times(rules, _by_this_clock(runs, now_s), now_s)
    runs = _begin_queued(rules, runs, now_s)
    return Decided(runs, _next_due_s(rules, runs, now_s))


def _by_this_clock(runs: Runs, now_s: float) -> Runs:
    """Have times count that a clock which was far ahead, and is set back, would keep from it."""
    latest_s = now_s + FAR_AHEAD_S
    if max(runs.seen_s, runs.latest_due_s) <= latest_s:
        return runs
    known = [run.due_s for run in runs.runs if not run.by and run.due_s <= latest_s]
    return replace(runs, seen_s=now_s, latest_due_s=max(known, default=0.0))


def _look_at_times(rules: PeriodicRules, runs: Runs, now_s: float) -> Runs:
    """Have the latest time that is due begin a run; of those missed it is the only one."""
    if runs.times != rules.times:
        # What was due before it was in force is not.
        return replace(runs, times=rules.times, seen_s=now_s)
    if not rules.schedule or now_s <= runs.seen_s:
        return runs
    since_s = max(runs.seen_s, runs.latest_due_s, now_s - rules.start_deadline_s)
    due: list[float] = []
    for at_s in due_times(rules.schedule, rules.time_zone, since_s):
        if at_s > now_s or len(due) == MOST_DUE:
            break
        due.append(at_s)
    if not due:
        return runs
    assert due[-1] > runs.latest_due_s, f"{name_of(due[-1])} is due again"
    runs = replace(runs, seen_s=now_s, latest_due_s=due[-1])
    if runs.has(name_of(due[-1])):
        return runs  # by a clock that was far ahead
    try:
        run = Run(name_of(due[-1]), due[-1], args_of(rules, {}))
    except ArgsError as error:
        return _noted(runs, f"what was due at {name_of(due[-1])} was skipped: {error}")
    if missed := len(due) - 1:
        those = f"{count_of(missed, 'time')} before {run.run_id}"
        runs = _noted(runs, f"{those} began no run: the framework was away, or heard no master")
    return ask(rules, runs, run, now_s)


def ask(rules: PeriodicRules, runs: Runs, run: Run, now_s: float) -> Runs:
    """Return the runs once one is to begin, as `overlap` has it."""
    going = runs.going
    if going is None and runs.queued is None:
        return _begun(rules, runs, run, now_s)
    if rules.overlap is Overlap.REPLACE:
        if going is not None:
            runs = _with_latest(rules, runs, going.ended(Outcome.REPLACED, now_s))
        return _begun(rules, replace(runs, queued=None), run, now_s)
    if rules.overlap is Overlap.QUEUE and runs.queued is None:
        return replace(runs, queued=run)
    waits = f"{runs.queued.run_id} waits" if runs.queued is not None else ""
    goes = f"{going.run_id} goes on" if going is not None else ""
    why = " and ".join(filter(None, (goes, waits)))
    return _noted(runs, f"what was due at {run.run_id} was skipped: the run {why}")


def _begin_queued(rules: PeriodicRules, runs: Runs, now_s: float) -> Runs:
    run = runs.queued
    if run is None or runs.going is not None:
        return runs
    runs = replace(runs, queued=None)
    if not run.by and now_s - run.due_s > rules.start_deadline_s:
        late = f"what was due at {run.run_id} was skipped: it waited for longer than"
        return _noted(runs, f"{late} start_deadline_s, {rules.start_deadline_s:g}")
    return _begun(rules, runs, run, now_s)


def _begun(rules: PeriodicRules, runs: Runs, run: Run, now_s: float) -> Runs:
    assert runs.going is None, f"{runs.going} goes on"
    assert not any(run.run_id == other.run_id for other in runs.runs), f"{run.run_id} again"
    kept = runs.runs[-rules.keep :] if rules.keep else ()
    return replace(runs, runs=(*kept, replace(run, began_s=now_s)))


def _with_latest(rules: PeriodicRules, runs: Runs, run: Run) -> Runs:
    """The same with another state of the latest."""
    return replace(runs, runs=(*runs.runs[:-1], run)[-max(1, rules.keep) :])


def _noted(runs: Runs, note: str) -> Runs:
    return replace(runs, note=note[:MAX_NOTE])


def _next_due_s(rules: PeriodicRules, runs: Runs, now_s: float) -> float | None:
    if not rules.schedule:
        return None
    after_s = max(now_s, runs.seen_s, runs.latest_due_s)
    return next(due_times(rules.schedule, rules.time_zone, after_s), None)


def name_of(due_s: float) -> str:
    """Return the name of the run that is due at a time."""
    return datetime.fromtimestamp(due_s, UTC).strftime("%Y-%m-%dT%H:%MZ")
