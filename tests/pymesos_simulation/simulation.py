"""One run: a cluster in bad weather, then in good; it must end up with all work done."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pymesos_binpack.jobfiles.parsing import Job, parse_job
from pymesos_simulation.addresses import addressing_jobs
from pymesos_simulation.changes import MAKE_ROOM_S
from pymesos_simulation.cluster import Cluster
from pymesos_simulation.daemons import daemon_jobs
from pymesos_simulation.dependencies import dependent_jobs
from pymesos_simulation.faults import FAULTS, ROLES, Faults
from pymesos_simulation.frameworks import side_of
from pymesos_simulation.machine import simulated
from pymesos_simulation.pages import ONCALL
from pymesos_simulation.periodic import periodic_jobs, set_clocks_back
from pymesos_simulation.revocable import revocable_jobs
from pymesos_simulation.rude import MANNERS
from pymesos_simulation.scaling import scaled_jobs
from pymesos_simulation.secrets import NAME
from pymesos_simulation.variables import varied_jobs, varied_seed
from pymesos_simulation.volumes import removed_volumes, volume_seed
from pymesos_simulation.world import World

FAULTY_S = 240.0
POLICY_EVERY = 6  # of so many seeds one has certificates and a policy
EDIT_EVERY = 8  # of so many seeds two have people who change jobs: one of these with drains, too
SECRETS_EVERY = 5  # of so many seeds one has operators who set secrets, and a job that uses them
SIDE_EVERY = 3  # seeds with frameworks that have jobs of two roles
PAIR_EVERY = 9  # of so many seeds the last has a framework of two instances
HOST_PORTS_EVERY = 7  # of so many seeds one has a service that wants a port by its number
HOST_PORT = 50
PAGED_EVERY = 5  # of so many seeds one has somebody who is paged; of those with a pair all
NAMES_EVERY = 4  # of so many seeds one has resolvers
DESK_EVERY = 5  # of so many seeds the last has an operator who watches all
GATEWAY_EVERY = 7  # of so many seeds one has masters whose streams are held by a gateway
LOOK_S = 0.02  # of simulated time, between two looks at whether it has
HEALED_S = 3600.0  # simulated seconds within which a healed cluster must have converged


@dataclass(frozen=True)
class Result:
    """What a run covered."""

    seed: int
    events: int
    crashes: int
    failovers: int
    finished: int
    simulated_s: float
    faults: dict[str, int]
    dice: float  # the next draw: runs that differed somewhere differ here

    def line(self) -> str:
        """For people and for comparing two replays."""
        return json.dumps(self.__dict__, sort_keys=True)


def _job(world: World, number: int) -> Job:
    random = world.random
    tasks = [
        {
            "name": "batch",
            "instances": random.randint(10, 60),
            "command": "batch",
            "retries": 1000,
            "resources": {"cpus": random.choice([0.1, 0.5, 1]), "mem": 64},
        },
        {
            "name": "service",
            "kind": "service",
            "command": "service",
            "instances": random.randint(1, 2),
            "resources": {"cpus": 0.1, "mem": 32, "ports": random.randint(0, 2)},
        },
    ]
    if random.random() < 0.5:
        asked = {"command": "ask", "delay_s": 3, "interval_s": 5, "timeout_s": 2}
        tasks[1]["health_check"] = {**asked, "grace_period_s": 5, "consecutive_failures": 2}
    if random.random() < 0.2:
        tasks[0]["max_completion_time_s"] = 20
    if random.random() < 0.4:
        gang = {"name": "gang", "instances": random.randint(2, 4), "gang": True}
        needs = {"cpus": 0.1, "mem": 32}
        tasks.append({**gang, "command": "batch", "retries": 1000, "resources": needs})
    if random.random() < 0.4:
        beside = [{"name": "proxy", "command": "service", "resources": {"cpus": 0, "mem": 8}}]
        tasks[1]["sidecars"] = beside
        pair = {"name": "pair", "instances": random.randint(1, 5), "command": "batch"}
        tasks.append({**pair, "retries": 1000, "sidecars": beside})
    return parse_job({"name": f"job{number}", "tasks": tasks})


def _of_role(job: Job, role: str) -> Job:
    """The same in another role."""
    return parse_job({**json.loads(job.document), "role": role})


def _portless(job: Job) -> Job:
    document = json.loads(job.document)
    document["tasks"][1]["resources"]["ports"] = 0
    return parse_job(document)


def _with_host_port(job: Job, agents: int) -> Job:
    """The service of a job with a port that each agent has once."""
    document = json.loads(job.document)
    service = document["tasks"][1]
    service["ports"] = [{"name": "web", "host": HOST_PORT}]
    service["instances"] = min(service["instances"], agents)
    return parse_job(document)


def _with_alerts(job: Job) -> Job:
    """One of whose tasks somebody is to be told."""
    document = json.loads(job.document)
    for task in document["tasks"]:
        whens = ["unplaced"]
        if task.get("kind") == "service":
            whens += ["below", *(["unhealthy"] if "health_check" in task else [])]
        task["alerts"] = [{"when": when, "for_s": 2, "to": ONCALL} for when in whens]
    return parse_job(document)


def _urgent_job(world: World, number: int) -> Job:
    """Others of its framework are killed for it when there is no room.

    With the services it is within the lowest limit of a role that the operator sets.
    """
    instances, cpus = world.random.choice([(1, 1.3), (2, 0.6), (3, 0.4)])
    task = {
        "name": "urgent",
        "instances": instances,
        "gang": instances > 1,
        "command": "batch",
        "retries": 1000,
        "resources": {"cpus": cpus, "mem": 32},
    }
    return parse_job({"name": f"urgent{number}", "priority": 5, "preempt": True, "tasks": [task]})


def _side_job() -> Job:
    """One of another role than the framework's: it is in that until this has ended."""
    task = {
        "name": "side",
        "instances": 6,
        "command": "batch",
        "retries": 1000,
        "resources": {"cpus": 0.1, "mem": 32},
    }
    return parse_job({"name": "side", "tasks": [task]})


