"""Tasks of root's agent that name no user: each has one that nobody else has."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pymesos_agent import claims
from pymesos_agent.claims import check_passable, claim, read_task_uids
from pymesos_agent.containers.isolation import refusal
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core import events as ev
from pymesos_agent.core.records import RecordError, read_owner, uids_of
from pymesos_agent.core.uids import UidRange, Uids
from pymesos_agent.files.folders import owner_of
from pymesos_core.exits import RoleError
from pymesos_core.resources import parse, to_proto
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import checkpoint_pb2 as checkpoint_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_harness import AgentHarness

GIVEN = UidRange(100_000, 4)


def harness(
    records: dict[tuple[str, str], bytes] | None = None,
    recovered: dict[str, ev.ContainerState] | None = None,
    generation: int = 1,
) -> AgentHarness:
    h = AgentHarness(records, recovered=recovered, generation=generation, task_uids=GIVEN)
    h.connect()
    return h


def end(h: AgentHarness, task_id: str) -> None:
    """The task ends, and its framework knows."""
    container_id = h.core.state.by_key["f", task_id].container_id
    h.feed(ev.ContainerExited(container_id, 0))
    while (task := h.core.state.by_key.get(("f", task_id))) is not None:
        h.acknowledge(task.unacknowledged[0])


def test_who_names_no_user_gets_one() -> None:
    h = harness()
    h.run("a")
    h.run("b")
    launch(h, "named", pb.FrameworkInfo(name="f"), "app")
    h.launch("image", image="busybox")
    assert [s.own_uid for s in h.started] == [100_000, 100_001, 0]
    assert [s.user for s in h.started] == ["", "", "app"]
    assert h.core.state.by_key["f", "image"].container.own_uid == 0  # type: ignore[union-attr]


def launch(h: AgentHarness, task_id: str, framework: pb.FrameworkInfo, user: str = "") -> None:
    """A task that names a user, or none, of a framework that does, or does not."""
    info = pb.TaskInfo(task_id=task_id, command=pb.CommandInfo(value="true", user=user))
    said = agent_pb.LaunchTask(framework_id="f", task_info=info, framework_info=framework)
    h.hear(agent_pb.MasterMessage(launch=said))


def test_the_frameworks_user_is_named() -> None:
    """As in Mesos: FrameworkInfo.user is meant for every task that names none."""
    h = harness()
    launch(h, "t", pb.FrameworkInfo(name="f", user="app"))
    assert [(s.user, s.own_uid) for s in h.started] == [("app", 0)]


def test_an_agent_that_is_not_root_gives_none() -> None:
    h = AgentHarness()
    h.connect()
    h.run("a")
    assert [s.own_uid for s in h.started] == [0]


def test_a_user_is_given_again_when_its_files_are_gone() -> None:
    h = harness()
    for task_id in "abc":
        h.run(task_id)
    end(h, "b")
    h.run("d")
    h.launch("e")
    assert [s.own_uid - GIVEN.base for s in h.started] == [0, 1, 2, 3]
    refused = h.sent[-1].update.status
    assert (refused.state, refused.reason) == (
        pb.TASK_DROPPED,
        pb.REASON_CONTAINER_LAUNCH_FAILED,
    )
    assert "--task-uids" in refused.message
    h.advance(61)
    h.feed(ev.DiskMeasured(0.95))
    assert h.removed == [h.started[1].container_id]
    h.run("f")
    assert h.started[-1].own_uid == h.started[1].own_uid


def test_a_restarted_agent_knows_whose_they_are() -> None:
    before = harness()
    first, second = before.run("a"), before.run("b")
    end(before, "a")
    h = harness(before.records, {second: ev.ContainerState(4711)}, generation=2)
    assert first in h.core.state.sandboxes
    for task_id in "cd":
        h.run(task_id)
    assert [s.own_uid - GIVEN.base for s in h.started] == [2, 3]
    owner = h.core.state.by_key["f", "b"]
    assert h.core.start_of(owner).own_uid == GIVEN.base + 1, "as commands and checks enter it"


def test_a_restarted_agent_goes_on_in_turn() -> None:
    """Also where the latest that it gave are free, and where those that are held wrap around."""
    before = harness()
    containers = {task_id: before.run(task_id) for task_id in "abc"}
    for task_id in "abc":
        end(before, task_id)
    before.advance(61)
    before.feed(ev.DiskMeasured(0.95))
    assert len(before.removed) == len(containers)
    h = harness(before.records, generation=2)
    for task_id in "de":
        h.run(task_id)
    assert [s.own_uid - GIVEN.base for s in h.started] == [3, 0]
    found = {s.container_id: ev.ContainerState(5) for s in h.started}
    again = harness(h.records, found, generation=3)
    again.run("f")
    assert again.started[-1].own_uid - GIVEN.base == 1


@pytest.mark.parametrize(
    "record", [b"\xff", checkpoint_pb.UsersRecord(next=GIVEN.end).SerializeToString()]
)
def test_where_to_go_on_is_lost_or_of_another_range(record: bytes) -> None:
    h = harness({("users", ""): record})
    h.run("a")
    assert h.started[-1].own_uid == GIVEN.base
    assert not h.core.state.set_aside


def test_what_is_not_stored_is_given_to_another() -> None:
    h = harness()
    h.fail_writes = "disk full"
    h.launch("a")
    h.fail_writes = None
    for task_id in "bcde":
        h.run(task_id)
    assert sorted(s.own_uid for s in h.started) == [100_000, 100_001, 100_002, 100_003]


def test_the_executor_of_tasks_has_one() -> None:
    h = harness()
    executor = pb.ExecutorInfo(executor_id="e", command=pb.CommandInfo(value="run"))
    h.launch("a", executor=executor)
    h.launch("b", executor=executor)
    assert [s.own_uid for s in h.started] == [100_000]
    again = harness(h.records, {h.container(): ev.ContainerState(5)}, generation=2)
    again.run("c")
    assert again.started[-1].own_uid == 100_001


def test_a_record_with_a_user_that_no_agent_gives() -> None:
    h = harness()
    h.launch("a")
    (key,) = [key for kind, key in h.records if kind == "task"]
    task = h.core.state.by_key["f", "a"]
    assert task.container is not None
    task.container.own_uid, task.unchanging = 2**31, b""
    with pytest.raises(RecordError, match="no agent gives") as caught:
        read_owner(key, task.change().value or b"")
    assert caught.value.own_uid == 2**31, "and it stays held"


class TestVolumes:
    """The core names a container's volumes when it is destroyed: its user loses access to them."""

    EXECUTOR = pb.ExecutorInfo(executor_id="e", command=pb.CommandInfo(value="run"))

    def volume(self, task_id: str) -> pb.Resource:
        disk = pb.Resource.Disk(persistence_id=f"of {task_id}", container_path="data")
        volume = pb.Resource(name="disk", scalar=10, disk=disk)
        volume.reservations.add(type=pb.Resource.Reservation.DYNAMIC, role="db")
        return volume

    def launch(self, h: AgentHarness, task_id: str, executor: pb.ExecutorInfo | None) -> None:
        info = pb.TaskInfo(
            task_id=task_id,
            command=pb.CommandInfo(value="true"),
            resources=[*to_proto(parse("cpus:1;mem:32")), self.volume(task_id)],
            executor=executor,
        )
        launch = agent_pb.LaunchTask(
            framework_id="f", task_info=info, framework_info=pb.FrameworkInfo(name="f")
        )
        h.hear(agent_pb.MasterMessage(launch=launch))

    def end(self, h: AgentHarness, container_id: str) -> None:
        """The container ends, and the framework of its tasks knows."""
        h.feed(ev.ContainerExited(container_id, 0))
        for task in [*h.core.state.by_key.values()]:
            h.acknowledge(task.unacknowledged[0])

    def test_of_a_task(self) -> None:
        h = harness()
        self.launch(h, "a", None)
        self.end(h, h.container())
        assert h.left == [(100_000, (("db", "of a"),))]

    def test_of_an_executor(self) -> None:
        """What it is started with. For a task that comes later nothing can be mounted."""
        h = harness()
        h.hold_writes = True
        self.launch(h, "a", self.EXECUTOR)
        self.launch(h, "b", self.EXECUTOR)
        h.hold_writes = False
        h.write()
        self.launch(h, "c", self.EXECUTOR)
        (start,) = h.started
        disks = [r.disk.persistence_id for r in start.info.resources if r.HasField("disk")]
        assert disks == ["of a", "of b"]
        self.end(h, h.container())
        assert h.left == [(100_000, (("db", "of a"), ("db", "of b")))]

    def test_of_an_executor_whose_agent_has_restarted(self) -> None:
        before = harness()
        self.launch(before, "a", self.EXECUTOR)
        container_id = before.container()
        agent = checkpoint_pb.AgentCheckpoint(agent_id="a", reserved=[self.volume("a")])
        before.records["agent", ""] = agent.SerializeToString()
        info = pb.AgentInfo(
            resources=to_proto(parse("cpus:4;mem:4096;disk:10")), runtimes=["process"]
        )
        found = {container_id: ev.ContainerState(5)}
        h = AgentHarness(before.records, info, found, generation=2, task_uids=GIVEN)
        h.connect()
        self.end(h, container_id)
        assert h.left == [(100_000, (("db", "of a"),))]


