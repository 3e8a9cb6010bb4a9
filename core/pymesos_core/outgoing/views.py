"""Receivers as they are shown."""

from __future__ import annotations

from pymesos_core.outgoing.telling import Tells
from pymesos_proto.v1 import operator_pb2 as pb

MAX_RECEIVERS = 1000


def receiver_views(tells: Tells) -> list[pb.ReceiverView]:
    """Receivers by name, with why one has not taken what it was sent last."""
    unreached = tells.unreached
    out = [pb.ReceiverView(name=name) for name in sorted(tells.names)[:MAX_RECEIVERS]]
    for view in out:
        if (found := unreached.get(view.name)) is not None:
            view.problem, view.problem_since_s = found
    return out
