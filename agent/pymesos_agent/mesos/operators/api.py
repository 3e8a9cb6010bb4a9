"""Mesos' operators' API of agents (`/api/v1`)."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from pymesos_agent.mesos.operators import files, showing
from pymesos_agent.mesos.operators.gathering import Gathering
from pymesos_core.mesos import media
from pymesos_core.mesos.http import OURS
from pymesos_core.mesos.json_messages import compact, to_object
from pymesos_core.mesos.media import Media
from pymesos_core.mesos.refusing import RefusalError, bad_request
from pymesos_core.mesos.tasks import NANO
from pymesos_core.streams import in_thread
from pymesos_proto.mesos.v1 import agent_pb2 as mesos_agent

Call = mesos_agent.Call
Response = mesos_agent.Response
MEDIA = ("application/json", "application/x-protobuf", "application/recordio")
_EXPECTED = f"{MEDIA[0]} or {MEDIA[1]} or {MEDIA[2]}"
# The part that a call of a type must have; those that are not here need none, or not always.
_PARTS = {
    number: name.lower()
    for name, number in Call.Type.items()
    if name.lower() in Call.DESCRIPTOR.fields_by_name and name != "GET_CONTAINERS"
}
_STANDALONE = (
    Call.LAUNCH_CONTAINER,
    Call.WAIT_CONTAINER,
    Call.KILL_CONTAINER,
    Call.REMOVE_CONTAINER,
)


def read(headers: Mapping[str, str], body: bytes) -> tuple[Call, Media]:
    """Return a call, and how its answer is written. Raises RefusalError."""
    content_type, accept = headers.get("Content-Type"), headers.get("Accept")
    if content_type is None:
        raise bad_request("Expecting 'Content-Type' to be present")
    if content_type not in MEDIA:
        raise RefusalError(415, f"Expecting 'Content-Type' of {_EXPECTED}")
    if content_type == MEDIA[2]:
        raise RefusalError(
            415, f"Streaming 'Content-Type' {content_type} is not supported: streams are not"
        )
    if "Message-Content-Type" in headers:
        raise RefusalError(
            415, "Expecting 'Message-Content-Type' to be not set for non-streaming requests"
        )
    try:
        to = media.media_of_answer(accept)
    except RefusalError:
        raise RefusalError(406, f"Expecting 'Accept' to allow {_EXPECTED}") from None
    if "Message-Accept" in headers:
        raise RefusalError(
            406, "Expecting 'Message-Accept' to be not set for non-streaming responses"
        )
    call = media.read(body, Media(content_type), Call)
    validate(call)
    return call, to


def validate(call: Call) -> None:
    """Raises RefusalError for a call that lacks something, in Mesos' words."""
    problem = None
    if not call.HasField("type"):
        problem = "Expecting 'type' to be present"
    elif (part := _PARTS.get(call.type)) is not None and not call.HasField(part):
        problem = f"Expecting '{part}' to be present"
    if problem is not None:
        raise bad_request(f"Failed to validate agent::Call: {problem}")


class Operators:
    """Answers calls of operators."""

    def __init__(self, gathering: Gathering) -> None:
        self._gathering = gathering

    async def answer(self, call: Call, to: Media) -> web.Response:
        """Carry out a call. Raises RefusalError."""
        if call.type == Call.SET_LOGGING_LEVEL:
            said = call.set_logging_level
            self._gathering.verbosity.set(said.level, said.duration.nanoseconds / NANO)
            return web.Response(headers=OURS)
        response = await self._response(call)
        return web.Response(
            body=await in_thread(_written, response, to),
            headers={"Content-Type": to.value, **OURS},
        )

    async def _response(self, call: Call) -> Response:
        """The answer to a call that reads."""
        gathering, state = self._gathering, self._gathering.state
        name = Call.Type.Name(call.type)
        if name not in Response.Type.keys():  # noqa: SIM118 - it is no mapping
            raise _refused(call)
        out = Response(type=name)
        match call.type:
            case Call.GET_HEALTH:
                out.get_health.healthy = True
            case Call.GET_FLAGS:
                for flag, value in gathering.flags.items():
                    out.get_flags.flags.add(name=flag, value=value)
            case Call.GET_VERSION:
                for field, value in gathering.version.items():
                    setattr(out.get_version.version_info, field, value)
            case Call.GET_METRICS:
                for metric, amount in gathering.metrics().items():
                    out.get_metrics.metrics.add(name=metric, value=amount)
            case Call.GET_LOGGING_LEVEL:
                out.get_logging_level.level = gathering.verbosity.level
            case Call.LIST_FILES:
                found = await files.listed(gathering.queries, call.list_files.path)
                out.list_files.SetInParent()
                out.list_files.file_infos.extend(found)
            case Call.READ_FILE:
                asked = call.read_file
                length = asked.length if asked.HasField("length") else None
                size, data = await files.read(gathering.queries, asked.path, asked.offset, length)
                out.read_file.size, out.read_file.data = size, data
            case Call.GET_AGENT:
                info = showing.agent_info(gathering.info, state.agent_id, gathering.at.port)
                out.get_agent.agent_info.CopyFrom(info)
            case Call.GET_CONTAINERS:
                out.get_containers.SetInParent()
                out.get_containers.containers.extend(await gathering.containers())
            case Call.GET_OPERATIONS:  # each is done or refused before it is told
                out.get_operations.SetInParent()
            case Call.GET_RESOURCE_PROVIDERS:
                out.get_resource_providers.SetInParent()
            case Call.GET_STATE | Call.GET_TASKS | Call.GET_EXECUTORS | Call.GET_FRAMEWORKS:
                self._add_state(call, out)
            case _:
                raise _refused(call)
        return out

    def _add_state(self, call: Call, out: Response) -> None:
        gathering, state, seen = self._gathering, self._gathering.state, self._gathering.seen()
        every = call.type == Call.GET_STATE
        into = out.get_state if every else out
        if every or call.type == Call.GET_TASKS:
            into.get_tasks.SetInParent()
            into.get_tasks.MergeFrom(showing.tasks(state, seen, gathering.info.address.ip))
        if every or call.type == Call.GET_EXECUTORS:
            into.get_executors.SetInParent()
            into.get_executors.MergeFrom(showing.executors(seen))
        if every or call.type == Call.GET_FRAMEWORKS:
            into.get_frameworks.SetInParent()
            into.get_frameworks.MergeFrom(showing.frameworks(state, seen))


def _refused(call: Call) -> RefusalError:
    if call.type in _STANDALONE:
        return bad_request(
            "a container that belongs to no task is not run here: nothing would account for it"
        )
    if call.type == Call.UNKNOWN:
        return RefusalError(501, "501 Not Implemented.")
    return RefusalError(501, f"{Call.Type.Name(call.type)} is not supported here")


def _written(response: Response, to: Media) -> bytes:
    if to is Media.PROTOBUF:
        return response.SerializeToString()
    return compact(showing.with_empty_lists(response, to_object(response)))