def test_they_are_given_in_turn() -> None:
    """What a task left in /tmp is nobody's for as long as it can be."""
    uids = Uids(GIVEN)
    given = []
    for _ in range(6):
        given.append(uids.take())
        uids.free(given[-1])
    assert [uid - GIVEN.base for uid in given] == [0, 1, 2, 3, 0, 1]


def test_a_crash_of_the_machine_gives_none_of_them_again() -> None:
    """What a task left in /tmp or a volume is there still, and the write of its launch is not."""
    h = AgentHarness(task_uids=UidRange(100_000, 80))
    h.connect()
    synced: dict[tuple[str, str], bytes] = {}
    for number in range(25):
        h.synced.clear()
        h.run(f"t{number}")
        if h.synced[0]:  # the launch; the update after it may be lost as well
            synced["users", ""] = h.records["users", ""]
        after = AgentHarness(dict(synced), generation=2, task_uids=UidRange(100_000, 80))
        after.connect()
        after.run("after")
        given = {s.own_uid for s in h.started}
        assert len(given) == number + 1
        assert after.started[0].own_uid not in given


def test_few_launches_wait_for_the_disk_for_their_users_sake() -> None:
    uids = Uids(UidRange(100_000, 80))
    stored = []
    for _ in range(25):
        uids.take()
        stored.append(uids.to_store())
    told = {number: uid - 100_000 for number, uid in enumerate(stored) if uid is not None}
    assert told == {0: 11, 11: 22, 22: 33}
    uids.not_stored()
    uids.take()
    assert uids.to_store() == 100_000 + 26 + 10


