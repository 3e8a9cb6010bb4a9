from pymesos_proto.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecutorCallBatch(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: _containers.RepeatedCompositeFieldContainer[ExecutorCall]
    def __init__(self, call: _Optional[_Iterable[_Union[ExecutorCall, _Mapping]]] = ...) -> None: ...

class ExecutorCall(_message.Message):
    __slots__ = ("subscribe", "update", "message", "more_tasks")
    class Subscribe(_message.Message):
        __slots__ = ("framework_id", "executor_id", "token", "task_ids", "unacknowledged", "more_tasks")
        FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
        EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
        TOKEN_FIELD_NUMBER: _ClassVar[int]
        TASK_IDS_FIELD_NUMBER: _ClassVar[int]
        UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
        MORE_TASKS_FIELD_NUMBER: _ClassVar[int]
        framework_id: str
        executor_id: str
        token: str
        task_ids: _containers.RepeatedScalarFieldContainer[str]
        unacknowledged: _containers.RepeatedCompositeFieldContainer[_types_pb2.TaskStatus]
        more_tasks: bool
        def __init__(self, framework_id: _Optional[str] = ..., executor_id: _Optional[str] = ..., token: _Optional[str] = ..., task_ids: _Optional[_Iterable[str]] = ..., unacknowledged: _Optional[_Iterable[_Union[_types_pb2.TaskStatus, _Mapping]]] = ..., more_tasks: _Optional[bool] = ...) -> None: ...
    class MoreTasks(_message.Message):
        __slots__ = ("task_ids", "more_tasks")
        TASK_IDS_FIELD_NUMBER: _ClassVar[int]
        MORE_TASKS_FIELD_NUMBER: _ClassVar[int]
        task_ids: _containers.RepeatedScalarFieldContainer[str]
        more_tasks: bool
        def __init__(self, task_ids: _Optional[_Iterable[str]] = ..., more_tasks: _Optional[bool] = ...) -> None: ...
    class Update(_message.Message):
        __slots__ = ("status",)
        STATUS_FIELD_NUMBER: _ClassVar[int]
        status: _types_pb2.TaskStatus
        def __init__(self, status: _Optional[_Union[_types_pb2.TaskStatus, _Mapping]] = ...) -> None: ...
    class Message(_message.Message):
        __slots__ = ("data",)
        DATA_FIELD_NUMBER: _ClassVar[int]
        data: bytes
        def __init__(self, data: _Optional[bytes] = ...) -> None: ...
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MORE_TASKS_FIELD_NUMBER: _ClassVar[int]
    subscribe: ExecutorCall.Subscribe
    update: ExecutorCall.Update
    message: ExecutorCall.Message
    more_tasks: ExecutorCall.MoreTasks
    def __init__(self, subscribe: _Optional[_Union[ExecutorCall.Subscribe, _Mapping]] = ..., update: _Optional[_Union[ExecutorCall.Update, _Mapping]] = ..., message: _Optional[_Union[ExecutorCall.Message, _Mapping]] = ..., more_tasks: _Optional[_Union[ExecutorCall.MoreTasks, _Mapping]] = ...) -> None: ...

class ExecutorEventBatch(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: _containers.RepeatedCompositeFieldContainer[ExecutorEvent]
    def __init__(self, event: _Optional[_Iterable[_Union[ExecutorEvent, _Mapping]]] = ...) -> None: ...

class ExecutorEvent(_message.Message):
    __slots__ = ("subscribed", "launch", "kill", "acknowledged", "message", "shutdown", "error", "refused")
    class Subscribed(_message.Message):
        __slots__ = ("executor_info", "framework_info", "agent_id", "hostname", "agent_version")
        EXECUTOR_INFO_FIELD_NUMBER: _ClassVar[int]
        FRAMEWORK_INFO_FIELD_NUMBER: _ClassVar[int]
        AGENT_ID_FIELD_NUMBER: _ClassVar[int]
        HOSTNAME_FIELD_NUMBER: _ClassVar[int]
        AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
        executor_info: _types_pb2.ExecutorInfo
        framework_info: _types_pb2.FrameworkInfo
        agent_id: str
        hostname: str
        agent_version: str
        def __init__(self, executor_info: _Optional[_Union[_types_pb2.ExecutorInfo, _Mapping]] = ..., framework_info: _Optional[_Union[_types_pb2.FrameworkInfo, _Mapping]] = ..., agent_id: _Optional[str] = ..., hostname: _Optional[str] = ..., agent_version: _Optional[str] = ...) -> None: ...
    class Launch(_message.Message):
        __slots__ = ("task_info",)
        TASK_INFO_FIELD_NUMBER: _ClassVar[int]
        task_info: _types_pb2.TaskInfo
        def __init__(self, task_info: _Optional[_Union[_types_pb2.TaskInfo, _Mapping]] = ...) -> None: ...
    class Kill(_message.Message):
        __slots__ = ("task_id", "kill_policy")
        TASK_ID_FIELD_NUMBER: _ClassVar[int]
        KILL_POLICY_FIELD_NUMBER: _ClassVar[int]
        task_id: str
        kill_policy: _types_pb2.KillPolicy
        def __init__(self, task_id: _Optional[str] = ..., kill_policy: _Optional[_Union[_types_pb2.KillPolicy, _Mapping]] = ...) -> None: ...
    class Acknowledged(_message.Message):
        __slots__ = ("task_id", "uuid")
        TASK_ID_FIELD_NUMBER: _ClassVar[int]
        UUID_FIELD_NUMBER: _ClassVar[int]
        task_id: str
        uuid: bytes
        def __init__(self, task_id: _Optional[str] = ..., uuid: _Optional[bytes] = ...) -> None: ...
    class Message(_message.Message):
        __slots__ = ("data",)
        DATA_FIELD_NUMBER: _ClassVar[int]
        data: bytes
        def __init__(self, data: _Optional[bytes] = ...) -> None: ...
    class Shutdown(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Error(_message.Message):
        __slots__ = ("message",)
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        message: str
        def __init__(self, message: _Optional[str] = ...) -> None: ...
    class Refused(_message.Message):
        __slots__ = ("call", "code", "message")
        class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            CODE_UNSPECIFIED: _ClassVar[ExecutorEvent.Refused.Code]
            INVALID: _ClassVar[ExecutorEvent.Refused.Code]
            UNKNOWN_CALL: _ClassVar[ExecutorEvent.Refused.Code]
            TOO_MANY: _ClassVar[ExecutorEvent.Refused.Code]
        CODE_UNSPECIFIED: ExecutorEvent.Refused.Code
        INVALID: ExecutorEvent.Refused.Code
        UNKNOWN_CALL: ExecutorEvent.Refused.Code
        TOO_MANY: ExecutorEvent.Refused.Code
        CALL_FIELD_NUMBER: _ClassVar[int]
        CODE_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        call: str
        code: ExecutorEvent.Refused.Code
        message: str
        def __init__(self, call: _Optional[str] = ..., code: _Optional[_Union[ExecutorEvent.Refused.Code, str]] = ..., message: _Optional[str] = ...) -> None: ...
    SUBSCRIBED_FIELD_NUMBER: _ClassVar[int]
    LAUNCH_FIELD_NUMBER: _ClassVar[int]
    KILL_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SHUTDOWN_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    subscribed: ExecutorEvent.Subscribed
    launch: ExecutorEvent.Launch
    kill: ExecutorEvent.Kill
    acknowledged: ExecutorEvent.Acknowledged
    message: ExecutorEvent.Message
    shutdown: ExecutorEvent.Shutdown
    error: ExecutorEvent.Error
    refused: ExecutorEvent.Refused
    def __init__(self, subscribed: _Optional[_Union[ExecutorEvent.Subscribed, _Mapping]] = ..., launch: _Optional[_Union[ExecutorEvent.Launch, _Mapping]] = ..., kill: _Optional[_Union[ExecutorEvent.Kill, _Mapping]] = ..., acknowledged: _Optional[_Union[ExecutorEvent.Acknowledged, _Mapping]] = ..., message: _Optional[_Union[ExecutorEvent.Message, _Mapping]] = ..., shutdown: _Optional[_Union[ExecutorEvent.Shutdown, _Mapping]] = ..., error: _Optional[_Union[ExecutorEvent.Error, _Mapping]] = ..., refused: _Optional[_Union[ExecutorEvent.Refused, _Mapping]] = ...) -> None: ...
