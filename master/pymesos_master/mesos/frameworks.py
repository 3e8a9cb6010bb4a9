"""What a framework says of itself, as Mesos writes it and as we do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pymesos_core.mesos.unsupported import UnsupportedError
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

_KINDS = mesos.FrameworkInfo.Capability
_CAPABILITIES: Mapping[int, pb.FrameworkCapability] = {
    _KINDS.REVOCABLE_RESOURCES: pb.REVOCABLE_RESOURCES,
    _KINDS.TASK_KILLING_STATE: pb.TASK_KILLING_STATE,
    _KINDS.GPU_RESOURCES: pb.GPU_RESOURCES,
    _KINDS.SHARED_RESOURCES: pb.SHARED_RESOURCES,
    _KINDS.PARTITION_AWARE: pb.PARTITION_AWARE,
    _KINDS.MULTI_ROLE: pb.MULTI_ROLE,
}
_DECLARED = {ours: _KINDS.Type.Name(theirs) for theirs, ours in _CAPABILITIES.items()}
# What every framework of Mesos is told, whatever it declares.
ALWAYS = (
    pb.TASK_STARTING_STATE,
    pb.INVERSE_OFFERS,
    pb.MESOS_RECONCILIATION,
    pb.CHECKPOINT_COUNTS,
)


@dataclass(frozen=True)
class Format:
    """In which form a framework is told of resources, by the capabilities that it declares."""

    refined: bool = False  # RESERVATION_REFINEMENT
    multi_role: bool = False  # MULTI_ROLE

    @classmethod
    def of(cls, info: mesos.FrameworkInfo) -> Format:
        """The form for a framework."""
        declared = {capability.type for capability in info.capabilities}
        return cls(_KINDS.RESERVATION_REFINEMENT in declared, _KINDS.MULTI_ROLE in declared)


def roles_of(info: mesos.FrameworkInfo) -> list[str]:
    """Return the roles that a framework subscribes to."""
    return list(info.roles) if Format.of(info).multi_role else [info.role]


def info_of(info: mesos.FrameworkInfo) -> pb.FrameworkInfo:
    """Return our framework info, of one that is as it has to be in Mesos."""
    out = pb.FrameworkInfo(
        framework_id=info.id.value,
        name=info.name,
        user=info.user,
        roles=roles_of(info),
        failover_timeout_s=info.failover_timeout,
        principal=info.principal,
        checkpoint=info.checkpoint,
        hostname=info.hostname,
        webui_url=info.webui_url,
        labels=[pb.Label(key=one.key, value=one.value) for one in info.labels.labels],
    )
    declared = (_CAPABILITIES.get(one.type) for one in info.capabilities)
    out.capabilities.extend(dict.fromkeys([one for one in declared if one is not None]))
    out.capabilities.extend(ALWAYS)
    return out


def fixed_problem(known: pb.FrameworkInfo, wanted: pb.FrameworkInfo) -> str | None:
    """Return why a framework may not be updated so, as Mesos says it, or None."""
    for name in ("user", "checkpoint"):
        old, new = getattr(known, name), getattr(wanted, name)
        if old != new:
            before, after = (
                str(one).lower() if isinstance(one, bool) else one[:255] for one in (old, new)
            )
            return (
                f"Updating 'FrameworkInfo.{name}' is unsupported; attempted to update from"
                f" '{before}' to '{after}'"
            )
    return None


def info_to_mesos(info: pb.FrameworkInfo) -> mesos.FrameworkInfo:
    """Return what a framework says of itself, as operators are shown it."""
    out = mesos.FrameworkInfo(user=info.user, name=info.name)
    out.id.value = info.framework_id
    out.failover_timeout, out.checkpoint = info.failover_timeout_s, info.checkpoint
    if pb.MULTI_ROLE in info.capabilities:
        out.roles.extend(info.roles)
    else:
        out.role = next(iter(info.roles), "*")
    for name in ("hostname", "principal", "webui_url"):
        if said := getattr(info, name):
            setattr(out, name, said)
    for one in info.capabilities:
        if (theirs := _DECLARED.get(one)) is not None:
            out.capabilities.add(type=theirs)
    for label in info.labels:
        out.labels.labels.add(key=label.key, value=label.value)
    return out


def suppressed_problem(info: mesos.FrameworkInfo, suppressed: list[str]) -> str | None:
    """Why these roles cannot be suppressed, in Mesos' words; or None."""
    others = [role for role in dict.fromkeys(suppressed) if role not in roles_of(info)]
    if not others:
        return None
    return f"Suppressed roles {{ {', '.join(others)} }} are not contained in the set of roles"


def constraints_of(
    said: mesos_scheduler.OfferConstraints,
) -> dict[str, scheduler_pb.OfferConstraints]:
    """Return our offer constraints, by role. Raises UnsupportedError."""
    out: dict[str, scheduler_pb.OfferConstraints] = {}
    for role, of_role in said.role_constraints.items():
        constraints = out[role] = scheduler_pb.OfferConstraints()
        for group in of_role.groups:
            constraints.groups.add(
                constraints=[_constraint(one) for one in group.attribute_constraints]
            )
    return out


def _constraint(one: mesos_scheduler.AttributeConstraint) -> scheduler_pb.AttributeConstraint:
    selector, predicate = one.selector, one.predicate
    out = scheduler_pb.AttributeConstraint(attribute=selector.attribute_name)
    if selector.WhichOneof("selector") == "pseudoattribute_type":
        if selector.pseudoattribute_type != selector.HOSTNAME:
            raise UnsupportedError(
                "an offer constraint is of a region or zone, which there are not"
            )
        out.attribute = "hostname"
    match predicate.WhichOneof("predicate"):
        case "exists":
            out.exists.SetInParent()
        case "not_exists":
            out.not_exists.SetInParent()
        case "text_equals":
            out.text_equals = predicate.text_equals.value
        case "text_not_equals":
            out.text_not_equals = predicate.text_not_equals.value
        case "text_matches":
            out.text_matches = predicate.text_matches.regex
        case "text_not_matches":
            out.text_not_matches = predicate.text_not_matches.regex
        case _:
            raise UnsupportedError("an offer constraint has no predicate")
    return out