class TestWhoNamesOne:
    """A user that is given to one task alone cannot be asked for by another."""

    class Runtime:
        name = "process"
        isolation = {"user": "setuid", "root": "image"}  # noqa: RUF012

    def refusal(self, user: str, *, image: str = "", own_uid: int = 0) -> str | None:
        info = pb.TaskInfo(container=pb.ContainerInfo(image=image))
        owner = None if image or os.geteuid() else owner_of(user)
        spec = ContainerSpec(
            "c", "f", user, owner, info, parse("cpus:1"), Path("/s"), own_uid=own_uid
        )
        return refusal(self.Runtime(), spec, Settings(task_uids=GIVEN))

    @pytest.mark.parametrize("user", ["100001", "65534:100003", "100000:65534"])
    @pytest.mark.parametrize("image", ["", "busybox"])
    def test_is_refused(self, user: str, image: str) -> None:
        if os.geteuid() and not image:
            pytest.skip("only root's agent runs tasks of others")
        assert "--task-uids" in (self.refusal(user, image=image) or "")

    @pytest.mark.parametrize("user", ["99999", "100004", "65534:65534", "root"])
    def test_others_are_not(self, user: str) -> None:
        assert self.refusal(user, image="busybox") is None

    def test_who_was_given_it_may(self) -> None:
        assert self.refusal("", own_uid=100_000) is None


