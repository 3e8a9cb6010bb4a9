from pymesos_proto.v1 import names_pb2 as _names_pb2
from pymesos_proto.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MasterCapability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MASTER_CAPABILITY_UNSPECIFIED: _ClassVar[MasterCapability]
    REFUSES_CALLS: _ClassVar[MasterCapability]
    ACCEPT_IN_PARTS: _ClassVar[MasterCapability]
    STATUS_DATA: _ClassVar[MasterCapability]
    TELLS_POLICY: _ClassVar[MasterCapability]
    UPDATES_FRAMEWORKS: _ClassVar[MasterCapability]
    SERVES_NAMES: _ClassVar[MasterCapability]
MASTER_CAPABILITY_UNSPECIFIED: MasterCapability
REFUSES_CALLS: MasterCapability
ACCEPT_IN_PARTS: MasterCapability
STATUS_DATA: MasterCapability
TELLS_POLICY: MasterCapability
UPDATES_FRAMEWORKS: MasterCapability
SERVES_NAMES: MasterCapability

class CallBatch(_message.Message):
    __slots__ = ("call",)
    CALL_FIELD_NUMBER: _ClassVar[int]
    call: _containers.RepeatedCompositeFieldContainer[Call]
    def __init__(self, call: _Optional[_Iterable[_Union[Call, _Mapping]]] = ...) -> None: ...

