"""Examples that are called in another way than they expect say so: authors copy them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "frameworks" / "examples"


def said(example: str, *arguments: str) -> str:
    """What an example that ends at once says on its stderr."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / example, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PATH": "/nowhere"},
    )
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr, done.stderr
    return done.stderr


@pytest.mark.parametrize("arguments", [(), ("--help",), ("five", "f"), ("-1", "f")])
def test_a_database_without_a_port(arguments: tuple[str, ...]) -> None:
    assert said("database.py", *arguments) == "usage: database.py PORT FILE\n"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    told = said("durable_framework.py", "127.0.0.1:1", str(folder))
    assert told == f"durable: cannot open {folder}/state.sqlite: No such file or directory\n"


def test_a_demo_where_nothing_is_installed() -> None:
    assert said("demo.py").startswith("demo: pymesos-cli is not on PATH: `make demo`, or")
