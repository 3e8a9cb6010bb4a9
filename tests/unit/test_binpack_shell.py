"""The shell of the bin-packing framework: who asks is answered, whoever else asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.answers import StaleError, SubmitError
from pymesos_binpack.core import BinpackCore
from pymesos_binpack.shell import Binpack
from pymesos_core.outgoing.notices import Notice
from pymesos_core.outgoing.telling import MakeTells, TellsNobody, Unreached
from pymesos_core.store import Store
from pymesos_proto.v1 import scheduler_pb2 as spb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver
from pymesos_sdk import core as sdk
from pymesos_sdk.ledger import Ledger
from pymesos_testing.binpack_harness import job


class Notes:
    """A core that is told, and says what it was given to say."""

    framework_id = ""
    roles: tuple[str, ...] = ("*",)
    roles_always = ("*",)
    ledger = Ledger()

    def __init__(self) -> None:
        self.told: list[c.Event] = []
        self.says: list[c.Effect] = []

    def step(self, _: object, event: c.Event) -> list[c.Effect]:
        self.told.append(event)
        says, self.says = self.says, []
        return says

    def next_deadline_s(self) -> None:
        return None


def change(job_id: str) -> c.VersionProposed:
    return c.VersionProposed("r", job_id, 1, job(), "apply", "")


class Asking:
    """A shell of which something is asked."""

    def __init__(
        self,
        room_bytes: int | None = None,
        driver: type[Driver] | None = None,
        roles: tuple[str, ...] = ("*",),
        tells: MakeTells = TellsNobody,
    ) -> None:
        self.notes = Notes()
        self.notes.roles = roles
        core, store = (
            cast(BinpackCore, self.notes),
            cast(Store, SimpleNamespace(commit=None, room_bytes=room_bytes)),
        )
        driver = driver or cast(type[Driver], lambda *_, **__: None)
        self.info = pb.FrameworkInfo(name="f")
        self.binpack = Binpack(core, store, self.info, "127.0.0.1:5050", driver=driver, tells=tells)

    async def propose(self, job_id: str) -> asyncio.Task[int]:
        task = asyncio.ensure_future(self.binpack.propose(change(job_id)))
        await asyncio.sleep(0)
        return task

    def say(self, effect: c.Effect) -> None:
        self.notes.says.append(effect)
        self.binpack._feed(c.Tick())


@pytest.fixture
def asking() -> Asking:
    return Asking()


async def test_a_request_that_was_hung_up_is_answered_to_who_repeats_it(asking: Asking) -> None:
    first, second = await asking.propose("a"), await asking.propose("a")
    first.cancel()
    await asyncio.sleep(0)
    third = await asking.propose("a")
    asking.say(c.JobAccepted("r", "a", 2))
    async with asyncio.timeout(5):
        assert (await second, await third) == (2, 2)
    assert asking.notes.told.count(change("a")) == 1
    fourth = await asking.propose("a")
    assert asking.notes.told.count(change("a")) == 2, "one that was answered is asked anew"
    asking.say(c.JobAccepted("r", "a", 2))
    assert await fourth == 2


async def test_who_repeats_what_began_a_job_is_answered(asking: Asking) -> None:
    asked = await asking.propose("a")
    asking.say(c.JobAccepted("r", "a", 1))
    async with asyncio.timeout(5):
        assert await asked == 1


async def test_an_id_in_use_for_one_job_is_free_for_others(asking: Asking) -> None:
    one, other = await asking.propose("a"), await asking.propose("b")
    new = asyncio.ensure_future(asking.binpack.submit(job(), "r"))
    await asyncio.sleep(0)
    asking.say(c.JobAccepted("r", "b", 3))
    asking.say(c.JobRefused("r", "no", "a", stale=True))
    asking.say(c.JobAccepted("r", "c"))
    async with asyncio.timeout(5):
        assert (await other, await new) == (3, "c")
        with pytest.raises(StaleError):
            await one


async def test_the_core_is_told_how_much_more_may_be_stored() -> None:
    asking = Asking(room_bytes=5)
    tasks = [
        await asking.propose("j-1"),
        asyncio.ensure_future(asking.binpack.submit(job(), "r")),
    ]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    asked = [e for e in asking.notes.told if isinstance(e, c.VersionProposed | c.JobSubmitted)]
    assert [event.room_bytes for event in asked] == [5, 5]


async def test_who_has_a_job_forgotten_is_not_answered_as_who_releases_it(asking: Asking) -> None:
    released, forgotten = (
        asyncio.ensure_future(asking.binpack.release("a", discard=discard))
        for discard in (False, True)
    )
    await asyncio.sleep(0)
    asking.say(c.Released("a", "no", discard=True))
    asking.say(c.Released("a"))
    async with asyncio.timeout(5):
        assert (await released, await forgotten) == ("", "no")


def test_it_subscribes_without_the_roles_of_its_jobs_and_asks_for_those_then() -> None:
    given: dict[str, object] = {}
    driver = cast(type[Driver], lambda *_, **more: given.update(more))
    asking = Asking(driver=driver, roles=("*", "secret"))
    assert (list(asking.info.roles), given["first_roles"]) == (["*", "secret"], ("*",))


async def test_the_core_is_told_what_the_master_answers_to_other_roles() -> None:
    asking = Asking(driver=Driver)
    driver = asking.binpack.driver

    def hear(**event: object) -> None:
        driver._feed(sdk.MasterSaid(1, 1, spb.Event(**event)))  # type: ignore[arg-type]

    driver._feed(sdk.Connected(1))
    capabilities = [spb.UPDATES_FRAMEWORKS]
    hear(subscribed=spb.Event.Subscribed(framework_id="f", master_capabilities=capabilities))
    asking.say(c.BeInRoles(("*", "web")))
    hear(framework_updated=spb.Event.FrameworkUpdated())
    asking.say(c.BeInRoles(("*", "secret", "web")))
    hear(refused=spb.Event.Refused(call="UPDATE_FRAMEWORK", message="no"))
    assert [event for event in asking.notes.told if isinstance(event, c.RolesAnswered)] == [
        c.RolesAnswered(("*", "web"), ("*", "web")),
        c.RolesAnswered(("*", "secret", "web"), ("*", "web"), "no"),
    ]


class Receivers:
    """One that is told of alerts, and says that each notice was taken when that is asked for."""

    names = ("oncall", "team")
    unreached: Mapping[str, Unreached] = {}

    def __init__(self, taken: Callable[[Notice], None]) -> None:
        self.taken = taken
        self.told: list[Notice] = []

    def tell(self, notice: Notice) -> None:
        self.told.append(notice)

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def test(self, name: str) -> None:
        raise AssertionError("nobody asked for that")


NOTICE = Notice("j-1/t/below/oncall", "oncall", {}, "s", 5.0)


async def test_receivers_are_told_and_the_core_hears_that_they_were() -> None:
    asking = Asking(tells=Receivers)
    receivers = cast(Receivers, asking.binpack._receivers)
    asking.say(c.Tell(NOTICE))
    assert receivers.told == [NOTICE]
    receivers.taken(NOTICE)
    assert asking.notes.told[-1] == c.NoticeTaken("j-1/t/below/oncall", 5.0, False)


async def test_without_receivers_what_is_over_is_forgotten(
    asking: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    asking.say(c.Tell(NOTICE))
    assert "nobody is told" in caplog.text
    assert c.NoticeTaken not in map(type, asking.notes.told)
    asking.say(c.Tell(replace(NOTICE, ended_s=6.0)))
    assert asking.notes.told[-1] == c.NoticeTaken("j-1/t/below/oncall", 5.0, True)


@pytest.mark.parametrize(
    ("tells", "said"),
    [(Receivers, "the receivers here are oncall, team"), (TellsNobody, "has no receivers")],
)
async def test_who_is_not_known_is_not_told(tells: Any, said: str) -> None:
    asking = Asking(tells=tells)
    of_nobody = job("service", alerts=[{"when": "below", "to": "boss"}])
    with pytest.raises(SubmitError, match=said):
        await asking.binpack.submit(of_nobody, "r")
    assert asking.binpack.receivers_problem(job()) is None
