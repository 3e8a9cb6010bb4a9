"""The installed commands as real processes, as a person uses them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from pymesos_core.contexts import own_contexts
from pymesos_testing.cli import Cli, job
from pymesos_testing.components import (
    IMAGE,
    Role,
    Roles,
    descendants,
    supervisors,
    wait_for,
)

ROOT = Path(__file__).resolve().parents[2]


THROW_AWAY = "--kill-tasks-on-exit"


class Cluster:
    """A master, agents and a bin-packing framework."""

    def __init__(self, roles: Roles, agents: int, resources: str) -> None:
        self.roles = roles
        self.master = roles.master()
        self.cli = Cli(self.master.address)
        self.agents = [
            roles.agent(
                self.master.address,
                f"agent{n}",
                *("--resources", f"{resources};ports:[{21000 + 50 * n}-{21049 + 50 * n}]"),
                *("--attributes", f"rack:r{n}", "--runtime", "process", THROW_AWAY),
            )
            for n in range(agents)
        ]
        self.binpack = roles.binpack(self.master.address)
        self.cli.wait_for_agents(agents)


@pytest.fixture
def cluster(roles: Roles) -> Cluster:
    return Cluster(roles, 2, "cpus:4;mem:1024;disk:1024")


def left_of(role: Role) -> list[int]:
    """Processes of an agent's containers."""
    return [pid for s in supervisors(role.log.parent / role.name) for pid in descendants(s)]


def test_200_batch_tasks_over_5_agents(roles: Roles) -> None:
    cluster = Cluster(roles, 5, "cpus:4;mem:1024;disk:1024")
    work = job(instances=200, command="head -c 10000 /dev/urandom | cksum", resources={"cpus": 0.3})
    done = cluster.cli.run("run", "-", "--wait", text=work)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "200 finished" in done.stdout
    tasks = cluster.cli.tasks(state="TASK_FINISHED")
    assert len(tasks) == len({t["task_id"] for t in tasks}) == 200
    assert len({t["hostname"] for t in tasks}) == 5
    for task in tasks:
        assert task["exit_status"] == 0
        assert task["resources"] == {"cpus": 0.3, "mem": 32, "disk": 0, "ports": []}
        assert task["started_at"] and task["finished_at"]


def test_explain(cluster: Cluster) -> None:
    cli = cluster.cli
    sizes = {"fits": 3, "waits": 3, "never": 9}
    text = json.dumps(
        {
            "name": "job",
            "tasks": [
                {
                    "name": name,
                    "kind": "service",
                    "instances": 2,
                    "command": "exec sleep 100",
                    "resources": {"cpus": cpus},
                }
                for name, cpus in sizes.items()
            ],
        }
    )
    assert cli.run("run", "-", text=text).returncode == 0
    cli.wait_for_tasks(2, state="TASK_RUNNING")
    (job_id,) = [j["job_id"] for j in cli.json("jobs")]
    runs = {t["name"] for t in cli.tasks(state="TASK_RUNNING")}.pop()
    waits = ({"fits", "waits"} - {runs}).pop()
    never = cli.ok("explain", "task", f"{job_id}.never.0")
    assert "needs 9 cpus, the largest agent has 4 cpus" in never and "needs less" in never
    waiting = cli.ok("explain", "task", f"{job_id}.{waits}")
    assert "needs 3 cpus" in waiting and "offers seen that did not do" in waiting
    assert "number 1 of 1 in line" in waiting and "the framework refused as much" in waiting
    there = cli.ok("explain", "task", f"{job_id}.{runs}.0")
    assert "has been TASK_RUNNING on agent" in there and "why on agent" in there
    assert "would have done; its score was " in there and "the lowest wins" in there
    placement = json.loads(cli.ok("explain", "task", f"{job_id}.{runs}.0", "--json"))["placement"]
    ruled_out = sum(rule["agents"] for rule in placement["ruled_out"])
    assert placement["fitted"] + ruled_out == placement["considered"] >= 1
    assert placement["policy"] == "default" and placement["placed_at"]
    said = cli.ok("explain", "framework", "binpack")
    assert "2 tasks, dominant share 75.0%" in said and "weighted share 75.0%" in said
    ambiguous = cli.run("explain", "task", job_id)
    assert ambiguous.returncode == 2 and "say which" in ambiguous.stderr
    for what in ("task", "framework"):
        assert cli.run("explain", what, "nothing").returncode == 2
    as_json = json.loads(cli.ok("explain", "task", f"{job_id}.never.0", "--json"))
    assert as_json["instance"]["stuck"] is True
    # No command denies what waits.
    wait = f"{job_id}.never.0, {job_id}.never.1 wait to be placed"
    assert wait in cli.ok("tasks", "job.never") and wait in cli.run("logs", "job.never").stderr
    assert json.loads(cli.ok("tasks", "job.never", "--json")) == []
    refused = cli.run("exec", "job.never.0", "--", "true")
    assert refused.returncode == 2 and f"{job_id}.never.0 waits to be placed" in refused.stderr


