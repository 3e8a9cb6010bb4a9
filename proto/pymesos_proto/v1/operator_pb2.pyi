from pymesos_proto.v1 import types_pb2 as _types_pb2
from pymesos_proto.v1 import agent_pb2 as _agent_pb2
from pymesos_proto.v1 import names_pb2 as _names_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WhoAmIRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WhoAmIResponse(_message.Message):
    __slots__ = ("principal", "ends_at_s", "rules", "policy_version", "access_token", "rights")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_S_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    principal: str
    ends_at_s: float
    rules: _containers.RepeatedCompositeFieldContainer[PolicyRule]
    policy_version: int
    access_token: str
    rights: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, principal: _Optional[str] = ..., ends_at_s: _Optional[float] = ..., rules: _Optional[_Iterable[_Union[PolicyRule, _Mapping]]] = ..., policy_version: _Optional[int] = ..., access_token: _Optional[str] = ..., rights: _Optional[_Iterable[str]] = ...) -> None: ...

class PolicyRule(_message.Message):
    __slots__ = ("rule", "line")
    RULE_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    rule: str
    line: int
    def __init__(self, rule: _Optional[str] = ..., line: _Optional[int] = ...) -> None: ...

class CanRequest(_message.Message):
    __slots__ = ("who", "verb", "role")
    WHO_FIELD_NUMBER: _ClassVar[int]
    VERB_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    who: str
    verb: str
    role: str
    def __init__(self, who: _Optional[str] = ..., verb: _Optional[str] = ..., role: _Optional[str] = ...) -> None: ...

class CanResponse(_message.Message):
    __slots__ = ("allowed", "rule", "problem", "policy_version")
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    allowed: bool
    rule: PolicyRule
    problem: str
    policy_version: int
    def __init__(self, allowed: _Optional[bool] = ..., rule: _Optional[_Union[PolicyRule, _Mapping]] = ..., problem: _Optional[str] = ..., policy_version: _Optional[int] = ...) -> None: ...

class GetPolicyRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetPolicyResponse(_message.Message):
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

class SetPolicyRequest(_message.Message):
    __slots__ = ("document", "instead_of")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    INSTEAD_OF_FIELD_NUMBER: _ClassVar[int]
    document: str
    instead_of: int
    def __init__(self, document: _Optional[str] = ..., instead_of: _Optional[int] = ...) -> None: ...

class SetPolicyResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class ReadAuditRequest(_message.Message):
    __slots__ = ("cursor", "since_s", "who", "verb", "denied", "master")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    SINCE_S_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    VERB_FIELD_NUMBER: _ClassVar[int]
    DENIED_FIELD_NUMBER: _ClassVar[int]
    MASTER_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    since_s: float
    who: str
    verb: str
    denied: bool
    master: str
    def __init__(self, cursor: _Optional[str] = ..., since_s: _Optional[float] = ..., who: _Optional[str] = ..., verb: _Optional[str] = ..., denied: _Optional[bool] = ..., master: _Optional[str] = ...) -> None: ...

class ReadAuditResponse(_message.Message):
    __slots__ = ("lines", "cursor", "master", "others")
    LINES_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    MASTER_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    lines: _containers.RepeatedScalarFieldContainer[str]
    cursor: str
    master: str
    others: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, lines: _Optional[_Iterable[str]] = ..., cursor: _Optional[str] = ..., master: _Optional[str] = ..., others: _Optional[_Iterable[str]] = ...) -> None: ...

class GetLeaderRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetLeaderResponse(_message.Message):
    __slots__ = ("leader", "epoch", "self_leads")
    LEADER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SELF_LEADS_FIELD_NUMBER: _ClassVar[int]
    leader: _types_pb2.Address
    epoch: int
    self_leads: bool
    def __init__(self, leader: _Optional[_Union[_types_pb2.Address, _Mapping]] = ..., epoch: _Optional[int] = ..., self_leads: _Optional[bool] = ...) -> None: ...

class GetHealthRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetHealthResponse(_message.Message):
    __slots__ = ("healthy", "role", "uptime_s", "version", "http_port")
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    UPTIME_S_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HTTP_PORT_FIELD_NUMBER: _ClassVar[int]
    healthy: bool
    role: str
    uptime_s: float
    version: str
    http_port: int
    def __init__(self, healthy: _Optional[bool] = ..., role: _Optional[str] = ..., uptime_s: _Optional[float] = ..., version: _Optional[str] = ..., http_port: _Optional[int] = ...) -> None: ...

