"""Tests of real components run in one process, one at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
BODY = """
import os
def test_{name}():
    open({where!r}, "a").write(os.environ["PYTEST_XDIST_WORKER"] + chr(10))
"""


def test_components_have_the_machine_to_themselves(tmp_path: Path) -> None:
    """In a project like ours: two processes, and each test notes where it runs."""
    (tmp_path / "conftest.py").write_bytes(CONFTEST.read_bytes())
    notes = {}
    for folder in ("e2e", "integration", "unit"):
        (tmp_path / folder).mkdir()
        notes[folder] = tmp_path / f"{folder}.txt"
        for number in range(4):
            body = BODY.format(name=folder, where=str(notes[folder]))
            (tmp_path / folder / f"test_{folder}{number}.py").write_text(body)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--dist",
         "loadscope", str(tmp_path)],
        capture_output=True, text=True, timeout=120, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    used = {folder: path.read_text().split() for folder, path in notes.items()}
    assert {folder: len(workers) for folder, workers in used.items()} == dict.fromkeys(notes, 4)
    assert len({*used["e2e"], *used["integration"]}) == 1
    assert set(used["unit"]) - set(used["e2e"]), "the other process is not idle"
