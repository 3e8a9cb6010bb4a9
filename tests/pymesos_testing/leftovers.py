"""Removing what a run of the tests that was killed has left on this machine."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

# Container ids of `Rig` begin with the process of the tests.
OWNER = re.compile(r"\b(?P<pid>[0-9]+)-[0-9]{19}-[0-9]+\b")


def remove_networks_of_dead_runs() -> None:
    """Delete the network namespaces and the port mappings of tests that no longer run."""
    if not shutil.which("ip") or not shutil.which("iptables"):
        return
    for line in _said("ip", "netns", "list"):
        if _is_of_dead_run(line):
            subprocess.run(["ip", "netns", "delete", line.split()[0]], check=True)
    rules = [shlex.split(line) for line in _said("iptables", "-t", "nat", "-S")]
    chains = set()
    for rule in rules:
        if rule[0] == "-A" and _is_of_dead_run(" ".join(rule)):
            _nat("-D", *rule[1:])
            chains.add(rule[-1])
    own = [rule[1] for rule in rules if rule[0] == "-N" and rule[1] in chains]
    for chain in own:
        _nat("-F", chain)
    for chain in own:
        _nat("-X", chain)


def _is_of_dead_run(text: str) -> bool:
    found = OWNER.search(text)
    return found is not None and not Path(f"/proc/{found['pid']}").exists()


def _nat(*arguments: str) -> None:
    subprocess.run(["iptables", "-w", "-t", "nat", *arguments], check=True)


def _said(*argv: str) -> list[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
