"""What a container executes, and as whom: the same on every runtime."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pymesos_agent.containers.sessions import run_entry
from pymesos_agent.containers.settings import ImageSettings, Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import ContainerExited, ContainerFailed
from pymesos_agent.files.folders import owner_of
from pymesos_agent.runtimes.oci.programs import find
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.components import MissingError
from pymesos_testing.registry import BUSYBOX, Layer, busybox_layer, write_layout
from pymesos_testing.rigs import Rig, docker_rig, oci_rig, process_rig
from pymesos_testing.waiting import until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has images and other users")
WRONG = "exec format error: is it built for this machine?"
CONFIG = {"Entrypoint": ["/bin/entry"], "Cmd": ["its", "own"]}


def foreign() -> bytes:
    """A program of a processor that this machine has not."""
    program = bytearray(Path(BUSYBOX).read_bytes()[:4096])
    program[18:20] = b"\x08\x00"  # MIPS
    return bytes(program)


def layers() -> list[Layer]:
    """An image with an entry point, a bare script and a program of another machine."""
    top = Layer().file("bin/entry", b'#!/bin/sh\necho entry "$@"\n', 0o755)
    top.file("bin/bare", b"echo a script\n", 0o755).file("bin/foreign", foreign(), 0o755)
    top.member("link", tarfile.SYMTYPE, linkname="/bin/foreign")
    return [busybox_layer(), top]


def import_images(host: str) -> tuple[str, str]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as whole:
        for layer in layers():
            with tarfile.open(fileobj=io.BytesIO(layer.bytes())) as part:
                for member in part:
                    whole.addfile(member, part.extractfile(member) if member.isreg() else None)
    entry = ["--change", 'ENTRYPOINT ["/bin/entry"]', "--change", 'CMD ["its", "own"]']
    for name, changes in (("entry:1", entry), ("plain:1", [])):
        argv = ["docker", "--host", host, "import", *changes, "-", name]
        subprocess.run(argv, input=out.getvalue(), check=True, capture_output=True)
    return "entry:1", "plain:1"


class Tried:
    """A rig, an image with an entry point, and one without."""

    def __init__(self, rig: Rig, entry: str, plain: str) -> None:
        self.rig, self.entry, self.plain = rig, entry, plain

    async def end(
        self, image: str, command: pb.CommandInfo, spec: ContainerSpec | None = None
    ) -> tuple[str, str]:
        """What it wrote, and why it was not executed."""
        spec = spec or self.rig.spec("", image=image)
        spec.info.command.CopyFrom(command)
        self.rig.runtime.launch(spec)

        def ends() -> list[ContainerExited | ContainerFailed]:
            kinds = (ContainerExited, ContainerFailed)
            mine = [e for e in self.rig.events if isinstance(e, kinds)]
            return [e for e in mine if e.container_id == spec.container_id]

        await until("it ends", ends)
        end = ends()[0]
        if isinstance(end, ContainerFailed):
            return "", end.message
        return (spec.sandbox / "stdout").read_text(), end.problem


@pytest.fixture(params=["docker", "podman", "oci", "oci by runc"])
async def tried(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Tried]:
    """Each runtime that has images."""
    try:
        if request.param in ("docker", "podman"):
            host: str = request.getfixturevalue(f"{request.param}_host")
            images = import_images(host)
            async with docker_rig(tmp_path, host) as made:
                yield Tried(made, *images)
            return
        write_layout(tmp_path / "entry", layers(), CONFIG)
        write_layout(tmp_path / "plain", layers(), {})
    except MissingError as error:
        pytest.skip(str(error))
    tool = "runc" if "runc" in request.param else "crun"
    settings = Settings(images=ImageSettings(local_paths=(tmp_path,)), oci_tool=tool)
    async with oci_rig(tmp_path, settings) as made:
        yield Tried(made, *(f"oci:{tmp_path}/{name}:image" for name in ("entry", "plain")))


async def test_an_entry_point_and_a_command(tried: Tried) -> None:
    """As in Mesos: a shell's command replaces the entry point, arguments are the entry point's."""
    for command, says in (
        (pb.CommandInfo(shell=True, value="echo by a shell"), "by a shell\n"),
        (pb.CommandInfo(value="a", arguments=["b c"]), "entry a b c\n"),
        (pb.CommandInfo(arguments=["d", "e"]), "entry d e\n"),
        (pb.CommandInfo(), "entry its own\n"),
    ):
        assert await tried.end(tried.entry, command) == (says, "")


async def test_what_the_machine_cannot_execute(tried: Tried) -> None:
    for program in ("/bin/bare", "bare", "/bin/foreign", "/link"):
        assert WRONG in (await tried.end(tried.plain, pb.CommandInfo(value=program)))[1], program
    echo = pb.CommandInfo(value="echo", arguments=["fine"])
    assert await tried.end(tried.plain, echo) == ("fine\n", "")


async def test_numeric_users_of_an_image(tried: Tried) -> None:
    for user, says in (("65533", "65533 0\n"), ("65533:65532", "65533 65532\n")):
        command = pb.CommandInfo(shell=True, value="echo $(id -u) $(id -g)", user=user)
        assert await tried.end(tried.plain, command) == (says, "")


@pytest.fixture(params=["process", "oci"])
async def bare(request: pytest.FixtureRequest, passable: Path) -> AsyncIterator[Tried]:
    """Each runtime that needs no image."""
    make = process_rig(passable, watched=False) if request.param == "process" else oci_rig(passable)
    async with make as made:
        yield Tried(made, "", "")


async def test_numeric_users_without_an_image(bare: Tried) -> None:
    for user, says in (
        ("65534", "65534 65534\n"),
        ("65533", "65533 65533\n"),
        ("1000:1001", "1000 1001\n"),
        ("nobody:1001", "65534 1001\n"),
    ):
        spec = bare.rig.spec("")
        owner = owner_of(user)
        assert owner is not None
        os.chown(spec.sandbox, *owner)
        object.__setattr__(spec, "user", user)
        object.__setattr__(spec, "owner", owner)
        command = pb.CommandInfo(shell=True, value="touch mine; echo $(id -u) $(id -G)")
        assert await bare.end("", command, spec) == (says, "")
        spec = await bare.rig.run("sleep 60")
        object.__setattr__(spec, "user", user)
        object.__setattr__(spec, "owner", owner)
        if bare.rig.runtime.name == "process":
            entry = bare.rig.runtime.entry(spec, ["sh", "-c", "echo $(id -u) $(id -G)"], "")
            assert await run_entry(entry, 20) == (0, says)
        bare.rig.runtime.kill(spec.container_id, force=True)


def test_users_that_are_none() -> None:
    for user in ("no-such-user", "1:no-such-group", "-1", "99999999999999999999", "\u00b2", "a\0"):
        with pytest.raises(LookupError, match=r"there is no|out of range"):
            owner_of(user)
    assert owner_of("root") is owner_of("0") is owner_of("") is None
    assert owner_of("0:1000") == (0, 1000)


async def test_what_cannot_be_executed_of_the_machine(bare: Tried) -> None:
    for content in (b"echo a script\n", foreign(), b""):
        spec = bare.rig.spec("")
        (spec.sandbox / "program").write_bytes(content)
        (spec.sandbox / "program").chmod(0o755)
        assert WRONG in (await bare.end("", pb.CommandInfo(value="./program"), spec))[1]
    spec = bare.rig.spec("")
    (spec.sandbox / "program").write_text("echo a script\n")
    by_a_shell = pb.CommandInfo(shell=True, value="sh ./program")
    assert await bare.end("", by_a_shell, spec) == ("a script\n", "")


def test_a_file_is_found_as_overlayfs_finds_it(tmp_path: Path) -> None:
    low, top = tmp_path / "low", tmp_path / "top"
    for folder in (low / "a/b", top / "a", top / "deep", low / "deep", low / "hidden", low / "etc"):
        folder.mkdir(parents=True)
    for name in ("a/b/f", "a/g", "deep/under", "hidden/f", "etc/passwd"):
        (low / name).write_text("low")
    (top / "a/g").write_text("top")
    os.mknod(top / "hidden", stat.S_IFCHR, 0)
    os.setxattr(top / "deep", "trusted.overlay.opaque", b"y")
    (top / "to").symlink_to("/a/../a/b")
    (low / "a/up").symlink_to("../../../to/f")
    (low / "loop").symlink_to("loop")
    layers = [top, low]
    assert find(layers, "/a/g") == top / "a/g"
    for name in ("/a/b/f", "to/f", "a/up", "/a/./b/../../to/f"):
        assert find(layers, name) == low / "a/b/f", name
    for name in ("deep/under", "hidden/f", "loop", "a", "", "a/g/f", "none"):
        assert find(layers, name) is None, name
