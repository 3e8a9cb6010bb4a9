"""The checkpoint's records, read back and checked: what contradicts itself is no record.

A record that is damaged, or that no agent can have written, would stop the agent when it acts on
it, at each of its starts; or its master would refuse all that the agent has to say.
"""

from __future__ import annotations

import math

from google.protobuf.message import DecodeError, Message

from pymesos_agent.core.context import Owner
from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.core.sandboxes import SANDBOX
from pymesos_agent.core.tasks.task import TASK, Task
from pymesos_core import contract
from pymesos_core.ids import id_problem, role_problem
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import from_proto
from pymesos_core.states import FROM_AGENTS, is_terminal, state_name
from pymesos_core.store import Records
from pymesos_proto.v1 import checkpoint_pb2 as checkpoint_pb
from pymesos_proto.v1 import types_pb2 as pb

_OF_EXECUTORS = (pb.TASK_STAGING, pb.TASK_RUNNING, pb.TASK_FAILED)  # see Executor.change
PID_MAX = 4_194_304  # of Linux (PID_MAX_LIMIT)
UID_MAX = 2**31 - 1


class RecordError(Exception):
    """A record cannot be used: the message says why; the group and the user are those it tells
    of."""

    def __init__(self, message: str, group_id: str = "", own_uid: int = 0) -> None:
        super().__init__(message)
        self.group_id = group_id
        self.own_uid = own_uid


def read_owner(key: str, value: bytes) -> Owner:
    """The task or executor whose record has this key. Raises RecordError."""
    record = checkpoint_pb.TaskCheckpoint()
    try:
        return _read_owner(record, key, value)
    except RecordError as error:  # of a damaged record its beginning is there
        raise RecordError(str(error), record.group_id, record.own_uid) from error


def _read_owner(record: checkpoint_pb.TaskCheckpoint, key: str, value: bytes) -> Owner:
    _parse(record, value)
    _check_ids(key, record.container_id, record.framework_id, record.task_info.task_id)
    _check_optional_ids(record.group_id, record.executor_container_id)
    if problem := role_problem(record.role or "*"):
        raise RecordError(problem)
    if not 0 <= record.pid <= PID_MAX:
        raise RecordError(f"its process is {record.pid}, which is no pid")
    _check_uid(record.own_uid)
    _check_resources(record.task_info)
    if record.killed_for and not record.HasField("kill"):
        raise RecordError(f"it is killed for {record.killed_for!r}, and no kill is under way")
    if record.HasField("executor"):
        if problem := id_problem(record.executor.executor_id):
            raise RecordError(f"the executor's id: {problem}")
        if record.state not in _OF_EXECUTORS:
            raise RecordError(f"it is {state_name(record.state)}, which no executor is")
        _check_resources(record.executor)
        return Executor.from_record(record)
    _check_updates(record)
    return Task.from_record(record)


def read_sandbox(key: str, value: bytes) -> checkpoint_pb.SandboxRecord:
    """The record of the files that an ended task or executor has left. Raises RecordError."""
    record = checkpoint_pb.SandboxRecord()
    _parse(record, value)
    _check_ids(key, record.container_id, record.framework_id, record.task_id)
    _check_optional_ids(record.executor_container_id)
    _check_uid(record.own_uid)
    for at_s in (record.ended_at_s, record.ended_mono_s):
        if not math.isfinite(at_s):
            raise RecordError(f"it ended at {at_s}, which is no time")
    if record.HasField("task"):
        task = record.task
        told = (task.framework_id, task.task_info.task_id)
        if told != (record.framework_id, record.task_id):
            raise RecordError(f"it tells of another task, {told[1]!r}")
        if not is_terminal(task.state):
            raise RecordError(f"it has ended, and is {state_name(task.state)}")
        _check_resources(task.task_info)
    return record


def read_next_user(value: bytes) -> int:
    """The user that is given next; 0 of a damaged record, which the next launch replaces."""
    try:
        return checkpoint_pb.UsersRecord.FromString(value).next
    except DecodeError:
        return 0


def uids_of(records: Records) -> set[int]:
    """The users that a checkpoint's tasks, executors and sandboxes have, and 0."""
    held = {0}
    for (kind, key), value in records.items():
        try:
            if kind == TASK and (container := read_owner(key, value).container) is not None:
                held.add(container.own_uid)
            elif kind == SANDBOX:
                held.add(read_sandbox(key, value).own_uid)
        except RecordError as error:
            held.add(error.own_uid)
    return held


def _parse(record: Message, value: bytes) -> None:
    try:
        record.ParseFromString(value)
    except DecodeError as error:
        raise RecordError(f"it cannot be decoded: {error}") from error
    if problem := contract.problem(record):
        raise RecordError(problem)


def _check_ids(key: str, container_id: str, framework_id: str, task_id: str) -> None:
    if container_id != key:
        raise RecordError(f"it is of the container {container_id!r}")
    for text in (container_id, framework_id, task_id):
        if problem := id_problem(text):
            raise RecordError(f"an id of it: {problem}")


def _check_optional_ids(*texts: str) -> None:
    for text in texts:
        if text and (problem := id_problem(text)):
            raise RecordError(f"an id of it: {problem}")


def _check_uid(uid: int) -> None:
    if uid > UID_MAX:
        raise RecordError(f"its user is {uid}, which no agent gives")


def _check_resources(info: pb.TaskInfo | pb.ExecutorInfo) -> None:
    try:
        from_proto(info.resources)
    except ResourceError as error:
        raise RecordError(str(error)) from error


def _check_updates(record: checkpoint_pb.TaskCheckpoint) -> None:
    """A task's state is what its latest update says, and its end is the last thing said of it."""
    state, waiting = record.state, record.unacknowledged
    if state not in FROM_AGENTS:
        raise RecordError(f"it is {state_name(state)}, which is not for an agent to say")
    acknowledged = [record.acknowledged] if record.HasField("acknowledged") else []
    said = [*acknowledged, *waiting]
    for status in said:
        if status.state not in FROM_AGENTS:
            raise RecordError(f"an update of it says {state_name(status.state)}")
        if status.task_id != record.task_info.task_id or not status.uuid:
            raise RecordError("an update of it is another task's, or has no uuid")
    if said and said[-1].state != state:
        latest = state_name(said[-1].state)
        raise RecordError(f"it is {state_name(state)}, and its latest update says {latest}")
    if any(is_terminal(status.state) for status in said[:-1]):
        raise RecordError("an update of it comes after its end")
    if is_terminal(state) and not waiting:
        raise RecordError(f"it is {state_name(state)}, and no update is left to tell that")
    in_executor = bool(record.executor_container_id)
    if state == pb.TASK_KILLING and not record.HasField("kill") and not in_executor:
        raise RecordError("it is TASK_KILLING, and no kill is under way")
