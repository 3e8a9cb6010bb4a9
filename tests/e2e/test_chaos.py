"""Three masters, five agents, three ZooKeeper servers and a framework, in bad weather.

A batch job and services run while members are killed with -9, stopped and cut off from others.
Each batch task notes in a file when it begins and ends. When the weather has cleared, each must
have run once, no less and no more, and the framework must know so.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymesos_binpack.jobs.instance import INSTANCE
from pymesos_core.store import Store
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.chaos import Chaos, add_ensemble, add_role
from pymesos_testing.cli import Cli
from pymesos_testing.components import MissingError

SECONDS = float(os.environ.get("CHAOS_S", "60"))
BATCH, SERVICES = 400, 5


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[Chaos]:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"CHAOS_SEED={seed}")
    try:
        made = Chaos(tmp_path, seed)
        with made.network():
            yield made
    except MissingError as error:
        pytest.skip(str(error))


def start_cluster(chaos: Chaos) -> str:
    url = f"zk://{add_ensemble(chaos, 3)}/pymesos"
    session = ("--zk-session-timeout", "3")
    for number in range(3):
        work_dir = str(chaos.folder / f"master{number}")
        add_role(
            chaos,
            f"master{number}",
            "pymesos_master",
            *("--zk", url, *session, "--work-dir", work_dir),
            *("--agent-ping-timeout", "1", "--offer-timeout", "5"),
        )
    for number in range(5):
        work_dir = str(chaos.folder / f"agent{number}")
        add_role(
            chaos,
            f"agent{number}",
            "pymesos_agent",
            *("--master", url, *session, "--work-dir", work_dir, "--runtime", "process"),
            *("--resources", "cpus:4;mem:2048;disk:1000"),
        )
    state_dir = str(chaos.folder / "state")
    listen = ("--listen", "--state-dir", state_dir, "--failover-timeout", "3600")
    add_role(chaos, "framework", "pymesos_binpack", "--master", url, *listen)
    return url


def job(ledger: Path) -> str:
    note = f'echo "$1 $PYMESOS_TASK_ID" >> {ledger}'
    begin, end = note.replace("$1", "begin"), note.replace("$1", "end")
    size = {"cpus": 0.5, "mem": 32}
    return json.dumps(
        {
            "name": "chaos",
            "tasks": [
                {
                    "name": "service",
                    "kind": "service",
                    "instances": SERVICES,
                    "command": "exec sleep 1000",
                    "resources": size,
                },
                {
                    "name": "batch",
                    "kind": "batch",
                    "instances": BATCH,
                    "command": f"{begin}; sleep 4; {end}",
                    "resources": size,
                },
            ],
        }
    )


def instances(folder: Path) -> dict[str, dict[str, object]]:
    """What the framework has stored, by instance."""
    store = Store(folder / "state" / "state.sqlite")
    try:
        return {
            key: json.loads(value)
            for (kind, key), value in store.load().items()
            if kind == INSTANCE
        }
    finally:
        store.close()


def settled(folder: Path) -> bool:
    states = Counter(
        ("/service/" in key, saved["state"]) for key, saved in instances(folder).items()
    )
    return states == {(True, pb.TASK_RUNNING): SERVICES, (False, pb.TASK_FINISHED): BATCH}


@pytest.mark.timeout(600)
def test_nothing_is_lost_and_nothing_runs_twice(chaos: Chaos) -> None:
    url = start_cluster(chaos)
    cli, ledger = Cli(url), chaos.folder / "ledger"
    ledger.touch()
    ledger.chmod(0o666)  # each task has a user of its own
    chaos.wait_for("ZooKeeper, masters and agents", lambda: ready(cli), 120)
    text = job(ledger)

    def submitted() -> bool:
        done = cli.run("run", "-", text=text)
        return done.returncode == 0 or "of that name has not ended" in done.stderr

    chaos.wait_for("the job", submitted, 60)

    zookeeper = [m for m in chaos.members if m.name.startswith("zk")]
    roles = [m for m in chaos.members if m not in zookeeper]
    spent = 0.0
    while spent < SECONDS:
        chaos.strike(zookeeper if chaos.random.random() < 0.15 else roles)
        gap_s = chaos.random.uniform(0.3, 2.5)
        chaos.tend(gap_s)
        spent += gap_s
    chaos.heal()
    print(f"struck: {dict(chaos.counts)}")

    chaos.wait_for(f"every task's end; see {chaos.folder}", lambda: settled(chaos.folder), 240)
    noted = Counter(line.split()[0] for line in ledger.read_text().splitlines())
    once = Counter(line for line in ledger.read_text().splitlines())
    assert max(once.values()) == 1, [line for line, count in once.items() if count > 1]
    assert noted == {"begin": BATCH, "end": BATCH}
    finished = {
        f"end {saved['task_id']}"
        for key, saved in instances(chaos.folder).items()
        if "/batch/" in key
    }
    assert finished == {line for line in once if line.startswith("end ")}
    # What the framework has stored, a master learns when the last agent has registered with it.
    chaos.wait_for("all agents", lambda: ready(cli), 60)
    running = {str(t["task_id"]) for t in cli.tasks(state="TASK_RUNNING")}
    assert len(running) == SERVICES


def ready(cli: Cli) -> bool:
    agents = cli.run("agents", "--json")
    if agents.returncode != 0:
        return False
    return [a["state"] for a in json.loads(agents.stdout)].count("active") == 5
