"""Calls of Mesos' executor API as calls of ours.

What is refused, and how, is from `src/slave/validation.cpp` and `src/slave/http.cpp`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pymesos_core.mesos.refusing import RefusalError, bad_request
from pymesos_proto.mesos.v1 import executor_pb2 as mesos_executor
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb

Call = mesos_executor.Call
_UUID_BYTES = 16
_PARTS = {Call.SUBSCRIBE: "subscribe", Call.UPDATE: "update", Call.MESSAGE: "message"}
_STATES: Mapping[int, Any] = {
    number: pb.TaskState.Value(name)
    for name, number in mesos.TaskState.items()
    if name in pb.TaskState.keys()  # noqa: SIM118 - it is no mapping
}
_REASONS: Mapping[int, Any] = {
    number: pb.Reason.Value(name)
    for name, number in mesos.TaskStatus.Reason.items()
    if name in pb.Reason.keys()  # noqa: SIM118
}


def validate(call: Call) -> None:
    """Raises RefusalError for a call that lacks something, in Mesos' words."""
    if not call.HasField("type"):
        raise _invalid("Expecting 'type' to be present")
    if (part := _PARTS.get(call.type)) is not None and not call.HasField(part):
        raise _invalid(f"Expecting '{part}' to be present")
    updates = [call.update] if call.type == Call.UPDATE else call.subscribe.unacknowledged_updates
    for update in updates:
        _validate_status(call, update.status)


def _validate_status(call: Call, status: mesos.TaskStatus) -> None:
    if not status.HasField("uuid"):
        raise _invalid("Expecting 'uuid' to be present")
    # One of no known version, which its seventh byte has, is none.
    if len(status.uuid) != _UUID_BYTES or not 1 <= status.uuid[6] >> 4 <= 5:
        raise _invalid("Not a valid UUID")
    if status.HasField("executor_id") and status.executor_id.value != call.executor_id.value:
        raise _invalid(
            f"ExecutorID in Call: {call.executor_id.value} does not match ExecutorID in TaskStatus:"
            f" {status.executor_id.value[:255]}"
        )
    if status.source != mesos.TaskStatus.SOURCE_EXECUTOR or not status.HasField("source"):
        raise _invalid(
            f"Received Call from executor {call.executor_id.value} of framework"
            f" {call.framework_id.value} with invalid source, expecting 'SOURCE_EXECUTOR'"
        )
    if status.state == mesos.TASK_STAGING:
        raise _invalid(
            f"Received TASK_STAGING from executor {call.executor_id.value} of framework"
            f" {call.framework_id.value} which is not allowed"
        )


def _invalid(text: str) -> RefusalError:
    return bad_request(f"Failed to validate Executor::Call: {text}")


def subscribe_of(call: Call, token: str, known: Iterable[str]) -> executor_pb.ExecutorCall:
    """Return our SUBSCRIBE.

    Mesos' executors name the tasks whose first update is not acknowledged; ours name all that they
    have. `known` are those that the agent has heard of from this executor.
    """
    said = call.subscribe
    task_ids = [*known, *(task.task_id.value for task in said.unacknowledged_tasks)]
    subscribe = executor_pb.ExecutorCall.Subscribe(
        framework_id=call.framework_id.value,
        executor_id=call.executor_id.value,
        token=token,
        task_ids=dict.fromkeys(task_ids),
        unacknowledged=[status_of(update.status) for update in said.unacknowledged_updates],
    )
    return executor_pb.ExecutorCall(subscribe=subscribe)


def translate(call: Call) -> executor_pb.ExecutorCall | None:
    """Return what a call of a subscribed executor is here; None: it has no effect."""
    ours = executor_pb.ExecutorCall
    match call.type:
        case Call.UPDATE:
            return ours(update=ours.Update(status=status_of(call.update.status)))
        case Call.MESSAGE:
            return ours(message=ours.Message(data=call.message.data))
        case _:
            return None


def status_of(said: mesos.TaskStatus) -> pb.TaskStatus:
    """Return our status; of a reason that there is not here nothing is said."""
    out = pb.TaskStatus(
        task_id=said.task_id.value,
        state=_STATES[said.state],
        reason=_REASONS.get(said.reason, pb.REASON_UNSPECIFIED),
        source=pb.SOURCE_EXECUTOR,
        message=said.message,
        uuid=said.uuid,
        timestamp_s=said.timestamp,
        data=said.data,
        labels=[pb.Label(key=one.key, value=one.value) for one in said.labels.labels],
    )
    if not said.HasField("reason"):
        out.reason = pb.REASON_UNSPECIFIED
    if said.HasField("healthy"):
        out.healthy = said.healthy
    return out
