"""The signals by which a task may be asked to end, before SIGKILL."""

from __future__ import annotations

from pymesos_core.text import quoted
from pymesos_proto.v1 import types_pb2 as pb

TERM = "SIGTERM"
STOP_SIGNALS = (TERM, "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH")


def signal_problem(name: str) -> str | None:
    """Return why a name is none of theirs, or None."""
    if name in STOP_SIGNALS:
        return None
    return f"{quoted(name)} is none of {', '.join(STOP_SIGNALS)}"


def first_signal(*policies: pb.KillPolicy) -> str:
    """Return the signal that comes first by the first of these policies that says one."""
    return next((policy.signal for policy in policies if policy.signal), TERM)
