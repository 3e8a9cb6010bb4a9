"""Variables of roles in a backup: read from who takes their jobs, and given back to them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from pymesos_cli.backup.steps import Found, Kind, Step, stuck_if_refused
from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError
from pymesos_cli.jobs.run import serving_of
from pymesos_cli.services import dialled, refusals_of
from pymesos_core.serving_jobs import nobody_takes
from pymesos_proto.v1 import backup_pb2 as backup_pb
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1.operator_pb2 import FrameworkView

if TYPE_CHECKING:
    from pymesos_proto.v1.jobs_pb2_grpc import JobsAsyncStub

Serving = tuple[FrameworkView, "JobsAsyncStub"]


async def steps_of_variables(
    cluster: Cluster, variables: Iterable[backup_pb.BackupVariable], stack: AsyncExitStack
) -> list[Step]:
    """Return the steps that set variables, by services that are closed with `stack`.

    Raises CliError when no master is reached.
    """
    serving: dict[str, Serving] = {}
    steps: list[Step] = []
    for variable in variables:

        async def ask(each: backup_pb.BackupVariable = variable) -> Step:
            if each.role not in serving:
                serving[each.role] = await _serves(cluster, each.role, stack)
            return await _step(cluster, serving[each.role], each)

        steps.append(await stuck_if_refused(Kind.VARIABLES, _said(variable), ask))
    return steps


def _said(variable: backup_pb.BackupVariable) -> str:
    return f"the variable {variable.name} of {variable.role}"


async def _serves(cluster: Cluster, role: str, stack: AsyncExitStack) -> Serving:
    """Who takes jobs of a role. Raises CliError."""
    found = await serving_of(cluster, role)
    if found is None:
        raise CliError(nobody_takes(role))
    return found, await stack.enter_async_context(dialled(cluster, found))


async def _step(cluster: Cluster, serves: Serving, wanted: backup_pb.BackupVariable) -> Step:
    """Hold a variable against the one of its name. Raises CliError."""
    view, stub = serves
    there = await _there(cluster, serves, wanted)
    setting = pb.SetVariableRequest(
        role=wanted.role,
        name=wanted.name,
        value=wanted.value,
        request_id=str(uuid.uuid4()),
        if_version=there.version if there is not None else 0,  # what was shown, and no newer one
    )

    async def do() -> None:
        with refusals_of(view):
            await stub.SetVariable(setting, timeout=cluster.timeout_s)

    if there is None:
        return Step(Kind.VARIABLES, _said(wanted), Found.MISSING, do=do)
    if there.value == wanted.value:
        return Step(Kind.VARIABLES, _said(wanted), Found.SAME)
    why = f"version {there.version} here has another value"
    return Step(Kind.VARIABLES, _said(wanted), Found.DIFFERS, why, do)


async def _there(
    cluster: Cluster, serves: Serving, wanted: backup_pb.BackupVariable
) -> pb.VariableView | None:
    """The variable of that name; None: there is none. Raises CliError."""
    view, stub = serves
    request = pb.GetVariableRequest(role=wanted.role, name=wanted.name)
    try:
        with refusals_of(view):
            answer = await stub.GetVariable(request, timeout=cluster.timeout_s)
    except CliError as error:
        cause = error.__cause__
        if isinstance(cause, grpc.aio.AioRpcError) and cause.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise
    if answer.versions[0].hidden:
        raise CliError(f"you may not `read-env` in the role {wanted.role}, so it is not compared")
    return answer.versions[0]
