"""What do rollouts cost, and how soon is a bad one over?  python bench/rollout.py [--json]

The production decision, without I/O, on instances in pretended time, each ready three seconds
after it runs. All that is kept goes through JSON at each decision, as if the framework restarted.

- bad: of 10 instances of a version that crashes; from the third exit until what ran before is all
  that runs, and how many were ready at the worst time.
- good: of 100 instances; the time of a decision, of all that a whole rollout takes.
- many: 100 rollouts at once among 1,000 services of 5 instances; the part of a core that decisions
  need while these go on.
- framework: the same by the whole core of the framework, with its records, its planner and the
  offers of 1,000 agents; also the longest of its steps.
- listing: 10,000 jobs of 5 instances in the state directory of a real framework; until it serves
  them, and pages of the listing as `pymesos-cli jobs` asks for them; its CPU until it serves and
  during the first page.
- drain: 20 services of one instance, each ready five seconds after its start, on an agent that is
  drained; until all have left it, and how many had ended before their successor could be ready.
- haproxy (with --haproxy, and nothing else): ten rollouts and ten rollbacks of real servers behind
  HAProxy, fed as deploy/haproxy shows, with requests at a steady rate, however slowly they are
  answered; how many were sent a second, and how many failed.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import click
import grpc

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import Job, parse_job
from pymesos_binpack.jobs.rollouts import asking, deciding
from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_core.grpc_transport import CHANNEL_OPTIONS
from pymesos_core.store import Change, Store
from pymesos_proto.v1 import jobs_pb2 as jobs_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.jobs_pb2_grpc import JobsStub
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.cli import Cli
from pymesos_testing.components import MissingError, Role, Roles, cpu_s_of, passable_folder
from pymesos_testing.proxied import RETRIES, Load, begin, change, proxied
from pymesos_testing.rollout_world import Kind, World

time_of = datetime.fromisoformat
READY_AFTER_S = 5  # of those that leave an agent


@contextmanager
def timed_decisions() -> Iterator[list[float]]:
    """Milliseconds of CPU of each decision in this block."""
    spent: list[float] = []
    original = deciding.decide

    def decide(*args: object) -> object:
        begin = time.thread_time()
        try:
            return original(*args)  # type: ignore[arg-type]
        finally:
            spent.append((time.thread_time() - begin) * 1000)

    deciding.decide = decide  # type: ignore[assignment]
    try:
        yield spent
    finally:
        deciding.decide = original


def settled(count: int) -> World:
    """A service that runs well."""
    made = World(count=count)
    made.run(20)
    made.fewest_ready = count
    return made


def bad() -> dict[str, object]:
    """A version that crashes."""
    service = settled(10)
    service.apply(Kind.CRASHES)
    while service.rollout.state is State.ROLLING and service.rollout.exits < asking.MOST_EXITS:
        service.run(1)
    third_exit_s = service.now_s
    service.run_until(State.ROLLED_BACK)
    after_s = service.now_s - third_exit_s
    return {"instances": 10, "rolled_back_after_s": after_s, "ready_at_worst": service.fewest_ready}


def good() -> dict[str, object]:
    """A version that works, of many instances."""
    service = settled(100)
    with timed_decisions() as spent:
        began_s = service.now_s
        service.apply()
        service.run_until(State.DONE)
    return {
        "instances": 100,
        "simulated_s": service.now_s - began_s,
        "decisions": len(spent),
        "mean_ms": round(sum(spent) / len(spent), 2),
        "worst_ms": round(max(spent), 2),
        "ready_at_worst": service.fewest_ready,
    }


def many(services: int, rollouts: int) -> dict[str, object]:
    """Many services, of which some change at the same time."""
    every = [settled(5) for _ in range(services)]
    changing = every[:rollouts]
    with timed_decisions() as spent:
        began_s = changing[0].now_s
        for service in changing:
            service.apply()
        while any(service.rollout.going for service in changing):
            for service in every:
                service.run(1)
        simulated_s = changing[0].now_s - began_s
    return {
        "services": services,
        "rollouts": rollouts,
        "decisions": len(spent),
        "simulated_s": simulated_s,
        "cores": round(sum(spent) / 1000 / simulated_s, 4),
    }


def _service(number: int, command: str) -> Job:
    needs = {"cpus": 0.1, "mem": 10}
    task = {"name": "web", "kind": "service", "instances": 5, "command": command}
    return parse_job({"name": f"s{number}", "tasks": [{**task, "resources": needs}]})


class Framework(BinpackHarness):
    """The core of the framework, with a cluster that does at once what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.spent_s = 0.0
        self.worst_s = 0.0

    def feed(self, event: c.Event) -> None:
        begin = time.thread_time()
        super().feed(event)
        took_s = time.thread_time() - begin
        if not isinstance(event, c.Stored):  # of which the time is in that of what was stored for
            self.spent_s += took_s
            self.worst_s = max(self.worst_s, took_s)

    def obey(self) -> None:
        """What is launched runs, and what is killed ends."""
        effects, self.effects = self.effects, []
        for effect in effects:
            if isinstance(effect, c.Accept):
                for info in effect.tasks:
                    self.update(info.task_id, pb.TASK_RUNNING)
            elif isinstance(effect, c.Kill):
                self.update(effect.task_id, pb.TASK_KILLED)


