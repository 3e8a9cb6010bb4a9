"""What a call of Mesos' operators' API must have, in its words (`src/master/validation.cpp`)."""

from __future__ import annotations

from pymesos_core.mesos.refusing import bad_request
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master

Call = mesos_master.Call
# The part that a call of a type must have; those that are not here need none.
_PARTS = {
    number: name.lower()
    for name, number in Call.Type.items()
    if name.lower() in Call.DESCRIPTOR.fields_by_name
}


def validate(call: Call) -> None:
    """Raises RefusalError for a call that lacks something."""
    problem = None
    if not call.HasField("type"):
        problem = "Expecting 'type' to be present"
    elif (part := _PARTS.get(call.type)) is not None and not call.HasField(part):
        problem = f"Expecting '{part}' to be present"
    if problem is not None:
        raise bad_request(f"Failed to validate master::Call: {problem}")
