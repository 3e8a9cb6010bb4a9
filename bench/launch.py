"""How fast is a task launched?  python bench/launch.py [--json]

One master, one agent with the process runtime, and the bin-packing framework, all as in production:
the roles are processes of their own, every write is fsynced. Two figures:

- submit_to_running_ms: an idle cluster gets a job of one task; from the submission reaching the
  framework to TASK_RUNNING reaching it.
- tasks_per_s: a job of many tasks that run `true`; from its submission until every TASK_FINISHED
  is acknowledged. Beside it, in the same run, the floor: `/bin/sh -c true` started and reaped by a
  bare loop of as many at a time (`bare_tasks_per_s`), and the ratio of the two.
- cpu_ms_per_task: the CPU that each role used for one of these tasks. `children` are the tasks
  themselves, from the fork to the end, and `bare` is all of the bare loop, with its tasks.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import psutil

from pymesos_binpack.core import BinpackCore, Event, TaskUpdated
from pymesos_binpack.jobfiles.parsing import Job, parse_job
from pymesos_binpack.placement.packing import DEFAULT_POLICY, read_policy
from pymesos_binpack.shell import Binpack
from pymesos_cli.local.cluster import LocalCluster
from pymesos_core.outside import outside_with
from pymesos_core.security.credentials import Credentials
from pymesos_core.store import Store
from pymesos_proto.v1 import types_pb2 as pb


class Timed(Binpack):
    """The framework, with a note of when each update came."""

    def __init__(self, *arguments: object, **more: object) -> None:
        super().__init__(*arguments, **more)  # type: ignore[arg-type]
        self.running_at: dict[str, float] = {}

    def _feed(self, event: Event) -> None:
        if isinstance(event, TaskUpdated) and event.status.state == pb.TASK_RUNNING:
            self.running_at.setdefault(event.status.task_id, time.perf_counter())
        super()._feed(event)


def job(instances: int, command: str, cpus: float) -> Job:
    """A batch job."""
    task = {
        "name": "t",
        "kind": "batch",
        "instances": instances,
        "command": command,
        "resources": {"cpus": cpus, "mem": 8},
    }
    return parse_job({"name": "bench", "tasks": [task]})


async def ended(binpack: Timed, job_id: str) -> None:
    """Wait until the job has ended."""
    state = binpack.core.jobs[job_id]
    with binpack.watch(job_id) as watch:
        while not state.is_over:
            watch.changed.clear()
            await watch.changed.wait()
    assert state.state == "finished", state.state


async def latency(binpack: Timed, rounds: int) -> list[float]:
    """Milliseconds from submission to RUNNING, one task at a time."""
    out = []
    for number in range(rounds):
        begin = time.perf_counter()
        job_id = await binpack.submit(job(1, "true", 0.1), f"latency-{number}")
        await ended(binpack, job_id)
        task_id = binpack.core.jobs[job_id].instances[0].saved.task_id
        out.append((binpack.running_at[task_id] - begin) * 1000)
        await asyncio.sleep(0.05)  # idle again
    return out


def cpu_s(process: psutil.Process) -> tuple[float, float]:
    """The CPU time of a process, and that of its children which it has reaped."""
    times = process.cpu_times()
    return times.user + times.system, times.children_user + times.children_system


def cpu_of(roles: dict[str, psutil.Process]) -> dict[str, float]:
    """The CPU time of each role so far; the supervisor's children are those of tasks."""
    used = {name: cpu_s(process)[0] for name, process in roles.items()}
    return used | {"children": cpu_s(roles["supervisor"])[1]}


