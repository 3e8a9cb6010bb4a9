"""Twenty services change at once, while framework and leading master are killed with -9.

Half of the rollouts are paused meanwhile, so every kill meets some, however slow the machine is.
Each task writes down that it was started. In the end every instance was started once for each of
its versions, and what nobody changed was never started again.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1.jobs_pb2_grpc import JobsStub
from pymesos_testing.cli import Cli
from pymesos_testing.components import Role, Roles, wait_for

SERVICES, INSTANCES = 20, 2
UNCHANGED = 4  # jobs beside these
ROUNDS = 4
MIN_HEALTHY_S = 3  # long enough that the kills meet rollouts that are not paused, too


class Cluster:
    """Two masters, an agent, and a framework; those that are killed are started again at once."""

    def __init__(self, roles: Roles, zk_url: str) -> None:
        self.roles, self.url = roles, zk_url
        self.masters = {name: self._master(name) for name in ("m0", "m1")}
        room = ("--resources", "cpus:100;mem:100000", "--runtime", "process")
        roles.agent(zk_url, "agent", "--zk-session-timeout", "2", "--kill-tasks-on-exit", *room)
        self.framework = roles.binpack(zk_url)
        self.cli = Cli(zk_url)
        self.cli.wait_for_agents(1)

    def _master(self, name: str) -> Role:
        return self.roles.master(name, "--zk", self.url, "--zk-session-timeout", "2")

    def kill_framework(self) -> None:
        self.framework.kill()
        self.framework = self.roles.binpack(self.url)

    def kill_leader(self) -> None:
        def leading() -> list[str]:
            said = self.cli.ok("leader")  # nobody, while the next is about to
            return [name for name, master in self.masters.items() if master.address in said]

        wait_for("a leader", lambda: bool(leading()))
        (name,) = leading()
        self.masters[name].kill()
        self.masters[name] = self._master(name)

    def apply(self, name: str, version: int, instances: int = INSTANCES) -> None:
        """Have a service of that version; answered when it is stored."""
        task = {
            "name": "web",
            "kind": "service",
            "instances": instances,
            "command": f'echo "$PYMESOS_TASK_ID" >> {self.ledger}; exec sleep 1000',
            "env": {"VERSION": str(version)},
            "resources": {"cpus": 0.1, "mem": 16},
            "update": {"min_healthy_s": MIN_HEALTHY_S, "max_surge": 1},
        }
        text = json.dumps({"name": name, "tasks": [task]})
        request = pb.ApplyJobRequest(job_json=text, request_id=f"{name}-{version}")
        with grpc.insecure_channel(self.framework.address) as channel:
            assert JobsStub(channel).ApplyJob(request, timeout=20).changed

    def jobs(self) -> list[pb.JobView]:
        """What the framework says of all jobs; nothing while it is away."""
        with grpc.insecure_channel(self.framework.address) as channel:
            try:
                return list(JobsStub(channel).ListJobs(pb.ListJobsRequest(), timeout=5).jobs)
            except grpc.RpcError:
                return []

    def pause(self, job_id: str) -> None:
        """Hold its rollout where it is."""
        with grpc.insecure_channel(self.framework.address) as channel:
            request = pb.RolloutRequest(job_id=job_id)
            assert JobsStub(channel).PauseRollout(request, timeout=20).rollouts

    def resume(self, job_id: str) -> None:
        """Have its rollout go on."""
        with grpc.insecure_channel(self.framework.address) as channel:
            request = pb.RolloutRequest(job_id=job_id)
            assert JobsStub(channel).ResumeRollout(request, timeout=20).rollouts

    @property
    def ledger(self) -> Path:
        """Where each task says that it was started."""
        return self.roles.folder / "ledger"

    def started(self) -> list[str]:
        """The ids of the tasks that were started, in their order."""
        return self.ledger.read_text().splitlines()


def is_settled(job: pb.JobView) -> bool:
    return job.settled and not any(rollout.going for rollout in job.rollouts)


def settled(cluster: Cluster, count: int) -> bool:
    jobs = cluster.jobs()
    return len(jobs) == count and all(map(is_settled, jobs))


@pytest.mark.timeout(300)
def test_twenty_rollouts_end_and_start_nothing_twice(roles: Roles, zk_url: str) -> None:
    seed = int(os.environ.get("STORM_SEED") or random.SystemRandom().randrange(10**6))
    print(f"STORM_SEED={seed}")
    chance = random.Random(seed)
    cluster = Cluster(roles, zk_url)
    cluster.ledger.touch()
    cluster.ledger.chmod(0o666)  # each task has a user of its own
    changing = [f"s{number}" for number in range(SERVICES)]
    paused = changing[: SERVICES // 2]
    beside = [f"beside{number}" for number in range(UNCHANGED)]
    for name in (*changing, *beside):
        cluster.apply(name, 1)
    count = len(changing) + len(beside)
    wanted = count * INSTANCES
    wait_for("all run", lambda: len(cluster.started()) == wanted and settled(cluster, count), 60)

    ids = {job.name: job.job_id for job in cluster.jobs()}
    for name in changing:
        cluster.apply(name, 2)
        if name in paused:
            cluster.pause(ids[name])
    kills: list[Callable[[], None]] = [cluster.kill_framework, cluster.kill_leader] * (ROUNDS // 2)
    chance.shuffle(kills)
    for kill in kills:
        time.sleep(chance.uniform(0.1, 1.5))
        going = {job.name for job in cluster.jobs() if not is_settled(job)}
        print(f"{kill.__name__} amid {len(going)} rollouts")
        assert going >= set(paused)
        kill()
    for name in paused:
        cluster.resume(ids[name])

    wait_for("all rollouts end", lambda: settled(cluster, count), 120)
    of = {job.name: job for job in cluster.jobs()}
    assert {of[name].version for name in changing} == {2}
    assert {rollout.state for name in changing for rollout in of[name].rollouts} == {"done"}
    assert {of[name].version for name in beside} == {1}

    # By instance and version, without the job's random part and the number of the attempt.
    once = Counter(task_id.rpartition(".")[0] for task_id in cluster.started())
    assert {name: times for name, times in once.items() if times > 1} == {}
    assert len(once) == wanted + SERVICES * INSTANCES
    running = {t["task_id"] for t in cluster.cli.tasks(state="TASK_RUNNING")}
    assert len(running) == wanted
    assert running <= set(cluster.started())
    assert {task_id.split(".")[3] for task_id in running if task_id.startswith("s")} == {"v2"}
    assert all(".v" not in task_id for task_id in running if task_id.startswith("beside"))
