"""Who is paged: a receiver of alerts, and what alerts promise, held against each step of a core."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from pymesos_binpack import core as bp
from pymesos_binpack.alerts.state import ALERT, alert_key
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.specs import AlertRule, TaskSpec, When
from pymesos_core.outgoing.alert_life import State
from pymesos_core.outgoing.lanes import Lane, UnsentError
from pymesos_core.outgoing.notices import FIRING, RESOLVED, Notice
from pymesos_core.outgoing.telling import Unreached
from pymesos_core.outside import Outside
from pymesos_core.store import Records
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_simulation.world import World

ONCALL = "oncall"
AWAY = 0.3  # how often the receiver takes nothing, while the weather is bad
SLACK_S = 1.0  # within which an alert fires that is due
ROUNDING_S = 1e-3


class Pager:
    """The receiver. It outlives the framework, and remembers the latest of each alert."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.latest: dict[str, str] = {}

    async def take(self, notices: Sequence[Notice]) -> None:
        """Take notices, or not."""
        await asyncio.sleep(self._world.delay_s())
        if self._world.faulty and self._world.aside.random() < AWAY:
            raise UnsentError("it is away")
        for notice in notices:
            known = self.latest.get(notice.key)
            assert notice.status == FIRING or known is not None, f"{notice.key} is over unknown"
            self.latest[notice.key] = notice.status
            self._world.counts["paged"] += 1


class Paging:
    """What tells the pager, in one life of the framework: the production code but for HTTP."""

    names = (ONCALL,)
    unreached: Mapping[str, Unreached] = {}

    def __init__(self, pager: Pager, outside: Outside, taken: Callable[[Notice], None]) -> None:
        self._lane = Lane(ONCALL, pager.take, taken, outside)

    def tell(self, notice: Notice) -> None:
        """See Notifier, of which this is the part for a receiver that is told once."""
        if notice.is_over and not notice.known:
            begun = Notice(
                notice.key, notice.receiver, notice.labels, notice.summary, notice.began_s
            )
            self._lane.put(f"{FIRING} {notice.key}", begun, notice.key)
        if notice.is_over or not notice.known:
            self._lane.put(f"{notice.status} {notice.key}", notice, notice.key)

    async def run(self) -> None:
        """See Tells."""
        await self._lane.run()

    async def test(self, name: str) -> None:
        """See Tells."""
        raise UnsentError("nobody tests it here")


