"""Calls of operators that reserve and make volumes: each is an operation that frameworks have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pymesos_core.errors import ProblemKind, RequestError
from pymesos_core.mesos.json_messages import ConversionError, from_json, parse_json
from pymesos_core.mesos.refusing import bad_request
from pymesos_core.mesos.unsupported import UnsupportedError
from pymesos_core.text import quoted
from pymesos_master.mesos.calls import conversion_of
from pymesos_master.mesos.operators.reading import Reading
from pymesos_master.mesos.operators.showing import pid_of
from pymesos_master.mesos.rules.resources import problem as resources_problem
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb

Call = mesos_master.Call
Operation = mesos.Offer.Operation
OPERATIONS: Mapping[int, Operation.Type] = {
    Call.RESERVE_RESOURCES: Operation.RESERVE,
    Call.UNRESERVE_RESOURCES: Operation.UNRESERVE,
    Call.CREATE_VOLUMES: Operation.CREATE,
    Call.DESTROY_VOLUMES: Operation.DESTROY,
    Call.GROW_VOLUME: Operation.GROW_VOLUME,
    Call.SHRINK_VOLUME: Operation.SHRINK_VOLUME,
}
# The older endpoints that are such calls, and the field of their forms that names resources.
FORMS: Mapping[str, tuple[Call.Type, str]] = {
    "reserve": (Call.RESERVE_RESOURCES, "resources"),
    "unreserve": (Call.UNRESERVE_RESOURCES, "resources"),
    "create-volumes": (Call.CREATE_VOLUMES, "volumes"),
    "destroy-volumes": (Call.DESTROY_VOLUMES, "volumes"),
}


def check(call: Call) -> None:
    """Raises RefusalError for a call of OPERATIONS that cannot be, in Mesos' words."""
    said = getattr(call, Call.Type.Name(call.type).lower())
    problem = None
    if call.type in (Call.RESERVE_RESOURCES, Call.UNRESERVE_RESOURCES):
        wrong = resources_problem(said.resources) or ""
        found = wrong.removeprefix("Invalid resources: ")
        problem = found if found != wrong else None  # more is looked at later
    elif call.type in (Call.GROW_VOLUME, Call.SHRINK_VOLUME) and not said.HasField("agent_id"):
        problem = (
            "Expecting 'agent_id' to be present; only agent default resources are supported right"
            " now"
        )
    if problem is not None:
        raise bad_request(f"Failed to validate master::Call: {problem}")


async def convert(reading: Reading, call: Call) -> None:
    """Carry out a call of OPERATIONS. Raises RefusalError, RequestError."""
    said = getattr(call, Call.Type.Name(call.type).lower())
    agent_id = said.agent_id.value
    kind = Operation.Type.Name(OPERATIONS[call.type])
    try:
        operation = conversion_of(_operation_of(call))
        _check_principal(reading, operation)
        await reading.leader.commands.convert(reading.caller, agent_id, operation)
    except UnsupportedError as error:
        raise bad_request(f"Invalid {kind} operation: {error}") from None
    except RequestError as error:
        if error.problem.kind is ProblemKind.NOT_FOUND:
            raise bad_request("No agent found with specified ID") from None
        if error.problem.kind is not ProblemKind.INVALID:
            raise
        on = f" on agent {_agent(reading, agent_id)}"
        raise bad_request(f"Invalid {kind} operation{on}: {error.problem.message}") from None


def _operation_of(call: Call) -> Operation:
    """The operation that a call is."""
    out = Operation(type=OPERATIONS[call.type])
    match call.type:
        case Call.RESERVE_RESOURCES:
            out.reserve.resources.extend(call.reserve_resources.resources)
            out.reserve.source.extend(call.reserve_resources.source)
        case Call.UNRESERVE_RESOURCES:
            out.unreserve.resources.extend(call.unreserve_resources.resources)
        case Call.CREATE_VOLUMES:
            out.create.volumes.extend(call.create_volumes.volumes)
        case Call.DESTROY_VOLUMES:
            out.destroy.volumes.extend(call.destroy_volumes.volumes)
        case Call.GROW_VOLUME:
            out.grow_volume.volume.CopyFrom(call.grow_volume.volume)
            out.grow_volume.addition.CopyFrom(call.grow_volume.addition)
        case _:
            out.shrink_volume.volume.CopyFrom(call.shrink_volume.volume)
            out.shrink_volume.subtract.CopyFrom(call.shrink_volume.subtract)
    return out


def _check_principal(reading: Reading, operation: scheduler_pb.Operation) -> None:
    """Raises UnsupportedError for who reserves as somebody else."""
    if not reading.caller.is_proved:
        return
    mine = reading.caller.principal.partition("/")[2]
    for resource in operation.reserve.resources:
        for one in resource.reservations[-1:]:
            if one.principal not in ("", mine):
                raise UnsupportedError(
                    f"it reserves as {quoted(one.principal)}, and you are {mine}"
                )


def _agent(reading: Reading, agent_id: str) -> str:
    """An agent as Mesos calls it."""
    agent = reading.leader.core.state.agents.get(agent_id)
    if agent is None:
        return agent_id[:255]
    at = agent.info.address
    return f"{agent_id} at {pid_of(agent.info)} ({at.hostname or at.ip})"


def call_of(name: str, form: Mapping[str, str]) -> Call:
    """Return the call that an endpoint of FORMS is. Raises RefusalError."""
    kind, field = FORMS[name]
    for needed in ("slaveId", field):
        if needed not in form:
            raise bad_request(f"Missing '{needed}' query parameter in the request body")
    call = Call(type=kind)
    part = getattr(call, Call.Type.Name(kind).lower())
    part.agent_id.value = form["slaveId"]
    problem = f"Error in parsing '{field}' query parameter in the request body"
    getattr(part, field).extend(_resources(form[field], problem))
    return call


def _resources(text: str, problem: str) -> Iterable[mesos.Resource]:
    try:
        listed = parse_json(text.encode("utf-8", "replace"))
        if not isinstance(listed, list):
            raise bad_request(f"{problem}: Unexpected JSON type parsed")
        return [from_json(one, mesos.Resource) for one in listed]
    except ConversionError as error:
        raise bad_request(f"{problem}: {error}") from None