def framework(services: int, rollouts: int, agents: int) -> dict[str, object]:
    """Many services, of which some change at the same time, in the whole core."""
    it = Framework()
    it.feed(c.Subscribed("f"))
    ids = [it.submit(_service(n, "x"), f"r{n}") for n in range(services)]
    for number in range(agents):
        it.offer("cpus:8;mem:8000", agent=f"a{number}")
    it.obey()
    it.advance(30)
    it.spent_s = it.worst_s = 0.0
    began_s = it.now_s
    for number, job_id in enumerate(ids[:rollouts]):
        job = _service(number, "y")
        it.feed(c.VersionProposed(f"change{number}", job_id, 1, job, "apply"))
    while any(it.core.jobs[job_id].unsettled for job_id in ids[:rollouts]):
        it.obey()
        if any(instance.pending for job_id in ids for instance in it.core.jobs[job_id].instances):
            it.offer("cpus:8;mem:8000", agent=f"a{int(it.now_s) % agents}")
        it.obey()
        it.advance(1)
        assert it.now_s < began_s + 600, "the rollouts do not end"
    simulated_s = it.now_s - began_s
    return {
        "services": services,
        "rollouts": rollouts,
        "simulated_s": simulated_s,
        "cores": round(it.spent_s / simulated_s, 4),
        "worst_step_ms": round(it.worst_s * 1000, 1),
    }


def listing(services: int) -> dict[str, object]:
    """Pages of the jobs of a framework as a process of its own, which has just started."""
    it = Framework()
    for number in range(services):
        it.submit(_service(number, "x"), f"r{number}")
    with passable_folder() as folder:
        roles = Roles(folder)
        try:
            master = roles.master()
            (folder / "binpack").mkdir()
            with contextlib.closing(Store(folder / "binpack" / "state.sqlite")) as store:
                store.commit(Change(kind, key, it.records[kind, key]) for kind, key in it.records)
            begin_s = time.monotonic()
            framework = roles.binpack(master.address)
            served_after_s = time.monotonic() - begin_s
            served_after_cpu_s = cpu_s_of(framework.process.pid)
            by_size = [_pages(framework, size) for size in (0, 1000)]
        finally:
            roles.close()
    assert all(sum(page.jobs for page in pages) == services for pages in by_size)
    first = by_size[0][0]
    return {
        "jobs": services,
        "served_after_s": round(served_after_s, 1),
        "served_after_cpu_s": round(served_after_cpu_s, 2),
        "first_page": {"ms": round(first.ms, 1), "cpu_ms": round(first.cpu_ms, 1)},
        "page_ms": {f"{pages[0].jobs} jobs": _spread(pages) for pages in by_size},
    }


class Page(NamedTuple):
    """A page of the listing."""

    jobs: int
    ms: float
    cpu_ms: float  # of the framework meanwhile, whatever else it did


def _pages(framework: Role, size: int) -> list[Page]:
    """Return the pages of a whole listing."""
    out: list[Page] = []
    token = ""
    pid = framework.process.pid
    with grpc.insecure_channel(framework.address, options=CHANNEL_OPTIONS) as channel:
        stub = JobsStub(channel)
        while token or not out:
            request = jobs_pb.ListJobsRequest(page_size=size, page_token=token)
            begin_s, begin_cpu_s = time.monotonic(), cpu_s_of(pid)
            response = stub.ListJobs(request, timeout=60)
            took_s, cpu_s = time.monotonic() - begin_s, cpu_s_of(pid) - begin_cpu_s
            out.append(Page(len(response.jobs), took_s * 1000, cpu_s * 1000))
            token = response.next_page_token
    return out


