"""The agent's compiled programs, as a build compiles them."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _of_the_build(name: str) -> Sequence[str]:
    """Return a constant of deploy/hatch_build.py, which only a build can import."""
    tree = ast.parse((ROOT / "deploy/hatch_build.py").read_text())
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    there = {ast.unparse(node.targets[0]): ast.unparse(node.value) for node in assigned}
    found = eval(there[name], {"HARDENED": eval(there["HARDENED"])})
    assert isinstance(found, tuple)
    return found


def compiled(source: Path, program: Path, link: str = "") -> str:
    """Compile a program, of which no warning is left; return its path.

    `link` says how it is linked; without one it is as a build tries first.
    """
    how = link or _of_the_build("LINKS")[0]
    flags = [*_of_the_build("FLAGS"), how, "-Werror"]
    subprocess.run(["cc", *flags, "-o", program, source], check=True)
    return str(program)


def assert_hardened(source: Path, folder: Path) -> None:
    """Fail unless a mistake in a program is to end it, and no more, however it is linked."""
    for link in _of_the_build("LINKS"):
        program = compiled(source, folder / f"linked{link}", link)
        said = subprocess.check_output(["readelf", "-hlds", "--dyn-syms", "-W", program], text=True)
        assert "DYN (Position-Independent" in said
        assert "GNU_RELRO" in said
        assert re.search(r"FLAGS(_1)?\).*NOW", said)
    # With the C library in it a program has its names no more: the last one is without.
    assert "__stack_chk_fail" in said
    assert re.search(r"__\w+_chk@", said.replace("__stack_chk_fail", "")), "checked calls"
