"""What is wrong with a task, as its alerts have it: each condition, and when to look again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pymesos_binpack.jobs.backoff import STABLE_S
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.rollouts.state import Rollout
from pymesos_binpack.jobs.updating import rules_of
from pymesos_binpack.specs import AlertRule, TaskSpec, When
from pymesos_core.clock import Now
from pymesos_core.text import count_of, cut, one_line

CRASHES = 3  # in a row, each soon after a start, are a loop
MAX_SUMMARY = 500
SHOWN = 200  # characters of why something is as it is


class Found(NamedTuple):
    """Why a condition holds; empty: it does not. It may be otherwise by itself at `look_at_s`."""

    why: str = ""
    look_at_s: float | None = None  # monotonic


FINE = Found()


@dataclass(frozen=True, slots=True)
class Look:
    """A task as it is now. `instances` are all of it, those too that leave."""

    spec: TaskSpec
    instances: Sequence[Instance]
    rollout: Rollout | None
    draining: Collection[str]  # agents
    now: Now
    steady_s: float

    @property
    def staying(self) -> list[Instance]:
        """The instances that are to stay."""
        spec = self.spec
        return [
            i
            for i in self.instances
            if not i.saved.leaving and (spec.is_daemon or i.index < spec.instances)
        ]

    @property
    def wanted(self) -> int:
        """How many are to be there: of a daemon one for each agent that is known to have it."""
        return len({i.index for i in self.staying}) if self.spec.is_daemon else self.spec.instances


def find(rule: AlertRule, look: Look) -> Found:
    """Whether what an alert is about is so."""
    found = _CONDITIONS[rule.when](rule, look)
    return found._replace(why=one_line(found.why, MAX_SUMMARY)) if found.why else found


def _unhealthy(rule: AlertRule, look: Look) -> Found:
    ill = [i for i in look.staying if i.saved.unhealthy_since_s and not i.saved.done]
    if not ill:
        return FINE
    return Found(_some(ill, look, "unhealthy", ill[0].saved.message))


def _below(rule: AlertRule, look: Look) -> Found:
    ready = len({i.index for i in look.staying if i.saved.ready_since_s})
    wanted = look.wanted
    if not rule.is_too_few(ready, wanted):
        return FINE
    until_s = _planned_until_s(look)
    if until_s is not None and ready >= wanted - rules_of(look.spec).in_numbers(wanted).unavailable:
        # So many may be missing while it is changed, or leaves agents that are drained.
        return Found("", until_s)
    missing = [i for i in look.staying if not i.saved.ready_since_s]
    why = next((f": {i.name}: {cut(i.explanation, SHOWN)}" for i in missing if i.explanation), "")
    return Found(
        f"{ready} of {count_of(wanted, 'instance')} {'is' if ready == 1 else 'are'} ready{why}"
    )


def _planned_until_s(look: Look) -> float | None:
    """Until when (monotonic) it is as planned that some are not ready; None: it is not."""
    now_s, until_s = look.now.mono_s, None
    if look.rollout is not None and look.rollout.going:
        return now_s + rules_of(look.spec).healthy_deadline_s
    if any(i.live and i.saved.agent_id in look.draining for i in look.instances):
        return now_s + rules_of(look.spec).healthy_deadline_s
    for instance in look.staying:
        if instance.saved.begun_s and not instance.saved.ready_since_s:
            left_s = instance.saved.begun_s + rules_of(look.spec).healthy_deadline_s - look.steady_s
            if left_s > 0:
                until_s = max(until_s or 0.0, now_s + left_s)
    return until_s


def _crash_loop(rule: AlertRule, look: Look) -> Found:
    loop: list[Instance] = []
    look_at_s: float | None = None
    for instance in look.staying:
        if instance.saved.quick_failures < CRASHES:
            continue
        since_s = instance.running_since_s
        well_at_s = since_s + STABLE_S if since_s is not None else None
        if well_at_s is not None and well_at_s <= look.now.mono_s:
            continue
        loop.append(instance)
        if well_at_s is not None:
            look_at_s = min(well_at_s, look_at_s or well_at_s)
    if not loop:
        return FINE
    times = loop[0].saved.quick_failures
    return Found(_some(loop, look, f"crashing ({times} times in a row)", loop[0].note), look_at_s)


def _rollout_failed(rule: AlertRule, look: Look) -> Found:
    if look.rollout is None or not look.rollout.has_failed:
        return FINE
    version = look.rollout.to_version
    return Found(f"the rollout to version {version} failed: {cut(look.rollout.failure, SHOWN)}")


def _unplaced(rule: AlertRule, look: Look) -> Found:
    waiting = [i for i in look.staying if i.pending and not i.next_start_at_s]
    return Found(_some(waiting, look, "unplaced", waiting[0].explanation)) if waiting else FINE


def _drain_blocked(rule: AlertRule, look: Look) -> Found:
    if look.spec.is_daemon:
        return FINE  # it leaves when the others have, and blocks nothing
    there = [i for i in look.staying if i.live and i.saved.agent_id in look.draining]
    if not there:
        return FINE
    on = there[0].saved.hostname or there[0].saved.agent_id
    has_data = ": its data are there" if there[0].saved.data_on else ""
    return Found(_some(there, look, f"still on {cut(on, SHOWN)}, which is drained", has_data[2:]))


def _some(some: Sequence[Instance], look: Look, what: str, why: str) -> str:
    are = "is" if len(some) == 1 else "are"
    said = f"{some[0].name}{f': {cut(why, SHOWN)}' if why else ''}"
    return f"{len(some)} of {count_of(look.wanted, 'instance')} {are} {what}: {said}"


_CONDITIONS: Mapping[When, Callable[[AlertRule, Look], Found]] = {
    When.UNHEALTHY: _unhealthy,
    When.BELOW: _below,
    When.CRASH_LOOP: _crash_loop,
    When.ROLLOUT_FAILED: _rollout_failed,
    When.UNPLACED: _unplaced,
    When.DRAIN_BLOCKED: _drain_blocked,
}
