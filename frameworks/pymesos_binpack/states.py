"""Where the state of the framework is: the records beside its jobs that say so."""

from __future__ import annotations

from pymesos_core.addresses import HostPort
from pymesos_core.coordination import read_epoch
from pymesos_core.coordination.standalone import EPOCH
from pymesos_core.exits import RoleError
from pymesos_core.store import Change, Records

STATE_FILE = "state.sqlite"
MOVED = ("moved", "")  # to where the state went from here
NOWHERE = HostPort("0.0.0.0", 1)  # noqa: S104 - of a move, which is elected and serves nobody


def epoch_in(records: Records, where: str) -> int:
    """Return the epoch of a framework that is alone: of a later one it has moved. Raises RoleError.

    0: it has never been elected. `where` is its state.
    """
    try:
        return read_epoch(records.get(EPOCH, b"0"))
    except ValueError as error:
        raise RoleError(
            f"the state in {where} is damaged: its record epoch holds {error}. Restore it from a"
            f" backup"
        ) from error


def jobs_in(records: Records) -> dict[tuple[str, str], bytes]:
    """Return what there is beside the epoch and the mark of a move."""
    return {place: value for place, value in records.items() if place not in (EPOCH, MOVED)}


def check_not_moved(records: Records) -> None:
    """Raise RoleError where the state has gone elsewhere: its jobs are not here."""
    if (where := records.get(MOVED)) is not None:
        raise RoleError(
            f"the state was moved from here to {where.decode('utf-8', 'replace')}: start it with"
            f" that, or move the state back with `pymesos-binpack move-state`"
        )


def departure(records: Records, to: str) -> list[Change]:
    """Return the writes that leave nothing but a mark."""
    gone = [Change(*place, None) for place in jobs_in(records)]
    return [*gone, Change(*MOVED, to.encode())]
