"""Jobs, as the frameworks that serve them have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

from pymesos_core.jobs_json import (
    applied_json,
    changed_json,
    described_json,
    instance_json,
    job_json,
    placement_json,
    quarantined_json,
    rollout_json,
    version_json,
    volume_json,
)
from pymesos_core.json_dialect import Json
from pymesos_core.limits import JOB, JOB_TEXT, MAX_JOB_VERSION
from pymesos_core.transport import CallError, Code
from pymesos_master.http.asking import (
    Asked,
    Parameter,
    document,
    flag,
    one_line_text,
    text,
    texts,
    whole,
)
from pymesos_master.http.job_schemas import of_frameworks
from pymesos_master.http.routes.table import DONE, PAGE, Route, listed
from pymesos_master.http.schemas import TEXT, listing, record, ref, whole_list
from pymesos_master.services.jobs_asked import (
    FoundJob,
    JobsAsked,
    OfAll,
    OfDocument,
    OfFramework,
    OfJob,
    OfTask,
)
from pymesos_master.services.jobs_relay import Joined
from pymesos_proto.v1 import jobs_pb2 as pb

MOST_TASKS = 1000  # of a job
MOST_INSTANCES = 10_000  # of a task
MOST_TOKEN = 1000  # characters
BODY_BYTES = 2 * JOB.most  # in which characters may be escaped

FRAMEWORK = text("framework", "Only what this framework has: its id, or its name.")
IN_FRAMEWORK = text("framework", "Look for it in this framework: its id, or its name.")
FRAMEWORK_ID = text("framework_id", "The framework that has it.", required=True)
JOB_NAME = text(
    "job",
    "Its id, or its name: the job that has not ended, or else the one submitted last.",
    required=True,
)
VERSION = whole("version", "A version; the one in force if it is left out.", 1, MAX_JOB_VERSION)
REQUEST_ID = text(
    "request_id", "What is sent twice with the same one, as after a time-out, is done once."
)
IF_VERSION = whole("if_version", "Refused unless this version is in force.", 1, MAX_JOB_VERSION)
TOKEN = Parameter(
    "page_token",
    "The `next_page_token` of the page before.",
    {"type": "string", "maxLength": MOST_TOKEN},
    lambda value: one_line_text(value, MOST_TOKEN),
    most=MOST_TOKEN,
)
PAGES = (PAGE[0], TOKEN)


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


FILE = (
    _object("document", "The job: a job file as JSON (see docs/job-files.md); or else `text`."),
    document("text", "A job file as it is written, as YAML or JSON.", JOB_TEXT.most),
    IN_FRAMEWORK,
    REQUEST_ID,
)


def _request_id(asked: Asked) -> str:
    return asked.text("request_id") or str(uuid4())


# Requests.


def _of_all(asked: Asked, request: Callable[[int, str], Any], items: Callable[[Any], Any]) -> OfAll:
    return OfAll(
        request,
        items,
        asked.text("framework"),
        asked.number("limit"),
        asked.text("page_token"),
    )


def _of_job(asked: Asked, request: Callable[[str], Any]) -> OfJob:
    return OfJob(asked.text("job"), request, asked.text("framework"))


def _jobs(asked: Asked) -> JobsAsked:
    return _of_all(
        asked,
        lambda size, token: pb.ListJobsRequest(
            include_ended=asked.flag("ended"),
            page_size=size,
            page_token=token,
            called=asked.text("called"),
            role=asked.text("role"),
        ),
        lambda answer: answer.jobs,
    )


def _file(asked: Asked, request: Callable[[str, str], Any]) -> OfDocument:
    """A call with a job file. Raises CallError."""
    if ("document" in asked) == ("text" in asked):
        raise CallError(
            Code.INVALID_ARGUMENT,
            "the job file is expected, either as the field `document` or as the field `text`",
        )
    return OfDocument(asked.value("document"), asked.text("text"), request, asked.text("framework"))


def _apply(asked: Asked) -> JobsAsked:
    return _file(
        asked,
        lambda as_json, as_text: pb.ApplyJobRequest(
            job_json=as_json,
            job_text=as_text,
            request_id=_request_id(asked),
            job_id=asked.text("job_id"),
            dry_run=asked.flag("plan"),
            if_version=asked.number("if_version"),
            keep_counts=asked.flag("keep_counts"),
            rerun=asked.flag("rerun"),
        ),
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
    return _of_job(
        asked,
        lambda job_id: pb.ScaleJobRequest(
            job_id=job_id,
            counts=asked.value("counts"),
            request_id=_request_id(asked),
            if_version=asked.number("if_version"),
        ),
    )


# Answers.


def _joined(name: str, page: Joined, rows: Callable[[Any, str], Iterable[Json]]) -> Json:
    """A page, as `job_schemas.of_frameworks` has it."""
    return {
        name: [
            row for view, answer in page.answers for row in rows(answer, view.info.framework_id)
        ],
        "unreachable": [
            {
                "framework_id": one.view.info.framework_id,
                "name": one.view.info.name,
                "why": one.why,
            }
            for one in page.silent
        ],
        "next_page_token": page.next_token or None,
    }


def _detail_json(view: pb.JobView) -> Json:
    return {
        **job_json(view),
        "settled": view.settled,
        "rollouts": [*map(rollout_json, view.rollouts)],
    }


def _quarantined_json(view: pb.QuarantinedJob) -> Json:
    return {**quarantined_json(view), "document": view.document or None}


def _read(
    path: str,
    what: str,
    call: str,
    schema: Json,
    to_request: Callable[[Asked], JobsAsked],
    to_json: Callable[[Any], Json],
    *parameters: Parameter,
    in_path: tuple[Parameter, ...] = (),
) -> Route:
    return Route(
        path, what, call, schema, to_request, to_json, parameters, in_path=in_path, service="Jobs"
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
        lambda asked: _of_job(
            asked,
            lambda job_id: pb.RolloutRequest(job_id=job_id, task_name=asked.text("task")),
        ),
        (JOB_NAME, text("task", "Only the rollout of this task."), IN_FRAMEWORK),
        whole_list("rollouts", "Rollout"),
        lambda answer: {"rollouts": [*map(rollout_json, answer.rollouts)]},
    )


READS = (
    _read(
        "/v1/jobs",
        "Jobs, by framework and id. What a framework that does not answer has is left out, and"
        " `unreachable` names it.",
        "ListJobs",
        of_frameworks("jobs", "Job"),
        _jobs,
        lambda page: _joined("jobs", page, lambda answer, _: map(job_json, answer.jobs)),
        *PAGES,
        FRAMEWORK,
        text("role", "Only those of this role."),
        text("called", "Only those of this id or name."),
        flag("ended", "Also those that have ended."),
    ),
    _read(
        "/v1/jobs/{job}",
        "A job, and the rollouts of its tasks.",
        "ListJobs",
        ref("JobDetail"),
        lambda asked: FoundJob(asked.text("job"), asked.text("framework")),
        _detail_json,
        IN_FRAMEWORK,
        in_path=(JOB_NAME,),
    ),
    _read(
        "/v1/jobs/{job}/instances",
        "The instances of a job, by task and number.",
        "ListInstances",
        listing("instances", "Instance"),
        lambda asked: _of_job(
            asked,
            lambda job_id: pb.ListInstancesRequest(
                job_id=job_id,
                page_size=asked.number("limit"),
                page_token=asked.text("page_token"),
            ),
        ),
        lambda answer: listed("instances", map(instance_json, answer.instances), answer),
        *PAGES,
        IN_FRAMEWORK,
        in_path=(JOB_NAME,),
    ),
    _read(
        "/v1/jobs/{job}/versions",
        "The versions of a job that are kept, the latest first, which is in force.",
        "ListVersions",
        whole_list("versions", "JobVersion"),
        lambda asked: _of_job(asked, lambda job_id: pb.ListVersionsRequest(job_id=job_id)),
        lambda answer: {"versions": [*map(version_json, answer.versions)]},
        IN_FRAMEWORK,
        in_path=(JOB_NAME,),
    ),
    _read(
        "/v1/jobs/{job}/document",
        "The job file of a version.",
        "DescribeJob",
        ref("JobDocument"),
        lambda asked: _of_job(
            asked,
            lambda job_id: pb.DescribeJobRequest(job_id=job_id, version=asked.number("version")),
        ),
        described_json,
        VERSION,
        IN_FRAMEWORK,
        in_path=(JOB_NAME,),
    ),
    _read(
        "/v1/tasks/{task_id}/placement",
        "Why a task of a job is where it is: what its framework compared when it chose the agent.",
        "ExplainPlacement",
        ref("Placement"),
        lambda asked: OfTask(
            asked.text("task_id"), pb.ExplainPlacementRequest(task_id=asked.text("task_id"))
        ),
        placement_json,
        in_path=(text("task_id", "Its id.", required=True),),
    ),
    _read(
        "/v1/volumes",
        "Volumes that jobs have, or have left for the next run of their names.",
        "ListVolumes",
        of_frameworks("volumes", "Volume"),
        lambda asked: _of_all(
            asked,
            lambda size, token: pb.ListVolumesRequest(page_size=size, page_token=token),
            lambda answer: answer.volumes,
        ),
        lambda page: _joined(
            "volumes", page, lambda answer, of: (volume_json(v, of) for v in answer.volumes)
        ),
        *PAGES,
        FRAMEWORK,
    ),
    _read(
        "/v1/quarantined-jobs",
        "Jobs that are stored and cannot be handled, and why.",
        "ListQuarantined",
        of_frameworks("quarantined", "QuarantinedJob"),
        lambda asked: _of_all(
            asked,
            lambda size, token: pb.ListQuarantinedRequest(
                job_id=asked.text("job_id"), page_token=token
            ),
            lambda answer: answer.jobs,
        ),
        lambda page: _joined(
            "quarantined", page, lambda answer, _: map(_quarantined_json, answer.jobs)
        ),
        *PAGES,
        FRAMEWORK,
        text("job_id", "Only this one, with its document."),
    ),
)
DEEDS = (
    _do(
        "/v1/jobs/apply",
        "Make the job of a role and a name what its file says: it is started, changed, or left as"
        " it is. With `plan` say what would change, and change nothing.",
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
        lambda asked: _of_job(
            asked,
            lambda job_id: pb.RestartJobRequest(
                job_id=job_id, tasks=asked.several("tasks"), request_id=_request_id(asked)
            ),
        ),
        (
            JOB_NAME,
            texts("tasks", "Which; left out, every service.", MOST_TASKS),
            IN_FRAMEWORK,
            REQUEST_ID,
        ),
        ref("Changed"),
        changed_json,
    ),
    _do(
        "/v1/jobs/rollback",
        "Make a job what an earlier version said, as a new version.",
        "RollbackJob",
        lambda asked: _of_job(
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
        lambda asked: _of_job(
            asked, lambda job_id: pb.StopJobRequest(job_id=job_id, now=asked.flag("now"))
        ),
        (JOB_NAME, flag("now", "Give clients no time to leave."), IN_FRAMEWORK),
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
ROUTES: tuple[Route, ...] = (*READS, *DEEDS)
