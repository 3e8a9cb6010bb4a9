"""What is done to jobs, by the frameworks that serve them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from pymesos_core.ids import size_of
from pymesos_core.jobs_json import applied_json, changed_json, rollout_json, run_json, silenced_json
from pymesos_core.json_dialect import Json
from pymesos_core.limits import JOB, JOB_TEXT, MAX_JOB_VERSION, VARIABLE_VALUE
from pymesos_core.transport import CallError, Code
from pymesos_master.http.asking import (
    Asked,
    Parameter,
    document,
    flag,
    is_text,
    one_line_text,
    text,
    texts,
    whole,
)
from pymesos_master.http.routes.jobs import IN_FRAMEWORK, JOB_NAME, of_job
from pymesos_master.http.routes.table import DONE, Route
from pymesos_master.http.schemas import TEXT, record, ref, whole_list
from pymesos_master.services.jobs_asked import JobsAsked, OfDocument, OfFramework, OfRole
from pymesos_proto.v1 import jobs_pb2 as pb

MOST_TASKS = 1000  # of a job
MOST_INSTANCES = 10_000  # of a task
MOST_ARGS, MOST_OF_ARG = 32, 1024  # of a run, and characters of each
BODY_BYTES = 2 * JOB.most  # in which characters may be escaped

IF_VERSION_OF_VARIABLE = whole(
    "if_version", "Refused unless this version is in force; 0: unless there is none.", 0, 2**32 - 1
)
IF_VERSION = whole("if_version", "Refused unless this version is in force.", 1, MAX_JOB_VERSION)
REQUEST_ID = text(
    "request_id", "What is sent twice with the same one, as after a time-out, is done once."
)
FRAMEWORK_ID = text("framework_id", "The framework that has it.", required=True)


ROLE = text("role", "The role.", required=True)
VARIABLE = text("name", "The name of the variable.", required=True)


def _value(name: str, what: str) -> Parameter:
    """A text of several lines, which may be empty."""

    def read(value: Any) -> str:
        if not is_text(value) or VARIABLE_VALUE.problem(size_of(value)):
            raise ValueError(f"a text of at most {VARIABLE_VALUE.most} bytes")
        return str(value)

    schema = {"type": "string", "maxLength": VARIABLE_VALUE.most}
    return Parameter(name, what, schema, read, required=True)


def _object(name: str, what: str) -> Parameter:
    """An object of any kind."""

    def read(value: Any) -> Json:
        if not isinstance(value, dict):
            raise ValueError("an object")
        return value

    return Parameter(name, what, {"type": "object"}, read)


def _counts(name: str, what: str) -> Parameter:
    """Numbers of instances, by task."""

    def read(value: Any) -> dict[str, int]:
        if not isinstance(value, dict) or not 1 <= len(value) <= MOST_TASKS:
            raise ValueError(f"an object with 1 to {MOST_TASKS} tasks")
        for task, number in value.items():
            one_line_text(task)
            if isinstance(number, bool) or not isinstance(number, int):
                number = 0
            if not 1 <= number <= MOST_INSTANCES:
                raise ValueError(f"a whole number from 1 to {MOST_INSTANCES} for each task")
        return value

    of = {"type": "integer", "minimum": 1, "maximum": MOST_INSTANCES}
    schema = {
        "type": "object",
        "additionalProperties": of,
        "minProperties": 1,
        "maxProperties": MOST_TASKS,
    }
    return Parameter(name, what, schema, read, required=True)


def _args(name: str, what: str) -> Parameter:
    """Values of parameters, by their names."""

    def read(value: Any) -> dict[str, str]:
        if not isinstance(value, dict) or len(value) > MOST_ARGS:
            raise ValueError(f"an object with at most {MOST_ARGS} parameters")
        for parameter, given in value.items():
            one_line_text(parameter)
            if not is_text(given) or len(given) > MOST_OF_ARG:
                raise ValueError(f"text of at most {MOST_OF_ARG} characters for each parameter")
        return value

    of = {"type": "string", "maxLength": MOST_OF_ARG}
    schema = {"type": "object", "additionalProperties": of, "maxProperties": MOST_ARGS}
    return Parameter(name, what, schema, read)


FILE = (
    _object("document", "The job: a job file as JSON (see docs/jobs.md); or else `text`."),
    document("text", "A job file as it is written, as YAML or JSON.", JOB_TEXT.most),
    IN_FRAMEWORK,
    REQUEST_ID,
)


def _request_id(asked: Asked) -> str:
    return asked.text("request_id") or str(uuid4())


def _file(asked: Asked, request: Callable[[str, str], Any], *, plan: bool = False) -> OfDocument:
    """A call with a job file. Raises CallError."""
    if ("document" in asked) == ("text" in asked):
        raise CallError(
            Code.INVALID_ARGUMENT,
            "the job file is expected, either as the field `document` or as the field `text`",
        )
    return OfDocument(
        asked.value("document"), asked.text("text"), request, asked.text("framework"), plan
    )


def _apply(asked: Asked, *, plan: bool = False) -> JobsAsked:
    plan = plan or asked.flag("plan")
    return _file(
        asked,
        lambda as_json, as_text: pb.ApplyJobRequest(
            job_json=as_json,
            job_text=as_text,
            request_id=_request_id(asked),
            job_id=asked.text("job_id"),
            dry_run=plan,
            if_version=asked.number("if_version"),
            keep_counts=asked.flag("keep_counts"),
            rerun=asked.flag("rerun"),
        ),
        plan=plan,
    )


def _submit(asked: Asked) -> JobsAsked:
    return _file(
        asked,
        lambda as_json, as_text: pb.SubmitJobRequest(
            job_json=as_json,
            job_text=as_text,
            request_id=_request_id(asked),
            same_name=asked.flag("same_name"),
        ),
    )


def _scale(asked: Asked) -> JobsAsked:
    return of_job(
        asked,
        lambda job_id: pb.ScaleJobRequest(
            job_id=job_id,
            counts=asked.value("counts"),
            request_id=_request_id(asked),
            if_version=asked.number("if_version"),
        ),
    )


def _do(
    path: str,
    what: str,
    call: str,
    to_request: Callable[[Asked], JobsAsked],
    body: tuple[Parameter, ...],
    schema: Json = DONE,
    to_json: Callable[[Any], Json] = lambda answer: {},
    **more: Any,
) -> Route:
    return Route(
        path,
        what,
        call,
        schema,
        to_request,
        to_json,
        method="POST",
        body=body,
        service="Jobs",
        **more,
    )


def _steer(verb: str, what: str) -> Route:
    """A route by which rollouts of a job are steered."""
    return _do(
        f"/v1/jobs/{verb}",
        what,
        f"{verb.capitalize()}Rollout",
        lambda asked: of_job(
            asked,
            lambda job_id: pb.RolloutRequest(job_id=job_id, task_name=asked.text("task")),
        ),
        (JOB_NAME, text("task", "Only the rollout of this task."), IN_FRAMEWORK),
        whole_list("rollouts", "Rollout"),
        lambda answer: {"rollouts": [*map(rollout_json, answer.rollouts)]},
    )


ROUTES: tuple[Route, ...] = (
    _do(
        "/v1/jobs/apply",
        "Make the job of a role and a name what its file says: it is started, changed, or left as"
        " it is. With `plan` nothing is changed: see `/v1/whatif`.",
        "ApplyJob",
        _apply,
        (
            *FILE,
            text("job_id", "Which job is meant, where several of its role and name run."),
            flag("plan", "Change nothing."),
            IF_VERSION,
            flag("keep_counts", "Numbers of instances stay as they are."),
            flag("rerun", "Batch tasks that have ended run again where they are changed."),
        ),
        ref("Applied"),
        applied_json,
        body_bytes=BODY_BYTES,
    ),
    _do(
        "/v1/whatif",
        "Say what a job file would change, where what it starts would go now, what would be"
        " preempted for it, and what does not fit. Nothing is changed.",
        "ApplyJob",
        lambda asked: _apply(asked, plan=True),
        (
            *FILE,
            text("job_id", "Which job is meant, where several of its role and name run."),
            flag("keep_counts", "Numbers of instances stay as they are."),
        ),
        ref("Applied"),
        applied_json,
        body_bytes=BODY_BYTES,
    ),
    _do(
        "/v1/jobs/submit",
        "Start a job.",
        "SubmitJob",
        _submit,
        (*FILE, flag("same_name", "Although a job of its name has not ended.")),
        record("The job that is started.", job_id=TEXT),
        lambda answer: {"job_id": answer.job_id},
        body_bytes=BODY_BYTES,
    ),
    _do(
        "/v1/jobs/scale",
        "Have other numbers of instances.",
        "ScaleJob",
        _scale,
        (
            JOB_NAME,
            _counts("counts", "How many instances, by task."),
            IF_VERSION,
            IN_FRAMEWORK,
            REQUEST_ID,
        ),
        ref("Changed"),
        changed_json,
    ),
    _do(
        "/v1/jobs/restart",
        "Replace every instance of tasks by another that is the same.",
        "RestartJob",
        lambda asked: of_job(
            asked,
            lambda job_id: pb.RestartJobRequest(
                job_id=job_id,
                tasks=asked.several("tasks"),
                request_id=_request_id(asked),
                lose_volumes=asked.flag("lose_volumes"),
            ),
        ),
        (
            JOB_NAME,
            texts("tasks", "Which; left out, every service.", MOST_TASKS),
            flag(
                "lose_volumes",
                "Restart nothing else than what waits for data on agents that cannot be reached, or"
                " on which it may not run: it begins elsewhere with empty volumes.",
            ),
            IN_FRAMEWORK,
            REQUEST_ID,
        ),
        ref("Changed"),
        changed_json,
    ),
    _do(
        "/v1/jobs/trigger",
        "Have a run of a periodic task begin now, as its `overlap` has it.",
        "TriggerJob",
        lambda asked: of_job(
            asked,
            lambda job_id: pb.TriggerJobRequest(
                job_id=job_id,
                task_name=asked.text("task"),
                args=asked.value("args") or {},
                request_id=_request_id(asked),
            ),
        ),
        (
            JOB_NAME,
            text("task", "Which; left out, the only one that is periodic."),
            _args("args", "Values of its parameters."),
            IN_FRAMEWORK,
            REQUEST_ID,
        ),
        record("The run that begins, or waits.", task_name=TEXT, run=ref("Run")),
        lambda answer: {"task_name": answer.task_name, "run": run_json(answer.run)},
    ),
    _do(
        "/v1/jobs/rollback",
        "Make a job what an earlier version said, as a new version.",
        "RollbackJob",
        lambda asked: of_job(
            asked,
            lambda job_id: pb.RollbackJobRequest(
                job_id=job_id, version=asked.number("version"), request_id=_request_id(asked)
            ),
        ),
        (
            JOB_NAME,
            whole(
                "version",
                "Left out, the latest that is known to work and by which something else ran.",
                1,
                MAX_JOB_VERSION,
            ),
            IN_FRAMEWORK,
            REQUEST_ID,
        ),
        ref("Changed"),
        changed_json,
    ),
    _steer("pause", "Hold rollouts: nothing is replaced until they are resumed."),
    _steer("resume", "Have paused rollouts go on."),
    _steer("promote", "Take the canaries for good: the other instances follow."),
    _steer("abort", "End rollouts where they are: what is ready stays, of whichever version."),
    _do(
        "/v1/jobs/stop",
        "End a job and its tasks.",
        "StopJob",
        lambda asked: of_job(
            asked, lambda job_id: pb.StopJobRequest(job_id=job_id, now=asked.flag("now"))
        ),
        (JOB_NAME, flag("now", "Give clients no time to leave."), IN_FRAMEWORK),
    ),
    _do(
        "/v1/alerts/silence",
        "Have nobody told of alerts of a job for a while, or again. What was told before goes on.",
        "SilenceAlerts",
        lambda asked: of_job(
            asked,
            lambda job_id: pb.SilenceAlertsRequest(
                job_id=job_id,
                task_name=asked.text("task"),
                when=asked.text("when"),
                for_s=asked.number("for_s"),
                why=asked.text("why"),
            ),
        ),
        (
            JOB_NAME,
            text("task", "Only of this task of it."),
            text("when", "Only of this kind, as in `unhealthy`."),
            whole("for_s", "For so many seconds; 0 tells again.", 0, 30 * 86400, required=True),
            text("why", "For those who wonder later."),
            IN_FRAMEWORK,
        ),
        ref("Silenced"),
        silenced_json,
    ),
    _do(
        "/v1/alerts/test",
        "Tell a receiver that nothing is wrong; what keeps it from taking that is said.",
        "TestReceiver",
        lambda asked: OfFramework(
            asked.text("framework_id"), pb.TestReceiverRequest(receiver=asked.text("receiver"))
        ),
        (FRAMEWORK_ID, text("receiver", "Its name.", required=True)),
    ),
    _do(
        "/v1/variables/set",
        "Set a variable of a role. Each job that refers to it gets another version.",
        "SetVariable",
        lambda asked: OfRole(
            asked.text("role"),
            pb.SetVariableRequest(
                role=asked.text("role"),
                name=asked.text("name"),
                value=asked.text("value"),
                request_id=_request_id(asked),
                if_version=asked.value("if_version"),
            ),
            asked.text("framework"),
        ),
        (
            ROLE,
            VARIABLE,
            _value("value", "Its value."),
            IF_VERSION_OF_VARIABLE,
            IN_FRAMEWORK,
            REQUEST_ID,
        ),
        ref("VariableSet"),
        lambda answer: {
            "version": answer[1].version,
            "changed": answer[1].changed,
            "jobs": answer[1].jobs,
        },
    ),
    _do(
        "/v1/variables/remove",
        "Remove a variable of a role that no job refers to.",
        "RemoveVariable",
        lambda asked: OfRole(
            asked.text("role"),
            pb.RemoveVariableRequest(
                role=asked.text("role"), name=asked.text("name"), force=asked.flag("force")
            ),
            asked.text("framework"),
        ),
        (
            ROLE,
            VARIABLE,
            flag("force", "Although jobs refer to it, which keep the value that they have."),
            IN_FRAMEWORK,
        ),
    ),
    _do(
        "/v1/quarantined-jobs/release",
        "Try a job again that could not be handled; or forget it.",
        "ReleaseQuarantined",
        lambda asked: OfFramework(
            asked.text("framework_id"),
            pb.ReleaseQuarantinedRequest(
                job_id=asked.text("job_id"), discard=asked.flag("discard")
            ),
        ),
        (
            FRAMEWORK_ID,
            text("job_id", "The job.", required=True),
            flag("discard", "Forget it, and end its tasks."),
        ),
    ),
    _do(
        "/v1/volumes/forget",
        "Have a framework forget a volume: the next run of its name makes a new one.",
        "ForgetVolume",
        lambda asked: OfFramework(
            asked.text("framework_id"),
            pb.ForgetVolumeRequest(role=asked.text("role"), volume_id=asked.text("volume_id")),
        ),
        (
            FRAMEWORK_ID,
            text("role", "Its role.", required=True),
            text("volume_id", "Its id.", required=True),
        ),
    ),
)
