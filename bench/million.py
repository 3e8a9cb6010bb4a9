"""How far does one master go?  python bench/million.py --agents A --tasks N [--json]

ZooKeeper, two masters, one process of simulated agents (bench/lean_agents.py), and a framework on
the SDK that launches N tasks of at least 300 bytes, each with an environment, which run on. All of
it speaks over the real wire. The leading master is measured, and then killed with -9.

- scheduled_per_s: from the first ACCEPT until all tasks have been RUNNING, by the framework's word.
- rss_per_task: what the leading master grew by meanwhile, in bytes, by task; of the next leader
  what it has for each once all is known to it, without what an empty one takes.
- first_page_ms, filtered_ms, searched_ms, sorted_ms, explain_ms: answers of the leader while all
  tasks run, the median of five and the longest.
- lag: how long somebody else's request waited (bench/lag.py), in each phase: p50, p99, longest.
- elected_s, subscribed_s, first_offer_s, last_agent_s, all_known_s, all_told_s: after the leader's
  death, until the framework finds the next, is subscribed to that and has an offer of it, until the
  last agent is registered, until the next leader counts N running tasks, and until the framework
  has been told of each (it asks for all).
- lost, doubled: tasks that do not run by the next leader's word, and that were started twice. Both
  must be 0.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import click
import grpc.aio
import psutil
from failover import LoadGenerator, until
from lag import Lag

from pymesos_core.garbage import collect_seldom
from pymesos_core.resources import from_proto, parse, to_proto
from pymesos_proto.v1 import operator_pb2 as operator_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2_grpc import OperatorStub
from pymesos_sdk import Driver, Scheduler
from pymesos_testing.components import Role, Roles, ZooKeeper, cpu_s_of

AGENTS = Path(__file__).with_name("lean_agents.py")
TASK = parse("cpus:1;mem:32")
LEAST_BYTES = 300  # of a TaskInfo
AT_ONCE = 50  # tasks in an ACCEPT
ROUNDS = 5  # of each question
TIMEOUT_S = 1800.0
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/var/lib/frontend",
    "DATABASE_URL": "postgres://frontend@db.internal:5432/shop",
    "CACHE_URL": "redis://cache.internal:6379/0",
    "LOG_LEVEL": "info",
    "REGION": "eu-central-1",
}


def template() -> bytes:
    """A task without its id and its agent."""
    info = pb.TaskInfo(
        task_id="t0000000",
        name="frontend",
        agent_id="0000-000000000000-0000",
        resources=to_proto(TASK),
        command=pb.CommandInfo(shell=True, value='exec bin/frontend --listen "0.0.0.0:$PORT0"'),
        labels=[pb.Label(key="team", value="shop")],
    )
    for name, value in ENVIRONMENT.items():
        info.command.environment.add(name=name, value=value)
    assert info.ByteSize() >= LEAST_BYTES, info.ByteSize()
    return info.SerializeToString()


class Launcher(Scheduler):
    """Launches the tasks t0, t1, …, and knows of each whether it runs."""

    def __init__(self, tasks: int, in_flight: int) -> None:
        self.tasks = tasks
        self.launched = 0
        self.began_s = 0.0
        self.running = bytearray(tasks)
        self.runs = 0
        self.told = bytearray(tasks)  # since the leader is known
        self.tells = 0
        self.all_told_s = 0.0
        self.offered = asyncio.Event()
        self.first_offer_s = 0.0  # since `offered` was cleared
        self.subscribed_s = 0.0
        self._in_flight = in_flight
        self._template = template()
        self._held: dict[str, pb.Offer] = {}

    def subscribed(self, driver: Driver, framework_id: str) -> None:
        """See Scheduler."""
        self.subscribed_s = time.monotonic()

    def offers(self, driver: Driver, offers: Sequence[pb.Offer]) -> None:
        """See Scheduler."""
        if not self.offered.is_set():
            self.offered.set()
            self.first_offer_s = time.monotonic()
        self._held.update((offer.offer_id, offer) for offer in offers)
        self._launch(driver)

    def rescinded(self, driver: Driver, offer_id: str) -> None:
        """See Scheduler."""
        self._held.pop(offer_id, None)

    def _launch(self, driver: Driver) -> None:
        while self._held and self.launched < self.tasks:
            if self.launched - self.runs >= self._in_flight:
                return
            offer = self._held.pop(next(iter(self._held)))
            # One task's worth is left, for the next leader to offer.
            fit = from_proto(offer.resources).quantities["cpus"] // 1000 - 1
            count = min(fit, AT_ONCE, self.tasks - self.launched)
            if count <= 0:
                driver.decline([offer.offer_id], refuse_s=3600)
                continue
            self.began_s = self.began_s or time.monotonic()
            infos = [self._task(self.launched + n, offer.agent_id) for n in range(count)]
            self.launched += count
            driver.accept([offer.offer_id], infos, refuse_s=0)
        if self.launched == self.tasks and self._held:
            driver.decline(list(self._held), refuse_s=3600)
            self._held.clear()

    def _task(self, number: int, agent_id: str) -> pb.TaskInfo:
        info = pb.TaskInfo.FromString(self._template)
        info.task_id, info.agent_id = f"t{number}", agent_id
        return info

    def disconnected(self, driver: Driver) -> None:
        """See Scheduler. What the dead leader still said is not what is waited for."""
        self._held.clear()
        self.offered.clear()
        self.told, self.tells = bytearray(self.tasks), 0

    def update(self, driver: Driver, status: pb.TaskStatus) -> None:
        """See Scheduler."""
        number, runs = int(status.task_id[1:]), status.state == pb.TASK_RUNNING
        self.runs += runs - self.running[number]
        self.running[number] = runs
        self.tells += not self.told[number]
        self.told[number] = True
        self.all_told_s = time.monotonic()
        self._launch(driver)


async def asked(ask: Callable[[], Awaitable[Any]]) -> dict[str, float]:
    """How long a question takes."""
    took_ms = []
    for _ in range(ROUNDS):
        begin_s = time.perf_counter()
        await ask()
        took_ms.append((time.perf_counter() - begin_s) * 1000)
    return {"p50": round(statistics.median(took_ms), 1), "longest": round(max(took_ms), 1)}


async def ask_all(master: str, framework_id: str, agent_id: str) -> dict[str, Any]:
    """What operators ask."""
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(master, options=options) as channel:
        stub = OperatorStub(channel)

        def tasks(**wanted: Any) -> Callable[[], Awaitable[Any]]:
            return lambda: stub.ListTasks(operator_pb.ListTasksRequest(**wanted))

        explained = operator_pb.ExplainFrameworkRequest(
            framework_id=framework_id, needs=to_proto(TASK)
        )
        return {
            "first_page_ms": await asked(tasks()),
            "filtered_ms": await asked(tasks(agent_id=agent_id)),
            "searched_ms": await asked(tasks(search="front t7")),
            "sorted_ms": await asked(tasks(sort="-launched")),
            "explain_ms": await asked(lambda: stub.ExplainFramework(explained)),
        }


async def running_at(master: str) -> int:
    """How many tasks run, by a master's word; 0: it does not lead."""
    async with grpc.aio.insecure_channel(master) as channel:
        try:
            seen = await OperatorStub(channel).GetOverview(operator_pb.GetOverviewRequest())
        except grpc.aio.AioRpcError:
            return 0
        return int(seen.tasks["TASK_RUNNING"])


