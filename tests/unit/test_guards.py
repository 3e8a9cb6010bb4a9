"""What root of a container leaves in its folders is not for the machine's users."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.containers.spec import ContainerSpec, Mount
from pymesos_agent.core.ports import Group
from pymesos_agent.files.folders import Folders
from pymesos_agent.files.guards import let_pass, make_guard
from pymesos_agent.files.handing import belongs_to, hand_over
from pymesos_agent.files.turns import HandingStoppedError
from pymesos_core.resources import parse
from pymesos_proto.v1 import types_pb2 as pb

THEIRS, STRANGER = 12345, 12346
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="others than root are needed")


@pytest.fixture
def folders(passable: Path) -> Iterator[Folders]:
    (passable / "sandboxes").mkdir(mode=0o711)
    made = Folders(passable)
    yield made
    made.close()


def spec(folders: Folders, name: str, owner: tuple[int, int] | None = None) -> ContainerSpec:
    info = pb.TaskInfo()
    info.container.mounts.add(group_path="shared", container_path="shared")
    group = Group("g", (name,), ())
    volumes = (
        Mount(folders.volume("role", "v"), "data"),
        Mount(folders.group("g") / "shared", "shared", shared=True),
    )
    resources = parse("cpus:1")
    sandbox = folders.sandbox(name)
    return ContainerSpec(name, "f", "", owner, info, resources, sandbox, volumes, group)


def reads(path: Path, uid: int) -> bool:
    """Whether a user of the machine reads a file."""
    command = ["/bin/cat", str(path)]
    ended = subprocess.run(command, user=uid, group=uid, extra_groups=[], capture_output=True)
    return ended.returncode == 0


def writes(path: Path, uid: int) -> bool:
    """Whether a user of the machine writes a file."""
    command = ["/usr/bin/touch", str(path)]
    ended = subprocess.run(command, user=uid, group=uid, extra_groups=[], capture_output=True)
    return ended.returncode == 0


@root_only
def test_nobody_gets_past_a_guard(folders: Folders) -> None:
    """As root of the container leaves them: open, and with set-uid programs in them."""
    container = spec(folders, "c")
    assert folders.prepare(container) is None
    for path in (container.sandbox, *(mount.host_path for mount in container.volumes)):
        path.chmod(0o777)
        (path / "su").write_text("#!/bin/sh")
        (path / "su").chmod(0o4755)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert not reads(path / "su", STRANGER)


@root_only
def test_who_has_no_root_file_system_goes_by_the_path(folders: Folders) -> None:
    first, second = spec(folders, "a", (THEIRS, THEIRS)), spec(folders, "b")
    second = replace(second, owner=(THEIRS + 100, THEIRS + 100), volumes=second.volumes[1:])
    for each in (first, second):
        assert folders.prepare(each) is None
    for each in (first, second):
        assert each.owner is not None
        for path in (each.sandbox, *(mount.host_path for mount in each.volumes)):
            (path / "f").write_text("")
            path.chmod(0o777)
            assert reads(path / "f", each.owner[0])
            assert not reads(path / "f", STRANGER)
    assert not reads(first.sandbox / "f", THEIRS + 100), "each guard names its own"


@root_only
def test_a_volume_lets_its_latest_user_in_and_nobody_when_that_has_ended(folders: Folders) -> None:
    """Users of tasks are given again: whom it let in once may be anybody's before long."""
    volume = folders.volume("role", "v")
    for uid in (THEIRS, STRANGER):
        one = replace(spec(folders, f"c{uid}", (uid, uid)), own_uid=uid)
        assert folders.prepare(one) is None
        (volume / "f").write_text("")
        volume.chmod(0o777)
        assert [reads(volume / "f", each) for each in (THEIRS, STRANGER)] == [
            uid == THEIRS,
            uid == STRANGER,
        ]
        assert folders.to_hand_over(one) == (() if uid == THEIRS else (volume,))
    folders.leave(STRANGER, [("role", "v"), ("role", "that is gone")])
    assert not reads(volume / "f", STRANGER)


