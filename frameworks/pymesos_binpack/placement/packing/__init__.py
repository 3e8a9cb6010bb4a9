"""What goes where: shapes of tasks, a pool of nodes, and policies that choose among them."""

from pymesos_binpack.placement.packing.policies import (
    DEFAULT_POLICY,
    POLICIES,
    Policy,
    PolicyError,
    meaning_of,
    policy_told,
    read_policy,
    text_of,
)
from pymesos_binpack.placement.packing.pool import Placement, Pool
from pymesos_binpack.placement.packing.shape import Shape, ShapeError, Workload, shape_of

__all__ = [
    "DEFAULT_POLICY",
    "POLICIES",
    "Placement",
    "Policy",
    "PolicyError",
    "Pool",
    "Shape",
    "ShapeError",
    "Workload",
    "meaning_of",
    "policy_told",
    "read_policy",
    "shape_of",
    "text_of",
]
