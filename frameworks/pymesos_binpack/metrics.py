"""What the bin-packing framework tells Prometheus: of each task, what is wanted and what is there.

A service that has nothing running has its numbers, which are 0: no rule has to guess from absence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import Metric

from pymesos_binpack.core import BinpackCore
from pymesos_core.metrics import gauge
from pymesos_core.slices import in_slices
from pymesos_proto.v1 import types_pb2 as pb

LABELS = ("role", "job", "job_id", "task")
Labels = tuple[str, str, str, str]


@dataclass(frozen=True)
class Seen:
    """A framework, as far as its metrics go."""

    leads: bool = False
    wanted: Mapping[Labels, int] = field(default_factory=dict)
    running: Mapping[Labels, int] = field(default_factory=dict)
    ready: Mapping[Labels, int] = field(default_factory=dict)
    alerts: Mapping[str, int] = field(default_factory=dict)  # by their state


async def snapshot(core: Callable[[], BinpackCore | None]) -> Seen:
    """What is durable of the tasks of each job; of an instance that stands by there is nothing."""
    if (leading := core()) is None:
        return Seen()
    wanted: Counter[Labels] = Counter()
    running, ready = Counter[Labels](), Counter[Labels]()
    async for job in in_slices(leading.jobs.values()):
        if job.durably_stopping:
            continue
        of_task = {
            spec.name: (job.job.role, job.job.name, job.job_id, spec.name)
            for spec in job.job.tasks
            if spec.is_service or not job.is_over
        }
        for spec in job.job.tasks:
            if (labels := of_task.get(spec.name)) is not None:
                wanted[labels] = spec.instances if spec.is_service else 0
                running[labels] = ready[labels] = 0
        for instance in job.told_instances():
            saved, spec = instance.durable, instance.spec
            if (labels := of_task.get(spec.name)) is not None:
                wanted[labels] += not (saved.leaving if spec.is_daemon else saved.done) and (
                    spec.is_daemon or not spec.is_service
                )
                running[labels] += saved.state == pb.TASK_RUNNING
                ready[labels] += bool(saved.ready_since_s)
    alerts = Counter(str(alert.state) for alert in leading.alerts)
    states = {state: alerts[state] for state in ("pending", "firing", "resolved")}
    return Seen(True, wanted, running, ready, states)


def to_metrics(seen: Seen) -> Iterable[Metric]:
    """All of them."""
    text = "Whether this instance of the framework acts, and does not stand by."
    yield gauge("pymesos_framework_leads", text, (), [((), float(seen.leads))])
    for name, text, values in (
        ("wanted", "Instances that a task of a job is to have.", seen.wanted),
        ("running", "Instances of a task of a job that run.", seen.running),
        ("ready", "Instances of a task of a job that run and whose checks pass.", seen.ready),
    ):
        rows = [(labels, float(number)) for labels, number in values.items()]
        yield gauge(f"pymesos_job_{name}", text, LABELS, rows)
    rows_of_alerts = [((state,), float(number)) for state, number in seen.alerts.items()]
    yield gauge("pymesos_job_alerts", "Alerts of jobs, by state.", ("state",), rows_of_alerts)