def _secret_job(world: World) -> Job:
    """One whose tasks wait until an operator has set what they use."""
    task = {
        "name": "secret",
        "instances": world.aside.randint(5, 20),
        "command": "batch",
        "retries": 1000,
        "secrets": [{"name": NAME, "path": "password", "env": "PASSWORD"}],
        "resources": {"cpus": 0.1, "mem": 32},
    }
    return parse_job({"name": "secret", "tasks": [task]})


def build_cluster(world: World) -> Cluster:
    """All nodes of a run, as its seed has them."""
    cluster, random = Cluster(world), world.random
    world.secrets = world.seed % SECRETS_EVERY == SECRETS_EVERY - 3
    for _ in range(random.randint(1, 3)):
        master = cluster.add_master()
        if world.seed % GATEWAY_EVERY == GATEWAY_EVERY - 5:
            master.add_gateway()
    for _ in range(random.randint(1, 5)):
        cluster.add_agent(random.choice([2, 4, 8]))
    for number in range(random.randint(1, 3)):
        role = random.choice(["*", *ROLES])
        executors = random.random() < 0.3
        jobs = [_job(world, number)]
        if world.seed % HOST_PORTS_EVERY == HOST_PORTS_EVERY - 3:
            # Nobody else has ports of these, or it might wait for ever.
            jobs = [
                _with_host_port(jobs[0], len(cluster.agents)) if not number else _portless(jobs[0])
            ]
        if random.random() < 0.4:
            jobs.append(_urgent_job(world, number))
        if world.secrets and not number:
            jobs.append(_secret_job(world))
        if not number:
            jobs += [
                *daemon_jobs(world),
                *periodic_jobs(world),
                *dependent_jobs(world),
                *scaled_jobs(world),
                *revocable_jobs(world),
                *varied_jobs(world),
                *addressing_jobs(world),
            ]
        if world.seed % PAGED_EVERY == PAGED_EVERY - 4:
            jobs[0] = _with_alerts(jobs[0])
        jobs = [_of_role(job, role) for job in jobs]
        if world.seed % SIDE_EVERY == SIDE_EVERY - 2:
            jobs.append(_of_role(_side_job(), side_of(role)))
        cluster.add_framework(f"framework{number}", jobs, role, executors=executors)
    if volume_seed(world):
        cluster.add_volumes()
    if world.seed % PAIR_EVERY == PAIR_EVERY - 1:
        cluster.add_pair(
            [
                _with_alerts(_job(world, 9)),
                *daemon_jobs(world),
                *periodic_jobs(world),
                *dependent_jobs(world),
            ]
        )
    for manner in MANNERS:
        if random.random() < 0.15:
            cluster.add_rude(manner)
    if world.seed % DESK_EVERY == DESK_EVERY - 1:
        cluster.add_desk()
    if world.seed % EDIT_EVERY in (0, 3) or removed_volumes(world):
        cluster.add_editor()
    if varied_seed(world):
        cluster.add_setter()
    if world.seed % NAMES_EVERY == NAMES_EVERY - 1:
        for _ in range(2):
            cluster.add_resolver()
    if world.seed % POLICY_EVERY == POLICY_EVERY - 2:
        cluster.add_strangers()
    return cluster


def simulate(seed: int, trace: Callable[[str], object] | None = None) -> Result:
    """Run one seed. Raises AssertionError, with the seed and what went wrong in its text."""
    world = World(seed, trace)
    try:
        with simulated(), _without_collector():
            return _run(world)
    except Exception as error:
        # A core that breaks in any other way has broken, too.
        raise AssertionError(
            f"seed {seed} at {world.now_s:.4f} s: {type(error).__name__}: {error}"
        ) from error


@contextmanager
def _without_collector() -> Iterator[None]:
    """Let no run depend on when the garbage collector happens to come by.

    It closes coroutines of crashed processes, whose clearing up then has effects.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
            gc.collect()


def _run(world: World) -> Result:
    cluster = build_cluster(world)
    try:
        return _play(world, cluster)
    finally:
        cluster.end()


def _play(world: World, cluster: Cluster) -> Result:
    for node in cluster.everybody():
        node.start()
    faults = Faults(cluster)
    faults.begin()
    set_clocks_back(world, cluster.frameworks)
    world.run(lambda: False, FAULTY_S)
    cluster.heal()
    world.at(MAKE_ROOM_S, faults.make_room)
    converged = world.run(world.seldom(LOOK_S, cluster.converged), world.now_s + HEALED_S)
    assert converged, f"not converged: {cluster.what_is_missing()}"
    counts = world.counts
    return Result(
        world.seed,
        counts["event"],
        counts["crash"],
        counts["failover"],
        sum(len(f.ends) for f in cluster.owners),
        world.now_s,
        {name: counts[name] for name in FAULTS if counts[name]},
        world.random.random(),
    )
