from pymesos_proto.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentRecord(_message.Message):
    __slots__ = ("info", "state", "changed_at_s", "reserved", "peer", "drain", "maintenance")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REACHABLE: _ClassVar[AgentRecord.State]
        UNREACHABLE: _ClassVar[AgentRecord.State]
        GONE: _ClassVar[AgentRecord.State]
    REACHABLE: AgentRecord.State
    UNREACHABLE: AgentRecord.State
    GONE: AgentRecord.State
    INFO_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_S_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    MAINTENANCE_FIELD_NUMBER: _ClassVar[int]
    info: _types_pb2.AgentInfo
    state: AgentRecord.State
    changed_at_s: float
    reserved: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    peer: str
    drain: DrainRecord
    maintenance: MaintenanceRecord
    def __init__(self, info: _Optional[_Union[_types_pb2.AgentInfo, _Mapping]] = ..., state: _Optional[_Union[AgentRecord.State, str]] = ..., changed_at_s: _Optional[float] = ..., reserved: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., peer: _Optional[str] = ..., drain: _Optional[_Union[DrainRecord, _Mapping]] = ..., maintenance: _Optional[_Union[MaintenanceRecord, _Mapping]] = ...) -> None: ...

class MaintenanceRecord(_message.Message):
    __slots__ = ("unavailability", "set_by", "set_at_s")
    UNAVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    SET_BY_FIELD_NUMBER: _ClassVar[int]
    SET_AT_S_FIELD_NUMBER: _ClassVar[int]
    unavailability: _types_pb2.Unavailability
    set_by: str
    set_at_s: float
    def __init__(self, unavailability: _Optional[_Union[_types_pb2.Unavailability, _Mapping]] = ..., set_by: _Optional[str] = ..., set_at_s: _Optional[float] = ...) -> None: ...

class DrainRecord(_message.Message):
    __slots__ = ("state", "deadline_s", "then_gone", "set_by", "set_at_s", "within_s", "down")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[DrainRecord.State]
        CORDONED: _ClassVar[DrainRecord.State]
        DRAINING: _ClassVar[DrainRecord.State]
        DRAINED: _ClassVar[DrainRecord.State]
    STATE_UNSPECIFIED: DrainRecord.State
    CORDONED: DrainRecord.State
    DRAINING: DrainRecord.State
    DRAINED: DrainRecord.State
    STATE_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    THEN_GONE_FIELD_NUMBER: _ClassVar[int]
    SET_BY_FIELD_NUMBER: _ClassVar[int]
    SET_AT_S_FIELD_NUMBER: _ClassVar[int]
    WITHIN_S_FIELD_NUMBER: _ClassVar[int]
    DOWN_FIELD_NUMBER: _ClassVar[int]
    state: DrainRecord.State
    deadline_s: float
    then_gone: bool
    set_by: str
    set_at_s: float
    within_s: float
    down: bool
    def __init__(self, state: _Optional[_Union[DrainRecord.State, str]] = ..., deadline_s: _Optional[float] = ..., then_gone: _Optional[bool] = ..., set_by: _Optional[str] = ..., set_at_s: _Optional[float] = ..., within_s: _Optional[float] = ..., down: _Optional[bool] = ...) -> None: ...

class FrameworkRecord(_message.Message):
    __slots__ = ("info", "registered_at_s", "peer")
    INFO_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_AT_S_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    info: _types_pb2.FrameworkInfo
    registered_at_s: float
    peer: str
    def __init__(self, info: _Optional[_Union[_types_pb2.FrameworkInfo, _Mapping]] = ..., registered_at_s: _Optional[float] = ..., peer: _Optional[str] = ...) -> None: ...

class RoleRecord(_message.Message):
    __slots__ = ("role", "weight", "quota")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    role: str
    weight: float
    quota: _types_pb2.Quota
    def __init__(self, role: _Optional[str] = ..., weight: _Optional[float] = ..., quota: _Optional[_Union[_types_pb2.Quota, _Mapping]] = ...) -> None: ...

