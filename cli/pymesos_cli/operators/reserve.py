"""`reserve`, `unreserve`: resources of an agent for one role."""

from __future__ import annotations

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_cli.finding import about_agent, find_agent
from pymesos_cli.output import note
from pymesos_core.resource_tags import reserved_role_problem
from pymesos_core.resource_values import ResourceError, parse_milli
from pymesos_core.resources import parse, to_proto
from pymesos_core.text import quoted
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2


async def reserve(
    cluster: Cluster, agent: str, role: str, text: str | None, volumes: tuple[str, ...]
) -> None:
    """`pymesos-cli reserve`."""
    _check_role(role)
    wanted = _parse(text) + [_new_volume(volume) for volume in volumes]
    if not wanted:
        raise CliError("give resources, as in 'cpus:2;mem:1024', or --volume", EXIT_USAGE)
    view = await find_agent(cluster, agent, exact=True)
    request = pb.ReserveRequest(agent_id=view.info.agent_id, role=role, resources=wanted)
    await cluster.call(lambda stub, timeout_s: stub.Reserve(request, timeout=timeout_s))
    where = f"{view.info.agent_id} ({about_agent(view)})"
    print(f"{_said(text, volumes)} of {where} is reserved for {role}")


async def unreserve(
    cluster: Cluster, agent: str, role: str, text: str | None, volumes: tuple[str, ...]
) -> None:
    """`pymesos-cli unreserve`: without resources and volumes all that is unused."""
    _check_role(role)
    # The master knows the volume by its id; the path and the size are what every volume has.
    named = [
        types_pb2.Resource(
            name="disk",
            scalar=1,
            disk=types_pb2.Resource.Disk(persistence_id=volume, container_path=volume),
        )
        for volume in volumes
    ]
    view = await find_agent(cluster, agent, exact=True)
    request = pb.UnreserveRequest(
        agent_id=view.info.agent_id, role=role, resources=_parse(text) + named
    )
    await cluster.call(lambda stub, timeout_s: stub.Unreserve(request, timeout=timeout_s))
    where = f"{view.info.agent_id} ({about_agent(view)})"
    what = _said(text, volumes) or "all that is unused"
    print(f"{what} of {where} is no longer reserved for {role}")
    if volumes:
        which = "volume is" if len(volumes) == 1 else "volumes are"
        note(
            f"the {which} destroyed, with all data; what else is reserved there for {role} stays:"
            f" `pymesos-cli unreserve {view.info.agent_id} {role}` ends it"
        )


def _check_role(role: str) -> None:
    """Raises CliError."""
    if problem := reserved_role_problem(role):
        raise CliError(problem, EXIT_USAGE)


def _said(text: str | None, volumes: tuple[str, ...]) -> str:
    return ", ".join([*([text] if text else []), *(f"volume {volume}" for volume in volumes)])


def _parse(text: str | None) -> list[types_pb2.Resource]:
    try:
        return to_proto(parse(text or ""))
    except ResourceError as error:
        raise CliError(str(error), EXIT_USAGE) from error


def _new_volume(text: str) -> types_pb2.Resource:
    """ID:PATH:MIB."""
    try:
        volume_id, path, mib = text.split(":")
        milli = parse_milli("the size", mib)
    except (ValueError, ResourceError) as error:
        raise CliError(
            f"{quoted(text)} is not ID:PATH:MIB, as in data:db-data:1024", EXIT_USAGE
        ) from error
    return types_pb2.Resource(
        name="disk",
        scalar=milli / 1000,
        disk=types_pb2.Resource.Disk(persistence_id=volume_id, container_path=path),
    )
