"""Frameworks that serve jobs: of which roles, and what is said of one that does not answer."""

from __future__ import annotations

from collections.abc import Iterable

from pymesos_core.following import NOT_REACHABLE
from pymesos_core.security.policy import read_roles
from pymesos_proto.v1 import operator_pb2 as pb

JOB_SORTS = ("id", "name", "state", "role", "submitted", "version")  # of a listing of jobs
START_IT = "start it again (pymesos-binpack, with the same --state-dir or --zk) to go on with them"


def patterns_of(view: pb.FrameworkView) -> list[str]:
    """The roles that a framework takes jobs of, as it says them."""
    return list(view.info.job_roles) or list(view.info.roles) or ["*"]


def takes(view: pb.FrameworkView, role: str) -> bool:
    """Whether a framework that serves jobs takes those of a role."""
    return role in read_roles(patterns_of(view))


def takers(views: Iterable[pb.FrameworkView], role: str) -> list[pb.FrameworkView]:
    """Return the frameworks that take jobs of a role; empty: of any.

    Where some say that very role, others that take it with more are left out.
    """
    found = [view for view in views if not role or takes(view, role)]
    return [view for view in found if role in patterns_of(view)] or found


def silent_text(view: pb.FrameworkView, why: str) -> str:
    """Begin a sentence about a framework that serves jobs and does not answer."""
    info = view.info
    said = why if why.startswith(NOT_REACHABLE) else f"{NOT_REACHABLE}: {why}"
    return (
        f"framework {info.name} ({info.framework_id}) serves the jobs of"
        f" {' and '.join(patterns_of(view))} at {info.jobs_address}, and is {said}"
    )


def not_connected(view: pb.FrameworkView) -> str | None:
    """Why a framework that serves jobs need not be asked; None: it is connected."""
    return None if view.state == "active" else f"it is {view.state} from the master"
