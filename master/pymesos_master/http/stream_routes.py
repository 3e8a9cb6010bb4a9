"""The table of streams: paths that are answered for as long as that is read.

A stream has a slot of its own (see `streams`). It ends with its connection, when its caller is let
in no more, and with the server; what opens it has to see to the rest, as to the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pymesos_core.caller import Caller
from pymesos_core.json_dialect import event_json
from pymesos_master.http import logs
from pymesos_master.http.asking import NOTHING, Asked, flag, one_of, text, whole
from pymesos_master.http.events import CONTENT_TYPE, Events
from pymesos_master.http.exec import START_SCHEMA
from pymesos_master.http.routes.sandbox import FRAMEWORK_ID, TASK_ID
from pymesos_master.http.routes.table import Route
from pymesos_master.http.routes.webhooks import KINDS
from pymesos_master.http.schemas import ref
from pymesos_master.http.streams import Parts
from pymesos_master.services.relaying import OperatorCalls
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import sandbox_pb2

CURSOR = "cursor"
MOST_LATEST = 1000
MOST_LINES = 100_000  # as `pymesos-cli logs` has it


@dataclass(frozen=True)
class Doors:
    """What streams are made of."""

    events: Events
    operators: OperatorCalls


@dataclass(frozen=True)
class Stream(Route):
    """A path that is answered by a stream: `schema` and `to_json` are of what each part says."""

    opened: Callable[[Doors, Any, Caller], Parts] = field(kw_only=True)  # for a request
    resumes: str = ""  # the parameter that the header Last-Event-ID takes the place of

    def resumed(self, headers: Mapping[str, str]) -> Asked:
        """What a browser asks for that comes back, whatever its address says."""
        last = headers.get("last-event-id", "")
        return Asked({self.resumes: last}) if self.resumes and last else NOTHING


@dataclass(frozen=True)
class Socket(Route):
    """A path at which a WebSocket is opened; `schema` is of its first message."""


def _watch(asked: Asked) -> pb.WatchEventsRequest:
    return pb.WatchEventsRequest(
        cursor=asked.text(CURSOR),
        kinds=[kind.upper() for kind in asked.several("kind")],
        role=asked.text("role"),
        framework_id=asked.text("framework_id"),
        agent_id=asked.text("agent_id"),
        called=asked.text("called"),
        without_state=asked.flag("without_state"),
        latest=asked.number("latest") if "latest" in asked else 0,
    )


def _read_log(asked: Asked) -> sandbox_pb2.ReadLogRequest:
    request = sandbox_pb2.ReadLogRequest(
        framework_id=asked.text("framework_id"),
        task_id=asked.text("task_id"),
        stderr=asked.flag("stderr"),
        follow=asked.flag("follow"),
    )
    if "tail" in asked:
        request.tail_lines = asked.number("tail")
    return request


STREAMS: tuple[Stream, ...] = (
    Stream(
        "/v1/events",
        "What happens in the cluster, as server-sent events; first the state as it is, unless it"
        " goes on from a cursor.",
        "WatchEvents",
        ref("Event"),
        _watch,
        event_json,
        (
            text(CURSOR, "The `id` of the last event that came; the header Last-Event-ID is one."),
            one_of("kind", "Only events of this kind; it may be given again.", KINDS, many=True),
            text("role", "Only what is of this role, or of one below it; agents are of none."),
            text("framework_id", "Only what is of this framework."),
            text("agent_id", "Only what is of this agent."),
            text(
                "called",
                "Only tasks of jobs that people call so, as in `shop.web`, or so at the start.",
            ),
            flag("without_state", "Instead of the state nothing comes: only what happens then."),
            whole(
                "latest",
                "Of what happens within two seconds, only the latest so many come; `left_out` says"
                " how many of which kind happened before. It is for who looks on, as a page does.",
                1,
                MOST_LATEST,
            ),
        ),
        content_type=CONTENT_TYPE,
        opened=lambda doors, request, caller: doors.events.to(request, caller),
        resumes=CURSOR,
    ),
    Stream(
        "/v1/tasks/{task_id}/logs",
        "What a task has written to its stdout, as it is, also of one that has ended. What ends it"
        " before its end is said in its last line, which then begins with `--- `.",
        "ReadLog",
        {"type": "string"},
        _read_log,
        lambda part: part.data,
        (
            flag("stderr", "Its stderr instead."),
            whole("tail", "Only the last so many lines.", 0, MOST_LINES),
            replace(
                flag("follow", "Go on with what it writes, until it has ended."),
                from_text={"true": True, "1": True, "false": False, "0": False}.get,
            ),
            FRAMEWORK_ID,
        ),
        in_path=(TASK_ID,),
        service="Sandbox",
        content_type=logs.CONTENT_TYPE,
        opened=lambda doors, request, caller: logs.parts(doors.operators, request, caller),
    ),
)
EXEC = Socket(
    "/v1/tasks/{task_id}/exec",
    "A command in a task that runs, over a WebSocket. The first message is the command, as a JSON"
    ' object; then binary messages are its stdin, and `{"stdin_closed": true}`, `{"signal": 2}`'
    ' and `{"rows": 40, "columns": 80}` what else happens to it. It answers with binary messages,'
    " of which the first byte is 1 for stdout and 2 for stderr, and at its end with"
    ' `{"exit_status": 0}`, or with `{"error": …}`. Of the master that leads.',
    "Exec",
    START_SCHEMA,
    lambda asked: asked,
    lambda answer: answer,
    (FRAMEWORK_ID,),
    in_path=(TASK_ID,),
    service="Sandbox",
    status=101,
)
