"""Authors of frameworks and executors use the SDK in odd ways: each is told what was expected."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pymesos_core.clock import Now
from pymesos_core.resources import parse
from pymesos_core.store import Change, Store
from pymesos_proto.v1 import scheduler_pb2 as spb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver, Room, Scheduler, draw, draw_ports, take_ports
from pymesos_sdk.callbacks import tell
from pymesos_sdk.core import Blocked, Connected, Disconnect, DriverCore, MasterSaid, Tick
from pymesos_sdk.executor import Executor, ExecutorDriver
from pymesos_sdk.standing import Standing

MASTER = "127.0.0.1:1"
ENVIRONMENT = {
    "PYMESOS_AGENT": MASTER,
    "PYMESOS_FRAMEWORK_ID": "f",
    "PYMESOS_EXECUTOR_ID": "e",
    "PYMESOS_EXECUTOR_TOKEN": "t",
}


def info() -> pb.FrameworkInfo:
    return pb.FrameworkInfo(name="f")


class Short(Scheduler):
    def update(self, status: pb.TaskStatus) -> None: ...  # type: ignore[override]


class Nothing(Scheduler):
    offers = None  # type: ignore[assignment]


class ShortExecutor(Executor):
    def kill(self, driver: ExecutorDriver, task_id: str) -> None: ...  # type: ignore[override]


make_driver: Any = Driver  # of arguments of other types, too


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: make_driver(Short(), info(), MASTER),
            r"calls Short\.update\(driver, status\), which",
        ),
        (
            lambda: make_driver(Nothing(), info(), MASTER),
            r"Nothing\.offers.*there is none: derive from",
        ),
        (lambda: make_driver(Scheduler, info(), MASTER), r"not the class: Scheduler\(\)"),
        (lambda: ExecutorDriver(ShortExecutor(), ENVIRONMENT), r"ShortExecutor\.kill\(driver, "),
        (lambda: make_driver(Scheduler(), None, MASTER), "info is a NoneType; a FrameworkInfo is"),
        (
            lambda: make_driver(Scheduler(), {"name": "f"}, MASTER),
            "info is a dict; a FrameworkInfo is",
        ),
        (lambda: make_driver(Scheduler(), info(), None), "master is a NoneType"),
        (
            lambda: make_driver(Scheduler(), info(), MASTER, offer_constraints=["a"]),
            "OfferConstraints",
        ),
        (
            lambda: make_driver(Scheduler(), info(), MASTER, offer_constraints={"*": 1}),
            "for each role",
        ),
        (
            lambda: make_driver(Scheduler(), info(), MASTER, optimistic_roles="ab"),
            "is one text, 'ab'",
        ),
        (lambda: make_driver(Scheduler(), info(), MASTER, first_roles="ab"), "is one text, 'ab'"),
    ],
)
def test_a_driver_says_at_once_what_it_cannot_work_with(make: Any, says: str) -> None:
    """Most ended the framework, with all its tasks, when the first of them had an update."""
    with pytest.raises(TypeError, match=says):
        make()


def test_two_drivers_may_be_given_the_same_info() -> None:
    """The first wrote its id into it, so that the second subscribed in its place."""
    given = info()
    one, other = (Driver(Scheduler(), given, MASTER) for _ in range(2))
    one._core.standing.subscribed("id-1")
    assert (one.framework_id, other.framework_id, given) == ("id-1", "", info())


@pytest.mark.parametrize("kind", [asyncio.CancelledError, StopIteration, GeneratorExit])
async def test_what_ends_coroutines_is_an_error_of_a_method(kind: type[BaseException]) -> None:
    """A driver seemed to be cancelled, left the master and lost its tasks, without a word."""

    class Raises(Scheduler):
        def offers(self, driver: Driver, offers: Any) -> None:
            raise kind

    driver = Driver(Raises(), info(), MASTER)
    with pytest.raises(RuntimeError, match=f"offers raised {kind.__name__}, which is an error"):
        driver._deliver(spb.Event(offers=spb.Event.Offers()))


def _generator() -> Iterator[int]:
    yield 1


def test_a_method_that_returns_a_generator_has_done_nothing() -> None:
    with pytest.raises(TypeError, match="returned a generator"):
        tell(_generator)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda d: d.kill(12), "task_id is a int, 12; a text is expected"),
        (lambda d: d.kill(pb.TaskStatus()), "task_id is a TaskStatus"),
        (lambda d: d.kill(None), "task_id is a NoneType"),
        (lambda d: d.kill("t", 3), "agent_id is a int"),
        (lambda d: d.kill("t", grace_s="5"), "grace_s is '5'; a number of seconds is expected"),
        (lambda d: d.kill("t", first=15), "first is a int"),
        (lambda d: d.decline(None), "offer_ids is a NoneType, where a list of texts is expected"),
        (lambda d: d.decline(["o"], refuse_s="5"), "refuse_s is '5'; a number of seconds"),
        (lambda d: d.accept(["o"], refuse_s=True), "refuse_s is True; a number of seconds"),
        (lambda d: d.reconcile(["ab"]), "'ab', where .task id, agent id or \"\". is expected"),
        (lambda d: d.reconcile("ab"), "'ab', where"),
        (lambda d: d.reconcile([("t", None)]), "an agent id is a NoneType"),
        (lambda d: d.acknowledge("t"), "the TaskStatus of the update is expected"),
        (lambda d: d.send_message("a", "e", "text"), r"data is a str; bytes are.*encode\(\)"),
        (lambda d: d.send_message("a", 1, b"text"), "executor_id is a int"),
        (lambda d: d.shut_down(None, "e"), "agent_id is a NoneType"),
    ],
)
def test_an_argument_of_a_call_that_is_none_is_named(call: Any, says: str) -> None:
    """protobuf said `bad argument type for built-in operation`, or took letters for ids."""
    with pytest.raises(TypeError, match=says):
        call(Driver(Scheduler(), info(), MASTER))


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (("note", "k", "text"), r"value is a str; bytes are expected: text\.encode"),
        (("note", "k", 5), "value is a int; bytes are expected"),
        (("note", 5, b"x"), "key is a int"),
        ((None, "k", b"x"), "kind is a NoneType"),
        (("note", "k\udc80", b"x"), "key is 'k.udc80', which has bytes that are no text"),
    ],
)
def test_a_record_that_could_not_be_read_again_is_refused(
    tmp_path: Path, record: Any, says: str
) -> None:
    """A text was written, and the framework could not start any more: `it is damaged`."""
    store = Store(tmp_path / "f.sqlite")
    driver = Driver(Scheduler(), info(), MASTER, store=store)
    with pytest.raises((TypeError, ValueError), match=says):
        driver.keep(*record)
    wrong: Any = Change("note", "k", cast(Any, "text"))
    with pytest.raises(TypeError, match="the value of note/k is a str"):
        store.commit([Change("note", "j", b"y"), wrong])
    assert store.load() == {}
    store.close()


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"task_id": 1}, "task_id is a int"),
        ({"message": b"x"}, "message is a bytes"),
        ({"data": "x"}, "data is a str; bytes are expected"),
        ({"labels": {"a": 1}}, r"labels\['a'\] is a int"),
        ({"state": "TASK_RUNNING"}, "cannot say 'TASK_RUNNING' of a task"),
    ],
)
def test_what_an_executor_says_of_a_task_is_named(said: dict[str, Any], says: str) -> None:
    driver = ExecutorDriver(Executor(), ENVIRONMENT)
    with pytest.raises((TypeError, ValueError), match=says):
        driver.update(**{"task_id": "t", "state": pb.TASK_RUNNING, **said})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"env": [("A", "b")]}, "env is .*names with their values are expected"),
        ({"env": {1: "b"}}, "the name 1 in env is 1, which is no text"),
        ({"ports": "2"}, "ports is '2'; a whole number is expected"),
        ({"ports": True}, "ports is True; a whole number is expected"),
        ({"task_id": "t\udc80"}, "task_id is 't.udc80', which has bytes that are no text"),
    ],
)
def test_more_of_a_task_that_is_no_text_or_no_number(wrong: dict[str, Any], says: str) -> None:
    room = Room(pb.Offer(resources=[]))
    with pytest.raises((TypeError, ValueError), match=says):
        room.make_task(**{"task_id": "t", "command": "true", "cpus": 0, "mem": 0, **wrong})


def test_amounts_that_nobody_can_draw() -> None:
    """Half a thousandth was asked of the master, and less than nothing was drawn."""
    offered = parse("cpus:4;ports:[1-9]")
    for amount in (-1000, 0.5):
        wrong: Any = {"cpus": amount}
        with pytest.raises(ValueError, match="thousandths are expected: 500 is half of one"):
            draw(offered, wrong)
    for number in (-1, 1.5, 10**6):
        for take in (cast(Any, take_ports), cast(Any, draw_ports)):
            with pytest.raises(ValueError, match="a whole number from 0 to 65535 is expected"):
                take(offered, number)


def test_a_framework_that_blocks_takes_no_master_for_silent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The driver left a master that was well, which ended a framework without failover timeout."""
    core = DriverCore(Standing(info()))
    said = spb.Event.Subscribed(framework_id="id", heartbeat_interval_s=15)
    core.step(Now(0, 0), Connected(1))
    core.step(Now(0, 0), MasterSaid(1, 1, spb.Event(subscribed=said)))
    assert core.step(Now(60, 60), Blocked()) == []
    assert core.step(Now(74, 74), Tick()) == [], "it may read first what came meanwhile"
    (left,) = [e for e in core.step(Now(75, 75), Tick()) if isinstance(e, Disconnect)]
    assert left.reason == "the master has been silent for too long"


async def test_an_author_hears_that_a_method_of_his_blocks(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(Scheduler(), info(), MASTER)
    times = iter([0.0, 0.5, 10.0, 72.0])
    monkeypatch.setattr(type(driver._outside), "mono_s", lambda self: next(times))
    fed: list[object] = []
    monkeypatch.setattr(driver, "_feed", fed.append)
    for _ in range(2):
        driver._deliver(spb.Event(rescind=spb.Event.Rescind(offer_id="o")))
    assert fed == [Blocked()]
    (line,) = caplog.messages
    assert line.startswith("rescinded took 62 s, and nothing of the master was heard")
