"""The resources that every agent knows by name, and what people write in their place."""

from __future__ import annotations

from pymesos_core.nearest import nearest

KNOWN_RESOURCES = ("cpus", "mem", "disk", "gpus", "ports")
_OTHER_WORDS = {
    "core": "cpus",
    "cores": "cpus",
    "vcpu": "cpus",
    "vcpus": "cpus",
    "memory": "mem",
    "ram": "mem",
    "storage": "disk",
}
_UNITS = ("_mib", "_mb", "_gib", "_gb", "_milli", "_m")


def meant_resource(name: str) -> str | None:
    """Return the resource that every agent knows, where `name` is a slip for it; else None.

    Other names are of resources that agents have by their own flags.
    """
    if name in KNOWN_RESOURCES:
        return None
    lowered = name.lower()
    for unit in _UNITS:
        lowered = lowered.removesuffix(unit)
    return _OTHER_WORDS.get(lowered) or nearest(lowered, KNOWN_RESOURCES, 0.8)