class Call(_message.Message):
    __slots__ = ("subscribe", "teardown", "accept", "decline", "revive", "suppress", "kill", "acknowledge", "reconcile", "message", "shutdown", "accept_inverse_offers", "decline_inverse_offers", "update_framework", "publish")
    class Subscribe(_message.Message):
        __slots__ = ("framework_info", "suppressed_roles", "suppress_all", "offer_constraints", "optimistic_roles")
        class OfferConstraintsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: OfferConstraints
            def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[OfferConstraints, _Mapping]] = ...) -> None: ...
        FRAMEWORK_INFO_FIELD_NUMBER: _ClassVar[int]
        SUPPRESSED_ROLES_FIELD_NUMBER: _ClassVar[int]
        SUPPRESS_ALL_FIELD_NUMBER: _ClassVar[int]
        OFFER_CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
        OPTIMISTIC_ROLES_FIELD_NUMBER: _ClassVar[int]
        framework_info: _types_pb2.FrameworkInfo
        suppressed_roles: _containers.RepeatedScalarFieldContainer[str]
        suppress_all: bool
        offer_constraints: _containers.MessageMap[str, OfferConstraints]
        optimistic_roles: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, framework_info: _Optional[_Union[_types_pb2.FrameworkInfo, _Mapping]] = ..., suppressed_roles: _Optional[_Iterable[str]] = ..., suppress_all: _Optional[bool] = ..., offer_constraints: _Optional[_Mapping[str, OfferConstraints]] = ..., optimistic_roles: _Optional[_Iterable[str]] = ...) -> None: ...
    class Teardown(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Accept(_message.Message):
        __slots__ = ("offer_ids", "operations", "filters", "more")
        OFFER_IDS_FIELD_NUMBER: _ClassVar[int]
        OPERATIONS_FIELD_NUMBER: _ClassVar[int]
        FILTERS_FIELD_NUMBER: _ClassVar[int]
        MORE_FIELD_NUMBER: _ClassVar[int]
        offer_ids: _containers.RepeatedScalarFieldContainer[str]
        operations: _containers.RepeatedCompositeFieldContainer[Operation]
        filters: Filters
        more: bool
        def __init__(self, offer_ids: _Optional[_Iterable[str]] = ..., operations: _Optional[_Iterable[_Union[Operation, _Mapping]]] = ..., filters: _Optional[_Union[Filters, _Mapping]] = ..., more: _Optional[bool] = ...) -> None: ...
    class Decline(_message.Message):
        __slots__ = ("offer_ids", "filters")
        OFFER_IDS_FIELD_NUMBER: _ClassVar[int]
        FILTERS_FIELD_NUMBER: _ClassVar[int]
        offer_ids: _containers.RepeatedScalarFieldContainer[str]
        filters: Filters
        def __init__(self, offer_ids: _Optional[_Iterable[str]] = ..., filters: _Optional[_Union[Filters, _Mapping]] = ...) -> None: ...
    class Revive(_message.Message):
        __slots__ = ("roles",)
        ROLES_FIELD_NUMBER: _ClassVar[int]
        roles: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, roles: _Optional[_Iterable[str]] = ...) -> None: ...
    class Suppress(_message.Message):
        __slots__ = ("roles",)
        ROLES_FIELD_NUMBER: _ClassVar[int]
        roles: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, roles: _Optional[_Iterable[str]] = ...) -> None: ...
    class Kill(_message.Message):
        __slots__ = ("task_id", "agent_id", "kill_policy")
        TASK_ID_FIELD_NUMBER: _ClassVar[int]
        AGENT_ID_FIELD_NUMBER: _ClassVar[int]
        KILL_POLICY_FIELD_NUMBER: _ClassVar[int]
        task_id: str
        agent_id: str
        kill_policy: _types_pb2.KillPolicy
        def __init__(self, task_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., kill_policy: _Optional[_Union[_types_pb2.KillPolicy, _Mapping]] = ...) -> None: ...
    class Acknowledge(_message.Message):
        __slots__ = ("agent_id", "task_id", "uuid")
        AGENT_ID_FIELD_NUMBER: _ClassVar[int]
        TASK_ID_FIELD_NUMBER: _ClassVar[int]
        UUID_FIELD_NUMBER: _ClassVar[int]
        agent_id: str
        task_id: str
        uuid: bytes
        def __init__(self, agent_id: _Optional[str] = ..., task_id: _Optional[str] = ..., uuid: _Optional[bytes] = ...) -> None: ...
    class Reconcile(_message.Message):
        __slots__ = ("tasks",)
        class Task(_message.Message):
            __slots__ = ("task_id", "agent_id")
            TASK_ID_FIELD_NUMBER: _ClassVar[int]
            AGENT_ID_FIELD_NUMBER: _ClassVar[int]
            task_id: str
            agent_id: str
            def __init__(self, task_id: _Optional[str] = ..., agent_id: _Optional[str] = ...) -> None: ...
        TASKS_FIELD_NUMBER: _ClassVar[int]
        tasks: _containers.RepeatedCompositeFieldContainer[Call.Reconcile.Task]
        def __init__(self, tasks: _Optional[_Iterable[_Union[Call.Reconcile.Task, _Mapping]]] = ...) -> None: ...
    class Message(_message.Message):
        __slots__ = ("agent_id", "task_id", "data", "executor_id")
        AGENT_ID_FIELD_NUMBER: _ClassVar[int]
        TASK_ID_FIELD_NUMBER: _ClassVar[int]
        DATA_FIELD_NUMBER: _ClassVar[int]
        EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
        agent_id: str
        task_id: str
        data: bytes
        executor_id: str
        def __init__(self, agent_id: _Optional[str] = ..., task_id: _Optional[str] = ..., data: _Optional[bytes] = ..., executor_id: _Optional[str] = ...) -> None: ...
    class Shutdown(_message.Message):
        __slots__ = ("executor_id", "agent_id")
        EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
        AGENT_ID_FIELD_NUMBER: _ClassVar[int]
        executor_id: str
        agent_id: str
        def __init__(self, executor_id: _Optional[str] = ..., agent_id: _Optional[str] = ...) -> None: ...
    class AcceptInverseOffers(_message.Message):
        __slots__ = ("inverse_offer_ids",)
        INVERSE_OFFER_IDS_FIELD_NUMBER: _ClassVar[int]
        inverse_offer_ids: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, inverse_offer_ids: _Optional[_Iterable[str]] = ...) -> None: ...
    class DeclineInverseOffers(_message.Message):
        __slots__ = ("inverse_offer_ids", "filters")
        INVERSE_OFFER_IDS_FIELD_NUMBER: _ClassVar[int]
        FILTERS_FIELD_NUMBER: _ClassVar[int]
        inverse_offer_ids: _containers.RepeatedScalarFieldContainer[str]
        filters: Filters
        def __init__(self, inverse_offer_ids: _Optional[_Iterable[str]] = ..., filters: _Optional[_Union[Filters, _Mapping]] = ...) -> None: ...
    class UpdateFramework(_message.Message):
        __slots__ = ("framework_info", "suppressed_roles", "offer_constraints", "optimistic_roles")
        class OfferConstraintsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: OfferConstraints
            def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[OfferConstraints, _Mapping]] = ...) -> None: ...
        FRAMEWORK_INFO_FIELD_NUMBER: _ClassVar[int]
        SUPPRESSED_ROLES_FIELD_NUMBER: _ClassVar[int]
        OFFER_CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
        OPTIMISTIC_ROLES_FIELD_NUMBER: _ClassVar[int]
        framework_info: _types_pb2.FrameworkInfo
        suppressed_roles: _containers.RepeatedScalarFieldContainer[str]
        offer_constraints: _containers.MessageMap[str, OfferConstraints]
        optimistic_roles: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, framework_info: _Optional[_Union[_types_pb2.FrameworkInfo, _Mapping]] = ..., suppressed_roles: _Optional[_Iterable[str]] = ..., offer_constraints: _Optional[_Mapping[str, OfferConstraints]] = ..., optimistic_roles: _Optional[_Iterable[str]] = ...) -> None: ...
    class Publish(_message.Message):
        __slots__ = ("serves", "ended", "whole", "more", "keeps")
        SERVES_FIELD_NUMBER: _ClassVar[int]
        ENDED_FIELD_NUMBER: _ClassVar[int]
        WHOLE_FIELD_NUMBER: _ClassVar[int]
        MORE_FIELD_NUMBER: _ClassVar[int]
        KEEPS_FIELD_NUMBER: _ClassVar[int]
        serves: _containers.RepeatedCompositeFieldContainer[_names_pb2.ServedTask]
        ended: _containers.RepeatedScalarFieldContainer[str]
        whole: bool
        more: bool
        keeps: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, serves: _Optional[_Iterable[_Union[_names_pb2.ServedTask, _Mapping]]] = ..., ended: _Optional[_Iterable[str]] = ..., whole: _Optional[bool] = ..., more: _Optional[bool] = ..., keeps: _Optional[_Iterable[str]] = ...) -> None: ...
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    TEARDOWN_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    DECLINE_FIELD_NUMBER: _ClassVar[int]
    REVIVE_FIELD_NUMBER: _ClassVar[int]
    SUPPRESS_FIELD_NUMBER: _ClassVar[int]
    KILL_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    RECONCILE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SHUTDOWN_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_INVERSE_OFFERS_FIELD_NUMBER: _ClassVar[int]
    DECLINE_INVERSE_OFFERS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FRAMEWORK_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    subscribe: Call.Subscribe
    teardown: Call.Teardown
    accept: Call.Accept
    decline: Call.Decline
    revive: Call.Revive
    suppress: Call.Suppress
    kill: Call.Kill
    acknowledge: Call.Acknowledge
    reconcile: Call.Reconcile
    message: Call.Message
    shutdown: Call.Shutdown
    accept_inverse_offers: Call.AcceptInverseOffers
    decline_inverse_offers: Call.DeclineInverseOffers
    update_framework: Call.UpdateFramework
    publish: Call.Publish
    def __init__(self, subscribe: _Optional[_Union[Call.Subscribe, _Mapping]] = ..., teardown: _Optional[_Union[Call.Teardown, _Mapping]] = ..., accept: _Optional[_Union[Call.Accept, _Mapping]] = ..., decline: _Optional[_Union[Call.Decline, _Mapping]] = ..., revive: _Optional[_Union[Call.Revive, _Mapping]] = ..., suppress: _Optional[_Union[Call.Suppress, _Mapping]] = ..., kill: _Optional[_Union[Call.Kill, _Mapping]] = ..., acknowledge: _Optional[_Union[Call.Acknowledge, _Mapping]] = ..., reconcile: _Optional[_Union[Call.Reconcile, _Mapping]] = ..., message: _Optional[_Union[Call.Message, _Mapping]] = ..., shutdown: _Optional[_Union[Call.Shutdown, _Mapping]] = ..., accept_inverse_offers: _Optional[_Union[Call.AcceptInverseOffers, _Mapping]] = ..., decline_inverse_offers: _Optional[_Union[Call.DeclineInverseOffers, _Mapping]] = ..., update_framework: _Optional[_Union[Call.UpdateFramework, _Mapping]] = ..., publish: _Optional[_Union[Call.Publish, _Mapping]] = ...) -> None: ...

