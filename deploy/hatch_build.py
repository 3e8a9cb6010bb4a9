"""Compiles the agent's two small programs as pymesos is built or installed, where there is a C
compiler: its spawner, and the mounter of the `oci` runtime.

Without one everything works as well, and an agent says that its containers start by forks of its
supervisor. CC names another compiler; `CC=false` builds what runs on any machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Program → source, both below `agent`.
PROGRAMS = {
    "pymesos_agent/supervision/pymesos-spawner": "pymesos_agent/supervision/spawner.c",
    "pymesos_agent/runtimes/oci/pymesos-mounter": "pymesos_agent/runtimes/oci/mounter.c",
}
# They run with the agent's rights on texts of tasks, so a mistake in one is to end it, and no more.
HARDENED = (
    "-fstack-protector-strong",
    *("-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"),  # some compilers define it by themselves
    *("-fPIE", "-Wl,-z,relro,-z,now"),
)
FLAGS = ("-O2", "-Wall", "-Wextra", "-s", *HARDENED)
# With the C library in it a program has a few mappings instead of twenty: a fork of the spawner, up
# to the task's program, takes a seventh less CPU. Not every system has a library to link so.
LINKS = ("-static-pie", "-pie")


class Programs(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the programs to a wheel, or puts them beside their sources for an editable
    installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See BuildHookInterface."""
        if self.target_name != "wheel" or not sys.platform.startswith("linux"):
            return
        agent = Path(self.root) / "agent"
        if version == "editable":
            for program, source in PROGRAMS.items():
                compile_program(agent / source, agent / program)
            return
        self.folder = tempfile.TemporaryDirectory(prefix="pymesos-build-")
        for in_package, source in PROGRAMS.items():
            program = Path(self.folder.name) / Path(in_package).name
            if compile_program(agent / source, program):
                platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
                build_data["pure_python"] = False
                build_data["tag"] = f"py3-none-{platform}"
                build_data["force_include"][str(program)] = in_package


def compile_program(source: Path, program: Path) -> bool:
    """Compile one; whether it could be."""
    made = program.with_name(f".{program.name}.{os.getpid()}")
    problem = ""
    for link in LINKS:
        try:
            problem = compile_as(link, source, made)
            if not problem:
                made.replace(program)  # one that runs is not written over
                return True
        except OSError as error:
            problem = str(error)
        made.unlink(missing_ok=True)
    print(f"no compiled {program.name}: {problem}", file=sys.stderr)  # noqa: T201
    return False


def compile_as(link: str, source: Path, made: Path) -> str:
    """Compile a program that is linked so: what the compiler has against it, or nothing.

    Raises OSError.
    """
    command = [os.environ.get("CC", "cc"), *FLAGS, link, "-o", made, source]
    compiled = subprocess.run(command, capture_output=True, check=False)
    return compiled.stderr.decode("utf-8", "replace") if compiled.returncode else ""
