"""Compares the events of streams: each task's in their order, others by their kind.

An update that is told again within a second, and not acknowledged meanwhile, is one: they are told
at least once. Where one side tells of something that the other does not, that is one difference,
and what comes after it is compared all the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from difflib import SequenceMatcher

from pymesos_testing.recordings.comparing import (
    ABSENT,
    Report,
    compare_json,
    name_of,
)
from pymesos_testing.recordings.playing import Played
from pymesos_testing.recordings.reading import Json, Recording, Step
from pymesos_testing.recordings.wire import Answer

Timed = tuple[float, Json]
AGAIN_S = 1.0
# Ids, ports and times of any cluster: the list of a recording has them only of events in JSON.
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


def volatile_of(recording: Recording) -> frozenset[str]:
    """The fields of an event that differ from run to run."""
    prefix = "steps[*].events[*].event."
    said = (path.removeprefix(prefix) for path in recording.volatile if path.startswith(prefix))
    return frozenset(said) | OF_A_CLUSTER


def compare_stream(
    report: Report, recording: Recording, played: Played, step: Step, answer: Answer
) -> None:
    """Compare what came on a stream, but for what is offered."""
    name = name_of(step)
    stream = answer.stream
    if stream is None:
        report.compare(name, "stream", "a stream", f"status {answer.status}")
        return
    how = (step.raw.get("stream_end") or {}).get("how", "")
    report.compare(name, "stream end", how, stream.end)
    theirs = [(at_ms / 1000, event) for at_ms, event in step.events]
    first = theirs[0][1]["type"] if theirs else ABSENT
    ours = stream.events[0][1]["type"] if stream.events else ABSENT
    report.compare(name, "stream begins with", first, ours)
    _compare_heartbeats(report, name, theirs, stream.events)
    volatile = volatile_of(recording)
    expected, mine = _sequences(theirs), _sequences(stream.events)
    for key in sorted(expected.keys() | mine.keys()):
        kind, whose = key
        a, b = expected.get(key, []), mine.get(key, [])
        report.of = ", ".join(map(gist, a))
        for one, other in pairs(a, b):
            said = gist(one) if one else ABSENT
            if one is None or other is None:
                shown = gist(other) if other else ABSENT
                report.compare(f"{name} {whose}", f"event {kind}", said, shown)
                continue
            report.fields += 1  # that it came
            at = f"event {kind}"
            compare_json(report, f"{name} {whose}", at, one, other, played, volatile)
    report.of = ""


def _compare_heartbeats(report: Report, name: str, theirs: list[Timed], ours: list[Timed]) -> None:
    """Whether they come, and how often; how many is a matter of how long the stream was."""
    a, b = ([at_s for at_s, e in events if e["type"] == "HEARTBEAT"] for events in (theirs, ours))
    report.compare(name, "event HEARTBEAT", bool(a), bool(b))
    if len(a) > 1 and len(b) > 1:
        report.compare(name, "event HEARTBEAT every", round(a[1] - a[0]), round(b[1] - b[0]))


def _sequences(events: list[Timed]) -> dict[tuple[str, str], list[Json]]:
    """Events that have an order: those of each task, and others by their kind."""
    out: dict[tuple[str, str], list[Json]] = defaultdict(list)
    told: dict[str, float] = {}  # updates, and when they came last
    for at_s, event in events:
        kind, whose = event["type"], ""
        if kind == "UPDATE":
            status = event["update"]["status"]
            whose = status["task_id"]["value"]
            uuid = status.get("uuid", "")
            again = uuid in told and at_s - told[uuid] < AGAIN_S
            if uuid:
                told[uuid] = at_s
            if again:
                continue
        elif kind == "TASK_ADDED":
            whose = event["task_added"]["task"]["task_id"]["value"]
        elif kind == "TASK_UPDATED":
            whose = event["task_updated"]["status"]["task_id"]["value"]
        if kind not in ("OFFERS", "RESCIND", "HEARTBEAT"):
            out[kind, whose].append(event)
    return out


def gist(event: Json) -> str:
    """What an event says, in a word."""
    status = (event.get("update") or event.get("task_updated") or {}).get("status") or {}
    told = status.get("operation_id") or {}
    update = (event.get("update_operation_status") or {}).get("status") or {}
    parts = (
        status.get("state"),
        status.get("reason"),
        told.get("value"),
        update.get("state"),
        (update.get("operation_id") or {}).get("value"),
    )
    return " ".join(str(part) for part in parts if part) or str(event["type"])


def _state(event: Json) -> str:
    """Events of a state are the same one, whatever else they say."""
    answers = "REASON_RECONCILIATION" in (said := gist(event))
    return said if answers or "update" not in event else event["update"]["status"]["state"]


def pairs(a: list[Json], b: list[Json]) -> Iterator[tuple[Json | None, Json | None]]:
    """Events of both that are the same one, and those that only one side has."""
    theirs, ours = ([_state(event) for event in events] for events in (a, b))
    matcher = SequenceMatcher(None, theirs, ours, autojunk=False)
    for _, i, j, k, m in matcher.get_opcodes():
        one, other = a[i:j], b[k:m]
        for index in range(max(len(one), len(other))):
            yield (
                one[index] if index < len(one) else None,
                other[index] if index < len(other) else None,
            )
