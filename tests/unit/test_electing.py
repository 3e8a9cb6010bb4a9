"""Several instances of the bin-packing framework, of which one leads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest
from click.testing import CliRunner

from pymesos_binpack.electing import begin_life, compare, contend, elsewhere, standing_by
from pymesos_binpack.life import Options, refusal
from pymesos_binpack.main import _options
from pymesos_binpack.main import main as binpack
from pymesos_binpack.moving import _is_same
from pymesos_binpack.roles import JobRoles
from pymesos_binpack.services.jobs import JobsService
from pymesos_binpack.settings import BinpackSettings
from pymesos_binpack.shell import Binpack, StateError
from pymesos_binpack.states import (
    NOWHERE,
    epoch_in,
)
from pymesos_core.addresses import HostPort, parse_zk
from pymesos_core.coordination import (
    CoordinationError,
    MasterInfo,
    RegistryError,
    StaleEpochError,
    Term,
)
from pymesos_core.coordination.standalone import EPOCH
from pymesos_core.coordination.zk_store import IN_PARTS
from pymesos_core.exits import ExitStatus, RemovedError, RoleError
from pymesos_core.following import LEADER_KEY
from pymesos_core.outbox import Outbox
from pymesos_core.outside import OUTSIDE
from pymesos_core.store import Change, Records, StateStore
from pymesos_core.streams import to_the_end
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import jobs_pb2, scheduler_pb2
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import (
    FrameworkDeniedError,
    FrameworkError,
    FrameworkRemovedError,
    FrameworkSupersededError,
)
from pymesos_sdk.driver import _write

ME = MasterInfo("me", HostPort("h", 1))


OTHER = MasterInfo("other", HostPort("h", 2))


class Registry:
    """In memory."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], bytes] = {}
        self.failure: Exception | None = None

    def load(self) -> Records:
        if self.failure is not None:
            raise self.failure
        return dict(self.records)

    def commit(self, changes: list[Change]) -> None:
        raise AssertionError("nothing is written")


class Contender:
    """Is elected again and again; every term is noted."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.terms: list[Term] = []
        self.resigned: list[Term] = []
        self.elected = asyncio.Semaphore(1)
        self.alone = True  # else another one is elected next

    async def lead(self) -> Term:
        await self.elected.acquire()
        self.terms.append(Term(len(self.terms) + 1, self.registry))
        return self.terms[-1]

    async def resign(self, term: Term) -> None:
        term.end()
        self.resigned.append(term)
        if self.alone:
            self.elected.release()

    async def close(self) -> None:
        """Nothing is open."""


class Life:
    """A framework that runs until it is told how it ends."""

    def __init__(
        self,
        core: object,
        store: StateStore,
        info: pb.FrameworkInfo,
        may_send: Callable[[], Awaitable[bool]],
    ) -> None:
        self.core, self.info, self.may_send = core, info, may_send
        self.driver = SimpleNamespace(framework_id="f")
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.writes: asyncio.Future[None] | None = None  # to whose end it runs in any case

    async def run(self) -> None:
        try:
            await self.ended
        finally:
            if self.writes is not None:
                await to_the_end(self.writes)


class Instance:
    """`contend`, with lives that a test ends."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.contender = Contender(self.registry)
        self.leader: MasterInfo | None = None
        self.service = JobsService(None, JobRoles(("*",)), lambda: elsewhere(ME, self.leader))
        self.lives: list[Life] = []
        self._stands_by = False
        outside: Any = SimpleNamespace(
            mono_s=OUTSIDE.mono_s,
            backoff=lambda *_: SimpleNamespace(next_s=lambda: 0.0, reset=lambda: None),
        )
        core: Any = SimpleNamespace(jobs={}, quarantined={}, policy=None)
        info = pb.FrameworkInfo(name="f", jobs_address="h:1")
        begin = partial(begin_life, info, lambda _: core, self._make)
        self.contending = asyncio.ensure_future(
            contend(self.contender, self.service, begin, outside, self._stand_by)
        )

    def _make(self, *of_life: Any, **more: Any) -> Binpack:
        self.lives.append(Life(*of_life, **more))
        return cast(Binpack, self.lives[-1])

    async def _stand_by(self) -> None:
        self._stands_by = True
        try:
            await asyncio.Event().wait()
        finally:
            self._stands_by = False

    def stands_by(self) -> bool:
        """Whether it waits to be elected."""
        return self._stands_by

    async def life(self, number: int) -> Life:
        """The life of that number, once it runs."""
        async with asyncio.timeout(10):
            while len(self.lives) < number and not self.contending.done():
                await asyncio.sleep(0)
        if self.contending.done():
            await self.contending
        return self.lives[number - 1]

    async def asked(self) -> Code | None:
        """The code with which ListJobs is refused; None: it is answered."""
        call: Any = SimpleNamespace(caller=SimpleNamespace(is_proved=False))
        try:
            await self.service.ListJobs(jobs_pb2.ListJobsRequest(), call)
        except CallError as error:
            return error.code
        return None


