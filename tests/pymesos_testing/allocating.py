"""An allocator, and agents of it."""

from __future__ import annotations

from pymesos_core.resources import parse
from pymesos_master.allocator import DrfAllocator
from pymesos_master.allocator.interface import Quota


def allocator(agents: int = 1, frameworks: int = 1, text: str = "cpus:4;mem:400") -> DrfAllocator:
    made = DrfAllocator()
    for number in range(frameworks):
        made.add_framework(f"f{number}", ("*",), active=True)
    for number in range(agents):
        made.add_agent(f"a{number}", parse(text), {})
    return made


def cut_by_a_limit(refuse_s: float) -> DrfAllocator:
    """An allocator whose framework refused what the limit of its role had left of an agent."""
    drf = DrfAllocator()
    drf.set_quota("eng", Quota(limits={"cpus": 4000}))
    drf.add_framework("f", ("eng",), active=True)
    used = {("f", "eng"): parse("cpus:3;mem:100")}
    drf.add_agent("full", parse("cpus:3;mem:100"), used)
    drf.add_agent("free", parse("cpus:8;mem:400"), {})
    (grant,) = drf.allocate(0)
    assert grant.resources == parse("cpus:1;mem:400")
    drf.answered("f", "free")
    drf.recover("f", "free", "eng", grant.resources, now_s=0, refuse_s=refuse_s)
    return drf
