"""Mesos' operators' API of agents (`/api/v1`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from pymesos_agent.mesos.operators import files, showing
from pymesos_agent.mesos.operators.gathering import Gathering
from pymesos_agent.mesos.operators.sessions import Sessions, check_id
from pymesos_core.mesos import media
from pymesos_core.mesos.http import OURS
from pymesos_core.mesos.json_messages import compact, to_object
from pymesos_core.mesos.media import Media, records_of
from pymesos_core.mesos.operators import check_parts, parts_of
from pymesos_core.mesos.refusing import RefusalError, bad_request
from pymesos_core.mesos.tasks import NANO
from pymesos_core.streams import in_thread
from pymesos_proto.mesos.v1 import agent_pb2 as mesos_agent
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos

Call = mesos_agent.Call
Response = mesos_agent.Response
MEDIA = ("application/json", "application/x-protobuf", "application/recordio")
RECORDIO = MEDIA[2]
STREAMING = (Call.LAUNCH_NESTED_CONTAINER_SESSION, Call.ATTACH_CONTAINER_OUTPUT)
MAX_RECORD_BYTES = 256 * 1024  # of what a session reads, at a time
_EXPECTED = f"{MEDIA[0]} or {MEDIA[1]} or {MEDIA[2]}"
_PARTS = parts_of(Call, but=("GET_CONTAINERS",))
_NESTED = (
    Call.LAUNCH_NESTED_CONTAINER,
    Call.WAIT_NESTED_CONTAINER,
    Call.KILL_NESTED_CONTAINER,
    Call.REMOVE_NESTED_CONTAINER,
    Call.LAUNCH_NESTED_CONTAINER_SESSION,
)
_EITHER = (
    Call.LAUNCH_CONTAINER,
    Call.ATTACH_CONTAINER_OUTPUT,
    Call.WAIT_CONTAINER,
    Call.KILL_CONTAINER,
    Call.REMOVE_CONTAINER,
)


@dataclass(frozen=True)
class Accepted:
    """How an answer is written."""

    media: Media  # each message of it
    in_records: bool  # it is said to be a stream of them


def content_of(headers: Mapping[str, str]) -> str:
    """Return the type of a body. Raises RefusalError."""
    content_type = headers.get("Content-Type")
    if content_type is None:
        raise bad_request("Expecting 'Content-Type' to be present")
    if content_type not in MEDIA:
        raise RefusalError(415, f"Expecting 'Content-Type' of {_EXPECTED}")
    if content_type != RECORDIO and "Message-Content-Type" in headers:
        raise RefusalError(
            415, "Expecting 'Message-Content-Type' to be not set for non-streaming requests"
        )
    return content_type


def accepted(headers: Mapping[str, str]) -> Accepted:
    """Return how an answer is to be written. Raises RefusalError."""
    accept = headers.get("Accept")
    try:
        out = Accepted(media.media_of_answer(accept), False)
    except RefusalError:
        if RECORDIO not in (accept or ""):
            raise RefusalError(406, f"Expecting 'Accept' to allow {_EXPECTED}") from None
        try:
            return Accepted(media.media_of_answer(headers.get("Message-Accept")), True)
        except RefusalError:
            either = f"{MEDIA[0]} or {MEDIA[1]}"
            raise RefusalError(406, f"Expecting 'Message-Accept' to allow {either}") from None
    if "Message-Accept" in headers:
        raise RefusalError(
            406, "Expecting 'Message-Accept' to be not set for non-streaming responses"
        )
    return out


def read(headers: Mapping[str, str], body: bytes) -> tuple[Call, Accepted]:
    """Return a call, and how its answer is written. Raises RefusalError."""
    content_type = content_of(headers)
    to = accepted(headers)
    call = media.read(body, Media(content_type), Call)
    validate(call)
    name = Call.Type.Name(call.type)
    if call.type == Call.ATTACH_CONTAINER_INPUT:
        raise RefusalError(415, f"Expecting 'Content-Type' to be {RECORDIO} for {name} call")
    if to.in_records and call.type not in STREAMING:
        raise RefusalError(406, f"Streaming response is not supported for {name} call")
    return call, to


async def calls_in(parts: AsyncIterator[bytes], headers: Mapping[str, str]) -> AsyncIterator[Call]:
    """Yield the calls of a body that goes on. Raises RefusalError for what is none."""
    said = headers.get("Message-Content-Type")
    if said is None:
        raise bad_request("Expecting 'Message-Content-Type' to be set for streaming requests")
    if said not in MEDIA[:2]:
        raise RefusalError(415, f"Expecting 'Message-Content-Type' of {MEDIA[0]} or {MEDIA[1]}")
    async for record in records_of(parts, MAX_RECORD_BYTES):
        call = media.read(record, Media(said), Call)
        validate(call)
        if call.type != Call.ATTACH_CONTAINER_INPUT:
            raise RefusalError(
                415,
                f"Streaming 'Content-Type' {RECORDIO} is not supported for"
                f" {Call.Type.Name(call.type)} call",
            )
        yield call


def validate(call: Call) -> None:
    """Raises RefusalError for a call that lacks something, in Mesos' words."""
    check_parts(call, _PARTS, "agent")
    if (nested := nested_in(call)) is not None:
        check_id(nested, f"{_PARTS[call.type]}.container_id")


