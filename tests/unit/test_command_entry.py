"""Ctrl-C before a command has begun: nothing is said, and nothing goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SCRIPTS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
    "scripts"
]
INTERRUPT = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"


def run_python(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=60
    )


def enter(folder: Path, *, before: str = "") -> subprocess.CompletedProcess[str]:
    return run_python(f"{before}\nfrom pymesos_core.entry import enter; enter('it')", folder)


def test_ctrl_c_while_a_command_is_imported_ends_it_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(f"{INTERRUPT}def main(): print('runs')\n")
    done = enter(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_once_it_runs_ctrl_c_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(
        f"def main():\n try:\n  exec({INTERRUPT!r})\n except KeyboardInterrupt:\n  print('mine')\n"
    )
    assert enter(tmp_path).stdout == "mine\n"


def test_a_command_that_was_begun_deaf_stays_so(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(f"{INTERRUPT}def main(): print('runs')\n")
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    assert enter(tmp_path, before=deaf).stdout == "runs\n"


@pytest.mark.parametrize("script", sorted(set(SCRIPTS) - {"pymesos-simulate"}))
def test_what_a_script_imports_before_is_next_to_nothing(script: str, tmp_path: Path) -> None:
    module, _, function = SCRIPTS[script].partition(":")
    said = run_python(
        f"import sys; from {module} import {function}\n"
        "print(*[m for m in sys.modules if m.startswith('pymesos') or m == 'click'])",
        tmp_path,
    )
    package = module.partition(".")[0]
    assert set(said.stdout.split()) == {
        *(package, module),
        *("pymesos_core", "pymesos_core.entry"),
    }


def test_garbage_is_looked_for_once_it_runs_and_not_in_what_was_imported(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(
        "import gc\nthen = gc.isenabled()\n"
        "def main(): print(then, gc.isenabled(), gc.get_freeze_count() > 1000)\n"
    )
    assert enter(tmp_path).stdout == "False True True\n"


@pytest.mark.parametrize(
    ("module", "others"),
    [("pymesos_agent.main", {"aiohttp", "docker", "requests"}), ("pymesos_cli.main", {"grpc"})],
)
def test_what_is_not_always_needed_is_not_loaded_at_the_start(
    module: str, others: set[str], tmp_path: Path
) -> None:
    said = run_python(f"import sys, {module}\nprint(*sys.modules)", tmp_path)
    assert module in said.stdout and others.isdisjoint(said.stdout.split())
