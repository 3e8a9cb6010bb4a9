"""The Names service: what serves, for resolvers and load balancers."""

from __future__ import annotations

from typing import Any

from pymesos_core.errors import RequestError
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_master.services.leading import CODES, Leadership, caller_of
from pymesos_proto.v1 import names_pb2 as pb


class NamesService:
    """Answers while this master leads."""

    contract = pb.DESCRIPTOR.services_by_name["Names"]

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership

    async def Follow(  # noqa: N802
        self, request: pb.FollowNamesRequest, call: ServerCall[Any, pb.NamesBatch]
    ) -> None:
        """All that serves, then what changes."""
        with self._leadership.asked() as leader:
            may = leader.queries.permits.following(caller_of(call))
        epoch = leader.term.epoch
        try:
            with leader.naming.follow(may) as follower:
                while (batch := await follower.batch()) is not None:
                    # Leadership may be in doubt: nothing is said until it is not.
                    if not await leader.term.holds():
                        continue
                    batch.epoch = epoch
                    await self._leadership.turns.next(caller_of(call).peer)
                    await call.write(batch)
        except RequestError as error:
            raise CallError(CODES[error.problem.kind], error.problem.message) from None
        raise CallError(Code.UNAVAILABLE, "this master leads no more")
