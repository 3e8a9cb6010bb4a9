from pymesos_proto.v1 import masters_pb2 as _masters_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GatewayBatch(_message.Message):
    __slots__ = ("told",)
    TOLD_FIELD_NUMBER: _ClassVar[int]
    told: _containers.RepeatedCompositeFieldContainer[GatewayTold]
    def __init__(self, told: _Optional[_Iterable[_Union[GatewayTold, _Mapping]]] = ...) -> None: ...

class CallOpened(_message.Message):
    __slots__ = ("method", "caller", "metadata", "peer")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    method: str
    caller: _masters_pb2.RelayedCaller
    metadata: _containers.ScalarMap[str, str]
    peer: str
    def __init__(self, method: _Optional[str] = ..., caller: _Optional[_Union[_masters_pb2.RelayedCaller, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., peer: _Optional[str] = ...) -> None: ...

class CallRefused(_message.Message):
    __slots__ = ("caller", "method", "reason")
    CALLER_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    caller: _masters_pb2.RelayedCaller
    method: str
    reason: str
    def __init__(self, caller: _Optional[_Union[_masters_pb2.RelayedCaller, _Mapping]] = ..., method: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class GatewayTold(_message.Message):
    __slots__ = ("call", "opened", "message", "said_all", "gone", "taken_bytes", "ready", "refused", "pong")
    class Ready(_message.Message):
        __slots__ = ("pid",)
        PID_FIELD_NUMBER: _ClassVar[int]
        pid: int
        def __init__(self, pid: _Optional[int] = ...) -> None: ...
    class Pong(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class SaidAll(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Gone(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    CALL_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SAID_ALL_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    TAKEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    call: int
    opened: CallOpened
    message: bytes
    said_all: GatewayTold.SaidAll
    gone: GatewayTold.Gone
    taken_bytes: int
    ready: GatewayTold.Ready
    refused: CallRefused
    pong: GatewayTold.Pong
    def __init__(self, call: _Optional[int] = ..., opened: _Optional[_Union[CallOpened, _Mapping]] = ..., message: _Optional[bytes] = ..., said_all: _Optional[_Union[GatewayTold.SaidAll, _Mapping]] = ..., gone: _Optional[_Union[GatewayTold.Gone, _Mapping]] = ..., taken_bytes: _Optional[int] = ..., ready: _Optional[_Union[GatewayTold.Ready, _Mapping]] = ..., refused: _Optional[_Union[CallRefused, _Mapping]] = ..., pong: _Optional[_Union[GatewayTold.Pong, _Mapping]] = ...) -> None: ...

class GatewayAnswers(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: _containers.RepeatedCompositeFieldContainer[GatewayAnswer]
    def __init__(self, answer: _Optional[_Iterable[_Union[GatewayAnswer, _Mapping]]] = ...) -> None: ...

class CallEnded(_message.Message):
    __slots__ = ("code", "message", "trailing")
    class TrailingEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TRAILING_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    trailing: _containers.ScalarMap[str, str]
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., trailing: _Optional[_Mapping[str, str]] = ...) -> None: ...

class GatewayAnswer(_message.Message):
    __slots__ = ("call", "message", "ended", "taken_bytes", "ping")
    class Ping(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    CALL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    TAKEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    call: int
    message: bytes
    ended: CallEnded
    taken_bytes: int
    ping: GatewayAnswer.Ping
    def __init__(self, call: _Optional[int] = ..., message: _Optional[bytes] = ..., ended: _Optional[_Union[CallEnded, _Mapping]] = ..., taken_bytes: _Optional[int] = ..., ping: _Optional[_Union[GatewayAnswer.Ping, _Mapping]] = ...) -> None: ...