class Promises:
    """What alerts promise, in one life of a core. Times are the core's own steady ones."""

    def __init__(self, records: Records) -> None:
        self._stored = {
            key: json.loads(value) for (kind, key), value in records.items() if kind == ALERT
        }
        self._first = True
        self._fired_s = {key: record["fired_s"] for key, record in self._stored.items()}
        self._since_s: dict[str, float] = {}  # since when each condition holds
        self._surely_s: dict[str, float] = {}  # the same, where nothing silences it

    def check(
        self,
        core: bp.BinpackCore,
        event: bp.Event,
        effects: Sequence[bp.Effect],
        stored: Callable[[], Records],
    ) -> None:
        """Look at a step that was made."""
        told = [effect.notice for effect in effects if isinstance(effect, bp.Tell)]
        if self._first:
            self._check_told_again(told)
        for notice in told:
            self._check_stored(notice, stored())
        self._first = False
        ctx = core._ctx
        if isinstance(event, bp.TaskUpdated):
            self._check_health(core, event.status)
        if ctx.hears:
            self._check_conditions(core)
        else:
            self._surely_s = {}  # what was pending goes on when masters are heard again

    def _check_told_again(self, told: Sequence[Notice]) -> None:
        """What fires, or is over and not known to be, is told by whoever goes on with it."""
        again = {(notice.key, notice.status): notice.began_s for notice in told}
        for key, record in self._stored.items():
            if record["state"] in (State.FIRING, State.RESOLVED):
                status = FIRING if record["state"] == State.FIRING else RESOLVED
                assert again.get((key, status)) == record["fired_s"], f"{key} is not told again"

    def _check_stored(self, notice: Notice, stored: Records) -> None:
        record = json.loads(stored.get((ALERT, notice.key), b"{}"))
        # What came after it may have been written together with it.
        fired_s, began_s = record.get("fired_s", 0.0), notice.began_s
        is_over = record.get("state") == State.RESOLVED or not notice.is_over
        is_stored = fired_s > began_s or (fired_s == began_s and is_over)
        assert is_stored, f"{notice.key} is told as {notice.status} and stored as {record}"

    def _check_health(self, core: bp.BinpackCore, status: pb.TaskStatus) -> None:
        instance = core.instance_of(status.task_id)
        if instance is None or instance.saved.task_id != status.task_id:
            return
        if status.state == pb.TASK_RUNNING and status.HasField("healthy"):
            ill = bool(instance.saved.unhealthy_since_s)
            assert ill is not status.healthy, f"{status.task_id} is told healthy={status.healthy}"

    def _check_conditions(self, core: bp.BinpackCore) -> None:
        ctx, now_s = core._ctx, core._ctx.steady_s
        holds, surely = set[str](), set[str]()
        for job, spec, rule in _rules(core):
            key = alert_key(job.job_id, spec.name, rule)
            alert = core.alerts.get(key)
            fires = alert is not None and alert.state is State.FIRING
            if _holds(rule.when, job, spec):
                holds.add(key)
                if rule.when is not When.BELOW or not _is_planned(core, job, spec):
                    surely.add(key)
            if key in holds:
                self._since_s.setdefault(key, now_s)
            # It may have fired and ended in one step, the first after its process was stopped.
            since_s = self._since_s.get(key, now_s)
            if alert is not None and fires and alert.fired_s != self._fired_s.get(key):
                self._fired_s[key] = alert.fired_s
                held_s = rule.for_s if key in self._stored else now_s - since_s
                assert held_s >= rule.for_s - ROUNDING_S, f"{key} fires after {held_s:.3f} s"
            surely_s = self._surely_s.setdefault(key, now_s) if key in surely else now_s
            if not ctx.writes:  # else not all that is meant has been looked at
                assert key in holds or not fires, f"{key} fires, and nothing is wrong"
                overdue = now_s - surely_s > rule.for_s + SLACK_S
                assert fires or not overdue, f"{key} does not fire"
        # What is being written is looked at once it is: until then what began goes on.
        goes_on = holds if not ctx.writes else holds | self._since_s.keys() | self._stored.keys()
        self._since_s = {key: at_s for key, at_s in self._since_s.items() if key in goes_on}
        # It counts from when what is meant is stored: that is when it is looked at.
        kept = surely if not ctx.writes else set[str]()
        self._surely_s = {key: at_s for key, at_s in self._surely_s.items() if key in kept}
        # What was carried over has ended.
        self._stored = {key: kept for key, kept in self._stored.items() if key in goes_on}


def _rules(core: bp.BinpackCore) -> Iterator[tuple[JobState, TaskSpec, AlertRule]]:
    for job in core.jobs.values():
        if job.stopping or job.ended:
            continue
        for spec in job.job.tasks:
            for rule in spec.alerts:
                yield job, spec, rule


def _stay(job: JobState, spec: TaskSpec) -> list[Instance]:
    return [
        i
        for i in job.instances
        if i.spec.name == spec.name and not i.saved.leaving and i.index < spec.instances
    ]


def _holds(when: When, job: JobState, spec: TaskSpec) -> bool:
    """Whether a condition holds, as docs/alerts.md has it."""
    stay = _stay(job, spec)
    match when:
        case When.UNHEALTHY:
            return any(i.saved.unhealthy_since_s and not i.saved.done for i in stay)
        case When.UNPLACED:
            return any(i.pending and not i.next_start_at_s for i in stay)
        case When.BELOW:
            return len({i.index for i in stay if i.saved.ready_since_s}) < spec.instances
    raise AssertionError(f"no simulated job has an alert of {when}")


def _is_planned(core: bp.BinpackCore, job: JobState, spec: TaskSpec) -> bool:
    """Whether some may be missing, for a while."""
    rollout, draining = job.rollouts.get(spec.name), core._ctx.draining
    changes = rollout is not None and rollout.going
    of_task = (i for i in job.instances if i.spec.name == spec.name)
    return changes or any(i.saved.begun_s or i.saved.agent_id in draining for i in of_task)
