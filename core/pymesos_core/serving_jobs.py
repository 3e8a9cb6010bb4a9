"""Frameworks that serve jobs: of which roles, and what is said of one that does not answer."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from pymesos_core.following import NOT_REACHABLE
from pymesos_core.security.policy import Roles, read_roles
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1.types_pb2 import FrameworkInfo

JOB_SORTS = ("id", "name", "state", "role", "submitted", "version")  # of a listing of jobs
START_IT = "start it again (pymesos-binpack, with the same --state-dir or --zk) to go on with them"


def patterns_of(view: pb.FrameworkView) -> list[str]:
    """The roles that a framework takes jobs of, as it says them."""
    return _patterns(view.info)


def _patterns(info: FrameworkInfo) -> list[str]:
    return list(info.job_roles) or list(info.roles) or ["*"]


def roles_taken(info: FrameworkInfo) -> Roles:
    """The roles that a framework takes jobs of; none if it serves no jobs."""
    return read_roles(_patterns(info)) if info.jobs_address else Roles()


def takes(view: pb.FrameworkView, role: str) -> bool:
    """Whether a framework that serves jobs takes those of a role."""
    return role in read_roles(patterns_of(view))


def takers(views: Iterable[pb.FrameworkView], role: str) -> list[pb.FrameworkView]:
    """Return the frameworks that take jobs of a role; empty: of any.

    Where some say that very role, others that take it with more are left out.
    """
    found = [view for view in views if not role or takes(view, role)]
    return [view for view in found if role in patterns_of(view)] or found


def nobody_takes(role: str) -> str:
    """Say that no framework takes jobs of a role, and what starts one."""
    start = f"start pymesos-binpack --listen --role {shlex.quote(role)}"
    return f"nobody takes jobs of the role {role}: {start}"


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
