"""What a master says of tasks, and what follows for their instances."""

from __future__ import annotations

import math
from itertools import islice

from pymesos_binpack.core import alerting, daemons, data, versions
from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import Acknowledge, Kill
from pymesos_binpack.core.then import InstancesRemoved, Then
from pymesos_binpack.jobs import groups, steps, writes
from pymesos_binpack.jobs.backoff import how_long
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.launching import how_it_ended, job_of_task
from pymesos_binpack.jobs.lifecycle import Happened, heard
from pymesos_binpack.jobs.reconciler import CALLED_OFF, after_end, reconcile, while_unreachable
from pymesos_binpack.jobs.rollouts.members import Trouble
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.troubles import image_trouble
from pymesos_binpack.placement.tasks import Cause
from pymesos_core.states import is_terminal
from pymesos_core.store import Change
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk.ledger import GIVEN_UP, is_over

MAX_ENDED_JOBS = 100
OVERDUE_S = math.inf  # the time that an instance was to wait until has come, by whatever clock


def on_update(ctx: Context, status: pb.TaskStatus) -> None:
    """Take in what is said of a task; it is acknowledged once what follows is durable."""
    main = ctx.roster.by_task.get(groups.main_task_id(status.task_id))
    if main is not None:
        ctx.at = main.job_id
    elif (
        job_of_task(status.task_id) in ctx.quarantined and status.task_id not in ctx.ledger.given_up
    ):
        return  # it is left alone, and so is the update, which comes again
    if main is not None and main.saved.task_id != status.task_id:
        _on_sidecar(ctx, main, status)
    elif status.task_id in ctx.probes:
        data.on_probed(ctx, ctx.probes.pop(status.task_id), status)
    elif main is None:
        _on_stranger(ctx, status)
    else:
        _on_own(ctx, main, status)


def _on_stranger(ctx: Context, status: pb.TaskStatus) -> None:
    """A task that was given up, or whose job is forgotten, must not run."""
    if is_over(status):
        # Also when it is the same end again: the first may not be durable yet.
        gone = ctx.ledger.forget(status.task_id)
        ctx.store("the end of a task that was given up", *gone, then=[Acknowledge(status)])
        return
    said: list[Kill | Acknowledge] = [Acknowledge(status)]
    if status.state != pb.TASK_UNREACHABLE and status.task_id not in ctx.ledger.given_up:
        said.insert(0, Kill(status.task_id, status.agent_id))
    # Who takes over before it is durable that the task was given up would miss the update.
    if not ctx.writes.then_too(GIVEN_UP, status.task_id, said):
        for each in said:
            ctx.say(each)


def _on_own(ctx: Context, instance: Instance, status: pb.TaskStatus) -> None:
    more: list[Change] = []
    agent_id = status.agent_id or instance.saved.agent_id
    kills: list[Then] = []
    if status.state == pb.TASK_UNREACHABLE:
        _on_unreachable(ctx, instance, status)
    elif is_over(status):
        if status.state == pb.TASK_GONE_BY_OPERATOR and instance.spec.volumes:
            more += data.lose_volumes(ctx, instance, instance.saved.agent_id)
        _on_end(ctx, instance, status)
        for task_id in groups.left_over(instance):
            more.append(ctx.ledger.give_up(task_id, agent_id))
            kills.append(Kill(task_id, agent_id))
    else:
        _on_alive(ctx, instance, status)
    more += data.note_volumes(ctx, instance, status)
    job = ctx.roster.job_of(instance)
    what: list[Instance | Change] = [instance]
    if instance.saved.done and instance.saved.leaving:
        what = [*versions.removals(job, [instance])]
        kills.append(InstancesRemoved(job, (instance,)))
    ctx.store("what a task's state means", *what, *more, then=[*kills, Acknowledge(status)])
    versions.let_others_leave(ctx, job)
    versions.follow_if_needed(ctx, job)
    _end_if_over(ctx, job)


def _on_sidecar(ctx: Context, main: Instance, status: pb.TaskStatus) -> None:
    """A sidecar's state is noted; that its task ends with it is its agent's to see to."""
    main.sidecar_failed = main.sidecar_failed or groups.sidecar_failed(status)
    over = is_over(status)
    if over and status.task_id not in main.saved.ended_beside:
        main.amend(ended_beside=[*main.saved.ended_beside, status.task_id])
    what = [main] if over else []
    ctx.store("the state of a sidecar", *what, then=[Acknowledge(status)])


