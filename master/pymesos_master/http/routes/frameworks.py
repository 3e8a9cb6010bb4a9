"""Frameworks, what they are offered, and what keeps offers from them."""

from __future__ import annotations

from pymesos_core.json_dialect import explanation_json, framework_json, offer_json
from pymesos_master.http.asking import flag, text
from pymesos_master.http.routes.table import ID_PREFIX, PAGE, Route, deed, listed, page_of
from pymesos_master.http.schemas import listing, ref
from pymesos_proto.v1 import operator_pb2 as pb

FRAMEWORK_ID = text("framework_id", "Its id.", required=True)

ROUTES: tuple[Route, ...] = (
    Route(
        "/v1/frameworks",
        "Frameworks, by id.",
        "ListFrameworks",
        listing("frameworks", "Framework"),
        lambda asked: pb.ListFrameworksRequest(
            page=page_of(asked),
            id_prefix=asked.text("id_prefix"),
            include_completed=asked.flag("completed"),
        ),
        lambda answer: listed("frameworks", map(framework_json, answer.frameworks), answer),
        (*PAGE, ID_PREFIX, flag("completed", "Also those that have ended.")),
    ),
    Route(
        "/v1/frameworks/{framework_id}/explain",
        "Where a framework stands in line, and what keeps each agent from it.",
        "ExplainFramework",
        ref("Explanation"),
        lambda asked: pb.ExplainFrameworkRequest(framework_id=asked.text("framework_id")),
        explanation_json,
        in_path=(FRAMEWORK_ID,),
    ),
    deed(
        "/v1/frameworks/teardown",
        "Remove a framework with all its tasks.",
        "TeardownFramework",
        lambda asked: pb.TeardownFrameworkRequest(framework_id=asked.text("framework_id")),
        (FRAMEWORK_ID,),
    ),
    Route(
        "/v1/offers",
        "Offers that are not answered yet, the oldest first.",
        "ListOffers",
        listing("offers", "Offer"),
        lambda asked: pb.ListOffersRequest(page=page_of(asked)),
        lambda answer: listed("offers", map(offer_json, answer.offers), answer),
        PAGE,
    ),
)
