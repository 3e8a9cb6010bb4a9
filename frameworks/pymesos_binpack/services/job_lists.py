"""Which jobs a listing has, in which order, and where its next page begins."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pymesos_core.serving_jobs import JOB_SORTS
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2 as pb

MOST_WORDS = 8


class Listed(NamedTuple):
    """What a listing goes by, of a job or of one in quarantine: made for each, so it is small."""

    job_id: str
    name: str
    role: str
    state: Callable[[], str]  # which takes a look at all instances, so only who needs it asks
    submitted_at_s: float
    version: int = 0
    package: str = ""


KEYS: Mapping[str, Callable[[Listed], Any]] = {
    "id": lambda one: "",
    "name": lambda one: one.name,
    "state": lambda one: one.state(),
    "role": lambda one: one.role,
    "submitted": lambda one: one.submitted_at_s,
    "version": lambda one: one.version,
}
assert tuple(KEYS) == JOB_SORTS


def is_asked_for(request: pb.ListJobsRequest, one: Listed) -> bool:
    """Whether a listing has a job, as far as that is told from what it is called."""
    if request.called not in ("", one.job_id, one.name) or request.role not in ("", one.role):
        return False
    if not request.search:
        return True
    words = request.search.casefold().split()[:MOST_WORDS]
    text = f"{one.job_id} {one.name} {one.role} {one.state()} {one.package}".casefold()
    return all(word in text for word in words)


def in_order(
    request: pb.ListJobsRequest, jobs: list[Listed], find: Callable[[str], Listed | None], most: int
) -> list[str]:
    """Return the ids of those that come after the token of the page before, in order.

    They are no more than `most`: of ten thousand, those that a page shows are not all sorted.
    `find` has the job of the token, also if it is in the listing no more. Raises CallError.
    """
    name = (request.sort or "id").removeprefix("-")
    if name not in KEYS:
        told = f"sort is {quoted(request.sort)}; expected is one of {', '.join(KEYS)}"
        raise CallError(Code.INVALID_ARGUMENT, told)
    key, descending = KEYS[name], request.sort.startswith("-")
    places = [(key(one), one.job_id) for one in jobs]
    if request.page_token:
        last = find(request.page_token)
        if last is None and name != "id":
            told = "the job of the page token is not known any more; list again from the start"
            raise CallError(Code.ABORTED, told)
        after = ("" if last is None else key(last), request.page_token)
        places = [place for place in places if (place < after if descending else place > after)]
    first = heapq.nlargest(most, places) if descending else heapq.nsmallest(most, places)
    return [job_id for _, job_id in first]