def _on_alive(ctx: Context, instance: Instance, status: pb.TaskStatus) -> None:
    ctx.timers.cancel(("unreachable", instance.key))
    instance.move(heard(status.state), ctx.now.wall_s)
    instance.amend(
        state=status.state,
        agent_id=status.agent_id or instance.saved.agent_id,
        reason=pb.REASON_UNSPECIFIED,
        message=status.message,
        ready_since_s=_ready_since_s(ctx, instance, status),
        unhealthy_since_s=_unhealthy_since_s(ctx, instance, status),
    )
    instance.explain("")
    if status.state == pb.TASK_RUNNING:
        instance.image_trouble = Trouble.NONE
    if status.state == pb.TASK_RUNNING and instance.running_since_s is None:
        instance.running_since_s = ctx.now.mono_s
    if ctx.roster.job_of(instance).durably_stopping or instance.durable.leaving:
        versions.let_leave(ctx, instance)


def _ready_since_s(ctx: Context, instance: Instance, status: pb.TaskStatus) -> float:
    """Since when it runs and its checks pass, those that it has; 0 when that is not so."""
    of = instance.spec.container
    passes = (of.health_check is None or status.healthy) and (
        of.readiness_check is None or status.ready
    )
    ready = status.state == pb.TASK_RUNNING and passes
    return (instance.saved.ready_since_s or ctx.steady_s) if ready else 0.0


def _unhealthy_since_s(ctx: Context, instance: Instance, status: pb.TaskStatus) -> float:
    """Since when its health check fails; 0: it does not.

    One that was ended for it has not become well until a check has passed, in another attempt.
    """
    if not status.HasField("healthy"):
        return instance.saved.unhealthy_since_s
    return 0.0 if status.healthy else instance.saved.unhealthy_since_s or ctx.steady_s


def _on_unreachable(ctx: Context, instance: Instance, status: pb.TaskStatus) -> None:
    """An unreachable task is waited for from when that began, however often it is told again."""
    saved = instance.saved
    again = saved.state == status.state and saved.unreachable_since_s
    since_s = saved.unreachable_since_s if again else ctx.now.wall_s
    instance.move(Happened.HEARD_UNREACHABLE, ctx.now.wall_s)
    instance.amend(
        state=status.state, unreachable_since_s=since_s, message=status.message, ready_since_s=0.0
    )
    step = while_unreachable(instance, -OVERDUE_S)
    instance.explain(step.why, Cause.AGENT_UNREACHABLE)
    timer = ("unreachable", instance.key)
    if isinstance(step, steps.Wait) and step.until_s is not None and timer not in ctx.timers:
        left_s = max(0.0, step.until_s - max(ctx.now.wall_s, since_s))
        ctx.timers.set(timer, ctx.now.mono_s + left_s)


def on_unreachable_for_long(ctx: Context, key: str) -> None:
    """A service goes on elsewhere; should the old task come back, it is killed."""
    instance = ctx.roster.by_key.get(key)
    if instance is None or instance.saved.state != pb.TASK_UNREACHABLE:
        return
    job = ctx.roster.job_of(instance)
    for step in reconcile(job, [instance], OVERDUE_S):
        if isinstance(step, steps.Replace):
            replace(ctx, job, step)


def replace(ctx: Context, job: JobState, step: steps.Replace) -> None:
    """Have another take the place of an unreachable task, with empty volumes if it had some."""
    instance, saved = step.instance, step.instance.saved
    lost = data.lose_volumes(ctx, instance, saved.data_on) if saved.data_on else []
    ctx.timers.cancel(("unreachable", instance.key))
    _end_task(ctx, instance)
    given_up = [
        ctx.ledger.give_up(task_id, saved.agent_id)
        for task_id in (saved.task_id, *groups.left_over(instance))
    ]
    instance.move(Happened.REPLACED, ctx.now.wall_s)
    instance.amend(state=pb.TASK_STATE_UNSPECIFIED, unreachable_since_s=0.0)
    instance.running_since_s = None
    instance.explain(f"replaced, {step.why}")
    if job.stopping or saved.leaving:
        job.call_off(instance, saved.leaving or CALLED_OFF, ctx.now.wall_s)
    ctx.note(instance)
    ctx.note_move(job)
    if saved.leaving:
        gone = InstancesRemoved(job, (instance,))
        ctx.store(step.why, *given_up, *lost, *versions.removals(job, [instance]), then=[gone])
    else:
        ctx.store(step.why, *given_up, *lost, instance)
    versions.let_others_leave(ctx, job)
    versions.follow_if_needed(ctx, job)
    _end_if_over(ctx, job)


