"""Agents: what there is of them, and what operators decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pymesos_core.contract_rules import TEN_YEARS_S
from pymesos_core.json_dialect import (
    Json,
    agent_json,
    drained_json,
    reservations_json,
    tile_json,
    window_json,
)
from pymesos_core.limits import CALL_AGENTS, KIB
from pymesos_master.http.amounts import amounts, new_volumes, volume_ids
from pymesos_master.http.asking import Asked, flag, moment, seconds, text, texts
from pymesos_master.http.routes.table import ID_PREFIX, PAGE, Route, deed, listed, page_of, sorts
from pymesos_master.http.schemas import listing
from pymesos_master.queries.ordering import AGENT_SORTS
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

MOST_WITHIN_S = 30 * 86400.0  # as the contract has it for a drain
OF_MANY = 512 * KIB  # a body that names agents by their ids
AGENT_IDS = texts(
    "agent_ids", "Their ids: of all of them, or of none.", CALL_AGENTS.most, required=True
)
AGENT_ID = text("agent_id", "Its id.", required=True)
SEARCH = text(
    "search",
    "Only those that have each of these words in their id, hostname, state or attributes.",
)
ROLE = text("role", "The role.", required=True)


def _agents(asked: Asked) -> pb.ListAgentsRequest:
    return pb.ListAgentsRequest(
        page=page_of(asked),
        id_prefix=asked.text("id_prefix"),
        search=asked.text("search"),
        sort=asked.text("sort"),
    )


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
        lambda answer: listed(name, (row for view in answer.agents for row in rows(view)), answer),
        (*PAGE, ID_PREFIX),
    )


def _reserve(asked: Asked) -> pb.ReserveRequest:
    return pb.ReserveRequest(
        agent_id=asked.text("agent_id"),
        role=asked.text("role"),
        resources=[*(asked.value("resources") or ()), *asked.several("volumes")],
    )


def _unreserve(asked: Asked) -> pb.UnreserveRequest:
    return pb.UnreserveRequest(
        agent_id=asked.text("agent_id"),
        role=asked.text("role"),
        resources=[*(asked.value("resources") or ()), *asked.several("volume_ids")],
    )


def _window(asked: Asked) -> pb.ScheduleMaintenanceRequest:
    return pb.ScheduleMaintenanceRequest(
        agent_ids=asked.several("agent_ids"),
        unavailability=types_pb2.Unavailability(
            start_s=asked.number("start"), duration_s=asked.number("duration_s")
        ),
    )


ROUTES: tuple[Route, ...] = (
    Route(
        "/v1/agents",
        "Agents, by id.",
        "ListAgents",
        listing("agents", "Agent"),
        _agents,
        lambda answer: listed("agents", map(agent_json, answer.agents), answer),
        (*PAGE, ID_PREFIX, SEARCH, sorts(AGENT_SORTS)),
    ),
    Route(
        "/v1/agents/map",
        "Agents in short, by id: what is allocated of each, and what it has.",
        "ListAgents",
        listing("agents", "Tile"),
        _agents,
        lambda answer: listed("agents", map(tile_json, answer.agents), answer),
        (*PAGE, SEARCH),
    ),
    deed(
        "/v1/agents/cordon",
        "Have agents offered to nobody. What runs there runs on; a drain of theirs is cancelled.",
        "CordonAgents",
        lambda asked: pb.CordonAgentsRequest(agent_ids=asked.several("agent_ids")),
        (AGENT_IDS,),
        body_bytes=OF_MANY,
    ),
    deed(
        "/v1/agents/drain",
        "Have agents offered to nobody, and emptied: their frameworks move what runs there."
        " `/v1/drains` shows how far that is.",
        "DrainAgents",
        lambda asked: pb.DrainAgentsRequest(
            agent_ids=asked.several("agent_ids"),
            within_s=asked.number("within_s"),
            then_gone=asked.flag("then_gone"),
        ),
        (
            AGENT_IDS,
            seconds(
                "within_s",
                "What is left then is killed; 0 is at once.",
                MOST_WITHIN_S,
                required=True,
            ),
            flag("then_gone", "Mark each as gone for good when it is drained."),
        ),
        body_bytes=OF_MANY,
    ),
    deed(
        "/v1/agents/activate",
        "Have agents offered again that were cordoned or drained, or are being drained.",
        "ActivateAgents",
        lambda asked: pb.ActivateAgentsRequest(agent_ids=asked.several("agent_ids")),
        (AGENT_IDS,),
        body_bytes=OF_MANY,
    ),
    deed(
        "/v1/agents/gone",
        "Mark an agent as gone for good: its tasks are given up, and it may never come back.",
        "MarkAgentGone",
        lambda asked: pb.MarkAgentGoneRequest(agent_id=asked.text("agent_id")),
        (AGENT_ID,),
    ),
    _of_agents(
        "/v1/reservations",
        "What is reserved, by agent.",
        "reservations",
        "Reservation",
        reservations_json,
    ),
    deed(
        "/v1/reservations/reserve",
        "Reserve resources of an agent for a role, and make volumes there.",
        "Reserve",
        _reserve,
        (AGENT_ID, ROLE, amounts("resources", "What is reserved."), new_volumes("volumes")),
    ),
    deed(
        "/v1/reservations/unreserve",
        "End what is reserved of an agent for a role: some of it, or without `resources` and"
        " `volume_ids` all that is unused.",
        "Unreserve",
        _unreserve,
        (
            AGENT_ID,
            ROLE,
            amounts("resources", "What is reserved no more."),
            volume_ids("volume_ids"),
        ),
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
    deed(
        "/v1/maintenance/schedule",
        "Plan when agents may be away, in the place of what was planned for them. Nothing is killed"
        " for that.",
        "ScheduleMaintenance",
        _window,
        (
            AGENT_IDS,
            moment("start", "When it begins.", required=True),
            seconds("duration_s", "How long it is; left out, it is not known.", TEN_YEARS_S),
        ),
        body_bytes=OF_MANY,
    ),
    deed(
        "/v1/maintenance/cancel",
        "Cancel the maintenance that is planned for agents.",
        "CancelMaintenance",
        lambda asked: pb.CancelMaintenanceRequest(agent_ids=asked.several("agent_ids")),
        (AGENT_IDS,),
        body_bytes=OF_MANY,
    ),
)
