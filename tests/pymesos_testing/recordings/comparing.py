"""Compares what came back with what was recorded, field by field.

Volatile fields and times are left out, ids are mapped. How resources are cut into offers is free:
what is compared is what they hold together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_testing.recordings.playing import Played
from pymesos_testing.recordings.reading import Json, Recording, Step, merged, resource_key
from pymesos_testing.recordings.wire import Answer

# Headers that tell only when, or of which stream; and those of the connection, not of the answer.
BESIDE = frozenset({"date", "mesos-stream-id"})
ABSENT = "(absent)"
# What an answer or an event of operators says of offers.
OFFERED = re.compile(r"^((?:|.*?\.)(?:offers|offered_resources(?:_full)?))(?:[.[]|$)")
CAPABILITIES = [
    *mesos_master.AgentInfo.Capability.Type.keys(),
    *mesos.FrameworkInfo.Capability.Type.keys(),
]


@dataclass(frozen=True)
class Difference:
    """One field: where it is, what was recorded, and what we say."""

    where: str
    recorded: str
    ours: str
    step: str
    of: str = ""  # all that was recorded of the task, if it is of one

    def __str__(self) -> str:
        return f"{self.where}: {self.recorded} → {self.ours}   [{self.step}]"


@dataclass
class Report:
    """What was compared."""

    fields: int = 0
    differences: list[Difference] = field(default_factory=list)
    of: str = ""  # what is compared now

    def compare(self, step: str, where: str, recorded: Any, ours: Any) -> None:
        """Compare one field."""
        self.fields += 1
        if not _same(recorded, ours):
            found = Difference(where, _short(recorded), _short(ours), step, self.of)
            self.differences.append(found)


def _same(recorded: Any, ours: Any) -> bool:
    if isinstance(recorded, int | float) and isinstance(ours, int | float):
        return abs(recorded - ours) < 1e-6
    return bool(recorded == ours)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 300 else text[:300] + "…"


def name_of(step: Step) -> str:
    """Return what a step is called where a difference is told."""
    send = step.send or {}
    body = send.get("body")
    kind = body.get("type", "") if isinstance(body, dict) else ""
    return f"{step.index}: {send.get('method')} {send.get('path')} {kind} {step.note}".strip()


def compare_answer(
    report: Report, recording: Recording, played: Played, step: Step, answer: Answer
) -> None:
    """Compare the status line, the headers, and the body of an answer that has an end."""
    send = step.send or {}
    where = f"answer {send['method']} {send['path'].partition('?')[0]}"
    compare_head(report, name_of(step), where, step.raw, answer, recording.volatile, played)
    expected = step.raw.get("body")
    if expected is None or step.opens_a_stream:
        return
    volatile = below(recording.volatile, "steps[*].body")
    if isinstance(expected, str):
        said = answer.body.decode("utf-8", "replace")
        if "trimmed" in step.raw:  # the beginning, written anew: what it has fields of
            for key in dict.fromkeys(re.findall(r'"(\w+)": ', expected)):
                report.compare(name_of(step), f"{where} body {key}", True, f'"{key}":' in said)
            return
        report.compare(name_of(step), f"{where} body", played.ours(expected), said)
        return
    if answer.status != step.raw.get("status"):
        said = f"that of status {answer.status}"
        report.compare(name_of(step), f"{where} body", "as recorded", said)
        return
    try:
        ours = json.loads(answer.body)
    except ValueError:
        ours = answer.body.decode("utf-8", "replace")
    part = "trimmed" in step.raw
    if part and isinstance(ours, dict) and "type" in ours and "type" not in expected:
        ours = ours.get(ours["type"].lower(), ours)  # what was shown is within that
    compare_json(
        report, name_of(step), f"{where} body", expected, ours, played, volatile, part=part
    )


def compare_head(
    report: Report,
    name: str,
    where: str,
    raw: Json,
    answer: Answer,
    volatile: frozenset[str],
    played: Played,
) -> None:
    """Compare how an answer begins."""
    report.compare(name, f"{where} status", raw.get("status"), answer.status)
    if "status_line" in raw:
        report.compare(name, f"{where} status_line", raw["status_line"], answer.status_line)
    expected = raw.get("body")
    whole = isinstance(expected, str) and "trimmed" not in raw
    same_size = whole and played.ours(str(expected)) == expected
    for header, value in (raw.get("headers") or {}).items():
        lower = header.lower()
        if lower in BESIDE or f"steps[*].headers.{header}" in volatile:
            report.compare(name, f"{where} header {header}", True, lower in answer.headers)
        elif lower != "content-length" or same_size:
            report.compare(
                name, f"{where} header {header}", value, answer.headers.get(lower, ABSENT)
            )


def below(volatile: frozenset[str], prefix: str) -> frozenset[str]:
    return frozenset(
        path.removeprefix(prefix + ".") for path in volatile if path.startswith(prefix)
    )


def compare_json(
    report: Report,
    name: str,
    where: str,
    expected: Any,
    ours: Any,
    played: Played,
    volatile: frozenset[str],
    *,
    part: bool = False,
) -> None:
    """Compare each field of two JSON values; `part`: ours may have more."""
    theirs = dict(_leaves(_keyed(expected), ""))
    mine = dict(_leaves(_keyed(ours), ""))
    theirs = {played.ours(path): value for path, value in theirs.items()}
    if part:
        theirs = {path: value for path, value in theirs.items() if value is not None}
    _fold_offered(theirs, mine)
    _fold(theirs, mine)
    _fold(mine, theirs)
    for path in sorted(theirs if part else theirs.keys() | mine.keys()):
        if _plain(path) in volatile:
            continue
        value = theirs.get(path, ABSENT)
        value = played.ours(value) if isinstance(value, str) else value
        shown = re.sub(r"\{[^}]*\}", "{}", path)
        report.compare(name, f"{where} {shown}".strip(), value, mine.get(path, ABSENT))


def _fold(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Where one has an empty list, the other has it or not: no matter how many fields are in it."""
    for path in [path for path, value in one.items() if value in ([], {}) and path not in other]:
        within = [name for name in other if name.startswith((f"{path}.", f"{path}["))]
        for name in within:
            del other[name]
        if within:
            other[path] = "not empty"


