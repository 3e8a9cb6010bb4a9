"""What an agent tells Prometheus: its tasks, and what each of them uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, Metric

from pymesos_agent.containers.usage import ContainerUsage, read_usage
from pymesos_agent.core import AgentCore
from pymesos_core.metrics import MIB, gauge
from pymesos_core.resources import from_proto
from pymesos_core.slices import in_slices
from pymesos_core.states import state_name

LABELS = ("framework_id", "task_id", "name")


@dataclass(frozen=True)
class TaskSeen:
    """A task, as far as its metrics go; amounts in thousandths."""

    labels: tuple[str, str, str]
    state: str
    pid: int
    cpus_milli: int
    mem_milli: int
    healthy: bool | None


async def snapshot(core: AgentCore) -> list[TaskSeen]:
    """What is known of the tasks whose ends are not acknowledged."""
    out = []
    async for task in in_slices(core.state.by_key.values()):
        amounts = from_proto(task.info.resources).amounts()
        out.append(
            TaskSeen(
                (task.framework_id, task.info.task_id, task.info.name),
                state_name(task.state),
                0 if task.ended or task.container is None else task.container.pid,
                amounts.get("cpus", 0),
                amounts.get("mem", 0),
                task.healthy,
            )
        )
    return out


def to_metrics(tasks: Sequence[TaskSeen]) -> Iterable[Metric]:
    """All of them. Blocking: the kernel is asked for each task."""
    states = Counter(task.state for task in tasks)
    values = [((state,), float(count)) for state, count in sorted(states.items())]
    yield gauge("pymesos_agent_tasks", "Tasks, by state.", ("state",), values)
    used = [(task, usage) for task in tasks if task.pid and (usage := read_usage(task.pid))]

    def each(name: str, text: str, value: str) -> Metric:
        return gauge(
            name, text, LABELS, [(t.labels, float(getattr(usage, value))) for t, usage in used]
        )

    yield each("pymesos_task_mem_bytes", "Memory that a task uses.", "mem_bytes")
    yield each("pymesos_task_pids", "Processes and threads of a task.", "pids")
    yield gauge(
        "pymesos_task_mem_limit_bytes",
        "Memory that a task may use.",
        LABELS,
        [(t.labels, t.mem_milli / 1000 * MIB) for t, _ in used],
    )
    yield gauge(
        "pymesos_task_cpus", "CPUs that a task asked for.", LABELS,
        [(t.labels, t.cpus_milli / 1000) for t, _ in used],
    )  # fmt: skip
    yield gauge(
        "pymesos_task_healthy", "By its health check, if it has one that was answered.", LABELS,
        [(t.labels, float(t.healthy)) for t, _ in used if t.healthy is not None],
    )  # fmt: skip
    for name, text, value in (
        ("cpu_seconds", "CPU time of a task.", "cpu_s"),
        ("throttled_seconds", "For which its quota held a task back.", "throttled_s"),
        ("read_bytes", "Read from disks.", "read_bytes"),
        ("written_bytes", "Written to disks.", "written_bytes"),
        ("received_bytes", "By a network of its own.", "received_bytes"),
        ("sent_bytes", "By a network of its own.", "sent_bytes"),
    ):
        yield _counter(f"pymesos_task_{name}", text, value, used)


def _counter(
    name: str, text: str, value: str, used: Sequence[tuple[TaskSeen, ContainerUsage]]
) -> Metric:
    family = CounterMetricFamily(name, text, labels=LABELS)
    for task, usage in used:
        family.add_metric([*task.labels], float(getattr(usage, value)))
    return family
