"""Compares what came back with what was recorded, field by field.

Volatile fields and times are left out, ids are mapped. Order holds for each task, for rescinded
offers, and between what begins and ends a stream. How resources are cut into offers is free: what
is compared is whether those that a step uses could be had, and how long it took until they came
again. What answers say of offers is of a moment, and left out.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_testing.recordings.playing import Played
from pymesos_testing.recordings.reading import (
    Json,
    Recording,
    Step,
    offers_in,
    resource_key,
)
from pymesos_testing.recordings.wire import Answer

AGAIN_S = 1.6  # allocations of Mesos are a second apart; ours are at once
BESIDE = frozenset({"date"})  # headers that tell only when
ABSENT = "(absent)"
# What an answer or an event of operators says of offers.
OF_OFFERS = re.compile(r"(?:^|\.)(?:offers\[|offers$|offered(?:_resources(?:_full)?)?(?:\.|\[|$))")
# Ids, ports and times of any cluster: the list of a recording has them only of events in JSON.
CAPABILITIES = [
    *mesos_master.AgentInfo.Capability.Type.keys(),
    *mesos.FrameworkInfo.Capability.Type.keys(),
]
OF_A_CLUSTER = frozenset(
    {
        "offers.offers[*].id.value",
        "offers.offers[*].agent_id.value",
        "offers.offers[*].framework_id.value",
        "offers.offers[*].url.address.port",
        "subscribed.framework_id.value",
        "subscribed.master_info.address.port",
        "subscribed.master_info.id",
        "subscribed.master_info.ip",
        "subscribed.master_info.pid",
        "subscribed.master_info.port",
        "update.status.agent_id.value",
        "update.status.container_status.container_id.value",
        "update.status.container_status.executor_pid",
        "update.status.timestamp",
        "update.status.uuid",
    }
)


@dataclass(frozen=True)
class Difference:
    """One field: where it is, what was recorded, and what we say."""

    where: str
    recorded: str
    ours: str
    step: str

    def __str__(self) -> str:
        return f"{self.where}: {self.recorded} → {self.ours}   [{self.step}]"


@dataclass
class Report:
    """What was compared."""

    fields: int = 0
    differences: list[Difference] = field(default_factory=list)

    def compare(self, step: str, where: str, recorded: Any, ours: Any) -> None:
        """Compare one field."""
        self.fields += 1
        if not _same(recorded, ours):
            self.differences.append(Difference(where, _short(recorded), _short(ours), step))


def _same(recorded: Any, ours: Any) -> bool:
    if isinstance(recorded, int | float) and isinstance(ours, int | float):
        return abs(recorded - ours) < 1e-6
    return bool(recorded == ours)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 300 else text[:300] + "…"


def compare(recording: Recording, played: Played) -> Report:
    """Compare all of a recording."""
    report = Report()
    for step, problem in played.problems:
        report.compare(_name(step), "sent", "sent", problem)
    for step in recording.steps:
        answer = played.answers.get(step.index)
        if step.send is None or answer is None:
            continue
        _compare_answer(report, recording, played, step, answer)
        if step.opens_a_stream:
            _compare_stream(report, recording, played, step, answer)
    _compare_offers(report, recording, played)
    return report


def _name(step: Step) -> str:
    send = step.send or {}
    body = send.get("body")
    kind = body.get("type", "") if isinstance(body, dict) else ""
    return f"{step.index}: {send.get('method')} {send.get('path')} {kind} {step.note}".strip()


def _compare_answer(
    report: Report, recording: Recording, played: Played, step: Step, answer: Answer
) -> None:
    send = step.send or {}
    path = send["path"].partition("?")[0]
    where = f"answer {send['method']} {path}"
    name = _name(step)
    report.compare(name, f"{where} status", step.raw.get("status"), answer.status)
    if "status_line" in step.raw:
        report.compare(name, f"{where} status_line", step.raw["status_line"], answer.status_line)
    expected = step.raw.get("body")
    whole = isinstance(expected, str) and "trimmed" not in step.raw
    same_size = whole and played.ours(str(expected)) == expected
    for header, value in (step.raw.get("headers") or {}).items():
        lower = header.lower()
        only_there = f"steps[*].headers.{header}" in recording.volatile
        if lower in BESIDE or lower == "mesos-stream-id" or only_there:
            report.compare(name, f"{where} header {header}", True, lower in answer.headers)
        elif lower != "content-length" or same_size:
            report.compare(
                name, f"{where} header {header}", value, answer.headers.get(lower, ABSENT)
            )
    if expected is None or step.opens_a_stream or "trimmed" in step.raw:
        return
    if not isinstance(expected, str) and answer.status != step.raw.get("status"):
        report.compare(name, f"{where} body", "as recorded", f"that of status {answer.status}")
        return
    if isinstance(expected, str):
        report.compare(
            name, f"{where} body", played.ours(expected), answer.body.decode("utf-8", "replace")
        )
        return
    try:
        ours = json.loads(answer.body)
    except ValueError:
        ours = answer.body.decode("utf-8", "replace")
    volatile = _volatile(recording, "steps[*].body")
    _compare_json(report, name, f"{where} body", expected, ours, played, volatile)


def _volatile(recording: Recording, prefix: str) -> frozenset[str]:
    return frozenset(
        path.removeprefix(prefix + ".") for path in recording.volatile if path.startswith(prefix)
    )


def _compare_json(
    report: Report,
    name: str,
    where: str,
    expected: Any,
    ours: Any,
    played: Played,
    volatile: frozenset[str],
) -> None:
    theirs = dict(_leaves(_keyed(expected), ""))
    mine = dict(_leaves(_keyed(ours), ""))
    _fold(theirs, mine)
    _fold(mine, theirs)
    for path in sorted(theirs.keys() | mine.keys()):
        if _plain(path) in volatile or OF_OFFERS.search(path):
            continue
        value = theirs.get(path, ABSENT)
        value = played.ours(value) if isinstance(value, str) else value
        shown = re.sub(r"\{[^}]*\}", "{}", path)
        report.compare(name, f"{where} {shown}", value, mine.get(path, ABSENT))


def _fold(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Where one has an empty list, the other has it or not: no matter how many fields are in it."""
    for path in [path for path, value in one.items() if value in ([], {}) and path not in other]:
        within = [name for name in other if name.startswith((f"{path}.", f"{path}["))]
        for name in within:
            del other[name]
        if within:
            other[path] = "not empty"


