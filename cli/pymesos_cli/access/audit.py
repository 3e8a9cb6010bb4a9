"""`audit`: who changed what, and what was denied."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from pymesos_cli.cluster import CliError, Cluster
from pymesos_cli.output import note, print_json, printable
from pymesos_core.security.policy import Verb
from pymesos_core.text import quoted
from pymesos_proto.v1 import operator_pb2 as pb


@dataclass(frozen=True)
class Wanted:
    """Which lines are asked for; what is empty leaves all."""

    since: float | None  # seconds ago
    who: str
    verb: str
    denied: bool


async def show_audit(cluster: Cluster, wanted: Wanted, *, as_json: bool) -> None:
    """`pymesos-cli audit`: the oldest first, page by page."""
    if wanted.verb and wanted.verb not in set(Verb):
        raise CliError(f"{quoted(wanted.verb)} is no verb; these are: {', '.join(Verb)}")
    since_s = time.time() - wanted.since if wanted.since is not None else 0.0
    cursor, shown = "", 0
    while True:
        request = pb.ReadAuditRequest(
            cursor=cursor,
            since_s=since_s,
            who=wanted.who,
            verb=wanted.verb,
            denied=wanted.denied,
        )

        async def ask(stub: Any, timeout_s: float, request: pb.ReadAuditRequest = request) -> Any:
            return await stub.ReadAudit(request, timeout=timeout_s)

        page = await cluster.call(ask)
        for line in page.lines:
            said = json.loads(line)
            if as_json:
                print_json(said, indent=None)
            else:
                print(printable(_in_words(said)))
        shown += len(page.lines)
        cursor = page.cursor
        if not cursor:
            break
    what = "nothing like that" if not shown else "that is all"
    note(
        f"{what} in the audit of the master that leads; masters that led before have written theirs"
        f" on their own machines"
    )


def _in_words(said: dict[str, Any]) -> str:
    """One line: when, who, whether, what, of what, and what came of it."""
    who = said.get("principal") or said.get("peer") or "-"
    named = (f"{name}={_value(value)}" for name, value in (said.get("object") or {}).items())
    argv = said.get("argv")
    parts = [
        str(said.get("time")),
        str(who),
        str(said.get("decision")),
        str(said.get("method") or "-"),
        *named,
        *([f"argv={json.dumps(argv, ensure_ascii=False)}"] if argv else ()),
        f"({said.get('result')})",
    ]
    return " ".join(parts)


def _value(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
