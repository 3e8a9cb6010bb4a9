"""What tasks have written: their files, as their agents have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymesos_core.json_dialect import Json, file_json, usage_json
from pymesos_core.transport import CallError, Code
from pymesos_master.http.asking import Asked, Parameter, one_line_text, text, whole
from pymesos_master.http.routes.table import Route
from pymesos_master.http.schemas import FLAG, many, record, ref
from pymesos_proto.v1 import sandbox_pb2 as pb

MOST_FILES = 10_000  # that an agent lists of a folder
MOST_PART = 512 * 1024  # bytes
MOST_OFFSET = 2**62
MOST_PATH = 1000  # characters
BINARY = "application/octet-stream"

TASK_ID = text("task_id", "Its id.", required=True)
FRAMEWORK_ID = text("framework_id", "Its framework; left out, no other may have a task of that id.")


def _path(what: str, *, required: bool = False) -> Parameter:
    """A path below the sandbox; that it is, its agent sees to."""
    return Parameter(
        "path",
        what,
        {"type": "string", "maxLength": MOST_PATH},
        lambda value: one_line_text(value, MOST_PATH),
        most=MOST_PATH,
        required=required,
    )


def _file(asked: Asked) -> pb.ReadFileRequest:
    last = asked.number("last")
    return pb.ReadFileRequest(
        framework_id=asked.text("framework_id"),
        task_id=asked.text("task_id"),
        path=asked.text("path"),
        offset=-last if last else asked.number("offset"),
        length=asked.number("length"),
    )


def _usage_json(answer: Any) -> Json:
    """The one that was asked for. Raises CallError where the task does not run."""
    if len(answer.tasks) != 1:
        raise CallError(Code.NOT_FOUND, "this task does not run, so it uses nothing")
    return usage_json(answer.tasks[0])


def _headers(answer: Any) -> Mapping[str, str]:
    """The headers of a part of a file, which no browser is to show as a page."""
    return {
        "Content-Disposition": "attachment",
        "Pymesos-Offset": str(answer.offset),
        "Pymesos-Size": str(answer.size_bytes),
    }


ROUTES: tuple[Route, ...] = (
    Route(
        "/v1/tasks/{task_id}/usage",
        "What a task that runs uses now, as its agent sees it.",
        "GetUsage",
        ref("Usage"),
        lambda asked: pb.GetUsageRequest(
            framework_id=asked.text("framework_id"), task_id=asked.text("task_id")
        ),
        _usage_json,
        (FRAMEWORK_ID,),
        in_path=(TASK_ID,),
        service="Sandbox",
    ),
    Route(
        "/v1/tasks/{task_id}/files",
        "The files of a task, also of one that has ended, as long as its agent keeps them.",
        "ListFiles",
        record(
            f"The files of a folder; `more` says that it has others, beyond {MOST_FILES}.",
            files=many(ref("File")),
            more=FLAG,
        ),
        lambda asked: pb.ListFilesRequest(
            framework_id=asked.text("framework_id"),
            task_id=asked.text("task_id"),
            path=asked.text("path"),
        ),
        lambda answer: {
            "files": [*map(file_json, answer.files)],
            "more": len(answer.files) >= MOST_FILES,
        },
        (_path("A folder in its sandbox; left out, the sandbox itself."), FRAMEWORK_ID),
        in_path=(TASK_ID,),
        service="Sandbox",
    ),
    Route(
        "/v1/tasks/{task_id}/file",
        "A part of a file of a task, as it is. The header `Pymesos-Offset` says where in the file"
        " it begins, and `Pymesos-Size` how long that is: ask again from where it ends, until"
        " nothing comes.",
        "ReadFile",
        {"type": "string", "format": "binary"},
        _file,
        lambda answer: answer.data,
        (
            _path("The file, in its sandbox.", required=True),
            whole("offset", "From which byte on; 0 if it is left out.", 0, MOST_OFFSET),
            whole("last", "Only so many bytes of its end, whatever `offset` is.", 1, MOST_OFFSET),
            whole("length", f"How many bytes at most; {MOST_PART} if left out.", 1, MOST_PART),
            FRAMEWORK_ID,
        ),
        in_path=(TASK_ID,),
        service="Sandbox",
        content_type=BINARY,
        headers=_headers,
    ),
)
