"""What tests of addresses share."""

from __future__ import annotations

from typing import Any

from pymesos_proto.v1 import names_pb2, types_pb2

PEERS = "{% for each in addresses.db %}{{ each.address }}{% endfor %}"


USE = types_pb2.AddressesUse(name="db", role="prod", job="shop", task="db")


def named(task_id: str, instance: int, *ports: tuple[str, int], **keys: Any) -> Any:
    task = names_pb2.ServedTask(
        task_id=task_id, role="prod", job="shop", task="db", instance=instance
    )
    for name, port in ports:
        task.ports.add(name=name, port=port)
    for key, value in keys.items():
        setattr(task, key, value)
    return names_pb2.NamedTask(framework_id="f", ip="10.0.0.1", task=task)


def batch(*serves: Any, ended: str = "") -> names_pb2.NamesBatch:
    made = names_pb2.NamesBatch(epoch=1, serves=serves, whole=not ended)
    if ended:
        made.ended.add(framework_id="f", task_id=ended)
    return made
