"""The cluster at a glance, and lists that the master sorts and searches."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymesos_core.caller import NOBODY
from pymesos_core.clock import Now
from pymesos_core.security.policy import EVERY_ROLE
from pymesos_master.http.answering import Answering
from pymesos_master.overview import Overviews
from pymesos_master.queries import PageRequest, Queries, ordering
from pymesos_master.queries import queries as queries_module
from pymesos_master.queries.paging import EXAMINED_AT_MOST
from pymesos_master.queries.summary import summary
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_testing.http_cluster import (
    a_bit_of_everything,
    get,
    get_json,
    leadership_of,
    open_answering,
    values,
)
from pymesos_testing.master_harness import MasterHarness


def read(found: ordering.InOrder[Any]) -> list[Any]:
    """All of it."""
    return [found[place] for place in range(len(found))]


@pytest.fixture
def h() -> MasterHarness:
    return a_bit_of_everything()


@pytest.fixture
def answering(h: MasterHarness) -> Answering:
    return open_answering(leadership_of(h))


class TestOverview:
    async def test_it_counts_and_sums(self, answering: Answering) -> None:
        seen = await get_json(answering, "/v1/overview")
        assert seen["agents"] == {"active": 2} and seen["drains"] == {"cordoned": 1}
        assert seen["frameworks"] == {"active": 2}
        assert seen["tasks"] == {"TASK_RUNNING": 1}
        assert seen["now"]["total"] == {"cpus": 6.0, "mem": 4608.0, "disk": 100.0, "ports": 6.0}
        assert seen["now"]["allocated"] == {"cpus": 1.0, "mem": 32.0, "ports": 2.0}

    async def test_what_failed_the_latest_first(self, answering: Answering) -> None:
        failed = (await get_json(answering, "/v1/overview"))["failed"]
        assert values(failed, "task_id") == ["ended"]

    async def test_what_did_not_fail_is_not_told(self) -> None:
        h = MasterHarness()
        agent, framework = h.agent("cpus:4;mem:4096"), h.subscribe()
        for number, state in enumerate((types_pb2.TASK_FAILED, types_pb2.TASK_FINISHED) * 2):
            h.run(framework, f"t{number}")
            of = h.framework_id(framework)
            h.update(agent, of, f"t{number}", state)
            said = {"agent_id": h.agent_id(agent), "task_id": f"t{number}", "uuid": b"u"}
            h.call(framework, acknowledge=said)
        answering = open_answering(leadership_of(h))
        failed = (await get_json(answering, "/v1/overview"))["failed"]
        assert values(failed, "task_id") == ["t2", "t0"]
        failed = (await get_json(answering, "/v1/overview?failures=1"))["failed"]
        assert values(failed, "task_id") == ["t2"]

    async def test_history_is_of_an_hour_and_can_be_asked_from_a_time(
        self, h: MasterHarness
    ) -> None:
        overviews = Overviews(h.core.state, Queries(h.core, lambda: h.now), lambda: h.now)
        for _ in range(300):
            h.advance(15.0)
            await overviews.note()
        said = await overviews.answer(NOBODY, pb.GetOverviewRequest())
        assert len(said.history) == 240
        times = [at.at_s for at in said.history]
        assert times == sorted(times) and times[-1] == h.now.wall_s
        said = await overviews.answer(NOBODY, pb.GetOverviewRequest(since_s=times[-3]))
        assert [at.at_s for at in said.history] == times[-2:]

    async def test_names_that_others_chose_do_not_make_it_grow(self) -> None:
        h = MasterHarness()
        h.agent("cpus:4;" + ";".join(f"r{number}:1" for number in range(50)))
        answering = open_answering(leadership_of(h))
        total = (await get_json(answering, "/v1/overview"))["now"]["total"]
        assert len(total) == 20 and total["cpus"] == 4.0

    async def test_a_count_is_shared_for_a_moment(self, h: MasterHarness) -> None:
        now = Now(100.0, 1e9)
        overviews = Overviews(h.core.state, Queries(h.core), lambda: now)

        async def running() -> dict[str, int]:
            return dict((await overviews.answer(NOBODY, pb.GetOverviewRequest())).tasks)

        assert await running() == {"TASK_RUNNING": 1}
        for framework in h.core.state.frameworks.values():
            framework.tasks.clear()
        assert await running() == {"TASK_RUNNING": 1}
        now = Now(103.0, 1e9)
        assert await running() == {}

    async def test_who_may_read_some_roles_is_told_of_those(self, h: MasterHarness) -> None:
        class Eng:
            every = False

            def __contains__(self, role: str) -> bool:
                return role == "eng"

        counted = await summary(h.core.state, Eng())  # type: ignore[arg-type]
        assert counted.tasks == {"TASK_RUNNING": 1} and counted.frameworks == {"active": 1}

        class Ops(Eng):
            def __contains__(self, role: str) -> bool:
                return role == "ops"

        counted = await summary(h.core.state, Ops())  # type: ignore[arg-type]
        assert counted.tasks == {} and counted.frameworks == {"active": 1} and counted.offers <= 1
        queries = Queries(h.core)
        assert [*queries.failed(Ops())] == []  # type: ignore[arg-type]
        assert [*queries.failed(EVERY_ROLE)]


async def test_agents_in_short(answering: Answering) -> None:
    whole = (await get_json(answering, "/v1/agents"))["agents"]
    tiles = (await get_json(answering, "/v1/agents/map"))["agents"]
    assert values(tiles, "agent_id") == values(whole, "agent_id")
    for tile, agent in zip(tiles, whole, strict=True):
        assert tile["drain"] == (agent["drain"] and agent["drain"]["state"])
        for name in ("cpus", "mem", "disk"):
            assert tile[name] == [agent["allocated"][name], agent["resources"][name]]


class TestLists:
    @pytest.fixture
    def many(self) -> MasterHarness:
        h = MasterHarness()
        agent = h.agent("cpus:40;mem:40960")
        framework = h.subscribe(roles=["eng"], name="Packer")
        for name in ("banana", "Apple", "cherry"):
            h.advance(1.0)
            h.run(framework, name)
            h.update(agent, h.framework_id(framework), name, types_pb2.TASK_RUNNING)
        return h

    async def ids(self, h: MasterHarness, query: str) -> list[str]:
        answering = open_answering(leadership_of(h))
        return values((await get_json(answering, f"/v1/tasks?{query}"))["tasks"], "task_id")

    @pytest.mark.parametrize(
        ("sort", "order"),
        [
            ("", ["banana", "Apple", "cherry"]),
            ("id", ["Apple", "banana", "cherry"]),
            ("-id", ["cherry", "banana", "Apple"]),
            ("launched", ["banana", "Apple", "cherry"]),
            ("-launched", ["cherry", "Apple", "banana"]),
            ("hostname", ["banana", "Apple", "cherry"]),  # one host: as they were launched
        ],
    )
    async def test_tasks_are_sorted(self, many: MasterHarness, sort: str, order: list[str]) -> None:
        assert await self.ids(many, f"sort={sort}" if sort else "") == order

    async def test_each_word_is_looked_for(self, many: MasterHarness) -> None:
        assert await self.ids(many, "search=APP") == ["Apple"]
        assert await self.ids(many, "search=an+eng") == ["banana"]
        assert len(await self.ids(many, "search=packer")) == 3, "the framework's name"
        assert await self.ids(many, "search=an+prod") == []
        assert len(await self.ids(many, "search=%20")) == 3

    async def test_why_a_task_ended_is_searched(self, many: MasterHarness) -> None:
        ended = "completed=true&search="
        tasks = {
            t.task_id: t for f in many.core.state.frameworks.values() for t in f.tasks.values()
        }
        reason = types_pb2.REASON_TASK_INVALID
        tasks["banana"].status = types_pb2.TaskStatus(task_id="banana", reason=reason)
        assert await self.ids(many, f"{ended}task_invalid") == [], "it may still be mended"
        tasks["banana"].finished_at_s = 1.0
        for words in ("task_invalid", "ban+TASK_INV+pack"):
            assert await self.ids(many, ended + words) == ["banana"], words
        assert await self.ids(many, f"{ended}task_invalid+cherry") == []

    async def test_a_sorted_list_goes_on_in_its_order(self, many: MasterHarness) -> None:
        answering = open_answering(leadership_of(many))
        page = await get_json(answering, "/v1/tasks?sort=-id&limit=2")
        token = page["next_page_token"]
        rest = await get_json(answering, f"/v1/tasks?sort=-id&page_token={token}")
        assert values([*page["tasks"], *rest["tasks"]], "task_id") == ["cherry", "banana", "Apple"]

    async def test_agents(self, answering: Answering) -> None:
        async def ids(query: str) -> list[str]:
            agents = (await get_json(answering, f"/v1/agents?{query}"))["agents"]
            return values(agents, "agent_id")

        usual = await ids("sort=tasks")
        assert await ids("sort=-tasks") == usual[::-1] and len(usual) == 2
        cordoned = await ids("search=cordoned")
        assert len(cordoned) == 1 and await ids("search=cordoned+active") == cordoned
        assert await ids("search=nowhere") == []

    def test_an_agent_is_found_by_what_it_says_now(self, h: MasterHarness) -> None:
        queries = Queries(h.core)

        def found(search: str) -> int:
            return len(queries.agents(NOBODY, PageRequest(), search=search).views)

        agent = next(iter(h.core.state.agents.values()))
        assert found("rack:r9") == found("Draining") == 0
        info = types_pb2.AgentInfo()
        info.CopyFrom(agent.info)
        info.attributes.add(name="rack", text="R9")
        agent.info = info
        assert found("rack:R9 active") == 1
        h.core.state.agents.clear()
        assert found("rack:r9") == 0 and not queries._agent_search._known

    async def test_what_is_no_order_is_refused(self, answering: Answering) -> None:
        answer = await get(answering, "/v1/tasks?sort=agent")
        assert answer.status == 400 and b"expected is one of" in answer.body

    @pytest.mark.parametrize("sort", ["agent", "-", "--id", "\0"])
    async def test_calls_with_what_is_no_order_are_refused(
        self, many: MasterHarness, sort: str
    ) -> None:
        queries = Queries(many.core)
        with pytest.raises(Exception, match="sort is"):
            queries.tasks(NOBODY, PageRequest(), ordering.TaskFilter(sort=sort))
        with pytest.raises(Exception, match="sort is"):
            queries.agents(NOBODY, PageRequest(), sort=sort)

    @pytest.mark.parametrize("sort", ["id", "-id"])
    @pytest.mark.parametrize("completed", [False, True])
    @pytest.mark.parametrize("states", [(), (types_pb2.TASK_RUNNING, types_pb2.TASK_FAILED)])
    def test_ids_are_of_the_tasks_that_they_sort(
        self, h: MasterHarness, sort: str, states: tuple[Any, ...], *, completed: bool
    ) -> None:
        def listed(sort: str) -> list[tuple[str, str]]:
            asked = ordering.TaskFilter(sort=sort, completed=completed, states=states)
            views = Queries(h.core).tasks(NOBODY, PageRequest(), asked).views
            return [(view.task_info.task_id, view.framework_id) for view in views]

        usual = sorted(listed(""), key=lambda task: task[0], reverse=sort == "-id")
        assert listed(sort) == usual and usual

    def test_what_is_named_is_what_can_be_sorted_by(self, many: MasterHarness) -> None:
        assert tuple(ordering.task_keys(many.core.state)) == ordering.TASK_SORTS

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("keys", [3, 10_000])
    def test_items_of_one_key_stay_as_they_are(self, keys: int, *, descending: bool) -> None:
        draw = random.Random(7)
        items = [(draw.randrange(keys), number) for number in range(500)]
        found = ordering.InOrder(items, lambda item: item[0], descending=descending)
        assert read(found) == sorted(items, key=lambda item: item[0], reverse=descending)

    @given(
        st.lists(st.integers(0, 30), max_size=80),
        st.booleans(),
        st.integers(1, 9),
        st.integers(1, 40),
        st.integers(0, 79),
    )
    def test_wherever_it_is_read_first_the_order_is_the_same(
        self, numbers: list[int], descending: bool, first: int, then: int, at: int
    ) -> None:
        items = list(enumerate(numbers))
        usual = sorted(items, key=lambda item: item[1], reverse=descending)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ordering, "SORTED_NEXT", then)
            patch.setattr(ordering, "SAMPLE", 7)
            found = ordering.InOrder(
                items, lambda item: item[1], descending=descending, first=first
            )
            if at < len(items):
                assert found[at] == usual[at]
            assert read(found) == usual and len(found) == len(usual)

    @pytest.mark.parametrize("descending", [False, True])
    def test_what_cannot_be_compared_is_there_once_all_the_same(self, *, descending: bool) -> None:
        """An agent may say that it uses nan."""
        draw = random.Random(5)
        keys = [draw.choice([math.nan, draw.random()]) for _ in range(5000)]
        found = ordering.InOrder(range(5000), keys.__getitem__, descending=descending, first=3)
        assert sorted(read(found)) == [*range(5000)]

    def test_for_the_first_page_not_all_are_sorted(self) -> None:
        compared = 0

        class Counted(int):
            def __lt__(self, other: int) -> bool:
                nonlocal compared
                compared += 1
                return int(self) < other

            def __le__(self, other: int) -> bool:
                nonlocal compared
                compared += 1
                return int(self) <= other

        draw, number = random.Random(3), 50_000
        items = [Counted(draw.randrange(10**9)) for _ in range(number)]
        found = ordering.InOrder(items, lambda item: item, descending=False)
        assert [found[place] for place in range(100)] == sorted(map(int, items))[:100]
        assert compared < 2 * number, "a walk through them, and a sort of a few"

    @pytest.mark.parametrize("seed", range(5))
    def test_a_page_that_looks_for_a_few_is_sorted_for_once(
        self, monkeypatch: pytest.MonkeyPatch, seed: int
    ) -> None:
        """To put in order what it looks at takes two walks through all where one is too short."""
        walks: list[int] = []
        taken = ordering.InOrder._taken

        def counted(self: ordering.InOrder[int], mark: int) -> Any:
            walks.append(mark)
            return taken(self, mark)

        monkeypatch.setattr(ordering.InOrder, "_taken", counted)
        draw = random.Random(seed)
        numbers = [draw.random() for _ in range(100_000)]
        found = ordering.InOrder(
            numbers, lambda item: item, descending=False, first=ordering.SORTED_NEXT
        )
        assert found[EXAMINED_AT_MOST - 1] == sorted(numbers)[EXAMINED_AT_MOST - 1]
        assert len(walks) == 1

    @pytest.mark.parametrize("usual", [False, True])
    def test_tasks_in_a_state_are_the_same_whether_many_are_in_it(
        self, h: MasterHarness, monkeypatch: pytest.MonkeyPatch, *, usual: bool
    ) -> None:
        monkeypatch.setattr(queries_module, "are_many_in", lambda states, tasks: usual)
        running = ordering.TaskFilter(
            sort="-name", completed=True, states=(types_pb2.TASK_RUNNING,)
        )
        every = ordering.TaskFilter(sort="-name", completed=True)
        queries = Queries(h.core)
        listed = queries.tasks(NOBODY, PageRequest(), every).views
        wanted = [view for view in listed if view.state == types_pb2.TASK_RUNNING]
        assert 0 < len(wanted) < len(listed)
        assert queries.tasks(NOBODY, PageRequest(), running).views == wanted

    def test_whether_many_are_in_a_state_is_told_by_some(self, many: MasterHarness) -> None:
        tasks = [task for one in many.core.state.frameworks.values() for task in one.tasks.values()]
        assert ordering.are_many_in({tasks[0].state}, tasks)
        assert not ordering.are_many_in({types_pb2.TASK_LOST}, tasks)
        assert not ordering.are_many_in({types_pb2.TASK_LOST}, [])

    def test_what_others_ask_for_is_kept_within_bounds(self) -> None:
        sorts = ordering.Sorted(lambda: Now(1.0, 1.0))
        keys: dict[str, Any] = {"n": lambda item: item}
        for what in range(3 * ordering.MOST_SORTED):
            sorts.get(what, "n", keys, lambda: [2, 1])
        assert len(sorts._known) == ordering.MOST_SORTED

    @pytest.mark.parametrize(
        ("wanted", "most"), [({}, None), ({"id_prefix": "ban"}, 1), ({"name": "nobody"}, 0)]
    )
    def test_what_is_named_is_found_before_it_is_sorted(
        self,
        many: MasterHarness,
        monkeypatch: pytest.MonkeyPatch,
        wanted: dict[str, Any],
        most: int | None,
    ) -> None:
        """A page that shows one task asks for it every two seconds: all are not sorted for that."""
        sizes: list[int] = []
        in_order = ordering.InOrder

        def counted(items: list[Any], *how: Any, **more: Any) -> ordering.InOrder[Any]:
            sizes.append(len(items))
            return in_order(items, *how, **more)

        monkeypatch.setattr(ordering, "InOrder", counted)
        queries = Queries(many.core)
        asked = ordering.TaskFilter(sort="-id", **wanted)
        shown = queries.tasks(NOBODY, PageRequest(size=50), asked).views
        assert shown or most == 0
        assert sizes == [3 if most is None else most]

    def test_one_sort_serves_all_for_a_moment(self) -> None:
        now = Now(1.0, 1.0)
        sorts = ordering.Sorted(lambda: now)
        asked: list[int] = []

        def items() -> list[int]:
            asked.append(1)
            return [3, 1, 2]

        keys: dict[str, Any] = {"n": lambda item: item}
        assert read(sorts.get("x", "-n", keys, items)) == [3, 2, 1]
        assert read(sorts.get("x", "-n", keys, items)) == [3, 2, 1] and len(asked) == 1
        assert read(sorts.get("x", "n", keys, items)) == [1, 2, 3] and len(asked) == 2
        now = Now(4.0, 4.0)
        sorts.get("x", "-n", keys, items)
        assert len(asked) == 3
