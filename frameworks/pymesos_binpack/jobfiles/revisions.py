"""Which parts of a task's document are those of a running task: a change of the others ends none.

Both sides of a comparison are documents, read by the same code: what an upgrade adds as a default
is the same on both, and replaces nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# How many there are, how they are replaced and tried again, and how they end: of the framework.
OF_THE_FRAMEWORK = frozenset(
    {
        "instances", "update", "restart", "retries", "scale", "alerts", "shutdown", "kill_grace_s",
        "unreachable_replace_s", "gang", "expose", "schedule", "time_zone", "overlap",
        "start_deadline_s", "keep", "parameters", "depends_on",
    }
)  # fmt: skip
DIGITS = 16


def digest(task: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Return what is the same for two documents of a task by which the same would run.

    `defaults` are the values of the schema: to write one down changes nothing.
    """
    kept = {
        key: _plain(_volumes(value) if key == "volumes" else value)
        for key, value in task.items()
        if key not in OF_THE_FRAMEWORK and (value is not None and value != defaults.get(key))
    }
    text = json.dumps(kept, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]


def _volumes(given: Any) -> Any:
    """Return volumes without what the framework does once their agent stays away."""
    return [{key: v for key, v in volume.items() if key != "migrate"} for volume in given or ()]


def _plain(value: Any) -> Any:
    """1.0 is 1."""
    match value:
        case dict():
            return {key: _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value
