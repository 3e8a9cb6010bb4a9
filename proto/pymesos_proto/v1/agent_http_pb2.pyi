from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HttpRights(_message.Message):
    __slots__ = ("read", "files", "exec", "logging")
    READ_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    EXEC_FIELD_NUMBER: _ClassVar[int]
    LOGGING_FIELD_NUMBER: _ClassVar[int]
    read: _containers.RepeatedScalarFieldContainer[str]
    files: _containers.RepeatedScalarFieldContainer[str]
    exec: _containers.RepeatedScalarFieldContainer[str]
    logging: bool
    def __init__(self, read: _Optional[_Iterable[str]] = ..., files: _Optional[_Iterable[str]] = ..., exec: _Optional[_Iterable[str]] = ..., logging: _Optional[bool] = ...) -> None: ...

class HttpPart(_message.Message):
    __slots__ = ("rights", "data")
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    rights: HttpRights
    data: bytes
    def __init__(self, rights: _Optional[_Union[HttpRights, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...