def _fold_offered(theirs: dict[str, Any], mine: dict[str, Any]) -> None:
    """What is offered at a moment, where one side offers nothing then: that is one field."""
    for root in {
        found[1] for path in theirs.keys() | mine.keys() if (found := OFFERED.match(path))
    }:
        sides = [[p for p in side if p.startswith(root)] for side in (theirs, mine)]
        if all(sides):
            continue
        for side, within in zip((theirs, mine), sides, strict=True):
            for path in within:
                del side[path]
            side[root] = "offered" if within else "not offered"


def _keyed(value: Any) -> Any:
    """Lists in which order means nothing, by what each entry is."""
    match value:
        case dict():
            return {key: _keyed(inner) for key, inner in value.items()}
        case list() if value and all(_is_offer(v) for v in value):
            agents = sorted({_agent_of(v) for v in value})
            of_each = {a: merged([v for v in value if _agent_of(v) == a]) for a in agents}
            return {f"{{{agent}}}": _keyed(offer) for agent, offer in of_each.items()}
        case list() if value and all(isinstance(v, dict) and _is_id(v.get("id")) for v in value):
            return {f"{{{_agent_of(v) or _id(v['id'])}}}": _keyed(v) for v in value}
        case list() if value and all(isinstance(v, dict) and "name" in v for v in value):
            keys = [resource_key(v) if "type" in v else str(v["name"]) for v in value]
            if len(set(keys)) == len(keys):
                return {f"{{{key}}}": _keyed(v) for key, v in zip(keys, value, strict=True)}
            return [_keyed(v) for v in value]
        case list() if value and all(_is_kind(v) for v in value):
            return ", ".join(sorted(str(v["type"] if isinstance(v, dict) else v) for v in value))
        case list():
            return [_keyed(v) for v in value]
    return value


def _is_offer(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("resources"), list)
        and "id" in value
        and bool(_agent_of(value))
    )


def _agent_of(offer: Json) -> str:
    if "hostname" not in offer and "url" not in offer and "allocation_info" not in offer:
        return ""
    named = offer.get("agent_id", offer.get("slave_id", ""))
    return str(named.get("value") if isinstance(named, dict) else named)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and set(value) == {"value"})


def _id(value: Any) -> str:
    return str(value["value"] if isinstance(value, dict) else value)


def _is_kind(value: Any) -> bool:
    """Whether it is one of a set, such as a capability."""
    return (isinstance(value, dict) and set(value) == {"type"}) or value in CAPABILITIES


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    match value:
        case dict() if value:
            for key, inner in value.items():
                yield from _leaves(inner, f"{path}.{key}" if path else key)
        case list() if value:
            for index, inner in enumerate(value):
                yield from _leaves(inner, f"{path}[{index}]")
        case _:
            yield path, value


def _plain(path: str) -> str:
    """A path as the list of volatile ones has it."""
    return re.sub(r"\[\d+\]", "[*]", re.sub(r"\.\{[^}]*\}", "[*]", path))