class Filters(_message.Message):
    __slots__ = ("refuse_seconds",)
    REFUSE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    refuse_seconds: float
    def __init__(self, refuse_seconds: _Optional[float] = ...) -> None: ...

class Operation(_message.Message):
    __slots__ = ("id", "launch", "reserve", "unreserve", "create", "destroy", "launch_group", "grow_volume", "shrink_volume")
    class Launch(_message.Message):
        __slots__ = ("task_infos",)
        TASK_INFOS_FIELD_NUMBER: _ClassVar[int]
        task_infos: _containers.RepeatedCompositeFieldContainer[_types_pb2.TaskInfo]
        def __init__(self, task_infos: _Optional[_Iterable[_Union[_types_pb2.TaskInfo, _Mapping]]] = ...) -> None: ...
    class LaunchGroup(_message.Message):
        __slots__ = ("task_infos",)
        TASK_INFOS_FIELD_NUMBER: _ClassVar[int]
        task_infos: _containers.RepeatedCompositeFieldContainer[_types_pb2.TaskInfo]
        def __init__(self, task_infos: _Optional[_Iterable[_Union[_types_pb2.TaskInfo, _Mapping]]] = ...) -> None: ...
    class Reserve(_message.Message):
        __slots__ = ("resources",)
        RESOURCES_FIELD_NUMBER: _ClassVar[int]
        resources: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
        def __init__(self, resources: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ...) -> None: ...
    class Unreserve(_message.Message):
        __slots__ = ("resources",)
        RESOURCES_FIELD_NUMBER: _ClassVar[int]
        resources: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
        def __init__(self, resources: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ...) -> None: ...
    class Create(_message.Message):
        __slots__ = ("volumes",)
        VOLUMES_FIELD_NUMBER: _ClassVar[int]
        volumes: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
        def __init__(self, volumes: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ...) -> None: ...
    class Destroy(_message.Message):
        __slots__ = ("volumes",)
        VOLUMES_FIELD_NUMBER: _ClassVar[int]
        volumes: _containers.RepeatedCompositeFieldContainer[_types_pb2.Resource]
        def __init__(self, volumes: _Optional[_Iterable[_Union[_types_pb2.Resource, _Mapping]]] = ...) -> None: ...
    class GrowVolume(_message.Message):
        __slots__ = ("volume", "addition")
        VOLUME_FIELD_NUMBER: _ClassVar[int]
        ADDITION_FIELD_NUMBER: _ClassVar[int]
        volume: _types_pb2.Resource
        addition: _types_pb2.Resource
        def __init__(self, volume: _Optional[_Union[_types_pb2.Resource, _Mapping]] = ..., addition: _Optional[_Union[_types_pb2.Resource, _Mapping]] = ...) -> None: ...
    class ShrinkVolume(_message.Message):
        __slots__ = ("volume", "subtraction")
        VOLUME_FIELD_NUMBER: _ClassVar[int]
        SUBTRACTION_FIELD_NUMBER: _ClassVar[int]
        volume: _types_pb2.Resource
        subtraction: _types_pb2.Resource
        def __init__(self, volume: _Optional[_Union[_types_pb2.Resource, _Mapping]] = ..., subtraction: _Optional[_Union[_types_pb2.Resource, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    LAUNCH_FIELD_NUMBER: _ClassVar[int]
    RESERVE_FIELD_NUMBER: _ClassVar[int]
    UNRESERVE_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    DESTROY_FIELD_NUMBER: _ClassVar[int]
    LAUNCH_GROUP_FIELD_NUMBER: _ClassVar[int]
    GROW_VOLUME_FIELD_NUMBER: _ClassVar[int]
    SHRINK_VOLUME_FIELD_NUMBER: _ClassVar[int]
    id: str
    launch: Operation.Launch
    reserve: Operation.Reserve
    unreserve: Operation.Unreserve
    create: Operation.Create
    destroy: Operation.Destroy
    launch_group: Operation.LaunchGroup
    grow_volume: Operation.GrowVolume
    shrink_volume: Operation.ShrinkVolume
    def __init__(self, id: _Optional[str] = ..., launch: _Optional[_Union[Operation.Launch, _Mapping]] = ..., reserve: _Optional[_Union[Operation.Reserve, _Mapping]] = ..., unreserve: _Optional[_Union[Operation.Unreserve, _Mapping]] = ..., create: _Optional[_Union[Operation.Create, _Mapping]] = ..., destroy: _Optional[_Union[Operation.Destroy, _Mapping]] = ..., launch_group: _Optional[_Union[Operation.LaunchGroup, _Mapping]] = ..., grow_volume: _Optional[_Union[Operation.GrowVolume, _Mapping]] = ..., shrink_volume: _Optional[_Union[Operation.ShrinkVolume, _Mapping]] = ...) -> None: ...

class OfferConstraints(_message.Message):
    __slots__ = ("groups",)
    class Group(_message.Message):
        __slots__ = ("constraints",)
        CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
        constraints: _containers.RepeatedCompositeFieldContainer[AttributeConstraint]
        def __init__(self, constraints: _Optional[_Iterable[_Union[AttributeConstraint, _Mapping]]] = ...) -> None: ...
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[OfferConstraints.Group]
    def __init__(self, groups: _Optional[_Iterable[_Union[OfferConstraints.Group, _Mapping]]] = ...) -> None: ...

class AttributeConstraint(_message.Message):
    __slots__ = ("attribute", "exists", "not_exists", "text_equals", "text_not_equals", "text_matches", "text_not_matches")
    class Nothing(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    NOT_EXISTS_FIELD_NUMBER: _ClassVar[int]
    TEXT_EQUALS_FIELD_NUMBER: _ClassVar[int]
    TEXT_NOT_EQUALS_FIELD_NUMBER: _ClassVar[int]
    TEXT_MATCHES_FIELD_NUMBER: _ClassVar[int]
    TEXT_NOT_MATCHES_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    exists: AttributeConstraint.Nothing
    not_exists: AttributeConstraint.Nothing
    text_equals: str
    text_not_equals: str
    text_matches: str
    text_not_matches: str
    def __init__(self, attribute: _Optional[str] = ..., exists: _Optional[_Union[AttributeConstraint.Nothing, _Mapping]] = ..., not_exists: _Optional[_Union[AttributeConstraint.Nothing, _Mapping]] = ..., text_equals: _Optional[str] = ..., text_not_equals: _Optional[str] = ..., text_matches: _Optional[str] = ..., text_not_matches: _Optional[str] = ...) -> None: ...

class EventBatch(_message.Message):
    __slots__ = ("epoch", "event")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    event: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, epoch: _Optional[int] = ..., event: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("subscribed", "offers", "rescind", "update", "failure", "error", "heartbeat", "message", "operation_update", "refused", "policy", "set_revoked", "drain", "inverse_offers", "rescind_inverse_offer", "framework_updated", "secret_versions", "uses")
    class Subscribed(_message.Message):
        __slots__ = ("framework_id", "heartbeat_interval_s", "master_address", "master_version", "master_capabilities", "revoked")
        FRAMEWORK_ID_FIELD_NUMBER: _ClassVar[int]
        HEARTBEAT_INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
        MASTER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
        MASTER_VERSION_FIELD_NUMBER: _ClassVar[int]
        MASTER_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
        REVOKED_FIELD_NUMBER: _ClassVar[int]
        framework_id: str
        heartbeat_interval_s: float
        master_address: str
        master_version: str
        master_capabilities: _containers.RepeatedScalarFieldContainer[MasterCapability]
        revoked: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, framework_id: _Optional[str] = ..., heartbeat_interval_s: _Optional[float] = ..., master_address: _Optional[str] = ..., master_version: _Optional[str] = ..., master_capabilities: _Optional[_Iterable[_Union[MasterCapability, str]]] = ..., revoked: _Optional[_Iterable[str]] = ...) -> None: ...
    class Offers(_message.Message):
        __slots__ = ("offers",)
        OFFERS_FIELD_NUMBER: _ClassVar[int]
        offers: _containers.RepeatedCompositeFieldContainer[_types_pb2.Offer]
        def __init__(self, offers: _Optional[_Iterable[_Union[_types_pb2.Offer, _Mapping]]] = ...) -> None: ...
    class Rescind(_message.Message):
        __slots__ = ("offer_id", "reason")
        OFFER_ID_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        offer_id: str
        reason: str
        def __init__(self, offer_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
    class Update(_message.Message):
        __slots__ = ("status",)
        STATUS_FIELD_NUMBER: _ClassVar[int]
        status: _types_pb2.TaskStatus
        def __init__(self, status: _Optional[_Union[_types_pb2.TaskStatus, _Mapping]] = ...) -> None: ...
    class Failure(_message.Message):
        __slots__ = ("agent_id", "executor_id", "status")
        AGENT_ID_FIELD_NUMBER: _ClassVar[int]
        EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
        STATUS_FIELD_NUMBER: _ClassVar[int]
        agent_id: str
        executor_id: str
        status: int
        def __init__(self, agent_id: _Optional[str] = ..., executor_id: _Optional[str] = ..., status: _Optional[int] = ...) -> None: ...
    class Error(_message.Message):
        __slots__ = ("message", "code")
        class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            CODE_UNSPECIFIED: _ClassVar[Event.Error.Code]
            FRAMEWORK_REMOVED: _ClassVar[Event.Error.Code]
            DENIED: _ClassVar[Event.Error.Code]
            SUPERSEDED: _ClassVar[Event.Error.Code]
        CODE_UNSPECIFIED: Event.Error.Code
        FRAMEWORK_REMOVED: Event.Error.Code
        DENIED: Event.Error.Code
        SUPERSEDED: Event.Error.Code
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        CODE_FIELD_NUMBER: _ClassVar[int]
        message: str
        code: Event.Error.Code
        def __init__(self, message: _Optional[str] = ..., code: _Optional[_Union[Event.Error.Code, str]] = ...) -> None: ...
    class Heartbeat(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Message(_message.Message):
        __slots__ = ("agent_id", "task_id", "data", "executor_id")
        AGENT_ID_FIELD_NUMBER: _ClassVar[int]
        TASK_ID_FIELD_NUMBER: _ClassVar[int]
        DATA_FIELD_NUMBER: _ClassVar[int]
        EXECUTOR_ID_FIELD_NUMBER: _ClassVar[int]
        agent_id: str
        task_id: str
        data: bytes
        executor_id: str
        def __init__(self, agent_id: _Optional[str] = ..., task_id: _Optional[str] = ..., data: _Optional[bytes] = ..., executor_id: _Optional[str] = ...) -> None: ...
    class OperationUpdate(_message.Message):
        __slots__ = ("operation_id", "state", "message", "agent_id")
        class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            STATE_UNSPECIFIED: _ClassVar[Event.OperationUpdate.State]
            FINISHED: _ClassVar[Event.OperationUpdate.State]
            ERROR: _ClassVar[Event.OperationUpdate.State]
            DROPPED: _ClassVar[Event.OperationUpdate.State]
        STATE_UNSPECIFIED: Event.OperationUpdate.State
        FINISHED: Event.OperationUpdate.State
        ERROR: Event.OperationUpdate.State
        DROPPED: Event.OperationUpdate.State
        OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
        STATE_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        AGENT_ID_FIELD_NUMBER: _ClassVar[int]
        operation_id: str
        state: Event.OperationUpdate.State
        message: str
        agent_id: str
        def __init__(self, operation_id: _Optional[str] = ..., state: _Optional[_Union[Event.OperationUpdate.State, str]] = ..., message: _Optional[str] = ..., agent_id: _Optional[str] = ...) -> None: ...
    class Refused(_message.Message):
        __slots__ = ("call", "code", "message")
        class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            CODE_UNSPECIFIED: _ClassVar[Event.Refused.Code]
            INVALID: _ClassVar[Event.Refused.Code]
            UNKNOWN_CALL: _ClassVar[Event.Refused.Code]
            TOO_LARGE: _ClassVar[Event.Refused.Code]
            DENIED: _ClassVar[Event.Refused.Code]
        CODE_UNSPECIFIED: Event.Refused.Code
        INVALID: Event.Refused.Code
        UNKNOWN_CALL: Event.Refused.Code
        TOO_LARGE: Event.Refused.Code
        DENIED: Event.Refused.Code
        CALL_FIELD_NUMBER: _ClassVar[int]
        CODE_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        call: str
        code: Event.Refused.Code
        message: str
        def __init__(self, call: _Optional[str] = ..., code: _Optional[_Union[Event.Refused.Code, str]] = ..., message: _Optional[str] = ...) -> None: ...
    class Policy(_message.Message):
        __slots__ = ("document", "version")
        DOCUMENT_FIELD_NUMBER: _ClassVar[int]
        VERSION_FIELD_NUMBER: _ClassVar[int]
        document: str
        version: int
        def __init__(self, document: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...
    class SetRevoked(_message.Message):
        __slots__ = ("revoked",)
        REVOKED_FIELD_NUMBER: _ClassVar[int]
        revoked: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, revoked: _Optional[_Iterable[str]] = ...) -> None: ...
    class Drain(_message.Message):
        __slots__ = ("agent_id", "deadline_s", "cancelled")
        AGENT_ID_FIELD_NUMBER: _ClassVar[int]
        DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
        CANCELLED_FIELD_NUMBER: _ClassVar[int]
        agent_id: str
        deadline_s: float
        cancelled: bool
        def __init__(self, agent_id: _Optional[str] = ..., deadline_s: _Optional[float] = ..., cancelled: _Optional[bool] = ...) -> None: ...
    class InverseOffers(_message.Message):
        __slots__ = ("inverse_offers",)
        INVERSE_OFFERS_FIELD_NUMBER: _ClassVar[int]
        inverse_offers: _containers.RepeatedCompositeFieldContainer[_types_pb2.InverseOffer]
        def __init__(self, inverse_offers: _Optional[_Iterable[_Union[_types_pb2.InverseOffer, _Mapping]]] = ...) -> None: ...
    class RescindInverseOffer(_message.Message):
        __slots__ = ("inverse_offer_id", "reason")
        INVERSE_OFFER_ID_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        inverse_offer_id: str
        reason: str
        def __init__(self, inverse_offer_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
    class SecretVersion(_message.Message):
        __slots__ = ("name", "version", "set_at_s")
        NAME_FIELD_NUMBER: _ClassVar[int]
        VERSION_FIELD_NUMBER: _ClassVar[int]
        SET_AT_S_FIELD_NUMBER: _ClassVar[int]
        name: str
        version: int
        set_at_s: float
        def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., set_at_s: _Optional[float] = ...) -> None: ...
    class SecretVersions(_message.Message):
        __slots__ = ("role", "secrets", "complete", "removed")
        ROLE_FIELD_NUMBER: _ClassVar[int]
        SECRETS_FIELD_NUMBER: _ClassVar[int]
        COMPLETE_FIELD_NUMBER: _ClassVar[int]
        REMOVED_FIELD_NUMBER: _ClassVar[int]
        role: str
        secrets: _containers.RepeatedCompositeFieldContainer[Event.SecretVersion]
        complete: bool
        removed: str
        def __init__(self, role: _Optional[str] = ..., secrets: _Optional[_Iterable[_Union[Event.SecretVersion, _Mapping]]] = ..., complete: _Optional[bool] = ..., removed: _Optional[str] = ...) -> None: ...
    class FrameworkUpdated(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class Uses(_message.Message):
        __slots__ = ("uses",)
        USES_FIELD_NUMBER: _ClassVar[int]
        uses: _containers.RepeatedCompositeFieldContainer[_types_pb2.TaskUse]
        def __init__(self, uses: _Optional[_Iterable[_Union[_types_pb2.TaskUse, _Mapping]]] = ...) -> None: ...
    SUBSCRIBED_FIELD_NUMBER: _ClassVar[int]
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    RESCIND_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_UPDATE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SET_REVOKED_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    INVERSE_OFFERS_FIELD_NUMBER: _ClassVar[int]
    RESCIND_INVERSE_OFFER_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_UPDATED_FIELD_NUMBER: _ClassVar[int]
    SECRET_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    subscribed: Event.Subscribed
    offers: Event.Offers
    rescind: Event.Rescind
    update: Event.Update
    failure: Event.Failure
    error: Event.Error
    heartbeat: Event.Heartbeat
    message: Event.Message
    operation_update: Event.OperationUpdate
    refused: Event.Refused
    policy: Event.Policy
    set_revoked: Event.SetRevoked
    drain: Event.Drain
    inverse_offers: Event.InverseOffers
    rescind_inverse_offer: Event.RescindInverseOffer
    framework_updated: Event.FrameworkUpdated
    secret_versions: Event.SecretVersions
    uses: Event.Uses
    def __init__(self, subscribed: _Optional[_Union[Event.Subscribed, _Mapping]] = ..., offers: _Optional[_Union[Event.Offers, _Mapping]] = ..., rescind: _Optional[_Union[Event.Rescind, _Mapping]] = ..., update: _Optional[_Union[Event.Update, _Mapping]] = ..., failure: _Optional[_Union[Event.Failure, _Mapping]] = ..., error: _Optional[_Union[Event.Error, _Mapping]] = ..., heartbeat: _Optional[_Union[Event.Heartbeat, _Mapping]] = ..., message: _Optional[_Union[Event.Message, _Mapping]] = ..., operation_update: _Optional[_Union[Event.OperationUpdate, _Mapping]] = ..., refused: _Optional[_Union[Event.Refused, _Mapping]] = ..., policy: _Optional[_Union[Event.Policy, _Mapping]] = ..., set_revoked: _Optional[_Union[Event.SetRevoked, _Mapping]] = ..., drain: _Optional[_Union[Event.Drain, _Mapping]] = ..., inverse_offers: _Optional[_Union[Event.InverseOffers, _Mapping]] = ..., rescind_inverse_offer: _Optional[_Union[Event.RescindInverseOffer, _Mapping]] = ..., framework_updated: _Optional[_Union[Event.FrameworkUpdated, _Mapping]] = ..., secret_versions: _Optional[_Union[Event.SecretVersions, _Mapping]] = ..., uses: _Optional[_Union[Event.Uses, _Mapping]] = ...) -> None: ...
