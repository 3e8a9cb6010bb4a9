"""The compiled mounter and the script that stands in for it mount the same."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from pymesos_agent.runtimes.oci import tools
from pymesos_testing.compiling import assert_hardened, compiled

SOURCE = tools.MOUNTER.with_name("mounter.c")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compiled(SOURCE, tmp_path_factory.mktemp("mounter") / "pymesos-mounter")


@pytest.fixture(params=["compiled", "script"])
def mounter(request: pytest.FixtureRequest, program: str) -> Sequence[str]:
    if os.geteuid() != 0:
        pytest.skip("only root mounts")
    return [program] if request.param == "compiled" else tools.script_that_mounts()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    made = tmp_path / "bundle"
    for name in (tools.ROOT, "upper", "work"):
        (made / name).mkdir(parents=True)
    return made


def run(mounter: Sequence[str], *mounts: str, script: str) -> tuple[int, str, str]:
    """What a tool that is a shell ends with and says."""
    argv = [*mounter, *mounts, "--", "/bin/sh", "-c", script, "sh", "a  b", ""]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def overlay_of(bundle: Path, layers: Path, *names: str) -> tuple[str, str]:
    overlay = tools.Overlay.of([layers / name for name in names], bundle)
    return str(overlay.layers), overlay.options


def test_a_mistake_in_it_is_to_end_it_and_no_more(tmp_path: Path) -> None:
    assert_hardened(SOURCE, tmp_path)


def test_the_tool_takes_its_place(mounter: Sequence[str]) -> None:
    """The tool has its arguments, and its status is the mounter's; its mounts are its own."""
    before = Path("/proc/self/mountinfo").read_text()
    script = 'mount -t tmpfs none /mnt; printf "%s|" "$@"; exit 7'
    assert run(mounter, "", "", "", "", script=script) == (7, "a  b||", "")
    assert Path("/proc/self/mountinfo").read_text() == before


def test_what_is_hidden_is_hidden_from_the_tool_alone(
    mounter: Sequence[str], tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", hidden], check=True)
    try:
        (hidden / "file").touch()
        assert run(mounter, str(hidden), "", "", "", script=f"ls {hidden}") == (0, "", "")
        assert (hidden / "file").exists()
    finally:
        subprocess.run(["umount", hidden], check=True)
    status, _, said = run(mounter, str(hidden), "", "", "", script="echo it runs")
    assert status != 0 and str(hidden) in said, "it is not mounted any more"


def test_layers_lie_one_over_the_other(
    mounter: Sequence[str], bundle: Path, tmp_path: Path
) -> None:
    for name in ("lower", "upper"):
        (tmp_path / "layers" / name).mkdir(parents=True)
        (tmp_path / "layers" / name / "both").write_text(name)
        (tmp_path / "layers" / name / name).touch()
    overlay = overlay_of(bundle, tmp_path / "layers", "upper", "lower")
    script = f"cd {bundle}/rootfs; ls; cat both; grep {bundle}/rootfs /proc/mounts; touch new"
    status, out, said = run(mounter, "", *overlay, str(bundle), script=script)
    assert (status, said) == (0, "")
    assert out.startswith("both\nlower\nupper\nupper")
    assert " rw,nosuid,nodev," in out
    assert (bundle / "upper/new").exists() and not list((bundle / "rootfs").iterdir())


def test_layers_that_cannot_be_mounted(
    mounter: Sequence[str], bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "layers").mkdir()
    overlay = overlay_of(bundle, tmp_path / "layers", "absent")
    status, out, _ = run(mounter, "", *overlay, str(bundle), script="echo it runs")
    assert status != 0 and out == ""
    assert "mount" in (bundle / tools.ERROR_LOG).read_text()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_path_is_mounted_if_it_still_is_what_it_was(
    mounter: Sequence[str], bundle: Path, tmp_path: Path, kind: str
) -> None:
    path, target = tmp_path / "path", bundle / "target"
    if kind == "folder":
        path.mkdir()
        target.mkdir()
        (path / "file").touch()
    else:
        path.write_text("file\n")
        target.touch()
    status = path.stat()
    show = f"ls {target}" if kind == "folder" else f"cat {target}"
    bind = (str(path), str(target), f"{status.st_dev}:{status.st_ino}")
    assert run(mounter, "", "", "", str(bundle), *bind, script=show) == (0, "file\n", "")
    bind = (*bind[:2], f"{status.st_dev}:{status.st_ino + 1}")
    assert run(mounter, "", "", "", str(bundle), *bind, script=show)[:2] == (1, "")
    said = (bundle / tools.ERROR_LOG).read_text()
    assert said == f"{path} is something else than what was allowed a moment ago\n"
