"""What the CLI asks of a cluster: calls on the leading master, whole listings, and events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
import grpc
import grpc.aio

from pymesos_cli.errors import EXIT_NO_MASTER, CliError, ListAgainError, NotFoundError
from pymesos_cli.known import RECOVERING, Known
from pymesos_cli.leader import RETRY_S, Leader
from pymesos_core.addresses import HostPort
from pymesos_core.contexts import Way
from pymesos_proto.v1 import operator_pb2 as pb

if TYPE_CHECKING:
    from pymesos_proto.v1.operator_pb2_grpc import OperatorAsyncStub

_LIST_TIMES = 3

Result = TypeVar("Result")


class Cluster:
    """One cluster, which is asked through the master that leads it."""

    def __init__(self, way: Way, timeout_s: float) -> None:
        """Raises CliError when its master is no address, or its folder has no credentials."""
        self.way = way
        self.master = way.master
        self.timeout_s = timeout_s
        self._leader = Leader(way, timeout_s)
        self.credentials = self._leader.credentials

    async def __aenter__(self) -> Cluster:
        await self._leader.find()
        return self

    async def __aexit__(self, _kind: object, error: object, _traceback: object) -> None:
        if isinstance(error, NotFoundError):  # perhaps another cluster was meant
            error.message += f". Asked was {self._leader.shown}"  # type: ignore[misc]
        await self._leader.close()

    async def renew_if_due(self) -> None:
        """Renew the certificate in use when half of its life is over."""
        await self._leader.renew_if_due()

    async def leader_channel(self) -> grpc.aio.Channel:
        """To the leading master, as it was found last. Raises CliError."""
        return await self._leader.channel()

    async def http_address(self) -> HostPort:
        """Where the master that answers serves HTTP. Raises CliError."""
        return await self._leader.http_address()

    async def call(self, make: Callable[[OperatorAsyncStub, float], Awaitable[Result]]) -> Result:
        """`make(stub, timeout_s)` on the leader. Raises CliError."""
        return await self._leader.call(make)

    async def pages(
        self,
        fetch: Callable[[OperatorAsyncStub, pb.Page, float], Awaitable[Any]],
        items: Callable[[Any], Sequence[Result]],
        limit: int = 0,
    ) -> list[Result]:
        """The items of a paged listing: all, or one more than `limit` if there are more."""
        for _ in range(_LIST_TIMES):
            with contextlib.suppress(ListAgainError):
                return await self._pages(fetch, items, limit)
        raise CliError("the leader changed again and again while this was listed; try once more")

    async def _pages(
        self,
        fetch: Callable[[OperatorAsyncStub, pb.Page, float], Awaitable[Any]],
        items: Callable[[Any], Sequence[Result]],
        limit: int,
    ) -> list[Result]:
        out: list[Result] = []
        token = ""
        while True:
            size = min(1000, limit + 1 - len(out)) if limit else 1000
            page = pb.Page(page_size=size, page_token=token)

            async def make(stub: OperatorAsyncStub, timeout_s: float, page: pb.Page = page) -> Any:
                return await fetch(stub, page, timeout_s)

            response = await self.call(make)
            out += items(response)
            token = response.next_page_token
            if not token or (limit and len(out) > limit):
                return out

    async def agents(self) -> list[pb.AgentView]:
        """All agents."""
        return await self.pages(
            lambda s, p, t: s.ListAgents(pb.ListAgentsRequest(page=p), timeout=t),
            lambda r: r.agents,
        )

    async def awaited_agents(self) -> list[pb.AgentView]:
        """Return the agents that are not back yet: a new leader knows nothing of their tasks."""
        found = await self.pages(
            lambda s, p, t: s.ListAgents(
                pb.ListAgentsRequest(page=p, search=RECOVERING), timeout=t
            ),
            lambda r: r.agents,
        )
        return [view for view in found if view.state == RECOVERING]

    async def frameworks(self, *, completed: bool = False) -> list[pb.FrameworkView]:
        """All frameworks."""
        return await self.pages(
            lambda s, p, t: s.ListFrameworks(
                pb.ListFrameworksRequest(page=p, include_completed=completed), timeout=t
            ),
            lambda r: r.frameworks,
        )

    async def offers(self) -> list[pb.OfferView]:
        """All offers."""
        return await self.pages(
            lambda s, p, t: s.ListOffers(pb.ListOffersRequest(page=p), timeout=t),
            lambda r: r.offers,
        )

    async def tasks(
        self,
        *,
        completed: bool = False,
        framework_id: str = "",
        agent_id: str = "",
        id_prefix: str = "",
        states: Sequence[str] = (),
        called: str = "",
        called_exactly: bool = False,
        limit: int = 0,
    ) -> list[pb.TaskView]:
        """Tasks, live or also completed ones; at most one more than `limit`, if there is one.

        What they are `called` is as in pymesos_core.names, which has the last word.
        """
        return await self.pages(
            lambda s, p, t: s.ListTasks(
                pb.ListTasksRequest(
                    page=p,
                    include_completed=completed,
                    framework_id=framework_id,
                    agent_id=agent_id,
                    id_prefix=id_prefix,
                    states=states,
                    called=called,
                    called_exactly=called_exactly,
                ),
                timeout=t,
            ),
            lambda r: r.tasks,
            limit,
        )

    async def watch_events(self) -> AsyncIterator[pb.ClusterEvent]:
        """The state as events, then what happens, over reconnections and failovers.

        Raises CliError when no master is reachable at first; later one is waited for.
        """
        known, cursor, seen, away = Known(), "", False, False
        while True:
            try:
                async for batch in self._watch_from(cursor):
                    seen, away, cursor = True, False, batch.cursor
                    for event in known.news(batch):
                        yield event
            except CliError as error:
                if not seen or error.exit_code != EXIT_NO_MASTER:
                    raise
                if not away:
                    click.echo("no master leads now; waiting for one", err=True)
                away = True
            await asyncio.sleep(RETRY_S)

    async def _watch_from(self, cursor: str) -> AsyncIterator[pb.ClusterEventBatch]:
        """Batches of one stream; it ends when the leader does. Raises CliError."""
        loop = asyncio.get_running_loop()
        deadline, heard = loop.time() + self.timeout_s, False
        while not heard:
            stub = await self._leader.stub(deadline)
            try:
                async for batch in stub.WatchEvents(pb.WatchEventsRequest(cursor=cursor)):
                    heard = True
                    yield batch
            except grpc.aio.AioRpcError as error:
                until = loop.time() + self.timeout_s if heard else deadline
                await self._leader.follow(error, until)
