"""What do we add to the bare tool?  python bench/containers.py --runtime oci [--json]

One master, one agent and the bin-packing framework as in production, beside the bare tool (`runc
run`, `docker run`, `/bin/sh`) on the same container, in the same run. With `oci` the agent prefers
crun where it works; the bare tool is runc all the same, and crun's own figures are beside it:

- launches_per_s: a job of many containers that run `true`, from its submission until every
  TASK_FINISHED is acknowledged; bare_launches_per_s: as many by the bare tool, as many at a time.
- added_ms: from the submission of one task on an idle cluster to TASK_RUNNING at the framework,
  less what the bare tool takes to start the same container (`runc run --detach`, `docker run -d`),
  percentile by percentile.
- kill_ms: from the kill to TASK_KILLED at the framework, for a container that ends when asked to.
- bare_crun: the same of `crun run`, where the agent uses it.
- swarm_launches_per_s: a Docker Swarm job of the same size; null where no Docker engine can be had.

Needs root for `oci`; `docker` and Swarm need Docker (deploy/test-deps.sh).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
from launch import Timed, ended

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from pymesos_agent.containers.environment import host_environment
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.runtimes.oci.bundle import Host, make_host_root, write_bundle
from pymesos_agent.runtimes.oci.preparing import INITS
from pymesos_agent.runtimes.oci.tools import NAMES, Tool, installed
from pymesos_binpack.core import BinpackCore
from pymesos_binpack.jobfiles.parsing import Job, parse_job
from pymesos_binpack.placement.packing import DEFAULT_POLICY, read_policy
from pymesos_cli.local.cluster import LocalCluster
from pymesos_core.resources import parse, to_proto
from pymesos_core.store import Store
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.components import IMAGE, MissingError, docker_engine, import_busybox

CPUS = 64
IDLE_S = 0.1  # before each launch; a machine that was idle is slower, for us and for the bare tool
ENDS_WHEN_ASKED = "trap 'exit 0' TERM; while :; do sleep 1 & wait; done"


def job(runtime: str, instances: int, command: str, cpus: float) -> Job:
    """A batch job of containers."""
    task: dict[str, Any] = {
        "name": "t",
        "instances": instances,
        "command": command,
        "runtime": runtime,
        "resources": {"cpus": cpus, "mem": 16},
        "kill_grace_s": 30,
    }
    if runtime == "docker":
        task["image"] = IMAGE
    return parse_job({"name": "bench", "tasks": [task]})


class Bare:
    """The bare tool: `run` to the end of a container, `start` until it runs."""

    def __init__(self, runtime: str, folder: Path, docker_host: str, tool: str = "runc") -> None:
        """`tool` is for the runtime `oci`."""
        self._runtime, self._folder, self._docker_host = runtime, folder, docker_host
        self._tool: Tool | None = None
        if runtime == "oci":
            # In memory, as the tools have it by themselves; removed with this object.
            self._states = tempfile.TemporaryDirectory(prefix="pymesos-bench-", dir="/dev/shm")
            self._tool = installed(Path(self._states.name))[tool]
        self._made = 0

    def _bundle(self, command: str) -> tuple[str, Path]:
        """The same container as the agent's; made before the clock runs."""
        name = f"bare-{os.getpid()}-{self._made}"
        self._made += 1
        sandbox = self._folder / "sandboxes" / name
        sandbox.mkdir(parents=True)
        info = pb.TaskInfo(
            task_id=name,
            resources=to_proto(parse("cpus:1;mem:16")),
            command=pb.CommandInfo(shell=True, value=command),
        )
        resources = parse("cpus:1;mem:16")
        spec = ContainerSpec(name, "bare", "", None, info, resources, sandbox)
        init = next((path for n in INITS if (path := shutil.which(n))), None)
        root = self._folder / "root"
        root.mkdir(exist_ok=True)
        make_host_root(root)
        host = Host(host_environment(), init, os.uname().nodename, None, root)
        bundle = self._folder / "bundles" / name
        write_bundle(bundle, spec, None, Settings(), host, f"/pymesos/bare/{name}")
        return name, bundle

    def prepare(self, command: str, number: int) -> list[tuple[list[str], list[str]]]:
        """For each container: how to run it, and how to start it and go on."""
        out: list[tuple[list[str], list[str]]] = []
        for _ in range(number):
            if self._tool is not None:
                name, bundle = self._bundle(command)
                run = self._tool.argv("run", "--bundle", str(bundle))
                out.append(([*run, name], [*run, "--detach", name]))
            elif self._runtime == "docker":
                docker = ["docker", "-H", self._docker_host, "run", "--network", "host"]
                what = [IMAGE, "/bin/sh", "-c", command]
                out.append(([*docker, "--rm", *what], [*docker, "--detach", *what]))
            else:
                shell = ["/bin/sh", "-c", command]
                out.append((shell, shell))
        return out

    def per_s(self, number: int, at_once: int) -> float:
        """Containers that run `true`, so many at a time."""
        prepared = self.prepare("true", number)
        with ThreadPoolExecutor(at_once) as pool:
            begin = time.perf_counter()
            list(pool.map(lambda argv: _quiet(argv[0]), prepared))
            return number / (time.perf_counter() - begin)

    def start_ms(self, number: int) -> list[float]:
        """One after the other, each ended before the next."""
        times = []
        for _, start in self.prepare("true", number):
            begin = time.perf_counter()
            _quiet(start)
            times.append((time.perf_counter() - begin) * 1000)
            if self._tool is not None:
                _quiet(self._tool.argv("delete", "--force", start[-1]))
            time.sleep(IDLE_S)
        return times


