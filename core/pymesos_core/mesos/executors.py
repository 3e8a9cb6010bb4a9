"""Executors of ours, as Mesos describes them."""

from __future__ import annotations

from pymesos_core.mesos.resources import to_mesos
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import types_pb2 as pb

NANO = 1_000_000_000


def executor_to_mesos(
    info: pb.ExecutorInfo, framework_id: str, role: str, *, with_env: bool = True
) -> mesos.ExecutorInfo:
    """Return a custom executor; `role`: that its tasks are in.

    Operators see it without `with_env`: what its environment and its data hold is left out.
    """
    out = mesos.ExecutorInfo(type=mesos.ExecutorInfo.CUSTOM)
    out.executor_id.value, out.framework_id.value = info.executor_id, framework_id
    if info.name:
        out.name = info.name
    if info.data and with_env:
        out.data = info.data
    _add_command(info.command, out.command, with_env=with_env)
    for artifact in info.artifacts:
        uri = out.command.uris.add(value=artifact.uri)
        uri.executable, uri.extract = artifact.executable, artifact.extract
        if artifact.path:
            uri.output_file = artifact.path
    for resource in info.resources:
        shown = to_mesos(resource, refined=True, allocated_to=role)
        if shown is not None:
            out.resources.append(shown)
    if info.shutdown_grace_period_s:
        out.shutdown_grace_period.nanoseconds = round(info.shutdown_grace_period_s * NANO)
    return out


def _add_command(command: pb.CommandInfo, out: mesos.CommandInfo, *, with_env: bool) -> None:
    out.shell, out.value = command.shell, command.value
    if not command.shell:
        out.arguments.extend([command.value, *command.arguments])
    if command.user:
        out.user = command.user
    for variable in command.environment:
        value = variable.value if with_env else None
        out.environment.variables.add(
            name=variable.name, value=value, type=mesos.Environment.Variable.VALUE
        )
