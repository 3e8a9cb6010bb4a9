"""Tasks: what there is of them, where they are reached, and how one is killed."""

from __future__ import annotations

from itertools import chain
from typing import Any

from pymesos_core.json_dialect import Json, task_json
from pymesos_core.transport import CallError, Code
from pymesos_master.http.asking import flag, one_of, text
from pymesos_master.http.discovery import targets_json
from pymesos_master.http.routes.table import ID_PREFIX, PAGE, Route, deed, listed, page_of, sorts
from pymesos_master.http.schemas import listing, many, ref
from pymesos_master.queries.ordering import TASK_SORTS
from pymesos_master.queries.paging import MAX_PAGE_SIZE
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

MOST_PORTS = 100_000  # of the tasks of a page; one task has fewer
STATES = [value.name for value in types_pb2.TaskState.DESCRIPTOR.values if value.number]
CALLED = text(
    "called",
    "Only those that people call so, as in `shop.web`, or so at the start. A run of a periodic task"
    " is named behind its task: `reports.daily@2026-11-29T02:30Z`.",
)


def _tasks_json(answer: Any) -> Json:
    """A page of tasks. Raises CallError for too many ports, which are said one by one."""
    ranges = (
        one
        for view in answer.tasks
        for resource in view.task_info.resources
        for one in resource.ranges.range
    )
    ports = sum(one.end - one.begin + 1 for one in ranges)
    if ports > MOST_PORTS:
        raise CallError(
            Code.RESOURCE_EXHAUSTED,
            f"the tasks of this page have {ports} ports, of which at most {MOST_PORTS} are told at"
            f" a time; ask with a smaller `limit`",
        )
    return listed("tasks", map(task_json, answer.tasks), answer)


ROUTES: tuple[Route, ...] = (
    Route(
        "/v1/tasks",
        "Tasks, by framework, as they were launched.",
        "ListTasks",
        listing("tasks", "Task"),
        lambda asked: pb.ListTasksRequest(
            page=page_of(asked),
            include_completed=asked.flag("completed"),
            framework_id=asked.text("framework_id"),
            agent_id=asked.text("agent_id"),
            id_prefix=asked.text("id_prefix"),
            name=asked.text("name"),
            states=asked.several("state"),
            called=asked.text("called"),
            search=asked.text("search"),
            sort=asked.text("sort"),
        ),
        _tasks_json,
        (
            *PAGE,
            ID_PREFIX,
            text("framework_id", "Only those of this framework."),
            text("agent_id", "Only those of this agent."),
            text("name", "Only those of this name."),
            CALLED,
            one_of("state", "Only those in this state; it may be given again.", STATES, many=True),
            flag("completed", "Also those that have ended."),
            text(
                "search",
                "Only those that have each of these words in their id, name, role, hostname,"
                " framework's name or reason.",
            ),
            sorts(TASK_SORTS),
        ),
    ),
    deed(
        "/v1/tasks/kill",
        "Kill a task: SIGTERM, and SIGKILL after its grace period. A service's task is replaced.",
        "KillTask",
        lambda asked: pb.KillTaskRequest(
            framework_id=asked.text("framework_id"), task_id=asked.text("task_id")
        ),
        (
            text("task_id", "Its id.", required=True),
            text("framework_id", "Its framework; left out, no other may have a task of that id."),
        ),
    ),
    Route(
        "/v1/sd",
        "Where tasks run that have ports, for the HTTP service discovery of Prometheus: the address"
        " of the agent with each port. Those on a network without it are left out. Ready are those"
        " that serve clients, where their framework says which do; of these the port's name, the"
        " job, its task and the instance are known, too.",
        "ListTasks",
        many(ref("TargetGroup")),
        lambda asked: pb.ListTasksRequest(
            page=pb.Page(page_size=MAX_PAGE_SIZE),
            framework_id=asked.text("framework_id"),
            called=asked.text("called"),
            states=[types_pb2.TASK_RUNNING],
        ),
        lambda answer: chain.from_iterable(map(targets_json, answer.tasks)),
        (text("framework_id", "Only those of this framework."), CALLED),
        paged=False,
        scrape=True,
    ),
)