class PolicyRecord(_message.Message):
    __slots__ = ("document", "version", "set_by", "set_at_s")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SET_BY_FIELD_NUMBER: _ClassVar[int]
    SET_AT_S_FIELD_NUMBER: _ClassVar[int]
    document: str
    version: int
    set_by: str
    set_at_s: float
    def __init__(self, document: _Optional[str] = ..., version: _Optional[int] = ..., set_by: _Optional[str] = ..., set_at_s: _Optional[float] = ...) -> None: ...

class CallRecord(_message.Message):
    __slots__ = ("caller", "call", "reason", "at_s")
    CALLER_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AT_S_FIELD_NUMBER: _ClassVar[int]
    caller: str
    call: str
    reason: str
    at_s: float
    def __init__(self, caller: _Optional[str] = ..., call: _Optional[str] = ..., reason: _Optional[str] = ..., at_s: _Optional[float] = ...) -> None: ...

class TokenRecord(_message.Message):
    __slots__ = ("principal", "ends_at_s", "made_by", "key")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_S_FIELD_NUMBER: _ClassVar[int]
    MADE_BY_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    principal: str
    ends_at_s: float
    made_by: str
    key: bytes
    def __init__(self, principal: _Optional[str] = ..., ends_at_s: _Optional[float] = ..., made_by: _Optional[str] = ..., key: _Optional[bytes] = ...) -> None: ...

class AccessTokenRecord(_message.Message):
    __slots__ = ("digest", "principal", "rights", "name", "made_at_s", "ends_at_s", "revoked")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MADE_AT_S_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_S_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    principal: str
    rights: _containers.RepeatedScalarFieldContainer[str]
    name: str
    made_at_s: float
    ends_at_s: float
    revoked: bool
    def __init__(self, digest: _Optional[bytes] = ..., principal: _Optional[str] = ..., rights: _Optional[_Iterable[str]] = ..., name: _Optional[str] = ..., made_at_s: _Optional[float] = ..., ends_at_s: _Optional[float] = ..., revoked: _Optional[bool] = ...) -> None: ...

class SecretRecord(_message.Message):
    __slots__ = ("role", "name", "version", "key_id", "nonce", "sealed", "set_by", "set_at_s")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    SET_BY_FIELD_NUMBER: _ClassVar[int]
    SET_AT_S_FIELD_NUMBER: _ClassVar[int]
    role: str
    name: str
    version: int
    key_id: str
    nonce: bytes
    sealed: bytes
    set_by: str
    set_at_s: float
    def __init__(self, role: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[int] = ..., key_id: _Optional[str] = ..., nonce: _Optional[bytes] = ..., sealed: _Optional[bytes] = ..., set_by: _Optional[str] = ..., set_at_s: _Optional[float] = ...) -> None: ...

class RevocationRecord(_message.Message):
    __slots__ = ("at_s", "made_by")
    AT_S_FIELD_NUMBER: _ClassVar[int]
    MADE_BY_FIELD_NUMBER: _ClassVar[int]
    at_s: float
    made_by: str
    def __init__(self, at_s: _Optional[float] = ..., made_by: _Optional[str] = ...) -> None: ...

