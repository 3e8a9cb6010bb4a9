"""The cluster at a glance."""

from __future__ import annotations

from pymesos_core.json_dialect import overview_json
from pymesos_master.http.asking import seconds, whole
from pymesos_master.http.routes.table import Route
from pymesos_master.http.schemas import ref
from pymesos_master.overview import MOST_FAILURES, USUAL_FAILURES
from pymesos_proto.v1 import operator_pb2 as pb

ROUTES: tuple[Route, ...] = (
    Route(
        "/v1/overview",
        "The cluster at a glance: counts, sums over its active agents, what failed lately, and the"
        " sums of the last hour, while this master led.",
        "GetOverview",
        ref("Overview"),
        lambda asked: pb.GetOverviewRequest(
            failures=asked.number("failures"), since_s=asked.number("since_s")
        ),
        overview_json,
        (
            whole(
                "failures",
                f"How many that failed there are at most; {USUAL_FAILURES} if it is left out.",
                1,
                MOST_FAILURES,
            ),
            seconds("since_s", "Only sums from this Unix time on."),
        ),
    ),
)
