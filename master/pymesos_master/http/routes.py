"""The table of routes: the server, the OpenAPI document and docs/http-api.md are made from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pymesos_core.json_dialect import (
    Json,
    agent_json,
    audit_line_json,
    drained_json,
    framework_json,
    leader_json,
    master_source,
    offer_json,
    quota_json,
    reservations_json,
    role_json,
    task_json,
    window_json,
)
from pymesos_core.security.policy import Verb
from pymesos_core.transport import CallError, Code
from pymesos_master.http.asking import Asked, Parameter, flag, one_of, seconds, text, whole
from pymesos_master.http.discovery import targets_json
from pymesos_master.http.schemas import listing, many, ref, whole_list
from pymesos_master.queries.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2


@dataclass(frozen=True)
class Route:
    """A path that is answered: by which call of Operator, and how that is said in JSON."""

    path: str
    what: str  # it answers, as a sentence
    call: str
    schema: Json  # of the answer
    to_request: Callable[[Asked], Any]
    to_json: Callable[[Any], Any]
    parameters: tuple[Parameter, ...] = ()
    paged: bool = True  # by the client; else to_json gives entries of a page, and all are joined
    here: bool = False  # every master answers of itself
    open: bool = False  # to who has no certificate, too


PAGE = (
    whole(
        "limit",
        f"How many there are on a page at most; {DEFAULT_PAGE_SIZE} if it is left out.",
        1,
        MAX_PAGE_SIZE,
    ),
    text(
        "page_token",
        "The `next_page_token` of the page before. It lives for a minute, with the master that"
        " leads; then the answer is 409, and the list has to be begun anew.",
    ),
)
ID_PREFIX = text("id_prefix", "Only those whose id begins so.")
MOST_PORTS = 100_000  # of the tasks of a page; one task has fewer
STATES = [value.name for value in types_pb2.TaskState.DESCRIPTOR.values if value.number]


def _page(asked: Asked) -> pb.Page:
    return pb.Page(page_size=asked.number("limit"), page_token=asked.text("page_token"))


def _listed(name: str, items: Iterable[Json], answer: Any) -> Json:
    return {name: [*items], "next_page_token": answer.next_page_token or None}


def _agents(asked: Asked) -> pb.ListAgentsRequest:
    return pb.ListAgentsRequest(page=_page(asked), id_prefix=asked.text("id_prefix"))


def _of_agents(
    path: str, what: str, name: str, of: str, rows: Callable[[pb.AgentView], Iterable[Json]]
) -> Route:
    """A route to something that agents have."""
    return Route(
        path,
        f"{what} The pages are those of agents: there may be none on one, and more to come.",
        "ListAgents",
        listing(name, of),
        _agents,
        lambda answer: _listed(name, (row for view in answer.agents for row in rows(view)), answer),
        (*PAGE, ID_PREFIX),
    )


def _of_roles(
    path: str, what: str, name: str, of: str, rows: Callable[[pb.RoleView], Iterable[Json]]
) -> Route:
    """A route to something that roles have."""
    return Route(
        path,
        what,
        "ListRoles",
        whole_list(name, of),
        lambda asked: pb.ListRolesRequest(),
        lambda answer: {name: [row for view in answer.roles for row in rows(view)]},
    )


def _tasks_json(answer: pb.ListTasksResponse) -> Json:
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
    return _listed("tasks", map(task_json, answer.tasks), answer)


def _quota(view: pb.RoleView) -> Iterable[Json]:
    if view.quota.guarantees or view.quota.limits:
        yield {
            "role": view.role,
            "guarantees": quota_json(view.quota.guarantees),
            "limits": quota_json(view.quota.limits),
        }


def _audit_json(answer: pb.ReadAuditResponse) -> Json:
    source = master_source(answer.master)
    return {
        "lines": [audit_line_json(line, source) for line in answer.lines],
        "master": answer.master,
        "others": [*answer.others],
        "next_page_token": answer.cursor or None,
    }


ROUTES: tuple[Route, ...] = (
    Route(
        "/health",
        "Whether this master works, and leads: for load balancers.",
        "GetHealth",
        ref("Health"),
        lambda asked: pb.GetHealthRequest(),
        lambda answer: {"status": answer.role},
        here=True,
        open=True,
    ),
    Route(
        "/v1/leader",
        "Who leads, as far as this master knows.",
        "GetLeader",
        ref("Leader"),
        lambda asked: pb.GetLeaderRequest(),
        leader_json,
        here=True,
    ),
    Route(
        "/v1/agents",
        "Agents, by id.",
        "ListAgents",
        listing("agents", "Agent"),
        _agents,
        lambda answer: _listed("agents", map(agent_json, answer.agents), answer),
        (*PAGE, ID_PREFIX),
    ),
    Route(
        "/v1/frameworks",
        "Frameworks, by id.",
        "ListFrameworks",
        listing("frameworks", "Framework"),
        lambda asked: pb.ListFrameworksRequest(
            page=_page(asked),
            id_prefix=asked.text("id_prefix"),
            include_completed=asked.flag("completed"),
        ),
        lambda answer: _listed("frameworks", map(framework_json, answer.frameworks), answer),
        (*PAGE, ID_PREFIX, flag("completed", "Also those that have ended.")),
    ),
    Route(
        "/v1/tasks",
        "Tasks, by framework, as they were launched.",
        "ListTasks",
        listing("tasks", "Task"),
        lambda asked: pb.ListTasksRequest(
            page=_page(asked),
            include_completed=asked.flag("completed"),
            framework_id=asked.text("framework_id"),
            agent_id=asked.text("agent_id"),
            id_prefix=asked.text("id_prefix"),
            name=asked.text("name"),
            states=asked.several("state"),
            called=asked.text("called"),
        ),
        _tasks_json,
        (
            *PAGE,
            ID_PREFIX,
            text("framework_id", "Only those of this framework."),
            text("agent_id", "Only those of this agent."),
            text("name", "Only those of this name."),
            text("called", "Only those that people call so, as in `shop.web`, or so at the start."),
            one_of("state", "Only those in this state; it may be given again.", STATES, many=True),
            flag("completed", "Also those that have ended."),
        ),
    ),
    Route(
        "/v1/sd",
        "Where tasks run that have ports, for the HTTP service discovery of Prometheus: the address"
        " of the agent with each port. Those on a network without it are left out.",
        "ListTasks",
        many(ref("TargetGroup")),
        lambda asked: pb.ListTasksRequest(
            page=pb.Page(page_size=MAX_PAGE_SIZE),
            framework_id=asked.text("framework_id"),
            called=asked.text("called"),
            states=[types_pb2.TASK_RUNNING],
        ),
        lambda answer: chain.from_iterable(map(targets_json, answer.tasks)),
        (
            text("framework_id", "Only those of this framework."),
            text("called", "Only those that people call so, as in `shop.web`, or so at the start."),
        ),
        paged=False,
    ),
    Route(
        "/v1/offers",
        "Offers that are not answered yet, the oldest first.",
        "ListOffers",
        listing("offers", "Offer"),
        lambda asked: pb.ListOffersRequest(page=_page(asked)),
        lambda answer: _listed("offers", map(offer_json, answer.offers), answer),
        PAGE,
    ),
    _of_roles("/v1/roles", "Roles, by name.", "roles", "Role", lambda view: [role_json(view)]),
    _of_roles("/v1/quota", "Roles that have quota.", "quota", "Quota", _quota),
    _of_roles(
        "/v1/weights",
        "The weight of each role.",
        "weights",
        "Weight",
        lambda view: [{"role": view.role, "weight": view.weight}],
    ),
    _of_agents(
        "/v1/reservations",
        "What is reserved, by agent.",
        "reservations",
        "Reservation",
        reservations_json,
    ),
    _of_agents(
        "/v1/drains",
        "Agents that are cordoned, drained or being drained.",
        "drains",
        "Drain",
        lambda view: [drained_json(view)] if view.HasField("drain") else [],
    ),
    _of_agents(
        "/v1/maintenance",
        "Maintenance windows, by agent.",
        "maintenance",
        "MaintenanceWindow",
        lambda view: [window_json(view)] if view.HasField("maintenance") else [],
    ),
    Route(
        "/v1/audit",
        "What one master has written into its audit: the one that leads, unless another is named.",
        "ReadAudit",
        ref("AuditPage"),
        lambda asked: pb.ReadAuditRequest(
            cursor=asked.text("page_token"),
            since_s=asked.number("since_s"),
            who=asked.text("who"),
            verb=asked.text("verb"),
            denied=asked.flag("denied"),
            master=asked.text("master"),
        ),
        _audit_json,
        (
            text("page_token", "The `next_page_token` of the page before."),
            seconds("since_s", "Only lines from this Unix time on."),
            text("who", "Only what this principal did, in which `*` stands for anything."),
            one_of("verb", "Only what needs this verb.", [*Verb]),
            flag("denied", "Only what was denied."),
            text("master", "HOST:PORT of the master, as `master` and `others` name them."),
        ),
    ),
)
CALLS = frozenset(f"Operator.{route.call}" for route in ROUTES)  # which masters relay
