"""Mesos' operators' API (`/api/v1`): each call is answered by our queries and commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pymesos_core.caller import Caller, Method
from pymesos_core.errors import ProblemKind, RequestError
from pymesos_core.mesos import files, media
from pymesos_core.mesos.json_messages import compact, to_object
from pymesos_core.mesos.media import Media
from pymesos_core.mesos.operators import check_parts, parts_of
from pymesos_core.mesos.refusing import RefusalError, bad_request
from pymesos_core.mesos.tasks import task_message
from pymesos_core.streams import in_thread
from pymesos_master.mesos.operators import maintenance, showing
from pymesos_master.mesos.operators.changing import change
from pymesos_master.mesos.operators.executors import executors
from pymesos_master.mesos.operators.gathering import OVERVIEW, Gathering, who
from pymesos_master.mesos.operators.legacy import Cluster
from pymesos_master.mesos.operators.reading import Reading, Together
from pymesos_master.mesos.tasks import NANO
from pymesos_master.shell import Leader
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

Call = mesos_master.Call
Response = mesos_master.Response
_PARTS = parts_of(Call)
LARGE = 500  # messages in an answer, which a thread writes then
STATUSES = {
    ProblemKind.INVALID: 400,
    ProblemKind.NOT_FOUND: 404,
    ProblemKind.OUTDATED: 409,
    ProblemKind.FULL: 409,
    ProblemKind.UNAVAILABLE: 503,
    ProblemKind.DENIED: 403,
}
_OPEN = (Call.GET_HEALTH, Call.GET_VERSION, Call.GET_MASTER)  # of which nothing is secret
MORE_LOGS = "Operator.GetPolicy"  # who may do what that needs may have more written to the log
SET_LOGGING = "SET_LOGGING_LEVEL"  # what the audit calls that
_OF_A_MOMENT = (Call.GET_METRICS, Call.GET_LOGGING_LEVEL)  # which no event of the core changes
SHOWN = {Method.ADDRESS: "the address that you ask from", Method.BASIC: "your credentials"}


@dataclass(frozen=True)
class Done:
    """What is answered; without a body it has no type."""

    status: int = 200
    body: bytes = b""
    content_type: str = ""


def refused(error: RequestError, caller: Caller) -> RefusalError:
    """Return how Mesos would refuse what ours refuses, with how to be let in."""
    said = error.problem.message
    if error.problem.kind is ProblemKind.DENIED and caller.method in SHOWN:
        said += (
            f". You are {caller.principal} by {SHOWN[caller.method]}; ask as an operator who may,"
            f" with the header 'Authorization: Bearer TOKEN': `pymesos-cli token make` prints a"
            f" token"
        )
    return RefusalError(STATUSES[error.problem.kind], said)


class Operators:
    """Answers calls of operators."""

    def __init__(self, gathering: Gathering, together: Together) -> None:
        self._gathering = gathering
        self._together = together

    def read(self, headers: Mapping[str, str], body: bytes) -> tuple[Call, Media]:
        """Return a call, and how its answer is written. Raises RefusalError."""
        call = media.read(body, media.media_of_body(headers.get("Content-Type")), Call)
        check_parts(call, _PARTS, "master")
        return call, media.media_of_answer(headers.get("Accept"))

    async def answer(self, leader: Leader, call: Call, to: Media, caller: Caller) -> Done:
        """Carry out a call. Raises RefusalError."""
        name = Call.Type.Name(call.type)
        reading = Reading(leader, caller)
        try:
            if call.type == Call.SET_LOGGING_LEVEL:
                await self._set_logging(leader, call.set_logging_level, caller)
                return Done()
            if call.type in (Call.LIST_FILES, Call.READ_FILE):
                leader.queries.permits.readable(caller, OVERVIEW)
                raise files.not_found()  # no file of a master is served
            if not name.startswith("GET_"):
                return Done(await change(reading, call))
            if call.type not in _OPEN:
                leader.queries.permits.readable(caller, OVERVIEW)

            async def make() -> Done:
                return await self._written(await self._response(reading, call), to)

            what = (call.type, to, *who(caller))
            if call.type in _OF_A_MOMENT:
                return await self._together.answer(what, make)
            return await self._together.answer(what, make, lambda: leader.revision)
        except RequestError as error:
            raise refused(error, caller) from None

    async def _set_logging(
        self, leader: Leader, said: Call.SetLoggingLevel, caller: Caller
    ) -> None:
        """Have more written to the log, once the audit tells so. Raises RefusalError and
        RequestError."""
        permits, gathering = leader.queries.permits, self._gathering
        permits.check(caller, MORE_LOGS)
        duration_s = said.duration.nanoseconds / NANO
        gathering.verbosity.check(said.level, duration_s)
        named = {"level": str(said.level), "duration_s": f"{duration_s:g}"}
        line = replace(permits.read(caller, MORE_LOGS, **named), call=SET_LOGGING)
        if (problem := await gathering.leadership.audit.record(line)) is not None:
            raise RequestError(problem)
        gathering.verbosity.set(said.level, duration_s)

    async def _written(self, response: Response, to: Media) -> Done:
        size = len(response.get_tasks.tasks) + len(response.get_tasks.completed_tasks)
        state = response.get_state
        size += len(state.get_tasks.tasks) + len(state.get_tasks.completed_tasks)
        if size > LARGE:
            return Done(200, await in_thread(written, response, to), to.value)
        return Done(200, written(response, to), to.value)

    async def _response(self, reading: Reading, call: Call) -> Response:
        """The answer to a call that reads."""
        gathering, leader = self._gathering, reading.leader
        out = Response(type=Call.Type.Name(call.type))
        match call.type:
            case Call.GET_HEALTH:
                out.get_health.healthy = True
            case Call.GET_FLAGS:
                for name, value in gathering.flags.items():
                    out.get_flags.flags.add(name=name, value=value)
            case Call.GET_VERSION:
                for name, value in gathering.version.items():
                    setattr(out.get_version.version_info, name, value)
            case Call.GET_METRICS:
                for name, amount in (await gathering.metrics(reading.caller)).items():
                    out.get_metrics.metrics.add(name=name, value=amount)
            case Call.GET_LOGGING_LEVEL:
                out.get_logging_level.level = gathering.verbosity.level
            case Call.GET_MASTER:
                out.get_master.master_info.CopyFrom(gathering.here.info())
                out.get_master.start_time = gathering.start_s
                out.get_master.elected_time = gathering.elected_s(leader)
            case Call.GET_STATE:
                out.get_state.SetInParent()
                out.get_state.MergeFrom(await state(gathering, reading))
            case Call.GET_AGENTS:
                cluster, recovered = await gathering.cluster(reading, agents=True)
                out.get_agents.SetInParent()
                out.get_agents.MergeFrom(_agents(cluster, recovered))
            case Call.GET_FRAMEWORKS:
                cluster, _ = await gathering.cluster(reading, frameworks=True, offers=True)
                out.get_frameworks.SetInParent()
                out.get_frameworks.MergeFrom(_frameworks(cluster))
            case Call.GET_EXECUTORS:
                cluster, _ = await gathering.cluster(reading, tasks=True)
                out.get_executors.SetInParent()
                out.get_executors.MergeFrom(executors(cluster.tasks.live, cluster.look))
            case Call.GET_TASKS:
                cluster, _ = await gathering.cluster(reading, tasks=True)
                out.get_tasks.SetInParent()
                out.get_tasks.MergeFrom(_tasks(cluster))
            case Call.GET_OPERATIONS:  # each is done or refused before it is told
                out.get_operations.SetInParent()
            case Call.GET_ROLES:
                out.get_roles.roles.extend(map(showing.role_message, reading.roles()))
            case Call.GET_WEIGHTS:
                if found := showing.weights(reading.roles()):
                    out.get_weights.weight_infos.extend(found)
            case Call.GET_QUOTA:
                out.get_quota.status.SetInParent()
                out.get_quota.status.MergeFrom(showing.quota_status(reading.roles()))
            case Call.GET_MAINTENANCE_STATUS:
                found_status = maintenance.status(await reading.agents())
                out.get_maintenance_status.status.SetInParent()
                out.get_maintenance_status.status.MergeFrom(found_status)
            case Call.GET_MAINTENANCE_SCHEDULE:
                planned = maintenance.schedule(await reading.agents())
                out.get_maintenance_schedule.schedule.SetInParent()
                out.get_maintenance_schedule.schedule.MergeFrom(planned)
            case _:
                raise bad_request(f"a call {call.type} is not known here")
        return out


def written(message: Response | mesos_master.Event, to: Media) -> bytes:
    """Return an answer or an event in an encoding."""
    if to is Media.PROTOBUF:
        return message.SerializeToString()
    return compact(showing.EMPTY_LISTS.add(message, to_object(message)))


async def state(gathering: Gathering, reading: Reading) -> Response.GetState:
    """Return all there is. Raises RequestError."""
    cluster, recovered = await gathering.cluster(
        reading, agents=True, frameworks=True, tasks=True, offers=True
    )
    return Response.GetState(
        get_tasks=_tasks(cluster),
        get_executors=executors(cluster.tasks.live, cluster.look),
        get_frameworks=_frameworks(cluster),
        get_agents=_agents(cluster, recovered),
    )


def _agents(cluster: Cluster, recovered: list[pb.AgentView]) -> Response.GetAgents:
    return Response.GetAgents(
        agents=[
            showing.agent_message(agent, cluster.look.held_on(agent.info.agent_id))
            for agent in cluster.agents
        ],
        recovered_agents=[showing.agent_info(agent) for agent in recovered],
    )


def _frameworks(cluster: Cluster) -> Response.GetFrameworks:
    offers: dict[str, list[types_pb2.Offer]] = {}
    for one in cluster.offers:
        offers.setdefault(one.offer.framework_id, []).append(one.offer)
    out = Response.GetFrameworks()
    for view in cluster.frameworks:
        ended = view.state == "completed"
        framework_id = view.info.framework_id
        shown = showing.framework_message(
            view,
            cluster.look.held_by(framework_id),
            offers.get(framework_id, ()),
            cluster.places,
        )
        (out.completed_frameworks if ended else out.frameworks).append(shown)
    return out


def _tasks(cluster: Cluster) -> Response.GetTasks:
    aware, found = cluster.aware, cluster.tasks

    def shown(views: list[pb.TaskView]) -> list[mesos_master.Task]:
        return [task_message(view, aware, cluster.places) for view in views]

    return Response.GetTasks(
        tasks=shown(found.live),
        unreachable_tasks=shown(found.unreachable),
        completed_tasks=shown(found.completed),
    )
