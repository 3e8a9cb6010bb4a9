"""The masters themselves: whether they work, who leads, what they have written down."""

from __future__ import annotations

from pymesos_core.json_access import record_json
from pymesos_core.json_dialect import Json, audit_line_json, leader_json, master_source
from pymesos_core.security.policy import Verb
from pymesos_master.http.asking import flag, one_of, seconds, text
from pymesos_master.http.routes.table import PAGE, Route, deed, listed, page_of
from pymesos_master.http.schemas import listing, ref
from pymesos_proto.v1 import operator_pb2 as pb


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
    Route(
        "/v1/quarantine",
        "Records of the registry that cannot be handled, and why. The rest goes on.",
        "ListQuarantinedRecords",
        listing("records", "QuarantinedRecord"),
        lambda asked: pb.ListQuarantinedRecordsRequest(
            page=page_of(asked), kind=asked.text("kind"), key=asked.text("key")
        ),
        lambda answer: listed("records", map(record_json, answer.records), answer),
        (
            *PAGE,
            text("kind", "With `key`: only this one, with its document."),
            text("key", "With `kind`."),
        ),
    ),
    deed(
        "/v1/quarantine/release",
        "Try a record again, or delete it.",
        "ReleaseQuarantinedRecord",
        lambda asked: pb.ReleaseQuarantinedRecordRequest(
            kind=asked.text("kind"), key=asked.text("key"), discard=asked.flag("discard")
        ),
        (
            text("kind", "As it is listed.", required=True),
            text("key", "As it is listed.", required=True),
            flag("discard", "Delete it: a framework's tasks end, an agent joins as a new one."),
        ),
    ),
)
