"""How soon does a standby of the bin-packing framework go on?  python bench/takeover.py [--json]

ZooKeeper, a master, simulated agents (bench/loadgen.py), and two instances of pymesos-binpack --zk
with jobs that run. Again and again the one that leads is killed with -9, or stopped with SIGSTOP,
at a moment drawn by chance; the times are from then on:

- session_s: until ZooKeeper has ended its session. It does so once it has not heard of it for the
  session timeout; its client speaks three times in that, so it may end up to a third earlier,
- takeover_s: until the master has the standby as the framework, under the same id,
- answers_s: until the standby lists all the jobs,
- beyond_s: takeover_s less the session timeout, and ours_s: less session_s.

`lost` are tasks that do not run any more, `started` others that run since; both must be 0.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
import grpc
from kazoo.client import KazooClient

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from pymesos_core.addresses import parse_zk
from pymesos_core.coordination.zk_store import framework_url
from pymesos_core.coordination.zookeeper import PREFIX
from pymesos_core.grpc_transport import CHANNEL_OPTIONS
from pymesos_proto.v1 import jobs_pb2 as jobs_pb
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_proto.v1.jobs_pb2_grpc import JobsStub
from pymesos_proto.v1.operator_pb2_grpc import OperatorStub
from pymesos_testing.components import (
    MissingError,
    Role,
    Roles,
    ZooKeeper,
    passable_folder,
    process,
)

LOADGEN = Path(__file__).with_name("loadgen.py")
RUNNING = types_pb2.TASK_RUNNING
POLL_S = 0.01
TIMEOUT_S = 120.0


def until(what: str, condition: Callable[[], bool]) -> float:
    """Poll, and return when it held first."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise click.ClickException(f"{what}: not within {TIMEOUT_S:g} s")
        time.sleep(POLL_S)
    return time.monotonic()


class Took(NamedTuple):
    """Seconds since the leader was taken away."""

    session_s: float
    takeover_s: float
    answers_s: float


class Cluster:
    """A master with its agents, and what is asked of it."""

    def __init__(self, roles: Roles, zk: ZooKeeper, session_s: float) -> None:
        self.master = roles.master("master", "--agent-ping-timeout", "15")
        self._operator = OperatorStub(_channel(self.master.address))
        self._roles = roles
        url = f"zk://{zk.address}/pymesos"
        self._arguments = ("--zk", url, "--zk-session-timeout", str(session_s))
        self._zk = KazooClient(zk.address)
        self._zk.start()
        self._elects_at = framework_url(parse_zk(url), "binpack").path

    @contextmanager
    def agents(self, count: int) -> Iterator[None]:
        """Simulated ones."""
        argv = (sys.executable, str(LOADGEN), "--master", self.master.address)
        log = self._roles.folder / "agents.log"
        with process(*argv, "--agents", str(count), "--resources", "cpus:32;mem:32000", log=log):
            yield

    def instance(self, name: str) -> Role:
        """Start an instance of the framework, with a folder of its own."""
        return self._roles.binpack(self.master.address, name, *self._arguments)

    def leads(self, role: Role) -> bool:
        """Whether the master has this instance as the framework."""
        found = self._operator.ListFrameworks(pb.ListFrameworksRequest()).frameworks
        return [(f.state, f.info.jobs_address) for f in found] == [("active", role.address)]

    def contend(self, count: int) -> bool:
        """Whether so many instances have a session."""
        children: list[str] = self._zk.get_children(self._elects_at)
        return len([child for child in children if child.startswith(PREFIX)]) == count

    def close(self) -> None:
        """End the session of this script."""
        self._zk.stop()
        self._zk.close()

    def framework_id(self) -> str:
        """The id of the one that there is."""
        found = self._operator.ListFrameworks(pb.ListFrameworksRequest()).frameworks
        return found[0].info.framework_id

    def tasks(self) -> set[str]:
        """The ids of those that run."""
        out: set[str] = set()
        token = ""
        while True:
            request = pb.ListTasksRequest(page=pb.Page(page_size=1000, page_token=token))
            answer = self._operator.ListTasks(request)
            out.update(t.task_info.task_id for t in answer.tasks if t.state == RUNNING)
            if not (token := answer.next_page_token):
                return out


def _channel(address: str) -> grpc.Channel:
    return grpc.insecure_channel(address, options=CHANNEL_OPTIONS)