def _quiet(argv: Sequence[str]) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


async def start_ms(binpack: Timed, runtime: str, rounds: int) -> list[float]:
    """Milliseconds from submission to RUNNING, one task at a time on an idle cluster."""
    out = []
    for number in range(rounds):
        begin = time.perf_counter()
        job_id = await binpack.submit(job(runtime, 1, "true", 0.1), f"start-{number}")
        await ended(binpack, job_id)
        task_id = binpack.core.jobs[job_id].instances[0].saved.task_id
        out.append((binpack.running_at[task_id] - begin) * 1000)
        await asyncio.sleep(IDLE_S)  # idle again, and what is left of it is gone
    return out


async def kill_ms(binpack: Timed, runtime: str, rounds: int) -> list[float]:
    """Milliseconds from the kill to KILLED."""
    out = []
    for number in range(rounds):
        job_id = await binpack.submit(job(runtime, 1, ENDS_WHEN_ASKED, 0.1), f"kill-{number}")
        state = binpack.core.jobs[job_id]
        with binpack.watch(job_id) as watch:
            while state.instances[0].durable.state != pb.TASK_RUNNING:
                assert not state.is_over, state.instances[0].explanation
                watch.changed.clear()
                await watch.changed.wait()
            await asyncio.sleep(0.1)  # the shell has set its trap
            begin = time.perf_counter()
            await binpack.stop_job(job_id)
            while not state.is_over:
                watch.changed.clear()
                await watch.changed.wait()
        out.append((time.perf_counter() - begin) * 1000)
    return out


async def throughput(binpack: Timed, runtime: str, tasks: int, at_once: int) -> float:
    """Tasks per second."""
    begin = time.perf_counter()
    job_id = await binpack.submit(job(runtime, tasks, "true", CPUS / at_once), "throughput")
    await ended(binpack, job_id)
    return tasks / (time.perf_counter() - begin)


def swarm_per_s(docker_host: str, tasks: int, at_once: int) -> float:
    """A replicated job of Docker Swarm."""

    def docker(*arguments: str) -> None:
        _quiet(["docker", "-H", docker_host, *arguments])

    docker("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1")
    try:
        begin = time.perf_counter()
        docker(
            *(
                "service",
                "create",
                "--quiet",
                "--no-resolve-image",
                "--name",
                "bench",
                "--mode",
                "replicated-job",
            ),
            *("--replicas", str(tasks), "--max-concurrent", str(at_once), "--network", "host"),
            *(IMAGE, "/bin/sh", "-c", "true"),
        )
        return tasks / (time.perf_counter() - begin)
    finally:
        docker("swarm", "leave", "--force")


def quantiles(times: Sequence[float]) -> tuple[float, float]:
    """p50 and p99."""
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return cuts[49], cuts[98]


async def ours(
    folder: Path, runtime: str, docker_host: str, tool: str, rounds: int, tasks: int, at_once: int
) -> tuple[list[float], list[float], float]:
    """Milliseconds to start, to kill, and tasks per second."""
    folder.chmod(0o711)  # tasks of other users find their sandboxes
    cluster = LocalCluster(folder)
    try:
        master = cluster.start(
            "master",
            "pymesos_master.main",
            *("--port", "0", "--work-dir", str(folder / "master"), "--log-level", "warning"),
            "--no-http",
        )
        docker = ("--docker-host", docker_host) if docker_host else ()
        cluster.start(
            "agent",
            "pymesos_agent.main",
            *("--port", "0", "--master", master.address, "--work-dir", str(folder / "agent")),
            *("--resources", f"cpus:{CPUS};mem:65536", "--runtime", runtime, *docker),
            *("--oci-tool", tool, "--kill-tasks-on-exit", "--log-level", "warning"),
        )
        info = pb.FrameworkInfo(
            name="bench", capabilities=[pb.PARTITION_AWARE, pb.TASK_KILLING_STATE]
        )
        core = BinpackCore(read_policy(DEFAULT_POLICY), {})
        binpack = Timed(core, Store(folder / "framework.sqlite"), info, master.address)
        running = asyncio.create_task(binpack.run())
        await ended(binpack, await binpack.submit(job(runtime, 10, "true", 0.1), "warm-up"))
        starts = await start_ms(binpack, runtime, rounds)
        kills = await kill_ms(binpack, runtime, rounds)
        per_s = await throughput(binpack, runtime, tasks, at_once)
        binpack.driver.teardown()
        await running
        return starts, kills, per_s
    finally:
        cluster.stop()


