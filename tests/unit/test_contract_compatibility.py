"""Wire messages stay readable between versions: what was published keeps its number and its type.

`held_contract.json` is the contract of the last release. New fields are free; a change of what is
held there breaks masters, agents and frameworks that are upgraded one after the other. To hold what
was added: `python tests/unit/test_contract_compatibility.py`.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1 import types_pb2 as pb

HELD = Path(__file__).with_name("held_contract.json")
MODULES = (
    "types", "scheduler", "agent", "operator", "jobs", "sandbox", "registry", "checkpoint",
    "enrolment", "backup",
)  # fmt: skip


def contract() -> dict[str, list[Any]]:
    """Every field, enum value and call, with what must not change of it."""
    out: dict[str, list[Any]] = {}

    def add_message(message: Any) -> None:
        for field in message.fields:
            kind = field.message_type.full_name if field.message_type else ""
            out[field.full_name] = [field.number, field.type, field.is_repeated, kind]
        for inner in message.nested_types:
            add_message(inner)
        for enum in message.enum_types:
            add_enum(enum)

    def add_enum(enum: Any) -> None:
        for value in enum.values:
            out[f"{enum.full_name}.{value.name}"] = [value.number]

    for name in MODULES:
        file = importlib.import_module(f"pymesos_proto.v1.{name}_pb2").DESCRIPTOR
        for message in file.message_types_by_name.values():
            add_message(message)
        for enum in file.enum_types_by_name.values():
            add_enum(enum)
        for service in file.services_by_name.values():
            for call in service.methods:
                streams = [call.client_streaming, call.server_streaming]
                types = [call.input_type.full_name, call.output_type.full_name]
                out[call.full_name] = [*types, *streams]
    return out


def test_what_was_published_is_still_there() -> None:
    held = json.loads(HELD.read_text("utf-8"))
    current = contract()
    changed = {name: (was, current.get(name)) for name, was in held.items()
               if current.get(name) != was}  # fmt: skip
    assert not changed


def test_what_a_newer_version_wrote_survives_an_older_one() -> None:
    """A field that this version does not know goes through it untouched."""
    newer = pb.TaskInfo(task_id="t").SerializeToString() + b"\xfa\x7f\x03new"  # field 2047
    through = pb.TaskInfo()
    through.CopyFrom(pb.TaskInfo.FromString(newer))
    assert b"\xfa\x7f\x03new" in through.SerializeToString()
    record = registry_pb.FrameworkRecord.FromString(b"\xfa\x7f\x03new")
    assert record.SerializeToString() == b"\xfa\x7f\x03new"


if __name__ == "__main__":
    HELD.write_text(json.dumps(contract(), indent=0, sort_keys=True) + "\n", "utf-8")
