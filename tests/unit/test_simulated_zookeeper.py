"""The production election and registry on the simulated ZooKeeper."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from kazoo.exceptions import ConnectionLoss, NoNodeError

from pymesos_core.addresses import HostPort
from pymesos_core.coordination import (
    CoordinationError,
    MasterInfo,
    RegistryError,
    StaleEpochError,
    Term,
)
from pymesos_core.coordination.zookeeper import (
    INSTANCES,
    MASTERS,
    PREFIX,
    ZkContender,
    ZkDetector,
)
from pymesos_core.store import Change
from pymesos_simulation import threads
from pymesos_simulation.coordinator import URL, client_of, detector_of
from pymesos_simulation.ensemble import SESSION_S, Ensemble
from pymesos_simulation.world import Node, World
from pymesos_simulation.zookeeper import Client

ZK_LOGGER = ZkContender.__module__


class Stage:
    """Processes that contend, in calm weather."""

    def __init__(self, seed: int = 0) -> None:
        self.world = World(seed)
        self.world.faulty = False
        self.ensemble = Ensemble(self.world)

    def process(self, name: str) -> Node:
        node = Node(self.world, name)
        node.start()
        return node

    def run(self, node: Node, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        with node.loop.entered():
            return node.loop.create_task(coro)

    def contender(self, node: Node, port: int, min_epoch: int = 0) -> ZkContender:
        with node.loop.entered():
            info = MasterInfo(node.name, HostPort("10.0.0.1", port))
            client = client_of(node, self.ensemble)
            return ZkContender(URL, info, SESSION_S, min_epoch, client=client)

    def until(self, holds: Callable[[], bool], within_s: float = 60) -> None:
        assert self.world.run(holds, self.world.now_s + within_s), f"not within {within_s} s"

    def leads(self, node: Node, contender: ZkContender) -> Term:
        leading = self.run(node, contender.lead())
        self.until(leading.done)
        term: Term = leading.result()
        return term

    def result(self, node: Node, function: Callable[..., Any], *arguments: Any) -> Any:
        asked = self.run(node, asyncio.to_thread(function, *arguments))
        self.until(asked.done)
        return asked.result()


@pytest.fixture(params=range(5))
def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(request.param)


def test_the_next_leads_when_the_first_dies(stage: Stage) -> None:
    one, two = stage.process("one"), stage.process("two")
    watcher = stage.process("watcher")
    first = stage.leads(one, stage.contender(one, 1))
    with watcher.loop.entered():
        detector = detector_of(watcher, stage.ensemble)
    stage.run(watcher, detector.start())
    stage.until(lambda: detector.leader is not None and detector.leader.master_id == "one")
    second = stage.run(two, stage.contender(two, 2).lead())
    stage.world.run(lambda: False, stage.world.now_s + 30)
    assert not second.done()
    one.crash()
    stage.ensemble.died(one)
    stage.until(second.done)
    assert second.result().epoch == first.epoch + 1
    stage.until(lambda: detector.leader is not None and detector.leader.master_id == "two")


def led_and_watched(stage: Stage) -> tuple[Node, Node, ZkDetector]:
    """Return a process that leads, another that watches who does, and what it has seen."""
    one, watcher = stage.process("one"), stage.process("watcher")
    stage.leads(one, stage.contender(one, 1))
    with watcher.loop.entered():
        detector = detector_of(watcher, stage.ensemble)
    stage.run(watcher, detector.start())
    stage.until(lambda: detector.leader is not None)
    return one, watcher, detector


def test_who_leads_is_in_doubt_once_zookeeper_is_away_for_longer_than_a_session() -> None:
    """`/v1/leader` named who had led for as long as no ZooKeeper server answered."""
    stage = Stage()
    one, watcher, detector = led_and_watched(stage)

    def in_doubt() -> bool:
        with watcher.loop.entered():
            return detector.in_doubt

    assert not in_doubt()
    stage.ensemble.interrupt([one, watcher], 10 * SESSION_S, down=True)
    stage.world.run(lambda: False, stage.world.now_s + SESSION_S / 2)
    assert not in_doubt() and detector.leader is not None
    stage.until(in_doubt)
    assert detector.leader is not None, "connections to it may go on"
    stage.until(lambda: not in_doubt())


def test_who_asks_which_masters_there_are_waits_for_no_zookeeper() -> None:
    """Each who asked kept a thread until it was back, of the few that files are read by, too."""
    stage = Stage()
    _, watcher, detector = led_and_watched(stage)
    began_s = stage.world.now_s
    stage.ensemble.interrupt([watcher], 100 * SESSION_S, down=True)
    stage.world.run(lambda: False, began_s + 2 * SESSION_S)
    asked = stage.run(watcher, detector.masters())
    stage.until(asked.done, within_s=1)
    assert str(asked.exception()) == (
        "which masters there are cannot be read in ZooKeeper: no server of it answers now"
    )


def test_an_operator_may_want_a_later_epoch(stage: Stage) -> None:
    one = stage.process("one")
    wanting = stage.contender(one, 1, min_epoch=40)
    first = stage.leads(one, wanting)
    assert first.epoch == 40
    stage.until(stage.run(one, wanting.resign(first)).done)
    assert stage.leads(one, wanting).epoch == 41


@pytest.mark.parametrize("written", [b"", b"x", b"-1", b"9" * 20, b"9" * 5000])
def test_an_epoch_that_cannot_be_read_ends_who_would_lead(written: bytes) -> None:
    stage = Stage()
    one = stage.process("one")
    stage.ensemble.ensure(URL.path)
    stage.ensemble.create(f"{URL.path}/epoch", written)
    asked = stage.run(one, stage.contender(one, 1).lead())
    stage.until(asked.done)
    error = asked.exception()
    assert isinstance(error, CoordinationError)
    assert "/pymesos/epoch in ZooKeeper holds b'" in str(error)
    assert "the epoch was expected" in str(error) and "--min-epoch" in str(error)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"id": 1}', b"[" * 100_000, b"\xff"])
def test_a_contender_that_cannot_be_read_is_named_and_waited_for(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, ZK_LOGGER)
    stage = Stage()
    one, watcher = stage.process("one"), stage.process("watcher")
    stage.ensemble.ensure(URL.path)
    lowest = stage.ensemble.create(f"{URL.path}/{PREFIX}", data, sequence=True)
    with watcher.loop.entered():
        detector = detector_of(watcher, stage.ensemble)
    stage.run(watcher, detector.start())
    leading = stage.run(one, stage.contender(one, 1).lead())
    stage.world.run(leading.done, stage.world.now_s + 60)
    assert not leading.done() and detector.leader is None
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1, "it is said once"
    assert warnings[0].startswith(f"{lowest} in ZooKeeper holds b") and "Delete it" in warnings[0]
    masters = stage.run(watcher, detector.masters())
    stage.until(masters.done)
    assert [info.master_id for info in masters.result()] == ["one"]
    stage.ensemble.delete(lowest)
    stage.until(leading.done)
    stage.until(lambda: detector.leader == masters.result()[0])


def test_who_leads_is_known_on_beside_one_that_cannot_be_read(stage: Stage) -> None:
    one, watcher = stage.process("one"), stage.process("watcher")
    term = stage.leads(one, stage.contender(one, 1))
    with watcher.loop.entered():
        detector = detector_of(watcher, stage.ensemble)
    stage.run(watcher, detector.start())
    stage.until(lambda: detector.leader is not None)
    stage.ensemble.create(f"{URL.path}/{PREFIX}", b"x")  # which sorts before every number
    stage.world.run(lambda: False, stage.world.now_s + 30)
    assert not term.lost.is_set()
    assert detector.leader is not None and detector.leader.master_id == "one"
    one.crash()
    stage.ensemble.died(one)
    stage.until(lambda: detector.leader is None)


def test_who_closes_has_lost_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, ZK_LOGGER)
    stage = Stage()
    one = stage.process("one")
    contender = stage.contender(one, 1)
    term = stage.leads(one, contender)
    stage.until(stage.run(one, contender.close()).done)
    stage.world.run(lambda: False, stage.world.now_s + 1)
    assert term.lost.is_set()
    assert not [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]


def test_a_deposed_leaders_write_fails(stage: Stage) -> None:
    one, two = stage.process("one"), stage.process("two")
    old = stage.leads(one, stage.contender(one, 1))
    changes = [Change("agent", "a/b %", b"1"), Change("agent", "c", b"2")]
    stage.result(one, old.registry.load)
    stage.result(one, old.registry.commit, changes)
    stage.result(one, old.registry.commit, [Change("agent", "c", None), Change("agent", "c", b"3")])
    # Its znode is gone, and it does not notice.
    stage.ensemble.delete(f"{URL.path}/{PREFIX}{0:010}")
    new = stage.leads(two, stage.contender(two, 2))
    with pytest.raises(StaleEpochError):
        stage.result(one, old.registry.commit, [Change("agent", "a/b %", b"stale")])
    known = {("agent", "a/b %"): b"1", ("agent", "c"): b"3"}
    assert stage.result(two, new.registry.load) == known
    assert {k for k, _ in stage.ensemble.records("/pymesos/registry")} == {"agent"}


def test_a_term_is_in_doubt_while_the_service_is_away(stage: Stage) -> None:
    one = stage.process("one")
    term = stage.leads(one, stage.contender(one, 1))
    stage.ensemble.interrupt([one], 6, down=False)
    stage.until(lambda: not term.active.is_set(), 5)
    stage.until(term.active.is_set, 5)
    assert not term.lost.is_set()
    stage.ensemble.interrupt([one], 60, down=False)
    stage.until(term.lost.is_set, 20)


def test_what_became_of_a_write_is_not_known_when_the_way_breaks() -> None:
    became: set[tuple[bool, bool]] = set()
    for seed in range(30):
        stage = Stage(seed)
        one = stage.process("one")
        term = stage.leads(one, stage.contender(one, 1))
        stage.result(one, term.registry.load)
        stage.result(one, term.registry.commit, [Change("agent", "b", b"1")])
        asked = stage.run(
            one, asyncio.to_thread(term.registry.commit, [Change("agent", "a", b"1")])
        )
        stage.world.run(lambda: False, stage.world.now_s + 0.001 * seed)
        stage.ensemble.interrupt([one], 30, down=False)
        stage.until(asked.done)
        if asked.exception() is not None:
            assert isinstance(asked.exception(), RegistryError)
            assert "the connection to it broke" in str(asked.exception())
        there = ("agent", "a") in stage.ensemble.records("/pymesos/registry")
        became.add((asked.exception() is None, there))
    assert {(False, True), (False, False)} <= became
    assert (True, False) not in became


def test_a_write_waits_no_longer_than_the_term_lasts(stage: Stage) -> None:
    """kazoo keeps what it is asked for until it reaches a server again, which may be never."""
    one = stage.process("one")
    term = stage.leads(one, stage.contender(one, 1))
    stage.result(one, term.registry.commit, [Change("agent", "a", b"1")])
    stage.ensemble.interrupt([one], 600, down=True)
    stage.until(lambda: not term.active.is_set())
    for _ in range(2):  # the second is refused at once
        asked = stage.run(
            one, asyncio.to_thread(term.registry.commit, [Change("agent", "a", b"2")])
        )
        stage.until(asked.done, 2 * SESSION_S)
        assert term.lost.is_set() and isinstance(asked.exception(), RegistryError)
    assert stage.ensemble.records("/pymesos/registry") == {("agent", "a"): b"1"}


def test_nothing_is_written_after_the_session_has_ended(stage: Stage) -> None:
    one = stage.process("one")
    term = stage.leads(one, stage.contender(one, 1))
    stage.ensemble.expire(one)
    stage.until(term.lost.is_set)
    stage.ensemble.interrupt([one], 600, down=True)
    asked = stage.run(one, asyncio.to_thread(term.registry.commit, []))
    stage.until(asked.done, SESSION_S)
    assert isinstance(asked.exception(), RegistryError)


def test_a_folder_is_not_waited_for_longer_either(stage: Stage) -> None:
    one = stage.process("one")
    term = stage.leads(one, stage.contender(one, 1))
    stage.result(one, term.registry.load)
    stage.ensemble.interrupt([one], 600, down=True)
    stage.until(lambda: not term.active.is_set())
    asked = stage.run(one, asyncio.to_thread(term.registry.commit, [Change("agent", "a", b"2")]))
    stage.until(asked.done, 2 * SESSION_S)
    assert term.lost.is_set() and isinstance(asked.exception(), RegistryError)


def test_a_stopped_process_learns_late_that_its_session_has_ended(stage: Stage) -> None:
    one, two = stage.process("one"), stage.process("two")
    term = stage.leads(one, stage.contender(one, 1))
    one.pause(40)
    stage.ensemble.stopped(one, 40)
    second = stage.leads(two, stage.contender(two, 2))
    assert stage.world.now_s < 30 and second.epoch == term.epoch + 1
    assert not term.lost.is_set()
    stage.until(term.lost.is_set)


def test_watches_are_told_once_the_connection_that_breaks_included(stage: Stage) -> None:
    one, two = stage.process("one"), stage.process("two")
    mine, other = Client(stage.ensemble, one), Client(stage.ensemble, two)
    mine.start_async()
    other.start_async()
    stage.until(lambda: mine.connected and other.connected)
    told: list[str] = []
    stage.result(one, mine.ensure_path, "/a/b")
    stage.result(one, mine.get_children, "/a", lambda _: told.append("children"))
    stage.result(one, mine.exists, "/a/c", lambda _: told.append("exists"))
    stage.result(two, other.create, "/a/c")
    stage.until(lambda: len(told) == 2)
    stage.result(two, other.delete, "/a/c")
    stage.result(one, mine.get_children, "/a", lambda _: told.append("lost"))
    stage.ensemble.interrupt([one], 5, down=False)
    stage.until(lambda: not mine.connected)
    stage.until(lambda: "lost" in told, 1)
    stage.until(lambda: mine.connected)
    stage.result(two, other.create, "/a/c")
    stage.world.run(lambda: False, stage.world.now_s + 5)
    assert sorted(told) == ["children", "exists", "lost"]
    with pytest.raises(NoNodeError):
        stage.result(one, mine.get, "/nowhere")


def test_a_request_in_a_broken_connection_fails(stage: Stage) -> None:
    one = stage.process("one")
    mine = Client(stage.ensemble, one)
    mine.start_async()
    stage.until(lambda: mine.connected)
    stage.ensemble.interrupt([one], 60, down=False)
    with pytest.raises(ConnectionLoss):
        stage.result(one, mine.get_children, "/")


def test_a_session_may_end_while_the_epoch_is_raised(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by seed 100: the master ended with it."""
    one = stage.process("one")
    create = Client.create
    ended: list[str] = []

    def slow_create(self: Client, path: str, *arguments: Any, **more: Any) -> str:
        if path.endswith("/epoch") and not ended:
            ended.append(path)
            stage.ensemble.expire(one)
            threads.sleep(stage.world, 2.0)
        return create(self, path, *arguments, **more)

    monkeypatch.setattr(Client, "create", slow_create)
    leading = stage.run(one, stage.contender(one, 1).lead())
    stage.until(leading.done)
    assert ended and leading.result().epoch == 1


def test_what_helps_without_an_epoch_is_what_who_is_elected_has(stage: Stage) -> None:
    one = stage.process("one")
    client = Client(stage.ensemble, one)
    client.start_async()
    stage.until(lambda: client.connected)
    stage.result(one, client.ensure_path, URL.path)
    stage.result(one, client.create, f"{URL.path}/epoch", b"x")
    for elected, flag in ((MASTERS, True), (INSTANCES, False)):
        with one.loop.entered():
            info = MasterInfo(elected.one, HostPort("10.0.0.1", 1))
            made = client_of(one, stage.ensemble)
            contender = ZkContender(URL, info, SESSION_S, client=made, elected=elected)
        leading = stage.run(one, contender.lead())
        stage.until(leading.done)
        error = leading.exception()
        assert isinstance(error, CoordinationError) and ("--min-epoch" in str(error)) is flag
        closing = stage.run(one, contender.close())
        stage.until(closing.done)
