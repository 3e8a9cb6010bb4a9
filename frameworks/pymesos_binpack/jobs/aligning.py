"""Which instances a job is to have, against those that it has: some are added, some removed.

What differs from the version in force gives way to it. Of a service that changes a rollout decides
what comes when. A batch task that runs may finish; what has not begun is of the version in force,
and what has ended runs again only where that version says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from pymesos_binpack.jobs import dependencies
from pymesos_binpack.jobs.daemons import Agents, wanted
from pymesos_binpack.jobs.history import RESTART, Version
from pymesos_binpack.jobs.instance import Home, Instance
from pymesos_binpack.jobs.rollouts import members, state
from pymesos_binpack.jobs.rollouts.deciding import decide
from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.rollouts.members import NOTHING, Awaited, Member
from pymesos_binpack.jobs.rollouts.seen import serves
from pymesos_binpack.jobs.rollouts.state import Rollout
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.steps import Add, Remove
from pymesos_binpack.jobs.troubles import trouble_of
from pymesos_binpack.jobs.updating import rules_of
from pymesos_binpack.periodic.runs import Run, Runs
from pymesos_binpack.specs import TaskSpec

NO_TASK = "its job no longer has this task"
FEWER = "its job is to have fewer of it"
NEWER = "another version of its job takes its place"
AGAIN = "its job is to run it again"
OTHER_RUN = "another run takes its place"
NO_RUNS = Runs()
MIDWAY = (State.ABORTED, State.ROLLBACK_FAILED)  # where a rollout ends with instances of both


@dataclass(slots=True)
class Aligned:
    """The next steps, the rollouts that they are of, and when to look again (Unix) if at all."""

    removed: list[Remove] = field(default_factory=list)
    added: list[Add] = field(default_factory=list)
    rollouts: dict[str, Rollout] = field(default_factory=dict)
    look_at_s: float | None = None
    places: dict[str, Collection[int]] = field(default_factory=dict)  # see `is_settled`

    def look(self, at_s: float | None) -> None:
        """Look again by then."""
        if at_s is not None:
            self.look_at_s = min(at_s, self.look_at_s or at_s)


NOTHING_KNOWN = Agents()
Places = Mapping[int, Home | None]  # where one instance each is wanted, by index


def align(job: JobState, now_s: float, agents: Agents = NOTHING_KNOWN) -> Aligned:
    """Return what is next towards what the version in force says; nothing of one that ends."""
    out = Aligned(rollouts=dict(job.rollouts))
    if job.stopping:
        return out
    of_task: dict[str, list[Instance]] = {spec.name: [] for spec in job.job.tasks}
    for instance in sorted(job.instances, key=lambda i: -i.index):
        if instance.spec.name in of_task:
            of_task[instance.spec.name].append(instance)
        elif not instance.saved.leaving:
            out.removed.append(Remove(instance, NO_TASK))
    for spec in job.job.in_order:
        rollout, instances = job.rollouts.get(spec.name), of_task[spec.name]
        places: Places = dict.fromkeys(range(spec.instances))
        if spec.is_daemon:
            there = wanted(job.job, spec, instances, agents)
            out.removed += [Remove(instance, why) for instance, why in there.unwanted.items()]
            instances = [i for i in instances if i not in there.unwanted]
            places = out.places[spec.name] = there.places
        run: Run | None = None
        if spec.periodic is not None:
            runs = job.runs.get(spec.name, NO_RUNS)
            instances = _of_latest_run(out, runs, instances)
            run, places = runs.latest, _places_of_run(runs, spec, instances, of_task[spec.name])
            out.places[spec.name] = places
        if rollout is not None:
            removed = {step.instance for step in out.removed}
            awaited = dependencies.awaited_by_rollout(
                job,
                spec,
                out.rollouts,
                dependencies.awaited_by_task(job, removed, [spec]) if rollout.going else {},
            )
            _roll(out, job, spec, rollout, instances, places, now_s, agents.draining, awaited)
        elif spec.is_service and not spec.is_daemon and moves(instances, agents.draining):
            # As after a rollout that is over; there was none, and none is stored.
            over = state.settled(job.version, spec.instances, now_s)
            _roll(out, job, spec, over, instances, places, now_s, agents.draining)
            del out.rollouts[spec.name]
        else:
            _match(out, job, spec, instances, places, run)
    return out


def _of_latest_run(out: Aligned, runs: Runs, instances: Iterable[Instance]) -> list[Instance]:
    """Have the instances of earlier runs of a periodic task end, and return the others."""
    latest = runs.latest.run_id if runs.latest is not None else ""
    here: list[Instance] = []
    for instance in instances:
        if instance.saved.run == latest:
            here.append(instance)
        elif not instance.saved.leaving:
            out.removed.append(Remove(instance, OTHER_RUN))
    return here


def _places_of_run(
    runs: Runs, spec: TaskSpec, instances: Iterable[Instance], every: Iterable[Instance]
) -> Places:
    """Return the indices of a run; those of one that has ended are the ones that it had.

    None of it begins before all of the one before have ended.
    """
    mine = {instance.index for instance in instances}
    latest = runs.latest.run_id if runs.latest is not None else ""
    others = any(instance.live and instance.saved.run != latest for instance in every)
    if runs.going is None or others:
        return dict.fromkeys(sorted(mine))
    return dict.fromkeys(range(spec.instances))


def moves(instances: Iterable[Instance], draining: Set[str]) -> bool:
    """Return whether one of these leaves an agent that is drained, or one has left it and its like
    is there."""
    there = [i for i in instances if not i.saved.leaving]
    twice = len({i.index for i in there}) < len(there)
    return twice or any(_departs(i, draining) for i in there)


def _departs(instance: Instance, draining: Set[str]) -> bool:
    on_drained = instance.live and instance.saved.agent_id in draining
    return on_drained and not instance.saved.data_on


def _match(
    out: Aligned,
    job: JobState,
    spec: TaskSpec,
    instances: Iterable[Instance],
    places: Places,
    run: Run | None,
) -> None:
    """Have one instance of each index, where no rollout sees to that."""
    there: set[int] = set()
    for instance in instances:
        why = "" if instance.saved.leaving else _why_removed(job, instance, spec, places)
        if why:
            out.removed.append(Remove(instance, why))
        if instance.live or not (why or instance.saved.leaving):
            there.add(instance.index)
    latest = job.history.latest
    out.added += [
        Add(spec, index, "it is wanted", latest, home=home, run=run)
        for index, home in places.items()
        if index not in there
    ]


def _why_removed(job: JobState, instance: Instance, spec: TaskSpec, places: Places) -> str:
    """Why an instance is no longer wanted; or empty."""
    if instance.index not in places:
        return FEWER
    if job.is_current(instance):
        return ""
    if instance.spec.is_service or instance.pending:
        return NEWER
    rerun = spec.name in job.history.latest.rerun
    return AGAIN if instance.saved.done and rerun else ""


def _roll(
    out: Aligned,
    job: JobState,
    spec: TaskSpec,
    rollout: Rollout,
    instances: Sequence[Instance],
    places: Places,
    now_s: float,
    draining: Set[str],
    awaited: Awaited = NOTHING,
) -> None:
    """Do what the rollout of a task decides."""
    by_key = {instance.key: instance for instance in instances}
    rollout = _to_one(job, spec.name, rollout)
    seen = [member_of(job, instance, rollout, draining) for instance in instances]
    decided = decide(rules_of(spec), rollout, seen, places.keys(), now_s, awaited)
    out.rollouts[spec.name] = decided.rollout
    out.look(decided.look_at_s)
    for step in decided.steps:
        match step:
            case members.Stop(key, why):
                out.removed.append(Remove(by_key[key], why))
            case members.Start(index, number, why, begun_s):
                version = job.history.get(number)
                assert version is not None, f"version {number} is kept"
                of = job.known[number].specs[spec.name]
                out.added.append(Add(of, index, why, version, begun_s, places[index]))
            case members.Promote():
                pass  # its rollout says so


def _to_one(job: JobState, task: str, rollout: Rollout) -> Rollout:
    """Return a rollout; one from and to the later alone if the same runs by both of its versions.

    Such a one replaces what was begun in between. It has nothing to try first or to go back to,
    and what is of both versions must not be taken for what gives way to the other.
    """
    earlier, later = rollout.from_version, rollout.to_version
    if earlier == later or job.revision_in(task, earlier) != job.revision_in(task, later):
        return rollout
    return replace(rollout, from_version=later, promoted=True)


def member_of(
    job: JobState, instance: Instance, rollout: Rollout, draining: Set[str] = frozenset()
) -> Member:
    """Return an instance as its rollout sees it."""
    saved = instance.saved
    trouble, text = trouble_of(instance)
    return Member(
        instance.key,
        instance.index,
        version_in(job, instance, rollout),
        saved.begun_s,
        instance.state,
        None if saved.preempted else saved.ready_since_s or None,  # it is being killed
        bool(saved.leaving),
        draining=instance.live and saved.agent_id in draining,
        pinned=bool(instance.home),
        trouble=trouble,
        trouble_text=text,
    )


def version_in(job: JobState, instance: Instance, rollout: Rollout) -> int:
    """Return the version of a rollout by which the same runs as an instance is; else its own."""
    for number in (rollout.to_version, rollout.from_version):
        if job.revision_in(instance.spec.name, number) == instance.revision:
            return number
    return instance.version


def is_shown(job: JobState, instance: Instance) -> bool:
    """Return whether clients are to see an instance once it is ready: no canary kept from them."""
    rollout = job.durable_rollouts.get(instance.spec.name)
    if rollout is None or rollout.promoted:
        return True
    return serves(rules_of(instance.spec), rollout, version_in(job, instance, rollout))


def begin_rollouts(job: JobState, counts: Mapping[str, int], now_s: float) -> dict[str, Rollout]:
    """Return the rollouts of a job of which another version was just put in force.

    `counts` are the numbers of instances that each task had.
    """
    out: dict[str, Rollout] = {}
    latest = job.history.latest
    outdated = {i.spec.name for i in job.instances if not i.saved.leaving and not job.is_current(i)}
    for spec in job.job.tasks:
        known = job.rollouts.get(spec.name)
        if not spec.is_service or spec.name not in counts:
            continue
        if known is not None and _goes_on(job, spec, known):
            out[spec.name] = known
        elif spec.name in outdated or (
            known is not None and (known.going or known.state in MIDWAY)
        ):
            out[spec.name] = _begin(job, spec, known, counts[spec.name], latest, now_s)
        elif known is not None:
            out[spec.name] = known
    return out


def _goes_on(job: JobState, spec: TaskSpec, known: Rollout) -> bool:
    """Whether a rollout has the task become, or leave, what it is by the new version, too.

    One that was ended on the way begins again where somebody says what the whole job is to be: to
    scale a task, or to restart another, is no reason.
    """
    same = job.revision_in(spec.name, known.to_version) == job.revision(spec.name)
    return same and (known.going or not job.history.latest.is_of_all)


def _begin(
    job: JobState,
    spec: TaskSpec,
    known: Rollout | None,
    count: int,
    latest: Version,
    now_s: float,
) -> Rollout:
    if known is None:
        known = state.settled(latest.number - 1, count, now_s)
    before = known.from_count if known.going else min(count, known.from_count) or count
    begun = state.begin(
        rules_of(spec),
        from_version=state.known_good(known),
        to_version=latest.number,
        from_count=before,
        count=spec.instances,
        now_s=now_s,
        by=latest.made_by,
        why=latest.what,
        served=_served(job, spec, known) if spec.is_daemon else (),
    )
    # What ran already needs no trial.
    tried = latest.is_rollback or latest.what == RESTART
    return replace(begun, promoted=True) if tried else begun


def _served(job: JobState, spec: TaskSpec, known: Rollout) -> set[int]:
    """Return the indices of a daemon that do their work, or did before a rollout that goes on."""
    now = {i.index for i in job.instances if i.spec.name == spec.name and i.saved.ready_since_s}
    return now.union(known.served_indices()) if known.going else now


def is_settled(job: JobState, places_now: Mapping[str, Collection[int]] | None = None) -> bool:
    """Return whether nothing is to be done, but for batch tasks that may finish.

    `places_now` are the indices that daemons and periodic tasks are to have now; None: nobody has
    looked.
    """
    if job.stopping:
        return True  # what is to end follows no version
    if places_now is None and job.job.is_open_ended:
        return False
    places: dict[str, Collection[int]] = {s.name: range(s.instances) for s in job.job.tasks}
    places.update(places_now or {})
    if any(rollout.going for rollout in job.rollouts.values()):
        return False
    if any(map(dependencies.is_held, job.instances)):
        return False
    settled = sum(
        not i.saved.leaving and i.index in places.get(i.spec.name, ()) and not _outdated(job, i)
        for i in job.instances
    )
    return settled == len(job.instances) == sum(map(len, places.values()))


def _outdated(job: JobState, instance: Instance) -> bool:
    """Whether something is to be done, now or later, for it is not of the version in force."""
    finishes = not instance.spec.is_service and instance.saved.done
    mixed = instance.spec.name in job.rollouts  # one that ended where it was
    return not (finishes or mixed or job.is_current(instance))


def may_change(job: JobState) -> bool:
    """Return whether what happens to instances of a job may call for steps."""
    return job.unsettled or any(r.state in MIDWAY for r in job.rollouts.values())


def rolled_back(job: JobState) -> list[str]:
    """Return the tasks that are of an earlier version again, and that the version in force has
    otherwise; none while others are on their way back, so that one version says so of all.
    """
    if any(rollout.state is State.ROLLING_BACK for rollout in job.rollouts.values()):
        return []
    return [
        task
        for task, rollout in job.rollouts.items()
        if rollout.state is State.ROLLED_BACK
        and job.revision_in(task, rollout.from_version) != job.revision(task)
    ]
