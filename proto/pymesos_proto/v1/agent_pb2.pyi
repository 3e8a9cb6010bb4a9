from pymesos_proto.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentBatch(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: _containers.RepeatedCompositeFieldContainer[AgentMessage]
    def __init__(self, message: _Optional[_Iterable[_Union[AgentMessage, _Mapping]]] = ...) -> None: ...

class TaskRecord(_message.Message):
    __slots__ = ("framework_id", "task_info", "state", "unacknowledged", "role", "launched_at_s", "started_at_s", "status")
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_INFO_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    LAUNCHED_AT_S_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_S_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    framework_id: str
    task_info: _types_pb2.TaskInfo
    state: _types_pb2.TaskState
    unacknowledged: _containers.RepeatedCompositeFieldContainer[_types_pb2.TaskStatus]
    role: str
    launched_at_s: float
    started_at_s: float
    status: _types_pb2.TaskStatus
    def __init__(self, framework_id: _Optional[str] = ..., task_info: _Optional[_Union[_types_pb2.TaskInfo, _Mapping]] = ..., state: _Optional[_Union[_types_pb2.TaskState, str]] = ..., unacknowledged: _Optional[_Iterable[_Union[_types_pb2.TaskStatus, _Mapping]]] = ..., role: _Optional[str] = ..., launched_at_s: _Optional[float] = ..., started_at_s: _Optional[float] = ..., status: _Optional[_Union[_types_pb2.TaskStatus, _Mapping]] = ...) -> None: ...

class EndedTasks(_message.Message):
    __slots__ = ("tasks",)
    TASKS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[TaskRecord]
    def __init__(self, tasks: _Optional[_Iterable[_Union[TaskRecord, _Mapping]]] = ...) -> None: ...

class Register(_message.Message):
    __slots__ = ("agent_info", "incarnation_id", "tasks", "more_tasks", "epoch_seen", "frameworks", "boot_id", "mono_s", "reserved", "leaving", "executors")
    AGENT_INFO_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_ID_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    MORE_TASKS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_SEEN_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORKS_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    MONO_S_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    EXECUTORS_FIELD_NUMBER: _ClassVar[int]
    agent_info: _types_pb2.AgentInfo
    incarnation_id: str
    tasks: _containers.RepeatedCompositeFieldContainer[TaskRecord]
    more_tasks: bool
    epoch_seen: int
    frameworks: _containers.RepeatedCompositeFieldContainer[_types_pb2.FrameworkInfo]
    boot_id: str
    mono_s: float
    reserved: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    leaving: bool
    executors: _containers.RepeatedCompositeFieldContainer[HeldExecutor]
    def __init__(self, agent_info: _Optional[_Union[_types_pb2.AgentInfo, _Mapping]] = ..., incarnation_id: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[TaskRecord, _Mapping]]] = ..., more_tasks: _Optional[bool] = ..., epoch_seen: _Optional[int] = ..., frameworks: _Optional[_Iterable[_Union[_types_pb2.FrameworkInfo, _Mapping]]] = ..., boot_id: _Optional[str] = ..., mono_s: _Optional[float] = ..., reserved: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., leaving: _Optional[bool] = ..., executors: _Optional[_Iterable[_Union[HeldExecutor, _Mapping]]] = ...) -> None: ...

class HeldExecutor(_message.Message):
    __slots__ = ("framework_id", "executor_id", "role", "name", "resources", "started_at_s")
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_S_FIELD_NUMBER: _ClassVar[int]
    framework_id: str
    executor_id: str
    role: str
    name: str
    resources: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    started_at_s: float
    def __init__(self, framework_id: _Optional[str] = ..., executor_id: _Optional[str] = ..., role: _Optional[str] = ..., name: _Optional[str] = ..., resources: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., started_at_s: _Optional[float] = ...) -> None: ...

class MoreTasks(_message.Message):
    __slots__ = ("tasks", "more_tasks", "executors")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    MORE_TASKS_FIELD_NUMBER: _ClassVar[int]
    EXECUTORS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[TaskRecord]
    more_tasks: bool
    executors: _containers.RepeatedCompositeFieldContainer[HeldExecutor]
    def __init__(self, tasks: _Optional[_Iterable[_Union[TaskRecord, _Mapping]]] = ..., more_tasks: _Optional[bool] = ..., executors: _Optional[_Iterable[_Union[HeldExecutor, _Mapping]]] = ...) -> None: ...

