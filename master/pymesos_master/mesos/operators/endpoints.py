"""Mesos' older endpoints: `/state`, `/tasks` and the like."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pymesos_core.caller import Caller, Method
from pymesos_core.errors import RequestError
from pymesos_core.limits import MAX_SAID
from pymesos_core.mesos import files, machine, older
from pymesos_core.mesos.http import CALLBACK, query_of, written
from pymesos_core.mesos.json_messages import (
    ConversionError,
    from_json,
    parse_json,
    to_object,
)
from pymesos_core.mesos.refusing import RefusalError, bad_request
from pymesos_core.streams import in_thread
from pymesos_core.text import cut
from pymesos_master.mesos.operators import converting, legacy, maintenance, showing
from pymesos_master.mesos.operators.api import LARGE, Done, refused
from pymesos_master.mesos.operators.changing import change, tear_down
from pymesos_master.mesos.operators.gathering import OVERVIEW, Gathering, who
from pymesos_master.mesos.operators.quotas import remove_quota
from pymesos_master.mesos.operators.reading import Reading, Tasks, Together
from pymesos_master.queries import TaskFilter
from pymesos_master.shell import Leader
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.v1 import operator_pb2 as pb

Call = mesos_master.Call
USUAL_TASKS = 100  # that `/tasks` shows unless it is asked for more
_DURATION = re.compile(r"([0-9.]+)(ns|us|ms|secs|mins|hrs|days|weeks)")
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Request:
    """What is asked of an endpoint."""

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes
    caller: Caller


def jsonp_problem(callback: str, caller: Caller, *, page_is_known: bool) -> str | None:
    """Why an answer is not wrapped in a call, or None.

    A page of any site may read what is, with whatever a browser shows by itself: where browsers do
    not say which page asks, it is for those who show an access token.
    """
    if not CALLBACK.fullmatch(callback):
        return "'jsonp' is no name of a function"
    if caller.method is not Method.TOKEN and not page_is_known:
        return "'jsonp' needs HTTPS or an access token, unless it is asked for on this machine"
    return None


# Answers with what becomes JSON.
_Make = Callable[["Endpoints", Reading, Request], Awaitable[Any]]


class Endpoints:
    """Answers what is asked of older endpoints."""

    def __init__(self, gathering: Gathering, together: Together) -> None:
        self.gathering = gathering
        self._together = together

    async def here(self, request: Request) -> Done | None:
        """Answer what every master does, leading or not; None: only the one that leads.

        Raises RefusalError.
        """
        try:
            return await self._here(request)
        except RequestError as error:
            raise refused(error, request.caller) from None

    async def _here(self, request: Request) -> Done | None:
        if "/".join(request.path) in _MACHINE:
            self.gathering.check(request.caller)
        match request.path:
            case ("health",):
                return Done()
            case ("version",):
                return _json(self.gathering.version, request)
            case ("logging", "toggle"):
                if request.query:
                    raise RefusalError(501, "ask for it by SET_LOGGING_LEVEL of /api/v1")
                return Done(200, b"%d\n" % self.gathering.verbosity.level, TEXT)
            case ("system", "stats.json"):
                return _json(machine.system(), request)
            case ("metrics", "snapshot"):
                _check_timeout(request.query.get("timeout"))
                return _json(await self.gathering.metrics(request.caller), request)
            case ("files", "debug"):
                return _json({}, request)  # of the paths that are served: there are none
            case ("files", kind):
                files.path_of(request.query)
                raise files.not_found(kind)
        return None

    async def answer(self, leader: Leader, request: Request) -> Done:
        """Answer as the leader. Raises RefusalError."""
        reading = Reading(leader, request.caller)
        try:
            if request.method not in ("GET", "HEAD"):
                return Done(await self._change(reading, request))
            make = _READ["/".join(request.path)]
            leader.queries.permits.readable(request.caller, OVERVIEW)

            async def made() -> Done:
                value = await make(self, reading, request)
                if _is_large(value):
                    return await in_thread(_json, value, request)
                return _json(value, request)

            what = (request.path, urlencode(sorted(request.query.items())), *who(request.caller))
            return await self._together.answer(what, made, lambda: leader.revision)
        except RequestError as error:
            raise refused(error, request.caller) from None

    # What is read.

    async def state(self, reading: Reading, request: Request) -> Any:
        """`/state`."""
        cluster, recovered = await self.gathering.cluster(
            reading, agents=True, frameworks=True, tasks=True, offers=True
        )
        gathering = self.gathering
        version, start_s = gathering.version, gathering.start_s
        return legacy.state(cluster, recovered, gathering.flags, version, start_s)

    async def state_summary(self, reading: Reading, request: Request) -> Any:
        """`/state-summary`."""
        cluster, _ = await self.gathering.cluster(reading, agents=True, frameworks=True, tasks=True)
        return legacy.state_summary(cluster)

    async def slaves(self, reading: Reading, request: Request) -> Any:
        """`/slaves`, or the one that `slave_id` names."""
        cluster, recovered = await self.gathering.cluster(reading, agents=True)
        if (wanted := request.query.get("slave_id")) is not None:
            named = [agent for agent in cluster.agents if agent.info.agent_id == wanted]
            recovered = [agent for agent in recovered if agent.info.agent_id == wanted]
            cluster = legacy.Cluster(cluster.here, cluster.look, named)
        return legacy.slaves(cluster, recovered)

    async def frameworks(self, reading: Reading, request: Request) -> Any:
        """`/frameworks`, or the one that `framework_id` names."""
        wanted = request.query.get("framework_id")
        cluster, _ = await self.gathering.cluster(reading, frameworks=True, tasks=True, offers=True)
        named = [f for f in cluster.frameworks if wanted in (None, f.info.framework_id)]
        return legacy.Frameworks(cluster).split(named)

    async def tasks(self, reading: Reading, request: Request) -> Any:
        """`/tasks`: those that are asked for, in the order that is."""
        query = request.query
        wanted = TaskFilter(
            framework_id=query.get("framework_id", ""),
            id_prefix=query.get("task_id", ""),
            completed=True,
        )
        found = _all(await reading.tasks(wanted))
        if (task_id := query.get("task_id")) is not None:
            found = [task for task in found if task.task_info.task_id == task_id]
        ascending = query.get("order") == "asc"
        found.sort(key=_since, reverse=not ascending)
        offset, limit = _whole(query.get("offset"), 0), _whole(query.get("limit"), USUAL_TASKS)
        shown = found[offset : offset + limit]
        aware = showing.aware_of(await reading.frameworks())
        places = reading.places(shown)
        return {"tasks": [older.task(task, aware, places) for task in shown]}

    async def roles(self, reading: Reading, request: Request) -> Any:
        """`/roles`."""
        return legacy.roles(reading.roles())

    async def flags(self, reading: Reading, request: Request) -> Any:
        """`/flags`."""
        return {"flags": dict(self.gathering.flags)}

    async def quota(self, reading: Reading, request: Request) -> Any:
        """`/quota`."""
        return to_object(showing.quota_status(reading.roles()))

    async def weights(self, reading: Reading, request: Request) -> Any:
        """`/weights`."""
        return [to_object(one) for one in showing.weights(reading.roles())]

    async def maintenance_schedule(self, reading: Reading, request: Request) -> Any:
        """`/maintenance/schedule`."""
        return to_object(maintenance.schedule(await reading.agents()))

    async def maintenance_status(self, reading: Reading, request: Request) -> Any:
        """`/maintenance/status`."""
        return to_object(maintenance.status(await reading.agents()))

    # What is changed.

    async def _change(self, reading: Reading, request: Request) -> int:
        call = Call()
        match request.method, request.path:
            case "POST", ("teardown",):
                form = query_of(request.body.decode("utf-8", "replace"))
                if "frameworkId" not in form:
                    raise bad_request("Missing 'frameworkId' query parameter in the request body")
                return await tear_down(reading, form["frameworkId"])
            case "DELETE", ("quota", *role):
                return await remove_quota(reading, "/".join(role), _shown(request.path))
            case "POST", ("quota",):
                what = f"set quota request JSON {_quoted(request.body)}: "
                call.type = Call.SET_QUOTA
                call.set_quota.quota_request.CopyFrom(
                    _message(
                        _parsed(request.body, dict, f"Failed to parse {what}"),
                        mesos_master.QuotaRequest,
                        f"Failed to validate {what}",
                    )
                )
            case "PUT", ("weights",):
                call.type = Call.UPDATE_WEIGHTS
                said = f"({_quoted(request.body)}): "
                before = f"Failed to convert weights JSON array to protobuf {said}"
                failed = f"Failed to parse update weights request JSON {said}"
                for one in _parsed(request.body, list, failed):
                    info = _message(one, mesos_master.WeightInfo, before)
                    call.update_weights.weight_infos.append(info)
            case "POST", ("maintenance", "schedule"):
                call.type = Call.UPDATE_MAINTENANCE_SCHEDULE
                call.update_maintenance_schedule.schedule.CopyFrom(
                    _message(_parsed(request.body, dict), mesos_master.Schedule)
                )
            case "POST", (name,) if name in converting.FORMS:
                call = converting.call_of(name, query_of(request.body.decode("utf-8", "replace")))
            case "POST", ("machine", "down"):
                call.type = Call.START_MAINTENANCE
                call.start_maintenance.machines.extend(_machines(request.body))
            case "POST", ("machine", "up"):
                call.type = Call.STOP_MAINTENANCE
                call.stop_maintenance.machines.extend(_machines(request.body))
        return await change(reading, call)


_READ: Mapping[str, _Make] = {
    "state": Endpoints.state,
    "state-summary": Endpoints.state_summary,
    "slaves": Endpoints.slaves,
    "frameworks": Endpoints.frameworks,
    "tasks": Endpoints.tasks,
    "roles": Endpoints.roles,
    "flags": Endpoints.flags,
    "quota": Endpoints.quota,
    "weights": Endpoints.weights,
    "maintenance/schedule": Endpoints.maintenance_schedule,
    "maintenance/status": Endpoints.maintenance_status,
}
# What every master answers, and whom it asks nothing first.
_FILES = tuple(f"files/{kind}" for kind in files.KINDS)
_MACHINE = ("logging/toggle", "system/stats.json", "metrics/snapshot", *_FILES)
_HERE = ("health", "version", *_MACHINE, "redirect")
OPEN = frozenset({("health",), ("version",), ("redirect",)})
_CHANGED = {
    "quota": ("POST", "DELETE"),
    "weights": ("PUT",),
    "maintenance/schedule": ("POST",),
    "teardown": ("POST",),
    "machine/down": ("POST",),
    "machine/up": ("POST",),
    **dict.fromkeys(converting.FORMS, ("POST",)),
}
# The methods of each endpoint, in the order in which Mesos names them.
METHODS: Mapping[tuple[str, ...], Sequence[str]] = {
    tuple(path.split("/")): (
        *(("GET", "HEAD") if path in (*_READ, *_HERE) else ()),
        *_CHANGED.get(path, ()),
    )
    for path in (*_READ, *_HERE, *_CHANGED)
}


def _all(tasks: Tasks) -> list[pb.TaskView]:
    return [*tasks.live, *tasks.unreachable, *tasks.completed]


def _since(task: pb.TaskView) -> tuple[float, float, str]:
    """By when it began, as Mesos sorts them."""
    return task.launched_at_s, task.started_at_s, task.task_info.task_id


def _whole(text: str | None, usual: int) -> int:
    """A number of a query; what is none is as if nothing was said."""
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 9:
        return usual
    return int(text)


def _check_timeout(text: str | None) -> None:
    if text is None:
        return
    if _DURATION.fullmatch(text) is None:
        number = re.match(r"[0-9.]*", text)
        said = number[0] if number is not None else ""
        problem = "to number" if not said else "it has no unit, as in 5secs"
        raise bad_request(f"Invalid timeout '{text[:80]}': Failed to convert '{said}' {problem}.\n")


def _is_large(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    tasks = len(value.get("tasks", ()))
    for framework in value.get("frameworks", ()):
        tasks += len(framework.get("tasks", ())) + len(framework.get("completed_tasks", ()))
    return tasks > LARGE


def _json(value: Any, request: Request) -> Done:
    return Done(200, *written(value, request.query))


def _parsed(body: bytes, kind: type[Any], before: str = "") -> Any:
    """The JSON that a body is. Raises RefusalError, which begins with `before`."""
    try:
        value = parse_json(body)
    except ConversionError as error:
        raise bad_request(f"{before}{error}") from None
    if not isinstance(value, kind):
        raise bad_request(f"{before}Unexpected JSON type parsed")
    return value


def _message(value: Any, kind: Any, before: str = "") -> Any:
    try:
        return from_json(value, kind)
    except ConversionError as error:
        raise bad_request(f"{before}{error}") from None


def _quoted(body: bytes) -> str:
    """A body in a sentence, of which a part is enough."""
    return f"'{cut(body.decode('utf-8', 'backslashreplace'), MAX_SAID)}'"


def _shown(path: Sequence[str]) -> str:
    """A path as the master of Mesos has it, below its own name."""
    return f"/master/{'/'.join(path)}"


def _machines(body: bytes) -> list[mesos_master.MachineID]:
    return [_message(one, mesos_master.MachineID) for one in _parsed(body, list)]