class TestClaims:
    """Agents of one machine give their tasks different users."""

    @pytest.fixture(autouse=True)
    def machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(claims, "CLAIMS", tmp_path / "var/task-uids")
        monkeypatch.setattr(claims, "ETC", tmp_path / "etc")
        monkeypatch.setattr(claims, "PROC", tmp_path / "proc")
        for name in ("etc", "proc/self", "a", "b"):
            (tmp_path / name).mkdir(parents=True)
        return tmp_path

    def test_each_agent_has_its_own_and_keeps_it(self, machine: Path) -> None:
        a = claim(machine / "a", None, None)
        b = claim(machine / "b", None, None)
        assert str(a) == "2100000000:65536"
        assert b.base == a.end
        assert claim(machine / "a", None, None) == a
        assert (machine / "var/task-uids").stat().st_mode & 0o777 == 0o600
        (machine / "a").rmdir()
        (machine / "c").mkdir()
        assert claim(machine / "c", None, None) == a, "of an agent that is no more"

    def test_what_is_left_of_a_deleted_agent_keeps_it(
        self, machine: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = claim(machine / "a", None, None)
        (machine / "a").rmdir()
        (machine / "proc/17").mkdir()
        if os.geteuid() == 0:
            os.chown(machine / "proc/17", first.base + 9, 0)
        else:
            monkeypatch.setattr(claims, "FIRST", os.geteuid() // 65536 * 65536)
        assert claim(machine / "b", None, None).base > (machine / "proc/17").stat().st_uid

    @pytest.mark.parametrize(
        ("name", "line"),
        [
            ("passwd", "app:x:200010:5::/:/bin/sh"),
            ("group", "app:x:200010:"),
            ("subuid", "app:100000:200000"),
            ("subgid", "app:265535:1"),
        ],
    )
    def test_somebody_elses_are_refused(self, machine: Path, name: str, line: str) -> None:
        (machine / "etc" / name).write_text(f"root:x:0:0\n{line}\nnonsense\n")
        with pytest.raises(RoleError, match=rf"app in .*etc/{name} .*--task-uids BASE:COUNT"):
            claim(machine / "a", UidRange(200_000, 65_536), None)
        assert claim(machine / "a", UidRange(300_000, 65_536), None) == UidRange(300_000, 65_536)

    def test_a_work_directory_that_others_do_not_get_to(self, machine: Path) -> None:
        (machine / "closed/agent").mkdir(parents=True)
        (machine / "closed").chmod(0o750)
        with pytest.raises(RoleError, match=rf"pass through {machine}/closed: chmod o\+x"):
            check_passable(machine / "closed/agent")

    def test_another_agents_are_refused(self, machine: Path) -> None:
        taken = claim(machine / "a", None, None)
        with pytest.raises(RoleError, match=f"the agent in {machine / 'a'}"):
            claim(machine / "b", UidRange(taken.base + 60_000, 20_000), None)

    def test_those_of_its_containers_are_refused(self, machine: Path) -> None:
        namespaces = UidRange(200_000, 65_536)
        with pytest.raises(RoleError, match="--user-namespace-base"):
            claim(machine / "a", UidRange(250_000, 65_536), namespaces)

    def test_a_user_namespace_without_them(self, machine: Path) -> None:
        (machine / "proc/self/uid_map").write_text("         0       1000          1\n")
        with pytest.raises(RoleError, match=r"user namespace without the users .* or `none`"):
            claim(machine / "a", None, None)
        assert not (machine / "var/task-uids").exists(), "nothing is claimed that is not used"

    def test_another_range_leaves_it_the_one_before_while_that_is_used(self, machine: Path) -> None:
        first = claim(machine / "a", None, None)
        second = claim(machine / "a", UidRange(200_000, 65_536), None, {0, first.base + 7})
        assert claim(machine / "a", None, None, {0, first.base + 7}) == second
        with pytest.raises(RoleError, match=f"the agent in {machine / 'a'}"):
            claim(machine / "b", first, None)
        assert claim(machine / "a", second, None, {0, second.base}) == second
        assert claim(machine / "b", first, None) == first

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_a_range_that_somebody_runs_with_is_refused(self, machine: Path) -> None:
        (machine / "proc/17").mkdir()
        os.chown(machine / "proc/17", 200_009, 0)
        wanted = UidRange(200_000, 65_536)
        with pytest.raises(RoleError, match=r"those of the process 17 \(200009:1\)"):
            claim(machine / "a", wanted, None)
        (machine / "proc/17").rmdir()
        claim(machine / "a", wanted, None)
        (machine / "proc/17").mkdir()
        os.chown(machine / "proc/17", 200_009, 0)
        assert claim(machine / "a", wanted, None) == wanted, "it is a task of its own"
        assert claim(machine / "a", UidRange(200_000, 70_000), None).count == 70_000

    def test_a_disk_that_is_not_mounted_keeps_its_claim(self, machine: Path) -> None:
        (machine / "disk/agent").mkdir(parents=True)
        first = claim(machine / "disk/agent", None, None)
        (machine / "disk").rename(machine / "elsewhere")
        assert claim(machine / "b", None, None).base == first.end
        (machine / "elsewhere").rename(machine / "disk")
        assert claim(machine / "disk/agent", None, None) == first

    def test_unless_no_other_users_are_left(
        self, machine: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A machine on which agents come and go has seven hundred such folders some day."""
        monkeypatch.setattr(claims, "END", claims.FIRST + 2 * claims.COUNT)
        (machine / "disk/agent").mkdir(parents=True)
        first = claim(machine / "disk/agent", None, None)
        claim(machine / "a", None, None)
        (machine / "disk").rename(machine / "elsewhere")
        assert claim(machine / "b", None, None) == first
        (machine / "c").mkdir()
        with pytest.raises(RoleError, match=r"no 65536 users from 2100000000 on are free"):
            claim(machine / "c", None, None)

    @pytest.mark.parametrize("line", ["", "2100000000:65536", "none /a", "2100000000:65 /a", "x"])
    def test_a_file_that_cannot_be_read_is_left_alone(self, machine: Path, line: str) -> None:
        claim(machine / "a", None, None)
        file = machine / "var/task-uids"
        damaged = f"{file.read_text()}{line}\n"
        file.write_text(damaged)
        with pytest.raises(RoleError, match=r"line 2 of .*task-uids is .* expected: mend it"):
            claim(machine / "b", None, None)
        assert file.read_text() == damaged

    def test_what_cannot_be_written_changes_nothing(
        self, machine: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        claim(machine / "a", None, None)
        before = (machine / "var/task-uids").read_text()
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(RoleError, match="cannot be used"):
            claim(machine / "b", None, None)
        assert (machine / "var/task-uids").read_text() == before

    @pytest.mark.parametrize("name", ["a\rb", "\udcff", "ü x"])
    def test_a_work_directory_of_any_name(self, machine: Path, name: str) -> None:
        (machine / name).mkdir()
        first = claim(machine / name, None, None)
        assert claim(machine / "b", None, None) != first
        assert claim(machine / name, None, None) == first

    def test_but_not_one_of_two_lines(self, machine: Path) -> None:
        with pytest.raises(RoleError, match=r"a\\nb.* line break .*rename it"):
            claim(Path("/a\nb"), None, None)


def test_the_users_of_a_checkpoint() -> None:
    """A range that they are of stays the agent's."""
    h = harness()
    for task_id in "ab":
        h.run(task_id)
    end(h, "b")
    assert uids_of(h.records) == {0, 100_000, 100_001}


@pytest.mark.parametrize(
    "written",
    ["", "5", "5:70000", "70000:5", "2147483000:65536", "a:b", "-70000:65536", "٧٠٠٠٠:٧٠٠٠٠"],
)
def test_a_range_that_cannot_be(written: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_task_uids(written)


def test_a_range_that_can_be() -> None:
    assert read_task_uids("100000:65536") == UidRange(100_000, 65_536)
    assert read_task_uids("none").count == 0