def _spread(pages: list[Page]) -> dict[str, float]:
    took_ms = sorted(page.ms for page in pages)
    return {"median": round(took_ms[len(took_ms) // 2], 1), "worst": round(took_ms[-1], 1)}


def drain(services: int) -> dict[str, object]:
    """Services of one instance that leave an agent, with real processes."""
    with passable_folder() as folder:
        roles = Roles(folder)
        try:
            master = roles.master()
            for name in ("a", "b"):
                has = ("--resources", "cpus:4;mem:4096", "--runtime", "process")
                roles.agent(master.address, name, *has, "--kill-tasks-on-exit")
            roles.binpack(master.address)
            cli = Cli(master.address)
            cli.wait_for_agents(2)
            cli.ok("cordon", "b")
            cli.ok("apply", "-", "--wait", text=json.dumps(_of_one_instance(services)))
            cli.ok("activate", "b")
            begin_s = time.monotonic()
            cli.ok("drain", "a", "--wait")
            took_s = time.monotonic() - begin_s
            tasks = cli.json("tasks", "--all")
        finally:
            roles.close()
    ready_after = timedelta(seconds=READY_AFTER_S)
    old = {t["name"]: time_of(t["finished_at"]) for t in tasks if t["hostname"] == "a"}
    moved = {t["name"]: time_of(t["started_at"]) for t in tasks if t["hostname"] == "b"}
    dips = sum(ended < moved[name] + ready_after for name, ended in old.items())
    assert len(moved) == len(old) == services, f"{len(moved)} of {len(old)} have moved"
    return {
        "services": services,
        "ready_after_s": READY_AFTER_S,
        "left_after_s": round(took_s, 1),
        "dips": dips,
    }


def _of_one_instance(services: int) -> dict[str, object]:
    """A job of services that are ready a while after their start."""
    check = {"command": "test -e ready", "delay_s": 0, "interval_s": 0.2}
    task = {
        "kind": "service",
        "command": f"sleep {READY_AFTER_S}; touch ready; exec sleep 1000",
        "resources": {"cpus": 0.1, "mem": 16},
        "readiness_check": check,
    }
    return {"name": "shop", "tasks": [{"name": f"s{n}", **task} for n in range(services)]}


def behind_haproxy(instances: int, changes: int, rate_per_s: float) -> dict[str, object]:
    """Versions of real servers that come and go while they are asked."""
    with passable_folder() as folder:
        roles = Roles(folder)
        try:
            with proxied(roles, folder) as it:
                begin(it, instances)
                before = it.stats()
                with Load(it.port, rate_per_s).going() as load:
                    took_s = change(it, instances, changes)
                again = {name: int(it.stats()[name]) - int(before[name]) for name in RETRIES}
        finally:
            roles.close()
    answered = sum(load.answered.values())
    return {
        "instances": instances,
        "rollouts": (changes + 1) // 2,
        "rollbacks": changes // 2,
        "worst_change_s": round(max(took_s), 1),
        "requests": answered + load.failed,
        "offered_per_s": rate_per_s,
        "requests_per_s": round((answered + load.failed) / load.seconds, 1),
        "client_cores": round(load.cpu_s / load.seconds, 2),
        "failed": load.failed,
        "tried_again_by_haproxy": sum(again.values()),
        "slowest_ms": round(load.slowest_s * 1000),
        "first_failures": load.failures[:3],
    }


@click.command()
@click.option("--services", default=1000, show_default=True)
@click.option("--rollouts", default=100, show_default=True)
@click.option("--haproxy", is_flag=True, help="Only real servers behind HAProxy.")
@click.option("--instances", default=5, show_default=True, help="With --haproxy.")
@click.option("--changes", default=20, show_default=True, help="With --haproxy.")
@click.option(
    "--rate", default=1000.0, show_default=True, help="Requests a second, with --haproxy."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    services: int,
    rollouts: int,
    haproxy: bool,
    instances: int,
    changes: int,
    rate: float,
    as_json: bool,
) -> None:
    """Measure rollouts, the listing of jobs and a drain; or servers behind HAProxy."""
    if haproxy:
        try:
            figures = {"haproxy": behind_haproxy(instances, changes, rate)}
        except MissingError as error:
            raise click.ClickException(str(error)) from error
    else:
        figures = {
            "bad": bad(),
            "good": good(),
            "many": many(services, rollouts),
            "framework": framework(services, rollouts, 1000),
            "listing": listing(10 * services),
            "drain": drain(20),
        }
    if as_json:
        print(json.dumps(figures))
        return
    for name, row in figures.items():
        print(name, row)


if __name__ == "__main__":
    main()
