"""What who asks may be told, or do: as the master says it, by whom he has asked."""

from __future__ import annotations

from dataclasses import dataclass

from pymesos_core.security.roles import EVERY_ROLE, Roles, read_roles
from pymesos_proto.v1 import agent_http_pb2 as pb


@dataclass(frozen=True)
class Rights:
    """Roles whose tasks are shown, whose files are, and in whose tasks commands run."""

    read: Roles = EVERY_ROLE
    files: Roles = EVERY_ROLE
    exec: Roles = EVERY_ROLE
    logging: bool = True  # have more written to the log


EVERYTHING = Rights()  # where the cluster has no certificates, so that nobody is known


def rights_from_proto(said: pb.HttpRights) -> Rights:
    """Return what a master says that who asks may."""
    return Rights(
        read_roles(said.read), read_roles(said.files), read_roles(said.exec), said.logging
    )
