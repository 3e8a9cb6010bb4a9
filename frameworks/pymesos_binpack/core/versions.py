"""Jobs change: another version is put in force, and the instances follow it step by step."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pymesos_binpack.core import dependencies, periodic
from pymesos_binpack.core.context import KEPT, Context
from pymesos_binpack.core.effects import Done, JobAccepted, JobRefused
from pymesos_binpack.core.events import ChangesAwaited, RolloutAsked, VersionProposed
from pymesos_binpack.core.then import (
    InstancesRemoved,
    LeavingStored,
    RolloutsDurable,
    RunsDurable,
    Then,
    VersionStored,
)
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobfiles.variables import missing_problem, set_back
from pymesos_binpack.jobs import writes
from pymesos_binpack.jobs.aligning import (
    align,
    begin_rollouts,
    is_settled,
    may_change,
    member_of,
    rolled_back,
)
from pymesos_binpack.jobs.clashes import clash_problem
from pymesos_binpack.jobs.daemons import kind_problem
from pymesos_binpack.jobs.dependencies import awaited_by_task, remade
from pymesos_binpack.jobs.endings import is_crash
from pymesos_binpack.jobs.history import ROLLBACK, Version
from pymesos_binpack.jobs.instance import INSTANCE, Instance
from pymesos_binpack.jobs.launching import gang_problem, how_it_ended
from pymesos_binpack.jobs.rollouts.asking import AskedError, asked, exited
from pymesos_binpack.jobs.rollouts.judging import after_silence
from pymesos_binpack.jobs.rollouts.members import Trouble
from pymesos_binpack.jobs.rollouts.state import Rollout
from pymesos_binpack.jobs.room import room_problem
from pymesos_binpack.jobs.scaling import scaled
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.steps import Add, End, Remove
from pymesos_binpack.jobs.updating import rules_of
from pymesos_binpack.specs import Job, JobError
from pymesos_core.limits import MAX_JOB_VERSION
from pymesos_core.store import Change

DRAIN = "drain"  # the timer: an instance that leaves has been left to clients for long enough
ROLLOUT = "rollout"  # the timer: something of a rollout of a job is due
SMALL = 100  # instances of a job at which is looked whenever something happens to one
DEBOUNCE_S = 0.05  # in which what happens to those of larger jobs is looked at together


def on_proposed(ctx: Context, event: VersionProposed) -> None:
    """Put another version of a job in force; who asked is told once that is durable."""
    ctx.at = event.job_id
    job = ctx.roster.jobs.get(event.job_id)
    if job is not None and (made := job.history.asked_by(event.request_id)) is not None:
        if made.number <= job.durable_version:
            ctx.say(JobAccepted(event.request_id, job.job_id, made.number))
        return  # else it is said once it is stored
    if job is None:
        problem = f"there is no job {event.job_id[:255]}: `pymesos-cli jobs --all` lists them"
        ctx.say(JobRefused(event.request_id, problem, event.job_id))
    elif event.current and (problem := ctx.variables.outdated(event.job) or ""):
        ctx.say(JobRefused(event.request_id, problem, event.job_id, stale=True))
    elif problem := propose(ctx, job, event):
        stale = event.base_version != job.version
        ctx.say(JobRefused(event.request_id, problem, event.job_id, stale=stale))


def propose(ctx: Context, job: JobState, event: VersionProposed) -> str:
    """Put another version of a job in force; why that cannot be, or nothing."""
    if problem := why_refused(ctx, event, job):
        return problem
    version = Version(
        job.version + 1,
        event.job.document,
        ctx.now.wall_s,
        event.made_by,
        event.what,
        event.request_id,
        *remade(job, event.job, job.restarts_after(event.restarts, event.as_of), event.rerun),
    )
    _put_in_force(ctx, job, event.job, version)
    follow(ctx, job)
    return ""


def why_refused(ctx: Context, event: VersionProposed, job: JobState) -> str:
    """Return why a job cannot have that version now, or nothing."""
    if job.ended or job.stopping:
        return f"the job {job.job_id} has ended, or is to end: `pymesos-cli run` starts it anew"
    if event.base_version != job.version:
        return (
            f"the job {job.job_id} is at version {job.version}, not {event.base_version}: somebody"
            f" changed it meanwhile; look at it with `pymesos-cli history {job.job_id}`"
        )
    if job.version >= MAX_JOB_VERSION:
        return (
            f"the job {job.job_id} is at version {job.version}, which is the last that a job can"
            f" have: end it with `pymesos-cli stop {job.job_id}`, and start it anew with"
            f" `pymesos-cli apply`"
        )
    return (
        missing_problem(event.job)
        or gang_problem(event.job)
        or clash_problem(ctx.roster, event.job)
        or kind_problem(job.job, event.job)
        or ctx.volumes.problem(event.job)
        or room_problem(event.room_bytes, event.job, instead_of=job.job)
        or ""
    )


def _put_in_force(ctx: Context, job: JobState, now: Job, version: Version) -> None:
    counts = {task.name: task.instances for task in job.job.tasks}
    now = scaled(now, job.scalings)
    kept = {
        task.name: job.scalings[task.name]
        for task in now.tasks
        if task.scale is not None and task.name in job.scalings
    }
    changes = job.take(now, version)
    changes += [
        writes.scaling_change(job, task, None) for task in job.scalings.keys() - kept.keys()
    ]
    job.scalings = kept
    job.rollouts = begin_rollouts(job, counts, ctx.steady_s)
    ctx.roster.recount(job)
    waiting = [i for i in job.instances if i.line is not None or dependencies.waits(i)]
    for instance in waiting:
        ctx.leave_the_queue(instance)
        if dependencies.waits(instance):
            instance.explain("")
    job.awaited = awaited_by_task(job)
    for instance in waiting:
        ctx.note(instance)  # what they wait for may be another by now
    then: list[Then] = [VersionStored(job, version.number), RolloutsDurable(job, job.rollouts)]
    ctx.store(version.what, job, *changes, *writes.rollout_changes(job), then=then)
    job.unsettled = not is_settled(job)


def on_version_stored(ctx: Context, job: JobState, number: int) -> None:
    """A version is durable, and may be told."""
    job.durable_version = max(job.durable_version, number)
    ctx.changed[job.job_id] = None
    version = job.history.get(number)
    if version is not None and version.request_id:
        ctx.say(JobAccepted(version.request_id, job.job_id, number))


def on_awaited(ctx: Context, event: ChangesAwaited) -> None:
    """Tell who asked once what was decided before is durable: an empty write comes after it."""
    ctx.at = event.job_id
    ctx.store("a job is as it was wanted already", then=[Done(event.asked)])


def follow(ctx: Context, job: JobState) -> None:
    """Do what is next towards the version in force; nothing while no master is heard."""
    dependencies.look(ctx, job)
    if ctx.hears:
        _take_steps(ctx, job)
        if dependencies.look(ctx, job):
            job.unsettled = not is_settled(job)
    if job.ended and job.job_id not in ctx.roster.ended:
        ctx.roster.end(job)


def _take_steps(ctx: Context, job: JobState) -> None:
    runs = periodic.advance(ctx, job)
    aligned = align(job, ctx.steady_s, ctx.agents)
    aligned.look(None if runs.look_in_s is None else ctx.steady_s + runs.look_in_s)
    changed = aligned.rollouts != job.rollouts
    job.rollouts = aligned.rollouts
    added = [_add(ctx, job, step) for step in aligned.added]
    _carry_out(ctx, job, aligned.removed, added, runs.changes, changed=changed)
    if tasks := rolled_back(job):
        _make_version_of_rollback(ctx, job, tasks)
    job.unsettled = not is_settled(job, aligned.places)
    timer = (ROLLOUT, job.job_id)
    ctx.timers.cancel(timer)
    if aligned.look_at_s is not None:
        in_s = max(0.0, aligned.look_at_s - ctx.steady_s)
        ctx.timers.set(timer, ctx.now.mono_s + in_s)


def follow_if_needed(ctx: Context, job: JobState) -> None:
    """Something has happened to an instance: look at its job, at a large one a little later."""
    if not may_change(job):
        return
    if len(job.instances) <= SMALL or not job.left:
        follow(ctx, job)
    else:
        look_soon(ctx, job.job_id)


def on_asked(ctx: Context, event: RolloutAsked) -> None:
    """Pause, resume, promote or abort rollouts; who asked is told once that is durable."""
    ctx.at = event.job_id
    job = ctx.roster.jobs.get(event.job_id)
    if job is None or job.ended or job.stopping:
        problem = (
            f"the job {event.job_id[:255]} does not run: `pymesos-cli jobs` lists those that do"
        )
        ctx.say(JobRefused(event.request_id, problem, event.job_id))
        return
    going = [task for task, rollout in job.rollouts.items() if rollout.going]
    tasks = [event.task] if event.task in job.rollouts else [] if event.task else going
    after: dict[str, Rollout] = {}
    problem = _no_rollout(job, event.task)
    for task in tasks:
        rules = rules_of(job.known[job.version].specs[task])
        try:
            after[task] = asked(event.what, job.rollouts[task], rules, ctx.steady_s, event.by)
        except AskedError as error:
            problem = f"{task}: {error}"
    if not after:
        ctx.say(JobRefused(event.request_id, problem, event.job_id))
        return
    job.rollouts = {**job.rollouts, **after}
    accepted = JobAccepted(event.request_id, job.job_id, job.version)
    durable = RolloutsDurable(job, job.rollouts)
    ctx.store(f"a rollout: {event.what}", *writes.rollout_changes(job), then=[durable, accepted])
    job.unsettled = not is_settled(job)
    follow(ctx, job)


def _no_rollout(job: JobState, task: str) -> str:
    if task and task not in job.known[job.version].specs:
        names = ", ".join([spec.name for spec in job.job.tasks][:10])
        return f"the job {job.job_id} has no task {task[:63]!r}: it has {names}"
    which = f"no rollout of {task} was begun" if task else "no rollout goes on"
    return f"{which} in the job {job.job_id}: there is nothing to pause, resume, promote or abort"


def note_exit(ctx: Context, job: JobState, instance: Instance, end: End) -> None:
    """The task of an instance has ended: its rollout is told of a crash."""
    rollout = job.rollouts.get(instance.spec.name)
    crash = is_crash(
        end, preempted=instance.saved.preempted, sidecar_failed=instance.sidecar_failed
    )
    waits = instance.image_trouble is Trouble.IMAGE_UNAVAILABLE
    if rollout is None or not crash or waits or end.was_killed:
        return
    member = member_of(job, instance, rollout)
    after = exited(rollout, member, how_it_ended(end.status))
    job.rollouts = {**job.rollouts, instance.spec.name: after}
    if after is not rollout:
        durable = RolloutsDurable(job, job.rollouts)
        ctx.store("a rollout is told of a crash", *writes.rollout_changes(job), then=[durable])


def on_due(ctx: Context, job_id: str) -> None:
    """The time has come to look at the rollouts of a job again."""
    job = ctx.roster.jobs.get(job_id)
    if job is not None and not job.ended:
        follow(ctx, job)


def look_soon(ctx: Context, job_id: str) -> None:
    """Look at the rollouts of a job again, after what is done now; at a large one a little later.

    Each look is at all of its instances.
    """
    job = ctx.roster.jobs[job_id]
    if may_change(job):
        in_s = DEBOUNCE_S if len(job.instances) > SMALL else 0.0
        timer, at_s = (ROLLOUT, job_id), ctx.now.mono_s + in_s
        ctx.timers.set(timer, min(at_s, ctx.timers.at_s(timer) or at_s))


def _add(ctx: Context, job: JobState, step: Add) -> Instance:
    instance = job.add(step.spec, step.index, step.version, step.begun_s, step.home, step.run)
    if instance.spec.volumes and ctx.roster.running(job.job, job) is None:
        ctx.volumes.adopt(job.job, instance)
    ctx.roster.add_instance(instance)
    ctx.note(instance)
    return instance


def _carry_out(
    ctx: Context,
    job: JobState,
    steps: Sequence[Remove],
    added: Sequence[Instance],
    more: Sequence[Change],
    *,
    changed: bool,
) -> None:
    """Forget instances that do not run, and kill those that do: they are forgotten then.

    All of a decision is stored at once, with the rollouts that it is of.
    """
    ending: list[Instance] = []
    gone: list[Instance] = []
    for instance, why in ((step.instance, step.why) for step in steps):
        instance.amend(leaving=why)
        if instance.live:
            ending.append(instance)
            continue
        if not instance.saved.done:
            job.call_off(instance, why, ctx.now.wall_s)
        ctx.note(instance)
        gone.append(instance)
    what: list[Instance | Change] = [*ending, *removals(job, gone)]
    what += [instance for instance in added if instance.saved.begun_s]
    what += more
    then: list[Then] = [LeavingStored(tuple((i, i.saved.task_id) for i in ending))]
    then += [InstancesRemoved(job, tuple(gone)), RunsDurable(job, job.runs)]
    if changed:
        what += writes.rollout_changes(job)
        then.append(RolloutsDurable(job, job.rollouts))
    if what:
        ctx.store("a job follows its version", *what, then=then)


def _drains(instance: Instance) -> bool:
    """Whether clients may still use it for a while."""
    return instance.spec.drain_s > 0 and bool(instance.saved.ready_since_s)


def let_leave(ctx: Context, instance: Instance) -> None:
    """Kill an instance that leaves, once clients have had the time to use others.

    Nothing is done while tasks that depend on its task have to end first.
    """
    if not dependencies.may_end(ctx, instance):
        return
    timer = (DRAIN, instance.key)
    if not _drains(instance) or ctx.roster.job_of(instance).durably_hurried:
        ctx.kill(instance)
    elif timer not in ctx.timers and not instance.killing:
        ctx.timers.set(timer, ctx.now.mono_s + instance.spec.drain_s)


def on_leaving_stored(ctx: Context, stored: LeavingStored) -> None:
    """Begin the time that instances have to leave: it is durable that they do, and clients know."""
    for instance, task_id in stored.meant:
        if instance.live and instance.saved.task_id == task_id:
            let_leave(ctx, instance)


def on_drained(ctx: Context, key: str) -> None:
    """Clients have had the time to use others."""
    instance = ctx.roster.by_key.get(key)
    if instance is None or not instance.live:
        return
    leaves = instance.durable.leaving or ctx.roster.job_of(instance).durably_stopping
    if leaves and dependencies.may_end(ctx, instance):
        ctx.kill(instance)


def let_others_leave(ctx: Context, job: JobState) -> None:
    """An instance has ended: what was to end after it may."""
    for instance in list(job.ends_later.values()):
        if instance.live:
            let_leave(ctx, instance)
        else:
            del job.ends_later[instance.key]


def removals(job: JobState, instances: Sequence[Instance]) -> list[Change]:
    """Return what forgets instances, whose ids are not given again."""
    changes = [Change(INSTANCE, instance.key, None) for instance in instances]
    if job.retire(instances):
        changes += writes.id_changes(job)
    return changes


def on_removed(ctx: Context, job: JobState, gone: Sequence[Instance]) -> None:
    """Forget instances whose removal is durable."""
    for instance in gone:
        ctx.roster.by_key.pop(instance.key, None)
        ctx.probes.pop(instance.probe_id, None)
        for what in ("unreachable", "restart", "home", KEPT, DRAIN):
            ctx.timers.cancel((what, instance.key))
    job.remove(frozenset(gone))
    ctx.changed[job.job_id] = None
    if gone and job.job_id in ctx.roster.jobs:
        look_soon(ctx, job.job_id)


def kill_again(ctx: Context, job: JobState) -> None:
    """A master has taken the framework in: what was being removed goes on to be."""
    for instance in job.instances:
        if instance.live and instance.durable.leaving:
            let_leave(ctx, instance)


def go_on(ctx: Context, job: JobState, since_s: float) -> None:
    """Follow the version in force again: since then nothing was heard of the instances."""
    specs = job.known[job.version].specs
    after = {
        task: after_silence(rollout, rules_of(specs[task]), since_s, ctx.steady_s)
        for task, rollout in job.rollouts.items()
    }
    if after != job.rollouts:
        job.rollouts = after
        durable = RolloutsDurable(job, job.rollouts)
        ctx.store("its deadlines stood still", *writes.rollout_changes(job), then=[durable])
    follow(ctx, job)


def _make_version_of_rollback(ctx: Context, job: JobState, tasks: Sequence[str]) -> None:
    """What is in force is what runs: one version says so of all tasks that are back."""
    latest, numbers = job.history.latest, {t: job.rollouts[t].from_version for t in tasks}
    if latest.number >= MAX_JOB_VERSION or job.not_together == (latest.number, numbers):
        return
    earlier: dict[str, Version] = {}
    for task, number in numbers.items():
        version = job.history.get(number)
        assert version is not None, f"version {number} is kept"
        earlier[task] = version
    try:
        now = parse_job(_with_tasks(job, earlier))
    except JobError:
        # The rest of the document does not go with it, which says what was wanted.
        job.not_together = (latest.number, numbers)
        return
    back = {task: version.restarts.get(task, 0) for task, version in earlier.items()}
    which = f"{tasks[0]} to {numbers[tasks[0]]}" if len(tasks) == 1 else f"{len(tasks)} tasks"
    version = Version(
        latest.number + 1,
        now.document,
        ctx.now.wall_s,
        "",
        f"{ROLLBACK} of {which}",
        "",
        {**latest.restarts, **back},
    )
    _put_in_force(ctx, job, now, version)


def _with_tasks(job: JobState, earlier: Mapping[str, Version]) -> Any:
    """The document in force with tasks as they were earlier, but for their numbers of instances.

    Raises JobError where variables of theirs have other values for other tasks now.
    """
    documents = {v.number: json.loads(v.document) for v in earlier.values()}
    read = {number: _tasks_of(document) for number, document in documents.items()}
    document = json.loads(job.job.document)
    set_back(document, {task: documents[v.number] for task, v in earlier.items()})
    tasks = _tasks_of(document)
    for name, version in earlier.items():
        was = {k: v for k, v in read[version.number][name].items() if k != "instances"}
        count = {k: v for k, v in tasks[name].items() if k == "instances"}
        tasks[name] = was | count
    document["tasks"] = list(tasks.values())
    return document


def _tasks_of(document: Any) -> dict[str, Any]:
    return {task["name"]: task for task in document["tasks"]}