async def known_at(master: str, tasks: int) -> float:
    """When a master counted as many running tasks."""
    begin_s = time.monotonic()
    while await running_at(master) < tasks:
        if time.monotonic() - begin_s > TIMEOUT_S:
            raise TimeoutError(f"the next leader does not know all tasks within {TIMEOUT_S:g} s")
        await asyncio.sleep(0.2)
    return time.monotonic()


def rss_of(role: Role) -> int:
    """The resident memory of a process, in bytes."""
    return int(psutil.Process(role.process.pid).memory_info().rss)


class Cluster:
    """All processes, and what is measured of them."""

    def __init__(self, folder: Path, agents: int, tasks: int, in_flight: int, session_s: float):
        self.agents, self.tasks = agents, tasks
        self.load = LoadGenerator(AGENTS)
        self.launcher = Launcher(tasks, in_flight)
        self._session_s = session_s
        self._roles, self._zookeeper = Roles(folder), ZooKeeper(folder / "zookeeper")
        self._running: list[asyncio.Task[None]] = []
        self.empty_rss = 0

    async def start(self) -> None:
        """Until all agents are registered."""
        self._zookeeper.start()
        url = f"zk://{self._zookeeper.address}/pymesos"
        options = (
            *("--zk", url, "--zk-session-timeout", str(self._session_s)),
            *("--agent-ping-timeout", "15", "--offer-timeout", "3600", "--log-level", "warning"),
            "--no-http",
        )
        made = [self._roles.master(f"m{number}", *options) for number in range(2)]
        self.masters = {master.address: master for master in made}
        self.empty_rss = rss_of(made[1])
        fit = -(-self.tasks // self.agents) + 1
        resources = f"cpus:{fit};mem:{fit * 32};disk:1000"
        self._running.append(asyncio.create_task(self.load.run(url, self.agents, resources)))
        await until("all agents", lambda: self.load.last["registered"] == self.agents, TIMEOUT_S)
        info = pb.FrameworkInfo(
            name="bench", failover_timeout_s=36000, capabilities=[pb.PARTITION_AWARE]
        )
        self.driver = Driver(self.launcher, info, url)

    @property
    def leader(self) -> Role:
        """The process of the master that leads."""
        return self.masters[str(self.driver.leader)]

    async def launch(self) -> dict[str, Any]:
        """All tasks, until each runs and that is acknowledged."""
        launcher, lag = self.launcher, Lag()
        self._running.append(asyncio.create_task(self.driver.run()))
        await until("the leader", lambda: self.driver.leader is not None, TIMEOUT_S)
        before, pid = rss_of(self.leader), self.leader.process.pid
        cpu_s = cpu_s_of(pid)
        async with lag.of(self.leader.address):
            await until("all tasks", lambda: launcher.runs == self.tasks, TIMEOUT_S)
            took_s = launcher.all_told_s - launcher.began_s
        settled = lambda: not self.load.last["unacknowledged"]  # noqa: E731
        await until("all acknowledgements", settled, TIMEOUT_S)
        return {
            "scheduled_per_s": round(self.tasks / took_s),
            "rss_per_task": (rss_of(self.leader) - before) // self.tasks,
            "master_rss_mib": rss_of(self.leader) >> 20,
            "agents_rss_mib": psutil.Process(self.load.pid).memory_info().rss >> 20,
            "framework_rss_mib": psutil.Process().memory_info().rss >> 20,
            "master_cpu_ms_per_task": round((cpu_s_of(pid) - cpu_s) / self.tasks * 1000, 3),
            "lag_launching": lag.found,
        }

    async def ask(self) -> dict[str, Any]:
        """What operators ask, and how long others wait meanwhile."""
        lag, leader = Lag(), self.leader.address
        agent_id = next(iter(self.driver.tasks.values()))
        async with lag.of(leader):
            found = await ask_all(leader, self.driver.framework_id, agent_id)
        return found | {"lag_asking": lag.found}

    async def fail_over(self) -> dict[str, Any]:
        """Kill the leader, and watch the next one."""
        launcher, lag, dead = self.launcher, Lag(), self.leader
        (following,) = (m for m in self.masters.values() if m is not dead)
        launcher.offered.clear()
        async with lag.of(following.address):
            killed_s = time.monotonic()
            dead.kill()
            known = asyncio.create_task(known_at(following.address, self.tasks))
            elected = lambda: str(self.driver.leader) == following.address  # noqa: E731
            await until("the next leader", elected, TIMEOUT_S)
            elected_s = time.monotonic()
            await until("the first offer", launcher.offered.is_set, TIMEOUT_S)
            known_s = await known
            await until("each task told", lambda: launcher.tells == self.tasks, TIMEOUT_S)
        return {
            "elected_s": round(elected_s - killed_s, 2),
            "subscribed_s": round(launcher.subscribed_s - killed_s, 2),
            "first_offer_s": round(launcher.first_offer_s - killed_s, 2),
            "last_agent_s": round(self.load.last["last_registered_s"] - killed_s, 2),
            "all_known_s": round(known_s - killed_s, 2),
            "all_told_s": round(launcher.all_told_s - killed_s, 2),
            "lost": self.tasks - launcher.runs,
            "doubled": self.load.last["doubled"],
            "next_rss_per_task": (rss_of(following) - self.empty_rss) // self.tasks,
            "lag_failing_over": lag.found,
        }

    async def close(self) -> None:
        """End what was started."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._roles.close()
        self._zookeeper.stop()


async def measure(
    folder: Path, agents: int, tasks: int, in_flight: int, session_s: float
) -> dict[str, Any]:
    """Start everything, launch, ask, kill the leader."""
    cluster = Cluster(folder, agents, tasks, in_flight, session_s)
    sizes = {"agents": agents, "tasks": tasks, "task_info_bytes": len(template())}
    try:
        await cluster.start()
        launched = await cluster.launch()
        asked_for = await cluster.ask()
        failed_over = await cluster.fail_over()
    finally:
        await cluster.close()
    load = {"load_average": round(os.getloadavg()[1], 1), "session_timeout_s": session_s}
    return sizes | launched | asked_for | failed_over | load


@click.command()
@click.option("--agents", default=5000, show_default=True, help="How many agents.")
@click.option("--tasks", default=1_000_000, show_default=True, help="How many tasks run on them.")
@click.option("--in-flight", default=4000, show_default=True, help="How many at a time in all.")
@click.option("--session-timeout", default=4.0, show_default=True, help="Of ZooKeeper, in seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(agents: int, tasks: int, in_flight: int, session_timeout: float, as_json: bool) -> None:
    """Run as many tasks as that on one master, and kill it."""
    collect_seldom()
    with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
        measured = measure(Path(folder), agents, tasks, in_flight, session_timeout)
        result = asyncio.run(measured)
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
