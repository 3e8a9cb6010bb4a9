"""Services: an instance that ends is run again, wherever there is room for it."""

from __future__ import annotations

from pymesos_binpack.jobs import backoff
from pymesos_binpack.jobs.endings import is_crash
from pymesos_binpack.jobs.state import Instance
from pymesos_binpack.jobs.steps import End, Finish, Launch, Step
from pymesos_proto.v1 import types_pb2 as pb


def after_end(instance: Instance, end: End) -> Step:
    """Run a service again, unless the master would refuse it again."""
    if end.status.state == pb.TASK_ERROR:
        return Finish(instance, "the master refused it, and would again", instance.saved.failures)
    return again(instance, end, instance.saved.failures)


def again(instance: Instance, end: End, failures: int) -> Launch:
    """Launch an instance again: at once, or ever later while it keeps crashing."""
    crashed = is_crash(
        end, preempted=instance.saved.preempted, sidecar_failed=instance.sidecar_failed
    )
    count = backoff.next_count(instance, end.ran_s, crashed=crashed)
    after_s = backoff.delay_s(count, crashed=crashed)
    why = "it keeps ending soon after its start" if after_s else "it is wanted all the time"
    return Launch(instance, why, after_s, failures, count)
