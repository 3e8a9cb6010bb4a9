"""What a caller may see of a leader, gathered from the queries that every front door asks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller
from pymesos_core.mesos.agents import mesos_address
from pymesos_core.mesos.statuses import Places
from pymesos_core.mesos.tasks import executor_id_of, has_address
from pymesos_master.queries import Listing, PageRequest, TaskFilter
from pymesos_master.queries.paging import MAX_PAGE_SIZE
from pymesos_master.shell import Leader
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

EVERY_TASK = TaskFilter(completed=True)
View = TypeVar("View", bound=Message)
Made = TypeVar("Made")
MOST_KEPT, MOST_KEPT_BYTES = 8, 4 * 1024 * 1024  # answers, and of each
REGISTERED = ("active", "disconnected", "leaving")  # agents that Mesos calls so


@dataclass(frozen=True)
class Tasks:
    """Tasks, as Mesos sorts them."""

    live: list[pb.TaskView]
    unreachable: list[pb.TaskView]
    completed: list[pb.TaskView]


class Reading:
    """Reads for one request. Each method raises RequestError for who may not."""

    def __init__(self, leader: Leader, caller: Caller) -> None:
        self.leader = leader
        self.caller = caller

    async def agents(self) -> list[pb.AgentView]:
        """Agents by id, in whatever state."""
        return await _all(lambda page: self.leader.queries.agents(self.caller, page))

    async def frameworks(self) -> list[pb.FrameworkView]:
        """Frameworks by id, also those that have ended."""
        return await _all(
            lambda page: self.leader.queries.frameworks(self.caller, page, completed=True)
        )

    async def tasks(self, wanted: TaskFilter = EVERY_TASK) -> Tasks:
        """Tasks, the youngest first; also those that have ended."""
        found = await _all(lambda page: self.leader.queries.tasks(self.caller, page, wanted))
        out = Tasks([], [], [])
        for task in reversed(found):
            if task.completed:
                out.completed.append(task)
            elif task.state == types_pb2.TASK_UNREACHABLE:
                out.unreachable.append(task)
            else:
                out.live.append(task)
        return out

    async def offers(self) -> list[pb.OfferView]:
        """Offers that are out, the youngest first."""
        found = await _all(lambda page: self.leader.queries.offers(self.caller, page))
        return [one for one in reversed(found) if not one.offer.optimistic]

    def roles(self) -> list[pb.RoleView]:
        """Roles by name, with those above them."""
        found = {view.role: view for view in self.leader.queries.roles(self.caller)}
        above = {up for role in found for up in _above(role)} - found.keys()
        for role in above:
            found[role] = _above_view(role, found.values())
        return [found[role] for role in sorted(found)]

    def places(self, tasks: list[pb.TaskView] | None = None) -> Places:
        """Where agents are reached, and these tasks."""
        by_task = {task.task_info.task_id: task for task in tasks or ()}
        executors = {
            task.task_info.task_id: executor_id
            for task in tasks or ()
            if (executor_id := executor_id_of(task.task_info))
        }
        return Places(
            lambda status: _ip_of(by_task.get(status.task_id), status),
            self.agent_at,
            lambda status: executors.get(status.task_id, ""),
        )

    def agent_at(self, agent_id: str) -> HostPort | None:
        """Where an agent is reached."""
        agent = self.leader.core.state.agents.get(agent_id)
        return None if agent is None else mesos_address(agent.info)


def _ip_of(task: pb.TaskView | None, status: types_pb2.TaskStatus) -> str:
    known = task is not None and has_address(task.task_info, status.state)
    return task.agent_address.ip if task is not None and known else ""


def _above(role: str) -> list[str]:
    parts = role.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _above_view(role: str, views: Iterable[pb.RoleView]) -> pb.RoleView:
    """A role that is only above others: what these hold that are not below one of them."""
    below = [view for view in views if view.role.startswith(f"{role}/")]
    names = {view.role for view in below}
    out = pb.RoleView(role=role, weight=1.0)
    for view in below:
        if not names.intersection(_above(view.role)):
            out.allocated.extend(view.allocated)
            out.offered.extend(view.offered)
            out.consumed.extend(view.consumed)
    return out


async def _all(fetch: Callable[[PageRequest], Listing[View]]) -> list[View]:
    """All pages of a listing; between two of them others have their turn."""
    found: list[View] = []
    page = PageRequest(MAX_PAGE_SIZE)
    while True:
        listing = fetch(page)
        found += listing.views
        if not listing.next_token:
            return found
        page = PageRequest(MAX_PAGE_SIZE, listing.next_token)
        await asyncio.sleep(0)


class Together:
    """Makes one answer for all who ask the same while it waits for its turn, and keeps a few small
    ones as long as nothing changes.

    One is made at a time, since a large one takes memory and time.
    """

    def __init__(self, size_of: Callable[[Any], int] = lambda made: 0) -> None:
        self._size_of = size_of
        self._kept: dict[Hashable, tuple[object, Any]] = {}  # the oldest first
        self._turn = asyncio.Lock()
        self._asking: Counter[Hashable] = Counter()
        self._made: dict[Hashable, tuple[int, Any]] = {}
        self._asked = 0

    async def answer(
        self,
        what: Hashable,
        make: Callable[[], Awaitable[Made]],
        revision: Callable[[], object] = object,
    ) -> Made:
        """Return what `make` does, or what it did for another: who asked no earlier, or at the same
        revision of what it is made of."""
        self._asked += 1
        mine = self._asked
        self._asking[what] += 1
        try:
            async with self._turn:
                at, made = self._kept.get(what, (None, None))
                if at is not None and at == revision():
                    kept: Made = made
                    return kept
                began, made = self._made.get(what, (0, None))
                if began < mine:  # it was begun before this was asked
                    self._made[what] = self._asked, (made := await self._new(what, make, revision))
                answer: Made = made
                return answer
        finally:
            self._asking[what] -= 1
            if not self._asking[what]:
                del self._asking[what]
                self._made.pop(what, None)

    async def _new(
        self,
        what: Hashable,
        make: Callable[[], Awaitable[Made]],
        revision: Callable[[], object],
    ) -> Made:
        self._kept.pop(what, None)
        at = revision()
        made = await make()
        if at == revision() and self._size_of(made) <= MOST_KEPT_BYTES:
            self._kept[what] = at, made
            if len(self._kept) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        return made
