from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FollowNamesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServedPort(_message.Message):
    __slots__ = ("name", "port", "protocol")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    name: str
    port: int
    protocol: str
    def __init__(self, name: _Optional[str] = ..., port: _Optional[int] = ..., protocol: _Optional[str] = ...) -> None: ...

class Exposed(_message.Message):
    __slots__ = ("http_host", "port", "port_name")
    HTTP_HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    PORT_NAME_FIELD_NUMBER: _ClassVar[int]
    http_host: str
    port: int
    port_name: str
    def __init__(self, http_host: _Optional[str] = ..., port: _Optional[int] = ..., port_name: _Optional[str] = ...) -> None: ...

class ServedTask(_message.Message):
    __slots__ = ("task_id", "agent_id", "role", "job", "task", "instance", "order", "ports", "exposed")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    EXPOSED_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    agent_id: str
    role: str
    job: str
    task: str
    instance: int
    order: int
    ports: _containers.RepeatedCompositeFieldContainer[ServedPort]
    exposed: _containers.RepeatedCompositeFieldContainer[Exposed]
    def __init__(self, task_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., role: _Optional[str] = ..., job: _Optional[str] = ..., task: _Optional[str] = ..., instance: _Optional[int] = ..., order: _Optional[int] = ..., ports: _Optional[_Iterable[_Union[ServedPort, _Mapping]]] = ..., exposed: _Optional[_Iterable[_Union[Exposed, _Mapping]]] = ...) -> None: ...

class NamedTask(_message.Message):
    __slots__ = ("framework_id", "ip", "task", "awaited")
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    IP_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    AWAITED_FIELD_NUMBER: _ClassVar[int]
    framework_id: str
    ip: str
    task: ServedTask
    awaited: bool
    def __init__(self, framework_id: _Optional[str] = ..., ip: _Optional[str] = ..., task: _Optional[_Union[ServedTask, _Mapping]] = ..., awaited: _Optional[bool] = ...) -> None: ...

class NamesBatch(_message.Message):
    __slots__ = ("epoch", "serves", "ended", "whole", "awaited_frameworks", "settled_frameworks")
    class Ended(_message.Message):
        __slots__ = ("framework_id", "task_id")
        FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
        TASK_ID_FIELD_NUMBER: _ClassVar[int]
        framework_id: str
        task_id: str
        def __init__(self, framework_id: _Optional[str] = ..., task_id: _Optional[str] = ...) -> None: ...
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SERVES_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    AWAITED_FRAMEWORKS_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FRAMEWORKS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    serves: _containers.RepeatedCompositeFieldContainer[NamedTask]
    ended: _containers.RepeatedCompositeFieldContainer[NamesBatch.Ended]
    whole: bool
    awaited_frameworks: _containers.RepeatedScalarFieldContainer[str]
    settled_frameworks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, epoch: _Optional[int] = ..., serves: _Optional[_Iterable[_Union[NamedTask, _Mapping]]] = ..., ended: _Optional[_Iterable[_Union[NamesBatch.Ended, _Mapping]]] = ..., whole: _Optional[bool] = ..., awaited_frameworks: _Optional[_Iterable[str]] = ..., settled_frameworks: _Optional[_Iterable[str]] = ...) -> None: ...

class KeptNames(_message.Message):
    __slots__ = ("epoch", "heard_at_s", "serves")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    HEARD_AT_S_FIELD_NUMBER: _ClassVar[int]
    SERVES_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    heard_at_s: float
    serves: _containers.RepeatedCompositeFieldContainer[NamedTask]
    def __init__(self, epoch: _Optional[int] = ..., heard_at_s: _Optional[float] = ..., serves: _Optional[_Iterable[_Union[NamedTask, _Mapping]]] = ...) -> None: ...