def test_quota_and_weights(cluster: Cluster) -> None:
    cli = cluster.cli
    assert "guaranteed cpus 6; at most cpus 7" in cli.ok(
        "quota", "set", "prod", "--guarantee", "cpus:6", "--limit", "cpus:7"
    )
    assert cli.ok("weights", "dev=2.5", "prod/web=3") == "dev: weight 2.5\nprod/web: weight 3\n"
    found = {role["role"]: role for role in cli.json("roles")}
    assert found["prod"]["guarantees"] == {"cpus": 6} and found["prod"]["limits"] == {"cpus": 7}
    assert found["dev"]["weight"] == 2.5 and "prod" in cli.ok("roles")
    # Of eight cpus six are kept for prod.
    work = job(instances=20, command="sleep 0.5", resources={"cpus": 1})
    running = subprocess.Popen(cli.argv("run", "-", "--wait"), stdin=subprocess.PIPE, text=True)
    assert running.stdin is not None
    running.stdin.write(work)
    running.stdin.close()
    most = 0
    while running.poll() is None:
        most = max(most, len(cli.tasks(state="TASK_RUNNING")))
    assert running.returncode == 0 and most == 2
    cluster.master.kill()
    again = cluster.roles.master("master", port=int(cluster.master.address.rpartition(":")[2]))
    assert Cli(again.address).json("roles") != []
    assert {r["role"] for r in Cli(again.address).json("roles")} >= {"prod", "dev", "prod/web"}
    assert cli.ok("quota", "remove", "prod") == "prod: no quota any more\n"
    for wrong, said in (
        (("quota", "set", "x"), "give --guarantee, --limit, or both"),
        (("quota", "set", "x", "--guarantee", "cpus:a"), "is not a number"),
        (("quota", "set", "x", "--guarantee", "cpus:100"), "the cluster has 8; --force"),
        (("quota", "set", "x", "--guarantee", "cpu:4"), "did you mean cpus?"),
        (("quota", "set", "x/", "--guarantee", "cpus:1"), "invalid part"),
        (("quota", "remove", "x"), "the role 'x' has no quota"),
        (("weights", "x"), "is not ROLE=WEIGHT"),
        (("weights", "x=0"), "above 0"),
        (("weights", "=1"), "is not ROLE=WEIGHT"),
    ):
        done = cli.run(*wrong)
        assert done.returncode == 2 and said in done.stderr, (wrong, done.stderr)


def test_a_job_that_does_not_fit_waits_and_is_explained(cluster: Cluster) -> None:
    done = cluster.cli.run("run", "-", text=job(resources={"cpus": 8}))
    assert done.returncode == 0
    assert "needs 8 cpus, the largest agent has 4 cpus" in done.stdout
    (waiting,) = cluster.cli.json("jobs")
    assert (waiting["state"], waiting["counts"]) == ("running", {"pending": 1})
    cluster.cli.ok("stop", waiting["job_id"])
    wait_for("its end", lambda: not cluster.cli.json("jobs"))


def test_services_that_are_killed_come_back(cluster: Cluster) -> None:
    text = job("service", 3, "echo started; exec sleep 1000", resources={"cpus": 0.5})
    done = cluster.cli.run("run", "-", "--wait", text=text)
    assert done.returncode == 0, done.stdout
    before = cluster.cli.tasks(state="TASK_RUNNING")
    victims = [pid for agent in cluster.agents for pid in left_of(agent)]
    os.kill(victims[0], signal.SIGKILL)
    cluster.cli.wait_for_tasks(1, state="TASK_FAILED")
    cluster.cli.wait_for_tasks(3, state="TASK_RUNNING")
    after = cluster.cli.tasks(state="TASK_RUNNING")
    assert len({t["task_id"] for t in before} & {t["task_id"] for t in after}) == 2
    new = next(t for t in after if t not in before)
    assert cluster.cli.ok("logs", new["task_id"][:-1]) == "started\n"
    assert cluster.cli.run("kill", new["task_id"][:-1]).returncode == 2, "what destroys is exact"
    cluster.cli.ok("kill", new["task_id"])
    wait_for(
        "another in its place",
        lambda: (
            new["task_id"] not in str(cluster.cli.tasks(state="TASK_RUNNING"))
            and len(cluster.cli.tasks(state="TASK_RUNNING")) == 3
        ),
    )


