"""Jobs, as the frameworks that serve them have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pymesos_core.jobs_json import (
    alert_json,
    daemon_json,
    described_json,
    instance_json,
    job_json,
    job_silence_json,
    placement_json,
    quarantined_json,
    rollout_json,
    variable_json,
    version_json,
    volume_json,
)
from pymesos_core.json_access import receiver_json
from pymesos_core.json_dialect import Json
from pymesos_core.limits import MAX_JOB_VERSION
from pymesos_core.serving_jobs import JOB_SORTS
from pymesos_master.http.asking import (
    Asked,
    Parameter,
    flag,
    one_line_text,
    text,
    whole,
)
from pymesos_master.http.job_schemas import of_frameworks
from pymesos_master.http.routes.table import PAGE, Route, listed, sorts
from pymesos_master.http.schemas import listing, many, record, ref, whole_list
from pymesos_master.services.jobs_asked import (
    FoundJob,
    JobsAsked,
    OfAll,
    OfJob,
    OfRole,
    OfTask,
)
from pymesos_master.services.jobs_relay import Joined
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ReceiverView

MOST_TOKEN = 1000  # characters

FRAMEWORK = text("framework", "Only what this framework has: its id, or its name.")
IN_FRAMEWORK = text("framework", "Look for it in this framework: its id, or its name.")
JOB_NAME = text(
    "job",
    "Its id, or its name: the job that has not ended, or else the one submitted last.",
    required=True,
)
VERSION = whole("version", "A version; the one in force if it is left out.", 1, MAX_JOB_VERSION)
TOKEN = Parameter(
    "page_token",
    "The `next_page_token` of the page before.",
    {"type": "string", "maxLength": MOST_TOKEN},
    lambda value: one_line_text(value, MOST_TOKEN),
    most=MOST_TOKEN,
)
PAGES = (PAGE[0], TOKEN)


# Requests.


def _of_all(asked: Asked, request: Callable[[int, str], Any], items: Callable[[Any], Any]) -> OfAll:
    return OfAll(
        request,
        items,
        asked.text("framework"),
        asked.number("limit"),
        asked.text("page_token"),
    )


def of_job(asked: Asked, request: Callable[[str], Any]) -> OfJob:
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
            search=asked.text("search"),
            sort=asked.text("sort"),
        ),
        lambda answer: answer.jobs,
    )


# Answers.


def _receivers(page: Joined) -> list[Json]:
    """The receivers of the frameworks of which something is on a page."""
    seen: dict[tuple[str, str], Json] = {}
    for view, answer in page.answers:
        of, unreached = view.info.framework_id, {one.name: one for one in answer.unreached}
        for name in answer.receivers:
            told = receiver_json(unreached.get(name) or ReceiverView(name=name))
            seen[of, name] = {**told, "framework_id": of}
    return [*seen.values()]


def _silences(page: Joined) -> list[Json]:
    """The silences of the frameworks whose first alerts are on a page."""
    return [
        job_silence_json(silence, view.info.framework_id)
        for view, answer in page.answers
        for silence in answer.silences
    ]


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
        "daemons": [*map(daemon_json, view.daemons)],
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


ROUTES: tuple[Route, ...] = (
    _read(
        "/v1/variables",
        "Variables of roles, by framework, role and name.",
        "ListVariables",
        of_frameworks("variables", "Variable"),
        lambda asked: _of_all(
            asked,
            lambda size, token: pb.ListVariablesRequest(
                role=asked.text("role"), page_size=size, page_token=token
            ),
            lambda answer: answer.variables,
        ),
        lambda page: _joined(
            "variables",
            page,
            lambda answer, framework_id: (
                variable_json(each, framework_id) for each in answer.variables
            ),
        ),
        *PAGES,
        text("role", "Only those of this role."),
        FRAMEWORK,
    ),
    _read(
        "/v1/variables/history",
        "The values of a variable that are kept, the latest first.",
        "GetVariable",
        record("The values of a variable.", versions=many(ref("Variable"))),
        lambda asked: OfRole(
            asked.text("role"),
            pb.GetVariableRequest(role=asked.text("role"), name=asked.text("name")),
            asked.text("framework"),
        ),
        lambda answer: {
            "versions": [variable_json(each, answer[0]) for each in answer[1].versions]
        },
        text("role", "The role.", required=True),
        text("name", "The name of the variable.", required=True),
        IN_FRAMEWORK,
    ),
    _read(
        "/v1/jobs",
        "Jobs, by framework, and by id or sorted in each. What a framework that does not answer"
        " has is left out, and `unreachable` names it.",
        "ListJobs",
        of_frameworks("jobs", "Job"),
        _jobs,
        lambda page: _joined("jobs", page, lambda answer, _: map(job_json, answer.jobs)),
        *PAGES,
        FRAMEWORK,
        text("role", "Only those of this role."),
        text("called", "Only those of this id or name."),
        flag("ended", "Also those that have ended."),
        text(
            "search",
            "Only those that have all of these words, in whatever case, in their ids, names, roles,"
            " states and packages.",
        ),
        sorts(JOB_SORTS),
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
        lambda asked: of_job(
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
        lambda asked: of_job(asked, lambda job_id: pb.ListVersionsRequest(job_id=job_id)),
        lambda answer: {"versions": [*map(version_json, answer.versions)]},
        IN_FRAMEWORK,
        in_path=(JOB_NAME,),
    ),
    _read(
        "/v1/jobs/{job}/document",
        "The job file of a version.",
        "DescribeJob",
        ref("JobDocument"),
        lambda asked: of_job(
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
        "/v1/alerts",
        "Alerts of jobs that are not quiet, and the silences and receivers of their frameworks.",
        "ListAlerts",
        of_frameworks("alerts", "Alert", receivers="JobReceiver", silences="JobSilence"),
        lambda asked: _of_all(
            asked,
            lambda size, token: pb.ListAlertsRequest(page_size=size, page_token=token),
            lambda answer: answer.alerts,
        ),
        lambda page: (
            _joined("alerts", page, lambda answer, of: (alert_json(a, of) for a in answer.alerts))
            | {"receivers": _receivers(page), "silences": _silences(page)}
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
