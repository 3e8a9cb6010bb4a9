"""Frameworks that serve jobs are told at which versions the secrets of their roles are.

So what uses one that was set anew is replaced by whoever started it, at its pace. No value is told.
"""

from __future__ import annotations

from collections.abc import Iterable

from pymesos_master.core.context import Context
from pymesos_master.core.records import SecretRecord
from pymesos_master.core.state import Framework
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb


def tell_all(ctx: Context, framework: Framework) -> None:
    """Tell a framework of every secret of its roles."""
    by_role: dict[str, list[tuple[str, SecretRecord]]] = {}
    for key, record in ctx.state.secrets().items():
        role, _, name = key.rpartition(":")
        by_role.setdefault(role, []).append((name, record))
    for role in framework.roles:
        _tell(ctx, framework, _told(role, by_role.get(role, ()), complete=True))


def tell_each(ctx: Context, role: str, name: str, record: SecretRecord) -> None:
    """Tell the frameworks of its role that a secret was set."""
    for framework in ctx.state.frameworks.values():
        if role in framework.roles:
            _tell(ctx, framework, _told(role, [(name, record)]))


def tell_removed(ctx: Context, role: str, name: str) -> None:
    """Tell the frameworks of its role that a secret is no more."""
    for framework in ctx.state.frameworks.values():
        if role in framework.roles:
            _tell(ctx, framework, scheduler_pb.Event.SecretVersions(role=role, removed=name))


def _told(
    role: str, secrets: Iterable[tuple[str, SecretRecord]], *, complete: bool = False
) -> scheduler_pb.Event.SecretVersions:
    return scheduler_pb.Event.SecretVersions(
        role=role,
        secrets=[
            scheduler_pb.Event.SecretVersion(
                name=name, version=record.version, set_at_s=record.set_at_s
            )
            for name, record in secrets
        ],
        complete=complete,
    )


def _tell(ctx: Context, framework: Framework, told: scheduler_pb.Event.SecretVersions) -> None:
    if framework.info.jobs_address:
        ctx.tell_framework(framework, scheduler_pb.Event(secret_versions=told))