class AccountingRecord(_message.Message):
    __slots__ = ("rows", "until_ms")
    class Amount(_message.Message):
        __slots__ = ("hours", "ms")
        HOURS_FIELD_NUMBER: _ClassVar[int]
        MS_FIELD_NUMBER: _ClassVar[int]
        hours: int
        ms: int
        def __init__(self, hours: _Optional[int] = ..., ms: _Optional[int] = ...) -> None: ...
    class Row(_message.Message):
        __slots__ = ("role", "framework", "job", "rest", "asked_cpus", "asked_mem", "asked_gpus", "used_cpus", "used_mem")
        ROLE_FIELD_NUMBER: _ClassVar[int]
        FRAMEWORK_FIELD_NUMBER: _ClassVar[int]
        JOB_FIELD_NUMBER: _ClassVar[int]
        REST_FIELD_NUMBER: _ClassVar[int]
        ASKED_CPUS_FIELD_NUMBER: _ClassVar[int]
        ASKED_MEM_FIELD_NUMBER: _ClassVar[int]
        ASKED_GPUS_FIELD_NUMBER: _ClassVar[int]
        USED_CPUS_FIELD_NUMBER: _ClassVar[int]
        USED_MEM_FIELD_NUMBER: _ClassVar[int]
        role: str
        framework: str
        job: str
        rest: bool
        asked_cpus: AccountingRecord.Amount
        asked_mem: AccountingRecord.Amount
        asked_gpus: AccountingRecord.Amount
        used_cpus: AccountingRecord.Amount
        used_mem: AccountingRecord.Amount
        def __init__(self, role: _Optional[str] = ..., framework: _Optional[str] = ..., job: _Optional[str] = ..., rest: _Optional[bool] = ..., asked_cpus: _Optional[_Union[AccountingRecord.Amount, _Mapping]] = ..., asked_mem: _Optional[_Union[AccountingRecord.Amount, _Mapping]] = ..., asked_gpus: _Optional[_Union[AccountingRecord.Amount, _Mapping]] = ..., used_cpus: _Optional[_Union[AccountingRecord.Amount, _Mapping]] = ..., used_mem: _Optional[_Union[AccountingRecord.Amount, _Mapping]] = ...) -> None: ...
    ROWS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[AccountingRecord.Row]
    until_ms: int
    def __init__(self, rows: _Optional[_Iterable[_Union[AccountingRecord.Row, _Mapping]]] = ..., until_ms: _Optional[int] = ...) -> None: ...

class WebhookRecord(_message.Message):
    __slots__ = ("url", "kinds", "secret_role", "secret_name", "link_local", "set_by", "set_at_s")
    URL_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    SECRET_ROLE_FIELD_NUMBER: _ClassVar[int]
    SECRET_NAME_FIELD_NUMBER: _ClassVar[int]
    LINK_LOCAL_FIELD_NUMBER: _ClassVar[int]
    SET_BY_FIELD_NUMBER: _ClassVar[int]
    SET_AT_S_FIELD_NUMBER: _ClassVar[int]
    url: str
    kinds: _containers.RepeatedScalarFieldContainer[int]
    secret_role: str
    secret_name: str
    link_local: bool
    set_by: str
    set_at_s: float
    def __init__(self, url: _Optional[str] = ..., kinds: _Optional[_Iterable[int]] = ..., secret_role: _Optional[str] = ..., secret_name: _Optional[str] = ..., link_local: _Optional[bool] = ..., set_by: _Optional[str] = ..., set_at_s: _Optional[float] = ...) -> None: ...

class ClusterAlertRecord(_message.Message):
    __slots__ = ("state", "since_s", "fired_s", "ended_s", "known", "told", "summary")
    STATE_FIELD_NUMBER: _ClassVar[int]
    SINCE_S_FIELD_NUMBER: _ClassVar[int]
    FIRED_S_FIELD_NUMBER: _ClassVar[int]
    ENDED_S_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    TOLD_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    state: str
    since_s: float
    fired_s: float
    ended_s: float
    known: bool
    told: bool
    summary: str
    def __init__(self, state: _Optional[str] = ..., since_s: _Optional[float] = ..., fired_s: _Optional[float] = ..., ended_s: _Optional[float] = ..., known: _Optional[bool] = ..., told: _Optional[bool] = ..., summary: _Optional[str] = ...) -> None: ...

class ClusterSilenceRecord(_message.Message):
    __slots__ = ("until_s", "by", "why")
    UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    until_s: float
    by: str
    why: str
    def __init__(self, until_s: _Optional[float] = ..., by: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...
