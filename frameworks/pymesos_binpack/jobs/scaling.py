"""How many instances a task has, where that follows what is measured of them: a pure controller.

More are wanted for what the measured ones do together. Fewer are wanted only where all are
measured, and where fewer have been enough for a while: what is not known counts as needed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from pymesos_binpack.specs import Job, ScaleRules
from pymesos_core.clock import utc
from pymesos_core.text import count_of

MOST_STEPS = 10  # that are kept
AT_ONCE = 4  # so many may come in one step, and as many as there are
ROUNDING = 1e-9
RESTORED = "as it was when a backup was made that was restored"


@dataclass(frozen=True, slots=True)
class ScaleStep:
    """A change of the number of instances."""

    at_s: float  # Unix time
    before: int
    after: int
    why: str


@dataclass(frozen=True, slots=True)
class Scaling:
    """How many instances a task has, and how that came about. All but `note` and `low` is kept."""

    count: int
    steps: tuple[ScaleStep, ...] = ()  # the latest last
    low_since_s: float | None = None  # since when fewer would do
    note: str = ""  # what was found last

    @property
    def stepped_s(self) -> float:
        """When the latest step was; 0: there was none."""
        return self.steps[-1].at_s if self.steps else 0.0

    def record(self) -> bytes:
        """Return it as it is stored."""
        steps = [asdict(step) for step in self.steps]
        return json.dumps({"count": self.count, "steps": steps}).encode()

    @classmethod
    def of_record(cls, record: Any) -> Scaling:
        """Return what was stored. Raises ValueError, KeyError, TypeError."""
        steps = tuple(ScaleStep(**step) for step in record["steps"])
        numbers = [record["count"], *(n for step in steps for n in (step.before, step.after))]
        whole = all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in numbers)
        times = all(isinstance(s.at_s, int | float) and math.isfinite(s.at_s) for s in steps)
        if not (whole and times and all(isinstance(step.why, str) for step in steps)):
            raise ValueError("the record of how a task is scaled has impossible numbers")
        return cls(record["count"], steps)


class Measured(NamedTuple):
    """What is known of the instances of a task now."""

    values: Sequence[float]  # of those that were measured lately
    unknown: int = 0  # how many others are there, or are to be
    rolls: bool = False  # whether a rollout goes on


def decide(rules: ScaleRules, scaling: Scaling, measured: Measured, now_s: float) -> Scaling:
    """Return how many instances there are to be, with a reason; the same number as often as not."""
    count = scaling.count
    if not measured.values:
        note = f"{_target(rules)}, and nothing is measured: it stays at {count}"
        return replace(scaling, low_since_s=None, note=note)
    total = sum(measured.values)
    found = f"{_shown(rules, total / len(measured.values))} on average, {_target(rules)}"
    wanted = math.ceil(total / rules.value - ROUNDING)
    if abs(total / (rules.value * count) - 1) <= rules.tolerance + ROUNDING or wanted == count:
        return replace(scaling, low_since_s=None, note=f"{found}: it stays at {count}")
    if wanted > count:
        return _more(rules, scaling, wanted, found, now_s)
    return _fewer(rules, scaling, max(wanted, rules.min), measured, found, now_s)


def _more(rules: ScaleRules, scaling: Scaling, wanted: int, found: str, now_s: float) -> Scaling:
    count = scaling.count
    scaling = replace(scaling, low_since_s=None)
    if count >= rules.max:
        note = f"{found}: {wanted} would do, and it is to have at most {rules.max}"
        return replace(scaling, note=note)
    due_s = scaling.stepped_s + rules.up_after_s
    if now_s < due_s:
        return replace(scaling, note=f"{found}: more not before {utc(due_s)} (up_after_s)")
    after = min(wanted, rules.max, count + max(count, AT_ONCE))
    return _stepped(scaling, after, found, now_s)


def _fewer(
    rules: ScaleRules,
    scaling: Scaling,
    wanted: int,
    measured: Measured,
    found: str,
    now_s: float,
) -> Scaling:
    count = scaling.count
    if measured.unknown:
        others = count_of(measured.unknown, "instance")
        note = f"{found}: not fewer, since {others} cannot be measured"
        return replace(scaling, low_since_s=None, note=note)
    if wanted >= count:
        note = f"{found}: it is to have at least {rules.min}"
        return replace(scaling, low_since_s=None, note=note)
    low_since_s = now_s if scaling.low_since_s is None else min(scaling.low_since_s, now_s)
    scaling = replace(scaling, low_since_s=low_since_s)
    if measured.rolls:
        return replace(scaling, note=f"{found}: not fewer while a rollout goes on")
    due_s = max(low_since_s, scaling.stepped_s) + rules.down_after_s
    if now_s < due_s:
        return replace(scaling, note=f"{found}: fewer not before {utc(due_s)} (down_after_s)")
    return _stepped(scaling, max(wanted, count // 2), found, now_s)


def _stepped(scaling: Scaling, after: int, found: str, now_s: float) -> Scaling:
    why = f"{found}: from {scaling.count} to {after}"
    steps = (*scaling.steps, ScaleStep(now_s, scaling.count, after, why))
    return Scaling(after, steps[-MOST_STEPS:], note=why)


def _shown(rules: ScaleRules, value: float) -> str:
    return f"{rules.metric} {value:.4g}" if rules.metric else f"cpu {value:.0%}"


def _target(rules: ScaleRules) -> str:
    return f"{rules.value:g} is wanted" if rules.metric else f"{rules.value:.0%} is wanted"


def restored(job: Job, counts: Mapping[str, int], now_s: float) -> dict[str, Scaling]:
    """Return how the tasks of a job are scaled that had so many instances when a backup was made.

    Those that begin with as many anyway are not in it, and those that are not scaled.
    """
    found = {}
    for spec in job.tasks:
        if spec.scale is None or spec.name not in counts:
            continue
        if (count := spec.scale.bounded(counts[spec.name])) != spec.instances:
            found[spec.name] = _stepped(Scaling(spec.instances), count, RESTORED, now_s)
    return found


def scaled(job: Job, scalings: Mapping[str, Scaling]) -> Job:
    """Return a job with as many instances of each task as it was scaled to, within its bounds."""
    tasks = tuple(
        replace(spec, instances=spec.scale.bounded(scalings[spec.name].count))
        if spec.scale is not None and spec.name in scalings
        else spec
        for spec in job.tasks
    )
    return replace(job, tasks=tasks) if tasks != job.tasks else job
