from pymesos_proto.v1 import operator_pb2 as _operator_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReportHealthRequest(_message.Message):
    __slots__ = ("address", "disk_used", "renew_by_s")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DISK_USED_FIELD_NUMBER: _ClassVar[int]
    RENEW_BY_S_FIELD_NUMBER: _ClassVar[int]
    address: str
    disk_used: float
    renew_by_s: float
    def __init__(self, address: _Optional[str] = ..., disk_used: _Optional[float] = ..., renew_by_s: _Optional[float] = ...) -> None: ...

class ReportHealthResponse(_message.Message):
    __slots__ = ("silenced_until_s",)
    SILENCED_UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    silenced_until_s: float
    def __init__(self, silenced_until_s: _Optional[float] = ...) -> None: ...

class FindAccessTokenRequest(_message.Message):
    __slots__ = ("digest", "peer")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    peer: str
    def __init__(self, digest: _Optional[bytes] = ..., peer: _Optional[str] = ...) -> None: ...

class FindAccessTokenResponse(_message.Message):
    __slots__ = ("caller",)
    CALLER_FIELD_NUMBER: _ClassVar[int]
    caller: RelayedCaller
    def __init__(self, caller: _Optional[_Union[RelayedCaller, _Mapping]] = ...) -> None: ...

class RelayedCaller(_message.Message):
    __slots__ = ("principal", "credential", "credential_id", "peer", "ends_s", "vouched_by", "rights")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_ID_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    ENDS_S_FIELD_NUMBER: _ClassVar[int]
    VOUCHED_BY_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    principal: str
    credential: str
    credential_id: str
    peer: str
    ends_s: float
    vouched_by: _containers.RepeatedScalarFieldContainer[str]
    rights: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, principal: _Optional[str] = ..., credential: _Optional[str] = ..., credential_id: _Optional[str] = ..., peer: _Optional[str] = ..., ends_s: _Optional[float] = ..., vouched_by: _Optional[_Iterable[str]] = ..., rights: _Optional[_Iterable[str]] = ...) -> None: ...

class RelayRequest(_message.Message):
    __slots__ = ("method", "request", "caller")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    method: str
    request: bytes
    caller: RelayedCaller
    def __init__(self, method: _Optional[str] = ..., request: _Optional[bytes] = ..., caller: _Optional[_Union[RelayedCaller, _Mapping]] = ...) -> None: ...

class RelayResponse(_message.Message):
    __slots__ = ("response",)
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    response: bytes
    def __init__(self, response: _Optional[bytes] = ...) -> None: ...
