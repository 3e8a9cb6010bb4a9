"""What goes wrong with a local cluster is a sentence, and what runs left behind is found again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from pymesos_agent.supervision import hiding
from pymesos_cli.cluster import Cluster
from pymesos_cli.jobs import hosted, leftovers
from pymesos_cli.local import keeping
from pymesos_cli.local.cluster import LocalCluster, LocalError, Role, Stop
from pymesos_cli.local.starting import Wanted, start_cluster, way_to_hide
from pymesos_core.contexts import Way
from pymesos_proto.v1 import jobs_pb2, types_pb2
from pymesos_proto.v1 import operator_pb2 as pb


def test_a_local_cluster_that_is_stopped_while_it_starts_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keeping, "sweep", lambda _: True)
    folder = tmp_path / "cluster"
    folder.mkdir()
    assert keeping._keep(folder, tmp_path / "secrets", Wanted(), Stop(1, signal.SIGINT)) == 130
    assert not folder.exists()


def test_a_local_cluster_wants_to_be_told_when_tasks_are_not_isolated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hiding, "way_here", lambda: "")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert way_to_hide(Wanted()) == "", "root's tasks have users of their own"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LocalError, match="With --no-task-isolation they run all the same"):
        way_to_hide(Wanted())
    assert way_to_hide(Wanted(isolation=False)) == way_to_hide(Wanted(runtime="oci")) == ""
    monkeypatch.setattr(hiding, "way_here", lambda: "landlock")
    assert way_to_hide(Wanted()) == "landlock"


def test_a_port_that_is_taken_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalError) as refused:
            start_cluster(tmp_path, tmp_path, Wanted(port=port), Stop())
    said = str(refused.value)
    assert f"cannot listen on port {port} (Address already in use): choose another" in said
    assert "--ip" not in said and not list(tmp_path.iterdir())


class TestARoleOfALocalClusterThatHasEnded:
    def role(self, tmp_path: Path, script: str) -> Role:
        process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.DEVNULL)
        process.wait()
        return Role("agent-1", process, tmp_path / "agent-1.log")

    def test_says_how_and_what_it_wrote(self, tmp_path: Path) -> None:
        role = self.role(tmp_path, "exit 3")
        role.log.write_text("one\ntwo\n")
        assert role.last_words(kept=True) == (
            f"it has ended with status 3: the last of {role.log}:\n  one\n  two"
        )

    def test_names_no_file_that_goes_with_the_cluster(self, tmp_path: Path) -> None:
        role = self.role(tmp_path, "exit 3")
        role.log.write_text("one\n")
        said = role.last_words(kept=False)
        assert said == "it has ended with status 3: what it wrote last:\n  one"

    def test_says_so_when_it_wrote_nothing(self, tmp_path: Path) -> None:
        role = self.role(tmp_path, "kill -9 $$")
        role.log.touch()
        assert role.last_words(kept=True) == "it was ended by SIGKILL: it wrote nothing"

    def test_is_not_revived_without_its_folder(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = tmp_path / "removed"
        role = self.role(folder, "exit 0")
        assert role.last_words(kept=True).endswith("agent-1.log: No such file or directory")
        cluster = LocalCluster(folder, roles=[role])
        assert cluster.stop()
        said = capsys.readouterr().err
        assert "No such file or directory; its tasks are ended by force" in said
        assert "Errno" not in said


@pytest.mark.parametrize("lines", ["dns a:1\\nmesos b:2", "mesos b:2\\ndns a:1"])
def test_a_role_of_a_local_cluster_says_its_addresses_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str
) -> None:
    """A master said first where it answers DNS, and `local --dns --mesos` never began."""
    (tmp_path / "talks.py").write_text(f'print("listening on m:1\\n{lines}", flush=True)\n')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    cluster = LocalCluster(tmp_path)
    role = cluster.start("master", "talks", more=("mesos ", "dns "))
    assert (role.address, role.said) == ("m:1", {"mesos ": "b:2", "dns ": "a:1"})
    with pytest.raises(LocalError, match="agent did not start; "):
        cluster.start("agent", "talks", more=("web ",))
    cluster.stop()


def test_a_local_cluster_without_a_place_for_its_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(**_: object) -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/nowhere']")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(LocalError, match="name another with TMPDIR"):
        keeping.run_local(Wanted())


class TestFoldersOfRunsThatDied:
    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def test_are_removed_unless_they_are_held_or_new(self, tmp_path: Path) -> None:
        dead, new, old = (tmp_path / f"pymesos-run-{n}" for n in ("dead", "new", "old"))
        for folder in (dead, new, old):
            folder.mkdir()
        (dead / leftovers.LOCK).touch()
        os.utime(old, (1, 1))
        (tmp_path / "pymesos-run-file").touch()
        (tmp_path / "pymesos-run-link").symlink_to(tmp_path / "other")
        (tmp_path / "other").mkdir()
        with leftovers.state_folder() as held:
            assert not dead.exists() and not old.exists() and new.exists()
            leftovers.remove_leftovers()
            assert held.is_dir(), "its process lives"
        assert not held.exists()
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {"pymesos-run-new", "pymesos-run-file", "pymesos-run-link", "other"}


class TestJobsOfRunsThatDied:
    async def ended(self, monkeypatch: pytest.MonkeyPatch, **changes: str) -> list[str]:
        """The frameworks that `end_orphans` ends of one whose process has died."""
        died = subprocess.Popen(["true"])
        died.wait()
        info = types_pb2.FrameworkInfo(framework_id="f", name="run j")
        hosted.mark(info, "j")
        labels = {label.key: label for label in info.labels}
        labels[hosted.PROCESS_LABEL].value = changes.get("process", str(died.pid))
        labels[hosted.NAMESPACE_LABEL].value = changes.get(
            "namespace", labels[hosted.NAMESPACE_LABEL].value
        )
        info.hostname = changes.get("hostname", info.hostname)
        view = pb.FrameworkView(info=info, state=changes.get("state", "disconnected"))
        torn: list[str] = []

        async def frameworks(_: Cluster) -> list[pb.FrameworkView]:
            return [view, pb.FrameworkView(state="active")]

        async def jobs_of(*_: object) -> list[jobs_pb2.JobView]:
            return []

        async def end(_: Cluster, job: hosted.Hosted) -> None:
            torn.append(job.framework.info.framework_id)

        monkeypatch.setattr(Cluster, "frameworks", frameworks)
        monkeypatch.setattr(hosted, "jobs_of", jobs_of)
        monkeypatch.setattr(hosted, "end", end)
        await hosted.end_orphans(Cluster(Way("127.0.0.1:1"), 1.0))
        return torn

    async def test_are_ended(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert await self.ended(monkeypatch) == ["f"]
        assert "ended the job j: the command `pymesos-cli run` (process" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "change",
        [
            {"process": str(os.getpid())},
            {"process": "x"},
            {"process": "9" * 30},
            {"state": "active"},
            {"hostname": "elsewhere.example"},
            {"namespace": "1"},
        ],
    )
    async def test_of_others_are_not(
        self, monkeypatch: pytest.MonkeyPatch, change: dict[str, str]
    ) -> None:
        assert await self.ended(monkeypatch, **change) == []
