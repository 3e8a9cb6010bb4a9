"""What a task wrote within a user namespace is read by one without, and the other way round."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.containers.settings import ImageSettings, Settings
from pymesos_agent.containers.spec import Mount
from pymesos_agent.files.folders import Folders
from pymesos_agent.files.handing import hand_over
from pymesos_agent.files.shifting import base_of, shift
from pymesos_agent.files.turns import turn_of
from pymesos_agent.runtimes.oci import making
from pymesos_agent.runtimes.oci.making import Making
from pymesos_agent.runtimes.oci.places import Places
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.components import MissingError
from pymesos_testing.registry import busybox_layer, write_layout
from pymesos_testing.rigs import oci_rig

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
BASE, OTHER = 300_000, 500_000
WRITES = (
    "cd $PYMESOS_SANDBOX/data && cat kept mine 2> /dev/null; id -u; umask 077;"
    " echo of $(id -u) > kept; echo mine > mine; chown 33:33 mine; stat -c %u . mine"
)


@pytest.mark.parametrize("tool", ["crun", "runc"])
async def test_a_volume_goes_on_with_and_without_a_user_namespace(
    tool: str, passable: Path
) -> None:
    try:
        write_layout(passable / "layout", [busybox_layer()], {})
    except MissingError as error:
        pytest.skip(str(error))
    work = passable / "work"
    (work / "sandboxes").mkdir(parents=True)
    folders = Folders(work)
    volume = folders.volume("role", "v")
    for number, base in enumerate((0, BASE, BASE, 0, OTHER, BASE)):
        settings = Settings(
            images=ImageSettings(local_paths=(passable,)), user_namespace_base=base, oci_tool=tool
        )
        async with oci_rig(work, settings) as rig:
            image = f"oci:{passable}/layout:image"
            spec = rig.spec(WRITES, "cpus:0.5;mem:64", image, pb.ContainerInfo())
            spec.sandbox.rmdir()
            sandbox = folders.sandbox(spec.container_id)
            spec = replace(spec, sandbox=sandbox, volumes=(Mount(volume, "data"),))
            assert folders.prepare(spec) is None
            rig.runtime.launch(spec)
            await rig.exited(spec)
            said = (sandbox / "stdout").read_text().split("\n")
            before = ["of 0", "mine"] if number else []
            assert said == [*before, "0", "0", "33", ""], (sandbox / "stderr").read_text()
            assert (volume / "mine").stat().st_uid == 33 + base
            assert volume.stat().st_uid == base == base_of(volume)


def test_what_was_cut_short_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, owner in (("a", 0), ("b", 33), ("c", 99_999)):
        (tmp_path / name).write_text("")
        os.chown(tmp_path / name, owner, owner)
    given = 0
    chown = os.chown

    def fail_late(*arguments: object, **more: object) -> None:
        nonlocal given
        given += 1
        if given == 3:
            raise OSError(5, "the disk")
        chown(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "chown", fail_late)
    with pytest.raises(OSError, match="the disk"):
        shift(tmp_path, BASE)
    assert base_of(tmp_path) == 0
    shift(tmp_path, BASE)
    owners = [(tmp_path / name).stat().st_uid for name in "abc"]
    assert owners == [BASE, BASE + 33, BASE], "whom the namespace does not know is its root"
    assert base_of(tmp_path) == BASE
    shift(tmp_path, 0)
    assert [(tmp_path / name).stat().st_uid for name in "abc"] == [0, 33, 0]


def test_ranges_with_ids_in_common_are_refused(tmp_path: Path) -> None:
    """An id in both was left as it was, as if it had been moved before."""
    shift(tmp_path, 100_000)
    (tmp_path / "f").write_text("")
    os.chown(tmp_path / "f", 140_000, 140_000)
    for near in (131_072, 34_465, 165_535):
        with pytest.raises(OSError, match="choose a --user-namespace-base that is 100000, or"):
            shift(tmp_path, near)
    assert (tmp_path / "f").stat().st_uid == 140_000
    shift(tmp_path, 165_536)
    assert (tmp_path / "f").stat().st_uid == 205_536


async def test_one_that_is_killed_meanwhile_leaves_the_volume_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The killed thread went on giving away files that the next task had written."""
    for name in "abc":
        (tmp_path / name).write_text("")
    moving, go_on, left = threading.Event(), threading.Event(), threading.Event()
    chown = os.chown

    def wait_first(*arguments: object, **more: object) -> None:
        moving.set()
        go_on.wait(20)
        chown(*arguments, **more)  # type: ignore[arg-type]

    def watched(*arguments: Any) -> None:
        try:
            shift(*arguments)
        finally:
            left.set()

    monkeypatch.setattr(making, "shift", watched)
    nothing: Any = None
    made = Making(
        Places(tmp_path, None), Settings(user_namespace_base=BASE), nothing, nothing, nothing
    )
    monkeypatch.setattr(os, "chown", wait_first)
    shifting = asyncio.ensure_future(made._shift(tmp_path))
    await asyncio.to_thread(moving.wait, 20)
    shifting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await shifting
    assert turn_of(tmp_path).locked(), "the next waits until it has ended"
    go_on.set()
    await asyncio.to_thread(left.wait, 20)
    with turn_of(tmp_path):
        assert sorted((tmp_path / name).stat().st_uid for name in "abc") == [0, 0, BASE]
        assert base_of(tmp_path) == 0


def test_a_file_of_roots_that_has_several_names_stays_roots(tmp_path: Path) -> None:
    (volume := tmp_path / "volume").mkdir()
    (tmp_path / "outside").write_text("")
    (volume / "link").hardlink_to(tmp_path / "outside")
    shift(volume, BASE)
    assert (tmp_path / "outside").stat().st_uid == 0


def test_what_a_plain_task_had_is_its_namespaces_roots(tmp_path: Path) -> None:
    shift(tmp_path, BASE)
    (tmp_path / "f").write_text("")
    hand_over(tmp_path, (OTHER, OTHER), lambda: False)
    assert (tmp_path / "f").stat().st_uid == OTHER
    shift(tmp_path, BASE)
    assert (tmp_path / "f").stat().st_uid == BASE
