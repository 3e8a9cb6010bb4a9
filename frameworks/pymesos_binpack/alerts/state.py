"""Alerts as they are kept: what is durable of one is all that a standby needs to go on with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pymesos_binpack.specs import AlertRule, When
from pymesos_core.outgoing.alert import Alert as Life
from pymesos_core.outgoing.alert_life import State
from pymesos_core.outgoing.notices import Notice
from pymesos_core.store import Change

ALERT = "alert"  # JOB ID/TASK/WHEN/RECEIVER → its record
NAMES = {
    When.UNHEALTHY: "PymesosUnhealthy",
    When.BELOW: "PymesosBelow",
    When.CRASH_LOOP: "PymesosCrashLoop",
    When.ROLLOUT_FAILED: "PymesosRolloutFailed",
    When.UNPLACED: "PymesosUnplaced",
    When.DRAIN_BLOCKED: "PymesosDrainBlocked",
}


def alert_key(job_id: str, task: str, rule: AlertRule) -> str:
    """The key of an alert, the same in every life of the framework."""
    return f"{job_id}/{task}/{rule.when}/{rule.to}"


@dataclass(slots=True, eq=False)
class Alert(Life):
    """One of a task of a job that is not quiet."""

    role: str = ""  # of its job
    job: str = ""  # its name

    @property
    def job_id(self) -> str:
        """The id of its job."""
        return self.key.partition("/")[0]

    @property
    def parts(self) -> tuple[str, str, str]:
        """The task of it, what it is about, and its receiver."""
        _, task, when, receiver = self.key.split("/")
        return task, when, receiver

    def notice(self) -> Notice:
        """What its receiver is to be told of it now."""
        task, when, receiver = self.parts
        labels = {
            "alertname": NAMES[When(when)],
            "role": self.role,
            "job": self.job,
            "job_id": self.job_id,
            "task": task,
            "receiver": receiver,
        }
        return Notice(
            self.key, receiver, labels, self.summary, self.fired_s, self.over_s, self.known
        )

    def change(self) -> Change:
        """The write of it; what is quiet is not kept."""
        if self.state is State.QUIET:
            return Change(ALERT, self.key, None)
        names = ("role", "job", "since_s", "fired_s", "ended_s", "known", "told", "summary")
        record = {name: getattr(self, name) for name in names}
        return Change(ALERT, self.key, json.dumps({**record, "state": self.state}).encode())


@dataclass(slots=True)
class Alerts:
    """All that are not quiet, by job."""

    by_job: dict[str, dict[str, Alert]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Alert]:
        for alerts in self.by_job.values():
            yield from alerts.values()

    def of(self, job_id: str) -> Mapping[str, Alert]:
        """The alerts of a job, by key."""
        return self.by_job.get(job_id, {})

    def get(self, key: str) -> Alert | None:
        """One by its key."""
        return self.of(key.partition("/")[0]).get(key)

    def check(self) -> None:
        """Assert what follows from their states; for tests and the simulator."""
        for alert in self:
            alert.check()

    def keep(self, alert: Alert) -> None:
        """Have one, or forget it where it is quiet."""
        if alert.state is not State.QUIET:
            self.by_job.setdefault(alert.job_id, {})[alert.key] = alert
            return
        of_job = self.by_job.get(alert.job_id, {})
        of_job.pop(alert.key, None)
        if not of_job:
            self.by_job.pop(alert.job_id, None)


def read_alert(key: str, value: bytes) -> Alert:
    """Read one back. Raises ValueError."""
    parts = key.split("/")
    if len(parts) != 4 or not all(parts) or parts[2] not in tuple(When):
        raise ValueError(f"{key!r} is no key of an alert")
    try:
        record: Any = json.loads(value)
        alert = Alert(key, **{**record, "state": State(record["state"])})
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"the alert {key} cannot be read: {error!r}") from None
    texts = (alert.role, alert.job, alert.summary)
    flags = (alert.known, alert.told)
    if not all(isinstance(text, str) for text in texts) or {*map(type, flags)} != {bool}:
        raise ValueError(f"the alert {key} has no text, or no flag, where one is expected")
    if problem := alert.times_problem():
        raise ValueError(f"the alert {key} {problem}")
    return alert
