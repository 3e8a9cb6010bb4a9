"""Roles: what they hold, their quota and their weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pymesos_core.json_dialect import Json, accounting_json, quota_json, role_json
from pymesos_master.core.roles import MAX_WEIGHT
from pymesos_master.http.amounts import scalars
from pymesos_master.http.asking import Asked, flag, number, one_of, text
from pymesos_master.http.routes.table import PAGE, Route, deed, listed, page_of
from pymesos_master.http.schemas import listing, whole_list
from pymesos_master.queries.accounted import BY
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

ROLE = text("role", "The role.", required=True)


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


def _quota(view: pb.RoleView) -> Iterable[Json]:
    if view.quota.guarantees or view.quota.limits:
        yield {
            "role": view.role,
            "guarantees": quota_json(view.quota.guarantees),
            "limits": quota_json(view.quota.limits),
        }


def _set_quota(asked: Asked) -> pb.SetQuotaRequest:
    return pb.SetQuotaRequest(
        role=asked.text("role"),
        quota=types_pb2.Quota(guarantees=asked.value("guarantees"), limits=asked.value("limits")),
        force=asked.flag("force"),
    )


ROUTES: tuple[Route, ...] = (
    Route(
        "/v1/accounting",
        "What roles, frameworks or jobs have used, of the days that are kept.",
        "GetAccounting",
        listing("accounting", "Accounting"),
        lambda asked: pb.GetAccountingRequest(
            page=page_of(asked),
            by=asked.text("by"),
            since=asked.text("since"),
            until=asked.text("until"),
            daily=asked.flag("daily"),
            role=asked.text("role"),
        ),
        lambda answer: listed("accounting", map(accounting_json, answer.rows), answer),
        (
            *PAGE,
            one_of("by", "What it is added up by; `role` if it is left out.", BY),
            text("since", "The first day of UTC, as 2026-11-29; the earliest if it is left out."),
            text("until", "The last day; the latest if it is left out."),
            flag("daily", "A row for each day, and not one for all of them."),
            text("role", "Only of this role."),
        ),
    ),
    _of_roles("/v1/roles", "Roles, by name.", "roles", "Role", lambda view: [role_json(view)]),
    _of_roles("/v1/quota", "Roles that have quota.", "quota", "Quota", _quota),
    deed(
        "/v1/quota/set",
        "Give a role, with all below it, a quota in place of the one it has.",
        "SetQuota",
        _set_quota,
        (
            ROLE,
            scalars("guarantees", "What it gets first."),
            scalars("limits", "What it may hold at most; 0 is none."),
            flag("force", "Guarantee more than the cluster has."),
        ),
    ),
    deed(
        "/v1/quota/remove",
        "Take a role's quota away, if it has any.",
        "SetQuota",
        lambda asked: pb.SetQuotaRequest(role=asked.text("role")),
        (ROLE,),
    ),
    _of_roles(
        "/v1/weights",
        "The weight of each role.",
        "weights",
        "Weight",
        lambda view: [{"role": view.role, "weight": view.weight}],
    ),
    deed(
        "/v1/weights/set",
        "Give a role a weight: one of weight 2 gets twice the share of a sibling of weight 1.",
        "SetWeight",
        lambda asked: pb.SetWeightRequest(role=asked.text("role"), weight=asked.number("weight")),
        (ROLE, number("weight", "The weight, above 0.", MAX_WEIGHT, required=True)),
    ),
)
