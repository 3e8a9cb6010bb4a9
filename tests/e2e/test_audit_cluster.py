"""The audit of a cluster with certificates, as real processes."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pymesos_testing.cli import Cli, job
from pymesos_testing.components import Roles, wait_for
from pymesos_testing.tls import TlsCluster

SECRET = "hunter2-in-the-environment"
POLICY = """\
allow:
- {who: operator/alice, do: ["*"], role: "**"}
- {who: operator/eve, do: [read], role: "**"}
- {who: framework/binpack, do: [subscribe, serve, launch], role: "**", as: {user: ["*"]}}
"""


class Cluster(TlsCluster):
    """One with a policy, in which alice may do everything, and eve may read."""

    def __init__(self, roles: Roles) -> None:
        (policy := roles.folder / "policy.yaml").write_text(POLICY)
        super().__init__(roles, ("--policy", str(policy)))
        self.alice, self.eve = self.cli, self.cli_of("operator/eve")
        self.folder = roles.folder / "master/audit"

    def lines(self, *arguments: str) -> list[Any]:
        said = self.alice.ok("audit", "--json", *arguments)
        return [json.loads(line) for line in said.splitlines()]

    def restart(self, *arguments: str) -> None:
        port = int(self.master.address.rpartition(":")[2])
        self.master.kill()
        tls = self.issue("master/m1")
        self.master = self.roles.master("master", "--tls", tls, *arguments, port=port)
        self.alice.wait_for_agents(1)
        # What it writes is part of the audit, and said to be missing while it is away.
        wait_for(
            "the framework's return",
            lambda: [f["state"] for f in self.alice.json("frameworks")] == ["active"],
        )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    roles = Roles(tmp_path)
    try:
        yield Cluster(roles)
    finally:
        roles.close()


def test_who_did_what_is_in_it_and_no_secret(cluster: Cluster) -> None:
    alice = cluster.alice
    text = job("service", command=f"export X; echo up; PASSWORD={SECRET} sleep 600")
    made = json.loads(text)
    made["tasks"][0]["env"] = {"PASSWORD": SECRET}
    (file := cluster.roles.folder / "web.json").write_text(json.dumps(made))
    alice.ok("run", str(file))
    alice.wait_for_tasks(1, state="TASK_RUNNING")
    (task,) = (task["task_id"] for task in alice.tasks(state="TASK_RUNNING"))
    assert alice.ok("exec", task, "--", "echo", "inside") == "inside\n"
    alice.ok("weights", "prod=2")
    assert cluster.eve.run("weights", "prod=9").returncode != 0
    assert cluster.eve.run("audit").returncode != 0

    (ran,) = cluster.lines("--verb", "exec")
    assert ran["argv"] == ["echo", "inside"] and ran["object"]["task_id"] == task
    (weight,) = cluster.lines("--verb", "quota", "--who", "operator/alice")
    assert weight["object"] == {"role": "prod", "weight": 2.0} and weight["result"] == "done"
    assert weight["decision"] == "allowed" and "operator/alice" in weight["rule"]
    assert weight["serial"] and weight["peer"] == "ipv4:127.0.0.1"
    denied = cluster.lines("--denied", "--who", "operator/*")
    assert {line["principal"] for line in denied} == {"operator/eve"}
    assert {line["method"] for line in denied} >= {"Operator.SetWeight", "Operator.ReadAudit"}
    (submitted,) = cluster.lines("--verb", "submit")
    assert submitted["principal"] == "operator/alice" and task.startswith(
        f"{submitted['object']['job_id']}."
    )
    wait_for("the launch", lambda: bool(cluster.lines("--verb", "launch")))
    (launch,) = cluster.lines("--verb", "launch", "--since", "1h")
    assert launch["principal"] == "framework/binpack"
    assert launch["object"]["task_ids"] == [task]

    (audit,) = cluster.folder.iterdir()
    assert audit.stat().st_mode & 0o777 == 0o600
    assert SECRET not in audit.read_text()
    said = alice.ok("audit", "--verb", "quota")
    assert "operator/alice done Operator.SetWeight role=prod weight=2.0 (done)" in said


def test_it_outlives_a_master_and_keeps_no_more_than_it_may(cluster: Cluster) -> None:
    cluster.alice.ok("weights", "prod=2")
    cluster.restart("--audit-max", "8")
    cluster.alice.ok("weights", "prod=3")
    weights = cluster.lines("--verb", "quota")
    assert [line["object"]["weight"] for line in weights] == [2.0, 3.0]
    # As long as it was full, and a little more: what is written next begins another file.
    (first,) = cluster.folder.iterdir()
    line = json.dumps(weights[0]).encode()
    with first.open("ab") as filling:
        filling.write((line + b"\n") * ((1 << 20) // len(line)))
    cluster.restart("--audit-max", "8")
    cluster.alice.ok("weights", "prod=4")
    assert len(list(cluster.folder.iterdir())) == 2
    assert cluster.lines("--verb", "quota")[-1]["object"]["weight"] == 4.0


def test_it_is_off_for_a_reason_only(cluster: Cluster) -> None:
    cluster.restart("--no-audit", "a laboratory")
    cluster.alice.wait_for_agents(1)
    assert "no audit is written: a laboratory" in cluster.master.log.read_text()
    done = cluster.alice.run("audit")
    assert done.returncode != 0 and "pymesos-master writes no audit here" in done.stderr
    cluster.master.signal(signal.SIGTERM)
    assert cluster.master.ended() == 0


def test_without_certificates_there_is_none(tmp_path: Path) -> None:
    roles = Roles(tmp_path)
    try:
        master = roles.master()
        Cli(master.address).ok("weights", "prod=2")
        assert not (tmp_path / "master/audit").exists()
    finally:
        roles.close()


def test_a_full_disk_refuses_changes_and_goes_on(tmp_path: Path) -> None:
    (full := tmp_path / "full").mkdir()
    options = ("-t", "tmpfs", "-o", "size=2m", "tmpfs", str(full))
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system")
    roles = Roles(tmp_path)
    try:
        master = roles.master("master", "--audit-dir", str(full / "audit"))
        cli = Cli(master.address)
        cli.ok("weights", "prod=2")
        (filler := full / "filler").write_bytes(bytes(1536 * 1024))
        refused = cli.run("weights", "prod=3")
        assert refused.returncode != 0 and "No space left on device" in refused.stderr
        assert "nothing is done" in refused.stderr and "--audit-dir" in refused.stderr
        roles.agent(master.address, "a", "--runtime", "process", "--kill-tasks-on-exit")
        cli.wait_for_agents(1)
        filler.unlink()
        cli.ok("weights", "prod=3")
    finally:
        roles.close()
        subprocess.run(["umount", "-l", str(full)], check=True)