def test_a_memory_hog_and_its_neighbour(cluster: Cluster) -> None:
    neighbour = job("service", command="sleep 1000")
    assert cluster.cli.run("run", "-", "--wait", text=neighbour).returncode == 0
    hog = "x=; while :; do x=$x$(head -c 1000000 /dev/zero | tr '\\0' a); done"
    done = cluster.cli.run("run", "--mem", "48", "--", "sh", "-c", hog)
    assert done.returncode == 1
    assert "Memory limit exceeded" in done.stderr
    (failed,) = cluster.cli.tasks(state="TASK_FAILED")
    assert failed["reason"] == "CONTAINER_LIMITATION_MEMORY"
    assert len(cluster.cli.tasks(state="TASK_RUNNING")) == 1
    holds = cluster.cli.json("agents")[0]["isolation"]["mem"]
    assert holds.startswith("cgroup") or holds == "watched"


def test_an_agent_that_is_killed_finds_its_tasks_again(roles: Roles, tmp_path: Path) -> None:
    go = tmp_path / "go"
    cluster = Cluster(roles, 1, "cpus:4;mem:1024;disk:10")
    text = json.dumps(
        {
            "name": "j",
            "tasks": [
                {"name": "stays", "kind": "service", "command": "sleep 1000"},
                {"name": "ends", "command": f"until [ -e {go} ]; do sleep 0.1; done; echo done"},
            ],
        }
    )
    assert cluster.cli.run("run", "-", text=text).returncode == 0
    cluster.cli.wait_for_tasks(2, state="TASK_RUNNING")
    before = {t["task_id"] for t in cluster.cli.tasks()}
    cluster.agents[0].kill()
    go.touch()  # it ends while no agent is there
    time.sleep(0.5)
    cluster.roles.agent(
        cluster.master.address,
        "agent0",
        *("--resources", "cpus:4;mem:1024;disk:10;ports:[21000-21049]", "--runtime", "process"),
        THROW_AWAY,
    )
    cluster.cli.wait_for_tasks(1, state="TASK_FINISHED")
    (ended,) = cluster.cli.tasks(state="TASK_FINISHED")
    assert (ended["name"], ended["exit_status"]) == ("ends", 0)
    assert cluster.cli.ok("logs", ended["task_id"]) == "done\n"
    assert {t["task_id"] for t in cluster.cli.tasks()} == before
    assert len(cluster.cli.tasks(state="TASK_RUNNING")) == 1


def test_a_framework_that_is_killed_takes_its_tasks_over_again(cluster: Cluster) -> None:
    text = job("service", 2, "sleep 1000")
    assert cluster.cli.run("run", "-", "--wait", text=text).returncode == 0
    before = {t["task_id"] for t in cluster.cli.tasks(state="TASK_RUNNING")}
    cluster.binpack.kill()
    time.sleep(1)
    assert {t["task_id"] for t in cluster.cli.tasks(state="TASK_RUNNING")} == before
    again = cluster.roles.binpack(cluster.master.address)
    wait_for("the job", lambda: bool(cluster.cli.json("jobs")))
    time.sleep(1)
    assert {t["task_id"] for t in cluster.cli.tasks()} == before
    again.signal(signal.SIGTERM)
    assert again.ended() == 0
    assert {t["task_id"] for t in cluster.cli.tasks(state="TASK_RUNNING")} == before


def test_sigterm_is_clean_and_quick_everywhere(roles: Roles) -> None:
    cluster = Cluster(roles, 1, "cpus:4;mem:1024;disk:10")
    text = job("service", command="sleep 1000")
    assert cluster.cli.run("run", "-", "--wait", text=text).returncode == 0
    detached = roles.agent(cluster.master.address, "detached", "--runtime", "process")
    for role in (cluster.binpack, detached, cluster.agents[0], cluster.master):
        role.signal(signal.SIGTERM)
        assert role.ended() == 0
        assert "Traceback" not in role.log.read_text()
    assert left_of(cluster.agents[0]) == []


