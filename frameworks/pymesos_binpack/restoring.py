"""The state directory read back: jobs, and what cannot be handled any more, set aside.

An older version, another hand or a fault of this code may have left what this code cannot run. It
stays as it is stored, with the reason, until somebody releases it; everything else goes on.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pymesos_binpack.alerts.silences import SILENCE, Silence, read_silence
from pymesos_binpack.alerts.state import ALERT, Alert, read_alert
from pymesos_binpack.jobfiles.parsing import load_document
from pymesos_binpack.jobs.history import VERSION
from pymesos_binpack.jobs.instance import INSTANCE, instance_key
from pymesos_binpack.jobs.secrets import SEEN, Seen, read_seen
from pymesos_binpack.jobs.state import JOB, ROLLOUT, ROLLOUTS, RUNS, SCALING, VOLUME, JobState
from pymesos_binpack.jobs.variables import VARIABLE, Variable, read_variable
from pymesos_binpack.jobs.volumes import KeptVolume
from pymesos_binpack.loading import Load, Row, is_time, load_job, load_saved
from pymesos_binpack.specs import JobError
from pymesos_core.states import is_terminal
from pymesos_core.store import Change, Records
from pymesos_sdk.ledger import FRAMEWORK, GIVEN_UP

log = logging.getLogger(__name__)

QUARANTINE = "quarantine"  # job id → why the job was set aside while it ran
OF_JOBS = frozenset({JOB, VERSION, ROLLOUT, ROLLOUTS, RUNS, SCALING, INSTANCE, QUARANTINE})
MAX_REASON = 1000


@dataclass(frozen=True)
class Quarantined:
    """A job that is stored and cannot be handled. Its tasks run on, if they do."""

    job_id: str
    reason: str
    rows: tuple[Row, ...] = ()  # all that is stored of it

    def _record(self) -> Mapping[str, Any]:
        for kind, _, value in self.rows:
            if kind == JOB:
                try:
                    read = json.loads(value)
                except (ValueError, RecursionError):
                    return {}
                return read if isinstance(read, dict) else {}
        return {}

    @property
    def request_id(self) -> str:
        """The request id of its submission, if that can be read."""
        found = self._record().get("request_id")
        return found if isinstance(found, str) else ""

    @property
    def submitted_at_s(self) -> float:
        """If that can be read."""
        found = self._record().get("submitted_at_s")
        return float(found) if is_time(found) else 0.0  # type: ignore[arg-type]

    @property
    def document(self) -> str:
        """The job as it is stored, as far as that is text."""
        found = self._record().get("document")
        if isinstance(found, str):
            return found
        return next((value for kind, _, value in self.rows if kind == JOB), b"").decode(
            "utf-8", "backslashreplace"
        )

    @property
    def name(self) -> str:
        """The job's, which its id begins with."""
        return self.job_id.rpartition("-")[0] or self.job_id

    def live_tasks(self) -> dict[str, str]:
        """Task id → agent id, of those that were running as far as what is stored can be read."""
        out: dict[str, str] = {}
        for kind, key, value in self.rows:
            if kind != INSTANCE:
                continue
            try:
                saved = load_saved(key, value)
            except (ValueError, TypeError):
                continue
            if saved.task_id and saved.state and not is_terminal(saved.state):  # type: ignore[arg-type]
                out[saved.task_id] = saved.agent_id
        return out

    @cached_property
    def agents(self) -> frozenset[str]:
        """Where those tasks run."""
        return frozenset(self.live_tasks().values())

    def may_have(self, volume: KeptVolume) -> bool:
        """Whether it has a volume or waits for it, as far as what is stored can be read."""
        if self.name != volume.job or self.role not in ("", volume.role):
            return False
        instance = instance_key(self.job_id, volume.task, volume.index)
        for kind, key, value in self.rows:
            if kind == INSTANCE and (key == instance or key.startswith(f"{instance}/")):
                with contextlib.suppress(ValueError, TypeError):
                    saved = load_saved(key, value)
                    has = saved.volume_ids.get(volume.name, volume.volume_id)
                    return not saved.done and has == volume.volume_id
        return True

    @cached_property
    def role(self) -> str:
        """The job's role, if its document can be read; else empty."""
        with contextlib.suppress(JobError):
            read = load_document(self.document, only_json=True)
            role = read.get("role", "*") if isinstance(read, dict) else ""
            return role if isinstance(role, str) else ""
        return ""

    def removal(self) -> list[Change]:
        """Forget it."""
        return [Change(kind, key, None) for kind, key, _ in self.rows]


