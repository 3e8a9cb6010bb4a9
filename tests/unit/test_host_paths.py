"""A path of the machine is judged once, and what was judged is what a task gets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pymesos_agent.containers import hostpaths
from pymesos_agent.containers.hostpaths import HostPathError, judged, opened, unchangeable
from pymesos_agent.containers.settings import AllowedPath
from pymesos_agent.files import artifacts
from pymesos_agent.files.artifacts import ArtifactError, Artifacts
from pymesos_agent.files.below import open_real
from pymesos_proto.v1 import types_pb2 as pb


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """allowed/data/f, and a secret beside it."""
    (tmp_path / "allowed/data").mkdir(parents=True)
    (tmp_path / "allowed/data/f").write_text("theirs")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/f").write_text("secret")
    return tmp_path


def mount(path: Path) -> pb.ContainerMount:
    return pb.ContainerMount(host_path=str(path), container_path="x", read_only=True)


def swap(tree: Path) -> None:
    """What who may write to `allowed` does."""
    (tree / "allowed/data").rename(tree / "allowed/old")
    (tree / "allowed/data").symlink_to(tree / "secret")


def test_what_was_judged_is_what_is_opened(tree: Path) -> None:
    allowed = [AllowedPath(tree / "allowed")]
    with opened(mount(tree / "allowed/data"), allowed) as path:
        swap(tree)
        status = (tree / "allowed/old").stat()
        assert path.is_folder and path.identity == f"{status.st_dev}:{status.st_ino}"
    with pytest.raises(HostPathError, match="goes through a link below"):
        judged(mount(tree / "allowed/data"), allowed)


def test_below_what_is_allowed_no_link_is_followed(tree: Path) -> None:
    """A task made one to what its policy does not let it have, and the next task mounted that."""
    (tree / "allowed/data/x").symlink_to(tree / "allowed")
    (tree / "way").symlink_to(tree / "allowed")
    allowed = [AllowedPath(tree / "way")]
    assert judged(mount(tree / "way/data"), allowed) == str(tree / "allowed/data"), "the operator's"
    for path in ("way/data/x", "way/data/x/data"):
        with pytest.raises(HostPathError, match=r"goes through a link below .*/way, which"):
            judged(mount(tree / path), allowed)
    for path in ("way/../secret", "allowed/data"):
        with pytest.raises(HostPathError, match="--allow-host-paths"):
            judged(mount(tree / path), allowed)


@pytest.mark.parametrize("name", ["data", "data/f"])
def test_nothing_is_opened_through_a_link(
    tree: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = hostpaths.judged(mount(tree / "allowed" / name), [AllowedPath(tree / "allowed")])
    swap(tree)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        open_real(real)
    monkeypatch.setattr(hostpaths, "judged", lambda *_: real)
    with pytest.raises(HostPathError, match="changes"), opened(mount(tree), []):
        pass


def test_an_artifact_is_the_file_that_was_judged(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge_and_swap(*arguments: object) -> str:
        real = judged(*arguments)  # type: ignore[arg-type]
        swap(tree)
        return real

    monkeypatch.setattr(artifacts, "judged", judge_and_swap)
    (tree / "sandbox").mkdir()
    fetching = Artifacts(tree / "cache", [AllowedPath(tree / "allowed")], 1)
    wanted = pb.Artifact(uri=f"file://{tree}/allowed/data/f")
    with pytest.raises(ArtifactError, match="Not a directory"):
        fetching.fetch(wanted, tree / "sandbox", None, lambda: False)
    assert not list((tree / "sandbox").iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="others than root are needed")
def test_who_goes_by_the_path_gets_what_only_root_can_change(tree: Path) -> None:
    allowed = [AllowedPath(tree)]
    folder = tree / "allowed"
    given = mount(folder / "data")
    assert unchangeable(given, allowed) == str(folder / "data")
    (folder / "data").chmod(0o777)
    assert unchangeable(given, allowed), "what is in it is theirs"
    folder.chmod(0o777)
    with pytest.raises(HostPathError, match="others than root can put something else in its place"):
        unchangeable(given, allowed)
    folder.chmod(0o1777)
    assert unchangeable(given, allowed), "sticky: nobody else can rename it"
    os.chown(folder / "data", 12345, 12345)
    with pytest.raises(HostPathError, match=f"write to {folder}"):
        unchangeable(given, allowed)
    folder.chmod(0o755)
    os.chown(folder, 12345, 12345)
    with pytest.raises(HostPathError, match="The runtime oci can"):
        unchangeable(given, allowed)
