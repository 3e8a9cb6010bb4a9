"""Batch work: an instance is run until it has ended well, or failed more often than it may."""

from __future__ import annotations

from dataclasses import replace

from pymesos_binpack.jobs.endings import reason_of, was_lost, was_unhealthy
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.service import again, is_refused
from pymesos_binpack.jobs.steps import End, Finish, Launch, Step
from pymesos_proto.v1 import types_pb2 as pb


def after_end(instance: Instance, end: End) -> Step:
    """What was lost or killed for another is run again, and what failed as often as it may."""
    status, saved, spec = end.status, instance.saved, instance.spec
    if is_refused(end):
        return Finish(instance, "the master refused it, and would again", saved.failures)
    if was_lost(status) or end.met_its_data:
        return again(instance, end, saved.failures)
    at_once = Launch(instance, "", 0.0, saved.failures, instance.quick_failures)
    if saved.preempted and status.state in (pb.TASK_KILLED, pb.TASK_FAILED):
        return replace(at_once, why="it was killed for a task of higher priority")
    # Nobody here asked for it: it died with a sidecar that failed.
    with_sidecar = bool(spec.sidecars) and not end.was_killed
    failed = status.state == pb.TASK_FAILED or (
        status.state == pb.TASK_KILLED and (was_unhealthy(status) or with_sidecar)
    )
    if not failed:
        return Finish(instance, "it has ended", saved.failures)
    failures = saved.failures + 1
    if failures > spec.retries:
        return Finish(instance, f"it failed {failures} times", failures)
    why = f"it failed, and may be tried {spec.retries - failures + 1} more times"
    if reason_of(status) == pb.REASON_CONTAINER_LAUNCH_FAILED:
        # Its command has not run: what is missing is often there some time later, and not at once.
        return replace(again(instance, end, failures), why=why)
    return Launch(instance, why, 0.0, failures, instance.quick_failures)
