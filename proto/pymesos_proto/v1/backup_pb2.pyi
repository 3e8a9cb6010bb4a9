from pymesos_proto.v1 import jobs_pb2 as _jobs_pb2
from pymesos_proto.v1 import operator_pb2 as _operator_pb2
from pymesos_proto.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BackupRecord(_message.Message):
    __slots__ = ("begin", "policy", "role", "secret", "agent", "revoked", "job_version", "end", "variable", "webhook", "silence", "job_silence", "job_counts", "left_out")
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    JOB_VERSION_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    SILENCE_FIELD_NUMBER: _ClassVar[int]
    JOB_SILENCE_FIELD_NUMBER: _ClassVar[int]
    JOB_COUNTS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    begin: BackupBegin
    policy: BackupPolicy
    role: BackupRole
    secret: _operator_pb2.SealedSecret
    agent: BackupAgent
    revoked: str
    job_version: BackupJobVersion
    end: BackupEnd
    variable: BackupVariable
    webhook: _operator_pb2.SetWebhookRequest
    silence: _operator_pb2.ClusterSilenceView
    job_silence: _jobs_pb2.JobSilenceView
    job_counts: BackupJobCounts
    left_out: str
    def __init__(self, begin: _Optional[_Union[BackupBegin, _Mapping]] = ..., policy: _Optional[_Union[BackupPolicy, _Mapping]] = ..., role: _Optional[_Union[BackupRole, _Mapping]] = ..., secret: _Optional[_Union[_operator_pb2.SealedSecret, _Mapping]] = ..., agent: _Optional[_Union[BackupAgent, _Mapping]] = ..., revoked: _Optional[str] = ..., job_version: _Optional[_Union[BackupJobVersion, _Mapping]] = ..., end: _Optional[_Union[BackupEnd, _Mapping]] = ..., variable: _Optional[_Union[BackupVariable, _Mapping]] = ..., webhook: _Optional[_Union[_operator_pb2.SetWebhookRequest, _Mapping]] = ..., silence: _Optional[_Union[_operator_pb2.ClusterSilenceView, _Mapping]] = ..., job_silence: _Optional[_Union[_jobs_pb2.JobSilenceView, _Mapping]] = ..., job_counts: _Optional[_Union[BackupJobCounts, _Mapping]] = ..., left_out: _Optional[str] = ...) -> None: ...

class BackupBegin(_message.Message):
    __slots__ = ("format", "made_at_s", "made_with", "made_by")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    MADE_AT_S_FIELD_NUMBER: _ClassVar[int]
    MADE_WITH_FIELD_NUMBER: _ClassVar[int]
    MADE_BY_FIELD_NUMBER: _ClassVar[int]
    format: int
    made_at_s: float
    made_with: str
    made_by: str
    def __init__(self, format: _Optional[int] = ..., made_at_s: _Optional[float] = ..., made_with: _Optional[str] = ..., made_by: _Optional[str] = ...) -> None: ...

class BackupPolicy(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: str
    def __init__(self, document: _Optional[str] = ...) -> None: ...

class BackupRole(_message.Message):
    __slots__ = ("role", "weight", "quota")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    role: str
    weight: float
    quota: _types_pb2.Quota
    def __init__(self, role: _Optional[str] = ..., weight: _Optional[float] = ..., quota: _Optional[_Union[_types_pb2.Quota, _Mapping]] = ...) -> None: ...

class BackupAgent(_message.Message):
    __slots__ = ("agent_id", "hostname", "cordoned", "maintenance", "reserved")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    CORDONED_FIELD_NUMBER: _ClassVar[int]
    MAINTENANCE_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    hostname: str
    cordoned: bool
    maintenance: _types_pb2.Unavailability
    reserved: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    def __init__(self, agent_id: _Optional[str] = ..., hostname: _Optional[str] = ..., cordoned: _Optional[bool] = ..., maintenance: _Optional[_Union[_types_pb2.Unavailability, _Mapping]] = ..., reserved: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ...) -> None: ...

class BackupVariable(_message.Message):
    __slots__ = ("role", "name", "value")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    role: str
    name: str
    value: str
    def __init__(self, role: _Optional[str] = ..., name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class BackupJobVersion(_message.Message):
    __slots__ = ("job_id", "role", "name", "version")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    role: str
    name: str
    version: _jobs_pb2.JobVersion
    def __init__(self, job_id: _Optional[str] = ..., role: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[_Union[_jobs_pb2.JobVersion, _Mapping]] = ...) -> None: ...

class BackupJobCounts(_message.Message):
    __slots__ = ("job_id", "scaled_counts")
    class ScaledCountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SCALED_COUNTS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    scaled_counts: _containers.ScalarMap[str, int]
    def __init__(self, job_id: _Optional[str] = ..., scaled_counts: _Optional[_Mapping[str, int]] = ...) -> None: ...

class BackupEnd(_message.Message):
    __slots__ = ("records", "sha256")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    records: int
    sha256: bytes
    def __init__(self, records: _Optional[int] = ..., sha256: _Optional[bytes] = ...) -> None: ...
