"""What a call of Mesos' scheduler API must have, in its words (`src/master/validation.cpp`)."""

from __future__ import annotations

from pymesos_core.mesos.refusing import invalid_call
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler

Call = mesos_scheduler.Call
_UUID_BYTES = 16
# The part that a call of a type must have; those that are not here need none.
_PARTS = {
    number: name.lower()
    for name, number in Call.Type.items()
    if name not in ("UNKNOWN", "TEARDOWN", "REVIVE", "SUPPRESS")
}


def validate(call: Call) -> None:
    """Raises RefusalError for a call that lacks something."""
    if not call.HasField("type"):
        raise invalid_call("Expecting 'type' to be present")
    if call.type == Call.SUBSCRIBE:
        _need(call, "subscribe")
        if call.framework_id.value != call.subscribe.framework_info.id.value:
            raise invalid_call("'framework_id' differs from 'subscribe.framework_info.id'")
        return
    _need(call, "framework_id")
    if (part := _PARTS.get(call.type)) is not None:
        _need(call, part)
    if call.type == Call.ACKNOWLEDGE:
        _check_uuid(call.acknowledge.uuid)
    if call.type == Call.ACKNOWLEDGE_OPERATION_STATUS:
        _check_uuid(call.acknowledge_operation_status.uuid)
    if (
        call.type == Call.UPDATE_FRAMEWORK
        and call.framework_id.value != call.update_framework.framework_info.id.value
    ):
        raise invalid_call("'framework_id' differs from 'update_framework.framework_info.id'")


def _need(call: Call, part: str) -> None:
    if not call.HasField(part):
        raise invalid_call(f"Expecting '{part}' to be present")


def _check_uuid(uuid: bytes) -> None:
    """Raises RefusalError for one of no known version, which its seventh byte has."""
    if len(uuid) != _UUID_BYTES or not 1 <= uuid[6] >> 4 <= 5:
        raise invalid_call("Not a valid UUID")