@dataclass
class Restored:
    """What the state directory holds."""

    framework_id: str = ""
    jobs: list[JobState] = field(default_factory=list)
    given_up: dict[str, str] = field(default_factory=dict)
    volumes: list[bytes] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)
    secrets: list[Seen] = field(default_factory=list)
    quarantined: dict[str, Quarantined] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=dict)  # by job


def job_of(key: str) -> str:
    """Return the id of the job that a record is of, which is of a kind of `OF_JOBS`."""
    return key.partition("/")[0]


def restore(records: Records, load: Load = load_job) -> Restored:
    """Read all; `load` makes each job from its records.

    Raises ValueError when the framework's own id cannot be read.
    """
    out = Restored()
    for (kind, key), value in records.items():
        if kind == FRAMEWORK:
            out.framework_id = value.decode()
        elif kind == GIVEN_UP:
            # Of a task that is to end: its agent is a help, and no more.
            out.given_up[key] = value.decode("utf-8", "replace")
        elif kind == VOLUME:
            out.volumes.append(value)
        elif kind == ALERT:
            with contextlib.suppress(ValueError):  # else what it is about is found anew
                out.alerts.append(read_alert(key, value))
        elif kind == SILENCE:
            with contextlib.suppress(ValueError):  # then somebody is told
                out.silences.append(read_silence(key, value))
        elif kind == VARIABLE:
            try:
                out.variables.append(read_variable(key, value))
            except ValueError as error:  # jobs have the value that they were given
                log.warning("%s; set it again", error)
        elif kind == SEEN:
            with contextlib.suppress(ValueError):  # the master tells of it again
                out.secrets.append(read_seen(key, value))
        elif kind in OF_JOBS:
            out.rows.setdefault(job_of(key), []).append((kind, key, value))
    for job_id, rows in out.rows.items():
        if not any(kind == JOB for kind, _, _ in rows):
            continue  # what was left of a job that is forgotten
        try:
            if reason := _why_set_aside(rows):
                out.quarantined[job_id] = Quarantined(job_id, reason, tuple(rows))
            else:
                out.jobs.append(load(job_id, rows))
        except Exception as error:  # whatever it is, it is of this job alone
            out.quarantined[job_id] = Quarantined(job_id, why(error), tuple(rows))
    return out


def _why_set_aside(rows: Iterable[Row]) -> str:
    for kind, _, value in rows:
        if kind == QUARANTINE:
            return value.decode("utf-8", "replace") or "it was set aside"
    return ""


def why(error: Exception) -> str:
    """An error as a reason, with the place in the code when it is one of the code."""
    text = str(error)
    if not isinstance(error, ValueError | KeyError):
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = trace.tb_frame.f_code.co_filename.rpartition("/")[2] if trace is not None else ""
        line = trace.tb_lineno if trace is not None else 0
        text = f"{type(error).__name__}: {text} ({where}:{line})"
    elif isinstance(error, KeyError):
        text = f"its record lacks {text}"
    return text[:MAX_REASON]


def set_aside(job_id: str, reason: str) -> Change:
    """What keeps a job set aside over restarts."""
    return Change(QUARANTINE, job_id, reason[:MAX_REASON].encode("utf-8", "backslashreplace"))
