"""Resources as Mesos writes them in JSON."""

from __future__ import annotations

from typing import Any

VOLUME = {"persistence": {"id": "v"}, "volume": {"container_path": "d", "mode": "RW"}}


def scalar(name: str, value: float, **said: Any) -> dict[str, Any]:
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}} | said
