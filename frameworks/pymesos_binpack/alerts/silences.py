"""Silences: alerts of which nobody is told for a while, because somebody knows of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pymesos_binpack.alerts.state import Alert
from pymesos_binpack.specs import When
from pymesos_core.outgoing.alert import is_time
from pymesos_core.store import Change

MAX_SILENCE_S = 30 * 86400
SILENCE = "silence"  # JOB ID/TASK/WHEN → its record


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence of alerts: of a job, one of its tasks, or what one is about; empty: of all."""

    job_id: str
    task: str
    when: str
    until_s: float  # Unix time
    by: str
    why: str

    @property
    def key(self) -> str:
        """The key of its record."""
        return f"{self.job_id}/{self.task}/{self.when}"

    def covers(self, alert: Alert) -> bool:
        """Whether it is of an alert."""
        task, when, _ = alert.parts
        same_job = alert.job_id == self.job_id
        return same_job and self.task in ("", task) and self.when in ("", when)

    def change(self) -> Change:
        """The write of it."""
        record = {"until_s": self.until_s, "by": self.by, "why": self.why}
        return Change(SILENCE, self.key, json.dumps(record).encode())


@dataclass(slots=True)
class Silences:
    """All that are in force, by their keys."""

    by_key: dict[str, Silence] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Silence]:
        return iter(self.by_key.values())

    def get(self, job_id: str, task: str, when: str) -> Silence | None:
        """The one that another of the same alerts would take the place of."""
        return self.by_key.get(f"{job_id}/{task}/{when}")

    def of(self, alert: Alert) -> Silence | None:
        """The one that lasts longest of those that cover an alert."""
        if not self.by_key:
            return None
        found = [silence for silence in self if silence.covers(alert)]
        return max(found, key=lambda silence: silence.until_s, default=None)


def read_silence(key: str, value: bytes) -> Silence:
    """Read one back. Raises ValueError."""
    parts = key.split("/")
    if len(parts) != 3 or not parts[0] or parts[2] not in ("", *When):
        raise ValueError(f"{key!r} is no key of a silence")
    try:
        read: Any = json.loads(value)
        silence = Silence(parts[0], parts[1], parts[2], read["until_s"], read["by"], read["why"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"the silence {key} cannot be read: {error!r}") from None
    if (
        not is_time(silence.until_s)
        or not isinstance(silence.by, str)
        or not isinstance(silence.why, str)
    ):
        raise ValueError(f"the silence {key} has another time, or no text where one is expected")
    return silence
