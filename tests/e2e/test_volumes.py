"""Reservations, volumes and GPUs, with the installed commands as real processes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pymesos_testing.cli import Cli
from pymesos_testing.components import Role, Roles, wait_for

ROOT = Path(__file__).resolve().parents[2]


class Cluster:
    """Two agents, one with GPUs and something that is reserved by its flags."""

    def __init__(self, roles: Roles) -> None:
        self.roles = roles
        self.master = roles.master()
        self.cli = Cli(self.master.address)
        self.agents = [self.agent(n, more) for n, more in enumerate(("", ";gpus:2;cpus(db):1"))]
        roles.binpack(self.master.address)
        roles.binpack(self.master.address, "dbs", "--role", "db")
        self.cli.wait_for_agents(2)

    def agent(self, number: int, more: str) -> Role:
        resources = f"cpus:4;mem:1024;disk:1024;ports:[{22000 + number}-{22000 + number}]{more}"
        return self.roles.agent(
            self.master.address,
            f"agent{number}",
            *("--resources", resources, "--runtime", "process", "--kill-tasks-on-exit"),
        )

    def id_of(self, hostname: str) -> str:
        agents = self.cli.json("agents")
        return str(next(a["agent_id"] for a in agents if a["hostname"] == hostname))


def test_the_example_of_the_guide(cluster: Cluster) -> None:
    script = ROOT / "frameworks/examples/volume_framework.py"
    guide = (ROOT / "docs/framework-authors-guide.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(reserving.*?)```", guide, re.S)
    assert textwrap.indent(block, " " * 12) in script.read_text("utf-8")
    done = subprocess.run(
        [sys.executable, str(script), cluster.master.address],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "create-1 FINISHED" in done.stdout
    assert "keep-1 TASK_FINISHED" in done.stdout


@pytest.fixture
def cluster(roles: Roles) -> Cluster:
    return Cluster(roles)


DATABASE = json.dumps(
    {
        "name": "db",
        "role": "db",
        "tasks": [
            {
                "name": "t",
                "kind": "service",
                "command": "echo started >> data/log; wc -l < data/log; exec sleep 1000",
                "volumes": [{"name": "data", "path": "data", "size": 100}],
            }
        ],
    }
)


def test_a_database_finds_its_data_again(cluster: Cluster) -> None:
    cli = cluster.cli
    job_id = cli.ok("run", "-", text=DATABASE).split()[-1]
    wait_for("it runs", lambda: len(cli.tasks(state="TASK_RUNNING")) == 1)
    (task,) = cli.tasks(state="TASK_RUNNING")
    hostname = task["hostname"]
    (reserved,) = [
        part
        for agent in cli.json("agents")
        for part in agent["reserved"]
        if part["volume"] is not None
    ]
    assert reserved["role"] == "db" and reserved["resources"] == {"disk": 100}
    volume = reserved["volume"]
    agent_id = cluster.id_of(hostname)
    refused = cli.run("unreserve", agent_id, "db", "--volume", volume)
    assert refused.returncode != 0 and "or a task uses it" in refused.stderr
    cli.ok("kill", task["task_id"])
    wait_for("it is back", lambda: cli.tasks(state="TASK_RUNNING")[:1] not in ([], [task]))
    (again,) = cli.tasks(state="TASK_RUNNING")
    assert again["hostname"] == hostname
    wait_for("it wrote", lambda: cli.ok("logs", again["task_id"]) == "2\n")
    assert cli.ok("cat", again["task_id"], "data/log") == "started\nstarted\n"
    assert cli.ok("ls", again["task_id"], "data").split()[-1] == "log"
    assert cli.run("cat", again["task_id"], "data/../../x").returncode == 2
    assert cli.run("ls", task["task_id"], "data").returncode == 2, "it is not its own any more"
    # A new leader learns what is reserved from its registry, and tells nobody anything new.
    cluster.master.kill()
    port = int(cluster.master.address.rpartition(":")[2])
    cluster.roles.master("master", port=port)
    cli.wait_for_agents(2)
    volumes = [p["volume"] for a in cli.json("agents") for p in a["reserved"]]
    assert volume in volumes
    wait_for("its framework is back", lambda: cli.run("jobs").stderr == "")
    cli.ok("stop", job_id)
    wait_for("it has ended", lambda: not cli.tasks(state="TASK_RUNNING"))
    data = list((cluster.roles.folder / hostname / "guarded/volumes").rglob("log"))
    assert len(data) == 1 and data[0].read_text() == "started\nstarted\n"
    wait_for(
        "the volume is destroyed",
        lambda: cli.run("unreserve", agent_id, "db", "--volume", volume).returncode == 0,
    )
    wait_for("its data are gone", lambda: not data[0].exists())


def test_a_volume_belongs_to_the_name_of_its_job(cluster: Cluster) -> None:
    cli = cluster.cli
    first = cli.ok("run", "-", text=DATABASE).split()[-1]
    cli.wait_for_tasks(1, state="TASK_RUNNING")
    (task,) = cli.tasks(state="TASK_RUNNING")
    (volume,) = cli.json("volumes", "list")
    assert volume["volume_id"] == "db.t.0.data" and volume["task_id"] == task["task_id"]
    used = cli.run("volumes", "remove", "db.t.0.data")
    assert used.returncode == 1 and f"the task {task['task_id']} has" in used.stderr
    cli.ok("stop", first)
    second = cli.ok("run", "-", text=DATABASE).split()[-1]  # the first may be ending still
    assert second != first
    cli.wait_for_tasks(1, state="TASK_RUNNING", framework_id=task["framework_id"])
    wait_for("the second runs", lambda: cli.tasks(state="TASK_RUNNING")[0] != task)
    (again,) = cli.tasks(state="TASK_RUNNING")
    assert again["hostname"] == task["hostname"]
    wait_for("it wrote", lambda: cli.ok("logs", again["task_id"]) == "2\n")
    cli.ok("stop", second)
    larger = json.loads(DATABASE)
    larger["tasks"][0]["volumes"][0]["size"] = 200
    wait_for("left over", lambda: cli.json("volumes", "list")[0]["state"] == "left over")
    refused = cli.run("run", "-", text=json.dumps(larger))
    assert refused.returncode == 1 and "has 100 MiB, and the job wants 200" in refused.stderr
    part = cli.run("volumes", "remove", "db.t.0")
    assert part.returncode == 2 and "a whole id is needed" in part.stderr
    assert "removed db.t.0.data (100 MiB of the role db" in cli.ok(
        "volumes", "remove", "db.t.0.data"
    )
    assert "no volumes" in cli.ok("volumes", "list")
    cli.ok("run", "-", text=json.dumps(larger))


def test_operators_reserve(cluster: Cluster) -> None:
    cli = cluster.cli
    agent_id = cluster.id_of("agent0")
    said = cli.ok("reserve", agent_id, "ops", "cpus:3;mem:512", "--volume", "v:data:100")
    assert "cpus:3;mem:512, volume v" in said and "reserved for ops" in said
    found = {role["role"]: role for role in cli.json("roles")}
    assert found["ops"]["reserved"]["cpus"] == 3 and found["db"]["reserved"]["cpus"] == 1
    assert "cpus(ops):3" in cli.ok("agents")
    for wrong, said in (
        (("reserve", agent_id, "ops", "cpus:9"), "is neither used by a task nor reserved"),
        (("reserve", agent_id, "ops", "cpus"), "is not name:value"),
        (("reserve", agent_id, "*", "cpus:1"), "stands for everybody"),
        (("reserve", agent_id, "ops"), "give resources"),
        (("reserve", agent_id, "ops", "--volume", "v"), "is not ID:PATH:MIB"),
        (("reserve", agent_id, "ops", "--volume", "v:data:10"), "has a volume v"),
        (("reserve", "nobody", "ops", "cpus:1"), "nobody"),
        (("unreserve", agent_id, "ops"), "name each"),
        (("unreserve", agent_id, "dev"), "nothing that is not used"),
    ):
        refused = cli.run(*wrong)
        assert refused.returncode != 0 and said in refused.stderr, (wrong, refused.stderr)
        assert "Traceback" not in refused.stderr
    assert "volume v" in cli.ok("unreserve", agent_id, "ops", "--volume", "v")
    assert "all that is unused of" in cli.ok("unreserve", agent_id, "ops")
    assert [p for a in cli.json("agents") for p in a["reserved"] if p["role"] == "ops"] == []


def test_gpus_are_given_as_devices(cluster: Cluster) -> None:
    work = {
        "name": "gpu",
        "tasks": [
            {
                "name": "t",
                "instances": 3,
                "command": "echo $CUDA_VISIBLE_DEVICES; exec sleep 1000",
                "resources": {"cpus": 0.1, "mem": 32, "gpus": 0.5},
            }
        ],
    }
    cluster.cli.ok("run", "-", text=json.dumps(work))
    wait_for("all run", lambda: len(cluster.cli.tasks(state="TASK_RUNNING")) == 3)
    tasks = cluster.cli.tasks(state="TASK_RUNNING")
    assert {task["hostname"] for task in tasks} == {"agent1"}

    def devices() -> list[str]:
        return sorted(cluster.cli.ok("logs", task["task_id"]).strip() for task in tasks)

    wait_for("they have written", lambda: all(devices()))
    assert devices() in (["0", "0", "1"], ["0", "1", "1"])


def test_an_agent_that_lost_what_is_reserved_does_not_start(cluster: Cluster) -> None:
    cli = cluster.cli
    cli.ok("reserve", cluster.id_of("agent0"), "ops", "cpus:3")
    cluster.agents[0].signal(signal.SIGTERM)
    cluster.agents[0].ended()
    smaller = subprocess.run(
        [
            *(sys.executable, "-m", "pymesos_agent.main", "--master", cluster.master.address),
            *("--port", "0", "--work-dir", str(cluster.roles.folder / "agent0")),
            *("--resources", "cpus:2;mem:1024", "--runtime", "process"),
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert smaller.returncode != 0 and "Traceback" not in smaller.stderr
    assert "is reserved on the agent" in smaller.stderr and "recover --discard" in smaller.stderr
