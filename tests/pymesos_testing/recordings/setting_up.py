"""What a recording has at its beginning and does not show how it came: a framework with its tasks.

They are read from the answers that tell of them, and made here as they are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pymesos_testing.recordings.reading import Json, Recording

USUAL = ("cpus", "mem")  # of what a task is given


@dataclass(frozen=True)
class Given:
    """A framework and its tasks, as calls make them, with the ids that answers have of them."""

    framework_id: str
    agent_id: str
    info: Json
    tasks: list[Json]  # those that end at once are `done`
    launches: list[Json]  # the operation that launches each of them
    stream_id: str


def given(recording: Recording) -> Given | None:
    """Return what the answers of a recording say was there."""
    framework: Json | None = None
    tasks: dict[str, tuple[float, Json]] = {}
    executors: dict[str, Json] = {}
    stream_id = ""
    for step in recording.steps:
        headers = (step.send or {}).get("headers") or {}
        stream_id = stream_id or headers.get("Mesos-Stream-Id", "")
        for one in _dicts(step.raw.get("body")):
            framework = framework or _framework(one)
            if (task := _task(one)) is not None:
                began = float(one["statuses"][0]["timestamp"])
                tasks.setdefault(task["task_id"]["value"], (began, task))
            elif (executor := _executor(one)) is not None:
                executors.setdefault(executor["executor_id"]["value"], executor)
    if framework is None or not tasks:
        return None
    framework_id = framework.pop("id")["value"]
    in_turn = [task for _, task in sorted(tasks.values(), key=lambda item: item[0])]
    agent_id = in_turn[0]["agent_id"]["value"]
    launches = [_launch(task, executors.get(task.pop("in", ""))) for task in in_turn]
    return Given(framework_id, agent_id, framework, in_turn, launches, stream_id)


def _dicts(value: Any) -> list[Json]:
    match value:
        case dict():
            return [value, *(one for inner in value.values() for one in _dicts(inner))]
        case list():
            return [one for inner in value for one in _dicts(inner)]
    return []


def _framework(one: Json) -> Json | None:
    if "framework_info" in one:
        return dict(one["framework_info"])
    if "failover_timeout" not in one or "capabilities" not in one or "tasks" not in one:
        return None
    kept = ("user", "name", "failover_timeout", "checkpoint", "roles", "labels")
    out = {name: one[name] for name in kept if name in one}
    return out | {
        "id": {"value": one["id"]},
        "capabilities": [{"type": kind} for kind in one["capabilities"]],
    }


def _task(one: Json) -> Json | None:
    """As a LAUNCH has it, and the executor that it is `in`."""
    if "statuses" not in one or "name" not in one:
        return None
    older = "slave_id" in one
    if older:
        amounts = {name: one["resources"][name] for name in USUAL}
    else:
        amounts = {r["name"]: r["scalar"]["value"] for r in one["resources"]}
    out = {
        "name": one["name"],
        "task_id": {"value": one["id"]} if older else one["task_id"],
        "agent_id": {"value": one["slave_id"]} if older else one["agent_id"],
        "resources": _resources(amounts),
        "in": one.get("executor_id", "") if older else one.get("executor_id", {}).get("value", ""),
        "command": {"value": "true" if one["state"] == "TASK_FINISHED" else "sleep 1000"},
    }
    labels = one.get("labels")
    if labels:
        out["labels"] = {"labels": labels} if isinstance(labels, list) else labels
    return out


def _executor(one: Json) -> Json | None:
    """As a LAUNCH_GROUP has it."""
    if one.get("type") != "DEFAULT" or "executor_id" not in one:
        return None
    said = one["resources"]
    if isinstance(said, dict):
        amounts = {name: amount for name, amount in said.items() if amount}
        executor_id = {"value": one["executor_id"]}
    else:
        amounts = {r["name"]: r["scalar"]["value"] for r in said}
        executor_id = one["executor_id"]
    return {"type": "DEFAULT", "executor_id": executor_id, "resources": _resources(amounts)}


def _resources(amounts: dict[str, float]) -> list[Json]:
    return [
        {"name": name, "type": "SCALAR", "scalar": {"value": amount}}
        for name, amount in amounts.items()
    ]


def _launch(task: Json, executor: Json | None) -> Json:
    if executor is None:
        return {"type": "LAUNCH", "launch": {"task_infos": [task]}}
    group = {"executor": executor, "task_group": {"tasks": [task]}}
    return {"type": "LAUNCH_GROUP", "launch_group": group}
