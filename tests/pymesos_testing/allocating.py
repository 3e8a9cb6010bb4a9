"""An allocator, and agents of it."""

from __future__ import annotations

from pymesos_core.resources import parse
from pymesos_master.allocator import DrfAllocator


def allocator(agents: int = 1, frameworks: int = 1, text: str = "cpus:4;mem:400") -> DrfAllocator:
    made = DrfAllocator()
    for number in range(frameworks):
        made.add_framework(f"f{number}", ("*",), active=True)
    for number in range(agents):
        made.add_agent(f"a{number}", parse(text), {})
    return made
