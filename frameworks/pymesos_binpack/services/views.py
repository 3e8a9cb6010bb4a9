"""Jobs as those who watch them see them: what is durable, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from pymesos_binpack.jobfiles.differences import Difference
from pymesos_binpack.jobs.foreseeing import TaskChange
from pymesos_binpack.jobs.history import Version
from pymesos_binpack.jobs.instance import Instance, pb_state, version_of
from pymesos_binpack.jobs.reconciler import STOPPED
from pymesos_binpack.jobs.serving import serves
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.updating import rules_of
from pymesos_binpack.jobs.volumes import KeptVolume
from pymesos_binpack.periodic.runs import Run, Runs
from pymesos_binpack.placement.decisions import from_text
from pymesos_binpack.placement.packing import meaning_of
from pymesos_binpack.placement.tasks import Cause
from pymesos_binpack.restoring import Quarantined
from pymesos_core.resource_values import MILLI
from pymesos_core.states import is_terminal, state_name
from pymesos_core.text import cut
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import types_pb2

MAX_ROLLOUTS = 1000
MAX_PERIODIC = MAX_SCALED = 100
ROLLOUTS_BYTES = 384 * 1024  # of a job, beside its instances; a message has at most 1 MiB
WHY_SHOWN = 1000  # characters of why a rollout is in its state
TASKS_SHOWN, TASKS_LISTED = 1000, 100
REASON_LISTED = 200
DOCUMENT_SHOWN = 200_000  # characters; a message has at most 1 MiB


def phase(instance: Instance) -> str:
    """pending, staging, running, killing, unreachable, or how it ended."""
    state = instance.durable.state
    if state == types_pb2.TASK_STATE_UNSPECIFIED:
        return "stopped" if instance.durable.done else "pending"
    return state_name(pb_state(state)).removeprefix("TASK_").lower()


@dataclass
class _Tally:
    """The instances of a task that have not ended, by their versions."""

    of_version: Counter[int] = field(default_factory=Counter)
    ready: Counter[int] = field(default_factory=Counter)
    indices: set[int] = field(default_factory=set)  # of a daemon that is one for each agent


def _tallies(job: JobState) -> Mapping[str, _Tally]:
    """The tally of every task that has instances."""
    out: dict[str, _Tally] = {}
    for instance in job.told_instances():
        saved = instance.durable
        if not saved.done:
            tally = out.setdefault(instance.spec.name, _Tally())
            version = saved.version or version_of(instance.mark)
            tally.of_version[version] += 1
            tally.ready[version] += bool(saved.ready_since_s)
            tally.indices.add(instance.index)
    return out


def rollout_view(job: JobState, task: str, tally: _Tally) -> pb.RolloutView:
    """The latest rollout of a task."""
    rollout = job.durable_rollouts[task]
    spec = next((spec for spec in job.job.tasks if spec.name == task), None)
    wanted = spec.instances if spec is not None else 0
    if spec is not None and spec.is_daemon:
        wanted = len(tally.indices)
    made = tally.of_version[rollout.to_version]
    return pb.RolloutView(
        task_name=task,
        state=rollout.state,
        why=cut(rollout.why, WHY_SHOWN),
        from_version=rollout.from_version,
        to_version=rollout.to_version,
        by=rollout.by,
        began_at_s=rollout.began_s,
        going=rollout.going,
        wanted=wanted,
        old=tally.of_version.total() - made,
        made=made,
        ready=tally.ready[rollout.to_version],
        surge=rules_of(spec).in_numbers(wanted).surge if spec is not None else 0,
    )


def rollout_views(job: JobState, tasks: Iterable[str]) -> list[pb.RolloutView]:
    """Return the latest rollouts of tasks; of too many, those first that go on."""
    out: list[pb.RolloutView] = []
    size = 0
    tallies = _tallies(job) if job.durable_rollouts else {}
    for task in sorted(tasks, key=lambda name: not job.durable_rollouts[name].going):
        view = rollout_view(job, task, tallies.get(task, _Tally()))
        size += view.ByteSize()
        if size > ROLLOUTS_BYTES or len(out) == MAX_ROLLOUTS:
            break
        out.append(view)
    return out


def instance_view(
    instance: Instance, *, connected: bool = True, is_shown: bool = True, leaves: bool = False
) -> pb.InstanceView:
    """An instance, with its latest attempt. `connected`: whether there is a master to place it.

    `is_shown`: whether clients are to see it, once it is ready. `leaves`: its job is to end.
    """
    saved, waits = instance.durable, _waits(instance)
    leaving = saved.leaving or (STOPPED if leaves and not saved.done else "")
    refusal = instance.refusal if waits else None
    explanation, cause = _why(instance, connected)
    view = pb.InstanceView(
        version=saved.version or version_of(instance.mark),
        ready=bool(saved.ready_since_s),
        leaving=leaving,
        name=instance.name,
        serving=serves(saved, leaves=leaves, is_shown=is_shown),
        task_name=instance.spec.name,
        instance=instance.index,
        task_id=saved.task_id,
        state=pb_state(saved.state),
        hostname=saved.hostname,
        address=saved.address,
        agent_id=saved.agent_id,
        ports=saved.ports,
        port_names=instance.spec.port_names if saved.ports else (),
        attempts=saved.attempts,
        explanation=explanation,
        cause=cause or "",
        done=saved.done,
        service=instance.spec.is_service,
        stuck=refusal is not None and refusal.lasting,
        nearest=refusal.nearest if refusal is not None else "",
        offers_seen=min(instance.offers_seen if waits else 0, 2**32 - 1),
        reason=saved.reason,  # type: ignore[arg-type]
        next_start_at_s=instance.next_start_at_s,
        data_on=saved.data_on,
    )
    if instance.line is not None and waits:
        view.needs.extend(instance.line.needs)
        view.needs_ports = instance.line.task.ports
    if saved.exit_status is not None:
        view.exit_status = saved.exit_status
    return view


def placement_view(instance: Instance) -> pb.ExplainPlacementResponse:
    """Why the latest attempt of an instance is on its agent."""
    saved, made = instance.durable, from_text(instance.durable.decision)
    view = pb.ExplainPlacementResponse(hostname=saved.hostname, agent_id=saved.agent_id)
    if made is None:
        view.unknown = (
            "it was placed by an earlier version of its framework, which did not note why"
        )
        return view
    view.placed_at_s, view.policy, view.scores_mean = (
        made.at_s,
        made.policy,
        meaning_of(made.policy),
    )
    view.considered, view.fitted, view.score = made.considered, made.fitted, made.score
    for other in made.others:
        view.others.add(hostname=other.hostname, score=other.score)
    for ruled in made.ruled_out:
        view.ruled_out.add(rule=ruled.rule, agents=ruled.agents, examples=ruled.examples)
    return view


def removed_view(before: pb.InstanceView) -> pb.InstanceView:
    """An instance that is forgotten."""
    return pb.InstanceView(
        task_name=before.task_name,
        instance=before.instance,
        task_id=before.task_id,
        version=before.version,
        service=before.service,
        done=True,
        removed=True,
        name=before.name,
    )


def _why(instance: Instance, connected: bool) -> tuple[str, Cause | None]:
    """Why it is not running, and which kind of reason that is."""
    if _waits(instance):
        if not connected:
            return "its framework is not connected to a master", Cause.NO_MASTER
        if (refusal := instance.refusal) is not None:
            return refusal.text, refusal.cause
    note, cause = instance.told
    return note or ("" if _runs(instance) else instance.durable.message), cause


def _waits(instance: Instance) -> bool:
    """Whether it waits for a place, and that is durable."""
    return instance.line is not None and instance.settled


def _runs(instance: Instance) -> bool:
    state = instance.durable.state
    return state != types_pb2.TASK_STATE_UNSPECIFIED and not is_terminal(pb_state(state))


def volume_view(volume: KeptVolume, job_id: str) -> pb.VolumeView:
    """A volume, with the job that has it."""
    return pb.VolumeView(
        volume_id=volume.volume_id,
        role=volume.role,
        job_name=volume.job,
        task_name=volume.task,
        instance=volume.index,
        name=volume.name,
        agent_id=volume.agent_id,
        hostname=volume.hostname,
        size_mib=volume.size_milli / MILLI,
        job_id=job_id,
    )


def job_view(job: JobState, framework_id: str) -> pb.JobView:
    """A job without its instances."""
    package = job.job.package
    return pb.JobView(
        job_id=job.job_id,
        name=job.job.name,
        state=job.state,
        counts=Counter(phase(instance) for instance in job.told_instances()),
        submitted_at_s=job.submitted_at_s,
        framework_id=framework_id,
        version=job.durable_version,
        rollouts=rollout_views(job, job.durable_rollouts),
        settled=not job.unsettled and all(i.settled for i in job.instances),
        periodic=periodic_views(job),
        scaling=scaling_views(job),
        priority=job.job.priority,
        role=job.job.role,
        package=None
        if package is None
        else pb.PackageView(
            name=package.name,
            version=package.version,
            repository=package.repository,
            repository_key=package.repository_key,
        ),
    )


def run_view(job: JobState, run: Run) -> pb.RunView:
    """A run of a periodic task."""
    state = str(run.outcome) or ("running" if run.began_s else "waiting")
    if run.going and job.durably_stopping:
        state = "stopped"
    return pb.RunView(
        run_id=run.run_id,
        due_at_s=run.due_s,
        began_at_s=run.began_s,
        ended_at_s=run.ended_s,
        state=state,
        by=run.by,
    )


def periodic_views(job: JobState) -> Iterable[pb.PeriodicView]:
    """When the periodic tasks of a job run, with their latest runs."""
    periodic = (spec for spec in job.job.tasks if spec.periodic is not None)
    for spec in islice(periodic, MAX_PERIODIC):
        rules, runs = spec.periodic, job.durable_runs.get(spec.name, Runs())
        assert rules is not None
        next_s = 0.0 if job.durably_stopping else job.next_due_s.get(spec.name, 0.0)
        waiting = [runs.queued] if runs.queued is not None else []
        yield pb.PeriodicView(
            task_name=spec.name,
            schedule=rules.schedule,
            time_zone=rules.time_zone if rules.schedule else "",
            next_at_s=next_s,
            note=runs.note,
            runs=[run_view(job, run) for run in (*runs.runs, *waiting)],
        )


def scaling_views(job: JobState) -> Iterable[pb.ScalingView]:
    """How many instances the tasks of a job have, where that follows what is measured."""
    counts = job.scaled_counts()
    measured = (spec for spec in job.job.tasks if spec.scale is not None)
    for spec in islice(measured, MAX_SCALED):
        rules = spec.scale
        assert rules is not None
        known = job.durable_scalings.get(spec.name)
        view = pb.ScalingView(
            task_name=spec.name,
            count=counts[spec.name],
            min=rules.min,
            max=rules.max,
            target=rules.target,
            note=known.note if known is not None else "",
        )
        for step in known.steps if known is not None else ():
            view.steps.add(at_s=step.at_s, before=step.before, after=step.after, why=step.why)
        yield view


def quarantined_view(aside: Quarantined, framework_id: str) -> pb.JobView:
    """A job that was set aside, among others."""
    return pb.JobView(
        job_id=aside.job_id,
        name=aside.name,
        state="quarantined",
        submitted_at_s=aside.submitted_at_s,
        framework_id=framework_id,
        explanation=aside.reason[:REASON_LISTED],
        role=aside.role,
    )


def quarantined_job(aside: Quarantined, framework_id: str, *, whole: bool) -> pb.QuarantinedJob:
    """The same for who looks into it; `whole`: with its document."""
    return pb.QuarantinedJob(
        job_id=aside.job_id,
        reason=aside.reason,
        framework_id=framework_id,
        submitted_at_s=aside.submitted_at_s,
        task_ids=list(aside.live_tasks())[: TASKS_SHOWN if whole else TASKS_LISTED],
        document=_sendable(aside.document) if whole else "",
    )


def _sendable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()[:DOCUMENT_SHOWN]


def version_view(version: Version) -> pb.VersionView:
    """A version of a job, without its document."""
    return pb.VersionView(
        version=version.number,
        made_at_s=version.made_at_s,
        made_by=version.made_by,
        what=version.what,
    )


def field_change(each: Difference) -> pb.FieldChange:
    """A key in which two documents differ."""
    return pb.FieldChange(path=each.path, before=each.before, after=each.after)


def task_change(change: TaskChange) -> pb.TaskChange:
    """What would become of the instances of a task."""
    return pb.TaskChange(
        task_name=change.task,
        stay=change.stay,
        start=change.start,
        stop=change.stop,
        replace=change.replace,
        finish=change.finish,
        outage=change.outage,
    )
