"""Events by HTTP: a browser that comes back anywhere misses nothing, and hears nothing twice."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller
from pymesos_core.coordination import MasterInfo
from pymesos_core.outside import Outside
from pymesos_core.security.identities import Kind
from pymesos_core.security.policy import EVERY_ROLE
from pymesos_core.transport import CallError, Code
from pymesos_master.event_filter import EventFilter
from pymesos_master.http import events as http_events
from pymesos_master.http import openapi
from pymesos_master.http import streams as http_streams
from pymesos_master.http.answering import Admitted, Answer, Request
from pymesos_master.http.events import Events, live_frames
from pymesos_master.http.routes import ROUTES
from pymesos_master.http.routes.webhooks import KINDS
from pymesos_master.http.stream_routes import STREAMS
from pymesos_master.http.streams import MOST_STREAMS_OF_ONE, Streams
from pymesos_master.services import events as event_service
from pymesos_master.services.leading import Leadership
from pymesos_master.services.masters import MastersService
from pymesos_master.shell import Leader
from pymesos_master.watching import Batch, Bounds
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_proto.v1.operator_pb2 import ClusterEvent
from pymesos_testing.event_page import EventPage
from pymesos_testing.http_cluster import open_answering, operators_of
from pymesos_testing.watched_world import Reader, World

AT = HostPort("10.0.0.1", 5050)
WHO = Caller(peer="ipv4:127.0.0.1", via="http")


def leading(world: World) -> Leadership:
    """A leader whose cluster that is."""
    made = Leadership(MasterInfo("m1", AT, "first"))
    permits = SimpleNamespace(watching=lambda caller: lambda: EVERY_ROLE)
    queries = SimpleNamespace(permits=permits)
    made.leader = cast(Leader, SimpleNamespace(queries=queries, watching=world.watching))
    return made


def relaying(leader: Leadership) -> Leadership:
    """A master that does not lead, with a way to the one that does."""
    masters = MastersService(leader, operators_of(leader))

    class Channel:
        def __init__(self) -> None:
            self.parts: asyncio.Queue[Any] = asyncio.Queue(1)

        def stream(self, method: Any, metadata: Any = None) -> Any:
            assert method.path == "/pymesos.v1.Masters/RelayStream"
            return self

        async def write(self, request: Any) -> None:
            self.serving = asyncio.create_task(self.serve(request))

        async def serve(self, request: Any) -> None:
            call = SimpleNamespace(caller=Caller(peer="ipv4:10.0.0.2"), write=self.parts.put)
            try:
                await masters.RelayStream(request, cast(Any, call))
            except CallError as error:
                await self.parts.put(error)

        async def done_writing(self) -> None: ...

        async def read(self) -> Any:
            part = await self.parts.get()
            if isinstance(part, CallError):
                raise part
            return part

        def cancel(self) -> None:
            self.serving.cancel()

        async def close(self) -> None: ...

    def dial(address: HostPort, to: Kind, name: str = "") -> Any:
        assert (address, to) == (AT, Kind.MASTER)
        return Channel()

    made = Leadership(MasterInfo("m2", HostPort("10.0.0.2", 5050), "second"), Outside(dial=dial))
    made.known_leader = lambda: leader.me
    return made


def fold(page: EventPage, begin: int, reader: Reader) -> None:
    """Have a reader take what a page has heard since then."""
    for _, kind, said in page.heard[begin:]:
        if kind == "reset":
            reader.facts = {}
        elif kind == "message":
            event = pb.ClusterEvent(
                kind=said["kind"].upper(),
                agent_id=said["agent_id"] or "",
                framework_id=said["framework_id"] or "",
                task_id=said["task_id"] or "",
                offer_id=said["offer_id"] or "",
                task_state=said["task_state"] or types_pb2.TASK_STATE_UNSPECIFIED,
            )
            reader.fold(event)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(1, 7), st.integers(1, 40), st.booleans(), st.booleans()
)  # fmt: skip
def test_who_comes_back_anywhere_has_the_state(
    seed: int, a_page: int, kept: int, follower: bool, paced: bool
) -> None:
    """Wherever in the bytes a connection breaks: no gap, and nothing twice."""
    draw = random.Random(seed)

    async def main() -> None:
        world, page, reader = World(Bounds(kept, a_page)), EventPage(), Reader()
        leader = leading(world)
        events = Events(operators_of(relaying(leader) if follower else leader))

        async def connect(last: bool) -> None:
            page.connected()
            request = pb.WatchEventsRequest(cursor=page.last_event_id)
            async with aclosing(events.to(request, WHO).parts) as parts:
                left = draw.randrange(8)
                async for part in parts:
                    heard, cut = len(page.heard), not last and draw.random() < 0.2
                    page.feed(part[: draw.randrange(len(part) or 1)] if cut else part)
                    fold(page, heard, reader)
                    here = page.last_event_id == f"7-{world.watching.history.latest}"
                    if cut or (here if last else left == 0):
                        return
                    left -= 1
                    for _ in range(0 if last else draw.randrange(1, 4)):
                        world.change(draw)

        for _ in range(draw.randrange(1, 5)):
            for _ in range(draw.randrange(1, 30)):  # who has heard all would wait
                world.change(draw)
            async with asyncio.timeout(20):
                await connect(last=False)
        world.change(draw)
        async with asyncio.timeout(20):
            await connect(last=True)
        assert reader.facts == world.facts()
        assert page.retry_ms == http_events.RETRY_MS

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_events, "PACE_S", 0.001 if paced else 0.0)
        asyncio.run(main())


async def test_a_connection_that_breaks_within_a_snapshot_begins_anew() -> None:
    world, page = World(Bounds(page=2)), EventPage("7-99")
    for _ in range(5):
        world.add_agent()
    events = Events(operators_of(leading(world)))
    async with aclosing(events.to(pb.WatchEventsRequest(cursor="6-1"), WHO).parts) as parts:
        page.feed(await anext(parts))
        assert page.heard[0] == ("", "reset", {"snapshot": "begins"})
        assert page.last_event_id == "", "which the browser would send"
        while page.heard[-1][1] != "complete":
            page.feed(await anext(parts))
    assert page.heard[-1] == ("7-0", "complete", {"snapshot": "complete"})
    assert page.kinds() == ["framework_present"] + ["agent_present"] * 5


async def test_who_wants_no_state_hears_what_happens_from_then_on() -> None:
    world, page = World(), EventPage()
    world.add_agent()
    events = Events(operators_of(leading(world)))
    async with aclosing(events.to(pb.WatchEventsRequest(without_state=True), WHO).parts) as parts:
        page.feed(await anext(parts))
        assert [kind for _, kind, _ in page.heard] == ["reset", "complete"]
        world.add_agent()
        page.feed(await anext(parts))
    assert page.kinds() == ["agent_added"] and page.last_event_id == "7-1"


@pytest.mark.parametrize("follower", [False, True])
async def test_who_looks_on_hears_the_latest_and_how_many_were_before(follower: bool) -> None:
    world, page = World(), EventPage()
    world.add_agent()
    leader = leading(world)
    events = Events(operators_of(relaying(leader) if follower else leader))
    request = pb.WatchEventsRequest(without_state=True, latest=2)
    async with aclosing(events.to(request, WHO).parts) as parts:
        page.feed(await anext(parts))
        for _ in range(5):
            world.add_agent()
        page.feed(await anext(parts))
    assert page.heard[2][1:] == ("left_out", {"agent_added": 3})
    assert page.kinds() == ["agent_added"] * 2 and page.last_event_id == "7-5"


async def test_what_many_see_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Batch] = []

    def frames(batch: Batch, frame: Any) -> bytes:
        made.append(batch)
        return live_frames(batch, frame)

    monkeypatch.setattr(http_events, "live_frames", frames)
    world = World()
    events = Events(operators_of(leading(world)))
    with world.watching.watch() as watch:  # so that it is noted
        assert await watch.batch()
        requests = [pb.WatchEventsRequest(cursor="7-0") for _ in range(10)]
        opened = [events.to(request, WHO).parts for request in requests]
        reading = [asyncio.ensure_future(anext(parts)) for parts in opened]
        await asyncio.sleep(0)
        world.add_agent()
        parts = await asyncio.gather(*reading)
        assert len(made) == 1
        assert len({bytes(one) for one in parts}) == 1 and b"id: 7-1\n" in parts[0]
        for one in opened:
            await one.aclose()


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        (EventFilter(), True),
        (EventFilter(kinds=frozenset({ClusterEvent.TASK_ADDED})), True),
        (EventFilter(kinds=frozenset({ClusterEvent.TASK_UPDATED})), False),
        (EventFilter(role="prod"), True),
        (EventFilter(role="prod/web"), True),
        (EventFilter(role="prod/we"), False),
        (EventFilter(framework_id="f", agent_id="a"), True),
        (EventFilter(framework_id="f", agent_id="b"), False),
        (EventFilter(called="shop.web"), True),
        (EventFilter(called="shop-01234567.web.0"), True),
        (EventFilter(called="shop.db"), False),
    ],
)
def test_what_is_wanted(wanted: EventFilter, passes: bool) -> None:
    about = ("f", "a", "shop-01234567.web.0.1")
    assert wanted.passes(ClusterEvent.TASK_ADDED, ("prod/web",), *about) is passes
    assert not EventFilter(called="shop").passes(ClusterEvent.AGENT_ADDED, agent_id="shop")


async def test_only_what_is_wanted_comes_and_the_cursor_moves_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_service, "PROGRESS_S", 0.05)
    world, page = World(), EventPage()
    for _ in range(2):
        world.add_agent()
    agents = list(world.state.agents.values())
    for agent in agents:
        world.add_task(agent, told=False)
    events = Events(operators_of(leading(world)))
    request = pb.WatchEventsRequest(agent_id="a1")
    async with aclosing(events.to(request, WHO).parts) as parts:
        page.feed(await anext(parts))
        assert page.kinds() == ["agent_present", "task_present"]
        heard = len(page.heard)
        world.add_task(agents[1])
        page.feed(await anext(parts))
        assert len(page.heard) == heard and page.last_event_id == "7-1", "without any event"
        world.add_task(agents[0])
        page.feed(await anext(parts))
    assert page.kinds()[2:] == ["task_added"] and page.last_event_id == "7-2"


def admitted(target: str, **changed: Any) -> Admitted | Answer:
    asked: dict[str, Any] = {
        "method": "GET", "target": target, "host": "127.0.0.1", "peer": "ipv4:127.0.0.1",
    }  # fmt: skip
    found = open_answering(leading(World())).admit(Request(**(asked | changed)))
    assert isinstance(found, Admitted | Answer)
    return found


@pytest.mark.parametrize(
    ("target", "changed", "status", "words"),
    [
        ("/v1/events", {"method": "HEAD"}, 405, "GET alone"),
        ("/v1/events", {"has_body": True}, 400, "no body"),
        ("/v1/events", {"host": "evil.example"}, 403, "the header Host"),
        ("/v1/events?kind=agent_absent", {}, 400, "kind='agent_absent': expected is one of agent"),
        ("/v1/events?since=1", {}, 400, "there is no parameter 'since' here"),
    ],
)
def test_what_is_refused_at_once(
    target: str, changed: dict[str, Any], status: int, words: str
) -> None:
    answer = admitted(target, **changed)
    assert isinstance(answer, Answer) and answer.status == status
    assert words in json.loads(answer.body)["error"]["message"]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (pb.WatchEventsRequest(cursor="7"), "'7' is no cursor: EPOCH-SEQUENCE"),
        (pb.WatchEventsRequest(role="a b"), "role 'a b' has white space"),
        (pb.WatchEventsRequest(framework_id="f" * 256), "at most 255 are accepted"),
    ],
    ids=["cursor", "role", "id"],
)
async def test_what_is_refused_when_it_is_opened(
    request_: pb.WatchEventsRequest, words: str
) -> None:
    events = Events(operators_of(leading(World())))
    with pytest.raises(CallError, match=words) as refused:
        await anext(events.to(request_, WHO).parts)
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_the_header_of_a_browser_that_comes_back_counts_before_the_address() -> None:
    found = admitted(
        "/v1/events?cursor=7-1&kind=task_added&kind=task_updated", headers={"last-event-id": "7-5"}
    )
    assert isinstance(found, Admitted)
    assert found.asked.text("cursor") == "7-5"
    assert found.asked.several("kind") == ["task_added", "task_updated"]


@pytest.mark.parametrize("follower", [False, True])
async def test_the_end_of_the_leader_is_told(follower: bool) -> None:
    world, page = World(), EventPage()
    leader = leading(world)
    events = Events(operators_of(relaying(leader) if follower else leader))
    opened = events.to(pb.WatchEventsRequest(), WHO)
    page.feed(await anext(opened.parts))
    world.watching.close()
    with pytest.raises(CallError) as ended:
        await anext(opened.parts)
    assert ended.value.code is Code.UNAVAILABLE
    page.feed(opened.last(ended.value))
    assert page.heard[-1][1:] == (
        "end",
        {"error": {"code": "UNAVAILABLE", "message": f"master {AT} leads no more; connect again"}},
    )
    assert page.last_event_id == "7-0", "from where it goes on"


async def test_every_event_is_as_the_document_says() -> None:
    document = openapi.document((*ROUTES, *STREAMS))
    schema = document["paths"]["/v1/events"]["get"]["responses"]["200"]["content"]
    schema = {**schema["text/event-stream"]["schema"], "components": document["components"]}
    world, draw, page = World(), random.Random(1), EventPage()
    for _ in range(50):
        world.change(draw)
    async with aclosing(
        Events(operators_of(leading(world))).to(pb.WatchEventsRequest(), WHO).parts
    ) as parts:
        page.feed(await anext(parts))
        for _ in range(50):
            world.change(draw)
        page.feed(await anext(parts))
    assert len(page.kinds()) > 60 and set(page.kinds()) <= set(KINDS)
    for _, kind, said in page.heard:
        if kind == "message":
            Draft202012Validator(schema).validate(said)


class TestSlots:
    def test_one_has_few_of_them_and_they_come_back(self) -> None:
        streams = Streams()
        opened = [streams.slot("operator/a") for _ in range(MOST_STREAMS_OF_ONE)]
        for slot in opened:
            slot.__enter__()
        with pytest.raises(CallError, match="operator/a has 20 streams open"):
            streams.slot("operator/a").__enter__()
        with streams.slot("operator/b"):
            pass
        opened[0].__exit__(None, None, None)
        with streams.slot("operator/a"):
            pass

    def test_there_are_so_many_in_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_streams, "MOST_STREAMS", 1)
        streams = Streams()
        with (
            streams.slot("operator/a"),
            pytest.raises(CallError, match="this master has 1 streams open"),
            streams.slot("operator/b"),
        ):
            pass


async def test_who_is_slow_falls_behind_and_begins_anew() -> None:
    """Nothing is kept for it: the history is all that there is."""
    world, page = World(Bounds(events=3)), EventPage()
    events = Events(operators_of(leading(world)))
    async with aclosing(events.to(pb.WatchEventsRequest(), WHO).parts) as parts:
        page.feed(await anext(parts))
        for _ in range(10):
            world.add_agent()
        page.feed(await anext(parts))
    assert [kind for _, kind, _ in page.heard].count("reset") == 2
    assert page.last_event_id == "7-10"
