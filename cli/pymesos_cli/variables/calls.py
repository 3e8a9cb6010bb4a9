"""`variables set`, `list`, `history`, `remove`: asked of who takes jobs of a role."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_cli.given import given
from pymesos_cli.jobs.run import serving_of
from pymesos_cli.output import moment, note, print_json, print_table
from pymesos_cli.services import all_pages, of_each, service, warn
from pymesos_core.ids import role_problem, variable_name_problem
from pymesos_core.jobs_json import variable_json
from pymesos_core.limits import VARIABLE_VALUE
from pymesos_core.serving_jobs import nobody_takes
from pymesos_core.text import count_of, cut
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1.operator_pb2 import FrameworkView

if TYPE_CHECKING:
    from pymesos_proto.v1.jobs_pb2_grpc import JobsAsyncStub

MAX_SHOWN_CHARS = 60  # of a value


def read_value(file: Path) -> str:
    """Return what a file has, without the line break at its end. Raises CliError."""
    with given(file) as stream:
        value = stream.read(VARIABLE_VALUE.most + 2)
    if len(value) > VARIABLE_VALUE.most + 1:
        raise CliError(f"the value has more than {VARIABLE_VALUE.most} bytes", EXIT_USAGE)
    try:
        return value.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise CliError("the value is not text in UTF-8", EXIT_USAGE) from None


def _check(role: str, name: str) -> None:
    """Raises CliError."""
    if problem := role_problem(role) or variable_name_problem(name):
        raise CliError(problem, EXIT_USAGE)


@asynccontextmanager
async def _of_role(
    cluster: Cluster, role: str
) -> AsyncIterator[tuple[FrameworkView, JobsAsyncStub]]:
    """Reach who takes jobs of a role. Raises CliError."""
    found = await serving_of(cluster, role)
    if found is None:
        raise CliError(nobody_takes(role))
    async with service(cluster, found) as stub:
        yield found, stub


async def set_variable(
    cluster: Cluster, role: str, name: str, value: str, if_version: int | None
) -> None:
    """`pymesos-cli variables set`."""
    _check(role, name)
    request = pb.SetVariableRequest(
        role=role, name=name, value=value, request_id=str(uuid.uuid4()), if_version=if_version
    )
    async with _of_role(cluster, role) as (_, stub):
        done = await stub.SetVariable(request, timeout=cluster.timeout_s)
    if not done.changed:
        print(f"{name} of {role} has that value already, version {done.version}")
        return
    print(f"{name} of {role} is set, version {done.version}")
    if done.jobs:
        note(
            f"{count_of(done.jobs, 'job')} that {'refers' if done.jobs == 1 else 'refer'} to it"
            f" {'is' if done.jobs == 1 else 'are'} changed: `pymesos-cli rollout status JOB` shows"
            f" how"
        )


async def _pages(cluster: Cluster, stub: JobsAsyncStub, role: str) -> list[pb.VariableView]:
    async def ask(token: str) -> pb.ListVariablesResponse:
        request = pb.ListVariablesRequest(role=role, page_token=token)
        return await stub.ListVariables(request, timeout=cluster.timeout_s)

    return [view for page in await all_pages(ask) for view in page.variables]


async def list_variables(cluster: Cluster, role: str, *, as_json: bool) -> None:
    """`pymesos-cli variables list`."""

    async def ask(
        view: FrameworkView, stub: JobsAsyncStub
    ) -> tuple[FrameworkView, list[pb.VariableView]]:
        return view, await _pages(cluster, stub, role)

    told, silent = await of_each(cluster, ask)
    warn(silent)
    found = [(view.info.framework_id, each) for view, variables in told for each in variables]
    if as_json:
        print_json([variable_json(each, framework_id) for framework_id, each in found])
        return
    rows = [
        (
            each.role,
            each.name,
            shown_value(each),
            str(each.version),
            moment(each.set_at_s),
            each.set_by or "-",
            f"{each.jobs}{', not all have it yet' if each.spreading else ''}",
        )
        for _, each in found
    ]
    headers = ("ROLE", "NAME", "VALUE", "VERSION", "SET AT", "BY", "JOBS")
    print_table(headers, rows, "no variables; `pymesos-cli variables set` sets one", ("VALUE",))
    for _, each in found:
        for untaken in each.untaken:
            note(f"{untaken.job_id} has not taken {each.name}: {untaken.why}")


def shown_value(view: pb.VariableView) -> str:
    """Return a value in one line, or that it is hidden."""
    if view.hidden:
        return "(hidden)"
    lines = view.value.splitlines() or [""]
    return cut(lines[0], MAX_SHOWN_CHARS) + (" …" if len(lines) > 1 else "")


async def show_history(cluster: Cluster, role: str, name: str, *, as_json: bool) -> None:
    """`pymesos-cli variables history`."""
    _check(role, name)
    async with _of_role(cluster, role) as (framework, stub):
        request = pb.GetVariableRequest(role=role, name=name)
        answer = await stub.GetVariable(request, timeout=cluster.timeout_s)
    if as_json:
        framework_id = framework.info.framework_id
        print_json([variable_json(each, framework_id) for each in answer.versions])
        return
    rows = [
        (
            str(each.version),
            moment(each.set_at_s),
            each.set_by or "-",
            shown_value(each),
        )
        for each in answer.versions
    ]
    print_table(("VERSION", "SET AT", "BY", "VALUE"), rows, "no values", ("VALUE",))


async def remove_variable(cluster: Cluster, role: str, name: str, *, force: bool) -> None:
    """`pymesos-cli variables remove`."""
    _check(role, name)
    request = pb.RemoveVariableRequest(role=role, name=name, force=force)
    async with _of_role(cluster, role) as (_, stub):
        await stub.RemoveVariable(request, timeout=cluster.timeout_s)
    print(f"{name} of {role} is removed")