@root_only
def test_a_sandbox_that_is_to_go_is_closed_at_once(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder may take long to be deleted; its user is given to the next task meanwhile."""
    one = replace(spec(folders, "c", (THEIRS, THEIRS)), own_uid=THEIRS)
    assert folders.prepare(one) is None
    (one.sandbox / "f").write_text("")
    monkeypatch.setattr(folders._removers, "submit", lambda *_: None)
    folders.remove_sandbox("c")
    assert not reads(one.sandbox / "f", THEIRS)


@root_only
def test_a_shared_volume_is_for_all_who_have_it(folders: Folders) -> None:
    for uid in (THEIRS, STRANGER):
        one = replace(spec(folders, f"c{uid}", (uid, uid)), own_uid=uid)
        shared = tuple(replace(mount, shared=True) for mount in one.volumes)
        one = replace(one, volumes=shared)
        assert folders.prepare(one) is None
        assert folders.to_hand_over(one) == ()
    file = folders.volume("role", "v") / "f"
    file.write_text("")
    assert all(reads(file, uid) for uid in (THEIRS, STRANGER))


@root_only
def test_a_shared_volume_that_is_closed_is_opened(folders: Folders) -> None:
    """The folder was made by an older agent, or by one that died before it had opened it."""
    volume = folders.volume("role", "v")
    make_guard(volume.parent)
    volume.mkdir(mode=0o750)
    one = replace(spec(folders, "c", (THEIRS, THEIRS)), own_uid=THEIRS)
    shared = tuple(replace(mount, shared=True) for mount in one.volumes)
    assert folders.prepare(replace(one, volumes=shared)) is None
    assert writes(volume / "f", THEIRS)
    assert not writes(volume / "f", STRANGER)


@root_only
def test_volumes_without_guards_do_not_close_each_other(folders: Folders, passable: Path) -> None:
    """What they are in is all the role's."""
    tasks = []
    for name, uid in (("v", THEIRS), ("w", STRANGER)):
        (passable / "volumes/role" / name).mkdir(mode=0o750, parents=True)
        one = replace(spec(folders, f"c{uid}", (uid, uid)), own_uid=uid)
        mount = replace(one.volumes[0], host_path=folders.volume("role", name))
        tasks.append(replace(one, volumes=(mount,)))
    for one in tasks:
        assert folders.prepare(one) is None
        for volume in folders.to_hand_over(one):
            hand_over(volume, (one.own_uid, one.own_uid), lambda: False)
    old = passable / "volumes/role"
    assert writes(old / "v/f", THEIRS) and writes(old / "w/f", STRANGER)
    folders.leave(THEIRS, [("role", "v")])
    assert not writes(old / "v/f", THEIRS), "this id may be another task's before long"
    assert writes(old / "w/f", STRANGER)


@root_only
def test_a_shared_volume_without_a_guard_is_not_opened(folders: Folders, passable: Path) -> None:
    volume = passable / "volumes/role/v"
    volume.mkdir(mode=0o750, parents=True)
    one = spec(folders, "c", (THEIRS, THEIRS))
    shared = tuple(replace(mount, shared=True) for mount in one.volumes)
    problem = folders.prepare(replace(one, own_uid=THEIRS, volumes=shared))
    moved = passable / "guarded/volumes/role/v/v"
    assert problem is not None and problem.endswith(f"move it to {moved}")
    assert stat.S_IMODE(volume.stat().st_mode) == 0o750
    moved.parent.mkdir(parents=True)
    volume.rename(moved)
    assert folders.volume("role", "v") == moved, "as it was said"


@root_only
def test_a_volume_is_handed_over_whole(passable: Path) -> None:
    """But for what is another name of a file of root's, or of somebody else's elsewhere."""
    volume, outside = passable / "v", passable / "secret"
    (volume / "a/b").mkdir(parents=True)
    (volume / "a/b/root's").write_text("")
    (volume / "link").symlink_to(outside)
    (volume / "theirs").write_text("")
    os.chown(volume / "theirs", THEIRS, THEIRS)
    outside.write_text("")
    (volume / "second").hardlink_to(outside)
    hand_over(volume, (STRANGER, STRANGER), lambda: False)
    given = {p: p.lstat().st_uid for p in (volume, *volume.rglob("*"))}
    assert given.pop(volume / "second") == 0 == outside.stat().st_uid
    assert set(given.values()) == {STRANGER} and len(given) == 6
    assert belongs_to(volume, (STRANGER, STRANGER))


@root_only
def test_what_is_cut_short_is_handed_over_again(passable: Path) -> None:
    """Also to who had it before: some of it is the other's already."""
    volume, theirs, strangers = passable / "v", (THEIRS, THEIRS), (STRANGER, STRANGER)
    (volume / "a").mkdir(parents=True)
    (volume / "b").mkdir()
    hand_over(volume, theirs, lambda: False)
    answers = iter([False, False, True])
    with pytest.raises(HandingStoppedError):
        hand_over(volume, strangers, lambda: next(answers))
    assert {path.stat().st_uid for path in volume.iterdir()} == {THEIRS, STRANGER}
    assert not belongs_to(volume, strangers) and not belongs_to(volume, theirs)
    hand_over(volume, theirs, lambda: False)
    assert {path.stat().st_uid for path in (volume, *volume.iterdir())} == {THEIRS}


@root_only
@pytest.mark.parametrize("refused", ["scandir", "open"])
def test_what_cannot_be_reached_is_not_handed_over(
    passable: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """The agent went on as if all were given, and the rest was never given."""
    volume = passable / "v"
    (volume / "a/b").mkdir(parents=True)
    inside, real = (volume / "a").stat(), getattr(os, refused)

    def refuse(what: Any, *args: Any, **options: Any) -> Any:
        if what == "a" or (isinstance(what, int) and os.path.samestat(os.fstat(what), inside)):
            raise PermissionError(13, "Permission denied")
        return real(what, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, refused, refuse)
        with pytest.raises(PermissionError):
            hand_over(volume, (STRANGER, STRANGER), lambda: False)
    assert not belongs_to(volume, (STRANGER, STRANGER))
    hand_over(volume, (STRANGER, STRANGER), lambda: False)
    assert {path.stat().st_uid for path in (volume, *volume.rglob("*"))} == {STRANGER}


@root_only
def test_what_moves_meanwhile_is_not_handed_over(
    passable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, outside = passable / "v", passable / "outside"
    (volume / "a/b/c").mkdir(parents=True)
    outside.mkdir()
    moving, real = (volume / "a/b/c").stat(), os.scandir

    def scandir(folder: int) -> Any:
        if os.path.samestat(os.fstat(folder), moving):
            (volume / "a/b/c").rename(outside / "c")
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(OSError, match="moved meanwhile"):
        hand_over(volume, (STRANGER, STRANGER), lambda: False)
    assert not belongs_to(volume, (STRANGER, STRANGER)) and outside.stat().st_uid == 0


@root_only
def test_where_there_are_no_lists(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "getxattr", refuse)
    monkeypatch.setattr(os, "setxattr", refuse)
    container = spec(folders, "c", (THEIRS, THEIRS))
    assert folders.prepare(container) is None
    (container.sandbox / "f").write_text("")
    assert reads(container.sandbox / "f", THEIRS)


def test_what_was_there_before_guards_stays(folders: Folders, passable: Path) -> None:
    """An agent that is upgraded keeps its volumes and the sandboxes of its tasks."""
    old = passable / "volumes/role/v"
    old.mkdir(parents=True)
    (old / "kept").write_text("kept")
    (passable / "sandboxes/old").mkdir()
    assert folders.volume("role", "v") == old
    assert folders.sandbox("old") == passable / "sandboxes/old"
    before = spec(folders, "new")
    assert folders.prepare(before) is None
    assert (before.volumes[0].host_path / "kept").read_text() == "kept"
    let_pass(old.parent, THEIRS)
    assert stat.S_IMODE(old.parent.stat().st_mode) == 0o755
    folders.remove_volume("role", "v")
    assert folders.volume("role", "v") != old, "the next of that name has a guard"
    folders.remove_sandbox("old")
    folders.remove_sandbox("new")
    folders.close()
    for sandboxes in ("sandboxes", "guarded/sandboxes"):
        assert not list((passable / sandboxes).iterdir())


@pytest.mark.parametrize("other", ["data.d", "data.d.d", "data", "guarded", "volumes", "é" * 127])
def test_no_name_is_the_guard_of_another(folders: Folders, other: str) -> None:
    """An id may be anything that a folder can be called: a suffix made `data.d` of `data`."""
    kept = folders.volume("role", "data")
    gone = folders.volume("role" if other != "data" else "role/data", other)
    for path in (kept, gone):
        make_guard(path.parent)
        path.mkdir()
        (path / "file").write_text("")
    assert folders.volume("role", "data") == kept
    folders.remove_volume("role" if other != "data" else "role/data", other)
    assert not gone.exists()
    folders.close()
    assert (kept / "file").exists()
    assert not folders.volume("role", "data.d").exists()


def test_who_passes_through_does_not_see_what_else_is_there(folders: Folders) -> None:
    container = spec(folders, "c")
    assert folders.prepare(container) is None
    for path in (container.sandbox, container.volumes[0].host_path):
        assert stat.S_IMODE(path.parent.parent.stat().st_mode) & 0o077 == 0o011
