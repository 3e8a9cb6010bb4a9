from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaskState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_STATE_UNSPECIFIED: _ClassVar[TaskState]
    TASK_STAGING: _ClassVar[TaskState]
    TASK_STARTING: _ClassVar[TaskState]
    TASK_RUNNING: _ClassVar[TaskState]
    TASK_KILLING: _ClassVar[TaskState]
    TASK_FINISHED: _ClassVar[TaskState]
    TASK_FAILED: _ClassVar[TaskState]
    TASK_KILLED: _ClassVar[TaskState]
    TASK_ERROR: _ClassVar[TaskState]
    TASK_LOST: _ClassVar[TaskState]
    TASK_DROPPED: _ClassVar[TaskState]
    TASK_UNREACHABLE: _ClassVar[TaskState]
    TASK_GONE: _ClassVar[TaskState]
    TASK_GONE_BY_OPERATOR: _ClassVar[TaskState]
    TASK_UNKNOWN: _ClassVar[TaskState]

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_UNSPECIFIED: _ClassVar[Reason]
    REASON_AGENT_DISCONNECTED: _ClassVar[Reason]
    REASON_AGENT_REMOVED: _ClassVar[Reason]
    REASON_AGENT_REMOVED_BY_OPERATOR: _ClassVar[Reason]
    REASON_AGENT_REREGISTERED: _ClassVar[Reason]
    REASON_AGENT_RESTARTED: _ClassVar[Reason]
    REASON_AGENT_UNKNOWN: _ClassVar[Reason]
    REASON_AGENT_DISK_FULL: _ClassVar[Reason]
    REASON_COMMAND_EXECUTOR_FAILED: _ClassVar[Reason]
    REASON_CONTAINER_LAUNCH_FAILED: _ClassVar[Reason]
    REASON_CONTAINER_LIMITATION: _ClassVar[Reason]
    REASON_CONTAINER_LIMITATION_MEMORY: _ClassVar[Reason]
    REASON_CONTAINER_LIMITATION_DISK: _ClassVar[Reason]
    REASON_EXECUTOR_TERMINATED: _ClassVar[Reason]
    REASON_FRAMEWORK_REMOVED: _ClassVar[Reason]
    REASON_INVALID_OFFERS: _ClassVar[Reason]
    REASON_MAX_COMPLETION_TIME_REACHED: _ClassVar[Reason]
    REASON_RECONCILIATION: _ClassVar[Reason]
    REASON_TASK_INVALID: _ClassVar[Reason]
    REASON_TASK_KILLED_DURING_LAUNCH: _ClassVar[Reason]
    REASON_TASK_UNAUTHORIZED: _ClassVar[Reason]
    REASON_TASK_UNKNOWN: _ClassVar[Reason]
    REASON_TASK_HEALTH_CHECK_STATUS_UPDATED: _ClassVar[Reason]
    REASON_TASK_CHECK_STATUS_UPDATED: _ClassVar[Reason]
    REASON_TASK_GROUP_INVALID: _ClassVar[Reason]
    REASON_EXECUTOR_REGISTRATION_TIMEOUT: _ClassVar[Reason]
    REASON_AGENT_DRAINING: _ClassVar[Reason]
    REASON_RESOURCES_REVOKED: _ClassVar[Reason]
    REASON_CONFIG_CHANGED: _ClassVar[Reason]

class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_UNSPECIFIED: _ClassVar[Source]
    SOURCE_MASTER: _ClassVar[Source]
    SOURCE_AGENT: _ClassVar[Source]
    SOURCE_EXECUTOR: _ClassVar[Source]