class StatusUpdate(_message.Message):
    __slots__ = ("framework_id", "status", "latest_state")
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LATEST_STATE_FIELD_NUMBER: _ClassVar[int]
    framework_id: str
    status: _types_pb2.TaskStatus
    latest_state: _types_pb2.TaskState
    def __init__(self, framework_id: _Optional[str] = ..., status: _Optional[_Union[_types_pb2.TaskStatus, _Mapping]] = ..., latest_state: _Optional[_Union[_types_pb2.TaskState, str]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("cpus_used", "mem_used_mib", "disk_used_mib", "containers", "tasks", "disk_total_mib", "renew_by_s")
    CPUS_USED_FIELD_NUMBER: _ClassVar[int]
    MEM_USED_MIB_FIELD_NUMBER: _ClassVar[int]
    DISK_USED_MIB_FIELD_NUMBER: _ClassVar[int]
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    DISK_TOTAL_MIB_FIELD_NUMBER: _ClassVar[int]
    RENEW_BY_S_FIELD_NUMBER: _ClassVar[int]
    cpus_used: float
    mem_used_mib: float
    disk_used_mib: float
    containers: int
    tasks: _containers.RepeatedCompositeFieldContainer[_types_pb2.TaskUse]
    disk_total_mib: float
    renew_by_s: float
    def __init__(self, cpus_used: _Optional[float] = ..., mem_used_mib: _Optional[float] = ..., disk_used_mib: _Optional[float] = ..., containers: _Optional[int] = ..., tasks: _Optional[_Iterable[_Union[_types_pb2.TaskUse, _Mapping]]] = ..., disk_total_mib: _Optional[float] = ..., renew_by_s: _Optional[float] = ...) -> None: ...

class ExecutorMessage(_message.Message):
    __slots__ = ("framework_id", "executor_id", "data")
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    framework_id: str
    executor_id: str
    data: bytes
    def __init__(self, framework_id: _Optional[str] = ..., executor_id: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class AgentMessage(_message.Message):
    __slots__ = ("register", "more_tasks", "pong", "update", "usage", "executor_message", "executor_exited", "ended_tasks", "leaving", "secrets_wanted", "slack")
    class Pong(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Leaving(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class ExecutorExited(_message.Message):
        __slots__ = ("framework_id", "executor_id", "status", "held", "quiet")
        FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
        EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
        STATUS_FIELD_NUMBER: _ClassVar[int]
        HELD_FIELD_NUMBER: _ClassVar[int]
        QUIET_FIELD_NUMBER: _ClassVar[int]
        framework_id: str
        executor_id: str
        status: int
        held: bool
        quiet: bool
        def __init__(self, framework_id: _Optional[str] = ..., executor_id: _Optional[str] = ..., status: _Optional[int] = ..., held: _Optional[bool] = ..., quiet: _Optional[bool] = ...) -> None: ...
    class SecretsWanted(_message.Message):
        __slots__ = ("framework_id", "task_id")
        FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
        TASK_ID_FIELD_NUMBER: _ClassVar[int]
        framework_id: str
        task_id: str
        def __init__(self, framework_id: _Optional[str] = ..., task_id: _Optional[str] = ...) -> None: ...
    class Slack(_message.Message):
        __slots__ = ("revocable",)
        REVOCABLE_FIELD_NUMBER: _ClassVar[int]
        revocable: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
        def __init__(self, revocable: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ...) -> None: ...
    REGISTER_FIELD_NUMBER: _ClassVar[int]
    MORE_TASKS_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_EXITED_FIELD_NUMBER: _ClassVar[int]
    ENDED_TASKS_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    SECRETS_WANTED_FIELD_NUMBER: _ClassVar[int]
    SLACK_FIELD_NUMBER: _ClassVar[int]
    register: Register
    more_tasks: MoreTasks
    pong: AgentMessage.Pong
    update: StatusUpdate
    usage: Usage
    executor_message: ExecutorMessage
    executor_exited: AgentMessage.ExecutorExited
    ended_tasks: EndedTasks
    leaving: AgentMessage.Leaving
    secrets_wanted: AgentMessage.SecretsWanted
    slack: AgentMessage.Slack
    def __init__(self, register: _Optional[_Union[Register, _Mapping]] = ..., more_tasks: _Optional[_Union[MoreTasks, _Mapping]] = ..., pong: _Optional[_Union[AgentMessage.Pong, _Mapping]] = ..., update: _Optional[_Union[StatusUpdate, _Mapping]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., executor_message: _Optional[_Union[ExecutorMessage, _Mapping]] = ..., executor_exited: _Optional[_Union[AgentMessage.ExecutorExited, _Mapping]] = ..., ended_tasks: _Optional[_Union[EndedTasks, _Mapping]] = ..., leaving: _Optional[_Union[AgentMessage.Leaving, _Mapping]] = ..., secrets_wanted: _Optional[_Union[AgentMessage.SecretsWanted, _Mapping]] = ..., slack: _Optional[_Union[AgentMessage.Slack, _Mapping]] = ...) -> None: ...

class MasterBatch(_message.Message):
    __slots__ = ("epoch", "message")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    message: _containers.RepeatedCompositeFieldContainer[MasterMessage]
    def __init__(self, epoch: _Optional[int] = ..., message: _Optional[_Iterable[_Union[MasterMessage, _Mapping]]] = ...) -> None: ...

class LaunchTask(_message.Message):
    __slots__ = ("framework_id", "role", "task_info", "framework_info", "launch_executor")
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TASK_INFO_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_INFO_FIELD_NUMBER: _ClassVar[int]
    LAUNCH_EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    framework_id: str
    role: str
    task_info: _types_pb2.TaskInfo
    framework_info: _types_pb2.FrameworkInfo
    launch_executor: bool
    def __init__(self, framework_id: _Optional[str] = ..., role: _Optional[str] = ..., task_info: _Optional[_Union[_types_pb2.TaskInfo, _Mapping]] = ..., framework_info: _Optional[_Union[_types_pb2.FrameworkInfo, _Mapping]] = ..., launch_executor: _Optional[bool] = ...) -> None: ...

class LaunchGroup(_message.Message):
    __slots__ = ("framework_id", "role", "task_infos", "framework_info", "launch_executor")
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TASK_INFOS_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_INFO_FIELD_NUMBER: _ClassVar[int]
    LAUNCH_EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    framework_id: str
    role: str
    task_infos: _containers.RepeatedCompositeFieldContainer[_types_pb2.TaskInfo]
    framework_info: _types_pb2.FrameworkInfo
    launch_executor: bool
    def __init__(self, framework_id: _Optional[str] = ..., role: _Optional[str] = ..., task_infos: _Optional[_Iterable[_Union[_types_pb2.TaskInfo, _Mapping]]] = ..., framework_info: _Optional[_Union[_types_pb2.FrameworkInfo, _Mapping]] = ..., launch_executor: _Optional[bool] = ...) -> None: ...

class MasterMessage(_message.Message):
    __slots__ = ("registered", "refused", "ping", "launch", "kill", "acknowledgement", "shutdown_framework", "set_reserved", "launch_group", "executor_message", "shutdown_executor", "set_revoked", "secrets")
    class Registered(_message.Message):
        __slots__ = ("agent_id", "ping_timeout_s", "max_ping_timeouts", "master_version", "wants_ended_tasks", "revoked")
        AGENT_ID_FIELD_NUMBER: _ClassVar[int]
        PING_TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
        MAX_PING_TIMEOUTS_FIELD_NUMBER: _ClassVar[int]
        MASTER_VERSION_FIELD_NUMBER: _ClassVar[int]
        WANTS_ENDED_TASKS_FIELD_NUMBER: _ClassVar[int]
        REVOKED_FIELD_NUMBER: _ClassVar[int]
        agent_id: str
        ping_timeout_s: float
        max_ping_timeouts: int
        master_version: str
        wants_ended_tasks: bool
        revoked: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, agent_id: _Optional[str] = ..., ping_timeout_s: _Optional[float] = ..., max_ping_timeouts: _Optional[int] = ..., master_version: _Optional[str] = ..., wants_ended_tasks: _Optional[bool] = ..., revoked: _Optional[_Iterable[str]] = ...) -> None: ...
    class Refused(_message.Message):
        __slots__ = ("message", "shut_down", "may_return")
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        SHUT_DOWN_FIELD_NUMBER: _ClassVar[int]
        MAY_RETURN_FIELD_NUMBER: _ClassVar[int]
        message: str
        shut_down: bool
        may_return: bool
        def __init__(self, message: _Optional[str] = ..., shut_down: _Optional[bool] = ..., may_return: _Optional[bool] = ...) -> None: ...
    class Ping(_message.Message):
        __slots__ = ("usage_interval_s",)
        USAGE_INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
        usage_interval_s: float
        def __init__(self, usage_interval_s: _Optional[float] = ...) -> None: ...
    class KillTask(_message.Message):
        __slots__ = ("framework_id", "task_id", "kill_policy", "reason")
        FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
        TASK_ID_FIELD_NUMBER: _ClassVar[int]
        KILL_POLICY_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        framework_id: str
        task_id: str
        kill_policy: _types_pb2.KillPolicy
        reason: _types_pb2.Reason
        def __init__(self, framework_id: _Optional[str] = ..., task_id: _Optional[str] = ..., kill_policy: _Optional[_Union[_types_pb2.KillPolicy, _Mapping]] = ..., reason: _Optional[_Union[_types_pb2.Reason, str]] = ...) -> None: ...
    class Acknowledgement(_message.Message):
        __slots__ = ("framework_id", "task_id", "uuid")
        FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
        TASK_ID_FIELD_NUMBER: _ClassVar[int]
        UUID_FIELD_NUMBER: _ClassVar[int]
        framework_id: str
        task_id: str
        uuid: bytes
        def __init__(self, framework_id: _Optional[str] = ..., task_id: _Optional[str] = ..., uuid: _Optional[bytes] = ...) -> None: ...
    class ShutdownFramework(_message.Message):
        __slots__ = ("framework_id",)
        FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
        framework_id: str
        def __init__(self, framework_id: _Optional[str] = ...) -> None: ...
    class ShutdownExecutor(_message.Message):
        __slots__ = ("framework_id", "executor_id")
        FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
        EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
        framework_id: str
        executor_id: str
        def __init__(self, framework_id: _Optional[str] = ..., executor_id: _Optional[str] = ...) -> None: ...
    class SetReserved(_message.Message):
        __slots__ = ("reserved",)
        RESERVED_FIELD_NUMBER: _ClassVar[int]
        reserved: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
        def __init__(self, reserved: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ...) -> None: ...
    class SetRevoked(_message.Message):
        __slots__ = ("revoked",)
        REVOKED_FIELD_NUMBER: _ClassVar[int]
        revoked: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, revoked: _Optional[_Iterable[str]] = ...) -> None: ...
    class Secrets(_message.Message):
        __slots__ = ("framework_id", "task_id", "values", "problem")
        class Value(_message.Message):
            __slots__ = ("name", "value")
            NAME_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            name: str
            value: bytes
            def __init__(self, name: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
        FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
        TASK_ID_FIELD_NUMBER: _ClassVar[int]
        VALUES_FIELD_NUMBER: _ClassVar[int]
        PROBLEM_FIELD_NUMBER: _ClassVar[int]
        framework_id: str
        task_id: str
        values: _containers.RepeatedCompositeFieldContainer[MasterMessage.Secrets.Value]
        problem: str
        def __init__(self, framework_id: _Optional[str] = ..., task_id: _Optional[str] = ..., values: _Optional[_Iterable[_Union[MasterMessage.Secrets.Value, _Mapping]]] = ..., problem: _Optional[str] = ...) -> None: ...
    REGISTERED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    LAUNCH_FIELD_NUMBER: _ClassVar[int]
    KILL_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    SHUTDOWN_FRAMEWORK_FIELD_NUMBER: _ClassVar[int]
    SET_RESERVED_FIELD_NUMBER: _ClassVar[int]
    LAUNCH_GROUP_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SHUTDOWN_EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    SET_REVOKED_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    registered: MasterMessage.Registered
    refused: MasterMessage.Refused
    ping: MasterMessage.Ping
    launch: LaunchTask
    kill: MasterMessage.KillTask
    acknowledgement: MasterMessage.Acknowledgement
    shutdown_framework: MasterMessage.ShutdownFramework
    set_reserved: MasterMessage.SetReserved
    launch_group: LaunchGroup
    executor_message: ExecutorMessage
    shutdown_executor: MasterMessage.ShutdownExecutor
    set_revoked: MasterMessage.SetRevoked
    secrets: MasterMessage.Secrets
    def __init__(self, registered: _Optional[_Union[MasterMessage.Registered, _Mapping]] = ..., refused: _Optional[_Union[MasterMessage.Refused, _Mapping]] = ..., ping: _Optional[_Union[MasterMessage.Ping, _Mapping]] = ..., launch: _Optional[_Union[LaunchTask, _Mapping]] = ..., kill: _Optional[_Union[MasterMessage.KillTask, _Mapping]] = ..., acknowledgement: _Optional[_Union[MasterMessage.Acknowledgement, _Mapping]] = ..., shutdown_framework: _Optional[_Union[MasterMessage.ShutdownFramework, _Mapping]] = ..., set_reserved: _Optional[_Union[MasterMessage.SetReserved, _Mapping]] = ..., launch_group: _Optional[_Union[LaunchGroup, _Mapping]] = ..., executor_message: _Optional[_Union[ExecutorMessage, _Mapping]] = ..., shutdown_executor: _Optional[_Union[MasterMessage.ShutdownExecutor, _Mapping]] = ..., set_revoked: _Optional[_Union[MasterMessage.SetRevoked, _Mapping]] = ..., secrets: _Optional[_Union[MasterMessage.Secrets, _Mapping]] = ...) -> None: ...
