"""The agent's compiled programs, as a build compiles them."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def flags_of_the_build() -> Sequence[str]:
    """Return the compiler flags of deploy/hatch_build.py, which only a build can import."""
    tree = ast.parse((ROOT / "deploy/hatch_build.py").read_text())
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    there = {ast.unparse(node.targets[0]): ast.unparse(node.value) for node in assigned}
    found = eval(there["FLAGS"], {"HARDENED": eval(there["HARDENED"])})
    assert isinstance(found, tuple)
    return found


def compiled(source: Path, program: Path) -> str:
    """Compile a program, of which no warning is left; return its path."""
    subprocess.run(["cc", *flags_of_the_build(), "-Werror", "-o", program, source], check=True)
    return str(program)


def assert_hardened(program: str) -> None:
    """Fail unless a mistake in a program is to end it, and no more."""
    said = subprocess.check_output(["readelf", "-hlds", "--dyn-syms", "-W", program], text=True)
    assert "DYN (Position-Independent" in said
    assert "GNU_RELRO" in said
    assert re.search(r"FLAGS(_1)?\).*NOW", said)
    assert "__stack_chk_fail" in said
    assert re.search(r"__\w+_chk@", said.replace("__stack_chk_fail", "")), "checked calls"