def test_an_agents_sigterm_detaches_from_its_tasks(roles: Roles) -> None:
    master = roles.master()
    cli = Cli(master.address)
    agent = roles.agent(master.address, "agent", "--runtime", "process")
    roles.binpack(master.address)
    assert (
        cli.run("run", "-", "--wait", text=job("service", command="exec sleep 99")).returncode == 0
    )
    agent.signal(signal.SIGTERM)
    assert agent.ended() == 0
    assert len(left_of(agent)) == 1


def test_binpack_runs_a_job_file_and_ends(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"

    def binpack(text: str) -> subprocess.CompletedProcess[str]:
        path.write_text(text)
        argv = [sys.executable, "-m", "pymesos_binpack.main", str(path)]
        argv += ["--master", cluster.master.address, "--state-dir", str(tmp_path / "once")]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60)

    assert binpack(job(instances=3)).returncode == 0
    assert binpack(job(command="exit 3")).returncode == 1
    states = [f["state"] for f in cluster.cli.json("frameworks", "--all")]
    assert states.count("completed") == 2


def test_run_hosts_the_framework_when_there_is_none(roles: Roles) -> None:
    master = roles.master()
    cli = Cli(master.address)
    roles.agent(master.address, "agent", "--runtime", "process", THROW_AWAY)
    done = cli.run("run", "--", "echo", "hosted")
    assert (done.returncode, done.stdout) == (0, "hosted\n"), done.stderr
    assert "runs the job itself" in done.stderr
    assert cli.run("run", "-", text=job(command="exit 3")).returncode == 1
    assert [f["state"] for f in cli.json("frameworks", "--all")] == ["completed"] * 2

    # A service keeps it here, until Ctrl-C ends both.
    with subprocess.Popen(
        cli.argv("run", "-", "--wait"), stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as hosting:
        assert hosting.stdin is not None
        hosting.stdin.write(job("service", command="exec sleep 99"))
        hosting.stdin.close()
        cli.wait_for_tasks(1, state="TASK_RUNNING")
        time.sleep(0.5)
        assert hosting.poll() is None
        hosting.send_signal(signal.SIGINT)
        assert hosting.wait(20) == 130
        assert hosting.stderr is not None
        assert "Traceback" not in hosting.stderr.read()
    wait_for("its end", lambda: not cli.tasks(state="TASK_RUNNING"))


def test_somebody_elses_framework(cluster: Cluster) -> None:
    script = ROOT / "frameworks/examples/hello_framework.py"
    done = subprocess.run(
        [sys.executable, str(script), cluster.master.address],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("TASK_FINISHED") == 5


def test_three_frameworks_compete_and_no_agent_is_oversold(cluster: Cluster) -> None:
    """Checked over the event stream: offered plus allocated is never more than there is."""
    watcher = subprocess.Popen(
        cluster.cli.argv("events", "--json"), stdout=subprocess.PIPE, text=True
    )
    others = [cluster.roles.binpack(cluster.master.address, f"other{n}") for n in range(2)]
    frameworks = [cluster.binpack, *others]
    wait_for("three frameworks", lambda: len(cluster.cli.json("frameworks")) == 3)
    import grpc

    from pymesos_proto.v1 import jobs_pb2
    from pymesos_proto.v1.jobs_pb2_grpc import JobsStub

    for framework in frameworks:
        with grpc.insecure_channel(framework.address) as channel:
            text = job(instances=60, command="sleep 0.1", resources={"cpus": 0.7, "mem": 20})
            request = jobs_pb2.SubmitJobRequest(job_json=text, request_id="r")
            JobsStub(channel).SubmitJob(request, timeout=10)
    cluster.cli.wait_for_tasks(180, timeout_s=90, state="TASK_FINISHED")
    watcher.send_signal(signal.SIGINT)
    assert watcher.stdout is not None
    events = [json.loads(line) for line in watcher.stdout]
    watcher.wait(10)
    busiest = check_never_oversold(events)
    assert busiest > 0.9, "the frameworks did compete"


def check_never_oversold(events: list[dict[str, Any]]) -> float:
    """The largest share of an agent's cpus that was promised at any moment."""
    total: dict[str, float] = {}
    offered: dict[str, tuple[str, float]] = {}
    allocated: dict[tuple[str, str], tuple[str, float]] = {}
    busiest = 0.0
    for event in events:
        kind, agent, cpus = event["kind"], event["agent_id"], event["resources"]["cpus"]
        task = (event["framework_id"], event["task_id"])
        if kind in ("agent_present", "agent_added"):
            total[agent] = cpus
        elif kind in ("offer_sent", "offer_present"):
            offered[event["offer_id"]] = (agent, cpus)
        elif kind.startswith("offer_"):
            offered.pop(event["offer_id"], None)
        elif kind in ("task_added", "task_present"):
            allocated[task] = (agent, cpus)
        elif kind == "task_updated" and event["task_state"] == "TASK_FINISHED":
            allocated.pop(task, None)
        promised: dict[str, float] = defaultdict(float)
        for where, amount in [*offered.values(), *allocated.values()]:
            promised[where] += amount
        # An accepted offer turns into tasks first and is taken back last, within one step.
        if not kind.startswith("task_added"):
            for where, amount in promised.items():
                assert amount <= total[where] + 1e-6, (where, amount, total[where], event)
                busiest = max(busiest, amount / total[where])
    return busiest


@pytest.mark.parametrize(
    "how", ["Ctrl-C", "killed agents", "kill -9", "kill -9 of its keeper", "no folder"]
)
def test_local_ends_with_its_tasks_and_leaves_nothing(tmp_path: Path, how: str) -> None:
    marker = f"PYMESOS_TEST_MARKER={time.time_ns()}"
    name, value = marker.split("=")
    with (tmp_path / "errors").open("wb") as errors:
        local = subprocess.Popen(
            [sys.executable, "-m", "pymesos_cli.main", "local", "--agents", "2"],
            stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | {name: value},
        )  # fmt: skip
    assert local.stdout is not None
    first = local.stdout.readline().split()
    assert first[0] == "master", (tmp_path / "errors").read_text()
    assert local.stdout.readline().startswith("web https://127.0.0.1:")
    folder = Path(local.stdout.readline().split()[-1])
    assert folder.is_dir()
    local.stdout.readline()  # that of the context, which is there before
    assert own_contexts().at(first[1]) is not None
    cli = Cli(first[1])
    assert cli.run("run", "-", "--wait", text=job("service", 4, "sleep 99")).returncode == 0
    if how == "killed agents":
        for pid in with_marker(marker, local.pid, "\0pymesos_agent\0"):
            os.kill(pid, signal.SIGKILL)
        errors_said = (tmp_path / "errors").read_text
        wait_for("its word", lambda: errors_said().count("it was ended by SIGKILL") == 2)
        assert "no agent is left" in errors_said()
    if how == "kill -9 of its keeper":
        os.kill(descendants(local.pid)[0], signal.SIGKILL)
    elif how == "no folder":
        agent = with_marker(marker, local.pid, "\0pymesos_agent\0")[0]
        shutil.rmtree(folder, ignore_errors=True)
        os.kill(agent, signal.SIGKILL)
    else:
        local.send_signal(signal.SIGKILL if how == "kill -9" else signal.SIGINT)
    status = local.wait(60)
    assert status == {"kill -9": -9, "kill -9 of its keeper": 1, "no folder": 1}.get(how, 0)
    if how == "no folder":
        said = (tmp_path / "errors").read_text()
        assert f"the cluster's folder {folder} was removed" in said and "Errno" not in said, said
    wait_for("its end", lambda: not with_marker(marker, local.pid), 20)
    wait_for("the end of its folder", lambda: not folder.exists())
    assert own_contexts().at(first[1]) is None
    assert "Traceback" not in (tmp_path / "errors").read_text()


def with_marker(marker: str, but: int, part: str = "") -> list[int]:
    """Processes with that in their environment, and `part` in their command."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            ours = marker.encode() in (entry / "environ").read_bytes()
            if ours and int(entry.name) != but and part in (entry / "cmdline").read_text():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_a_task_with_an_image(roles: Roles, docker_host: str) -> None:
    master = roles.master()
    cli = Cli(master.address)
    roles.agent(master.address, "agent", "--docker-host", docker_host, THROW_AWAY)
    roles.binpack(master.address)
    cli.wait_for_agents(1)
    assert cli.json("agents")[0]["runtime"] == "process,docker,oci"
    done = cli.run("run", "--image", IMAGE, "--", "echo $((6 * 7)) in $(hostname)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("42 in ")
    hog = "x=; while :; do x=$x$(head -c 1000000 /dev/zero | tr '\\0' a); done"
    assert cli.run("run", "--image", IMAGE, "--mem", "32", "--", hog).returncode == 1
    assert [t["reason"] for t in cli.tasks(state="TASK_FAILED")] == ["CONTAINER_LIMITATION_MEMORY"]
    missing = cli.run("run", "--image", "no.such.registry.invalid/x:1", "--", "true")
    assert missing.returncode == 1
    assert "CONTAINER_LAUNCH_FAILED" in missing.stderr