class Page(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class AgentView(_message.Message):
    __slots__ = ("info", "state", "allocated", "offered", "registered_at_s", "tasks", "usage", "total", "drain", "maintenance")
    INFO_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ALLOCATED_FIELD_NUMBER: _ClassVar[int]
    OFFERED_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_AT_S_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    MAINTENANCE_FIELD_NUMBER: _ClassVar[int]
    info: _types_pb2.AgentInfo
    state: str
    allocated: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    offered: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    registered_at_s: float
    tasks: int
    usage: _agent_pb2.Usage
    total: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    drain: DrainView
    maintenance: MaintenanceView
    def __init__(self, info: _Optional[_Union[_types_pb2.AgentInfo, _Mapping]] = ..., state: _Optional[str] = ..., allocated: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., offered: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., registered_at_s: _Optional[float] = ..., tasks: _Optional[int] = ..., usage: _Optional[_Union[_agent_pb2.Usage, _Mapping]] = ..., total: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., drain: _Optional[_Union[DrainView, _Mapping]] = ..., maintenance: _Optional[_Union[MaintenanceView, _Mapping]] = ...) -> None: ...

class MaintenanceView(_message.Message):
    __slots__ = ("unavailability", "set_by", "set_at_s", "answers")
    class Answer(_message.Message):
        __slots__ = ("framework_id", "framework_name", "answer", "at_s")
        FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
        FRAMEWORK_NAME_FIELD_NUMBER: _ClassVar[int]
        ANSWER_FIELD_NUMBER: _ClassVar[int]
        AT_S_FIELD_NUMBER: _ClassVar[int]
        framework_id: str
        framework_name: str
        answer: str
        at_s: float
        def __init__(self, framework_id: _Optional[str] = ..., framework_name: _Optional[str] = ..., answer: _Optional[str] = ..., at_s: _Optional[float] = ...) -> None: ...
    UNAVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    SET_BY_FIELD_NUMBER: _ClassVar[int]
    SET_AT_S_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    unavailability: _types_pb2.Unavailability
    set_by: str
    set_at_s: float
    answers: _containers.RepeatedCompositeFieldContainer[MaintenanceView.Answer]
    def __init__(self, unavailability: _Optional[_Union[_types_pb2.Unavailability, _Mapping]] = ..., set_by: _Optional[str] = ..., set_at_s: _Optional[float] = ..., answers: _Optional[_Iterable[_Union[MaintenanceView.Answer, _Mapping]]] = ...) -> None: ...

class DrainView(_message.Message):
    __slots__ = ("state", "deadline_s", "then_gone", "set_by", "set_at_s", "down")
    STATE_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    THEN_GONE_FIELD_NUMBER: _ClassVar[int]
    SET_BY_FIELD_NUMBER: _ClassVar[int]
    SET_AT_S_FIELD_NUMBER: _ClassVar[int]
    DOWN_FIELD_NUMBER: _ClassVar[int]
    state: str
    deadline_s: float
    then_gone: bool
    set_by: str
    set_at_s: float
    down: bool
    def __init__(self, state: _Optional[str] = ..., deadline_s: _Optional[float] = ..., then_gone: _Optional[bool] = ..., set_by: _Optional[str] = ..., set_at_s: _Optional[float] = ..., down: _Optional[bool] = ...) -> None: ...

class ListAgentsRequest(_message.Message):
    __slots__ = ("page", "id_prefix", "search", "sort")
    PAGE_FIELD_NUMBER: _ClassVar[int]
    ID_PREFIX_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    SORT_FIELD_NUMBER: _ClassVar[int]
    page: Page
    id_prefix: str
    search: str
    sort: str
    def __init__(self, page: _Optional[_Union[Page, _Mapping]] = ..., id_prefix: _Optional[str] = ..., search: _Optional[str] = ..., sort: _Optional[str] = ...) -> None: ...

class ListAgentsResponse(_message.Message):
    __slots__ = ("agents", "next_page_token")
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    agents: _containers.RepeatedCompositeFieldContainer[AgentView]
    next_page_token: str
    def __init__(self, agents: _Optional[_Iterable[_Union[AgentView, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class FrameworkView(_message.Message):
    __slots__ = ("info", "state", "allocated", "offered", "registered_at_s", "tasks", "dominant_share", "suppressed_roles", "offer_conflicts", "disconnected_at_s")
    INFO_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ALLOCATED_FIELD_NUMBER: _ClassVar[int]
    OFFERED_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_AT_S_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    DOMINANT_SHARE_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSED_ROLES_FIELD_NUMBER: _ClassVar[int]
    OFFER_CONFLICTS_FIELD_NUMBER: _ClassVar[int]
    DISCONNECTED_AT_S_FIELD_NUMBER: _ClassVar[int]
    info: _types_pb2.FrameworkInfo
    state: str
    allocated: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    offered: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    registered_at_s: float
    tasks: int
    dominant_share: float
    suppressed_roles: _containers.RepeatedScalarFieldContainer[str]
    offer_conflicts: int
    disconnected_at_s: float
    def __init__(self, info: _Optional[_Union[_types_pb2.FrameworkInfo, _Mapping]] = ..., state: _Optional[str] = ..., allocated: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., offered: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., registered_at_s: _Optional[float] = ..., tasks: _Optional[int] = ..., dominant_share: _Optional[float] = ..., suppressed_roles: _Optional[_Iterable[str]] = ..., offer_conflicts: _Optional[int] = ..., disconnected_at_s: _Optional[float] = ...) -> None: ...

class ListFrameworksRequest(_message.Message):
    __slots__ = ("page", "include_completed", "id_prefix", "serving_jobs")
    PAGE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    ID_PREFIX_FIELD_NUMBER: _ClassVar[int]
    SERVING_JOBS_FIELD_NUMBER: _ClassVar[int]
    page: Page
    include_completed: bool
    id_prefix: str
    serving_jobs: bool
    def __init__(self, page: _Optional[_Union[Page, _Mapping]] = ..., include_completed: _Optional[bool] = ..., id_prefix: _Optional[str] = ..., serving_jobs: _Optional[bool] = ...) -> None: ...

class ListFrameworksResponse(_message.Message):
    __slots__ = ("frameworks", "next_page_token")
    FRAMEWORKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    frameworks: _containers.RepeatedCompositeFieldContainer[FrameworkView]
    next_page_token: str
    def __init__(self, frameworks: _Optional[_Iterable[_Union[FrameworkView, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class TaskView(_message.Message):
    __slots__ = ("framework_id", "task_info", "state", "status", "role", "hostname", "agent_address", "launched_at_s", "started_at_s", "finished_at_s", "completed", "use", "agent_principal", "serves", "names_told")
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_INFO_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    AGENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LAUNCHED_AT_S_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_S_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_S_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    AGENT_PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    SERVES_FIELD_NUMBER: _ClassVar[int]
    NAMES_TOLD_FIELD_NUMBER: _ClassVar[int]
    framework_id: str
    task_info: _types_pb2.TaskInfo
    state: _types_pb2.TaskState
    status: _types_pb2.TaskStatus
    role: str
    hostname: str
    agent_address: _types_pb2.Address
    launched_at_s: float
    started_at_s: float
    finished_at_s: float
    completed: bool
    use: _types_pb2.TaskUse
    agent_principal: str
    serves: _names_pb2.ServedTask
    names_told: bool
    def __init__(self, framework_id: _Optional[str] = ..., task_info: _Optional[_Union[_types_pb2.TaskInfo, _Mapping]] = ..., state: _Optional[_Union[_types_pb2.TaskState, str]] = ..., status: _Optional[_Union[_types_pb2.TaskStatus, _Mapping]] = ..., role: _Optional[str] = ..., hostname: _Optional[str] = ..., agent_address: _Optional[_Union[_types_pb2.Address, _Mapping]] = ..., launched_at_s: _Optional[float] = ..., started_at_s: _Optional[float] = ..., finished_at_s: _Optional[float] = ..., completed: _Optional[bool] = ..., use: _Optional[_Union[_types_pb2.TaskUse, _Mapping]] = ..., agent_principal: _Optional[str] = ..., serves: _Optional[_Union[_names_pb2.ServedTask, _Mapping]] = ..., names_told: _Optional[bool] = ...) -> None: ...

class ListTasksRequest(_message.Message):
    __slots__ = ("page", "include_completed", "framework_id", "agent_id", "id_prefix", "name", "states", "called", "called_exactly", "search", "sort")
    PAGE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    ID_PREFIX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    CALLED_FIELD_NUMBER: _ClassVar[int]
    CALLED_EXACTLY_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    SORT_FIELD_NUMBER: _ClassVar[int]
    page: Page
    include_completed: bool
    framework_id: str
    agent_id: str
    id_prefix: str
    name: str
    states: _containers.RepeatedScalarFieldContainer[_types_pb2.TaskState]
    called: str
    called_exactly: bool
    search: str
    sort: str
    def __init__(self, page: _Optional[_Union[Page, _Mapping]] = ..., include_completed: _Optional[bool] = ..., framework_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., id_prefix: _Optional[str] = ..., name: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_types_pb2.TaskState, str]]] = ..., called: _Optional[str] = ..., called_exactly: _Optional[bool] = ..., search: _Optional[str] = ..., sort: _Optional[str] = ...) -> None: ...

class ListTasksResponse(_message.Message):
    __slots__ = ("tasks", "next_page_token")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[TaskView]
    next_page_token: str
    def __init__(self, tasks: _Optional[_Iterable[_Union[TaskView, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class OfferView(_message.Message):
    __slots__ = ("offer", "offered_at_s")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    OFFERED_AT_S_FIELD_NUMBER: _ClassVar[int]
    offer: _types_pb2.Offer
    offered_at_s: float
    def __init__(self, offer: _Optional[_Union[_types_pb2.Offer, _Mapping]] = ..., offered_at_s: _Optional[float] = ...) -> None: ...

class ListOffersRequest(_message.Message):
    __slots__ = ("page",)
    PAGE_FIELD_NUMBER: _ClassVar[int]
    page: Page
    def __init__(self, page: _Optional[_Union[Page, _Mapping]] = ...) -> None: ...

class ListOffersResponse(_message.Message):
    __slots__ = ("offers", "next_page_token")
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    offers: _containers.RepeatedCompositeFieldContainer[OfferView]
    next_page_token: str
    def __init__(self, offers: _Optional[_Iterable[_Union[OfferView, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RoleView(_message.Message):
    __slots__ = ("role", "framework_ids", "allocated", "offered", "weight", "quota", "reserved", "consumed")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_IDS_FIELD_NUMBER: _ClassVar[int]
    ALLOCATED_FIELD_NUMBER: _ClassVar[int]
    OFFERED_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_FIELD_NUMBER: _ClassVar[int]
    role: str
    framework_ids: _containers.RepeatedScalarFieldContainer[str]
    allocated: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    offered: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    weight: float
    quota: _types_pb2.Quota
    reserved: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    consumed: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    def __init__(self, role: _Optional[str] = ..., framework_ids: _Optional[_Iterable[str]] = ..., allocated: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., offered: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., weight: _Optional[float] = ..., quota: _Optional[_Union[_types_pb2.Quota, _Mapping]] = ..., reserved: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., consumed: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ...) -> None: ...

class AccountingRow(_message.Message):
    __slots__ = ("day", "role", "framework", "job", "rest", "asked_cpu_hours", "asked_mem_gib_hours", "asked_gpu_hours", "used_cpu_hours", "used_mem_gib_hours")
    DAY_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    REST_FIELD_NUMBER: _ClassVar[int]
    ASKED_CPU_HOURS_FIELD_NUMBER: _ClassVar[int]
    ASKED_MEM_GIB_HOURS_FIELD_NUMBER: _ClassVar[int]
    ASKED_GPU_HOURS_FIELD_NUMBER: _ClassVar[int]
    USED_CPU_HOURS_FIELD_NUMBER: _ClassVar[int]
    USED_MEM_GIB_HOURS_FIELD_NUMBER: _ClassVar[int]
    day: str
    role: str
    framework: str
    job: str
    rest: bool
    asked_cpu_hours: float
    asked_mem_gib_hours: float
    asked_gpu_hours: float
    used_cpu_hours: float
    used_mem_gib_hours: float
    def __init__(self, day: _Optional[str] = ..., role: _Optional[str] = ..., framework: _Optional[str] = ..., job: _Optional[str] = ..., rest: _Optional[bool] = ..., asked_cpu_hours: _Optional[float] = ..., asked_mem_gib_hours: _Optional[float] = ..., asked_gpu_hours: _Optional[float] = ..., used_cpu_hours: _Optional[float] = ..., used_mem_gib_hours: _Optional[float] = ...) -> None: ...

class GetAccountingRequest(_message.Message):
    __slots__ = ("page", "by", "since", "until", "daily", "role")
    PAGE_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    DAILY_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    page: Page
    by: str
    since: str
    until: str
    daily: bool
    role: str
    def __init__(self, page: _Optional[_Union[Page, _Mapping]] = ..., by: _Optional[str] = ..., since: _Optional[str] = ..., until: _Optional[str] = ..., daily: _Optional[bool] = ..., role: _Optional[str] = ...) -> None: ...

class GetAccountingResponse(_message.Message):
    __slots__ = ("rows", "next_page_token")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[AccountingRow]
    next_page_token: str
    def __init__(self, rows: _Optional[_Iterable[_Union[AccountingRow, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListRolesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRolesResponse(_message.Message):
    __slots__ = ("roles",)
    ROLES_FIELD_NUMBER: _ClassVar[int]
    roles: _containers.RepeatedCompositeFieldContainer[RoleView]
    def __init__(self, roles: _Optional[_Iterable[_Union[RoleView, _Mapping]]] = ...) -> None: ...

class GetOverviewRequest(_message.Message):
    __slots__ = ("failures", "since_s")
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    SINCE_S_FIELD_NUMBER: _ClassVar[int]
    failures: int
    since_s: float
    def __init__(self, failures: _Optional[int] = ..., since_s: _Optional[float] = ...) -> None: ...

class GetOverviewResponse(_message.Message):
    __slots__ = ("agents", "drains", "frameworks", "tasks", "offers", "now", "history", "failed")
    class AgentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class DrainsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class FrameworksEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class TasksEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class Amounts(_message.Message):
        __slots__ = ("at_s", "total", "allocated", "offered", "used")
        AT_S_FIELD_NUMBER: _ClassVar[int]
        TOTAL_FIELD_NUMBER: _ClassVar[int]
        ALLOCATED_FIELD_NUMBER: _ClassVar[int]
        OFFERED_FIELD_NUMBER: _ClassVar[int]
        USED_FIELD_NUMBER: _ClassVar[int]
        at_s: float
        total: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
        allocated: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
        offered: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
        used: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
        def __init__(self, at_s: _Optional[float] = ..., total: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., allocated: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., offered: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., used: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ...) -> None: ...
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    DRAINS_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORKS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    agents: _containers.ScalarMap[str, int]
    drains: _containers.ScalarMap[str, int]
    frameworks: _containers.ScalarMap[str, int]
    tasks: _containers.ScalarMap[str, int]
    offers: int
    now: GetOverviewResponse.Amounts
    history: _containers.RepeatedCompositeFieldContainer[GetOverviewResponse.Amounts]
    failed: _containers.RepeatedCompositeFieldContainer[TaskView]
    def __init__(self, agents: _Optional[_Mapping[str, int]] = ..., drains: _Optional[_Mapping[str, int]] = ..., frameworks: _Optional[_Mapping[str, int]] = ..., tasks: _Optional[_Mapping[str, int]] = ..., offers: _Optional[int] = ..., now: _Optional[_Union[GetOverviewResponse.Amounts, _Mapping]] = ..., history: _Optional[_Iterable[_Union[GetOverviewResponse.Amounts, _Mapping]]] = ..., failed: _Optional[_Iterable[_Union[TaskView, _Mapping]]] = ...) -> None: ...

class ExplainFrameworkRequest(_message.Message):
    __slots__ = ("framework_id", "needs", "agent_id")
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    framework_id: str
    needs: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    agent_id: str
    def __init__(self, framework_id: _Optional[str] = ..., needs: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., agent_id: _Optional[str] = ...) -> None: ...

class ExplainFrameworkResponse(_message.Message):
    __slots__ = ("framework", "last_offer_at_s", "offers_held", "agents", "roles", "agents_awaited", "agent_state")
    class Standing(_message.Message):
        __slots__ = ("role", "suppressed", "weighted_share", "place", "of", "weight", "withheld")
        ROLE_FIELD_NUMBER: _ClassVar[int]
        SUPPRESSED_FIELD_NUMBER: _ClassVar[int]
        WEIGHTED_SHARE_FIELD_NUMBER: _ClassVar[int]
        PLACE_FIELD_NUMBER: _ClassVar[int]
        OF_FIELD_NUMBER: _ClassVar[int]
        WEIGHT_FIELD_NUMBER: _ClassVar[int]
        WITHHELD_FIELD_NUMBER: _ClassVar[int]
        role: str
        suppressed: bool
        weighted_share: float
        place: int
        of: int
        weight: float
        withheld: _containers.RepeatedCompositeFieldContainer[ExplainFrameworkResponse.Withheld]
        def __init__(self, role: _Optional[str] = ..., suppressed: _Optional[bool] = ..., weighted_share: _Optional[float] = ..., place: _Optional[int] = ..., of: _Optional[int] = ..., weight: _Optional[float] = ..., withheld: _Optional[_Iterable[_Union[ExplainFrameworkResponse.Withheld, _Mapping]]] = ...) -> None: ...
    class Withheld(_message.Message):
        __slots__ = ("reason", "text", "agents", "hostnames", "first_ends_in_s")
        REASON_FIELD_NUMBER: _ClassVar[int]
        TEXT_FIELD_NUMBER: _ClassVar[int]
        AGENTS_FIELD_NUMBER: _ClassVar[int]
        HOSTNAMES_FIELD_NUMBER: _ClassVar[int]
        FIRST_ENDS_IN_S_FIELD_NUMBER: _ClassVar[int]
        reason: str
        text: str
        agents: int
        hostnames: _containers.RepeatedScalarFieldContainer[str]
        first_ends_in_s: float
        def __init__(self, reason: _Optional[str] = ..., text: _Optional[str] = ..., agents: _Optional[int] = ..., hostnames: _Optional[_Iterable[str]] = ..., first_ends_in_s: _Optional[float] = ...) -> None: ...
    FRAMEWORK_FIELD_NUMBER: _ClassVar[int]
    LAST_OFFER_AT_S_FIELD_NUMBER: _ClassVar[int]
    OFFERS_HELD_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    AGENTS_AWAITED_FIELD_NUMBER: _ClassVar[int]
    AGENT_STATE_FIELD_NUMBER: _ClassVar[int]
    framework: FrameworkView
    last_offer_at_s: float
    offers_held: int
    agents: int
    roles: _containers.RepeatedCompositeFieldContainer[ExplainFrameworkResponse.Standing]
    agents_awaited: int
    agent_state: str
    def __init__(self, framework: _Optional[_Union[FrameworkView, _Mapping]] = ..., last_offer_at_s: _Optional[float] = ..., offers_held: _Optional[int] = ..., agents: _Optional[int] = ..., roles: _Optional[_Iterable[_Union[ExplainFrameworkResponse.Standing, _Mapping]]] = ..., agents_awaited: _Optional[int] = ..., agent_state: _Optional[str] = ...) -> None: ...

class SetQuotaRequest(_message.Message):
    __slots__ = ("role", "quota", "force", "instead_of")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    INSTEAD_OF_FIELD_NUMBER: _ClassVar[int]
    role: str
    quota: _types_pb2.Quota
    force: bool
    instead_of: _types_pb2.Quota
    def __init__(self, role: _Optional[str] = ..., quota: _Optional[_Union[_types_pb2.Quota, _Mapping]] = ..., force: _Optional[bool] = ..., instead_of: _Optional[_Union[_types_pb2.Quota, _Mapping]] = ...) -> None: ...

class SetQuotaResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetWeightRequest(_message.Message):
    __slots__ = ("role", "weight", "instead_of")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    INSTEAD_OF_FIELD_NUMBER: _ClassVar[int]
    role: str
    weight: float
    instead_of: float
    def __init__(self, role: _Optional[str] = ..., weight: _Optional[float] = ..., instead_of: _Optional[float] = ...) -> None: ...

class SetWeightResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReserveRequest(_message.Message):
    __slots__ = ("agent_id", "role", "resources")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    role: str
    resources: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    def __init__(self, agent_id: _Optional[str] = ..., role: _Optional[str] = ..., resources: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ...) -> None: ...

class ReserveResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UnreserveRequest(_message.Message):
    __slots__ = ("agent_id", "role", "resources")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    role: str
    resources: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    def __init__(self, agent_id: _Optional[str] = ..., role: _Optional[str] = ..., resources: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ...) -> None: ...

class UnreserveResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class KillTaskRequest(_message.Message):
    __slots__ = ("framework_id", "task_id")
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    framework_id: str
    task_id: str
    def __init__(self, framework_id: _Optional[str] = ..., task_id: _Optional[str] = ...) -> None: ...

class KillTaskResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TeardownFrameworkRequest(_message.Message):
    __slots__ = ("framework_id",)
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    framework_id: str
    def __init__(self, framework_id: _Optional[str] = ...) -> None: ...

class TeardownFrameworkResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MarkAgentGoneRequest(_message.Message):
    __slots__ = ("agent_id",)
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    def __init__(self, agent_id: _Optional[str] = ...) -> None: ...

class MarkAgentGoneResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CordonAgentsRequest(_message.Message):
    __slots__ = ("agent_ids",)
    AGENT_IDS_FIELD_NUMBER: _ClassVar[int]
    agent_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, agent_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class CordonAgentsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DrainAgentsRequest(_message.Message):
    __slots__ = ("agent_ids", "within_s", "then_gone")
    AGENT_IDS_FIELD_NUMBER: _ClassVar[int]
    WITHIN_S_FIELD_NUMBER: _ClassVar[int]
    THEN_GONE_FIELD_NUMBER: _ClassVar[int]
    agent_ids: _containers.RepeatedScalarFieldContainer[str]
    within_s: float
    then_gone: bool
    def __init__(self, agent_ids: _Optional[_Iterable[str]] = ..., within_s: _Optional[float] = ..., then_gone: _Optional[bool] = ...) -> None: ...

class DrainAgentsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ActivateAgentsRequest(_message.Message):
    __slots__ = ("agent_ids",)
    AGENT_IDS_FIELD_NUMBER: _ClassVar[int]
    agent_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, agent_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ActivateAgentsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ScheduleMaintenanceRequest(_message.Message):
    __slots__ = ("agent_ids", "unavailability", "instead_of")
    AGENT_IDS_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    INSTEAD_OF_FIELD_NUMBER: _ClassVar[int]
    agent_ids: _containers.RepeatedScalarFieldContainer[str]
    unavailability: _types_pb2.Unavailability
    instead_of: _types_pb2.Unavailability
    def __init__(self, agent_ids: _Optional[_Iterable[str]] = ..., unavailability: _Optional[_Union[_types_pb2.Unavailability, _Mapping]] = ..., instead_of: _Optional[_Union[_types_pb2.Unavailability, _Mapping]] = ...) -> None: ...

class ScheduleMaintenanceResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelMaintenanceRequest(_message.Message):
    __slots__ = ("agent_ids",)
    AGENT_IDS_FIELD_NUMBER: _ClassVar[int]
    agent_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, agent_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class CancelMaintenanceResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QuarantinedRecord(_message.Message):
    __slots__ = ("kind", "key", "reason", "record")
    KIND_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    kind: str
    key: str
    reason: str
    record: bytes
    def __init__(self, kind: _Optional[str] = ..., key: _Optional[str] = ..., reason: _Optional[str] = ..., record: _Optional[bytes] = ...) -> None: ...

class ListQuarantinedRecordsRequest(_message.Message):
    __slots__ = ("page", "kind", "key")
    PAGE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    page: Page
    kind: str
    key: str
    def __init__(self, page: _Optional[_Union[Page, _Mapping]] = ..., kind: _Optional[str] = ..., key: _Optional[str] = ...) -> None: ...

class ListQuarantinedRecordsResponse(_message.Message):
    __slots__ = ("records", "next_page_token")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[QuarantinedRecord]
    next_page_token: str
    def __init__(self, records: _Optional[_Iterable[_Union[QuarantinedRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ReleaseQuarantinedRecordRequest(_message.Message):
    __slots__ = ("kind", "key", "discard")
    KIND_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    DISCARD_FIELD_NUMBER: _ClassVar[int]
    kind: str
    key: str
    discard: bool
    def __init__(self, kind: _Optional[str] = ..., key: _Optional[str] = ..., discard: _Optional[bool] = ...) -> None: ...

class ReleaseQuarantinedRecordResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MakeTokenRequest(_message.Message):
    __slots__ = ("digest", "principal", "lifetime_s")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_S_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    principal: str
    lifetime_s: float
    def __init__(self, digest: _Optional[bytes] = ..., principal: _Optional[str] = ..., lifetime_s: _Optional[float] = ...) -> None: ...

class MakeTokenResponse(_message.Message):
    __slots__ = ("root", "join_at")
    ROOT_FIELD_NUMBER: _ClassVar[int]
    JOIN_AT_FIELD_NUMBER: _ClassVar[int]
    root: bytes
    join_at: _types_pb2.Address
    def __init__(self, root: _Optional[bytes] = ..., join_at: _Optional[_Union[_types_pb2.Address, _Mapping]] = ...) -> None: ...

class TokenView(_message.Message):
    __slots__ = ("digest", "principal", "ends_at_s", "made_by", "used")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_S_FIELD_NUMBER: _ClassVar[int]
    MADE_BY_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    principal: str
    ends_at_s: float
    made_by: str
    used: bool
    def __init__(self, digest: _Optional[bytes] = ..., principal: _Optional[str] = ..., ends_at_s: _Optional[float] = ..., made_by: _Optional[str] = ..., used: _Optional[bool] = ...) -> None: ...

class ListTokensRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTokensResponse(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[TokenView]
    def __init__(self, tokens: _Optional[_Iterable[_Union[TokenView, _Mapping]]] = ...) -> None: ...

class RemoveTokenRequest(_message.Message):
    __slots__ = ("digest",)
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    def __init__(self, digest: _Optional[bytes] = ...) -> None: ...

class RemoveTokenResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MakeAccessTokenRequest(_message.Message):
    __slots__ = ("digest", "name", "lifetime_s", "rights")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_S_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    name: str
    lifetime_s: float
    rights: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, digest: _Optional[bytes] = ..., name: _Optional[str] = ..., lifetime_s: _Optional[float] = ..., rights: _Optional[_Iterable[str]] = ...) -> None: ...

class MakeAccessTokenResponse(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class AccessTokenView(_message.Message):
    __slots__ = ("id", "principal", "name", "rights", "made_at_s", "ends_at_s")
    ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    MADE_AT_S_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_S_FIELD_NUMBER: _ClassVar[int]
    id: str
    principal: str
    name: str
    rights: _containers.RepeatedScalarFieldContainer[str]
    made_at_s: float
    ends_at_s: float
    def __init__(self, id: _Optional[str] = ..., principal: _Optional[str] = ..., name: _Optional[str] = ..., rights: _Optional[_Iterable[str]] = ..., made_at_s: _Optional[float] = ..., ends_at_s: _Optional[float] = ...) -> None: ...

class ListAccessTokensRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAccessTokensResponse(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[AccessTokenView]
    def __init__(self, tokens: _Optional[_Iterable[_Union[AccessTokenView, _Mapping]]] = ...) -> None: ...

class RevokeAccessTokenRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class RevokeAccessTokenResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SignInRequest(_message.Message):
    __slots__ = ("digest",)
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    def __init__(self, digest: _Optional[bytes] = ...) -> None: ...

class SignInResponse(_message.Message):
    __slots__ = ("lifetime_s",)
    LIFETIME_S_FIELD_NUMBER: _ClassVar[int]
    lifetime_s: float
    def __init__(self, lifetime_s: _Optional[float] = ...) -> None: ...

class RevokeRequest(_message.Message):
    __slots__ = ("name", "undo")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNDO_FIELD_NUMBER: _ClassVar[int]
    name: str
    undo: bool
    def __init__(self, name: _Optional[str] = ..., undo: _Optional[bool] = ...) -> None: ...

class RevokeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RevocationView(_message.Message):
    __slots__ = ("name", "at_s", "made_by")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AT_S_FIELD_NUMBER: _ClassVar[int]
    MADE_BY_FIELD_NUMBER: _ClassVar[int]
    name: str
    at_s: float
    made_by: str
    def __init__(self, name: _Optional[str] = ..., at_s: _Optional[float] = ..., made_by: _Optional[str] = ...) -> None: ...

class ListRevocationsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRevocationsResponse(_message.Message):
    __slots__ = ("revocations",)
    REVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    revocations: _containers.RepeatedCompositeFieldContainer[RevocationView]
    def __init__(self, revocations: _Optional[_Iterable[_Union[RevocationView, _Mapping]]] = ...) -> None: ...

class SetSecretRequest(_message.Message):
    __slots__ = ("role", "name", "value")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    role: str
    name: str
    value: bytes
    def __init__(self, role: _Optional[str] = ..., name: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...

class SetSecretResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class SecretView(_message.Message):
    __slots__ = ("role", "name", "version", "set_by", "set_at_s", "tasks")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SET_BY_FIELD_NUMBER: _ClassVar[int]
    SET_AT_S_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    role: str
    name: str
    version: int
    set_by: str
    set_at_s: float
    tasks: int
    def __init__(self, role: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[int] = ..., set_by: _Optional[str] = ..., set_at_s: _Optional[float] = ..., tasks: _Optional[int] = ...) -> None: ...

class ListSecretsRequest(_message.Message):
    __slots__ = ("role",)
    ROLE_FIELD_NUMBER: _ClassVar[int]
    role: str
    def __init__(self, role: _Optional[str] = ...) -> None: ...

class ListSecretsResponse(_message.Message):
    __slots__ = ("secrets",)
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    secrets: _containers.RepeatedCompositeFieldContainer[SecretView]
    def __init__(self, secrets: _Optional[_Iterable[_Union[SecretView, _Mapping]]] = ...) -> None: ...

class RemoveSecretRequest(_message.Message):
    __slots__ = ("role", "name", "force")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    role: str
    name: str
    force: bool
    def __init__(self, role: _Optional[str] = ..., name: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class RemoveSecretResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SealedSecret(_message.Message):
    __slots__ = ("role", "name", "key_id", "nonce", "sealed", "set_by", "set_at_s")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    SET_BY_FIELD_NUMBER: _ClassVar[int]
    SET_AT_S_FIELD_NUMBER: _ClassVar[int]
    role: str
    name: str
    key_id: str
    nonce: bytes
    sealed: bytes
    set_by: str
    set_at_s: float
    def __init__(self, role: _Optional[str] = ..., name: _Optional[str] = ..., key_id: _Optional[str] = ..., nonce: _Optional[bytes] = ..., sealed: _Optional[bytes] = ..., set_by: _Optional[str] = ..., set_at_s: _Optional[float] = ...) -> None: ...

class ListSealedSecretsRequest(_message.Message):
    __slots__ = ("page",)
    PAGE_FIELD_NUMBER: _ClassVar[int]
    page: Page
    def __init__(self, page: _Optional[_Union[Page, _Mapping]] = ...) -> None: ...

class ListSealedSecretsResponse(_message.Message):
    __slots__ = ("secrets", "next_page_token")
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    secrets: _containers.RepeatedCompositeFieldContainer[SealedSecret]
    next_page_token: str
    def __init__(self, secrets: _Optional[_Iterable[_Union[SealedSecret, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RestoreSecretRequest(_message.Message):
    __slots__ = ("secret", "value", "replace", "dry_run", "instead_of")
    SECRET_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    INSTEAD_OF_FIELD_NUMBER: _ClassVar[int]
    secret: SealedSecret
    value: bytes
    replace: bool
    dry_run: bool
    instead_of: int
    def __init__(self, secret: _Optional[_Union[SealedSecret, _Mapping]] = ..., value: _Optional[bytes] = ..., replace: _Optional[bool] = ..., dry_run: _Optional[bool] = ..., instead_of: _Optional[int] = ...) -> None: ...

class RestoreSecretResponse(_message.Message):
    __slots__ = ("outcome", "version")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[RestoreSecretResponse.Outcome]
        ADDED: _ClassVar[RestoreSecretResponse.Outcome]
        SAME: _ClassVar[RestoreSecretResponse.Outcome]
        REPLACED: _ClassVar[RestoreSecretResponse.Outcome]
        DIFFERS: _ClassVar[RestoreSecretResponse.Outcome]
    OUTCOME_UNSPECIFIED: RestoreSecretResponse.Outcome
    ADDED: RestoreSecretResponse.Outcome
    SAME: RestoreSecretResponse.Outcome
    REPLACED: RestoreSecretResponse.Outcome
    DIFFERS: RestoreSecretResponse.Outcome
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    outcome: RestoreSecretResponse.Outcome
    version: int
    def __init__(self, outcome: _Optional[_Union[RestoreSecretResponse.Outcome, str]] = ..., version: _Optional[int] = ...) -> None: ...

class WatchEventsRequest(_message.Message):
    __slots__ = ("cursor", "kinds", "role", "framework_id", "agent_id", "called", "without_state", "pace_s", "latest")
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    CALLED_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_STATE_FIELD_NUMBER: _ClassVar[int]
    PACE_S_FIELD_NUMBER: _ClassVar[int]
    LATEST_FIELD_NUMBER: _ClassVar[int]
    cursor: str
    kinds: _containers.RepeatedScalarFieldContainer[ClusterEvent.Kind]
    role: str
    framework_id: str
    agent_id: str
    called: str
    without_state: bool
    pace_s: float
    latest: int
    def __init__(self, cursor: _Optional[str] = ..., kinds: _Optional[_Iterable[_Union[ClusterEvent.Kind, str]]] = ..., role: _Optional[str] = ..., framework_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., called: _Optional[str] = ..., without_state: _Optional[bool] = ..., pace_s: _Optional[float] = ..., latest: _Optional[int] = ...) -> None: ...

class ClusterEventBatch(_message.Message):
    __slots__ = ("event", "cursor", "snapshot_begins", "left_out")
    class LeftOut(_message.Message):
        __slots__ = ("kind", "events")
        KIND_FIELD_NUMBER: _ClassVar[int]
        EVENTS_FIELD_NUMBER: _ClassVar[int]
        kind: ClusterEvent.Kind
        events: int
        def __init__(self, kind: _Optional[_Union[ClusterEvent.Kind, str]] = ..., events: _Optional[int] = ...) -> None: ...
    EVENT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_BEGINS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    event: _containers.RepeatedCompositeFieldContainer[ClusterEvent]
    cursor: str
    snapshot_begins: bool
    left_out: _containers.RepeatedCompositeFieldContainer[ClusterEventBatch.LeftOut]
    def __init__(self, event: _Optional[_Iterable[_Union[ClusterEvent, _Mapping]]] = ..., cursor: _Optional[str] = ..., snapshot_begins: _Optional[bool] = ..., left_out: _Optional[_Iterable[_Union[ClusterEventBatch.LeftOut, _Mapping]]] = ...) -> None: ...

class ClusterEvent(_message.Message):
    __slots__ = ("timestamp_s", "kind", "agent_id", "framework_id", "task_id", "offer_id", "task_state", "resources", "message", "sequence", "reason")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[ClusterEvent.Kind]
        AGENT_ADDED: _ClassVar[ClusterEvent.Kind]
        AGENT_DISCONNECTED: _ClassVar[ClusterEvent.Kind]
        AGENT_UNREACHABLE: _ClassVar[ClusterEvent.Kind]
        AGENT_GONE: _ClassVar[ClusterEvent.Kind]
        AGENT_LEAVING: _ClassVar[ClusterEvent.Kind]
        AGENT_RESERVED: _ClassVar[ClusterEvent.Kind]
        FRAMEWORK_SUBSCRIBED: _ClassVar[ClusterEvent.Kind]
        FRAMEWORK_DISCONNECTED: _ClassVar[ClusterEvent.Kind]
        FRAMEWORK_REMOVED: _ClassVar[ClusterEvent.Kind]
        TASK_ADDED: _ClassVar[ClusterEvent.Kind]
        TASK_UPDATED: _ClassVar[ClusterEvent.Kind]
        TASK_REFUSED: _ClassVar[ClusterEvent.Kind]
        OFFER_SENT: _ClassVar[ClusterEvent.Kind]
        OFFER_ACCEPTED: _ClassVar[ClusterEvent.Kind]
        OFFER_DECLINED: _ClassVar[ClusterEvent.Kind]
        OFFER_RESCINDED: _ClassVar[ClusterEvent.Kind]
        MESSAGE_DROPPED: _ClassVar[ClusterEvent.Kind]
        QUOTA_SET: _ClassVar[ClusterEvent.Kind]
        WEIGHT_SET: _ClassVar[ClusterEvent.Kind]
        AGENT_PRESENT: _ClassVar[ClusterEvent.Kind]
        FRAMEWORK_PRESENT: _ClassVar[ClusterEvent.Kind]
        TASK_PRESENT: _ClassVar[ClusterEvent.Kind]
        OFFER_PRESENT: _ClassVar[ClusterEvent.Kind]
        AGENT_ABSENT: _ClassVar[ClusterEvent.Kind]
        FRAMEWORK_ABSENT: _ClassVar[ClusterEvent.Kind]
        TASK_ABSENT: _ClassVar[ClusterEvent.Kind]
        OFFER_ABSENT: _ClassVar[ClusterEvent.Kind]
        POLICY_SET: _ClassVar[ClusterEvent.Kind]
        AGENT_CORDONED: _ClassVar[ClusterEvent.Kind]
        AGENT_DRAINING: _ClassVar[ClusterEvent.Kind]
        AGENT_DRAINED: _ClassVar[ClusterEvent.Kind]
        AGENT_ACTIVATED: _ClassVar[ClusterEvent.Kind]
        MAINTENANCE_SCHEDULED: _ClassVar[ClusterEvent.Kind]
        MAINTENANCE_CANCELLED: _ClassVar[ClusterEvent.Kind]
        FRAMEWORK_UPDATED: _ClassVar[ClusterEvent.Kind]
    KIND_UNSPECIFIED: ClusterEvent.Kind
    AGENT_ADDED: ClusterEvent.Kind
    AGENT_DISCONNECTED: ClusterEvent.Kind
    AGENT_UNREACHABLE: ClusterEvent.Kind
    AGENT_GONE: ClusterEvent.Kind
    AGENT_LEAVING: ClusterEvent.Kind
    AGENT_RESERVED: ClusterEvent.Kind
    FRAMEWORK_SUBSCRIBED: ClusterEvent.Kind
    FRAMEWORK_DISCONNECTED: ClusterEvent.Kind
    FRAMEWORK_REMOVED: ClusterEvent.Kind
    TASK_ADDED: ClusterEvent.Kind
    TASK_UPDATED: ClusterEvent.Kind
    TASK_REFUSED: ClusterEvent.Kind
    OFFER_SENT: ClusterEvent.Kind
    OFFER_ACCEPTED: ClusterEvent.Kind
    OFFER_DECLINED: ClusterEvent.Kind
    OFFER_RESCINDED: ClusterEvent.Kind
    MESSAGE_DROPPED: ClusterEvent.Kind
    QUOTA_SET: ClusterEvent.Kind
    WEIGHT_SET: ClusterEvent.Kind
    AGENT_PRESENT: ClusterEvent.Kind
    FRAMEWORK_PRESENT: ClusterEvent.Kind
    TASK_PRESENT: ClusterEvent.Kind
    OFFER_PRESENT: ClusterEvent.Kind
    AGENT_ABSENT: ClusterEvent.Kind
    FRAMEWORK_ABSENT: ClusterEvent.Kind
    TASK_ABSENT: ClusterEvent.Kind
    OFFER_ABSENT: ClusterEvent.Kind
    POLICY_SET: ClusterEvent.Kind
    AGENT_CORDONED: ClusterEvent.Kind
    AGENT_DRAINING: ClusterEvent.Kind
    AGENT_DRAINED: ClusterEvent.Kind
    AGENT_ACTIVATED: ClusterEvent.Kind
    MAINTENANCE_SCHEDULED: ClusterEvent.Kind
    MAINTENANCE_CANCELLED: ClusterEvent.Kind
    FRAMEWORK_UPDATED: ClusterEvent.Kind
    TIMESTAMP_S_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    OFFER_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_STATE_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    timestamp_s: float
    kind: ClusterEvent.Kind
    agent_id: str
    framework_id: str
    task_id: str
    offer_id: str
    task_state: _types_pb2.TaskState
    resources: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
    message: str
    sequence: int
    reason: _types_pb2.Reason
    def __init__(self, timestamp_s: _Optional[float] = ..., kind: _Optional[_Union[ClusterEvent.Kind, str]] = ..., agent_id: _Optional[str] = ..., framework_id: _Optional[str] = ..., task_id: _Optional[str] = ..., offer_id: _Optional[str] = ..., task_state: _Optional[_Union[_types_pb2.TaskState, str]] = ..., resources: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ..., message: _Optional[str] = ..., sequence: _Optional[int] = ..., reason: _Optional[_Union[_types_pb2.Reason, str]] = ...) -> None: ...

class SetWebhookRequest(_message.Message):
    __slots__ = ("name", "url", "kinds", "secret_role", "secret_name", "link_local")
    NAME_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    SECRET_ROLE_FIELD_NUMBER: _ClassVar[int]
    SECRET_NAME_FIELD_NUMBER: _ClassVar[int]
    LINK_LOCAL_FIELD_NUMBER: _ClassVar[int]
    name: str
    url: str
    kinds: _containers.RepeatedScalarFieldContainer[ClusterEvent.Kind]
    secret_role: str
    secret_name: str
    link_local: bool
    def __init__(self, name: _Optional[str] = ..., url: _Optional[str] = ..., kinds: _Optional[_Iterable[_Union[ClusterEvent.Kind, str]]] = ..., secret_role: _Optional[str] = ..., secret_name: _Optional[str] = ..., link_local: _Optional[bool] = ...) -> None: ...

class SetWebhookResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RemoveWebhookRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RemoveWebhookResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListWebhooksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListWebhooksResponse(_message.Message):
    __slots__ = ("webhooks",)
    WEBHOOKS_FIELD_NUMBER: _ClassVar[int]
    webhooks: _containers.RepeatedCompositeFieldContainer[WebhookView]
    def __init__(self, webhooks: _Optional[_Iterable[_Union[WebhookView, _Mapping]]] = ...) -> None: ...

class WebhookView(_message.Message):
    __slots__ = ("name", "url", "kinds", "secret_role", "secret_name", "link_local", "set_by", "set_at_s", "problem")
    NAME_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    SECRET_ROLE_FIELD_NUMBER: _ClassVar[int]
    SECRET_NAME_FIELD_NUMBER: _ClassVar[int]
    LINK_LOCAL_FIELD_NUMBER: _ClassVar[int]
    SET_BY_FIELD_NUMBER: _ClassVar[int]
    SET_AT_S_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    name: str
    url: str
    kinds: _containers.RepeatedScalarFieldContainer[ClusterEvent.Kind]
    secret_role: str
    secret_name: str
    link_local: bool
    set_by: str
    set_at_s: float
    problem: str
    def __init__(self, name: _Optional[str] = ..., url: _Optional[str] = ..., kinds: _Optional[_Iterable[_Union[ClusterEvent.Kind, str]]] = ..., secret_role: _Optional[str] = ..., secret_name: _Optional[str] = ..., link_local: _Optional[bool] = ..., set_by: _Optional[str] = ..., set_at_s: _Optional[float] = ..., problem: _Optional[str] = ...) -> None: ...

class TestWebhookRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class TestWebhookResponse(_message.Message):
    __slots__ = ("problem",)
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    problem: str
    def __init__(self, problem: _Optional[str] = ...) -> None: ...

class ClusterAlertView(_message.Message):
    __slots__ = ("key", "when", "subject", "receiver", "state", "since_s", "fired_at_s", "summary", "known", "silenced_until_s", "silenced_by", "silenced_for")
    KEY_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
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
    when: str
    subject: str
    receiver: str
    state: str
    since_s: float
    fired_at_s: float
    summary: str
    known: bool
    silenced_until_s: float
    silenced_by: str
    silenced_for: str
    def __init__(self, key: _Optional[str] = ..., when: _Optional[str] = ..., subject: _Optional[str] = ..., receiver: _Optional[str] = ..., state: _Optional[str] = ..., since_s: _Optional[float] = ..., fired_at_s: _Optional[float] = ..., summary: _Optional[str] = ..., known: _Optional[bool] = ..., silenced_until_s: _Optional[float] = ..., silenced_by: _Optional[str] = ..., silenced_for: _Optional[str] = ...) -> None: ...

class ReceiverView(_message.Message):
    __slots__ = ("name", "problem", "problem_since_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_SINCE_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    problem: str
    problem_since_s: float
    def __init__(self, name: _Optional[str] = ..., problem: _Optional[str] = ..., problem_since_s: _Optional[float] = ...) -> None: ...

class ClusterSilenceView(_message.Message):
    __slots__ = ("when", "subject", "until_s", "by", "why")
    WHEN_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    when: str
    subject: str
    until_s: float
    by: str
    why: str
    def __init__(self, when: _Optional[str] = ..., subject: _Optional[str] = ..., until_s: _Optional[float] = ..., by: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class ListClusterAlertsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListClusterAlertsResponse(_message.Message):
    __slots__ = ("alerts", "receivers", "silences")
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    RECEIVERS_FIELD_NUMBER: _ClassVar[int]
    SILENCES_FIELD_NUMBER: _ClassVar[int]
    alerts: _containers.RepeatedCompositeFieldContainer[ClusterAlertView]
    receivers: _containers.RepeatedCompositeFieldContainer[ReceiverView]
    silences: _containers.RepeatedCompositeFieldContainer[ClusterSilenceView]
    def __init__(self, alerts: _Optional[_Iterable[_Union[ClusterAlertView, _Mapping]]] = ..., receivers: _Optional[_Iterable[_Union[ReceiverView, _Mapping]]] = ..., silences: _Optional[_Iterable[_Union[ClusterSilenceView, _Mapping]]] = ...) -> None: ...

class SilenceClusterAlertsRequest(_message.Message):
    __slots__ = ("when", "subject", "for_s", "why")
    WHEN_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    FOR_S_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    when: str
    subject: str
    for_s: int
    why: str
    def __init__(self, when: _Optional[str] = ..., subject: _Optional[str] = ..., for_s: _Optional[int] = ..., why: _Optional[str] = ...) -> None: ...

class SilenceClusterAlertsResponse(_message.Message):
    __slots__ = ("replaced",)
    REPLACED_FIELD_NUMBER: _ClassVar[int]
    replaced: str
    def __init__(self, replaced: _Optional[str] = ...) -> None: ...

class TestClusterReceiverRequest(_message.Message):
    __slots__ = ("receiver",)
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    receiver: str
    def __init__(self, receiver: _Optional[str] = ...) -> None: ...

class TestClusterReceiverResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