def of_bare(bare: Bare, rounds: int, tasks: int, at_once: int) -> tuple[list[float], float]:
    """Milliseconds to start, and containers per second."""
    bare.start_ms(2)
    return bare.start_ms(rounds), bare.per_s(tasks, at_once)


def beside(
    bare: tuple[list[float], float], starts: Sequence[float], per_s: float
) -> dict[str, float]:
    """Ours and the bare tool's."""
    bare_starts, bare_per_s = bare
    return {
        "launches_per_s": round(bare_per_s, 1),
        "ratio": round(per_s / bare_per_s, 3),
        "added_ms_p50": round(quantiles(starts)[0] - quantiles(bare_starts)[0], 1),
    }


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[str]:
    """A Docker engine with the image, or an empty address."""
    with contextlib.ExitStack() as stack:
        try:
            host = stack.enter_context(docker_engine(folder))
            import_busybox(host)
        except MissingError:
            host = ""
        yield host


def measure(
    folder: Path, runtime: str, tool: str, rounds: int, tasks: int, at_once: int, *, swarm: bool
) -> dict[str, object]:
    """Ours, the bare tool, Swarm."""
    (folder / "docker").mkdir()
    needed: Callable[[Path], contextlib.AbstractContextManager[str]] = engine
    if not swarm and runtime != "docker":
        needed = lambda _: contextlib.nullcontext("")  # noqa: E731
    with needed(folder / "docker") as docker_host:
        if runtime == "docker" and not docker_host:
            raise click.ClickException("no Docker engine can be had here (deploy/test-deps.sh)")
        of_docker = docker_host if runtime == "docker" else ""
        starts, kills, per_s = asyncio.run(
            ours(folder, runtime, of_docker, tool, rounds, tasks, at_once)
        )
        bare_starts, bare_per_s = of_bare(
            Bare(runtime, folder / "bare", docker_host), rounds, tasks, at_once
        )
        crun = (
            of_bare(Bare(runtime, folder / "crun", "", "crun"), rounds, tasks, at_once)
            if runtime == "oci" and tool == "crun"
            else None
        )
        of_swarm = swarm_per_s(docker_host, tasks, at_once) if swarm and docker_host else None
    (p50, p99), (bare_p50, bare_p99) = quantiles(starts), quantiles(bare_starts)
    kill_p50, kill_p99 = quantiles(kills)
    return {
        "runtime": runtime,
        **({"tool": tool} if runtime == "oci" else {}),
        "launches_per_s": round(per_s, 1),
        "bare_launches_per_s": round(bare_per_s, 1),
        "ratio_to_bare": round(per_s / bare_per_s, 3),
        "swarm_launches_per_s": None if of_swarm is None else round(of_swarm, 1),
        "added_ms": {"p50": round(p50 - bare_p50, 1), "p99": round(p99 - bare_p99, 1)},
        **({"bare_crun": beside(crun, starts, per_s)} if crun is not None else {}),
        "kill_ms": {"p50": round(kill_p50, 1), "p99": round(kill_p99, 1)},
        "start_ms": {"p50": round(p50, 1), "p99": round(p99, 1)},
        "bare_start_ms": {"p50": round(bare_p50, 1), "p99": round(bare_p99, 1)},
        "rounds": rounds,
        "tasks": tasks,
        "at_once": at_once,
    }


@click.command()
@click.option("--runtime", type=click.Choice(["process", "docker", "oci"]), default="oci")
@click.option(
    "--oci-tool", type=click.Choice(NAMES), default="crun", show_default=True, help="Ours, of oci."
)
@click.option("--rounds", default=50, show_default=True, help="Launches for each latency.")
@click.option("--tasks", default=300, show_default=True, help="Containers for the throughput.")
@click.option("--at-once", default=8, show_default=True, help="How many of them at a time.")
@click.option("--swarm/--no-swarm", default=True, help="Docker Swarm, too, where it can be had.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    runtime: str,
    oci_tool: str,
    rounds: int,
    tasks: int,
    at_once: int,
    swarm: bool,
    as_json: bool,
) -> None:
    """Measure launches through master, offer and agent, beside the bare tool and Swarm."""
    if runtime == "oci" and os.geteuid() != 0:
        raise click.ClickException("the oci runtime needs root")
    with tempfile.TemporaryDirectory(prefix="pymesos-bench-", ignore_cleanup_errors=True) as folder:
        result = measure(Path(folder), runtime, oci_tool, rounds, tasks, at_once, swarm=swarm)
    if as_json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        print(f"{key:>22}  {value}")


if __name__ == "__main__":
    sys.exit(main())
