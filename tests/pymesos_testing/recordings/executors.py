"""Has executors play what those of a recording wrote down, and compares what they were told."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

from pymesos_testing.recordings import executing
from pymesos_testing.recordings.comparing import (
    ABSENT,
    Report,
    below,
    compare_head,
    compare_json,
)
from pymesos_testing.recordings.playing import Played
from pymesos_testing.recordings.reading import Json, Recording
from pymesos_testing.recordings.streams import gist, pairs
from pymesos_testing.recordings.wire import Answer

OF_EXECUTORS = ("MESOS_", "LIBPROCESS_")
LOG = "steps[*].executor_log[*]"


def prepare(recording: Recording, folder: Path) -> dict[str, list[str]]:
    """Write what executors play to a folder; return what their commands' placeholders are."""
    if not recording.executors:
        return {}
    logs, played = folder / "executors.json", folder / "played"
    logs.write_text(json.dumps({k: v["executor_log"] for k, v in recording.executors.items()}))
    logs.chmod(0o644)
    played.mkdir()
    played.chmod(0o777)
    script = f"{executing.__file__} {logs} {played}"
    return {"<PYTHON>": [sys.executable], "<EXECUTOR_SCRIPT>": [script]}


def written(folder: Path) -> dict[str, list[Json]]:
    """What each executor has written, by its id."""
    return {
        path.stem: [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for path in (folder / "played").glob("*.played")
    }


def compare_executors(report: Report, recording: Recording, played: Played) -> None:
    """Compare the environment of each, the answers that it got, and its events."""
    for executor_id, raw in recording.executors.items():
        log, mine = raw["executor_log"], played.executors.get(executor_id)
        name = f"executor: {raw.get('note')}"
        if mine is None:
            report.compare(name, "executor", "runs", "does not run")
            continue
        _compare_environment(report, name, recording, log[0], mine[0], played)
        answers = {entry["index"]: entry for entry in mine if "index" in entry}
        for index, entry in enumerate(log):
            if "send" in entry:
                _compare_answer(report, recording, entry, answers.get(index), played)
        _compare_events(report, name, recording, log, mine, played)


def _compare_environment(
    report: Report, name: str, recording: Recording, theirs: Json, ours: Json, played: Played
) -> None:
    report.compare(name, "executor argv", theirs["argv"][1:], ours["argv"][1:])
    wanted = {k for k in ours["env"] if k.startswith(OF_EXECUTORS)} | theirs["env"].keys()
    for variable in sorted(wanted):
        value, mine = theirs["env"].get(variable, ABSENT), ours["env"].get(variable, ABSENT)
        if f"{LOG}.env.{variable}" in recording.volatile:
            value, mine = value != ABSENT, mine != ABSENT
        report.compare(name, f"executor env {variable}", value, mine)


def _compare_answer(
    report: Report, recording: Recording, entry: Json, mine: Json | None, played: Played
) -> None:
    send = entry["send"]
    said = (send["body"] or {}).get("type", "") if isinstance(send["body"], dict) else ""
    name = f"executor: {send['method']} {send['path']} {said} {entry.get('note') or ''}".strip()
    where = f"answer {send['method']} {send['path']}"
    if mine is None:
        report.compare(name, "sent", "sent", "not sent")
        return
    answer = Answer(mine["status"], "", mine["headers"], mine.get("body", "").encode())
    compare_head(report, name, where, entry, answer, recording.volatile, played)
    if isinstance(entry.get("body"), str):
        report.compare(name, f"{where} body", played.ours(entry["body"]), mine.get("body", ""))


def _compare_events(
    report: Report,
    name: str,
    recording: Recording,
    log: list[Json],
    mine: list[Json],
    played: Played,
) -> None:
    volatile = below(recording.volatile, f"{LOG}.event")
    theirs, ours = _sequences(log), _sequences(mine)
    for kind, whose in sorted(theirs.keys() | ours.keys()):
        where = f"executor event {kind}"
        for one, other in pairs(theirs.get((kind, whose), []), ours.get((kind, whose), [])):
            if one is None or other is None:
                said = gist(one) if one else ABSENT
                report.compare(f"{name} {whose}", where, said, gist(other) if other else ABSENT)
                continue
            report.fields += 1
            compare_json(report, f"{name} {whose}", where, one, other, played, volatile)


def _sequences(entries: list[Json]) -> dict[tuple[str, str], list[Json]]:
    out: dict[tuple[str, str], list[Json]] = defaultdict(list)
    for entry in entries:
        event = entry.get("event")
        if event is not None and event["type"] != "HEARTBEAT":
            part = event.get(event["type"].lower()) or {}
            task = part.get("task_id") or (part.get("task") or {}).get("task_id") or {}
            out[event["type"], task.get("value", "")].append(event)
    return out
