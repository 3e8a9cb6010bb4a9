"""Services: an instance that ends is run again, wherever there is room for it."""

from __future__ import annotations

from pymesos_binpack.jobs import backoff
from pymesos_binpack.jobs.endings import is_crash
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.steps import End, Finish, Launch, Step
from pymesos_core.text import duration
from pymesos_proto.v1 import types_pb2 as pb


def after_end(instance: Instance, end: End) -> Step:
    """Run a service again, unless the master would refuse it again, or it crashed too often."""
    if is_refused(end):
        return Finish(instance, "the master refused it, and would again", instance.saved.failures)
    rules, step = instance.spec.restart, again(instance, end, instance.saved.failures)
    if len(step.crashed_s) > rules.max:
        why = f"it crashed {len(step.crashed_s)} times within {duration(rules.within_s)}"
        return Finish(instance, why, instance.saved.failures)
    return step


def is_refused(end: End) -> bool:
    """Whether the master has refused an instance, and would again.

    It would not one that has given its volumes up, where the task that had them is there again:
    they are neither offered nor to be made until that one has ended.
    """
    return end.status.state == pb.TASK_ERROR and not end.met_its_data


def again(instance: Instance, end: End, failures: int) -> Launch:
    """Launch an instance again: at once, or ever later while it keeps crashing."""
    crashed = is_crash(
        end, preempted=instance.saved.preempted, sidecar_failed=instance.sidecar_failed
    )
    rules = instance.spec.restart
    kept_back = crashed or end.met_its_data
    count = backoff.next_count(instance, end.ran_s, crashed=kept_back)
    after_s = backoff.delay_s(count, rules, crashed=kept_back)
    why = "it keeps ending soon after its start" if after_s else "it is wanted all the time"
    times = backoff.crashes_within(instance, rules, end.at_s, crashed=crashed)
    return Launch(instance, why, after_s, failures, count, times)
