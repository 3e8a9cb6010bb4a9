"""How long is a cluster without a leader?  python bench/failover.py --agents N --tasks M [--json]

A ZooKeeper server, three masters, one process of simulated agents (bench/loadgen.py: real cores and
streams), and a framework on the SDK that launches M tasks and acknowledges what it hears. Then the
leading master is killed with -9. From that moment:

- elected_s: until the framework finds the next leader: the end of a session in ZooKeeper, which
  varies by more than a second and is none of our doing,
- first_offer_s: until the framework gets an offer of the next leader,
- last_agent_s: until the last agent is registered with it,
- last_task_s: until the framework has heard of its last task from it, unasked for by this script,
- lost, doubled: tasks that do not run any more by the next leader's word, and tasks that an agent
  started twice. Both must be 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pymesos_core.limits import CALL_TASKS
from pymesos_core.resources import from_proto, parse, to_proto
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver, Scheduler
from pymesos_testing.components import Roles, ZooKeeper

TASK = parse("cpus:1;mem:64")
LOADGEN = Path(__file__).with_name("loadgen.py")


class Launcher(Scheduler):
    """Launches a number of tasks that run on, and notes when things happened."""

    def __init__(self, tasks: int) -> None:
        self.left = [f"t{number}" for number in range(tasks)]
        self.launched: dict[str, str] = {}  # task → agent
        self.states: dict[str, pb.TaskState] = {}
        self.running = 0
        self.heard: set[str] = set()  # tasks, from this leader
        self.all_heard_s = 0.0
        self.offered = asyncio.Event()
        self.first_offer_s = 0.0  # since `offered` was cleared

    def offers(self, driver: Driver, offers: Sequence[pb.Offer]) -> None:
        """See Scheduler."""
        if not self.offered.is_set():
            self.offered.set()
            self.first_offer_s = time.monotonic()
        for offer in offers:
            rest = from_proto(offer.resources)
            infos: list[pb.TaskInfo] = []
            while self.left and len(infos) < CALL_TASKS.most and rest.contains(TASK):
                rest = rest - TASK
                task_id = self.left.pop()
                self.launched[task_id] = offer.agent_id
                infos.append(
                    pb.TaskInfo(
                        task_id=task_id,
                        name=task_id,
                        agent_id=offer.agent_id,
                        resources=to_proto(TASK),
                        command=pb.CommandInfo(shell=True, value="on"),
                    )
                )
            if infos:
                driver.accept([offer.offer_id], infos, refuse_s=1.0)
            else:
                driver.decline([offer.offer_id], refuse_s=1.0)

    def disconnected(self, driver: Driver) -> None:
        """See Scheduler. What the dead leader still said is not what is waited for."""
        self.offered.clear()
        self.heard.clear()

    def update(self, driver: Driver, status: pb.TaskStatus) -> None:
        """See Scheduler."""
        was = self.states.get(status.task_id)
        self.states[status.task_id] = status.state
        self.running += (status.state == pb.TASK_RUNNING) - (was == pb.TASK_RUNNING)
        if status.task_id not in self.heard:
            self.heard.add(status.task_id)
            self.all_heard_s = time.monotonic()


class LoadGenerator:
    """The process of the agents; `last` is the latest line that it printed."""

    def __init__(self, script: Path = LOADGEN) -> None:
        self._script = script
        names = ("epoch", "registered", "running", "doubled", "unacknowledged")
        self.last: dict[str, Any] = dict.fromkeys(names, 0)
        self.pid = 0

    async def run(self, master: str, agents: int, resources: str, *more: str) -> None:
        """Until cancelled; `more` are further flags."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(self._script), "--master", master),
            *("--agents", str(agents), "--resources", resources, *more),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        self.pid = process.pid
        try:
            async for line in process.stdout:
                self.last = json.loads(line)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def until(what: str, condition: Any, timeout_s: float) -> None:
    """Poll every 10 ms."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > timeout_s:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        await asyncio.sleep(0.01)


async def measure(folder: Path, agents: int, tasks: int, session_s: float) -> dict[str, object]:
    """Start everything, kill the leader, and watch."""
    roles, zookeeper = Roles(folder), ZooKeeper(folder / "zookeeper")
    zookeeper.start()
    url = f"zk://{zookeeper.address}/pymesos"
    options = (
        *("--zk", url, "--zk-session-timeout", str(session_s)),
        *("--agent-ping-timeout", "15", "--log-level", "warning", "--no-http"),
    )
    load, launcher = LoadGenerator(), Launcher(tasks)
    info = pb.FrameworkInfo(
        name="bench", failover_timeout_s=3600, capabilities=[pb.PARTITION_AWARE]
    )
    running: list[asyncio.Task[None]] = []
    try:
        masters = {m.address: m for m in (roles.master(f"m{n}", *options) for n in range(3))}
        cpus = tasks // agents + 2  # something is left to offer on each
        resources = f"cpus:{cpus};mem:{cpus * 64};disk:1000"
        driver = Driver(launcher, info, url)
        running.append(asyncio.create_task(load.run(url, agents, resources)))
        running.append(asyncio.create_task(driver.run()))
        await until("all agents", lambda: load.last["registered"] == agents, 120)
        await until("all tasks", lambda: launcher.running == tasks, 300)
        leader = driver.leader
        assert leader is not None
        epoch = load.last["epoch"]

        launcher.offered.clear()
        killed_s = time.monotonic()
        masters[str(leader)].kill()
        await until("the next leader", lambda: driver.leader not in (None, leader), 120)
        elected_s = time.monotonic()

        def all_back() -> bool:
            return bool(load.last["epoch"] > epoch and load.last["registered"] == agents)

        await until("the first offer", launcher.offered.is_set, 120)
        await until("the last agent", all_back, 300)
        await until("the last task", lambda: len(launcher.heard) == tasks, 300)
        first_s, last_s = launcher.first_offer_s, load.last["last_registered_s"]
        # What the next leader says of each task, not what the last one said.
        launcher.states.clear()
        launcher.running = 0
        driver.reconcile(launcher.launched.items())
        with contextlib.suppress(TimeoutError):
            await until("all answers", lambda: len(launcher.states) == tasks, 60)
        return {
            "agents": agents,
            "tasks": tasks,
            "session_timeout_s": session_s,
            "elected_s": round(elected_s - killed_s, 2),
            "first_offer_s": round(first_s - killed_s, 2),
            "last_agent_s": round(last_s - killed_s, 2),
            "last_task_s": round(launcher.all_heard_s - killed_s, 2),
            "lost": tasks - launcher.running,
            "doubled": load.last["doubled"],
        }
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        roles.close()
        zookeeper.stop()


@click.command()
@click.option("--agents", default=1000, show_default=True, help="How many agents.")
@click.option("--tasks", default=10_000, show_default=True, help="How many tasks run on them.")
@click.option("--session-timeout", default=4.0, show_default=True, help="Of ZooKeeper, in seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(agents: int, tasks: int, session_timeout: float, as_json: bool) -> None:
    """Kill the leading master and measure until the cluster works again."""
    with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
        result = asyncio.run(measure(Path(folder), agents, tasks, session_timeout))
    if as_json:
        print(json.dumps(result))
        return
    print(
        f"{agents} agents, {tasks} tasks, a session of {session_timeout:g} s:"
        f" first offer {result['first_offer_s']} s after the kill, last agent"
        f" {result['last_agent_s']} s, last task {result['last_task_s']} s,"
        f" {result['lost']} tasks lost, {result['doubled']} doubled"
    )


if __name__ == "__main__":
    main()