def _end_task(ctx: Context, instance: Instance) -> None:
    ctx.roster.end_task(instance.saved.task_id)
    if not instance.spec.is_daemon:
        daemons.on_left(ctx, instance.saved.agent_id)


def _on_end(ctx: Context, instance: Instance, status: pb.TaskStatus) -> None:
    """The task has ended: its controller says whether the instance is run again."""
    saved = instance.saved
    assert saved.task_id in ctx.roster.by_task, f"{saved.task_id} ends twice"
    _end_task(ctx, instance)
    ctx.timers.cancel(("unreachable", instance.key))
    since_s = instance.running_since_s
    ran_s = ctx.now.mono_s - since_s if since_s is not None else 0.0
    met_its_data = status.state == pb.TASK_ERROR and (
        # What was noted at the launch is forgotten over a restart of this framework.
        instance.meets_its_data or data.may_meet(ctx, instance, saved.agent_id)
    )
    end = steps.End(status, saved.state, ran_s, instance.killing, ctx.now.wall_s, met_its_data)
    instance.running_since_s, instance.killing = None, False
    how = {
        "unreachable_since_s": 0.0,
        "ready_since_s": 0.0,
        "reason": status.reason,
        "message": status.message,
        "exit_status": status.exit_status if status.HasField("exit_status") else None,
    }
    job = ctx.roster.job_of(instance)
    ctx.note_move(job)
    instance.image_trouble = image_trouble(status)
    versions.note_exit(ctx, job, instance, end)
    match after_end(job, instance, end):
        case steps.Finish(_, why, failures):
            state = status.state if is_terminal(status.state) else pb.TASK_LOST
            how |= {"failures": failures, "state": state}
            job.finish(instance, Happened.ENDED, ctx.now.wall_s, **how)
            job.unsettled = job.unsettled or instance.spec.periodic is not None  # its run is over
            too_often = instance.spec.is_service and status.state != pb.TASK_ERROR
            said = how_it_ended(status)
            instance.explain(f"{said}; {why}" if too_often and not job.stopping else said)
        case steps.Remove():
            job.finish(instance, Happened.ENDED, ctx.now.wall_s, state=status.state, **how)
        case steps.Launch() as step:
            instance.move(Happened.RUN_AGAIN, ctx.now.wall_s)
            instance.amend(
                state=pb.TASK_STATE_UNSPECIFIED,
                failures=step.failures,
                crashed_s=step.crashed_s,
                quick_failures=step.quick_failures,
                **how,
            )
            instance.explain(how_it_ended(status))
            job.unsettled = job.unsettled or instance.spec.is_daemon  # its agent may be gone
            _run_again(ctx, step)


def _end_if_over(ctx: Context, job: JobState) -> None:
    if job.ended and job.job_id not in ctx.roster.ended:
        ctx.roster.end(job)
        _forget_old_jobs(ctx)


def _run_again(ctx: Context, step: steps.Launch) -> None:
    """An instance waits for a place, at once or once it has been kept back for long enough."""
    instance = step.instance
    instance.not_before_s = ctx.now.mono_s + step.after_s
    if step.after_s:
        ctx.timers.set(("restart", instance.key), instance.not_before_s)
        instance.next_start_at_s = ctx.now.wall_s + step.after_s
        instance.explain(how_long(instance), Cause.BACK_OFF)
    ctx.note(instance)
    ctx.placement_of(instance).due = True


def on_kept_back_for_long(ctx: Context, key: str) -> None:
    """An instance that kept ending soon after its start waits for a place again."""
    instance = ctx.delayed.get(key)
    if instance is not None:
        instance.next_start_at_s = 0.0
        instance.explain(instance.note)
        ctx.changed[instance.job_id] = None
        ctx.note(instance)


def _forget_old_jobs(ctx: Context) -> None:
    """Forget the jobs that ended first, once their end is durable."""
    ended = ctx.roster.ended
    for job in list(islice(ended.values(), max(0, len(ended) - MAX_ENDED_JOBS))):
        if job.is_over:
            ctx.roster.forget(job)
            alerting.forget(ctx, job.job_id)
            ctx.store("a job that ended long ago is forgotten", *writes.removal(job))