class OnChange(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_CHANGE_NONE: _ClassVar[OnChange]
    ON_CHANGE_SIGNAL: _ClassVar[OnChange]
    ON_CHANGE_RESTART: _ClassVar[OnChange]

class ImageTrouble(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMAGE_TROUBLE_UNSPECIFIED: _ClassVar[ImageTrouble]
    IMAGE_REFUSED: _ClassVar[ImageTrouble]
    IMAGE_UNAVAILABLE: _ClassVar[ImageTrouble]

class FrameworkCapability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FRAMEWORK_CAPABILITY_UNSPECIFIED: _ClassVar[FrameworkCapability]
    PARTITION_AWARE: _ClassVar[FrameworkCapability]
    TASK_KILLING_STATE: _ClassVar[FrameworkCapability]
    MULTI_ROLE: _ClassVar[FrameworkCapability]
    GPU_RESOURCES: _ClassVar[FrameworkCapability]
    REVOCABLE_RESOURCES: _ClassVar[FrameworkCapability]
    SHARED_RESOURCES: _ClassVar[FrameworkCapability]
    INVERSE_OFFERS: _ClassVar[FrameworkCapability]
    TASK_STARTING_STATE: _ClassVar[FrameworkCapability]
    MESOS_RECONCILIATION: _ClassVar[FrameworkCapability]
    CHECKPOINT_COUNTS: _ClassVar[FrameworkCapability]

class AgentCapability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AGENT_CAPABILITY_UNSPECIFIED: _ClassVar[AgentCapability]
    SECRETS: _ClassVar[AgentCapability]
    KILL_SIGNAL: _ClassVar[AgentCapability]
    CONFIG: _ClassVar[AgentCapability]
    EXECUTOR_RESOURCES: _ClassVar[AgentCapability]
    ADDRESSES: _ClassVar[AgentCapability]
    GROUP_EXECUTORS: _ClassVar[AgentCapability]
    MAY_RETURN: _ClassVar[AgentCapability]
    SECRET_ADDRESSES: _ClassVar[AgentCapability]
TASK_STATE_UNSPECIFIED: TaskState
TASK_STAGING: TaskState
TASK_STARTING: TaskState
TASK_RUNNING: TaskState
TASK_KILLING: TaskState
TASK_FINISHED: TaskState
TASK_FAILED: TaskState
TASK_KILLED: TaskState
TASK_ERROR: TaskState
TASK_LOST: TaskState
TASK_DROPPED: TaskState
TASK_UNREACHABLE: TaskState
TASK_GONE: TaskState
TASK_GONE_BY_OPERATOR: TaskState
TASK_UNKNOWN: TaskState
REASON_UNSPECIFIED: Reason
REASON_AGENT_DISCONNECTED: Reason
REASON_AGENT_REMOVED: Reason
REASON_AGENT_REMOVED_BY_OPERATOR: Reason
REASON_AGENT_REREGISTERED: Reason
REASON_AGENT_RESTARTED: Reason
REASON_AGENT_UNKNOWN: Reason
REASON_AGENT_DISK_FULL: Reason
REASON_COMMAND_EXECUTOR_FAILED: Reason
REASON_CONTAINER_LAUNCH_FAILED: Reason
REASON_CONTAINER_LIMITATION: Reason
REASON_CONTAINER_LIMITATION_MEMORY: Reason
REASON_CONTAINER_LIMITATION_DISK: Reason
REASON_EXECUTOR_TERMINATED: Reason
REASON_FRAMEWORK_REMOVED: Reason
REASON_INVALID_OFFERS: Reason
REASON_MAX_COMPLETION_TIME_REACHED: Reason
REASON_RECONCILIATION: Reason
REASON_TASK_INVALID: Reason
REASON_TASK_KILLED_DURING_LAUNCH: Reason
REASON_TASK_UNAUTHORIZED: Reason
REASON_TASK_UNKNOWN: Reason
REASON_TASK_HEALTH_CHECK_STATUS_UPDATED: Reason
REASON_TASK_CHECK_STATUS_UPDATED: Reason
REASON_TASK_GROUP_INVALID: Reason
REASON_EXECUTOR_REGISTRATION_TIMEOUT: Reason
REASON_AGENT_DRAINING: Reason
REASON_RESOURCES_REVOKED: Reason
REASON_CONFIG_CHANGED: Reason
SOURCE_UNSPECIFIED: Source
SOURCE_MASTER: Source
SOURCE_AGENT: Source
SOURCE_EXECUTOR: Source
ON_CHANGE_NONE: OnChange
ON_CHANGE_SIGNAL: OnChange
ON_CHANGE_RESTART: OnChange
IMAGE_TROUBLE_UNSPECIFIED: ImageTrouble
IMAGE_REFUSED: ImageTrouble
IMAGE_UNAVAILABLE: ImageTrouble
FRAMEWORK_CAPABILITY_UNSPECIFIED: FrameworkCapability
PARTITION_AWARE: FrameworkCapability
TASK_KILLING_STATE: FrameworkCapability
MULTI_ROLE: FrameworkCapability
GPU_RESOURCES: FrameworkCapability
REVOCABLE_RESOURCES: FrameworkCapability
SHARED_RESOURCES: FrameworkCapability
INVERSE_OFFERS: FrameworkCapability
TASK_STARTING_STATE: FrameworkCapability
MESOS_RECONCILIATION: FrameworkCapability
CHECKPOINT_COUNTS: FrameworkCapability
AGENT_CAPABILITY_UNSPECIFIED: AgentCapability
SECRETS: AgentCapability
KILL_SIGNAL: AgentCapability
CONFIG: AgentCapability
EXECUTOR_RESOURCES: AgentCapability
ADDRESSES: AgentCapability
GROUP_EXECUTORS: AgentCapability
MAY_RETURN: AgentCapability
SECRET_ADDRESSES: AgentCapability

class Range(_message.Message):
    __slots__ = ("begin", "end")
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    begin: int
    end: int
    def __init__(self, begin: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class Ranges(_message.Message):
    __slots__ = ("range",)
    RANGE_FIELD_NUMBER: _ClassVar[int]
    range: _containers.RepeatedCompositeFieldContainer[Range]
    def __init__(self, range: _Optional[_Iterable[_Union[Range, _Mapping]]] = ...) -> None: ...

class StringSet(_message.Message):
    __slots__ = ("item",)
    ITEM_FIELD_NUMBER: _ClassVar[int]
    item: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, item: _Optional[_Iterable[str]] = ...) -> None: ...

class Resource(_message.Message):
    __slots__ = ("name", "scalar", "ranges", "set", "reservations", "disk", "shared", "revocable", "device")
    class Reservation(_message.Message):
        __slots__ = ("type", "role", "principal", "labels")
        class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            DYNAMIC: _ClassVar[Resource.Reservation.Type]
            STATIC: _ClassVar[Resource.Reservation.Type]
        DYNAMIC: Resource.Reservation.Type
        STATIC: Resource.Reservation.Type
        TYPE_FIELD_NUMBER: _ClassVar[int]
        ROLE_FIELD_NUMBER: _ClassVar[int]
        PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
        LABELS_FIELD_NUMBER: _ClassVar[int]
        type: Resource.Reservation.Type
        role: str
        principal: str
        labels: _containers.RepeatedCompositeFieldContainer[Label]
        def __init__(self, type: _Optional[_Union[Resource.Reservation.Type, str]] = ..., role: _Optional[str] = ..., principal: _Optional[str] = ..., labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ...) -> None: ...
    class Disk(_message.Message):
        __slots__ = ("persistence_id", "container_path", "principal")
        PERSISTENCE_ID_FIELD_NUMBER: _ClassVar[int]
        CONTAINER_PATH_FIELD_NUMBER: _ClassVar[int]
        PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
        persistence_id: str
        container_path: str
        principal: str
        def __init__(self, persistence_id: _Optional[str] = ..., container_path: _Optional[str] = ..., principal: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCALAR_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    RESERVATIONS_FIELD_NUMBER: _ClassVar[int]
    DISK_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    REVOCABLE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    name: str
    scalar: float
    ranges: Ranges
    set: StringSet
    reservations: _containers.RepeatedCompositeFieldContainer[Resource.Reservation]
    disk: Resource.Disk
    shared: bool
    revocable: bool
    device: str
    def __init__(self, name: _Optional[str] = ..., scalar: _Optional[float] = ..., ranges: _Optional[_Union[Ranges, _Mapping]] = ..., set: _Optional[_Union[StringSet, _Mapping]] = ..., reservations: _Optional[_Iterable[_Union[Resource.Reservation, _Mapping]]] = ..., disk: _Optional[_Union[Resource.Disk, _Mapping]] = ..., shared: _Optional[bool] = ..., revocable: _Optional[bool] = ..., device: _Optional[str] = ...) -> None: ...

class Quota(_message.Message):
    __slots__ = ("guarantees", "limits")
    GUARANTEES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    guarantees: _containers.RepeatedCompositeFieldContainer[Resource]
    limits: _containers.RepeatedCompositeFieldContainer[Resource]
    def __init__(self, guarantees: _Optional[_Iterable[_Union[Resource, _Mapping]]] = ..., limits: _Optional[_Iterable[_Union[Resource, _Mapping]]] = ...) -> None: ...

class Attribute(_message.Message):
    __slots__ = ("name", "text")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    text: str
    def __init__(self, name: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Address(_message.Message):
    __slots__ = ("hostname", "ip", "port")
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    IP_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    hostname: str
    ip: str
    port: int
    def __init__(self, hostname: _Optional[str] = ..., ip: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class EnvironmentVariable(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class CommandInfo(_message.Message):
    __slots__ = ("shell", "value", "arguments", "environment", "user")
    SHELL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    shell: bool
    value: str
    arguments: _containers.RepeatedScalarFieldContainer[str]
    environment: _containers.RepeatedCompositeFieldContainer[EnvironmentVariable]
    user: str
    def __init__(self, shell: _Optional[bool] = ..., value: _Optional[str] = ..., arguments: _Optional[_Iterable[str]] = ..., environment: _Optional[_Iterable[_Union[EnvironmentVariable, _Mapping]]] = ..., user: _Optional[str] = ...) -> None: ...

class ContainerMount(_message.Message):
    __slots__ = ("container_path", "host_path", "read_only", "size_mib", "group_path")
    CONTAINER_PATH_FIELD_NUMBER: _ClassVar[int]
    HOST_PATH_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    SIZE_MIB_FIELD_NUMBER: _ClassVar[int]
    GROUP_PATH_FIELD_NUMBER: _ClassVar[int]
    container_path: str
    host_path: str
    read_only: bool
    size_mib: int
    group_path: str
    def __init__(self, container_path: _Optional[str] = ..., host_path: _Optional[str] = ..., read_only: _Optional[bool] = ..., size_mib: _Optional[int] = ..., group_path: _Optional[str] = ...) -> None: ...

class Ulimit(_message.Message):
    __slots__ = ("name", "soft", "hard")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOFT_FIELD_NUMBER: _ClassVar[int]
    HARD_FIELD_NUMBER: _ClassVar[int]
    name: str
    soft: int
    hard: int
    def __init__(self, name: _Optional[str] = ..., soft: _Optional[int] = ..., hard: _Optional[int] = ...) -> None: ...

class PortMapping(_message.Message):
    __slots__ = ("port_index", "container_port", "protocol")
    PORT_INDEX_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_PORT_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    port_index: int
    container_port: int
    protocol: str
    def __init__(self, port_index: _Optional[int] = ..., container_port: _Optional[int] = ..., protocol: _Optional[str] = ...) -> None: ...

class ContainerInfo(_message.Message):
    __slots__ = ("image", "runtime", "network", "mounts", "read_only", "cpu_quota", "pids_max", "ulimits", "add_capabilities", "drop_capabilities", "port_mappings", "read_mib_per_s", "write_mib_per_s", "network_in_mbit_per_s", "network_out_mbit_per_s", "secrets", "image_secret", "config")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    MOUNTS_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    CPU_QUOTA_FIELD_NUMBER: _ClassVar[int]
    PIDS_MAX_FIELD_NUMBER: _ClassVar[int]
    ULIMITS_FIELD_NUMBER: _ClassVar[int]
    ADD_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    DROP_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    PORT_MAPPINGS_FIELD_NUMBER: _ClassVar[int]
    READ_MIB_PER_S_FIELD_NUMBER: _ClassVar[int]
    WRITE_MIB_PER_S_FIELD_NUMBER: _ClassVar[int]
    NETWORK_IN_MBIT_PER_S_FIELD_NUMBER: _ClassVar[int]
    NETWORK_OUT_MBIT_PER_S_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_SECRET_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    image: str
    runtime: str
    network: str
    mounts: _containers.RepeatedCompositeFieldContainer[ContainerMount]
    read_only: bool
    cpu_quota: bool
    pids_max: int
    ulimits: _containers.RepeatedCompositeFieldContainer[Ulimit]
    add_capabilities: _containers.RepeatedScalarFieldContainer[str]
    drop_capabilities: _containers.RepeatedScalarFieldContainer[str]
    port_mappings: _containers.RepeatedCompositeFieldContainer[PortMapping]
    read_mib_per_s: int
    write_mib_per_s: int
    network_in_mbit_per_s: int
    network_out_mbit_per_s: int
    secrets: _containers.RepeatedCompositeFieldContainer[SecretUse]
    image_secret: str
    config: _containers.RepeatedCompositeFieldContainer[ConfigFile]
    def __init__(self, image: _Optional[str] = ..., runtime: _Optional[str] = ..., network: _Optional[str] = ..., mounts: _Optional[_Iterable[_Union[ContainerMount, _Mapping]]] = ..., read_only: _Optional[bool] = ..., cpu_quota: _Optional[bool] = ..., pids_max: _Optional[int] = ..., ulimits: _Optional[_Iterable[_Union[Ulimit, _Mapping]]] = ..., add_capabilities: _Optional[_Iterable[str]] = ..., drop_capabilities: _Optional[_Iterable[str]] = ..., port_mappings: _Optional[_Iterable[_Union[PortMapping, _Mapping]]] = ..., read_mib_per_s: _Optional[int] = ..., write_mib_per_s: _Optional[int] = ..., network_in_mbit_per_s: _Optional[int] = ..., network_out_mbit_per_s: _Optional[int] = ..., secrets: _Optional[_Iterable[_Union[SecretUse, _Mapping]]] = ..., image_secret: _Optional[str] = ..., config: _Optional[_Iterable[_Union[ConfigFile, _Mapping]]] = ...) -> None: ...

class ConfigFile(_message.Message):
    __slots__ = ("path", "content", "template", "secrets", "variables", "addresses", "on_change", "signal")
    class VariablesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PATH_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    ON_CHANGE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    path: str
    content: str
    template: str
    secrets: _containers.RepeatedScalarFieldContainer[str]
    variables: _containers.ScalarMap[str, str]
    addresses: _containers.RepeatedCompositeFieldContainer[AddressesUse]
    on_change: OnChange
    signal: str
    def __init__(self, path: _Optional[str] = ..., content: _Optional[str] = ..., template: _Optional[str] = ..., secrets: _Optional[_Iterable[str]] = ..., variables: _Optional[_Mapping[str, str]] = ..., addresses: _Optional[_Iterable[_Union[AddressesUse, _Mapping]]] = ..., on_change: _Optional[_Union[OnChange, str]] = ..., signal: _Optional[str] = ...) -> None: ...

class AddressesUse(_message.Message):
    __slots__ = ("name", "role", "job", "task")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    name: str
    role: str
    job: str
    task: str
    def __init__(self, name: _Optional[str] = ..., role: _Optional[str] = ..., job: _Optional[str] = ..., task: _Optional[str] = ...) -> None: ...

class SecretUse(_message.Message):
    __slots__ = ("name", "path", "env")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    name: str
    path: str
    env: str
    def __init__(self, name: _Optional[str] = ..., path: _Optional[str] = ..., env: _Optional[str] = ...) -> None: ...

class Artifact(_message.Message):
    __slots__ = ("uri", "path", "sha256", "extract", "executable")
    URI_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    EXTRACT_FIELD_NUMBER: _ClassVar[int]
    EXECUTABLE_FIELD_NUMBER: _ClassVar[int]
    uri: str
    path: str
    sha256: str
    extract: bool
    executable: bool
    def __init__(self, uri: _Optional[str] = ..., path: _Optional[str] = ..., sha256: _Optional[str] = ..., extract: _Optional[bool] = ..., executable: _Optional[bool] = ...) -> None: ...

class Check(_message.Message):
    __slots__ = ("command", "http", "tcp", "grpc", "delay_s", "interval_s", "timeout_s", "grace_period_s", "consecutive_failures")
    class Http(_message.Message):
        __slots__ = ("port", "port_index", "path", "scheme")
        PORT_FIELD_NUMBER: _ClassVar[int]
        PORT_INDEX_FIELD_NUMBER: _ClassVar[int]
        PATH_FIELD_NUMBER: _ClassVar[int]
        SCHEME_FIELD_NUMBER: _ClassVar[int]
        port: int
        port_index: int
        path: str
        scheme: str
        def __init__(self, port: _Optional[int] = ..., port_index: _Optional[int] = ..., path: _Optional[str] = ..., scheme: _Optional[str] = ...) -> None: ...
    class Tcp(_message.Message):
        __slots__ = ("port", "port_index")
        PORT_FIELD_NUMBER: _ClassVar[int]
        PORT_INDEX_FIELD_NUMBER: _ClassVar[int]
        port: int
        port_index: int
        def __init__(self, port: _Optional[int] = ..., port_index: _Optional[int] = ...) -> None: ...
    class Grpc(_message.Message):
        __slots__ = ("port", "port_index", "service")
        PORT_FIELD_NUMBER: _ClassVar[int]
        PORT_INDEX_FIELD_NUMBER: _ClassVar[int]
        SERVICE_FIELD_NUMBER: _ClassVar[int]
        port: int
        port_index: int
        service: str
        def __init__(self, port: _Optional[int] = ..., port_index: _Optional[int] = ..., service: _Optional[str] = ...) -> None: ...
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    HTTP_FIELD_NUMBER: _ClassVar[int]
    TCP_FIELD_NUMBER: _ClassVar[int]
    GRPC_FIELD_NUMBER: _ClassVar[int]
    DELAY_S_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    GRACE_PERIOD_S_FIELD_NUMBER: _ClassVar[int]
    CONSECUTIVE_FAILURES_FIELD_NUMBER: _ClassVar[int]
    command: CommandInfo
    http: Check.Http
    tcp: Check.Tcp
    grpc: Check.Grpc
    delay_s: float
    interval_s: float
    timeout_s: float
    grace_period_s: float
    consecutive_failures: int
    def __init__(self, command: _Optional[_Union[CommandInfo, _Mapping]] = ..., http: _Optional[_Union[Check.Http, _Mapping]] = ..., tcp: _Optional[_Union[Check.Tcp, _Mapping]] = ..., grpc: _Optional[_Union[Check.Grpc, _Mapping]] = ..., delay_s: _Optional[float] = ..., interval_s: _Optional[float] = ..., timeout_s: _Optional[float] = ..., grace_period_s: _Optional[float] = ..., consecutive_failures: _Optional[int] = ...) -> None: ...

class KillPolicy(_message.Message):
    __slots__ = ("grace_period_s", "signal")
    GRACE_PERIOD_S_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    grace_period_s: float
    signal: str
    def __init__(self, grace_period_s: _Optional[float] = ..., signal: _Optional[str] = ...) -> None: ...

class TaskUse(_message.Message):
    __slots__ = ("framework_id", "task_id", "cpus_used", "mem_used_mib", "cpu_ms", "measured_ms", "told", "gauge")
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    CPUS_USED_FIELD_NUMBER: _ClassVar[int]
    MEM_USED_MIB_FIELD_NUMBER: _ClassVar[int]
    CPU_MS_FIELD_NUMBER: _ClassVar[int]
    MEASURED_MS_FIELD_NUMBER: _ClassVar[int]
    TOLD_FIELD_NUMBER: _ClassVar[int]
    GAUGE_FIELD_NUMBER: _ClassVar[int]
    framework_id: str
    task_id: str
    cpus_used: float
    mem_used_mib: float
    cpu_ms: int
    measured_ms: int
    told: bool
    gauge: float
    def __init__(self, framework_id: _Optional[str] = ..., task_id: _Optional[str] = ..., cpus_used: _Optional[float] = ..., mem_used_mib: _Optional[float] = ..., cpu_ms: _Optional[int] = ..., measured_ms: _Optional[int] = ..., told: _Optional[bool] = ..., gauge: _Optional[float] = ...) -> None: ...

class Measure(_message.Message):
    __slots__ = ("metric", "port_index", "path")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    PORT_INDEX_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    metric: str
    port_index: int
    path: str
    def __init__(self, metric: _Optional[str] = ..., port_index: _Optional[int] = ..., path: _Optional[str] = ...) -> None: ...

class Label(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class ExecutorInfo(_message.Message):
    __slots__ = ("executor_id", "name", "command", "container", "artifacts", "data", "shutdown_grace_period_s", "resources")
    EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SHUTDOWN_GRACE_PERIOD_S_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    executor_id: str
    name: str
    command: CommandInfo
    container: ContainerInfo
    artifacts: _containers.RepeatedCompositeFieldContainer[Artifact]
    data: bytes
    shutdown_grace_period_s: float
    resources: _containers.RepeatedCompositeFieldContainer[Resource]
    def __init__(self, executor_id: _Optional[str] = ..., name: _Optional[str] = ..., command: _Optional[_Union[CommandInfo, _Mapping]] = ..., container: _Optional[_Union[ContainerInfo, _Mapping]] = ..., artifacts: _Optional[_Iterable[_Union[Artifact, _Mapping]]] = ..., data: _Optional[bytes] = ..., shutdown_grace_period_s: _Optional[float] = ..., resources: _Optional[_Iterable[_Union[Resource, _Mapping]]] = ...) -> None: ...

class DiscoveryInfo(_message.Message):
    __slots__ = ("visibility", "name", "environment", "location", "version", "ports", "labels")
    class Visibility(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FRAMEWORK: _ClassVar[DiscoveryInfo.Visibility]
        CLUSTER: _ClassVar[DiscoveryInfo.Visibility]
        EXTERNAL: _ClassVar[DiscoveryInfo.Visibility]
    FRAMEWORK: DiscoveryInfo.Visibility
    CLUSTER: DiscoveryInfo.Visibility
    EXTERNAL: DiscoveryInfo.Visibility
    class Port(_message.Message):
        __slots__ = ("number", "name", "protocol", "visibility", "labels")
        NUMBER_FIELD_NUMBER: _ClassVar[int]
        NAME_FIELD_NUMBER: _ClassVar[int]
        PROTOCOL_FIELD_NUMBER: _ClassVar[int]
        VISIBILITY_FIELD_NUMBER: _ClassVar[int]
        LABELS_FIELD_NUMBER: _ClassVar[int]
        number: int
        name: str
        protocol: str
        visibility: DiscoveryInfo.Visibility
        labels: _containers.RepeatedCompositeFieldContainer[Label]
        def __init__(self, number: _Optional[int] = ..., name: _Optional[str] = ..., protocol: _Optional[str] = ..., visibility: _Optional[_Union[DiscoveryInfo.Visibility, str]] = ..., labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ...) -> None: ...
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    visibility: DiscoveryInfo.Visibility
    name: str
    environment: str
    location: str
    version: str
    ports: _containers.RepeatedCompositeFieldContainer[DiscoveryInfo.Port]
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    def __init__(self, visibility: _Optional[_Union[DiscoveryInfo.Visibility, str]] = ..., name: _Optional[str] = ..., environment: _Optional[str] = ..., location: _Optional[str] = ..., version: _Optional[str] = ..., ports: _Optional[_Iterable[_Union[DiscoveryInfo.Port, _Mapping]]] = ..., labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ...) -> None: ...

class TaskInfo(_message.Message):
    __slots__ = ("task_id", "name", "agent_id", "resources", "command", "container", "kill_policy", "labels", "data", "health_check", "readiness_check", "max_completion_time_s", "artifacts", "executor", "measure", "group_executor_id", "group_executor_resources", "discovery")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    KILL_POLICY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    HEALTH_CHECK_FIELD_NUMBER: _ClassVar[int]
    READINESS_CHECK_FIELD_NUMBER: _ClassVar[int]
    MAX_COMPLETION_TIME_S_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    GROUP_EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_EXECUTOR_RESOURCES_FIELD_NUMBER: _ClassVar[int]
    DISCOVERY_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    name: str
    agent_id: str
    resources: _containers.RepeatedCompositeFieldContainer[Resource]
    command: CommandInfo
    container: ContainerInfo
    kill_policy: KillPolicy
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    data: bytes
    health_check: Check
    readiness_check: Check
    max_completion_time_s: float
    artifacts: _containers.RepeatedCompositeFieldContainer[Artifact]
    executor: ExecutorInfo
    measure: Measure
    group_executor_id: str
    group_executor_resources: _containers.RepeatedCompositeFieldContainer[Resource]
    discovery: DiscoveryInfo
    def __init__(self, task_id: _Optional[str] = ..., name: _Optional[str] = ..., agent_id: _Optional[str] = ..., resources: _Optional[_Iterable[_Union[Resource, _Mapping]]] = ..., command: _Optional[_Union[CommandInfo, _Mapping]] = ..., container: _Optional[_Union[ContainerInfo, _Mapping]] = ..., kill_policy: _Optional[_Union[KillPolicy, _Mapping]] = ..., labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ..., data: _Optional[bytes] = ..., health_check: _Optional[_Union[Check, _Mapping]] = ..., readiness_check: _Optional[_Union[Check, _Mapping]] = ..., max_completion_time_s: _Optional[float] = ..., artifacts: _Optional[_Iterable[_Union[Artifact, _Mapping]]] = ..., executor: _Optional[_Union[ExecutorInfo, _Mapping]] = ..., measure: _Optional[_Union[Measure, _Mapping]] = ..., group_executor_id: _Optional[str] = ..., group_executor_resources: _Optional[_Iterable[_Union[Resource, _Mapping]]] = ..., discovery: _Optional[_Union[DiscoveryInfo, _Mapping]] = ...) -> None: ...

class TaskStatus(_message.Message):
    __slots__ = ("task_id", "state", "reason", "source", "message", "agent_id", "uuid", "timestamp_s", "exit_status", "healthy", "ready", "hostname", "data", "labels", "container_id", "repeated_reason", "image_trouble")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_S_FIELD_NUMBER: _ClassVar[int]
    EXIT_STATUS_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    REPEATED_REASON_FIELD_NUMBER: _ClassVar[int]
    IMAGE_TROUBLE_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    state: TaskState
    reason: Reason
    source: Source
    message: str
    agent_id: str
    uuid: bytes
    timestamp_s: float
    exit_status: int
    healthy: bool
    ready: bool
    hostname: str
    data: bytes
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    container_id: str
    repeated_reason: Reason
    image_trouble: ImageTrouble
    def __init__(self, task_id: _Optional[str] = ..., state: _Optional[_Union[TaskState, str]] = ..., reason: _Optional[_Union[Reason, str]] = ..., source: _Optional[_Union[Source, str]] = ..., message: _Optional[str] = ..., agent_id: _Optional[str] = ..., uuid: _Optional[bytes] = ..., timestamp_s: _Optional[float] = ..., exit_status: _Optional[int] = ..., healthy: _Optional[bool] = ..., ready: _Optional[bool] = ..., hostname: _Optional[str] = ..., data: _Optional[bytes] = ..., labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ..., container_id: _Optional[str] = ..., repeated_reason: _Optional[_Union[Reason, str]] = ..., image_trouble: _Optional[_Union[ImageTrouble, str]] = ...) -> None: ...

class FrameworkInfo(_message.Message):
    __slots__ = ("framework_id", "name", "user", "roles", "failover_timeout_s", "capabilities", "principal", "checkpoint", "hostname", "webui_url", "jobs_address", "labels", "epoch", "job_roles")
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    FAILOVER_TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    WEBUI_URL_FIELD_NUMBER: _ClassVar[int]
    JOBS_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    JOB_ROLES_FIELD_NUMBER: _ClassVar[int]
    framework_id: str
    name: str
    user: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    failover_timeout_s: float
    capabilities: _containers.RepeatedScalarFieldContainer[FrameworkCapability]
    principal: str
    checkpoint: bool
    hostname: str
    webui_url: str
    jobs_address: str
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    epoch: int
    job_roles: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, framework_id: _Optional[str] = ..., name: _Optional[str] = ..., user: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., failover_timeout_s: _Optional[float] = ..., capabilities: _Optional[_Iterable[_Union[FrameworkCapability, str]]] = ..., principal: _Optional[str] = ..., checkpoint: _Optional[bool] = ..., hostname: _Optional[str] = ..., webui_url: _Optional[str] = ..., jobs_address: _Optional[str] = ..., labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ..., epoch: _Optional[int] = ..., job_roles: _Optional[_Iterable[str]] = ...) -> None: ...

class Offer(_message.Message):
    __slots__ = ("offer_id", "framework_id", "agent_id", "hostname", "role", "resources", "attributes", "agent_total", "runtimes", "optimistic", "unavailability", "agent_capabilities", "agent_ip")
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    AGENT_TOTAL_FIELD_NUMBER: _ClassVar[int]
    RUNTIMES_FIELD_NUMBER: _ClassVar[int]
    OPTIMISTIC_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    AGENT_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    AGENT_IP_FIELD_NUMBER: _ClassVar[int]
    offer_id: str
    framework_id: str
    agent_id: str
    hostname: str
    role: str
    resources: _containers.RepeatedCompositeFieldContainer[Resource]
    attributes: _containers.RepeatedCompositeFieldContainer[Attribute]
    agent_total: _containers.RepeatedCompositeFieldContainer[Resource]
    runtimes: _containers.RepeatedScalarFieldContainer[str]
    optimistic: bool
    unavailability: Unavailability
    agent_capabilities: _containers.RepeatedScalarFieldContainer[AgentCapability]
    agent_ip: str
    def __init__(self, offer_id: _Optional[str] = ..., framework_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., hostname: _Optional[str] = ..., role: _Optional[str] = ..., resources: _Optional[_Iterable[_Union[Resource, _Mapping]]] = ..., attributes: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ..., agent_total: _Optional[_Iterable[_Union[Resource, _Mapping]]] = ..., runtimes: _Optional[_Iterable[str]] = ..., optimistic: _Optional[bool] = ..., unavailability: _Optional[_Union[Unavailability, _Mapping]] = ..., agent_capabilities: _Optional[_Iterable[_Union[AgentCapability, str]]] = ..., agent_ip: _Optional[str] = ...) -> None: ...

class Unavailability(_message.Message):
    __slots__ = ("start_s", "duration_s")
    START_S_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    start_s: float
    duration_s: float
    def __init__(self, start_s: _Optional[float] = ..., duration_s: _Optional[float] = ...) -> None: ...

class InverseOffer(_message.Message):
    __slots__ = ("inverse_offer_id", "framework_id", "agent_id", "unavailability")
    INVERSE_OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    inverse_offer_id: str
    framework_id: str
    agent_id: str
    unavailability: Unavailability
    def __init__(self, inverse_offer_id: _Optional[str] = ..., framework_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., unavailability: _Optional[_Union[Unavailability, _Mapping]] = ...) -> None: ...

class AgentInfo(_message.Message):
    __slots__ = ("agent_id", "address", "resources", "attributes", "runtimes", "isolation", "version", "unavailable", "principal", "set_aside", "capabilities", "mesos_port")
    class IsolationEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class UnavailableEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class SetAsideEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    RUNTIMES_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    SET_ASIDE_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    MESOS_PORT_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    address: Address
    resources: _containers.RepeatedCompositeFieldContainer[Resource]
    attributes: _containers.RepeatedCompositeFieldContainer[Attribute]
    runtimes: _containers.RepeatedScalarFieldContainer[str]
    isolation: _containers.ScalarMap[str, str]
    version: str
    unavailable: _containers.ScalarMap[str, str]
    principal: str
    set_aside: _containers.ScalarMap[str, str]
    capabilities: _containers.RepeatedScalarFieldContainer[AgentCapability]
    mesos_port: int
    def __init__(self, agent_id: _Optional[str] = ..., address: _Optional[_Union[Address, _Mapping]] = ..., resources: _Optional[_Iterable[_Union[Resource, _Mapping]]] = ..., attributes: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ..., runtimes: _Optional[_Iterable[str]] = ..., isolation: _Optional[_Mapping[str, str]] = ..., version: _Optional[str] = ..., unavailable: _Optional[_Mapping[str, str]] = ..., principal: _Optional[str] = ..., set_aside: _Optional[_Mapping[str, str]] = ..., capabilities: _Optional[_Iterable[_Union[AgentCapability, str]]] = ..., mesos_port: _Optional[int] = ...) -> None: ...