def _keyed(value: Any) -> Any:
    """Lists in which order means nothing, by what each entry is."""
    match value:
        case dict():
            return {key: _keyed(inner) for key, inner in value.items()}
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


# Streams.


def _compare_stream(
    report: Report, recording: Recording, played: Played, step: Step, answer: Answer
) -> None:
    name = _name(step)
    stream = answer.stream
    if stream is None:
        report.compare(name, "stream", "a stream", f"status {answer.status}")
        return
    how = (step.raw.get("stream_end") or {}).get("how", "")
    report.compare(name, "stream end", how, stream.end)
    ours = [event for _, event in stream.events]
    volatile = _volatile(recording, "steps[*].events[*].event") | OF_A_CLUSTER
    theirs = [event for _, event in step.events]
    beginning = [event["type"] for event in theirs[:2]]
    report.compare(name, "stream begins with", beginning, [event["type"] for event in ours[:2]])
    expected, mine = _sequences(theirs), _sequences(ours)
    for key in sorted(expected.keys() | mine.keys()):
        kind = key[0]
        a, b = expected.get(key, []), mine.get(key, [])
        report.compare(f"{name} {key[1]}", f"event {kind} count", len(a), len(b))
        for one, other in zip(a, b, strict=False):
            _compare_json(report, f"{name} {key[1]}", f"event {kind}", one, other, played, volatile)
    _compare_shapes(report, name, played, theirs, ours, volatile)


def _sequences(events: list[Json]) -> dict[tuple[str, str], list[Json]]:
    """Events that have an order: those of each task, and others by their kind."""
    out: dict[tuple[str, str], list[Json]] = defaultdict(list)
    for event in events:
        kind = event["type"]
        if kind == "UPDATE":
            out[kind, event["update"]["status"]["task_id"]["value"]].append(event)
        elif kind == "TASK_ADDED":
            out[kind, event["task_added"]["task"]["task_id"]["value"]].append(event)
        elif kind == "TASK_UPDATED":
            out[kind, event["task_updated"]["status"]["task_id"]["value"]].append(event)
        elif kind not in ("OFFERS", "HEARTBEAT", "RESCIND"):
            out[kind, ""].append(event)
    return out


def _compare_shapes(
    report: Report,
    name: str,
    played: Played,
    theirs: list[Json],
    ours: list[Json],
    volatile: frozenset[str],
) -> None:
    """The first offer of each agent: what is in it, and how it is written."""
    mine: dict[str, Json] = {}
    for event in ours:
        for offer in offers_in(event):
            mine.setdefault(offer["agent_id"]["value"], offer)
    seen: set[str] = set()
    for event in theirs:
        for offer in offers_in(event):
            agent = offer["agent_id"]["value"]
            if agent in seen:
                continue
            seen.add(agent)
            other = mine.get(played.ours(agent))
            report.compare(name, "event OFFERS of the agent", True, other is not None)
            if other is not None:
                cut = frozenset(
                    path.removeprefix("offers.offers[*].")
                    for path in volatile
                    if path.startswith("offers.offers[*].")
                )
                _compare_json(report, name, "event OFFERS", offer, other, played, cut)


def _compare_offers(report: Report, recording: Recording, played: Played) -> None:
    """How long it took after each use of an offer until its agent was offered again."""
    gone: set[str] = set()
    for step in recording.steps:
        body = (step.send or {}).get("body")
        if not isinstance(body, dict) or step.index not in played.sent_s:
            continue
        part = body.get("accept") or body.get("decline") or {}
        named = [one["value"] for one in part.get("offer_ids") or ()]
        used = [one for one in named if one not in gone]
        gone.update(named)
        opened = next(
            (
                other
                for other in recording.steps
                if other.opens_a_stream
                and any(o["id"]["value"] in used for _, e in other.events for o in offers_in(e))
            ),
            None,
        )
        answer = played.answers.get(opened.index) if opened is not None else None
        if opened is None or answer is None or answer.stream is None:
            continue
        theirs = _next(step.t_ms, [(at, e) for at, e in opened.events], 1000.0)
        sent_s = played.sent_s[step.index]
        mine = _next(sent_s, answer.stream.events, 1.0)
        ends_ms = float((opened.raw.get("stream_end") or {}).get("at_ms", math.inf))
        if theirs is None and ends_ms - step.t_ms < AGAIN_S * 1000:
            continue  # Mesos would have had to allocate once more
        quick = theirs is not None and theirs <= AGAIN_S
        same = (
            (theirs is None and (mine is None or mine > AGAIN_S))
            or (quick and mine is not None and mine <= 2 * AGAIN_S)
            or (theirs is not None and mine is not None and abs(theirs - mine) <= AGAIN_S)
        )
        report.compare(
            _name(step),
            "offered again after",
            _seconds(theirs),
            _seconds(theirs) if same else _seconds(mine),
        )


def _next(since: float, events: list[tuple[float, Json]], unit: float) -> float | None:
    for at, event in events:
        if at > since and offers_in(event):
            return (at - since) / unit
    return None


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"
