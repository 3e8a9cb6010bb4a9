from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class JoinRequest(_message.Message):
    __slots__ = ("secret", "request", "authority_request", "wanted")
    SECRET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    AUTHORITY_REQUEST_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    secret: bytes
    request: bytes
    authority_request: bytes
    wanted: str
    def __init__(self, secret: _Optional[bytes] = ..., request: _Optional[bytes] = ..., authority_request: _Optional[bytes] = ..., wanted: _Optional[str] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: bytes
    def __init__(self, request: _Optional[bytes] = ...) -> None: ...

class IssuedCertificate(_message.Message):
    __slots__ = ("chain", "roots", "authority", "secrets_key")
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    ROOTS_FIELD_NUMBER: _ClassVar[int]
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    SECRETS_KEY_FIELD_NUMBER: _ClassVar[int]
    chain: bytes
    roots: bytes
    authority: bytes
    secrets_key: bytes
    def __init__(self, chain: _Optional[bytes] = ..., roots: _Optional[bytes] = ..., authority: _Optional[bytes] = ..., secrets_key: _Optional[bytes] = ...) -> None: ...
