"""Two instances of the bin-packing framework: one dies, the other goes on with its jobs."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pymesos_core.addresses import parse_host_port
from pymesos_testing.cli import Cli
from pymesos_testing.components import Role, Roles, wait_for
from pymesos_testing.jobs_calls import list_jobs

SESSION = ("--zk-session-timeout", "2")


def service(instances: int = 2) -> str:
    task = {
        "name": "web", "kind": "service", "instances": instances, "command": "exec sleep 1000",
        "resources": {"cpus": 0.1, "mem": 16},
    }  # fmt: skip
    return json.dumps({"name": "shop", "tasks": [task]})


@pytest.fixture
def cli(roles: Roles) -> Cli:
    master = roles.master()
    roles.agent(master.address, "agent", "--runtime", "process", "--kill-tasks-on-exit")
    return Cli(master.address)


def framework(cli: Cli) -> tuple[str, str, str]:
    """The id, the state and the address of the one framework there is."""
    (found,) = cli.json("frameworks")
    return found["framework_id"], found["state"], found["jobs_address"]


def wait_for_leader(cli: Cli, role: Role, timeout_s: float = 30.0) -> str:
    """Wait until an instance is the framework to the master; the framework's id."""

    def leads() -> bool:
        found = cli.json("frameworks")
        return bool(found) and (found[0]["state"], found[0]["jobs_address"]) == (
            "active",
            role.address,
        )

    wait_for(f"{role.name} leads", leads, timeout_s)
    return framework(cli)[0]


def test_the_standby_goes_on_under_the_same_id(roles: Roles, cli: Cli, zk_url: str) -> None:
    first = roles.binpack(cli.master, "first", "--zk", zk_url, *SESSION)
    framework_id = wait_for_leader(cli, first)
    second = roles.binpack(cli.master, "second", "--zk", zk_url, *SESSION)
    cli.ok("apply", "-", "--wait", text=service())
    before = cli.running()
    assert len(before) == 2
    first.kill()
    assert wait_for_leader(cli, second) == framework_id
    (listed,) = cli.json("jobs")
    assert (listed["name"], listed["state"]) == ("shop", "running")
    cli.ok("apply", "-", "--wait", text=service(instances=3))
    after = cli.running()
    assert len(after) == 3
    assert set(before) < set(after)  # nothing was restarted
    # The first one is back, as the standby, and takes over again.
    first = roles.binpack(cli.master, "first", "--zk", zk_url, *SESSION)
    second.signal(signal.SIGTERM)
    assert second.ended() == 0
    assert wait_for_leader(cli, first) == framework_id
    assert cli.running() == after
    assert len(cli.tasks()) == 3


def test_one_that_stood_still_does_not_lead_again(roles: Roles, cli: Cli, zk_url: str) -> None:
    first = roles.binpack(cli.master, "first", "--zk", zk_url, *SESSION)
    framework_id = wait_for_leader(cli, first)
    cli.ok("apply", "-", "--wait", text=service())
    before = cli.running()
    second = roles.binpack(cli.master, "second", "--zk", zk_url, *SESSION)
    first.signal(signal.SIGSTOP)
    assert wait_for_leader(cli, second) == framework_id
    first.signal(signal.SIGCONT)
    wait_for("it stands by", lambda: "standing by again" in first.log.read_text())
    assert framework(cli) == (framework_id, "active", second.address)
    assert cli.running() == before


def test_an_instance_that_does_not_lead_names_the_one_that_does(
    roles: Roles, cli: Cli, zk_url: str
) -> None:
    first = roles.binpack(cli.master, "first", "--zk", zk_url, *SESSION)
    wait_for_leader(cli, first)
    cli.ok("apply", "-", "--wait", text=service())
    second = roles.binpack(cli.master, "second", "--zk", zk_url, *SESSION)
    assert list_jobs(parse_host_port(second.address)) == ["shop"]


def move(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pymesos_binpack.main", "move-state", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_its_state_moves_to_zookeeper_and_back(roles: Roles, cli: Cli, zk_url: str) -> None:
    folder = str(roles.folder / "binpack")
    alone = roles.binpack(cli.master)
    framework_id = wait_for_leader(cli, alone)
    cli.ok("apply", "-", "--wait", text=service())
    before = cli.running()
    assert "in use by another process" in move("--from", folder, "--to", zk_url).stderr
    alone.signal(signal.SIGTERM)
    assert alone.ended() == 0

    done = move("--from", folder, "--to", zk_url)
    assert done.returncode == 0, done.stderr
    refused = subprocess.run(
        [sys.executable, "-m", "pymesos_binpack.main", "--listen", "--master", cli.master,
         "--state-dir", folder],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "moved from here to zk://" in refused.stderr

    elected = roles.binpack(cli.master, "elected", "--zk", zk_url, *SESSION)
    assert wait_for_leader(cli, elected) == framework_id
    assert cli.running() == before
    assert "leads" in move("--from", zk_url, "--to", folder).stderr
    elected.signal(signal.SIGTERM)
    assert elected.ended() == 0

    done = move("--from", zk_url, "--to", folder)
    assert done.returncode == 0, done.stderr
    alone = roles.binpack(cli.master)
    assert wait_for_leader(cli, alone) == framework_id
    assert cli.running() == before
    assert [job["name"] for job in cli.json("jobs")] == ["shop"]


def test_state_is_not_moved_onto_other_state(zk_url: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir(mode=0o700)
        with sqlite3.connect(folder / "state.sqlite") as db:
            db.execute(
                "CREATE TABLE record"
                " (kind TEXT, key TEXT, value BLOB, PRIMARY KEY (kind, key)) WITHOUT ROWID"
            )
            db.execute("INSERT INTO record VALUES ('framework', '', ?)", (name.encode(),))
    assert move("--from", str(tmp_path / "a"), "--to", zk_url).returncode == 0
    refused = move("--from", str(tmp_path / "b"), "--to", zk_url)
    assert refused.returncode == 1
    assert "has state already" in refused.stderr
    nothing = move("--from", str(tmp_path / "a"), "--to", zk_url)
    assert "was moved from here to" in nothing.stderr