@pytest.fixture
async def instance() -> Any:
    made = Instance()
    yield made
    made.contending.cancel()
    await asyncio.wait({made.contending})


async def test_it_answers_while_it_leads_and_names_the_leader_else(instance: Instance) -> None:
    assert await instance.asked() is Code.UNAVAILABLE
    await instance.life(1)
    assert await instance.asked() is None
    assert not instance.stands_by()
    instance.leader, instance.contender.alone = OTHER, False
    instance.contender.terms[0].end()
    async with asyncio.timeout(10):
        while not instance.stands_by():
            await asyncio.sleep(0)
    assert await instance.asked() is Code.FAILED_PRECONDITION


async def test_what_is_still_ending_when_the_term_is_lost_is_not_asked(instance: Instance) -> None:
    life = await instance.life(1)
    life.writes = asyncio.get_running_loop().create_future()
    instance.leader, instance.contender.alone = OTHER, False
    instance.contender.terms[0].end()
    for _ in range(20):
        await asyncio.sleep(0)
    asked, resigned = await instance.asked(), list(instance.contender.resigned)
    life.writes.set_result(None)
    assert asked is Code.FAILED_PRECONDITION
    assert not resigned, "its last write has not ended"
    async with asyncio.timeout(10):
        while not instance.contender.resigned:
            await asyncio.sleep(0)


async def test_each_life_is_fenced_by_its_term(instance: Instance) -> None:
    (await instance.life(1)).ended.set_exception(StateError("x"))
    await instance.life(2)
    for life, term in zip(instance.lives, instance.contender.terms, strict=True):
        assert life.info == pb.FrameworkInfo(name="f", jobs_address="h:1", epoch=term.epoch)
        assert life.may_send == term.holds


def test_an_instance_that_does_not_lead_says_who_does() -> None:
    error = elsewhere(ME, OTHER)
    assert (error.code, error.trailing) == (Code.FAILED_PRECONDITION, {LEADER_KEY: "h:2"})
    for nobody in (None, ME):
        error = elsewhere(ME, nobody)
        assert (error.code, error.trailing) == (Code.UNAVAILABLE, {LEADER_KEY: ""})
    moving = elsewhere(ME, MasterInfo("m", NOWHERE))
    assert (moving.code, moving.trailing) == (Code.UNAVAILABLE, {LEADER_KEY: ""})
    assert "its state is being moved" in moving.message


@pytest.mark.parametrize(
    ("source", "target", "same"),
    [
        ("zk://a:1,b:1/p", "zk://b:1,a:1/p", True),
        ("zk://a:1,b:1/p", "zk://b:1/p", True),
        ("zk://a:1/p", "zk://a:1/q", False),
        ("zk://a:1/p", "zk://b:1/p", False),
        ("/tmp/x", "/tmp/../tmp/x", True),
        ("/tmp/x", "/tmp/y", False),
        ("/tmp/x", "zk://a:1/tmp/x", False),
    ],
)
def test_a_place_is_known_however_it_is_written(source: str, target: str, same: bool) -> None:
    places = [parse_zk(text) if "zk:" in text else Path(text) for text in (source, target)]
    assert _is_same(*places) == same


