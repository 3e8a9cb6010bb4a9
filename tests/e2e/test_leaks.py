"""500 short containers and 100 long ones on one agent: nothing is left, and it stays small."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import pytest

from pymesos_agent.files.memory import memory_of
from pymesos_agent.runtimes.starting import tag_of
from pymesos_testing.cli import Cli
from pymesos_testing.components import Roles, supervisors, wait_for

SHORT, LONG = 500, 100
RSS_SLACK_MIB = 25
# The agent's pools start a thread when all they have are at work, so how many a short warm-up
# leaves depends on the machine. One thread kept by every fifth task would be past this.
POOL_THREADS = 24
CGROUPS = Path("/sys/fs/cgroup")
OTHERS = "/var/tmp/pymesos-"  # folders of tests that run beside this one


@dataclass
class Counts:
    """What an agent and its supervisors hold on to."""

    files: int
    threads: int
    processes: int
    mounts: int
    cgroups: int
    bundles: int
    pipes: int


def cgroups_of(folder: Path) -> list[Path]:
    """The groups of an agent's containers, of every controller."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    ours = {line.split(":", 2)[2].strip("/") for line in lines}
    mounts = (CGROUPS, *CGROUPS.iterdir())
    tops = [mount / path / "pymesos" / tag_of(folder) for mount in mounts for path in ours]
    return [group for top in tops for group in top.glob("*") if group.is_dir()]


def in_memory(folder: Path, pattern: str) -> list[Path]:
    """What an agent has in memory."""
    memory = memory_of(tag_of(folder))
    return [] if memory is None else list(memory.folder.glob(pattern))


def pipes_of(folder: Path) -> list[Path]:
    """The folders of the named pipes of an agent's containers."""
    return [*folder.glob("pipes"), *folder.glob("oci/pipes"), *in_memory(folder, "pipes-*")]


def count(agent: int, folder: Path) -> Counts:
    processes = [psutil.Process(pid) for pid in (agent, *supervisors(folder))]
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return Counts(
        sum(p.num_fds() for p in processes),
        sum(p.num_threads() for p in processes),
        sum(len(p.children(recursive=True)) for p in processes),
        len([mount for mount in mounts if not mount.startswith(OTHERS) or str(folder) in mount]),
        len(cgroups_of(folder)),
        len([*folder.glob("oci/containers/*"), *in_memory(folder, "runtime-oci/*/*")]),
        len([pipe for pipes in pipes_of(folder) for pipe in pipes.iterdir()]),
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("runtime", ["process", "oci"])
def test_nothing_leaks(runtime: str, roles: Roles) -> None:
    if runtime == "oci" and os.geteuid() != 0:
        pytest.skip("the oci runtime needs root")
    master = roles.master()
    cli = Cli(master.address, 200)
    flags = ("--runtime", runtime, "--resources", "cpus:64;mem:65536;disk:1000")
    agent = roles.agent(master.address, "agent", *flags, "--kill-tasks-on-exit")
    roles.binpack(master.address)
    cli.wait_for_agents(1)
    folder, pid = roles.folder / "agent", agent.process.pid

    def run_short(number: int) -> None:
        size = {"cpus": 64 / 8, "mem": 16}
        task = {"name": "short", "instances": number, "command": "echo x", "resources": size}
        text = json.dumps({"name": "job", "tasks": [task]})
        cli.ok("run", "-", "--wait", text=text)

    run_short(30)  # threads, caches and buffers are there
    before = count(pid, folder)
    before.threads += POOL_THREADS
    rss_mib = psutil.Process(pid).memory_info().rss / 2**20
    size = {"cpus": 0.1, "mem": 16}
    task = {
        "name": "long", "kind": "service", "instances": LONG, "command": "exec sleep 1000",
        "resources": size, "kill_grace_s": 1,
    }  # fmt: skip
    text = json.dumps({"name": "long", "tasks": [task]})
    job = cli.ok("run", "-", text=text).split()[1]
    cli.wait_for_tasks(LONG, 60, name="long", state="TASK_RUNNING")
    assert os.geteuid() != 0 or count(pid, folder).cgroups >= LONG
    run_short(SHORT)
    cli.ok("stop", job)
    cli.wait_for_tasks(0, 60, name="long", state="TASK_RUNNING")

    def nothing_is_left() -> bool:
        now = asdict(count(pid, folder))
        return all(now[name] <= held for name, held in asdict(before).items())

    try:
        wait_for("all of it to be gone", nothing_is_left, 30)
    except AssertionError:
        pytest.fail(f"before {before}, after {count(pid, folder)}")
    assert psutil.Process(pid).memory_info().rss / 2**20 < rss_mib + RSS_SLACK_MIB
    for supervisor in supervisors(folder):
        assert psutil.Process(supervisor).memory_info().rss / 2**20 < 40
