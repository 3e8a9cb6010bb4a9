"""How the process of a role ends: its exit statuses, and the error that ends it.

The units in deploy/systemd go by these statuses; a test holds the two together.
"""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """What the exit status of a role's process means."""

    STOPPED = 0  # it was asked to stop, or its work is done
    FAILED = 1  # it cannot go on now, and has said why; started again it may
    WRONG_USE = 2  # its settings make no sense: started again it ends again
    REMOVED = 3  # the cluster will not have it again: an operator has to start it anew
    CRASHED = 70  # a fault of pymesos; started again it goes on from what is stored


NOT_RESTARTED = frozenset({ExitStatus.WRONG_USE, ExitStatus.REMOVED})


class RoleError(Exception):
    """A role cannot go on: the message says why, and what to do about it."""

    status = ExitStatus.FAILED


class RemovedError(RoleError):
    """The cluster will not have this agent or framework again."""

    status = ExitStatus.REMOVED