@pytest.mark.parametrize(
    "failure",
    [
        FrameworkSupersededError("Framework failed over"),
        StateError("cannot write the registry"),
        StaleEpochError("another one has raised the epoch"),
    ],
)
async def test_one_that_cannot_go_on_stands_by_again(
    instance: Instance, failure: Exception
) -> None:
    (await instance.life(1)).ended.set_exception(failure)
    await instance.life(2)
    assert [term.epoch for term in instance.contender.resigned] == [1]
    assert [term.epoch for term in instance.contender.terms] == [1, 2]


async def test_one_that_the_master_does_not_take_ends(instance: Instance) -> None:
    """Standing by would only have the next instance refused, in a higher epoch, for ever."""
    (await instance.life(1)).ended.set_exception(FrameworkError("Changing is not allowed."))
    with pytest.raises(RoleError, match=r"Changing is not allowed.*start it again, or to start"):
        await instance.life(2)
    assert [term.epoch for term in instance.contender.resigned] == [1]


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (FrameworkDeniedError, ExitStatus.FAILED, "Its tasks run on for the failover timeout"),
        (FrameworkRemovedError, ExitStatus.REMOVED, "Its tasks are gone; to start anew remove /s"),
        (FrameworkSupersededError, ExitStatus.REMOVED, "probably that was moved from /s"),
        (FrameworkError, ExitStatus.FAILED, "Its state is still in /s"),
    ],
)
def test_what_is_done_about_a_refusal_is_said(
    error: type[FrameworkError], status: ExitStatus, said: str
) -> None:
    refused = refusal(error("why"), "/s", "remove /s")
    assert refused.status is status
    assert str(refused).startswith("why. ") and said in str(refused)
    gone = error is FrameworkRemovedError
    assert ("Its tasks are gone" in str(refused)) is gone
    assert str(refusal(error("why."), "/s", "remove /s")) == str(refused), "one full stop is enough"


@pytest.mark.parametrize("word", ["mov-state", "movestate", "move_state", "move-sate"])
def test_what_nearly_is_the_command_is_answered_with_it(word: str, tmp_path: Path) -> None:
    for more in ([], ["--from", "a", "--to", "b"]):
        answer = CliRunner().invoke(binpack, [word, *more])
        assert answer.exit_code == 2
        assert f"'{word}'; did you mean move-state?" in answer.output
    file = tmp_path / word
    file.write_text("{}")
    answer = CliRunner().invoke(binpack, [str(file)])
    assert answer.exit_code == 2 and "did you mean" not in answer.output, "it is a job file"


async def test_an_instance_that_could_not_take_over_says_so_while_it_stands_by(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "pymesos_binpack")

    def info(port: int, role: str, user: str = "") -> MasterInfo:
        settings = BinpackSettings(listen=True, zk=parse_zk("zk://h:1/p"), user=user)
        started_for = Options(settings, JobRoles((role,)), Path("/s"), ()).started_for
        made = MasterInfo(f"i{port}", HostPort("h", port), started_for=started_for)
        assert MasterInfo.from_json(made.to_json()) == made
        return made

    me = info(1, "prod")
    earlier = MasterInfo("i4", HostPort("h", 4))  # of a version that does not say
    leaders = [info(2, "prod"), info(3, "dev"), None, earlier, me, info(5, "prod", "bob")]
    waits = asyncio.Event()

    async def changed(_: MasterInfo | None) -> MasterInfo | None:
        if not leaders:
            await waits.wait()
        return leaders.pop(0)

    comparing = asyncio.ensure_future(compare(me, cast(Any, SimpleNamespace(changed=changed))))
    async with asyncio.timeout(10):
        while leaders:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    comparing.cancel()
    dev, bob = (record.getMessage() for record in caplog.records)
    assert "at h:3 leads and is started for 'the role dev and no user', and this one for" in dev
    assert "at h:5" in bob and "'the role prod and the user bob'" in bob
    assert "'the role prod and no user'" in dev and "Start it as that one is" in dev


async def test_one_that_was_removed_ends(instance: Instance) -> None:
    (await instance.life(1)).ended.set_exception(FrameworkRemovedError("removed"))
    with pytest.raises(RemovedError, match=r"give another --name or --zk"):
        await instance.life(2)


