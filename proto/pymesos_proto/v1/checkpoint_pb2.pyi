from pymesos_proto.v1 import agent_pb2 as _agent_pb2
from pymesos_proto.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentCheckpoint(_message.Message):
    __slots__ = ("agent_id", "epoch_seen", "reserved")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_SEEN_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    epoch_seen: int
    reserved: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    def __init__(self, agent_id: _Optional[str] = ..., epoch_seen: _Optional[int] = ..., reserved: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ...) -> None: ...

class UsersRecord(_message.Message):
    __slots__ = ("next",)
    NEXT_FIELD_NUMBER: _ClassVar[int]
    next: int
    def __init__(self, next: _Optional[int] = ...) -> None: ...

class TaskCheckpoint(_message.Message):
    __slots__ = ("container_id", "framework_id", "role", "task_info", "state", "runtime", "user", "unacknowledged", "kill", "pid", "killing_state", "killed_for", "healthy", "ready", "started_at_s", "group_id", "executor_container_id", "executor", "executor_token", "updates_seen", "launched_at_s", "acknowledged", "own_uid", "ends_with_agent")
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TASK_INFO_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    KILL_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    KILLING_STATE_FIELD_NUMBER: _ClassVar[int]
    KILLED_FOR_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_S_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_TOKEN_FIELD_NUMBER: _ClassVar[int]
    UPDATES_SEEN_FIELD_NUMBER: _ClassVar[int]
    LAUNCHED_AT_S_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    OWN_UID_FIELD_NUMBER: _ClassVar[int]
    ENDS_WITH_AGENT_FIELD_NUMBER: _ClassVar[int]
    container_id: str
    framework_id: str
    role: str
    task_info: _types_pb2.TaskInfo
    state: _types_pb2.TaskState
    runtime: str
    user: str
    unacknowledged: _containers.RepeatedCompositeFieldContainer[_types_pb2.TaskStatus]
    kill: _types_pb2.KillPolicy
    pid: int
    killing_state: bool
    killed_for: str
    healthy: bool
    ready: bool
    started_at_s: float
    group_id: str
    executor_container_id: str
    executor: _types_pb2.ExecutorInfo
    executor_token: str
    updates_seen: _containers.RepeatedScalarFieldContainer[bytes]
    launched_at_s: float
    acknowledged: _types_pb2.TaskStatus
    own_uid: int
    ends_with_agent: bool
    def __init__(self, container_id: _Optional[str] = ..., framework_id: _Optional[str] = ..., role: _Optional[str] = ..., task_info: _Optional[_Union[_types_pb2.TaskInfo, _Mapping]] = ..., state: _Optional[_Union[_types_pb2.TaskState, str]] = ..., runtime: _Optional[str] = ..., user: _Optional[str] = ..., unacknowledged: _Optional[_Iterable[_Union[_types_pb2.TaskStatus, _Mapping]]] = ..., kill: _Optional[_Union[_types_pb2.KillPolicy, _Mapping]] = ..., pid: _Optional[int] = ..., killing_state: _Optional[bool] = ..., killed_for: _Optional[str] = ..., healthy: _Optional[bool] = ..., ready: _Optional[bool] = ..., started_at_s: _Optional[float] = ..., group_id: _Optional[str] = ..., executor_container_id: _Optional[str] = ..., executor: _Optional[_Union[_types_pb2.ExecutorInfo, _Mapping]] = ..., executor_token: _Optional[str] = ..., updates_seen: _Optional[_Iterable[bytes]] = ..., launched_at_s: _Optional[float] = ..., acknowledged: _Optional[_Union[_types_pb2.TaskStatus, _Mapping]] = ..., own_uid: _Optional[int] = ..., ends_with_agent: _Optional[bool] = ...) -> None: ...

class SandboxRecord(_message.Message):
    __slots__ = ("container_id", "framework_id", "task_id", "ended_at_s", "executor_container_id", "task", "own_uid", "number", "ended_mono_s", "boot_id")
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_S_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    OWN_UID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ENDED_MONO_S_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    container_id: str
    framework_id: str
    task_id: str
    ended_at_s: float
    executor_container_id: str
    task: _agent_pb2.TaskRecord
    own_uid: int
    number: int
    ended_mono_s: float
    boot_id: str
    def __init__(self, container_id: _Optional[str] = ..., framework_id: _Optional[str] = ..., task_id: _Optional[str] = ..., ended_at_s: _Optional[float] = ..., executor_container_id: _Optional[str] = ..., task: _Optional[_Union[_agent_pb2.TaskRecord, _Mapping]] = ..., own_uid: _Optional[int] = ..., number: _Optional[int] = ..., ended_mono_s: _Optional[float] = ..., boot_id: _Optional[str] = ...) -> None: ...
