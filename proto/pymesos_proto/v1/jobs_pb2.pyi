from pymesos_proto.v1 import types_pb2 as _types_pb2
from pymesos_proto.v1 import operator_pb2 as _operator_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SubmitJobRequest(_message.Message):
    __slots__ = ("job_json", "request_id", "same_name", "job_text")
    JOB_JSON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SAME_NAME_FIELD_NUMBER: _ClassVar[int]
    JOB_TEXT_FIELD_NUMBER: _ClassVar[int]
    job_json: str
    request_id: str
    same_name: bool
    job_text: str
    def __init__(self, job_json: _Optional[str] = ..., request_id: _Optional[str] = ..., same_name: _Optional[bool] = ..., job_text: _Optional[str] = ...) -> None: ...

class SubmitJobResponse(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class ApplyJobRequest(_message.Message):
    __slots__ = ("job_json", "request_id", "job_id", "dry_run", "if_version", "keep_counts", "rerun", "job_text", "agents", "agents_left_out")
    JOB_JSON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    IF_VERSION_FIELD_NUMBER: _ClassVar[int]
    KEEP_COUNTS_FIELD_NUMBER: _ClassVar[int]
    RERUN_FIELD_NUMBER: _ClassVar[int]
    JOB_TEXT_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    AGENTS_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    job_json: str
    request_id: str
    job_id: str
    dry_run: bool
    if_version: int
    keep_counts: bool
    rerun: bool
    job_text: str
    agents: _containers.RepeatedCompositeFieldContainer[_operator_pb2.AgentView]
    agents_left_out: int
    def __init__(self, job_json: _Optional[str] = ..., request_id: _Optional[str] = ..., job_id: _Optional[str] = ..., dry_run: _Optional[bool] = ..., if_version: _Optional[int] = ..., keep_counts: _Optional[bool] = ..., rerun: _Optional[bool] = ..., job_text: _Optional[str] = ..., agents: _Optional[_Iterable[_Union[_operator_pb2.AgentView, _Mapping]]] = ..., agents_left_out: _Optional[int] = ...) -> None: ...

class ApplyJobResponse(_message.Message):
    __slots__ = ("job_id", "version", "created", "changed", "changes", "more_changes", "tasks", "policy", "where", "where_note", "warnings")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    MORE_CHANGES_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    WHERE_NOTE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    version: int
    created: bool
    changed: bool
    changes: _containers.RepeatedCompositeFieldContainer[FieldChange]
    more_changes: int
    tasks: _containers.RepeatedCompositeFieldContainer[TaskChange]
    policy: str
    where: _containers.RepeatedCompositeFieldContainer[TaskPlaces]
    where_note: str
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, job_id: _Optional[str] = ..., version: _Optional[int] = ..., created: _Optional[bool] = ..., changed: _Optional[bool] = ..., changes: _Optional[_Iterable[_Union[FieldChange, _Mapping]]] = ..., more_changes: _Optional[int] = ..., tasks: _Optional[_Iterable[_Union[TaskChange, _Mapping]]] = ..., policy: _Optional[str] = ..., where: _Optional[_Iterable[_Union[TaskPlaces, _Mapping]]] = ..., where_note: _Optional[str] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class TaskPlaces(_message.Message):
    __slots__ = ("task_name", "places", "waiting", "why", "never", "preempting", "preempted")
    class Place(_message.Message):
        __slots__ = ("hostname", "instances")
        HOSTNAME_FIELD_NUMBER: _ClassVar[int]
        INSTANCES_FIELD_NUMBER: _ClassVar[int]
        hostname: str
        instances: int
        def __init__(self, hostname: _Optional[str] = ..., instances: _Optional[int] = ...) -> None: ...
    class Victim(_message.Message):
        __slots__ = ("job_id", "name", "hostname", "priority")
        JOB_ID_FIELD_NUMBER: _ClassVar[int]
        NAME_FIELD_NUMBER: _ClassVar[int]
        HOSTNAME_FIELD_NUMBER: _ClassVar[int]
        PRIORITY_FIELD_NUMBER: _ClassVar[int]
        job_id: str
        name: str
        hostname: str
        priority: int
        def __init__(self, job_id: _Optional[str] = ..., name: _Optional[str] = ..., hostname: _Optional[str] = ..., priority: _Optional[int] = ...) -> None: ...
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    NEVER_FIELD_NUMBER: _ClassVar[int]
    PREEMPTING_FIELD_NUMBER: _ClassVar[int]
    PREEMPTED_FIELD_NUMBER: _ClassVar[int]
    task_name: str
    places: _containers.RepeatedCompositeFieldContainer[TaskPlaces.Place]
    waiting: int
    why: str
    never: bool
    preempting: int
    preempted: _containers.RepeatedCompositeFieldContainer[TaskPlaces.Victim]
    def __init__(self, task_name: _Optional[str] = ..., places: _Optional[_Iterable[_Union[TaskPlaces.Place, _Mapping]]] = ..., waiting: _Optional[int] = ..., why: _Optional[str] = ..., never: _Optional[bool] = ..., preempting: _Optional[int] = ..., preempted: _Optional[_Iterable[_Union[TaskPlaces.Victim, _Mapping]]] = ...) -> None: ...

class FieldChange(_message.Message):
    __slots__ = ("path", "before", "after")
    PATH_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    path: str
    before: str
    after: str
    def __init__(self, path: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class TaskChange(_message.Message):
    __slots__ = ("task_name", "stay", "start", "stop", "replace", "finish", "outage")
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    STAY_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    OUTAGE_FIELD_NUMBER: _ClassVar[int]
    task_name: str
    stay: int
    start: int
    stop: int
    replace: int
    finish: int
    outage: str
    def __init__(self, task_name: _Optional[str] = ..., stay: _Optional[int] = ..., start: _Optional[int] = ..., stop: _Optional[int] = ..., replace: _Optional[int] = ..., finish: _Optional[int] = ..., outage: _Optional[str] = ...) -> None: ...

class ScaleJobRequest(_message.Message):
    __slots__ = ("job_id", "counts", "request_id", "if_version")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    IF_VERSION_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    counts: _containers.ScalarMap[str, int]
    request_id: str
    if_version: int
    def __init__(self, job_id: _Optional[str] = ..., counts: _Optional[_Mapping[str, int]] = ..., request_id: _Optional[str] = ..., if_version: _Optional[int] = ...) -> None: ...

class RestartJobRequest(_message.Message):
    __slots__ = ("job_id", "tasks", "request_id", "lose_volumes")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LOSE_VOLUMES_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    tasks: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    lose_volumes: bool
    def __init__(self, job_id: _Optional[str] = ..., tasks: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ..., lose_volumes: _Optional[bool] = ...) -> None: ...

class TriggerJobRequest(_message.Message):
    __slots__ = ("job_id", "task_name", "args", "request_id")
    class ArgsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    task_name: str
    args: _containers.ScalarMap[str, str]
    request_id: str
    def __init__(self, job_id: _Optional[str] = ..., task_name: _Optional[str] = ..., args: _Optional[_Mapping[str, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class TriggerJobResponse(_message.Message):
    __slots__ = ("task_name", "run")
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    task_name: str
    run: RunView
    def __init__(self, task_name: _Optional[str] = ..., run: _Optional[_Union[RunView, _Mapping]] = ...) -> None: ...

class RollbackJobRequest(_message.Message):
    __slots__ = ("job_id", "version", "request_id")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    version: int
    request_id: str
    def __init__(self, job_id: _Optional[str] = ..., version: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class ChangeJobResponse(_message.Message):
    __slots__ = ("job_id", "version", "changed", "what")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    version: int
    changed: bool
    what: str
    def __init__(self, job_id: _Optional[str] = ..., version: _Optional[int] = ..., changed: _Optional[bool] = ..., what: _Optional[str] = ...) -> None: ...

class RolloutView(_message.Message):
    __slots__ = ("task_name", "state", "why", "from_version", "to_version", "by", "began_at_s", "going", "wanted", "old", "made", "ready", "surge")
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    FROM_VERSION_FIELD_NUMBER: _ClassVar[int]
    TO_VERSION_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    BEGAN_AT_S_FIELD_NUMBER: _ClassVar[int]
    GOING_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    OLD_FIELD_NUMBER: _ClassVar[int]
    MADE_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    SURGE_FIELD_NUMBER: _ClassVar[int]
    task_name: str
    state: str
    why: str
    from_version: int
    to_version: int
    by: str
    began_at_s: float
    going: bool
    wanted: int
    old: int
    made: int
    ready: int
    surge: int
    def __init__(self, task_name: _Optional[str] = ..., state: _Optional[str] = ..., why: _Optional[str] = ..., from_version: _Optional[int] = ..., to_version: _Optional[int] = ..., by: _Optional[str] = ..., began_at_s: _Optional[float] = ..., going: _Optional[bool] = ..., wanted: _Optional[int] = ..., old: _Optional[int] = ..., made: _Optional[int] = ..., ready: _Optional[int] = ..., surge: _Optional[int] = ...) -> None: ...

class RolloutRequest(_message.Message):
    __slots__ = ("job_id", "task_name")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    task_name: str
    def __init__(self, job_id: _Optional[str] = ..., task_name: _Optional[str] = ...) -> None: ...

class RolloutResponse(_message.Message):
    __slots__ = ("rollouts",)
    ROLLOUTS_FIELD_NUMBER: _ClassVar[int]
    rollouts: _containers.RepeatedCompositeFieldContainer[RolloutView]
    def __init__(self, rollouts: _Optional[_Iterable[_Union[RolloutView, _Mapping]]] = ...) -> None: ...

class VersionView(_message.Message):
    __slots__ = ("version", "made_at_s", "made_by", "what", "changes", "more_changes")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MADE_AT_S_FIELD_NUMBER: _ClassVar[int]
    MADE_BY_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    MORE_CHANGES_FIELD_NUMBER: _ClassVar[int]
    version: int
    made_at_s: float
    made_by: str
    what: str
    changes: _containers.RepeatedCompositeFieldContainer[FieldChange]
    more_changes: int
    def __init__(self, version: _Optional[int] = ..., made_at_s: _Optional[float] = ..., made_by: _Optional[str] = ..., what: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[FieldChange, _Mapping]]] = ..., more_changes: _Optional[int] = ...) -> None: ...

class ListVersionsRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class ListVersionsResponse(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[VersionView]
    def __init__(self, versions: _Optional[_Iterable[_Union[VersionView, _Mapping]]] = ...) -> None: ...

class DescribeJobRequest(_message.Message):
    __slots__ = ("job_id", "version")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    version: int
    def __init__(self, job_id: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class DescribeJobResponse(_message.Message):
    __slots__ = ("job_id", "version", "job_json", "env_hidden", "scaled_counts")
    class ScaledCountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    JOB_JSON_FIELD_NUMBER: _ClassVar[int]
    ENV_HIDDEN_FIELD_NUMBER: _ClassVar[int]
    SCALED_COUNTS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    version: VersionView
    job_json: str
    env_hidden: bool
    scaled_counts: _containers.ScalarMap[str, int]
    def __init__(self, job_id: _Optional[str] = ..., version: _Optional[_Union[VersionView, _Mapping]] = ..., job_json: _Optional[str] = ..., env_hidden: _Optional[bool] = ..., scaled_counts: _Optional[_Mapping[str, int]] = ...) -> None: ...

class JobVersion(_message.Message):
    __slots__ = ("version", "made_at_s", "made_by", "what", "job_json")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MADE_AT_S_FIELD_NUMBER: _ClassVar[int]
    MADE_BY_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    JOB_JSON_FIELD_NUMBER: _ClassVar[int]
    version: int
    made_at_s: float
    made_by: str
    what: str
    job_json: str
    def __init__(self, version: _Optional[int] = ..., made_at_s: _Optional[float] = ..., made_by: _Optional[str] = ..., what: _Optional[str] = ..., job_json: _Optional[str] = ...) -> None: ...

class RestoreJobRequest(_message.Message):
    __slots__ = ("request_id", "versions", "scaled_counts")
    class ScaledCountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SCALED_COUNTS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    versions: _containers.RepeatedCompositeFieldContainer[JobVersion]
    scaled_counts: _containers.ScalarMap[str, int]
    def __init__(self, request_id: _Optional[str] = ..., versions: _Optional[_Iterable[_Union[JobVersion, _Mapping]]] = ..., scaled_counts: _Optional[_Mapping[str, int]] = ...) -> None: ...

class RestoreJobResponse(_message.Message):
    __slots__ = ("job_id", "version")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    version: int
    def __init__(self, job_id: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class InstanceView(_message.Message):
    __slots__ = ("task_name", "instance", "task_id", "state", "hostname", "agent_id", "ports", "attempts", "explanation", "done", "exit_status", "reason", "service", "stuck", "nearest", "offers_seen", "cause", "next_start_at_s", "needs", "needs_ports", "data_on", "version", "ready", "leaving", "removed", "serving", "name", "address", "port_names")
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    EXIT_STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    STUCK_FIELD_NUMBER: _ClassVar[int]
    NEAREST_FIELD_NUMBER: _ClassVar[int]
    OFFERS_SEEN_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    NEXT_START_AT_S_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    NEEDS_PORTS_FIELD_NUMBER: _ClassVar[int]
    DATA_ON_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PORT_NAMES_FIELD_NUMBER: _ClassVar[int]
    task_name: str
    instance: int
    task_id: str
    state: _types_pb2.TaskState
    hostname: str
    agent_id: str
    ports: _containers.RepeatedScalarFieldContainer[int]
    attempts: int
    explanation: str
    done: bool
    exit_status: int
    reason: _types_pb2.Reason
    service: bool
    stuck: bool
    nearest: str
    offers_seen: int
    cause: str
    next_start_at_s: float
    needs: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    needs_ports: int
    data_on: str
    version: int
    ready: bool
    leaving: str
    removed: bool
    serving: bool
    name: str
    address: str
    port_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, task_name: _Optional[str] = ..., instance: _Optional[int] = ..., task_id: _Optional[str] = ..., state: _Optional[_Union[_types_pb2.TaskState, str]] = ..., hostname: _Optional[str] = ..., agent_id: _Optional[str] = ..., ports: _Optional[_Iterable[int]] = ..., attempts: _Optional[int] = ..., explanation: _Optional[str] = ..., done: _Optional[bool] = ..., exit_status: _Optional[int] = ..., reason: _Optional[_Union[_types_pb2.Reason, str]] = ..., service: _Optional[bool] = ..., stuck: _Optional[bool] = ..., nearest: _Optional[str] = ..., offers_seen: _Optional[int] = ..., cause: _Optional[str] = ..., next_start_at_s: _Optional[float] = ..., needs: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., needs_ports: _Optional[int] = ..., data_on: _Optional[str] = ..., version: _Optional[int] = ..., ready: _Optional[bool] = ..., leaving: _Optional[str] = ..., removed: _Optional[bool] = ..., serving: _Optional[bool] = ..., name: _Optional[str] = ..., address: _Optional[str] = ..., port_names: _Optional[_Iterable[str]] = ...) -> None: ...

class JobView(_message.Message):
    __slots__ = ("job_id", "name", "state", "instances", "counts", "submitted_at_s", "framework_id", "more", "explanation", "version", "settled", "rollouts", "priority", "role", "periodic", "scaling", "package", "daemons")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AT_S_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    ROLLOUTS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PERIODIC_FIELD_NUMBER: _ClassVar[int]
    SCALING_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    DAEMONS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    name: str
    state: str
    instances: _containers.RepeatedCompositeFieldContainer[InstanceView]
    counts: _containers.ScalarMap[str, int]
    submitted_at_s: float
    framework_id: str
    more: bool
    explanation: str
    version: int
    settled: bool
    rollouts: _containers.RepeatedCompositeFieldContainer[RolloutView]
    priority: int
    role: str
    periodic: _containers.RepeatedCompositeFieldContainer[PeriodicView]
    scaling: _containers.RepeatedCompositeFieldContainer[ScalingView]
    package: PackageView
    daemons: _containers.RepeatedCompositeFieldContainer[DaemonView]
    def __init__(self, job_id: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[str] = ..., instances: _Optional[_Iterable[_Union[InstanceView, _Mapping]]] = ..., counts: _Optional[_Mapping[str, int]] = ..., submitted_at_s: _Optional[float] = ..., framework_id: _Optional[str] = ..., more: _Optional[bool] = ..., explanation: _Optional[str] = ..., version: _Optional[int] = ..., settled: _Optional[bool] = ..., rollouts: _Optional[_Iterable[_Union[RolloutView, _Mapping]]] = ..., priority: _Optional[int] = ..., role: _Optional[str] = ..., periodic: _Optional[_Iterable[_Union[PeriodicView, _Mapping]]] = ..., scaling: _Optional[_Iterable[_Union[ScalingView, _Mapping]]] = ..., package: _Optional[_Union[PackageView, _Mapping]] = ..., daemons: _Optional[_Iterable[_Union[DaemonView, _Mapping]]] = ...) -> None: ...

class DaemonView(_message.Message):
    __slots__ = ("task_name", "agents", "wanted", "running", "not_eligible", "examples")
    class NotEligible(_message.Message):
        __slots__ = ("agent_id", "hostname", "why")
        AGENT_ID_FIELD_NUMBER: _ClassVar[int]
        HOSTNAME_FIELD_NUMBER: _ClassVar[int]
        WHY_FIELD_NUMBER: _ClassVar[int]
        agent_id: str
        hostname: str
        why: str
        def __init__(self, agent_id: _Optional[str] = ..., hostname: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    NOT_ELIGIBLE_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    task_name: str
    agents: int
    wanted: int
    running: int
    not_eligible: int
    examples: _containers.RepeatedCompositeFieldContainer[DaemonView.NotEligible]
    def __init__(self, task_name: _Optional[str] = ..., agents: _Optional[int] = ..., wanted: _Optional[int] = ..., running: _Optional[int] = ..., not_eligible: _Optional[int] = ..., examples: _Optional[_Iterable[_Union[DaemonView.NotEligible, _Mapping]]] = ...) -> None: ...

class PackageView(_message.Message):
    __slots__ = ("name", "version", "repository", "repository_key")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REPOSITORY_FIELD_NUMBER: _ClassVar[int]
    REPOSITORY_KEY_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    repository: str
    repository_key: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., repository: _Optional[str] = ..., repository_key: _Optional[str] = ...) -> None: ...

class RunView(_message.Message):
    __slots__ = ("run_id", "due_at_s", "began_at_s", "ended_at_s", "state", "by")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    DUE_AT_S_FIELD_NUMBER: _ClassVar[int]
    BEGAN_AT_S_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_S_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    due_at_s: float
    began_at_s: float
    ended_at_s: float
    state: str
    by: str
    def __init__(self, run_id: _Optional[str] = ..., due_at_s: _Optional[float] = ..., began_at_s: _Optional[float] = ..., ended_at_s: _Optional[float] = ..., state: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class PeriodicView(_message.Message):
    __slots__ = ("task_name", "schedule", "time_zone", "next_at_s", "note", "runs")
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    NEXT_AT_S_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    task_name: str
    schedule: str
    time_zone: str
    next_at_s: float
    note: str
    runs: _containers.RepeatedCompositeFieldContainer[RunView]
    def __init__(self, task_name: _Optional[str] = ..., schedule: _Optional[str] = ..., time_zone: _Optional[str] = ..., next_at_s: _Optional[float] = ..., note: _Optional[str] = ..., runs: _Optional[_Iterable[_Union[RunView, _Mapping]]] = ...) -> None: ...

class ScaleStepView(_message.Message):
    __slots__ = ("at_s", "before", "after", "why")
    AT_S_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    at_s: float
    before: int
    after: int
    why: str
    def __init__(self, at_s: _Optional[float] = ..., before: _Optional[int] = ..., after: _Optional[int] = ..., why: _Optional[str] = ...) -> None: ...

class ScalingView(_message.Message):
    __slots__ = ("task_name", "count", "min", "max", "target", "note", "steps")
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    task_name: str
    count: int
    min: int
    max: int
    target: str
    note: str
    steps: _containers.RepeatedCompositeFieldContainer[ScaleStepView]
    def __init__(self, task_name: _Optional[str] = ..., count: _Optional[int] = ..., min: _Optional[int] = ..., max: _Optional[int] = ..., target: _Optional[str] = ..., note: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[ScaleStepView, _Mapping]]] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("include_ended", "page_size", "page_token", "called", "role", "search", "sort")
    INCLUDE_ENDED_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CALLED_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    SORT_FIELD_NUMBER: _ClassVar[int]
    include_ended: bool
    page_size: int
    page_token: str
    called: str
    role: str
    search: str
    sort: str
    def __init__(self, include_ended: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., called: _Optional[str] = ..., role: _Optional[str] = ..., search: _Optional[str] = ..., sort: _Optional[str] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[JobView]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[JobView, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListInstancesRequest(_message.Message):
    __slots__ = ("job_id", "page_size", "page_token")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    page_size: int
    page_token: str
    def __init__(self, job_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListInstancesResponse(_message.Message):
    __slots__ = ("instances", "next_page_token")
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    instances: _containers.RepeatedCompositeFieldContainer[InstanceView]
    next_page_token: str
    def __init__(self, instances: _Optional[_Iterable[_Union[InstanceView, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class ExplainPlacementRequest(_message.Message):
    __slots__ = ("task_id",)
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    def __init__(self, task_id: _Optional[str] = ...) -> None: ...

class ExplainPlacementResponse(_message.Message):
    __slots__ = ("hostname", "agent_id", "placed_at_s", "policy", "scores_mean", "considered", "fitted", "score", "others", "ruled_out", "unknown")
    class Other(_message.Message):
        __slots__ = ("hostname", "score")
        HOSTNAME_FIELD_NUMBER: _ClassVar[int]
        SCORE_FIELD_NUMBER: _ClassVar[int]
        hostname: str
        score: float
        def __init__(self, hostname: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...
    class RuledOut(_message.Message):
        __slots__ = ("rule", "agents", "examples")
        RULE_FIELD_NUMBER: _ClassVar[int]
        AGENTS_FIELD_NUMBER: _ClassVar[int]
        EXAMPLES_FIELD_NUMBER: _ClassVar[int]
        rule: str
        agents: int
        examples: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, rule: _Optional[str] = ..., agents: _Optional[int] = ..., examples: _Optional[_Iterable[str]] = ...) -> None: ...
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    PLACED_AT_S_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SCORES_MEAN_FIELD_NUMBER: _ClassVar[int]
    CONSIDERED_FIELD_NUMBER: _ClassVar[int]
    FITTED_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    RULED_OUT_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    hostname: str
    agent_id: str
    placed_at_s: float
    policy: str
    scores_mean: str
    considered: int
    fitted: int
    score: float
    others: _containers.RepeatedCompositeFieldContainer[ExplainPlacementResponse.Other]
    ruled_out: _containers.RepeatedCompositeFieldContainer[ExplainPlacementResponse.RuledOut]
    unknown: str
    def __init__(self, hostname: _Optional[str] = ..., agent_id: _Optional[str] = ..., placed_at_s: _Optional[float] = ..., policy: _Optional[str] = ..., scores_mean: _Optional[str] = ..., considered: _Optional[int] = ..., fitted: _Optional[int] = ..., score: _Optional[float] = ..., others: _Optional[_Iterable[_Union[ExplainPlacementResponse.Other, _Mapping]]] = ..., ruled_out: _Optional[_Iterable[_Union[ExplainPlacementResponse.RuledOut, _Mapping]]] = ..., unknown: _Optional[str] = ...) -> None: ...

class StopJobRequest(_message.Message):
    __slots__ = ("job_id", "now")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    now: bool
    def __init__(self, job_id: _Optional[str] = ..., now: _Optional[bool] = ...) -> None: ...

class StopJobResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QuarantinedJob(_message.Message):
    __slots__ = ("job_id", "reason", "framework_id", "submitted_at_s", "task_ids", "document")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AT_S_FIELD_NUMBER: _ClassVar[int]
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    reason: str
    framework_id: str
    submitted_at_s: float
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    document: str
    def __init__(self, job_id: _Optional[str] = ..., reason: _Optional[str] = ..., framework_id: _Optional[str] = ..., submitted_at_s: _Optional[float] = ..., task_ids: _Optional[_Iterable[str]] = ..., document: _Optional[str] = ...) -> None: ...

class ListQuarantinedRequest(_message.Message):
    __slots__ = ("job_id", "page_token")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    page_token: str
    def __init__(self, job_id: _Optional[str] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListQuarantinedResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[QuarantinedJob]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[QuarantinedJob, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ReleaseQuarantinedRequest(_message.Message):
    __slots__ = ("job_id", "discard")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    DISCARD_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    discard: bool
    def __init__(self, job_id: _Optional[str] = ..., discard: _Optional[bool] = ...) -> None: ...

class ReleaseQuarantinedResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VolumeView(_message.Message):
    __slots__ = ("volume_id", "role", "job_name", "task_name", "instance", "name", "agent_id", "hostname", "size_mib", "job_id")
    VOLUME_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    JOB_NAME_FIELD_NUMBER: _ClassVar[int]
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_MIB_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    volume_id: str
    role: str
    job_name: str
    task_name: str
    instance: int
    name: str
    agent_id: str
    hostname: str
    size_mib: float
    job_id: str
    def __init__(self, volume_id: _Optional[str] = ..., role: _Optional[str] = ..., job_name: _Optional[str] = ..., task_name: _Optional[str] = ..., instance: _Optional[int] = ..., name: _Optional[str] = ..., agent_id: _Optional[str] = ..., hostname: _Optional[str] = ..., size_mib: _Optional[float] = ..., job_id: _Optional[str] = ...) -> None: ...

class ListVolumesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListVolumesResponse(_message.Message):
    __slots__ = ("volumes", "next_page_token")
    VOLUMES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    volumes: _containers.RepeatedCompositeFieldContainer[VolumeView]
    next_page_token: str
    def __init__(self, volumes: _Optional[_Iterable[_Union[VolumeView, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ForgetVolumeRequest(_message.Message):
    __slots__ = ("role", "volume_id", "check_only")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    VOLUME_ID_FIELD_NUMBER: _ClassVar[int]
    CHECK_ONLY_FIELD_NUMBER: _ClassVar[int]
    role: str
    volume_id: str
    check_only: bool
    def __init__(self, role: _Optional[str] = ..., volume_id: _Optional[str] = ..., check_only: _Optional[bool] = ...) -> None: ...

class ForgetVolumeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AlertView(_message.Message):
    __slots__ = ("key", "job_id", "job_name", "role", "task_name", "when", "receiver", "state", "since_s", "fired_at_s", "summary", "known", "silenced_until_s", "silenced_by", "silenced_for")
    KEY_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SINCE_S_FIELD_NUMBER: _ClassVar[int]
    FIRED_AT_S_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    SILENCED_UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    SILENCED_BY_FIELD_NUMBER: _ClassVar[int]
    SILENCED_FOR_FIELD_NUMBER: _ClassVar[int]
    key: str
    job_id: str
    job_name: str
    role: str
    task_name: str
    when: str
    receiver: str
    state: str
    since_s: float
    fired_at_s: float
    summary: str
    known: bool
    silenced_until_s: float
    silenced_by: str
    silenced_for: str
    def __init__(self, key: _Optional[str] = ..., job_id: _Optional[str] = ..., job_name: _Optional[str] = ..., role: _Optional[str] = ..., task_name: _Optional[str] = ..., when: _Optional[str] = ..., receiver: _Optional[str] = ..., state: _Optional[str] = ..., since_s: _Optional[float] = ..., fired_at_s: _Optional[float] = ..., summary: _Optional[str] = ..., known: _Optional[bool] = ..., silenced_until_s: _Optional[float] = ..., silenced_by: _Optional[str] = ..., silenced_for: _Optional[str] = ...) -> None: ...

class ListAlertsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAlertsResponse(_message.Message):
    __slots__ = ("alerts", "next_page_token", "receivers", "unreached", "silences", "more_silences")
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RECEIVERS_FIELD_NUMBER: _ClassVar[int]
    UNREACHED_FIELD_NUMBER: _ClassVar[int]
    SILENCES_FIELD_NUMBER: _ClassVar[int]
    MORE_SILENCES_FIELD_NUMBER: _ClassVar[int]
    alerts: _containers.RepeatedCompositeFieldContainer[AlertView]
    next_page_token: str
    receivers: _containers.RepeatedScalarFieldContainer[str]
    unreached: _containers.RepeatedCompositeFieldContainer[_operator_pb2.ReceiverView]
    silences: _containers.RepeatedCompositeFieldContainer[JobSilenceView]
    more_silences: int
    def __init__(self, alerts: _Optional[_Iterable[_Union[AlertView, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., receivers: _Optional[_Iterable[str]] = ..., unreached: _Optional[_Iterable[_Union[_operator_pb2.ReceiverView, _Mapping]]] = ..., silences: _Optional[_Iterable[_Union[JobSilenceView, _Mapping]]] = ..., more_silences: _Optional[int] = ...) -> None: ...

class JobSilenceView(_message.Message):
    __slots__ = ("job_id", "job_name", "role", "task_name", "when", "until_s", "by", "why")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    job_name: str
    role: str
    task_name: str
    when: str
    until_s: float
    by: str
    why: str
    def __init__(self, job_id: _Optional[str] = ..., job_name: _Optional[str] = ..., role: _Optional[str] = ..., task_name: _Optional[str] = ..., when: _Optional[str] = ..., until_s: _Optional[float] = ..., by: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class SilenceAlertsRequest(_message.Message):
    __slots__ = ("job_id", "task_name", "when", "for_s", "why")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_NAME_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    FOR_S_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    task_name: str
    when: str
    for_s: int
    why: str
    def __init__(self, job_id: _Optional[str] = ..., task_name: _Optional[str] = ..., when: _Optional[str] = ..., for_s: _Optional[int] = ..., why: _Optional[str] = ...) -> None: ...

class SilenceAlertsResponse(_message.Message):
    __slots__ = ("replaced",)
    REPLACED_FIELD_NUMBER: _ClassVar[int]
    replaced: str
    def __init__(self, replaced: _Optional[str] = ...) -> None: ...

class TestReceiverRequest(_message.Message):
    __slots__ = ("receiver",)
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    receiver: str
    def __init__(self, receiver: _Optional[str] = ...) -> None: ...

class TestReceiverResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class VariableView(_message.Message):
    __slots__ = ("role", "name", "value", "version", "set_by", "set_at_s", "hidden", "jobs", "spreading", "untaken")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SET_BY_FIELD_NUMBER: _ClassVar[int]
    SET_AT_S_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    SPREADING_FIELD_NUMBER: _ClassVar[int]
    UNTAKEN_FIELD_NUMBER: _ClassVar[int]
    role: str
    name: str
    value: str
    version: int
    set_by: str
    set_at_s: float
    hidden: bool
    jobs: int
    spreading: bool
    untaken: _containers.RepeatedCompositeFieldContainer[UntakenVariable]
    def __init__(self, role: _Optional[str] = ..., name: _Optional[str] = ..., value: _Optional[str] = ..., version: _Optional[int] = ..., set_by: _Optional[str] = ..., set_at_s: _Optional[float] = ..., hidden: _Optional[bool] = ..., jobs: _Optional[int] = ..., spreading: _Optional[bool] = ..., untaken: _Optional[_Iterable[_Union[UntakenVariable, _Mapping]]] = ...) -> None: ...

class UntakenVariable(_message.Message):
    __slots__ = ("job_id", "why")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    why: str
    def __init__(self, job_id: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class ListVariablesRequest(_message.Message):
    __slots__ = ("role", "page_size", "page_token")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    role: str
    page_size: int
    page_token: str
    def __init__(self, role: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListVariablesResponse(_message.Message):
    __slots__ = ("variables", "next_page_token")
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    variables: _containers.RepeatedCompositeFieldContainer[VariableView]
    next_page_token: str
    def __init__(self, variables: _Optional[_Iterable[_Union[VariableView, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetVariableRequest(_message.Message):
    __slots__ = ("role", "name")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    role: str
    name: str
    def __init__(self, role: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class GetVariableResponse(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[VariableView]
    def __init__(self, versions: _Optional[_Iterable[_Union[VariableView, _Mapping]]] = ...) -> None: ...

class SetVariableRequest(_message.Message):
    __slots__ = ("role", "name", "value", "request_id", "if_version")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    IF_VERSION_FIELD_NUMBER: _ClassVar[int]
    role: str
    name: str
    value: str
    request_id: str
    if_version: int
    def __init__(self, role: _Optional[str] = ..., name: _Optional[str] = ..., value: _Optional[str] = ..., request_id: _Optional[str] = ..., if_version: _Optional[int] = ...) -> None: ...

class SetVariableResponse(_message.Message):
    __slots__ = ("version", "changed", "jobs")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    version: int
    changed: bool
    jobs: int
    def __init__(self, version: _Optional[int] = ..., changed: _Optional[bool] = ..., jobs: _Optional[int] = ...) -> None: ...

class RemoveVariableRequest(_message.Message):
    __slots__ = ("role", "name", "force")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    role: str
    name: str
    force: bool
    def __init__(self, role: _Optional[str] = ..., name: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class RemoveVariableResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