def lists_all(role: Role, jobs: int) -> Callable[[], bool]:
    """Whether an instance lists so many jobs itself."""
    stub = JobsStub(_channel(role.address))

    def listed() -> bool:
        with contextlib.suppress(grpc.RpcError):
            answer = stub.ListJobs(jobs_pb.ListJobsRequest(page_size=1000), timeout=5)
            return len(answer.jobs) == min(jobs, 1000)
        return False

    return listed


def submit(role: Role, jobs: int, instances: int) -> None:
    """Submit services, of which a simulated instance runs until it is killed."""
    stub = JobsStub(_channel(role.address))
    needs = {"cpus": 0.1, "mem": 10}
    task = {"name": "web", "kind": "service", "instances": instances, "command": "on"}
    for number in range(jobs):
        job = json.dumps({"name": f"s{number}", "tasks": [task | {"resources": needs}]})
        stub.SubmitJob(jobs_pb.SubmitJobRequest(job_json=job, request_id=str(number)))


def measure(
    rounds: int, jobs: int, instances: int, agents: int, session_s: float
) -> dict[str, object]:
    """Take the leader away again and again."""
    draw = random.Random()
    ways = (("killed", signal.SIGKILL), ("stopped", signal.SIGSTOP))
    took: dict[str, list[Took]] = {name: [] for name, _ in ways}
    with passable_folder() as folder:
        roles, zk = Roles(folder), ZooKeeper(folder / "zookeeper", heap_mib=512)
        try:
            zk.start()
            cluster = Cluster(roles, zk, session_s)
            with contextlib.closing(cluster), cluster.agents(agents):
                leader = cluster.instance("i0")
                until("the first leads", lambda: cluster.leads(leader))
                submit(leader, jobs, instances)
                until("all run", lambda: len(cluster.tasks()) == jobs * instances)
                framework_id, before = cluster.framework_id(), cluster.tasks()
                for number in range(rounds * len(ways)):
                    standby = cluster.instance(f"i{number + 1}")
                    until("the standby contends", partial(cluster.contend, 2))
                    time.sleep(1 + draw.random() * session_s)
                    name, how = ways[number % len(ways)]
                    began_s = time.monotonic()
                    leader.signal(how)
                    at_s = (
                        until("its session ends", partial(cluster.contend, 1)),
                        until("the standby leads", partial(cluster.leads, standby)),
                        until("the standby answers", lists_all(standby, jobs)),
                    )
                    took[name].append(Took(*(each_s - began_s for each_s in at_s)))
                    leader.kill()
                    leader = standby
                assert cluster.framework_id() == framework_id
                after = cluster.tasks()
        except click.ClickException as error:
            words = [f"{name}:\n{text}" for name, text in roles.last_words()]
            raise click.ClickException("\n".join([error.message, *words])) from error
        finally:
            roles.close()
            zk.stop()
    return {
        "session_timeout_s": session_s,
        "jobs": jobs,
        "tasks": len(before),
        "rounds": rounds,
        **{name: _spread(times, session_s) for name, times in took.items()},
        "lost": len(before - after),
        "started": len(after - before),
    }


def _spread(times: list[Took], session_s: float) -> dict[str, list[float]]:
    """The least, the median and the most of each."""

    def three(values: list[float]) -> list[float]:
        values = sorted(values)
        return [round(v, 2) for v in (values[0], values[len(values) // 2], values[-1])]

    return {
        "session_s": three([each.session_s for each in times]),
        "takeover_s": three([each.takeover_s for each in times]),
        "beyond_s": three([each.takeover_s - session_s for each in times]),
        "ours_s": three([each.takeover_s - each.session_s for each in times]),
        "answers_s": three([each.answers_s for each in times]),
    }


@click.command()
@click.option("--rounds", default=10, show_default=True, help="How often, each way.")
@click.option("--jobs", default=200, show_default=True, help="How many jobs there are.")
@click.option("--instances", default=5, show_default=True, help="Of each job.")
@click.option("--agents", default=20, show_default=True, help="Of 32 CPUs each.")
@click.option("--session-timeout", default=4.0, show_default=True, help="Of ZooKeeper, in seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    rounds: int, jobs: int, instances: int, agents: int, session_timeout: float, as_json: bool
) -> None:
    """Take the leading instance away, and measure until the standby goes on."""
    try:
        result = measure(rounds, jobs, instances, agents, session_timeout)
    except MissingError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