def nested_in(call: Call) -> mesos.ContainerID | None:
    """Return the container in another that a call is of, if it is of one."""
    if call.type in _NESTED or _is_nested(call):
        return cast("mesos.ContainerID", getattr(call, _PARTS[call.type]).container_id)
    return None


def _is_nested(call: Call) -> bool:
    """Whether a call of containers is of one in another, by whichever of its names."""
    if call.type not in _EITHER:
        return False
    return bool(getattr(call, _PARTS[call.type]).container_id.HasField("parent"))


class Operators:
    """Answers calls of an operator."""

    def __init__(self, gathering: Gathering, sessions: Sessions) -> None:
        self._gathering = gathering
        self.sessions = sessions

    def check(self, call: Call) -> None:
        """Raises RefusalError for a call in a container where its caller may run nothing."""
        if (nested := nested_in(call)) is not None:
            self.check_in(nested)

    def check_in(self, nested: mesos.ContainerID) -> None:
        """Raises RefusalError where what is called is in a container of a role that it may not."""
        role = self._gathering.queries.role_of(nested.parent.value)
        if role not in self._gathering.may.exec:
            what = f"tasks of the role {role}" if role in self._gathering.may.read else "this task"
            raise RefusalError(403, f"you may not run anything in {what}")

    async def answer(self, call: Call, to: Media) -> web.Response:
        """Carry out a call. Raises RefusalError."""
        self.check(call)
        match call.type:
            case Call.LAUNCH_NESTED_CONTAINER:
                await self.sessions.launch(call.launch_nested_container)
                return web.Response(headers=OURS)
            case Call.KILL_NESTED_CONTAINER:
                await self.sessions.kill(call.kill_nested_container)
                return web.Response(headers=OURS)
            case Call.LAUNCH_CONTAINER if _is_nested(call):
                await self.sessions.launch(_launch_of(call.launch_container))
                return web.Response(headers=OURS)
            case Call.KILL_CONTAINER if _is_nested(call):
                await self.sessions.kill(call.kill_container)
                return web.Response(headers=OURS)
            case Call.REMOVE_NESTED_CONTAINER:
                self.sessions.remove(call.remove_nested_container.container_id)
                return web.Response(headers=OURS)
            case Call.REMOVE_CONTAINER if _is_nested(call):
                self.sessions.remove(call.remove_container.container_id)
                return web.Response(headers=OURS)
        if call.type == Call.SET_LOGGING_LEVEL:
            if not self._gathering.may.logging:
                raise RefusalError(403, "you may not change what is written to the log")
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
            raise refused(call)
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
                found = await files.listed(gathering, call.list_files.path)
                out.list_files.SetInParent()
                out.list_files.file_infos.extend(found)
            case Call.READ_FILE:
                asked = call.read_file
                length = asked.length if asked.HasField("length") else None
                size, data = await files.read(gathering, asked.path, asked.offset, length)
                out.read_file.size, out.read_file.data = size, data
            case Call.GET_AGENT:
                seen, port = gathering.may.read, gathering.at.port
                info = showing.agent_info(gathering.info, state.agent_id, port, seen)
                out.get_agent.agent_info.CopyFrom(info)
            case Call.GET_CONTAINERS:
                out.get_containers.SetInParent()
                out.get_containers.containers.extend(await gathering.containers())
            case Call.WAIT_NESTED_CONTAINER:
                waited = call.wait_nested_container.container_id
                out.wait_nested_container.exit_status = await self.sessions.wait(waited)
            case Call.WAIT_CONTAINER if _is_nested(call):
                waited = call.wait_container.container_id
                out.wait_container.exit_status = await self.sessions.wait(waited)
            case Call.GET_OPERATIONS:  # each is done or refused before it is told
                out.get_operations.SetInParent()
            case Call.GET_RESOURCE_PROVIDERS:
                out.get_resource_providers.SetInParent()
            case Call.GET_STATE | Call.GET_TASKS | Call.GET_EXECUTORS | Call.GET_FRAMEWORKS:
                self._add_state(call, out)
            case _:
                raise refused(call)
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


def _launch_of(said: Call.LaunchContainer) -> Call.LaunchNestedContainer:
    """The call that it is of a container in another. Raises RefusalError."""
    if said.resources:
        raise bad_request("Resources may not be specified when using nested containers")
    return Call.LaunchNestedContainer(
        container_id=said.container_id,
        command=said.command if said.HasField("command") else None,
        container=said.container if said.HasField("container") else None,
    )


def refused(call: Call) -> RefusalError:
    """Return the refusal of a call that there is not here."""
    if call.type == Call.ATTACH_CONTAINER_OUTPUT:
        return bad_request(
            "IO switchboard server was disabled for this container: what a task writes is in the"
            " files of its sandbox"
        )
    if call.type in _EITHER and not _is_nested(call):
        return bad_request(
            "a container that belongs to no task is not run here: nothing would account for it"
        )
    if call.type == Call.UNKNOWN:
        return RefusalError(501, "501 Not Implemented.")
    return RefusalError(501, f"{Call.Type.Name(call.type)} is not supported here")


def _written(response: Response, to: Media) -> bytes:
    if to is Media.PROTOBUF:
        return response.SerializeToString()
    return compact(showing.EMPTY_LISTS.add(response, to_object(response)))
