"""What an agent leaves on its machine when only its files are to stay."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pymesos_agent.containers.spec import Mount
from pymesos_agent.files.folders import Folders
from pymesos_agent.files.memory import memory_of
from pymesos_agent.files.mounting import DISKS, MADE, protect
from pymesos_agent.main import main
from pymesos_agent.runtimes.starting import tag_of
from pymesos_agent.workdir import CHECKPOINT
from pymesos_core.discovery.following import FILE
from pymesos_core.mounts import mounted_below, unmount_below
from pymesos_core.store import Store
from pymesos_testing.components import passable_folder

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")


@pytest.fixture
def folder() -> Iterator[Path]:
    """The work directory of an agent that is away, whose mounts are those of its tasks."""
    with passable_folder() as name:
        if problem := protect(name):
            pytest.skip(problem)
        Store(name / CHECKPOINT).close()
        yield name
        unmount_below(name)


def test_files_that_stay_can_be_deleted(folder: Path) -> None:
    folders = Folders(folder, sized=True)
    volume = folders.volume("r", "v")
    volume.parent.mkdir(parents=True)
    mount = Mount(volume, "v", disk=folder / DISKS / MADE / "r/v", size_mib=1)
    folders.mount(mount, lambda: False)
    folders.close()
    memory = memory_of(tag_of(folder))
    assert memory is not None
    memory.put("ended", {"password": b"secret"})
    assert len(mounted_below(folder)) == 3
    argv = (sys.executable, "-m", "pymesos_agent.main", "purge", "--yes", "--keep-files")
    done = subprocess.run([*argv, "--work-dir", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert mounted_below(folder) == []
    assert not memory.folder.exists(), "secrets are no files of the work directory"
    assert (folder / CHECKPOINT).exists() and mount.disk is not None and mount.disk.exists()


def test_who_gives_up_an_agents_id_gives_up_the_names_that_it_was_told(tmp_path: Path) -> None:
    """The names are of a cluster's epochs, and the next agent may be of another cluster."""
    for name in (CHECKPOINT, FILE):
        (tmp_path / name).write_bytes(b"")
    done = CliRunner().invoke(main, ["recover", "--discard", "--work-dir", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert not (tmp_path / FILE).exists()