def supervisor_of(work_dir: Path) -> psutil.Process:
    """The process that holds the supervisor's lock: its command names the agent's directory."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if command[-1:] == [str(work_dir)] and "-c" in command:
            return process
    raise LookupError(f"no supervisor of {work_dir}")


async def throughput(binpack: Timed, tasks: int, at_once: int, cpus: int) -> float:
    """Tasks per second."""
    begin = time.perf_counter()
    job_id = await binpack.submit(job(tasks, "true", cpus / at_once), "throughput")
    await ended(binpack, job_id)
    return tasks / (time.perf_counter() - begin)


def bare(tasks: int, at_once: int) -> float:
    """The floor: the same commands from a bare loop."""
    begin = time.perf_counter()
    running: list[subprocess.Popen[bytes]] = []
    for _ in range(tasks):
        if len(running) == at_once:
            running.pop(0).wait()
        running.append(subprocess.Popen(["/bin/sh", "-c", "true"], start_new_session=True))
    for process in running:
        process.wait()
    return tasks / (time.perf_counter() - begin)


async def measure(
    folder: Path,
    rounds: int,
    tasks: int,
    at_once: int,
    tls: Callable[[str], Path] | None = None,
) -> dict[str, object]:
    """Start the roles, measure, stop them; `tls` has certificates of principals."""

    def flags(principal: str) -> tuple[str, ...]:
        return ("--tls", str(tls(principal))) if tls else ()

    folder.chmod(0o711)  # tasks of other users find their sandboxes
    cluster = LocalCluster(folder)
    try:
        master = cluster.start(
            "master",
            "pymesos_master.main",
            *("--port", "0", "--work-dir", str(folder / "master"), "--log-level", "warning"),
            "--no-http",
            *flags("master/m"),
        )
        agent = cluster.start(
            "agent",
            "pymesos_agent.main",
            *("--port", "0", "--master", master.address, "--work-dir", str(folder / "agent")),
            *("--resources", "cpus:64;mem:65536", "--runtime", "process"),
            *("--kill-tasks-on-exit", "--log-level", "warning"),
            *(("--executor-port", "0", *flags("agent/a")) if tls else ()),
        )
        info = pb.FrameworkInfo(
            name="bench", capabilities=[pb.PARTITION_AWARE, pb.TASK_KILLING_STATE]
        )
        core = BinpackCore(read_policy(DEFAULT_POLICY), {})
        store = Store(folder / "framework.sqlite")
        outside = outside_with(Credentials(tls("framework/bench")) if tls else None)
        binpack = Timed(core, store, info, master.address, outside=outside)
        running = asyncio.create_task(binpack.run())
        await ended(binpack, await binpack.submit(job(20, "true", 0.1), "warm-up"))
        times = sorted(await latency(binpack, rounds))
        roles = {
            "agent": psutil.Process(agent.process.pid),
            "supervisor": supervisor_of(folder / "agent"),
            "framework": psutil.Process(),
            "master": psutil.Process(master.process.pid),
        }
        before = cpu_of(roles)
        per_s = await throughput(binpack, tasks, at_once, 64)
        used = {name: after - before[name] for name, after in cpu_of(roles).items()}
        binpack.driver.teardown()
        await running
        own = psutil.Process()
        begin = sum(cpu_s(own))
        floor = bare(tasks, at_once)
        used["bare"] = sum(cpu_s(own)) - begin
    finally:
        cluster.stop()
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return {
        "submit_to_running_ms": {"p50": round(cuts[49], 2), "p99": round(cuts[98], 2)},
        "tasks_per_s": round(per_s, 1),
        "bare_tasks_per_s": round(floor, 1),
        "ratio_to_bare": round(per_s / floor, 3),
        "cpu_ms_per_task": {name: round(s * 1000 / tasks, 3) for name, s in used.items()},
        "rounds": rounds,
        "tasks": tasks,
        "at_once": at_once,
    }


@click.command()
@click.option("--rounds", default=100, show_default=True, help="Launches for the latency.")
@click.option("--tasks", default=1000, show_default=True, help="Tasks for the throughput.")
@click.option("--at-once", default=64, show_default=True, help="How many of them fit at a time.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(rounds: int, tasks: int, at_once: int, as_json: bool) -> None:
    """Measure launch latency and throughput through one master and one agent."""
    with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
        result = asyncio.run(measure(Path(folder), rounds, tasks, at_once))
    if as_json:
        print(json.dumps(result))
        return
    times = result["submit_to_running_ms"]
    assert isinstance(times, dict)
    print(f"submit to TASK_RUNNING: p50 {times['p50']} ms, p99 {times['p99']} ms")
    print(f"short tasks: {result['tasks_per_s']} per second")
    print(f"the same commands from a bare loop: {result['bare_tasks_per_s']} per second")
    used = result["cpu_ms_per_task"]
    assert isinstance(used, dict)
    print("CPU for one task:", ", ".join(f"{name} {ms} ms" for name, ms in used.items()))


if __name__ == "__main__":
    sys.exit(main())