async def test_a_state_that_was_moved_away_is_not_led(instance: Instance) -> None:
    life = await instance.life(1)
    instance.registry.records["moved.0", "_"] = b"/var/lib/x"
    life.ended.set_exception(StateError("x"))
    with pytest.raises(RoleError, match=r"was moved from here to /var/lib/x"):
        await instance.life(2)


async def test_a_state_that_cannot_be_read_now_is_read_again(instance: Instance) -> None:
    life = await instance.life(1)
    instance.registry.failure = RegistryError("away")
    life.ended.set_exception(StateError("away"))
    async with asyncio.timeout(10):
        while len(instance.contender.resigned) < 3:
            await asyncio.sleep(0)
    instance.registry.failure = None
    await instance.life(2)


async def test_a_state_that_is_damaged_is_not_read_again(instance: Instance) -> None:
    life = await instance.life(1)
    instance.registry.records["job.0", "_j"] = IN_PARTS + b"2\n{"
    life.ended.set_exception(StateError("x"))
    with pytest.raises(RoleError, match=r"record job/j a part is missing .* from a backup"):
        await instance.life(2)


def test_instances_that_are_elected_take_no_job_files() -> None:
    settings = BinpackSettings(listen=True, zk=parse_zk("zk://h:1/p"))
    assert _options(settings, ()).jobs == ()
    with pytest.raises(click.UsageError, match=r"with --zk no job files.*`pymesos-cli run`"):
        _options(settings, (Path("shop.yaml"),))


@pytest.mark.parametrize("written", [b"", b"x", b"-1", b"1.5", b"9" * 20, b"9" * 5000])
def test_an_epoch_that_cannot_be_read_is_said(written: bytes) -> None:
    with pytest.raises(RoleError, match=r"in here is damaged: its record epoch .*from a backup"):
        epoch_in({EPOCH: written}, "here")


async def test_in_doubt_nothing_is_sent_and_after_the_end_neither() -> None:
    term = Term(1, Registry())
    assert await term.holds()
    term.suspend()
    asked = asyncio.ensure_future(term.holds())
    await asyncio.sleep(0)
    assert not asked.done()
    term.resume()
    assert await asked
    term.suspend()
    asked = asyncio.ensure_future(term.holds())
    await asyncio.sleep(0)
    term.end()
    assert not await asked


async def test_the_driver_sends_nothing_once_another_leads() -> None:
    term, sent = Term(1, Registry()), []

    async def write(batch: scheduler_pb2.CallBatch) -> None:
        sent.append(batch)

    async def done() -> None:
        """There is no more."""

    outbox: Outbox[scheduler_pb2.Call] = Outbox()
    stream: Any = SimpleNamespace(write=write, done_writing=done, cancel=lambda: None)
    writing = asyncio.ensure_future(_write(stream, outbox, term.holds))
    outbox.put(scheduler_pb2.Call())
    async with asyncio.timeout(10):
        while not sent:
            await asyncio.sleep(0)
    term.suspend()
    outbox.put(scheduler_pb2.Call())
    for _ in range(10):
        await asyncio.sleep(0)
    term.end()
    for _ in range(10):
        await asyncio.sleep(0)
    writing.cancel()
    assert len(sent) == 1


async def test_the_others_that_stand_by_are_known_from_zookeeper() -> None:
    me, other = (MasterInfo(name, HostPort("10.0.0.1", n)) for n, name in ((1, "a"), (2, "b")))
    moving = MasterInfo("c", NOWHERE)

    class Detector:
        problem: CoordinationError | None = None

        async def masters(self) -> list[MasterInfo]:
            if self.problem is not None:
                raise self.problem
            return [me, other, moving]

    detector: Any = Detector()
    assert await standing_by(me, detector) == [other.address]
    detector.problem = CoordinationError("ZooKeeper is away")
    with pytest.raises(CallError, match="ZooKeeper is away; try again") as refused:
        await standing_by(me, detector)
    assert refused.value.code == Code.UNAVAILABLE
